"""Lets the checker look for the defects, and writes down what became of each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat
from typing import Final

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.campaign import run_campaign
from chardev_conformance.results import Report
from chardev_conformance.scenario import count_calls
from tests.mutants.defects import Defect
from tests.mutants.loader import load
from tests.mutants.memory import BUFFERS, breaks_the_bound

CALLS: Final = 20_000
"""Within this many calls of the API every defect is to be found."""

SEED: Final = 3
"""Of the runs that the docs show."""

SECONDS_PER_STEP: Final = 2.0
"""Processor time after which a call is endless: long enough for a collection of garbage to fall into it."""


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


def hunt(defect: Defect, *, seed: int = SEED, calls: int = CALLS, shrinks: bool = False) -> Outcome:
    """Look for a defect: in random scenarios, then where no callback shows it (BUF-5)."""
    report = check(defect, seed=seed, calls=calls, shrinks=shrinks)
    if report.interrupted:
        raise KeyboardInterrupt
    if report.finding is not None and report.scenario is not None:
        steps = count_calls(report.scenario.steps)
        return Outcome(defect, report.finding.rule, report.statistics.calls, steps)
    if breaks_the_bound(load(defect)):
        # For each buffer a get and an add, and what stands around them.
        return Outcome(defect, "BUF-5", 2 * BUFFERS + 3, 2 * BUFFERS + 3)
    return Outcome(defect)


HEAD: Final = ("Defect", "Rule broken", "Rule named", "Calls", "Steps")

INTRODUCTION: Final = """\
Seeded defects
==============

A checker is worth what it finds.
Each row is a defect that was put into a copy of the bundled device, a patch of a few lines, and how ``chardev check``
found it: the rule that it breaks, the rule that the verdict named first, the calls of the API that it took in random
scenarios (seed {seed}), and the calls that were left when the failing scenario had been made as small as it gets.
Where the two rules differ, the defect first shows as a breach of another rule: a price that is not returned, for one,
shows as an announcement that does not come.
Memory that is kept too long (BUF-5) shows in no callback at all; it is measured.
The patches are in ``tests/mutants/defects``.
``make mutants`` finds them all again and writes this page.

{found} of {all} defects are found, {right} of them under the rule that the table gives.

.. list-table::
   :header-rows: 1
   :widths: 55 10 10 10 10

"""


def cells(outcome: Outcome) -> tuple[str, ...]:
    """One row of the table."""
    found = outcome.rule is not None
    return (
        outcome.defect.name,
        outcome.defect.rule,
        outcome.rule or "not found",
        str(outcome.calls) if found else "",
        str(outcome.steps) if found else "",
    )


def table(outcomes: Iterable[Outcome]) -> list[tuple[str, ...]]:
    """The table as rows of text, its head first."""
    return [HEAD, *map(cells, outcomes)]


def page(outcomes: Sequence[Outcome], seed: int) -> str:
    """The page of the docs, with what goes wrong in the real world."""
    found = [each for each in outcomes if each.rule is not None]
    right = sum(each.rule == each.defect.rule for each in found)
    lines = [
        INTRODUCTION.format(seed=seed, found=len(found), all=len(outcomes), right=right),
        *_row(HEAD),
    ]
    for outcome in outcomes:
        name, *rest = cells(outcome)
        lines += _row((f"**{name}**. {outcome.defect.consequence}", *rest))
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def _row(texts: Iterable[str]) -> list[str]:
    """A row of the list table."""
    return [f"   {mark} {text}".rstrip() for mark, text in zip(_marks(), texts, strict=False)]


def _marks() -> Iterable[str]:
    return chain(["* -"], repeat("  -"))
