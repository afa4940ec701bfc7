"""`chardev prove`: every obligation with its verdict, from a cache where nothing has changed.

Theory of operation
===================
Each function is proved by itself, so they are shared out to processes.
A function's report is kept under a key made of all that it depends on: the text of the machine's methods that it can
reach (without comments and docstrings), the invariants, the state's definition, the engine, and the versions of Python
and the solver.
So a change proves again what it can affect, and nothing else.

Only what was proved is called so: what the solver could not decide fails, and what no obligation covers is named in
the verdict (`NOT_PROVED`).
"""

import argparse
import ast
import hashlib
import inspect
import json
import os
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import z3

from chardev_proofs.functions import Failure, FunctionProof, Obligation, Report
from chardev_proofs.machine import PROCEDURES, PUBLIC
from chardev_proofs.rely import rely_obligations
from chardev_proofs.values import EngineSignal, UnsupportedError, lifted_builtins
from chardev_spec import (
    buffers,
    conditions,
    contract,
    events,
    invariants,
    life_cycle,
    migration,
    reading,
    record,
    state,
    tokens,
    writing,
)
from chardev_spec.contract import Contract
from chardev_spec.rules import RULES

LIFTED: Final = [
    conditions, tokens, buffers, writing, reading, life_cycle, migration, contract, record, invariants,
]  # fmt: skip
"""The modules whose text is run on symbolic values."""

FUNCTIONS: Final = (*PROCEDURES, *PUBLIC)
RELY: Final = "rely"
"""The name of what is no function: that the rely composes."""

NOT_PROVED: Final = (
    "the bytes that a port is given, beyond how many (WR-1)",
    "exactly-once delivery (CB-2); the order of a send queue (RD-3)",
    "termination of a pass (WR-5)",
    "the record as bytes (MIG-1, MIG-5); two devices and the wire as one (MIG-6)",
)
"""What no obligation covers; the tests check it by running."""

EXIT_PROVED, EXIT_FAILED, EXIT_USAGE, EXIT_INTERNAL = range(4)


def prove_one(name: str) -> Report:
    """Prove one function, or the rely."""
    if name == RELY:
        began = time.perf_counter()
        results = rely_obligations()
        seconds = time.perf_counter() - began
        share = seconds / len(results)
        obligations = [
            Obligation(
                text,
                ("CB-1",),
                RELY,
                "composition",
                share,
                1,
                None if holds else Failure("refuted", []),
            )
            for text, holds in results
        ]
        return Report(RELY, obligations, 0, len(results), seconds)
    with lifted_builtins(LIFTED):
        return FunctionProof(name).run()


def _attempt(name: str) -> tuple[str, Report | None, str, int]:
    try:
        return name, prove_one(name), "", EXIT_PROVED
    except UnsupportedError as error:
        return name, None, str(error), EXIT_USAGE
    except (EngineSignal, Exception) as error:
        return name, None, f"{type(error).__name__}: {error}", EXIT_INTERNAL


# What a report depends on


def _plain(text: str) -> str:
    """A text without comments and docstrings."""
    tree = ast.parse(textwrap.dedent(text))
    for node in ast.walk(tree):
        if (
            isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module))
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def reachable(function: str) -> dict[str, str]:
    """The methods that a function can run, with their texts; procedures are not followed."""
    methods = dict(inspect.getmembers(Contract, inspect.isfunction))
    found: dict[str, str] = {}
    waiting = [function]
    while waiting:
        name = waiting.pop()
        if name in found or name not in methods or (name in PROCEDURES and name != function):
            continue
        text = textwrap.dedent(inspect.getsource(methods[name]))
        found[name] = _plain(text)
        waiting += [
            node.attr for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)
        ]
    return found


