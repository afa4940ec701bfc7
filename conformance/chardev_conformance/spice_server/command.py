"""``chardev check spice-server``: the real library against the contract, or against the profile of its release."""

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from random import Random, SystemRandom
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from time import monotonic
from typing import Final

from chardev_conformance.commands import (
    UsageError,
    check_report_options,
    check_writable,
    deliver,
    write,
)
from chardev_conformance.coverage import Statistics
from chardev_conformance.progress import Progress
from chardev_conformance.scenario import ScenarioError
from chardev_conformance.spice_server.generate import generate
from chardev_conformance.spice_server.isolation import Isolated, Outcome
from chardev_conformance.spice_server.judge import Finding, implementation, judge
from chardev_conformance.spice_server.known import comes_again, explain, release
from chardev_conformance.spice_server.owner_quirks import Implementation
from chardev_conformance.spice_server.report import TARGET, Check, to_json, to_text
from chardev_conformance.spice_server.shrink import shrink
from chardev_conformance.spice_server.stages import AGENT, STAGES
from chardev_conformance.spice_server.steps import Scenario, dumps, finding_of, load
from chardev_spec.profiles import Profile

STEPS: Final = 5_000
"""Steps of a check by default."""


def run(options: argparse.Namespace, profile: Profile) -> int:
    """Perform the command; the exit status."""
    for name in ("port", "lacks", "first", "keep_going"):
        if getattr(options, name, None):
            option = {"first": "from"}.get(name, name).replace("_", "-")
            raise UsageError(f"--{option} is not for the target {TARGET}")
    check_report_options(options)
    check_writable(options.save)
    statistics = Statistics()
    compared = implementation(profile)
    compared = replace(compared, machine=statistics.counting(compared.machine))
    # The release is compared as far as it lives; the contract wants it to live on.
    deaths = not profile.quirks
    if options.replay is not None:
        report = _replay(options.replay, statistics, compared, deaths=deaths)
    else:
        report = _campaign(options, statistics, compared, deaths=deaths)
    return _tell(options, profile, report)


def _replay(path: Path, statistics: Statistics, compared: Implementation, *, deaths: bool) -> Check:
    scenario = load(path)
    if scenario.stage not in STAGES:
        raise ScenarioError(f"there is no stage {scenario.stage!r}; known are {', '.join(STAGES)}")
    report = Check(None, statistics)
    with Isolated() as process:
        outcome = process.run(scenario)
    _enter(report, scenario, outcome, compared, deaths=deaths)
    said = finding_of(path)
    if deaths and (report.finding is None or report.finding.to_json() != said):
        # A file tells of one finding: that is what is to be seen again, whatever else the contract would say.
        report.finding = comes_again(said, scenario, outcome) or report.finding
    report.scenario = scenario
    return report


def _enter(
    report: Check, scenario: Scenario, outcome: Outcome, compared: Implementation, *, deaths: bool
) -> None:
    report.scenarios += 1
    report.owners |= {
        "DEV-2" if port.kind == AGENT else "DEV-1" for port in STAGES[scenario.stage].ports.values()
    }
    report.steps += len(outcome.observations)
    finding = judge(scenario, outcome, compared, deaths=deaths)
    if finding is not None:
        report.finding, report.scenario = explain(scenario, outcome, finding), scenario
    elif outcome.died:
        report.deaths[outcome.end] += 1


def _campaign(
    options: argparse.Namespace,
    statistics: Statistics,
    compared: Implementation,
    *,
    deaths: bool,
) -> Check:
    seed = SystemRandom().randrange(2**32) if options.seed is None else int(options.seed)
    steps = options.steps or STEPS
    report = Check(seed, statistics)
    bar = Progress(steps, "steps")
    begin, begin_processor = monotonic(), _processor_seconds()

    def scenarios() -> Iterator[Scenario]:
        for number in count():
            if report.steps >= steps or (
                options.time is not None and report.seconds >= options.time
            ):
                return
            yield generate(Random(f"{seed}.{number}"), release(), wild=False)

    with Isolated() as process:
        try:
            for scenario, outcome in process.run_all(scenarios()):
                _enter(report, scenario, outcome, compared, deaths=deaths)
                report.seconds = monotonic() - begin
                bar.show(report.steps)
                if report.finding is not None:
                    break
        except KeyboardInterrupt:
            report.interrupted = True
        bar.end()
    report.processor_seconds = _processor_seconds() - begin_processor
    if report.finding is not None:
        with Isolated() as process:
            _make_small(report, process, compared)
    return report


def _processor_seconds() -> float:
    usages = [getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN)]
    return sum([usage.ru_utime + usage.ru_stime for usage in usages])


def _make_small(report: Check, process: Isolated, compared: Implementation) -> None:
    assert report.scenario is not None
    found: list[Finding] = []
    wanted = report.finding

    def shows(smaller: Scenario) -> bool:
        outcome = process.run(smaller)
        again = judge(smaller, outcome, compared)
        again = None if again is None else explain(smaller, outcome, again)
        if again is None or wanted is None or again.key != wanted.key:
            return False
        found.append(again)
        return True

    report.scenario = shrink(report.scenario, shows, attempts=200)
    report.finding = found[-1] if found else wanted


def _tell(options: argparse.Namespace, profile: Profile, report: Check) -> int:
    again = ""
    if report.finding is not None and report.scenario is not None and options.replay is None:
        origin = {"profile": profile.name, "seed": report.seed, "finding": report.finding.to_json()}
        write(options.save, dumps(report.scenario, **origin))
        command = ["chardev", "check", TARGET, "--profile", profile.name]
        again = shlex.join([*command, "--replay", str(options.save)])
    data = to_json(report, profile, again)
    return deliver(options, data, to_text(report, data))
