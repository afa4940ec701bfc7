"""`chardev prove`: every obligation with its verdict.

Only what was proved is called so: what the solver could not decide fails, and what no obligation covers is named in
the verdict itself (`NOT_PROVED`).
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from chardev_proofs.functions import Obligation, Report
from chardev_proofs.prover import NAMES, Trouble, prove, to_json
from chardev_spec.invariants import INVARIANTS
from chardev_spec.rules import RULES

NOT_PROVED: Final = (
    "the end of a write pass in which callbacks attach or detach a port for ever (WR-5)",
    "the end of a push whose client grants for ever (RD-7)",
    "the end of `start` while its turns move only parts of buffers that calls in callbacks finish (WR-5)",
    "that the tables keep the order that they promise, and offer the bytes that their rows hold (WR-1, RD-3)",
)
"""What no obligation covers: ends that the contract leaves open, and what the tests check by running."""

UNBOUNDED: Final = "for any number of clients, buffers, messages and nested calls, and any count"

SLOWEST: Final = 10
PATH_SHOWN: Final = 20
"""Decisions of a counterexample's path that are printed: the last ones."""

PROVED, NOT_ALL_PROVED, WRONG_USE, COULD_NOT_RUN = range(4)


def add_arguments(
    parser: argparse.ArgumentParser, reach: Callable[[Collection[str], Path], str]
) -> None:
    """The options of the command; `reach` looks for a run that ends where these functions failed, and says so."""
    parser.description = (
        "Proves every invariant of the specification, from the text that runs, "
        f"{UNBOUNDED}. "
        "Exit status: 0 all proved, 1 something is not, 2 wrong use or a text that cannot be followed, "
        "3 could not run."
    )
    add = parser.add_argument
    add("--only", metavar="RULE|FUNCTION", help="only what cites this rule, or this function")
    add(
        "--jobs",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes (default: one a core)",
    )
    add("--json", action="store_true", help="one JSON document instead of text")
    add("--fresh", action="store_true", help="use no result of an earlier run")
    add(
        "--save",
        type=Path,
        default=Path("chardev-unproved.jsonl"),
        metavar="FILE",
        help="where the trace of a run goes that breaks what was not proved",
    )
    add("--quiet", action="store_true", help="no line for an obligation that is proved")
    parser.set_defaults(run=run, reach=reach)


def run(options: argparse.Namespace) -> int:
    """Prove, print, and say how it went; the exit status."""
    only = options.only
    if only is not None and only not in NAMES and only not in RULES:
        _complain(
            f"--only {only}: neither a rule nor a function; functions are {', '.join(sorted(NAMES))}"
        )
        return WRONG_USE
    if options.jobs < 1:
        _complain(f"--jobs {options.jobs}: must be 1 or more")
        return WRONG_USE
    names = (only,) if only in NAMES else NAMES
    try:
        reports, troubles = prove(names, jobs=options.jobs, fresh=options.fresh, progress=_progress)
    except KeyboardInterrupt:
        _complain("interrupted; what was proved is kept, so the same command goes on from there")
        return COULD_NOT_RUN
    obligations = [
        each
        for report in reports
        for each in report.obligations
        if only not in RULES or only in each.rules
    ]
    if options.json:
        _say(json.dumps(as_json(reports, obligations, troubles), indent=1))
    else:
        for text in as_text(reports, obligations, troubles, quiet=options.quiet):
            _say(text)
    for trouble in troubles:
        _complain(f"{trouble.function}: {trouble.message}")
    if troubles:
        supported = [each for each in troubles if not each.unsupported]
        return COULD_NOT_RUN if supported else WRONG_USE
    failed = {each.function for each in obligations if not each.proved}
    if not failed:
        return PROVED
    _complain(options.reach(failed, options.save))
    return NOT_ALL_PROVED


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _complain(text: str) -> None:
    sys.stderr.write(f"chardev prove: {text}\n")


def _progress(done: int, total: int, name: str) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        sys.stderr.write(f"\r{done} of {total} functions, last {name:<40}{end}")
        sys.stderr.flush()


