"""Lets the checker look for the defects, and writes down what became of each."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.campaign import Report, run_campaign
from chardev_conformance.scenario import count_calls
from tests.mutants.defects import Defect
from tests.mutants.loader import load
from tests.mutants.memory import BUFFERS, breaks_the_bound

CALLS: Final = 20_000
"""Within this many calls of the API every defect is to be found."""

SECONDS_PER_STEP: Final = 0.5
"""Processor time after which a call is endless: the device needs a hundredth of it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one defect."""

    defect: Defect
    rule: str | None = None
    """The rule that the verdict names first; None for a survivor."""
    calls: int = 0
    """How many calls of the API it took to find it."""
    steps: int = 0
    """How many calls were left when the scenario was as small as it gets."""


def check(defect: Defect | None, *, seed: int, calls: int, shrinks: bool = False) -> Report:
    """Run the checker against the device with this defect, or against a true copy."""
    return run_campaign(
        partial(DeviceTarget, package=load(defect)),
        seed=seed,
        calls=calls,
        seconds_per_step=SECONDS_PER_STEP,
        shrinks=shrinks,
    )


def hunt(defect: Defect, *, seed: int, calls: int = CALLS, shrinks: bool = False) -> Outcome:
    """Look for a defect: in random scenarios, then where no callback shows it (BUF-5)."""
    report = check(defect, seed=seed, calls=calls, shrinks=shrinks)
    if report.finding is not None and report.scenario is not None:
        steps = count_calls(report.scenario.steps)
        return Outcome(defect, report.finding.rule, report.statistics.calls, steps)
    if breaks_the_bound(load(defect)):
        # For each buffer a get and an add, and what stands around them.
        return Outcome(defect, "BUF-5", 2 * BUFFERS + 3, 2 * BUFFERS + 3)
    return Outcome(defect)


def table(outcomes: Iterable[Outcome]) -> list[tuple[str, ...]]:
    """The table as rows of text, its head first."""
    head = ("Defect", "Rule broken", "Rule named", "Calls", "Steps")
    rows = [
        (each.defect.name, each.defect.rule, each.rule or "not found", str(each.calls), str(each.steps))
        for each in outcomes
    ]
    return [head, *rows]
