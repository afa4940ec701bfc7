"""``chardev check [TARGET]``: an implementation and the specification in lockstep."""

import argparse
import shlex
import sys
from pathlib import Path
from random import SystemRandom
from typing import Any, Final

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.adapters.lines import (
    OpenLines,
    pseudo_terminals,
    run_on_lines,
    serial_line,
)
from chardev_conformance.adapters.opened import Opened
from chardev_conformance.campaign import replay, run_campaign
from chardev_conformance.commands import (
    UsageError,
    add_report_options,
    add_target_options,
    check_report_options,
    check_writable,
    number_above_0,
    number_from_0,
    profile_of,
    save,
    seconds_above_0,
    tell,
)
from chardev_conformance.directed import Goal, GoalError, directed_driver, goal
from chardev_conformance.drivers import Driver, ExhaustiveDriver, RandomDriver
from chardev_conformance.learning import learn
from chardev_conformance.progress import Progress
from chardev_conformance.results import Found, Report
from chardev_conformance.scenario import count_calls
from chardev_conformance.scope import SCOPES
from chardev_conformance.targets import KINDS, open_target, untested
from chardev_conformance.trace import load_all
from chardev_spec.profiles import Profile

CALLS: Final = 60_000
"""Calls of a check by default: some ten seconds on two cores."""

UNLIMITED: Final = 10**18
"""Calls of a driver that ends by itself."""

LINE_SHARE: Final = 6
"""One call in so many is made over pseudo-terminals: each costs a system call or more."""


def add_parser(commands: Any) -> None:
    """Add the command."""
    check: argparse.ArgumentParser = commands.add_parser(
        "check",
        help="compare an implementation with the specification",
        description="Runs an implementation and the specification in lockstep; "
        "without TARGET the bundled device, in memory and over pseudo-terminals. "
        "Exit status: 0 it holds, 1 a finding, 2 wrong use, 3 could not run.",
    )
    add = check.add_argument
    add("target", nargs="?", metavar="TARGET", help=f"the implementation: {KINDS}")
    add("--seed", type=int, metavar="N", help="repeat the run that printed this seed")
    add(
        "--steps",
        type=number_above_0("calls"),
        metavar="N",
        help=f"calls of the API in all (default {CALLS:,})",
    )
    add(
        "--time",
        type=seconds_above_0,
        metavar="SECONDS",
        help="end after so long, even if there are calls left",
    )
    add_target_options(check)
    add("--port", metavar="DEVICE", help="check over this serial line (with --loopback or --peer)")
    add("--loopback", action="store_true", help="the line's TX is joined to its RX")
    add("--peer", metavar="DEVICE", help="the other end of the line, joined by a null modem")
    add(
        "--baudrate",
        type=number_above_0("bits a second"),
        metavar="N",
        help="bits a second, of a --port (default 115200)",
    )
    add("--rtscts", action="store_true", help="hold back by RTS and CTS, on a --port")
    add(
        "--replay",
        type=Path,
        metavar="FILE",
        help="run the scenario of a trace file, and nothing else",
    )
    add(
        "--driver",
        choices=("random", "exhaustive", "directed"),
        default="random",
        help="where the scenarios come from: chance, every state of small scopes, or a search for --goal",
    )
    add(
        "--scope",
        choices=[*SCOPES],
        action="append",
        help="of --driver exhaustive: a scope, all when not given; may be given several times",
    )
    add(
        "--goal",
        type=_goal,
        metavar="GOAL",
        help="of --driver directed: a rule's id, state:WORD,... or quirk:NAME",
    )
    add(
        "--learn",
        type=number_from_0,
        default=0,
        metavar="ROUNDS",
        help="of --driver random: first learn on the specification what to do more often, from what is seldom reached",
    )
    add(
        "--from",
        dest="first",
        type=number_from_0,
        default=0,
        metavar="N",
        help="begin with this scenario: go on where a run with the same seed was ended",
    )
    add(
        "--keep-going",
        action="store_true",
        help="do not end at the first finding: collect those of different rule or symptom",
    )
    add_report_options(check)
    add(
        "--save",
        type=Path,
        default=Path("chardev-failure.jsonl"),
        metavar="FILE",
        help="where a failing trace goes",
    )
    check.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check what was asked for; the exit status."""
    profile = profile_of(options)
    if options.target == "spice-server":
        # What it needs is an extra; the other targets do without.
        from chardev_conformance.spice_server.command import run as run_spice_server

        return run_spice_server(options, profile)
    if options.port is None and (options.baudrate or options.rtscts):
        raise UsageError("--baudrate and --rtscts set up --port DEVICE; give that as well")
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
    check_report_options(options)
    check_writable(options.save)
    if options.target is None:
        return _run(options, profile, Opened("the bundled device", DeviceTarget))
    with open_target(options.target, options.lacks, options.deadline) as opened:
        return _run(options, profile, opened)


def _run(options: argparse.Namespace, profile: Profile, opened: Opened) -> int:
    if options.replay is not None:
        return _replay(options, profile, opened)
    driver = _driver(options)
    calls = options.steps or (CALLS if driver.total is None else UNLIMITED)
    if options.port is not None:
        report = Report(driver.seed)
        target = f"the bundled device on {options.port}"
        with serial_line(report, options.port, options.peer, **_line_settings(options)) as lines:
            _on_lines(options, profile, report, lines, calls)
    elif options.target is None and isinstance(driver, RandomDriver):
        target = "the bundled device, in memory and over pseudo-terminals"
        report = _campaign(options, profile, opened, driver, calls - calls // LINE_SHARE)
        if not report.found and not report.interrupted and calls >= LINE_SHARE:
            _on_lines(options, profile, report, pseudo_terminals, calls)
    else:
        target = opened.name
        report = _campaign(options, profile, opened, driver, calls)
        report.not_tested = untested(opened)
    return _conclude(options, report, target, profile)


def _driver(options: argparse.Namespace) -> Driver:
    if options.driver == "exhaustive":
        bar = Progress(1, "states explored")
        scopes = [SCOPES[name] for name in options.scope or SCOPES]
        driver = ExhaustiveDriver(scopes, lambda each: bar.show(len(each.nodes), each.scope.name))
        bar.end()
        return driver
    if options.driver == "directed":
        if options.goal is None:
            raise UsageError(
                "--driver directed needs a --goal: a rule's id, state:WORD,... or quirk:NAME"
            )
        try:
            return directed_driver(options.goal, _seed(options) if options.seed is not None else 0)
        except GoalError as error:
            raise UsageError(str(error)) from None
    seed = _seed(options)
    return RandomDriver(seed, learn(seed, options.learn)) if options.learn else RandomDriver(seed)


def _goal(text: str) -> Goal:
    try:
        return goal(text)
    except GoalError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _line_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were asked for; those that were not are not checked."""
    asked = {"baudrate": options.baudrate, "rtscts": options.rtscts}
    return {name: value for name, value in asked.items() if value}