def cache_key(function: str) -> str:
    """A key that changes with everything that the function's report depends on."""
    methods = {} if function == RELY else reachable(function)
    asked: dict[str, str] = {}
    for node in ast.walk(ast.parse(inspect.getsource(invariants))):
        if isinstance(node, ast.Attribute):
            asked |= reachable(node.attr)
    parts: list[Any] = [sorted((methods | asked).items()), sys.version, z3.get_version_string()]
    parts += [_plain(inspect.getsource(module)) for module in (invariants, state, events, record)]
    parts += [_plain(path.read_text()) for path in sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def cache_folder() -> Path:
    """Where reports are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "chardev" / "proofs"


def _load(path: Path) -> Report | None:
    try:
        stored = json.loads(path.read_text())
        obligations = [
            Obligation(
                **{
                    **each,
                    "rules": tuple(each["rules"]),
                    "failure": Failure(**each["failure"]) if each["failure"] else None,
                }
            )
            for each in stored.pop("obligations")
        ]
        return Report(obligations=obligations, **stored)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _store(path: Path, report: Report) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(asdict(report)))
        temporary.replace(path)
    except OSError:
        pass  # A cache that cannot be written costs time, nothing else.


# Output


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def line(obligation: Obligation) -> str:
    """One obligation, with its verdict and time."""
    verdict = (
        "proved" if obligation.failure is None else obligation.failure.reason.partition(":")[0]
    )
    rules = ",".join(obligation.rules)
    return f"{rules} {obligation.name} … {verdict} {obligation.seconds:.2f} s"


def explanation(obligation: Obligation) -> Iterator[str]:
    """Why an obligation is not proved: the path, and the values that differ."""
    failure = obligation.failure
    if failure is None:
        return
    yield f"  {failure.reason}"
    yield from (f"    {step}" for step in failure.steps[-20:])
    for name, value in failure.after.items():
        yield f"    {name}: {failure.before.get(name, '?')} -> {value}"


def rule_summary(obligations: Sequence[Obligation]) -> dict[str, tuple[int, int]]:
    """For each rule, how many obligations cite it, and how many of these are proved."""
    summary: dict[str, tuple[int, int]] = {}
    for each in obligations:
        for rule in each.rules:
            count, proved = summary.get(rule, (0, 0))
            summary[rule] = count + 1, proved + each.proved
    return {rule: summary[rule] for rule in RULES if rule in summary}


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    result = argparse.ArgumentParser(
        prog="chardev prove",
        description="Prove the specification's invariants, for any number of clients, buffers, messages and calls.",
        epilog="Exit status: 0 all proved, 1 something is not, 2 wrong usage or text that cannot be followed, "
        "3 the engine failed.",
    )
    result.add_argument(
        "--only", metavar="RULE|FUNCTION", help="only what cites this rule, or this function"
    )
    result.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)"
    )
    result.add_argument("--json", action="store_true", help="one JSON document instead of text")
    result.add_argument("--fresh", action="store_true", help="use no result of an earlier run")
    result.add_argument(
        "--quiet", action="store_true", help="no line per obligation that is proved"
    )
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Prove, print, and say how it went."""
    options = parser().parse_args(argv)
    only = options.only
    names = [RELY, *FUNCTIONS]
    if only in names:
        names = [only]
    elif only is not None and only not in RULES:
        sys.stderr.write(
            f"chardev prove: {only!r} is neither a rule nor a function that is proved" + "\n"
        )
        return EXIT_USAGE
    if options.jobs < 1:
        sys.stderr.write("chardev prove: --jobs must be 1 or more" + "\n")
        return EXIT_USAGE
    began = time.perf_counter()
    reports, errors = _gather(names, options)
    obligations = [
        each
        for report in reports
        for each in report.obligations
        if only not in RULES or only in each.rules
    ]
    failed = [each for each in obligations if not each.proved]
    seconds = time.perf_counter() - began
    if options.json:
        _print_json(reports, obligations, errors, seconds)
    else:
        _print_text(reports, obligations, errors, seconds, quiet=options.quiet)
    if errors:
        return max(status for _, _, status in errors)
    if not obligations:
        sys.stderr.write(f"chardev prove: no obligation cites {only}" + "\n")
        return EXIT_USAGE
    return EXIT_FAILED if failed else EXIT_PROVED


def _gather(
    names: list[str], options: argparse.Namespace
) -> tuple[list[Report], list[tuple[str, str, int]]]:
    reports: dict[str, Report] = {}
    errors: list[tuple[str, str, int]] = []
    keys = {name: cache_folder() / f"{cache_key(name)}.json" for name in names}
    for name, path in keys.items():
        stored = None if options.fresh else _load(path)
        if stored is not None:
            reports[name] = stored
    missing = [name for name in names if name not in reports]
    progress = sys.stderr.isatty()
    with ProcessPoolExecutor(max_workers=min(options.jobs, max(len(missing), 1))) as pool:
        waiting = [pool.submit(_attempt, name) for name in missing]
        for number, future in enumerate(as_completed(waiting), 1):
            name, report, message, status = future.result()
            if report is None:
                errors.append((name, message, status))
            else:
                reports[name] = report
                _store(keys[name], report)
            if progress:
                sys.stderr.write(f"\r{number}/{len(missing)} {name:40}")
    if progress and missing:
        sys.stderr.write("\n")
    return [reports[name] for name in names if name in reports], errors


def _print_json(
    reports: list[Report],
    obligations: list[Obligation],
    errors: list[tuple[str, str, int]],
    seconds: float,
) -> None:
    _say(json.dumps({
        "version": 1,
        "proved": not errors and all(each.proved for each in obligations),
        "seconds": round(seconds, 3),
        "obligations": [
            {"id": each.name, "proved": each.proved} | asdict(each) for each in obligations
        ],
        "rules": rule_summary(obligations),
        "functions": [
            {"function": each.function, "paths": each.paths, "checks": each.checks, "seconds": each.seconds}
            for each in reports
        ],
        "errors": [{"function": name, "message": message} for name, message, _ in errors],
        "not_proved": NOT_PROVED,
    }, indent=1))  # fmt: skip


def _print_text(
    reports: list[Report],
    obligations: list[Obligation],
    errors: list[tuple[str, str, int]],
    seconds: float,
    *,
    quiet: bool,
) -> None:
    for each in obligations:
        if not (quiet and each.proved):
            _say(line(each))
        for text in explanation(each):
            _say(text)
    _say("\nrule: proved of all")
    for rule, (count, proved) in rule_summary(obligations).items():
        _say(f"  {rule:8} {proved:5} of {count}")
    _say("\nslowest functions")
    for report in sorted(reports, key=lambda each: -each.seconds)[:10]:
        _say(
            f"  {report.function:32} {report.seconds:7.1f} s, {report.paths} paths, {report.checks} questions"
        )
    for name, message, _ in errors:
        _say(f"error: {name}: {message}")
    _say("\nnot proved here, only tested:")
    for text in NOT_PROVED:
        _say(f"  {text}")
    failed = sum(not each.proved for each in obligations)
    paths = sum(each.paths for each in reports)
    _say(
        f"\n{len(obligations) - failed} of {len(obligations)} obligations proved, {failed} not, "
        f"{len(errors)} functions with errors; {paths} paths, {seconds:.1f} s; "
        "no bound on clients, buffers, messages, counts or nested calls"
    )
