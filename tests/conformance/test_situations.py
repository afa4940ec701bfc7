"""The situations that chance alone seldom reaches."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

import pytest

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.campaign import replay
from chardev_conformance.scenario import Scenario, Step
from chardev_conformance.situations import SITUATIONS, Cast, Situation
from tests.mutants.defects import DEFECTS
from tests.mutants.loader import load

BITES = {
    "reset_while_prices_return": "prices returned twice after a reset",
    "reset_inside_a_write": "reset tells nobody",
    "removal_inside_a_write": "offered buffers dropped under the port",
    "replaced_port_fails": "replaced port blamed",
    "port_asks_again": "endless repetition",
    "read_inside_a_push": "queue overtaken",
    "exception_before_a_pass": "exception forgets the rest",
    "start_inside_a_reset": "started inside a reset",
    "reset_of_an_awaited_client": "reset keeps the grants of an awaited client",
    "awaits_inside_a_write": "awaits inside a port write",
    "stop_inside_a_write": "active while stopped",
    "marshalled_with_a_message": "marshalled while a message waits",
    "marshalled_inside_a_callback": "marshalled inside a callback",
    "marshalled_with_large_counts": "low bits of a large count",
    "restored_client_has_been_busy": "announced before the awaiting ended",
    "damaged_records": "pointer into the record",
    "full_queue": "leaving after the callback",
    "destroyed_inside_a_fan_out": "destroyed inside a callback",
}
"""The defect that each situation was written for."""


def played(situation: Situation) -> Iterator[Scenario]:
    """The situation on a new device, with and without a port that announces writability, for small intervals."""
    for announces in (False, True):
        for interval in (1, 2):
            names, data = count(1), count(1)
            cast = Cast("c1", "c2", "p1", "p2", _named(names), _filled(data))
            create = {"port": "p1", "client_tokens_interval": interval, "self_tokens": 3}
            steps = [Step("create", create), *situation(cast)]
            yield Scenario({"p1": announces, "p2": False}, None, steps)


def _named(numbers: Iterator[int]) -> Callable[[str], str]:
    return lambda prefix: f"{prefix}{next(numbers)}"


def _filled(numbers: Iterator[int]) -> Callable[[int], str]:
    return lambda size: bytes(next(numbers) for _ in range(size)).hex()


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda each: each.__name__)
def test_the_device_masters_it(situation: Situation) -> None:
    """Device and specification would differ in a situation that was thought of beforehand."""
    for scenario in played(situation):
        finding, _ = replay(DeviceTarget, scenario)
        assert finding is None


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda each: each.__name__)
def test_it_bites(situation: Situation) -> None:
    """The situation would not bring about what it was written for."""
    defect = next(each for each in DEFECTS if each.name == BITES[situation.__name__])
    target = partial(DeviceTarget, package=load(defect))
    assert any(replay(target, scenario)[0] for scenario in played(situation))
