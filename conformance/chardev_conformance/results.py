"""What a check did and found, before it is told to anybody (`report`)."""

from dataclasses import dataclass, field
from enum import StrEnum

from chardev_conformance.coverage import Statistics
from chardev_conformance.lockstep import Finding
from chardev_conformance.scenario import Scenario
from chardev_spec.profiles import Profile
from chardev_spec.registry import FUNCTIONS, INVARIANTS_BY_NAME
from chardev_spec.rules import RULES


@dataclass(slots=True)
class Found:
    """A finding, the scenario that gives it, and what that scenario is called where it has a name."""

    finding: Finding
    scenario: Scenario
    name: str | None = None


@dataclass(slots=True)
class LineFacts:
    """What was measured on a real serial line."""

    driver: str
    """As the kernel names it."""
    settings: str
    """Read back from the driver; empty for what is no tty."""
    delay_ms: float
    """From the write of one byte until it was read, the median of several."""
    bytes_per_second: int
    """From the port to its peer, while nothing else was done."""
    errors: str
    """What the drivers at both ends counted meanwhile."""
    written: int = 0
    """Bytes that the device wrote; every one arrived."""
    read: int = 0
    """Bytes that the device read; every one that was sent."""


@dataclass(slots=True)
class Report:
    """What a check did and found; without a seed nothing was left to chance."""

    seed: int | None
    statistics: Statistics = field(default_factory=Statistics)
    scenarios: int = 0
    first: int = 0
    """The number of the first scenario that was run; those before it were run another time."""
    seconds: float = 0.0
    found: list[Found] = field(default_factory=list)
    """The findings, each with its scenario, shrunk unless the run was interrupted."""
    interrupted: bool = False
    not_tested: list[str] = field(default_factory=list)
    """What the implementation lacks, in words."""
    driver: str = "random"
    total: int | None = None
    """How many scenarios the driver has, None without end."""
    named: dict[str, Finding | None] = field(default_factory=dict)
    """Of scenarios that have names, what was found in each."""
    notes: list[str] = field(default_factory=list)
    """What the driver reached, in words."""
    line: LineFacts | None = None
    """Of a check over one real line."""

    @property
    def finding(self) -> Finding | None:
        """The first finding."""
        return self.found[0].finding if self.found else None

    @property
    def scenario(self) -> Scenario | None:
        """The scenario of the first finding."""
        return self.found[0].scenario if self.found else None

    def knows(self, finding: Finding) -> bool:
        """Whether a finding of equal rule and symptom is there already."""
        return any(
            (each.finding.rule, each.finding.symptom) == (finding.rule, finding.symptom)
            for each in self.found
        )


def exercised(statistics: Statistics) -> dict[str, bool]:
    """For each rule that is in force, whether something that carries it was run.

    A rule that only invariants state is exercised as soon as anything is.
    """
    ran = {name for name, count in statistics.functions.items() if count > 0}
    result = {}
    for rule in RULES.values():
        if rule.planned:
            continue
        functions = {each.name for each in FUNCTIONS.values() if rule.id in each.rules}
        stated = any(rule.id in each.rules for each in INVARIANTS_BY_NAME.values())
        result[rule.id] = bool(functions & ran) or (stated and not functions and bool(ran))
    return result


class Verdict(StrEnum):
    """What a check says of one rule."""

    HOLDS = "holds"
    BROKEN = "broken"
    DEVIATION = "deviation"
    NOT_TESTED = "not tested"


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """The verdict on one rule: `why` names the findings, the quirks, or what was not there to be tested."""

    rule: str
    verdict: Verdict
    why: str = ""


def by_rule(report: Report, profile: Profile) -> list[RuleVerdict]:
    """The verdict on every rule, in the order of the contract.

    A rule is broken when it is the first that a finding names.
    A rule that quirks of the profile break is a deviation: the release's own behaviour was asked for instead of it.
    """
    ran = exercised(report.statistics)
    result = []
    for rule in RULES.values():
        symptoms = dict.fromkeys(
            each.finding.symptom for each in report.found if each.finding.rule == rule.id
        )
        quirks = [quirk.__name__ for quirk in profile.quirks if rule.id in quirk.rules]
        if symptoms:
            result.append(RuleVerdict(rule.id, Verdict.BROKEN, "; ".join(symptoms)))
        elif rule.planned:
            result.append(RuleVerdict(rule.id, Verdict.NOT_TESTED, "not specified yet"))
        elif not ran[rule.id]:
            result.append(RuleVerdict(rule.id, Verdict.NOT_TESTED, "nothing reached it"))
        elif quirks:
            result.append(RuleVerdict(rule.id, Verdict.DEVIATION, ", ".join(quirks)))
        else:
            result.append(RuleVerdict(rule.id, Verdict.HOLDS))
    return result
