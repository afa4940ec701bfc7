"""The feedback of campaigns: what a run showed, as numbers."""

import json
import os
import subprocess
import sys
from functools import partial

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.adapters.specification import SpecificationTarget
from chardev_conformance.fuzzing.features import Kind, kind_of
from chardev_conformance.fuzzing.orders import Executor, Order
from chardev_conformance.scenario import Answer, Scenario, Step
from chardev_conformance.trace import dumps
from chardev_spec.contract import Contract

CREATE = Step("create", {"port": "p1", "client_tokens_interval": 1, "self_tokens": 1})
START = Step("start")


def shown(*steps: Step) -> set[int]:
    """The features of a scenario, and nothing else in it."""
    order = Order(0, 0, dumps(Scenario(steps=[CREATE, *steps])))
    return Executor(DeviceTarget).execute(order).features


def kinds(features: set[int]) -> set[Kind]:
    """What they are about."""
    return {kind_of(each) for each in features}


def test_a_call_inside_a_callback_shows_something_new() -> None:
    """Guidance would be blind to what matters most: calls inside callbacks."""
    outside = shown(START, Step("stop"))
    inside = shown(Step("start", {}, [Answer("read_one_msg_from_device", calls=[Step("stop")])]))
    assert kinds(inside - outside) >= {Kind.DISTURBANCE, Kind.INSIDE}
    assert not kinds(outside) & {Kind.DISTURBANCE, Kind.INSIDE}


def test_the_same_again_shows_hardly_anything_new() -> None:
    """Long repetitions would count as progress."""
    once = shown(START, Step("wakeup"))
    often = shown(START, *[Step("wakeup")] * 9)
    assert len(often - once) <= 4
    assert once - often == set()


def test_the_target_shows_the_same_as_the_specification() -> None:
    """Scenarios distilled from the specification would say nothing of how others are reached."""
    specification = partial(SpecificationTarget, machine=Contract, lacks=frozenset())
    for number in range(5):
        order = Order(number, 7)
        assert Executor(specification).execute(order).features == (
            Executor(DeviceTarget).execute(order).features
        )


def test_features_are_numbered_alike_in_every_process() -> None:
    """Workers, and a campaign that is resumed, would take everything for new."""
    program = (
        "import json\n"
        "from chardev_conformance.adapters.device import DeviceTarget\n"
        "from chardev_conformance.fuzzing.orders import Executor, Order\n"
        "print(json.dumps(sorted(Executor(DeviceTarget).execute(Order(3, 1)).features)))\n"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert printed[0] == printed[1]
    assert len(json.loads(printed[0])) > 50
