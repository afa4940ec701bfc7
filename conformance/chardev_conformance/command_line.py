"""The command `chardev`.

Exit status: 0 holds, 1 a finding, 2 wrong use, 3 could not run.
"""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom
from typing import Final, NoReturn

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.adapters.lines import (
    LineError,
    pseudo_terminals,
    run_on_lines,
    serial_line,
)
from chardev_conformance.adapters.opened import Opened
from chardev_conformance.adapters.stdio import ANSWER_SECONDS
from chardev_conformance.adapters.templates import LANGUAGES, TemplateError, write_template
from chardev_conformance.campaign import Report, replay, run_campaign
from chardev_conformance.progress import Progress
from chardev_conformance.report import to_json, to_text, verdict
from chardev_conformance.scenario import ScenarioError, count_calls
from chardev_conformance.target import TargetError
from chardev_conformance.targets import KINDS, open_target, untested
from chardev_conformance.trace import dumps, finding_to_json, load
from chardev_spec.profiles import PROFILES, Profile, profile_named

HOLDS: Final = 0
FINDING: Final = 1
WRONG_USE: Final = 2
COULD_NOT_RUN: Final = 3

CALLS: Final = 60_000
"""Calls of a check by default: some ten seconds on two cores."""

LINE_SHARE: Final = 6
"""One call in so many is made over pseudo-terminals: each costs a system call or more."""


