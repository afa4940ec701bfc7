"""What an order of scenarios takes that was made with the defects known.

No campaign can have it, as none knows what it looks for: it says how much there is to gain at all.
Each defect of the bundled device is looked for with the scenarios that campaigns begin with, and with short random
ones; then always that beginning of a scenario comes next which finds most of what is left for its calls.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.fuzzing.distil import Short
from chardev_conformance.fuzzing.orders import Executor, Order, Outcome, bare
from chardev_conformance.fuzzing.seeds import own_seeds
from chardev_conformance.lockstep import TargetFactory
from chardev_conformance.scenario import Scenario, count_calls
from tests.fuzz_evidence.methods import SECONDS_PER_STEP, Spent, in_python, names
from tests.mutants.defects import DEFECTS
from tests.mutants.loader import load

METHOD: Final = "the defects known"

SHORT: Final = 400
"""Random scenarios that are tried besides."""

ENDLESS: Final = 3
"""A defect that makes so many scenarios endless does it with most: no more of them are tried."""

LIMIT: Final = 60.0
"""Processor time after which a defect is missed, in seconds."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first steps of a scenario, and the calls that they make of a device without a defect."""

    scenario: int
    steps: int
    calls: int


Found = dict[int, Beginning]
"""Which scenarios find a defect, and with which beginning."""


def measure() -> Iterator[tuple[str, Spent]]:
    """What each defect takes in that order; the first comes after some minutes."""
    good = Executor(DeviceTarget)
    orders = [*(Order(0, 0, each) for each in own_seeds()), *(Short(i, 0) for i in range(SHORT))]
    scenarios = [good.execute(each).performed for each in orders]
    found = [_finds(name, scenarios) for name in names("fuzz")]
    order = [_trace(scenarios[each.scenario], each.steps) for each in best_order(found)]
    for name in names("fuzz"):
        yield name, in_python(partial(_one_by_one, order), name, [1], LIMIT)[0]


def best_order(found: Sequence[Found]) -> list[Beginning]:
    """The beginnings of scenarios in order: always that which finds most of what is left for its calls."""
    left, order = [each for each in found if each], list[Beginning]()
    while left:
        best, worth = None, 0.0
        for candidate in {each for finds in left for each in finds.values()}:
            count = sum(
                candidate.scenario in finds and finds[candidate.scenario].steps <= candidate.steps
                for finds in left
            )
            if count / candidate.calls > worth:
                best, worth = candidate, count / candidate.calls
        assert best is not None
        order.append(best)
        left = [
            finds
            for finds in left
            if best.scenario not in finds or finds[best.scenario].steps > best.steps
        ]
    return order


def _finds(name: str, scenarios: Sequence[Scenario]) -> Found:
    package = load(next(each for each in DEFECTS if each.name == name))
    executor = Executor(partial(DeviceTarget, package=package), seconds_per_step=0.5)
    found: Found = {}
    endless = 0
    for number, scenario in enumerate(scenarios):
        outcome = _perform(executor, _trace(scenario, len(scenario.steps)))
        if outcome.finding is not None:
            steps = len(outcome.performed.steps)
            found[number] = Beginning(number, steps, count_calls(scenario.steps[:steps]))
            endless += outcome.finding.symptom == "endless"
        if endless == ENDLESS:
            break
    return found


def _one_by_one(order: Sequence[str], target: TargetFactory, _: int, __: float) -> int | None:
    executor, calls = Executor(target, seconds_per_step=SECONDS_PER_STEP), 0
    for trace in order:
        outcome = _perform(executor, trace)
        calls += outcome.calls
        if outcome.finding is not None:
            return calls
    return None


def _perform(executor: Executor, trace: str) -> Outcome:
    return executor.execute(Order(0, 0, trace))


def _trace(scenario: Scenario, steps: int) -> str:
    return bare(Scenario(scenario.ports, scenario.moves_per_call, scenario.steps[:steps]))
