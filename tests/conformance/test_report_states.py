"""The specification's state beside a failure."""

import pytest

from chardev_conformance.adapters.specification import SpecificationTarget
from chardev_conformance.lockstep import Lockstep
from chardev_conformance.report_states import Standing, states
from chardev_conformance.scenario import Answer, Outcome, Scenario, Step
from chardev_conformance.scripts import Replay
from chardev_spec.contract import Contract

CREATE = Step("create", {"port": "p1", "client_tokens_interval": 1, "self_tokens": 1})
ADD = {
    "do_flow_control": True,
    "max_send_queue_size": 1,
    "num_client_tokens": 1,
    "num_send_tokens": 1,
    "wait_for_migrate_data": False,
}
NEW_CLIENT = (
    "client c1 is new: peer c1, flow_control yes, window 1, tokens 1, send_tokens 1, "
    "max_send_queue_size 1, granted 1"
)


def recorded(*steps: Step) -> Scenario:
    """What the specification does in these steps."""
    scenario = Scenario(steps=[*steps])
    lockstep = Lockstep(SpecificationTarget, Replay(scenario), scenario)
    assert lockstep.run() is None
    return lockstep.performed


def test_what_changes_at_every_arrow() -> None:
    """A change would be told at another arrow than the one it happened before, or not at all."""
    scenario = recorded(
        CREATE,
        Step("advance", {"milliseconds": 5}),
        Step("client_add", {"client": "c1", **ADD}),
        Step(
            "start",
            answers=[
                Answer("read_one_msg_from_device", calls=[Step("client_remove", {"client": "c1"})])
            ],
        ),
    )
    assert states(scenario, Contract) == [
        Standing(
            "create ends",
            [
                "device is new: port p1, port_generation 1, interval 1, self_tokens 1, initial_self_tokens 1"
            ],
        ),
        Standing(
            "client_add ends",
            [
                "device: now_ms 0 → 5",
                NEW_CLIENT,
            ],
        ),
        Standing(
            "read_one_msg_from_device()",
            [
                "device: running no → yes, write_asked no → yes, reading no → yes, read_wanted no → yes, frames 0 → 1"
            ],
        ),
        Standing("client_remove ends", ["device: read_asked no → yes", "client c1 is gone"]),
        Standing("read_one_msg_from_device()", ["device: read_asked yes → no"]),
        Standing("start ends", ["device: reading yes → no, read_wanted yes → no, frames 1 → 0"]),
    ]


def test_the_failure_is_the_last() -> None:
    """The state in which the specification wanted something else would not be shown."""
    scenario = recorded(CREATE, Step("start"))
    scenario.steps[1].answers.clear()
    scenario.steps[1].outcome = Outcome("returned")
    assert [each.at for each in states(scenario, Contract)] == ["create ends", "the failure"]


@pytest.mark.parametrize("steps", [(), (CREATE,)])
def test_a_trace_without_a_record(steps: tuple[Step, ...]) -> None:
    """What was written by hand would be shown with states that nobody saw, or not at all."""
    assert states(Scenario(steps=[*steps]), Contract) == []
