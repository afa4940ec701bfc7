"""``chardev check spice-server``: the real library against the contract, or against the profile of its release."""

import argparse
import json
import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random, SystemRandom
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from time import monotonic
from typing import Any, Final

from chardev_conformance.commands import (
    COULD_NOT_RUN,
    FINDING,
    HOLDS,
    UsageError,
    check_report_options,
    check_writable,
    write,
)
from chardev_conformance.progress import Progress
from chardev_conformance.scenario import ScenarioError
from chardev_conformance.spice_server.generate import generate
from chardev_conformance.spice_server.isolation import Isolated, Outcome
from chardev_conformance.spice_server.judge import Finding, implementation, judge, readable
from chardev_conformance.spice_server.known import QUIRK, comes_again, explain, release
from chardev_conformance.spice_server.owner_quirks import Implementation
from chardev_conformance.spice_server.shrink import shrink
from chardev_conformance.spice_server.stages import STAGES
from chardev_conformance.spice_server.steps import Scenario, dumps, finding_of, load
from chardev_spec.profiles import Profile
from chardev_spec.rules import RULES

TARGET: Final = "spice-server"
STEPS: Final = 5_000
"""Steps of a check by default."""

NOT_TESTED: Final = (
    "single calls of the API (what is compared is what peers, ports and timers see)",
    "exceptions in callbacks",
    "extensions",
)


@dataclass(slots=True)
class Check:
    """What a check did."""

    seed: int | None
    scenarios: int = 0
    steps: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    """Of this process and those of the library together: a busy machine makes them no more."""
    deaths: Counter[str] = field(default_factory=Counter)
    """How many scenarios ended with the process, by what it died of."""
    finding: Finding | None = None
    scenario: Scenario | None = None
    interrupted: bool = False

    @property
    def verdict(self) -> str:
        """``broken`` with a finding, ``interrupted`` when ended early, else ``holds``."""
        if self.finding is not None:
            return "broken"
        return "interrupted" if self.interrupted else "holds"


def run(options: argparse.Namespace, profile: Profile) -> int:
    """Perform the command; the exit status."""
    for name in ("port", "lacks", "first", "keep_going", "junit", "html"):
        if getattr(options, name, None):
            option = {"first": "from"}.get(name, name).replace("_", "-")
            raise UsageError(f"--{option} is not for the target {TARGET}")
    check_report_options(options)
    check_writable(options.save)
    compared = implementation(profile)
    # The release is compared as far as it lives; the contract wants it to live on.
    deaths = not profile.quirks
    if options.replay is not None:
        report = _replay(options.replay, compared, deaths=deaths)
    else:
        report = _campaign(options, compared, deaths=deaths)
    return _tell(options, profile, report)


def _replay(path: Path, compared: Implementation, *, deaths: bool) -> Check:
    scenario = load(path)
    if scenario.stage not in STAGES:
        raise ScenarioError(f"there is no stage {scenario.stage!r}; known are {', '.join(STAGES)}")
    report = Check(None)
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
    report.steps += len(outcome.observations)
    finding = judge(scenario, outcome, compared, deaths=deaths)
    if finding is not None:
        report.finding, report.scenario = explain(scenario, outcome, finding), scenario
    elif outcome.died:
        report.deaths[outcome.end] += 1


def _campaign(options: argparse.Namespace, compared: Implementation, *, deaths: bool) -> Check:
    seed = SystemRandom().randrange(2**32) if options.seed is None else int(options.seed)
    steps = options.steps or STEPS
    report = Check(seed)
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
    if str(options.json) == "-":
        sys.stdout.write(json.dumps(data, indent=2) + "\n")
    else:
        sys.stdout.write(to_text(report, profile, again))
        if options.json is not None:
            write(options.json, json.dumps(data, indent=2) + "\n")
    return {"broken": FINDING, "holds": HOLDS}.get(report.verdict, COULD_NOT_RUN)


def to_json(report: Check, profile: Profile, again: str) -> dict[str, Any]:
    """The report as JSON data."""
    return {
        "format": "chardev-spice-server-report",
        "version": 1,
        "target": TARGET,
        "profile": profile.name,
        "verdict": report.verdict,
        "seed": report.seed,
        "scenarios": report.scenarios,
        "steps": report.steps,
        "seconds": round(report.seconds, 3),
        "processor_seconds": round(report.processor_seconds, 3),
        "deaths": dict(report.deaths),
        "not_tested": [*NOT_TESTED],
        "finding": None if report.finding is None else report.finding.to_json(),
        "again": again or None,
    }


def to_text(report: Check, profile: Profile, again: str) -> str:
    """The report as text."""
    lines = []
    if report.finding is not None and report.scenario is not None:
        finding = report.finding
        others = ", ".join(finding.rules[1:])
        lines += [
            readable(report.scenario),
            "",
            f"rule         {finding.rules[0]} ({RULES[finding.rules[0]].title})"
            + (f"; see also {others}" if others else ""),
            f"where        {finding.where}",
            f"allowed      {finding.expected}",
            f"seen         {finding.seen}",
        ]
        lines += [f"known as     {finding.symptom}"] if finding.kind == QUIRK else []
        lines += [f"again        {again}"] if again else []
        lines.append("")
    lines += [
        f"verdict      {report.verdict}",
        f"target       {TARGET}",
        f"profile      {profile.name}",
        f"steps        {report.steps:,} in {report.scenarios:,} scenarios",
    ]
    if report.deaths:
        kinds = ", ".join([f"{name} {count}" for name, count in sorted(report.deaths.items())])
        lines.append(
            f"deaths       {kinds} (compared until then; --profile contract makes each a finding)"
        )
    lines.append(f"not tested   {'; '.join(NOT_TESTED)}")
    if report.seed is not None:
        lines.append(f"seed         {report.seed}")
        rates = [
            f"{seconds:.1f} s{what}, {report.scenarios * 60 / max(seconds, 1e-9):,.0f} scenarios a minute"
            for what, seconds in (
                ("", report.seconds),
                (" of one processor", report.processor_seconds),
            )
        ]
        lines += [f"time         {rates[0]}", f"             {rates[1]}"]
    return "\n".join(lines) + "\n"
