"""A check: the scenarios of a driver against one implementation, until a finding, a number of calls, or a time."""

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from chardev_conformance.adapters.recorded import RecordedTarget, RecordEndError
from chardev_conformance.coverage import Statistics
from chardev_conformance.drivers import Driver, RandomDriver
from chardev_conformance.lockstep import SECONDS_PER_STEP, Finding, Lockstep, TargetFactory
from chardev_conformance.results import Found, Report
from chardev_conformance.scenario import Scenario, ScenarioError
from chardev_conformance.scripts import WEIGHTS, Replay
from chardev_conformance.shrink import shrink
from chardev_spec.contract import Contract

SCENARIOS_PER_SCOUT: Final = 10
"""How many scenarios a target in a process of its own runs there at once: a fork costs as much as one of them."""


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


def judge(
    scenario: Scenario,
    machine: type[Contract] = Contract,
    statistics: Statistics | None = None,
) -> tuple[Finding | None, Scenario]:
    """Judge what a scenario records of an implementation, as if it ran; like `replay`.

    Raises `ScenarioError` when the scenario records nothing, or in another order than it was done.
    """
    observed = scenario.observed
    if observed is None:
        raise ScenarioError(
            "the trace has no observations (no 'observed' in its header): there is nothing to judge; "
            "`chardev check TARGET --replay FILE` runs it"
        )
    try:
        recorded = partial(RecordedTarget, observed=observed, scenario=scenario)
        return replay(recorded, scenario, machine, statistics)
    except RecordEndError:
        return None, scenario


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
    small, again = shrink(scenario, finding, lambda each: replay(target, each, machine))
    report.found.append(Found(again, small))


def _only_together(suspicion: str) -> Finding:
    """What came up while scenarios followed each other, and not when each was run alone; no scenario replays it."""
    where = f"after {SCENARIOS_PER_SCOUT} scenarios in one process; each alone holds"
    return Finding(("CB-1",), where, "to go on", suspicion, "only together")


def run_campaign(
    target: TargetFactory,
    *,
    calls: int,
    seed: int | None = None,
    driver: Driver | None = None,
    first: int = 0,
    seconds: float | None = None,
    machine: type[Contract] = Contract,
    progress: Callable[[Report], None] = lambda _: None,
    seconds_per_step: float = SECONDS_PER_STEP,
    shrinks: bool = True,
    keeps_going: bool = False,
) -> Report:
    """Check `target` with the scenarios of a driver, `calls` calls of the API in all, `seconds` at most.

    Without a driver the scenarios are random ones of `seed`; `first` is the number to begin with.
    Ends at the first finding, or with `keeps_going` collects those of different rule or symptom.
    A finding's scenario is shrunk unless told otherwise.
    An interrupt (Ctrl-C) ends it early; the report says so.
    """
    driver = driver or RandomDriver(0 if seed is None else seed)
    report = Report(driver.seed, driver=driver.name, total=driver.total, first=first)
    run = _Campaign(target, driver, report, machine, seconds_per_step, shrinks=shrinks)
    begin = time.monotonic()
    try:
        while report.statistics.calls < calls and (keeps_going or not report.found):
            if report.total is not None and first + report.scenarios >= report.total:
                break
            if seconds is not None and time.monotonic() - begin > seconds:
                break
            run.go_on(calls - report.statistics.calls)
            report.seconds = time.monotonic() - begin
            progress(report)
    except KeyboardInterrupt:
        report.interrupted = True
    report.seconds = time.monotonic() - begin
    return report


class _Campaign:
    """A check under way."""

    def __init__(
        self,
        target: TargetFactory,
        driver: Driver,
        report: Report,
        machine: type[Contract],
        seconds_per_step: float,
        *,
        shrinks: bool,
    ) -> None:
        self._target = target
        self._driver = driver
        self._report = report
        self._machine = machine
        self._seconds_per_step = seconds_per_step
        self._shrinks = shrinks
        # A target in a process of its own may run scenarios there, which is faster; what it finds is found again here.
        scouts = machine is Contract and type(driver) is RandomDriver and driver.weights is WEIGHTS
        self._scout = getattr(target, "scout", None) if scouts else None
        self._scouted = 0
        self._suspicion: str | None = None

    def go_on(self, calls: int) -> None:
        """Run the next scenario, or let the target run some."""
        report = self._report
        number = report.first + report.scenarios
        if self._scout is not None and report.scenarios >= self._scouted:
            self._scouted = report.scenarios + SCENARIOS_PER_SCOUT
            numbers = range(number, number + SCENARIOS_PER_SCOUT)
            self._suspicion = self._scout(self._driver.seed, numbers, calls, report.statistics)
            if self._suspicion is None:
                report.scenarios = self._scouted
                return
        scenario, script = self._driver.scenario(number, calls)
        lockstep = Lockstep(
            self._target,
            script,
            scenario,
            machine=self._machine,
            statistics=report.statistics,
            seconds_per_step=self._seconds_per_step,
        )
        finding = lockstep.run()
        report.scenarios += 1
        if finding is not None:
            self._suspicion = None
            self._enter(finding, lockstep.performed, self._driver.title(number))
        elif self._suspicion is not None and report.scenarios >= self._scouted:
            self._enter_as_it_is(_only_together(self._suspicion), lockstep.performed, None)

    def _enter(self, finding: Finding, scenario: Scenario, title: str | None) -> None:
        """Enter a finding that is new, with its scenario made as small as it gets."""
        # First as it is: an interrupt while it is shrunk must not lose it.
        if not self._enter_as_it_is(finding, scenario, title) or not self._shrinks:
            return
        small, again = shrink(
            scenario,
            finding,
            lambda each: replay(self._target, each, self._machine, None, self._seconds_per_step),
        )
        self._report.found[-1] = Found(again, small, title)

    def _enter_as_it_is(self, finding: Finding, scenario: Scenario, title: str | None) -> bool:
        if self._report.knows(finding):
            return False
        self._report.found.append(Found(finding, scenario, title))
        return True
