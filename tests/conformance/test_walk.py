"""A scenario on the specification alone, decision by decision."""

from pathlib import Path
from typing import Any

import pytest

from chardev_conformance.refusals import Refusal
from chardev_conformance.scenario import Answer, Scenario, Step
from chardev_conformance.trace import load
from chardev_conformance.walk import Begin, Reply, Walk, WalkError, walk
from chardev_spec.events import PortWrite, ReadOneMsgFromDevice
from chardev_spec.invariants import INVARIANTS
from chardev_spec.profiles import PROFILES

DOCS = Path(__file__).parents[2] / "docs"


def begin(call: str, name: str | None = None, **arguments: Any) -> Begin:
    """A call on the first device."""
    return Begin(Step(call, arguments, result_name=name))


def created() -> Walk:
    """A stopped device with client "c1", whose window is 2."""
    made = Walk({"p1": False})
    made.take(begin("create", port="p1", client_tokens_interval=1, self_tokens=1))
    made.take(
        begin(
            "client_add",
            client="c1",
            do_flow_control=True,
            max_send_queue_size=1,
            num_client_tokens=2,
            num_send_tokens=1,
            wait_for_migrate_data=False,
        )
    )
    return made


def test_callbacks_wait_for_their_answers() -> None:
    """Who steps through a call would not be asked what the port does."""
    made = created()
    made.take(begin("write_buffer_get", "b1", client="c1", size=4))
    made.take(begin("write_buffer_add", buffer="b1", data="0a0b"))
    moments = [made.take(begin("start")), made.take(Reply(Answer("write", 1)))]
    moments.append(made.take(Reply(Answer("write", 0))))
    moments.append(made.take(Reply(Answer("read_one_msg_from_device", value=False))))
    assert [each.waiting for each in moments] == [
        PortWrite(1, b"\x0a\x0b"),
        PortWrite(1, b"\x0b"),
        ReadOneMsgFromDevice(1),
        PortWrite(1, b"\x0b"),
    ]
    made.take(Reply(Answer("write", 0)))
    assert made.take(Reply(Answer("read_one_msg_from_device", value=False))).ended
    assert made.waiting is None


def test_calls_inside_a_callback() -> None:
    """A call made while a callback waits would be taken for one made after it (CB-1)."""
    made = created()
    made.take(begin("start"))
    moment = made.take(begin("stop"))
    assert (moment.calls, moment.ended) == (("start",), True)
    assert made.waiting == ReadOneMsgFromDevice(1)
    assert made.take(Reply(Answer("read_one_msg_from_device", value=False))).ended


def test_a_refusal_has_its_condition() -> None:
    """A reader would learn that a call is refused, and not why."""
    made = created()
    made.take(begin("destroy"))
    assert made.take(begin("start")).refusal == Refusal(
        "DestroyedDeviceError",
        "LC-5",
        "the device has been destroyed; create a new one",
        "self.device.destroyed",
    )


def test_a_port_that_another_device_has_is_refused() -> None:
    """A second device could take the first one's port unseen (LC-4)."""
    made = created()
    create = Step("create", {"port": "p1", "client_tokens_interval": 1, "self_tokens": 0})
    create.device = "d2"
    moment = made.take(Begin(create))
    assert moment.refusal is not None
    assert moment.refusal.rule == "LC-4"


@pytest.mark.parametrize(
    ("decision", "message"),
    [
        (begin("create", port="p9", client_tokens_interval=1, self_tokens=1), "there is a device d1 already"),
        (begin("write_buffer_release", buffer="b9"), "b9 stands for nothing that device d1 gave"),
        (begin("reset_dev_instance", port="p9"), "there is no port p9"),
        (Begin(Step("start", device="d9")), "there is no device d9; create it first"),
        (Reply(Answer("write", 0)), "no callback waits for an answer"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_said(decision: Begin | Reply, message: str) -> None:
    """A wrong decision would end in an exception of the machine, or change the state."""
    made = created()
    before = made.snapshot("d1")
    with pytest.raises(WalkError) as error:
        made.take(decision)
    assert str(error.value) == message
    assert made.snapshot("d1") == before


def test_no_time_passes_inside_a_callback() -> None:
    """The stepper would show timers that no device can have."""
    made = created()
    made.take(begin("start"))
    with pytest.raises(WalkError, match=r"^no time passes inside a callback; answer it first$"):
        made.take(Begin(Step("advance", {"milliseconds": 1})))
    assert made.now_ms == 0


def test_an_answer_to_another_callback_is_refused() -> None:
    """An answer could go to a callback that it was not meant for."""
    made = created()
    made.take(begin("start"))
    with pytest.raises(
        WalkError, match=r"^read_one_msg_from_device waits for an answer, not write$"
    ):
        made.take(Reply(Answer("write", 0)))


def test_the_same_decisions_lead_to_the_same_moments() -> None:
    """Undoing a decision, which walks the others again, would lead elsewhere."""
    first = walk(load(DOCS / "example-trace.jsonl"))
    second = Walk(first.ports)
    for moment in first.moments:
        second.take(moment.decision)
    assert second.moments == first.moments
    assert second.snapshot("d1") == first.snapshot("d1")
    assert [invariant.name for invariant in first.broken("d1")] == []


def test_a_release_breaks_invariants_where_the_contract_does_not() -> None:
    """The marks on a page of a release would always be green."""
    steps = [
        Step("create", {"port": "p1", "client_tokens_interval": 1, "self_tokens": 0}),
        Step("client_add", {
            "client": "c1", "do_flow_control": True, "max_send_queue_size": 0, "num_client_tokens": 0,
            "num_send_tokens": 0, "wait_for_migrate_data": False,
        }),
        Step("write_buffer_get", {"client": "c1", "size": 1}),
    ]  # fmt: skip
    release = Walk({"p1": False}, machine=PROFILES["spice-0.12.4"].machine)
    for step in steps[:2]:
        release.perform(step)
    release.take(Begin(steps[2]))
    assert [each.name for each in release.broken("d1")] == ["leaving_comes_first"]
    assert walk(Scenario(steps=steps)).broken("d1") == []


def test_every_invariant_is_looked_at() -> None:
    """Some scope of invariants would never be evaluated on a page."""
    made = created()
    made.take(begin("start"))
    assert {each.name for each in INVARIANTS if made.holds("d1", each)} == {
        each.name for each in INVARIANTS
    }
