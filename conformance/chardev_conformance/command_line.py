"""The command `chardev`.

Exit status: 0 holds, 1 a finding, 2 wrong use, 3 could not run.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom
from typing import Final, NoReturn

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.campaign import Report, replay, run_campaign
from chardev_conformance.lines import LineError, pseudo_terminals, run_on_lines, serial_line
from chardev_conformance.progress import Progress
from chardev_conformance.report import to_json, to_text, verdict
from chardev_conformance.scenario import ScenarioError, count_calls
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
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except (UsageError, ScenarioError) as error:
        return _complain(error, WRONG_USE)
    except LineError as error:
        return _complain(error, COULD_NOT_RUN)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read the output has gone; nothing more can be said to them
        return COULD_NOT_RUN


def _complain(error: Exception, status: int) -> int:
    print(f"chardev: {error}", file=sys.stderr)
    return status


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="chardev", description="The SPICE character-device API: check an implementation.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser(
        "check",
        help="compare an implementation with the specification",
        description="Runs the bundled device and the specification in lockstep, in memory and over pseudo-terminals. "
        "Exit status: 0 it holds, 1 a finding, 2 wrong use, 3 could not run.",
    )
    add = check.add_argument
    add("--seed", type=int, metavar="N", help="repeat the run that printed this seed")
    add("--steps", type=_count, metavar="N", help=f"calls of the API in all (default {CALLS:,})")
    add("--time", type=_seconds, metavar="SECONDS", help="end after so long, even if there are calls left")
    add("--profile", default="contract", metavar="NAME", help=f"what to hold it against: {', '.join(PROFILES)}")
    add("--port", metavar="DEVICE", help="check over this serial line (with --loopback or --peer)")
    add("--loopback", action="store_true", help="the line's TX is joined to its RX")
    add("--peer", metavar="DEVICE", help="the other end of the line, joined by a null modem")
    add("--replay", type=Path, metavar="FILE", help="run the scenario of a trace file, and nothing else")
    add("--json", type=Path, metavar="FILE", help="write the report as JSON, too ('-' for standard output)")
    add("--save", type=Path, default=Path("chardev-failure.jsonl"), metavar="FILE", help="where a failing trace goes")
    check.set_defaults(run=_check)
    return parser


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
        raise UsageError("--loopback and --peer say what is at the other end of --port DEVICE; give that as well")
    if options.port is not None and options.loopback == (options.peer is not None):
        raise UsageError("--port needs one of --loopback (TX joined to RX) and --peer DEVICE (null modem)")
    for path in (options.json, options.save):
        _check_writable(path)
    if options.replay is not None:
        return _replay(options, profile)
    seed = SystemRandom().randrange(2**32) if options.seed is None else options.seed
    return _campaign(options, profile, seed)


def _replay(options: argparse.Namespace, profile: Profile) -> int:
    scenario = load(options.replay)
    report = Report(seed=None, scenarios=1)
    finding, performed = replay(DeviceTarget, scenario, profile.machine, report.statistics)
    report.finding, report.scenario = finding, performed
    left_out = count_calls(scenario.steps) - count_calls(performed.steps)
    if left_out and finding is None:
        print(f"{left_out} calls were left out: they speak of names that stand for nothing", file=sys.stderr)
    return _conclude(options, report, f"the bundled device, {options.replay}", profile, None)


def _campaign(options: argparse.Namespace, profile: Profile, seed: int) -> int:
    calls = options.steps or CALLS
    bar = Progress(calls, "calls")

    def progress(report: Report) -> None:
        bar.show(report.statistics.calls)

    if options.port is not None:
        target = f"the bundled device on {options.port}"
        report = Report(seed)
        with serial_line(options.port, options.peer) as lines:
            run_on_lines(report, lines, calls=calls, seconds=options.time, machine=profile.machine, progress=progress)
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
                report, pseudo_terminals, calls=calls, seconds=left, machine=profile.machine, progress=progress
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
        again = f"chardev check --replay {options.save}"
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
    return FINDING if verdict(report) == "broken" else HOLDS if verdict(report) == "holds" else COULD_NOT_RUN


def _check_writable(path: Path | None) -> None:
    """Refuse a file that cannot be written before hours of work are done for it."""
    if path is None or str(path) == "-":
        return
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"{path}: cannot be written; give the name of a file in a folder that you may write to")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main())