def line(obligation: Obligation) -> str:
    """One obligation, with its verdict and time."""
    failure = obligation.failure
    verdict = "proved" if failure is None else failure.reason.partition(":")[0]
    return f"{','.join(obligation.rules)} {obligation.name} … {verdict} {obligation.seconds:.2f} s"


def explanation(obligation: Obligation) -> Iterator[str]:
    """Why an obligation is not proved: the path, a run of it from a state that is allowed, and what is false then."""
    failure = obligation.failure
    if failure is None:
        return
    yield f"    {failure.reason}"
    yield from (f"      {step}" for step in failure.steps[-PATH_SHOWN:])
    yield from (f"      {line}" for line in failure.run)
    text = next(
        (each.text for each in INVARIANTS if each.name == obligation.invariant), failure.term
    )
    if text:
        yield f"      not so: {text}"


def by_rule(obligations: Sequence[Obligation]) -> dict[str, tuple[int, int]]:
    """For each rule that obligations cite, how many of them are proved, and how many there are."""
    summary: dict[str, tuple[int, int]] = {}
    for each in obligations:
        for rule in each.rules:
            proved, count = summary.get(rule, (0, 0))
            summary[rule] = proved + each.proved, count + 1
    return {rule: summary[rule] for rule in RULES if rule in summary}


def verdict_line(
    reports: Sequence[Report], obligations: Sequence[Obligation], troubles: Sequence[Trouble]
) -> str:
    """How it went, and what it does not say."""
    proved = sum(each.proved for each in obligations)
    trouble = f", {len(troubles)} functions could not be followed" if troubles else ""
    paths = sum(each.paths for each in reports)
    seconds = sum(each.seconds for each in reports)
    return (
        f"{proved} of {len(obligations)} obligations proved{trouble}, {UNBOUNDED} "
        f"({paths} paths, {seconds:.1f} s of proving); outside the proof: {'; '.join(NOT_PROVED)}"
    )


def as_text(
    reports: Sequence[Report],
    obligations: Sequence[Obligation],
    troubles: Sequence[Trouble],
    *,
    quiet: bool,
) -> Iterator[str]:
    """The report as lines."""
    for each in obligations:
        if not (quiet and each.proved):
            yield line(each)
        yield from explanation(each)
    yield "\nrule: proved of all"
    for rule, (proved, count) in by_rule(obligations).items():
        yield f"  {rule:8} {proved:5} of {count}"
    yield f"\nslowest {SLOWEST} functions"
    for report in sorted(reports, key=lambda each: -each.seconds)[:SLOWEST]:
        yield (
            f"  {report.function:36} {report.seconds:6.1f} s, {report.paths} paths, {report.checks} questions"
        )
    yield f"\nslowest {SLOWEST} obligations"
    for each in sorted(obligations, key=lambda each: -each.seconds)[:SLOWEST]:
        yield f"  {each.seconds:6.2f} s  {each.name}"
    yield ""
    yield verdict_line(reports, obligations, troubles)


def as_json(
    reports: Sequence[Report], obligations: Sequence[Obligation], troubles: Sequence[Trouble]
) -> dict[str, object]:
    """The report as data, version 1."""
    return {
        "version": 1,
        "proved": not troubles and all(each.proved for each in obligations),
        "verdict": verdict_line(reports, obligations, troubles),
        "rules": {
            rule: {"proved": proved, "obligations": count}
            for rule, (proved, count) in by_rule(obligations).items()
        },
        "obligations": [
            {"id": each.name, "proved": each.proved}
            | {
                name: getattr(each, name)
                for name in ("invariant", "rules", "function", "segment", "seconds", "paths")
            }
            | {"failure": None if each.failure is None else vars(each.failure)}
            for each in obligations
        ],
        "functions": [
            {name: value for name, value in to_json(each).items() if name != "obligations"}
            for each in reports
        ],
        "troubles": [each._asdict() for each in troubles],
        "not_proved": NOT_PROVED,
    }
