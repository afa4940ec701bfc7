"""What a check of the real library says in the end, in the form of every report (`chardev_conformance.report`).

Its calls are the steps of peers, ports and the host.
A rule counts as reached when the specification ran what carries it to say what is to be seen of a step.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from chardev_conformance import report as reports
from chardev_conformance import results
from chardev_conformance.coverage import Statistics
from chardev_conformance.lockstep import Finding as FindingOfCalls
from chardev_conformance.results import Found, Verdict
from chardev_conformance.scenario import Scenario as Calls
from chardev_conformance.spice_server.judge import Finding
from chardev_conformance.spice_server.known import QUIRK
from chardev_conformance.spice_server.owner_quirks import OWNER_QUIRKS
from chardev_conformance.spice_server.steps import Scenario, dumps, readable
from chardev_spec.profiles import Profile
from chardev_spec.registry import cited

TARGET: Final = "spice-server"

EXCEPTIONS: Final = "exceptions in callbacks"

NOT_TESTED: Final = (
    "single calls of the API (what is compared is what peers, ports and timers see)",
    EXCEPTIONS,
    "extensions",
)


@dataclass(slots=True)
class Check:
    """What a check did."""

    seed: int | None
    statistics: Statistics = field(default_factory=Statistics)
    """Of the specification, as it ran beside the library."""
    owners: set[str] = field(default_factory=set)
    """The rules of what is above the devices that the stages had: DEV-1, DEV-2."""
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


def to_json(check: Check, profile: Profile, again: str) -> dict[str, Any]:
    """The report as JSON data."""
    check.statistics.calls = check.steps
    report = results.Report(
        check.seed,
        check.statistics,
        check.scenarios,
        seconds=check.seconds,
        interrupted=check.interrupted,
        not_tested=[*NOT_TESTED],
        driver="replay" if check.seed is None else "random",
        notes=_notes(check),
    )
    finding = check.finding
    if finding is not None:
        common = FindingOfCalls(
            finding.rules, finding.where, finding.expected, finding.seen, finding.symptom
        )
        report.found.append(Found(common, Calls()))
    data = reports.to_json(report, target=TARGET, profile=profile, again=again)
    for rule in data["rules"]:
        _correct(rule, check, profile)
    if finding is not None and check.scenario is not None:
        trace = dumps(check.scenario, profile=profile.name, finding=finding.to_json())
        data["findings"][0] |= {"steps": len(check.scenario.steps), "trace": trace}
    return data


def _correct(rule: dict[str, Any], check: Check, profile: Profile) -> None:
    """Enter what the specification's machine cannot tell: what is above the devices, and what nobody did to them."""
    if rule["rule"] == "CB-5":
        rule |= {"verdict": Verdict.NOT_TESTED.value, "why": EXCEPTIONS}
    if rule["verdict"] == Verdict.NOT_TESTED and rule["rule"] in check.owners:
        rule |= {"verdict": Verdict.HOLDS.value, "why": ""}
    quirks = [each.__name__ for each in OWNER_QUIRKS if rule["rule"] in cited(each.__doc__)]
    if profile.quirks and quirks and rule["verdict"] in {Verdict.HOLDS, Verdict.DEVIATION}:
        why = ", ".join(filter(None, [rule["why"], *quirks]))
        rule |= {"verdict": Verdict.DEVIATION.value, "why": why}


def _notes(check: Check) -> list[str]:
    """What the form of every report has no place for."""
    if not check.deaths:
        return []
    kinds = ", ".join([f"{count} {name}" for name, count in sorted(check.deaths.items())])
    return [f"deaths: {kinds} (compared until then; --profile contract makes each a finding)"]


def to_text(check: Check, data: dict[str, Any]) -> str:
    """The report as text."""
    lines = []
    titles = {each["rule"]: each["title"] for each in data["rules"]}
    if check.finding is not None and check.scenario is not None:
        finding = check.finding
        others = ", ".join(finding.rules[1:])
        lines += [
            readable(check.scenario),
            "",
            f"rule         {finding.rules[0]} ({titles[finding.rules[0]]})"
            + (f"; see also {others}" if others else ""),
            f"where        {finding.where}",
            f"allowed      {finding.expected}",
            f"seen         {finding.seen}",
        ]
        lines += [f"known as     {finding.symptom}"] if finding.kind == QUIRK else []
        lines += [f"again        {data['again']}"] if data["again"] else []
        lines.append("")
    never = [each["rule"] for each in data["rules"] if each["verdict"] == Verdict.NOT_TESTED]
    lines += [
        f"verdict      {data['verdict']}",
        f"target       {TARGET}",
        f"profile      {data['profile']}",
        f"steps        {check.steps:,} in {check.scenarios:,} scenarios",
        f"rules        {len(titles) - len(never)} of {len(titles)} exercised",
    ]
    lines += [f"reached      {note}" for note in data["notes"]]
    lines.append(f"not tested   {'; '.join(NOT_TESTED)}")
    if check.seed is not None:
        lines.append(f"seed         {check.seed}")
        rates = [
            f"{seconds:.1f} s{what}, {check.scenarios * 60 / max(seconds, 1e-9):,.0f} scenarios a minute"
            for what, seconds in (
                ("", check.seconds),
                (" of one processor", check.processor_seconds),
            )
        ]
        lines += [f"time         {rates[0]}", f"             {rates[1]}"]
    return "\n".join(lines)
