"""The runner: calls on a stack, choices, the clock, and the check of the invariants."""

from typing import Any

import pytest

from chardev_spec.conditions import Frame, Steps
from chardev_spec.contract import Contract
from chardev_spec.errors import ClientNotAttachedError
from chardev_spec.events import (
    Callback,
    Choice,
    ChooseGoOn,
    ChooseOffer,
    OnFreeSelfToken,
    PortWrite,
    ReadOneMsgFromDevice,
)
from chardev_spec.runner import InvariantViolationError, Runner
from chardev_spec.state import Place, State
from tests.spec.owner import BoomError, Owner, snapshot


class Silent:
    """An environment that answers nothing; calls are answered one by one."""

    def __init__(self, offer: Any = 1, goes_on: Any = True) -> None:
        self.offer = offer
        self.goes_on = goes_on

    def choose(self, event: Choice) -> Any:
        """The same choice each time."""
        return self.goes_on if isinstance(event, ChooseGoOn) else self.offer

    def answer(self, event: Callback) -> Any:
        """Nobody asks."""
        raise AssertionError(event)


def stepwise(environment: Silent | None = None) -> Runner:
    """A runner whose calls are answered one by one; two server buffers are queued."""
    runner = Runner(environment or Silent())
    runner.add_port(1)
    runner.call("create", 1, 1, 2)
    for content in (b"ab", b"cd"):
        runner.begin("write_buffer_add", runner.begin("write_buffer_get", None, 2).result, content)
    return runner


def test_a_call_stops_at_each_callback() -> None:
    """A checker that drives the specification step by step would lose its place (CB-1)."""
    runner = stepwise()
    call = runner.begin("start")
    events = []
    answers = [2, None, 2, None, None, None]
    while call.event is not None:
        events.append(call.event)
        call.answer(answers.pop(0))
    assert events == [
        PortWrite(1, b"ab"), OnFreeSelfToken(), PortWrite(1, b"cd"), OnFreeSelfToken(),
        ReadOneMsgFromDevice(1), ReadOneMsgFromDevice(1),
    ]  # fmt: skip
    assert (call.result, call.raised, runner.stack, runner.state.device.frames) == (
        None,
        None,
        [],
        0,
    )


def test_calls_nest() -> None:
    """A call made inside a callback would disturb the one around it (CB-1)."""
    runner = stepwise()
    outer = runner.begin("start")
    inner = runner.begin("client_add", "a", True, 1, 3, 1, False)
    assert [call.function for call in runner.stack] == ["start", "client_add"]
    assert runner.state.device.frames == 2
    assert (outer.innermost(), inner.innermost()) == ("write_to_port", "read_once")
    with pytest.raises(
        RuntimeError, match=r"^start is not the innermost call: answer that one first$"
    ):
        outer.answer(2)
    inner.answer(None)
    assert (inner.event, inner.result) == (None, True)
    outer.answer(2)
    assert outer.event == OnFreeSelfToken()


def test_an_exception_is_an_answer() -> None:
    """What a callback raises would break the call instead of ending it in order (CB-5)."""
    runner = stepwise()
    call = runner.begin("start")
    first, second = BoomError("first"), BoomError("second")
    call.answer(2)
    call.answer(raised=first)
    assert (call.event, call.raised) == (None, first)
    assert runner.state.buffers.pending_bytes() == 2

    call = runner.begin("start")
    call.answer(raised=first)
    assert (call.event, call.raised, runner.state.buffers.pending_bytes()) == (None, first, 2)

    runner.state.buffers.drop(lambda row: row.place == Place.QUEUED)
    runner.state.device.self_tokens = 2
    call = runner.begin("client_add", "a", True, 1, 3, 1, False)
    call.answer(raised=second)
    assert (call.event, call.raised, call.result) == (None, second, True)


def test_the_first_exception_is_raised_after_the_call() -> None:
    """An owner would hear of the last problem, not of the first, or of none (CB-5)."""
    owner = Owner()
    owner.add_client()
    owner.offers = 2
    owner.add("a", b"1")
    owner.add("a", b"2")
    owner.inside("tokens", owner.fails(BoomError("first")), owner.fails(BoomError("second")))
    with pytest.raises(BoomError, match=r"^first$"):
        owner.call("start")
    assert owner.events == ["write 12 -> 2", "tokens 1 to a", "tokens 1 to a"]
    assert owner.runner.stack == []


def test_a_forbidden_call_leaves_no_frame() -> None:
    """After a contract error the device would think itself inside a call (MIG-2)."""
    runner = stepwise()
    outer = runner.begin("start")
    before = snapshot(runner.state)
    with pytest.raises(ClientNotAttachedError):
        runner.begin("client_remove", "a")
    assert snapshot(runner.state) == before
    assert runner.stack == [outer]