class UsageError(Exception):
    """The command was used in a wrong way; the message says what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser(serving="serve" in arguments[:1]).parse_args(arguments)
    try:
        return int(options.run(options))
    except (UsageError, ScenarioError) as error:
        return _complain(error, WRONG_USE)
    except (LineError, TargetError) as error:
        return _complain(error, COULD_NOT_RUN)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read the output has gone; nothing more can be said to them
        return COULD_NOT_RUN


def _complain(error: BaseException, status: int) -> int:
    print(f"chardev: {error}", file=sys.stderr)
    return status


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser(*, serving: bool) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="chardev",
        description="The SPICE character-device API: check an implementation, or share a serial line.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser(
        "check",
        help="compare an implementation with the specification",
        description="Runs an implementation and the specification in lockstep; "
        "without TARGET the bundled device, in memory and over pseudo-terminals. "
        "Exit status: 0 it holds, 1 a finding, 2 wrong use, 3 could not run.",
    )
    add = check.add_argument
    add("target", nargs="?", metavar="TARGET", help=f"the implementation: {KINDS}")
    add("--seed", type=int, metavar="N", help="repeat the run that printed this seed")
    add("--steps", type=_count, metavar="N", help=f"calls of the API in all (default {CALLS:,})")
    add(
        "--time",
        type=_seconds,
        metavar="SECONDS",
        help="end after so long, even if there are calls left",
    )
    add(
        "--profile",
        default="contract",
        metavar="NAME",
        help=f"what to hold it against: {', '.join(PROFILES)}",
    )
    add(
        "--lacks",
        type=_names,
        default=frozenset(),
        metavar="NAME,...",
        help="what TARGET lacks: is not tested",
    )
    add(
        "--deadline",
        type=_seconds,
        default=ANSWER_SECONDS,
        metavar="SECONDS",
        help=f"how long a TARGET in a process of its own may take to answer (default {ANSWER_SECONDS:g})",
    )
    add("--port", metavar="DEVICE", help="check over this serial line (with --loopback or --peer)")
    add("--loopback", action="store_true", help="the line's TX is joined to its RX")
    add("--peer", metavar="DEVICE", help="the other end of the line, joined by a null modem")
    add(
        "--replay",
        type=Path,
        metavar="FILE",
        help="run the scenario of a trace file, and nothing else",
    )
    add(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the report as JSON, too ('-' for standard output)",
    )
    add(
        "--save",
        type=Path,
        default=Path("chardev-failure.jsonl"),
        metavar="FILE",
        help="where a failing trace goes",
    )
    check.set_defaults(run=_check)
    adapter = commands.add_parser(
        "adapter", help="begin an adapter for an implementation in another language"
    )
    actions = adapter.add_subparsers(required=True, metavar="ACTION")
    new = actions.add_parser(
        "new",
        help="write a template",
        description="Writes an adapter that runs and answers every call with 'missing', to be filled in.",
    )
    new.add_argument("--language", required=True, choices=LANGUAGES, help="what it is written in")
    new.add_argument("directory", type=Path, metavar="DIR", help="the folder to write it to")
    new.set_defaults(run=_new_adapter)
    serve = commands.add_parser(
        "serve", help="share one serial line, or virtio port, among several clients"
    )
    if serving:
        from chardev.serve import add_arguments  # noqa: PLC0415 - the other commands need no event loop

        add_arguments(serve)
    return parser


def _new_adapter(options: argparse.Namespace) -> int:
    try:
        print(write_template(options.language, options.directory))
    except TemplateError as error:
        raise UsageError(str(error)) from None
    return HOLDS


def _names(text: str) -> frozenset[str]:
    return frozenset(filter(None, text.split(",")))


def _count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of calls above 0")
    return count


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return seconds


def _check(options: argparse.Namespace) -> int:
    try:
        profile = profile_named(options.profile)
    except LookupError as error:
        raise UsageError(error.args[0]) from None
    if options.port is None and (options.loopback or options.peer):
        raise UsageError(
            "--loopback and --peer say what is at the other end of --port DEVICE; give that as well"
        )
    if options.target is not None and options.port is not None:
        raise UsageError(
            "--port checks the bundled device over a serial line; a TARGET brings its own ports"
        )
    if options.target is None and options.lacks:
        raise UsageError("--lacks says what TARGET lacks; the bundled device lacks nothing")
    if options.port is not None and options.loopback == (options.peer is not None):
        raise UsageError(
            "--port needs one of --loopback (TX joined to RX) and --peer DEVICE (null modem)"
        )
    for path in (options.json, options.save):
        _check_writable(path)
    if options.target is None:
        return _run(options, profile, Opened("the bundled device", DeviceTarget))
    with open_target(options.target, options.lacks, options.deadline) as opened:
        return _run(options, profile, opened)


def _run(options: argparse.Namespace, profile: Profile, opened: Opened) -> int:
    if options.replay is not None:
        return _replay(options, profile, opened)
    seed = SystemRandom().randrange(2**32) if options.seed is None else options.seed
    return _campaign(options, profile, seed, opened)


def _replay(options: argparse.Namespace, profile: Profile, opened: Opened) -> int:
    scenario = load(options.replay)
    report = Report(seed=None, scenarios=1, not_tested=untested(opened))
    finding, performed = replay(opened.factory, scenario, profile.machine, report.statistics)
    report.finding, report.scenario = finding, performed
    left_out = count_calls(scenario.steps) - count_calls(performed.steps)
    if left_out and finding is None:
        print(
            f"{left_out} calls were left out: they speak of names that stand for nothing, or are not for this target",
            file=sys.stderr,
        )
    return _conclude(options, report, f"{opened.name}, {options.replay}", profile, None)


def _campaign(options: argparse.Namespace, profile: Profile, seed: int, opened: Opened) -> int:
    calls = options.steps or CALLS
    bar = Progress(calls, "calls")

    def progress(report: Report) -> None:
        bar.show(report.statistics.calls)

    if options.port is not None:
        target = f"the bundled device on {options.port}"
        report = Report(seed)
        with serial_line(options.port, options.peer) as lines:
            run_on_lines(
                report,
                lines,
                calls=calls,
                seconds=options.time,
                machine=profile.machine,
                progress=progress,
            )
    elif options.target is not None:
        target = opened.name
        report = run_campaign(
            opened.factory,
            seed=seed,
            calls=calls,
            seconds=options.time,
            machine=profile.machine,
            progress=progress,
        )
        report.not_tested = untested(opened)
    else:
        target = "the bundled device, in memory and over pseudo-terminals"
        on_lines = calls // LINE_SHARE
        report = run_campaign(
            DeviceTarget,
            seed=seed,
            calls=calls - on_lines,
            seconds=options.time,
            machine=profile.machine,
            progress=progress,
        )
        if report.finding is None and not report.interrupted and on_lines:
            left = None if options.time is None else max(options.time - report.seconds, 0.0)
            run_on_lines(
                report,
                pseudo_terminals,
                calls=calls,
                seconds=left,
                machine=profile.machine,
                progress=progress,
            )
    bar.end()
    again = None
    if report.finding is not None and report.scenario is not None:
        origin = {
            "target": target,
            "profile": profile.name,
            "seed": seed,
            "finding": finding_to_json(report.finding),
        }
        _write(options.save, dumps(report.scenario, **origin))
        named = "" if options.target is None else f"{shlex.quote(options.target)} "
        again = f"chardev check {named}--replay {options.save}"
        if options.lacks:
            again += f" --lacks {','.join(sorted(options.lacks))}"
        if profile.quirks:
            again += f" --profile {profile.name}"
    return _conclude(options, report, target, profile, again)


def _conclude(
    options: argparse.Namespace, report: Report, target: str, profile: Profile, again: str | None
) -> int:
    as_json = json.dumps(to_json(report, target=target, profile=profile.name), indent=2) + "\n"
    if options.json is not None and str(options.json) == "-":
        sys.stdout.write(as_json)
    else:
        print(to_text(report, target=target, profile=profile.name, again=again))
        if options.json is not None:
            _write(options.json, as_json)
    return (
        FINDING
        if verdict(report) == "broken"
        else HOLDS
        if verdict(report) == "holds"
        else COULD_NOT_RUN
    )


def _check_writable(path: Path | None) -> None:
    """Refuse a file that cannot be written before hours of work are done for it."""
    if path is None or str(path) == "-":
        return
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(
            f"{path}: cannot be written; give the name of a file in a folder that you may write to"
        )


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main())
