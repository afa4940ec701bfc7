"""Structure-aware changes of scenarios."""

from random import Random

import pytest

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.fuzzing.mutate import CHANGES, DEEPEST, MOST_STEPS, Mutation
from chardev_conformance.fuzzing.orders import Executor, Order, bare
from chardev_conformance.fuzzing.seeds import own_seeds
from chardev_conformance.scenario import Scenario, Step, count_calls, walk
from chardev_conformance.trace import dumps, loads

TRACES = [bare(Executor(DeviceTarget).execute(Order(number, 11)).performed) for number in range(4)]


def scenario(number: int) -> Scenario:
    """A scenario with all sorts of calls."""
    return loads(TRACES[number], "a scenario")


def depth(steps: list[Step]) -> int:
    """How deep calls are nested."""
    nested = [depth(answer.calls) for step in steps for answer in step.answers]
    return 1 + max(nested, default=0) if steps else 0


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_every_change_changes_something(change: object) -> None:
    """A change that does nothing would waste its share of a night."""
    changed = 0
    for seed in range(40):
        mutation = Mutation(Random(seed), scenario(seed % 3), scenario(3))
        assert callable(change)
        change(mutation)
        changed += mutation.scenario != scenario(seed % 3)
    assert changed > 5


def test_changed_scenarios_are_bounded_and_can_be_read() -> None:
    """A corpus would hold what no checker replays, or grow without end."""
    for seed in range(200):
        one, other = scenario(seed % 4), scenario((seed + 1) % 4)
        Mutation(Random(seed), one, other).apply(12)
        assert len(one.steps) <= MOST_STEPS
        assert depth(one.steps) <= DEEPEST + 1
        assert loads(dumps(one), "a scenario") == one


def test_a_call_moves_into_a_callback() -> None:
    """The change that reaches what nobody thinks of would lose or double calls."""
    for seed in range(30):
        one = scenario(0)
        before = count_calls(one.steps)
        Mutation(Random(seed), one, scenario(1)).move_inside()
        assert count_calls(one.steps) == before


def test_spliced_steps_keep_their_names() -> None:
    """A buffer that is spliced in would be taken for another one of the same name."""
    for seed in range(30):
        one = scenario(0)
        Mutation(Random(seed), one, scenario(1)).splice()
        names = [step.result_name for step in walk(one.steps) if step.result_name]
        assert len(names) == len(set(names))


def test_what_is_changed_runs_without_a_difference() -> None:
    """The bundled device, or the checker itself, would be wrong somewhere that chance does not reach."""
    executor = Executor(DeviceTarget)
    seeds = own_seeds()
    for number in range(300):
        order = Order(number, 5, seeds[number % len(seeds)], TRACES[number % 4])
        assert executor.execute(order).finding is None