@pytest.mark.parametrize("offer", [0, -1, 3])
def test_an_offer_is_at_least_one_buffer_and_at_most_all(offer: int) -> None:
    """An environment could make the machine write nothing, or what is not there (WR-3)."""
    runner = stepwise(Silent(offer=offer))
    with pytest.raises(ValueError, match=rf"^{offer} is no answer to ChooseOffer\(available=2\)$"):
        runner.begin("start")
    assert runner.stack == []


def test_choices_are_settled_without_a_callback() -> None:
    """An implementation's freedom (how much it offers, when it pauses) would look like a call (WR-5)."""
    asked: list[Choice] = []

    class Asked(Silent):
        def choose(self, event: Choice) -> Any:
            asked.append(event)
            return super().choose(event)

    runner = stepwise(Asked(offer=2, goes_on=False))
    call = runner.begin("start")
    events = [call.event]
    for answer in (2, None):
        call.answer(answer)
        events.append(call.event)
    assert events == [PortWrite(1, b"abcd"), OnFreeSelfToken(), None]
    assert asked == [ChooseOffer(2), ChooseGoOn(1), ChooseGoOn(1)]


def test_the_clock_fires_nothing_by_itself() -> None:
    """A timer would fire where no environment chose it (LC-9)."""
    owner = Owner()
    owner.call("start")
    owner.takes.append(0)
    owner.add(None, b"x")
    owner.take_events()
    owner.runner.advance(1000)
    assert (owner.events, owner.retry) == ([], -900)


def test_no_time_passes_inside_a_call() -> None:
    """What an implementation in a process of its own is told once a call, the time, would be wrong in a callback."""
    owner = Owner()
    call = owner.runner.begin("start")
    with pytest.raises(RuntimeError) as refused:
        owner.runner.advance(1)
    assert str(refused.value) == "start has not returned: no time passes inside a call"
    while call.event is not None:
        call.answer()
    owner.runner.advance(1)
    assert owner.runner.state.device.now_ms == 1


class StaysActive(Contract):
    """LC-8: stop does not clear active."""

    def halt(self) -> None:
        """Leave it."""
        self.device.running = False
        self.device.retry_armed = False


class ForgetsTheWriter(Contract):
    """WR-5: the writer's guard is given up before the prices are returned."""

    def complete(self, frame: Frame, completed: int) -> Steps[None]:
        """Return them without it."""
        self.device.writing = False
        yield from super().complete(frame, completed)


def test_invariants_are_checked_after_each_call() -> None:
    """A machine that breaks a rule would go unnoticed (the runner's promise)."""
    owner = Owner(machine=StaysActive)
    owner.add(None, b"x")
    owner.call("start")
    with pytest.raises(InvariantViolationError) as caught:
        owner.call("stop")
    assert caught.value.invariant.name == "only_running_devices_are_active"
    assert str(caught.value).startswith(
        "only_running_devices_are_active (LC-8) does not hold after the call: Device("
    )


def test_invariants_are_checked_at_each_callback_also_nested() -> None:
    """A rule that is broken for a moment only would go unnoticed, or be taken for an owner's exception (CB-1, CB-5)."""
    owner = Owner(machine=ForgetsTheWriter)
    owner.offers = 2
    owner.add(None, b"x")
    owner.add(None, b"y")
    owner.inside("read", owner.later("reset_dev_instance", 1))
    owner.call("reset_dev_instance", None)
    owner.call("start")
    with pytest.raises(InvariantViolationError) as caught:
        owner.call("reset_dev_instance", 2)
    assert str(caught.value).startswith(
        "written_buffers_have_a_writer (WR-3, WR-5) does not hold at OnFreeSelfToken() in reset_dev_instance: "
    )


def test_a_violation_inside_a_callback_is_no_answer() -> None:
    """A violation in a nested call would be swallowed as the callback's exception (CB-5)."""
    owner = Owner(machine=StaysActive)
    owner.add(None, b"x")
    owner.inside("self-token", owner.later("stop"))
    with pytest.raises(InvariantViolationError, match=r"^only_running_devices_are_active "):
        owner.call("start")
    assert owner.events == ["write x -> 1", "self-token"]


def test_invariants_can_be_off() -> None:
    """A release that breaks a rule could not be run at all (profiles)."""
    owner = Owner(machine=StaysActive, invariants=False)
    owner.add(None, b"x")
    owner.call("start")
    owner.call("stop")
    assert owner.device.active


def test_snapshots_see_every_field() -> None:
    """Comparisons of states in these tests would miss a change (contract errors change nothing)."""
    empty = snapshot(State())
    for table, field in (("device", "running"), ("device", "now_ms")):
        state = State()
        setattr(getattr(state, table), field, 1)
        assert snapshot(state) != empty
    state = State()
    state.buffers.next_handle()
    assert snapshot(state) != empty