def _seed(options: argparse.Namespace) -> int:
    return SystemRandom().randrange(2**32) if options.seed is None else int(options.seed)


def _replay(options: argparse.Namespace, profile: Profile, opened: Opened) -> int:
    traces = load_all(options.replay)
    report = Report(None, driver="replay", total=len(traces), not_tested=untested(opened))
    left_out = 0
    for trace in traces:
        finding, performed = replay(
            opened.factory, trace.scenario, profile.machine, report.statistics
        )
        report.scenarios += 1
        if finding is None:
            left_out += count_calls(trace.scenario.steps) - count_calls(performed.steps)
        elif not report.knows(finding):
            report.found.append(Found(finding, performed, trace.header.get("name")))
    if left_out:
        sys.stderr.write(
            f"{left_out} calls were left out: they speak of names that stand for nothing, or are not for this target\n"
        )
    again = shlex.join([*_command(options, profile), "--replay", str(options.replay)])
    target = f"{opened.name}, {options.replay}"
    return tell(options, report, target, profile, again if report.found else "")


def _campaign(
    options: argparse.Namespace, profile: Profile, opened: Opened, driver: Driver, calls: int
) -> Report:
    bar = Progress(*((calls, "calls") if driver.total is None else (driver.total, "scenarios")))

    def progress(report: Report) -> None:
        bar.show(
            report.statistics.calls if driver.total is None else report.first + report.scenarios
        )

    report = run_campaign(
        opened.factory,
        driver=driver,
        first=options.first,
        calls=calls,
        seconds=options.time,
        machine=profile.machine,
        progress=progress,
        keeps_going=options.keep_going,
    )
    bar.end()
    if isinstance(driver, ExhaustiveDriver):
        report.notes = driver.notes(report.statistics, report.first, report.scenarios)
    return report


def _on_lines(
    options: argparse.Namespace, profile: Profile, report: Report, lines: OpenLines, calls: int
) -> None:
    bar = Progress(calls, "calls")
    left = None if options.time is None else max(options.time - report.seconds, 0.0)
    run_on_lines(
        report,
        lines,
        calls=calls,
        seconds=left,
        machine=profile.machine,
        progress=lambda report: bar.show(report.statistics.calls),
    )
    bar.end()


def _command(options: argparse.Namespace, profile: Profile) -> list[str]:
    """What checks the same target by the same profile."""
    command = ["chardev", "check", *([] if options.target is None else [options.target])]
    if options.lacks:
        command += ["--lacks", ",".join(sorted(options.lacks))]
    if profile.quirks:
        command += ["--profile", profile.name]
    return command


def _conclude(options: argparse.Namespace, report: Report, target: str, profile: Profile) -> int:
    """Save what was found, and say how to see it again or how to go on."""
    command = _command(options, profile)
    again = ""
    if report.found:
        save(options.save, report, target, profile)
        again = shlex.join([*command, "--replay", str(options.save)])
    elif report.interrupted:
        again = shlex.join(
            [
                *command,
                *([] if options.driver == "random" else ["--driver", options.driver]),
                *(part for name in options.scope or () for part in ("--scope", name)),
                *(["--learn", str(options.learn)] if options.learn else []),
                *([] if report.seed is None else ["--seed", str(report.seed)]),
                *("--from", str(report.first + report.scenarios)),
            ]
        )
    return tell(options, report, target, profile, again)
