"""A check: random scenarios against one implementation, until a finding, a number of calls, or a time is reached."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from chardev_conformance.lockstep import (
    SECONDS_PER_STEP,
    Finding,
    Lockstep,
    Statistics,
    TargetFactory,
)
from chardev_conformance.scenario import Scenario
from chardev_conformance.scripts import RandomScript, Replay, random_scenario
from chardev_conformance.shrink import shrink
from chardev_spec.contract import Contract
from chardev_spec.registry import FUNCTIONS, INVARIANTS_BY_NAME
from chardev_spec.rules import RULES

CALLS_PER_SCENARIO: Final = 100
"""Long enough for a migration with traffic, short enough for many mixtures of calls."""

SCENARIOS_PER_SCOUT: Final = 10
"""How many scenarios a target in a process of its own runs there at once: a fork costs as much as one of them."""


@dataclass(slots=True)
class Report:
    """What a check did and found; without a seed nothing was left to chance."""

    seed: int | None
    statistics: Statistics = field(default_factory=Statistics)
    scenarios: int = 0
    seconds: float = 0.0
    finding: Finding | None = None
    scenario: Scenario | None = None
    """The scenario that gives the finding, shrunk unless the run was interrupted."""
    interrupted: bool = False
    not_tested: list[str] = field(default_factory=list)
    """What the implementation lacks, in words."""


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


def replay(
    target: TargetFactory,
    scenario: Scenario,
    machine: type[Contract] = Contract,
    statistics: Statistics | None = None,
    seconds_per_step: float = SECONDS_PER_STEP,
) -> tuple[Finding | None, Scenario]:
    """Run a scenario; its finding, None when there is none, and the scenario as it was performed."""
    lockstep = Lockstep(
        target,
        Replay(scenario),
        scenario,
        machine=machine,
        statistics=statistics,
        seconds_per_step=seconds_per_step,
    )
    finding = lockstep.run()
    return finding, lockstep.performed


def conclude(
    report: Report,
    target: TargetFactory,
    scenario: Scenario,
    finding: Finding,
    machine: type[Contract] = Contract,
) -> None:
    """Enter a finding in the report, with its scenario made as small as it gets.

    A finding that does not come again in memory, because it needs a real line, keeps the scenario as it was performed.
    """
    report.scenario, report.finding = shrink(
        scenario, finding, lambda each: replay(target, each, machine)
    )


def _only_together(suspicion: str) -> Finding:
    """What came up while scenarios followed each other, and not when each was run alone; no scenario replays it."""
    where = f"after {SCENARIOS_PER_SCOUT} scenarios in one process; each alone holds"
    return Finding(("CB-1",), where, "to go on", suspicion, "only together")


def run_campaign(
    target: TargetFactory,
    *,
    seed: int,
    calls: int,
    seconds: float | None = None,
    machine: type[Contract] = Contract,
    progress: Callable[[Report], None] = lambda _: None,
    seconds_per_step: float = SECONDS_PER_STEP,
    shrinks: bool = True,
) -> Report:
    """Check `target` with random scenarios, `calls` calls of the API in all, `seconds` at most.

    Ends at the first finding, whose scenario is shrunk unless told otherwise.
    An interrupt (Ctrl-C) ends it early; the report says so.
    """
    report = Report(seed)
    # A target in a process of its own may run scenarios there, which is faster; what it finds is found again here.
    scout = getattr(target, "scout", None) if machine is Contract else None
    scouted, suspicion = 0, None
    begin = time.monotonic()
    try:
        while report.statistics.calls < calls:
            if seconds is not None and time.monotonic() - begin > seconds:
                break
            left = calls - report.statistics.calls
            if scout is not None and report.scenarios >= scouted:
                scouted = report.scenarios + SCENARIOS_PER_SCOUT
                suspicion = scout(seed, range(report.scenarios, scouted), left, report.statistics)
                if suspicion is None:
                    report.scenarios = scouted
                    report.seconds = time.monotonic() - begin
                    progress(report)
                    continue
            random = Random(f"{seed}:{report.scenarios}")
            scenario = random_scenario(random)
            script = RandomScript(random, calls=min(CALLS_PER_SCENARIO, max(left, 10)))
            lockstep = Lockstep(
                target,
                script,
                scenario,
                machine=machine,
                statistics=report.statistics,
                seconds_per_step=seconds_per_step,
            )
            finding = lockstep.run()
            report.scenarios += 1
            report.seconds = time.monotonic() - begin
            progress(report)
            if finding is None and suspicion is not None and report.scenarios >= scouted:
                report.scenario, report.finding = lockstep.performed, _only_together(suspicion)
                break
            if finding is not None:
                # First as it is: an interrupt while it is shrunk must not lose it.
                report.scenario, report.finding = lockstep.performed, finding
                if shrinks:
                    report.scenario, report.finding = shrink(
                        lockstep.performed,
                        finding,
                        lambda each: replay(target, each, machine, None, seconds_per_step),
                    )
                break
    except KeyboardInterrupt:
        report.interrupted = True
    report.seconds = time.monotonic() - begin
    return report
