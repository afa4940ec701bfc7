"""Spec and implementation in lockstep: every kind of difference is a finding, and nothing else is."""

import contextlib
import threading
from collections.abc import Callable
from random import Random
from typing import Any, Final, TypeAlias

import pytest

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.campaign import replay
from chardev_conformance.coverage import Statistics
from chardev_conformance.lockstep import Finding, Lockstep
from chardev_conformance.scenario import EVENT_NAMES, Answer, Scenario, Step, walk
from chardev_conformance.scripts import RandomScript, Replay, random_scenario
from chardev_conformance.target import CallbackError, Host, Marshalled, RefusedError, Timers
from chardev_conformance.trace import dumps, loads
from chardev_spec.events import (
    Callback,
    OnFreeSelfToken,
    PortWrite,
    ReadOneMsgFromDevice,
    SendTokensToClient,
    UnrefMsgToClient,
)
from chardev_spec.rules import RULES

CREATE: Final = Step("create", {"port": "p1", "client_tokens_interval": 1, "self_tokens": 1})
START: Final = Step("start")
STOP: Final = Step("stop")
GET: Final = Step("write_buffer_get", {"client": None, "size": 2}, result_name="b1")
ADD: Final = Step("write_buffer_add", {"buffer": "b1", "data": "aabb"})


def add_client(**changed: Any) -> Step:
    """A client with a window of 2 and one send token."""
    arguments = {
        "client": "c1",
        "do_flow_control": True,
        "max_send_queue_size": 1,
        "num_client_tokens": 2,
        "num_send_tokens": 1,
        "wait_for_migrate_data": False,
    }
    return Step("client_add", arguments | changed)


Fault: TypeAlias = Callable[["Faulty", str, dict[str, Any]], Any]


class Faulty(DeviceTarget):
    """The bundled device, but one call does something else."""

    def __init__(
        self, host: Host, ports: dict[str, bool], moves: int | None, call: str, fault: Fault
    ) -> None:
        super().__init__(host, ports, moves)
        self._call = call
        self._fault = fault

    def right(self, device: str, call: str, arguments: dict[str, Any]) -> Any:
        """What the bundled device does."""
        return super().perform(device, call, arguments)

    def perform(self, device: str, call: str, arguments: dict[str, Any]) -> Any:
        """The fault, where it is the call's turn."""
        if call == self._call:
            return self._fault(self, device, arguments)
        return super().perform(device, call, arguments)


def found(call: str, fault: Fault, *steps: Step, ports: dict[str, bool] | None = None) -> Finding:
    """The finding when `call` does something else; the steps come after a `create`."""
    scenario = Scenario(ports or {"p1": False}, None, [CREATE, *steps])
    assert replay(DeviceTarget, scenario)[0] is None, "the device itself is to blame"
    finding, performed = replay(
        lambda host, ports, moves: Faulty(host, ports, moves, call, fault), scenario
    )
    assert finding is not None
    assert [step.call for step in performed.steps] == [
        step.call for step in scenario.steps[: len(performed.steps)]
    ]
    return finding


def calls_back(*callbacks: Callback) -> Fault:
    """A call that makes these callbacks, whatever it should do."""

    def fault(target: Faulty, device: str, arguments: dict[str, Any]) -> None:
        for callback in callbacks:
            target.host.callback(device, callback)

    return fault


def returns(value: Any) -> Fault:
    """A call that returns this, whatever it should do."""
    return lambda target, device, arguments: value


def raises(error: Exception) -> Fault:
    """A call that raises this, whatever it should do."""

    def fault(target: Faulty, device: str, arguments: dict[str, Any]) -> None:
        raise error

    return fault


def right_but(call: str, spoil: Callable[[Faulty, str], None]) -> Fault:
    """A call that does what it should, and then something else."""

    def fault(target: Faulty, device: str, arguments: dict[str, Any]) -> Any:
        result = target.right(device, call, arguments)
        spoil(target, device)
        return result

    return fault


def never_returns(target: Faulty, device: str, arguments: dict[str, Any]) -> None:
    """A call that calls itself until the stack is full."""
    never_returns(target, device, arguments)


def swallows(target: Faulty, device: str, arguments: dict[str, Any]) -> None:
    """A start that keeps the exceptions of its callbacks for itself."""
    with contextlib.suppress(CallbackError):
        target.right(device, "start", arguments)


def exchanges(target: Faulty, device: str, arguments: dict[str, Any]) -> None:
    """A start that raises another exception than its callback did."""
    try:
        target.right(device, "start", arguments)
    except CallbackError:
        raise CallbackError("mine") from None


def set_retry(due_ms: int | None) -> Callable[[Faulty, str], None]:
    """Set the retry timer, whatever is owed."""
    return lambda target, device: setattr(target.owners[device], "retry_ms", due_ms)


READS: Final = Step("start", {}, [Answer("read_one_msg_from_device", value=True)])
RAISES: Final = Step("start", {}, [Answer("read_one_msg_from_device", raises=True)])
STUCK: Final = Step("start", {}, [Answer("write", 0)])
EXISTS: Final = Step("client_exists", {"client": "c1"})
ABSENT: Final = Step("client_remove", {"client": "c1"})
MARSHALL: Final = Step("migrate_data_marshall", result_name="x1")
RELEASE: Final = Step("migrate_data_release", {"data": "x1"})
EMPTY: Final = Step("migrate_data_marshall_empty")
TWO_CLIENTS: Final = (add_client(num_send_tokens=0), add_client(client="c2"))
ABSENT_REFUSED: Final = "refused: client 'c1' is not attached"
RECORD: Final = "0000000000000000010000000102000000010000000000000000000000" + "00" * 4
IN_WRITE: Final = "start > wakeup"


def in_a_write(step: Step) -> Step:
    """A start whose write takes nothing and makes a call."""
    return Step("start", {}, [Answer("write", 0, calls=[step])])


@pytest.mark.parametrize(
    ("call", "fault", "steps", "finding"),
    [
        pytest.param(
            "start",
            calls_back(ReadOneMsgFromDevice(1)),
            (GET, ADD, START),
            (
                "LC-2",
                "start",
                "write(1, aabb)",
                "read_one_msg_from_device(1)",
                "write / read_one_msg_from_device",
            ),
            id="another callback",
        ),
        pytest.param(
            "start",
            returns(None),
            (GET, ADD, START),
            ("LC-2", "start", "write(1, aabb)", "the end of the call", "write / end"),
            id="missing callback",
        ),
        pytest.param(
            "stop",
            calls_back(PortWrite(1, b"")),
            (STOP,),
            ("WR-2", "stop", "the end of the call", "write(1, )", "end / write"),
            id="extra callback",
        ),
        pytest.param(
            "start",
            calls_back(PortWrite(1, b"\xaa\xbc")),
            (GET, ADD, START),
            ("WR-1", "start", "write(1, aabb)", "write(1, aabc)", "write / write"),
            id="other bytes",
        ),
        pytest.param(
            "start",
            right_but(
                "start",
                lambda target, device: calls_back(PortWrite(1, b"\xaa\xbb"))(target, device, {}),
            ),
            (GET, ADD, STUCK),
            ("WR-5", "start", "the end of the call", "write(1, aabb)", "end / write"),
            id="a callback too many",
        ),
        pytest.param(
            "start",
            lambda target, device, arguments: target.host.callback("d2", OnFreeSelfToken()),
            (START,),
            ("CB-1", "start", "no callback", "on_free_self_token()", "outside"),
            id="callback of a device that is not called",
        ),
        pytest.param(
            "client_exists",
            returns(True),
            (EXISTS,),
            ("LC-7", "client_exists", "False", "True", "result"),
            id="other result",
        ),
        pytest.param(
            "write_buffer_get",
            returns(None),
            (GET,),
            ("BUF-1", "write_buffer_get", "a buffer", "no buffer", "result"),
            id="no buffer",
        ),
        pytest.param(
            "write_buffer_get",
            returns(object()),
            (Step("write_buffer_get", {"client": "c1", "size": 1}, result_name="b1"),),
            ("BUF-4", "write_buffer_get", "no buffer", "a buffer", "result"),
            id="a buffer for nobody",
        ),
        pytest.param(
            "migrate_data_marshall",
            returns(None),
            (add_client(), MARSHALL),
            ("MIG-2", "migrate_data_marshall", "migration data", "None", "result"),
            id="no migration data",
        ),
        pytest.param(
            "migrate_data_marshall",
            returns(Marshalled(bytes(33), None)),
            (add_client(), MARSHALL),
            ("MIG-1", "migrate_data_marshall", RECORD, "00" * 33, "migration record"),
            id="other migration data",
        ),
        pytest.param(
            "migrate_data_marshall_empty",
            returns(b""),
            (EMPTY,),
            ("MIG-3", "migrate_data_marshall_empty", repr(b"\x01" + bytes(24)), "b''", "result"),
            id="other empty record",
        ),
        pytest.param(
            "migrate_data_release",
            returns(bytes(33)),
            (add_client(), MARSHALL, RELEASE),
            ("BUF-2", "", RECORD, "00" * 33, "marshalled data"),
            id="migration data that changed",
        ),
        pytest.param(
            "client_remove",
            returns(None),
            (ABSENT,),
            ("RD-9", "client_remove", ABSENT_REFUSED, "the call was accepted", "not refused"),
            id="not refused",
        ),
        pytest.param(
            "client_remove",
            raises(RefusedError("LC-7", "no")),
            (ABSENT,),
            ("RD-9", "client_remove", ABSENT_REFUSED, "refused: no", "refused otherwise"),
            id="refused for another rule",
        ),
        pytest.param(
            "client_remove",
            calls_back(UnrefMsgToClient("m1")),
            (ABSENT,),
            (
                "RD-9",
                "client_remove",
                ABSENT_REFUSED,
                "unref_msg_to_client(m1)",
                "end / unref_msg_to_client",
            ),
            id="a callback in a call that is to be refused",
        ),
        pytest.param(
            "stop",
            raises(RefusedError("LC-2", "not now")),
            (STOP,),
            ("LC-2", "stop", "the call is legal", "refused: not now", "wrongly refused"),
            id="wrongly refused",
        ),
        pytest.param(
            "stop",
            raises(ZeroDivisionError("oops")),
            (STOP,),
            ("CB-1", "stop", "to return or to name a rule", "ZeroDivisionError: oops", "crash"),
            id="crash",
        ),
        pytest.param(
            "stop",
            never_returns,
            (STOP,),
            ("CB-1", "stop", "to return", "RecursionError", "crash"),
            id="endless recursion",
        ),
        pytest.param(
            "stop",
            raises(CallbackError("mine")),
            (STOP,),
            ("CB-5", "stop", "raises None", "raised CallbackError('mine')", "exception"),
            id="an exception from nowhere",
        ),
        pytest.param(
            "start",
            swallows,
            (RAISES,),
            (
                "CB-5",
                "start",
                "raises CallbackError('raised in read_one_msg_from_device')",
                "raised None",
                "exception",
            ),
            id="an exception swallowed",
        ),
        pytest.param(
            "start",
            exchanges,
            (RAISES,),
            (
                "CB-5",
                "start",
                "raises CallbackError('raised in read_one_msg_from_device')",
                "raised CallbackError('mine')",
                "exception",
            ),
            id="another exception",
        ),
        pytest.param(
            "start",
            right_but("start", set_retry(None)),
            (GET, ADD, STUCK),
            ("WR-6", "", "retry timer due at 100 ms", "retry timer not armed", "retry timer"),
            id="retry timer forgotten",
        ),
        pytest.param(
            "start",
            right_but("start", set_retry(101)),
            (GET, ADD, STUCK),
            ("WR-4", "", "retry timer due at 100 ms", "retry timer due at 101 ms", "retry timer"),
            id="retry timer late",
        ),
        pytest.param(
            "stop",
            right_but("stop", set_retry(0)),
            (STOP,),
            ("WR-4", "", "retry timer not armed", "retry timer due at 0 ms", "retry timer"),
            id="retry timer armed for nothing",
        ),
        pytest.param(
            "start",
            right_but("start", lambda target, device: target.owners[device].wait_ms.clear()),
            (*TWO_CLIENTS, READS),
            ("RD-5", "", "wait timers {'c1': 30000}", "wait timers {}", "wait timer"),
            id="wait timer forgotten",
        ),
        pytest.param(
            "stop",
            lambda target, device, arguments: target.host.report("BUF-2", "aa", "bb"),
            (STOP,),
            ("BUF-2", "stop", "aa", "bb", "reported"),
            id="what the target reports itself",
        ),
        pytest.param(
            "client_exists",
            returns(True),
            (GET, ADD, in_a_write(EXISTS)),
            ("LC-7", "start > client_exists", "False", "True", "result"),
            id="other result inside a callback",
        ),
        pytest.param(
            "wakeup",
            raises(KeyError("k")),
            (GET, ADD, in_a_write(Step("wakeup"))),
            ("CB-1", IN_WRITE, "to return or to name a rule", "KeyError: 'k'", "crash"),
            id="crash inside a callback",
        ),
        pytest.param(
            "wakeup",
            calls_back(SendTokensToClient("c1", 1)),
            (GET, ADD, in_a_write(Step("wakeup"))),
            (
                "CB-1",
                IN_WRITE,
                "read_one_msg_from_device(1)",
                "send_tokens_to_client(c1, 1)",
                "read_one_msg_from_device / send_tokens_to_client",
            ),
            id="another callback inside a callback",
        ),
        pytest.param(
            "wakeup",
            returns(None),
            (GET, ADD, in_a_write(Step("wakeup"))),
            (
                "RD-1",
                IN_WRITE,
                "read_one_msg_from_device(1)",
                "the end of the call",
                "read_one_msg_from_device / end",
            ),
            id="missing callback inside a callback",
        ),
    ],
)
def test_every_kind_of_difference_is_found(
    call: str, fault: Fault, steps: tuple[Step, ...], finding: tuple[str, str, str, str, str]
) -> None:
    """A kind of defect would pass, or be reported with the wrong words."""
    seen = found(call, fault, *steps)
    assert (seen.rule, seen.where, seen.allowed, seen.seen, seen.symptom) == finding
    assert seen.rules[0] == seen.rule
    assert RULES.keys() >= {*seen.rules}
    assert len({*seen.rules}) == len(seen.rules)


class CallsBackOutside(DeviceTarget):
    """Makes a callback when nobody called it."""

    def timers(self, device: str) -> Timers:
        self.host.callback(device, ReadOneMsgFromDevice(1))
        return super().timers(device)


def test_a_callback_outside_every_call_is_found() -> None:
    """An implementation that calls back on its own would go unnoticed."""
    finding, _ = replay(CallsBackOutside, Scenario(steps=[CREATE]))
    assert finding == Finding(
        ("CB-1",), "", "no callback", "read_one_msg_from_device(1)", "outside"
    )


class AlwaysAMessage(Replay):
    """A port that never runs out of messages."""

    def answer(self, lockstep: Lockstep, unused: list[Answer], event: Callback) -> Answer:
        return Answer(
            EVENT_NAMES[type(event).__name__], value=isinstance(event, ReadOneMsgFromDevice) or None
        )


class ReadsForEver:
    """An implementation whose limit of moves is not known, and that has none (WR-5)."""

    name = "reads for ever"
    moves_per_call = None

    def __init__(self, host: Host, ports: dict[str, bool], moves: int | None) -> None:
        self.host = host

    def perform(self, device: str, call: str, arguments: dict[str, Any]) -> None:
        while call == "start":
            message = self.host.callback(device, ReadOneMsgFromDevice(1))
            self.host.callback(device, UnrefMsgToClient(message))

    def timers(self, device: str) -> Timers:
        return Timers(None, {})


def test_a_call_that_never_stops_calling_back_is_found() -> None:
    """The checker would hang with an implementation that does not limit its passes."""
    scenario = Scenario(steps=[CREATE, START])
    finding = Lockstep(ReadsForEver, AlwaysAMessage(scenario), scenario).run()
    assert finding is not None
    assert (finding.rule, finding.where, finding.symptom) == ("WR-5", "start", "endless")


def test_a_call_that_neither_returns_nor_calls_back_is_found() -> None:
    """The checker would hang with an implementation that is in an endless loop."""

    def hangs(target: Faulty, device: str, arguments: dict[str, Any]) -> None:
        while True:
            pass

    scenario = Scenario(steps=[CREATE, STOP])
    finding, _ = replay(
        lambda host, ports, moves: Faulty(host, ports, moves, "stop", hangs),
        scenario,
        seconds_per_step=0.2,
    )
    assert finding is not None
    assert (finding.rule, finding.where, finding.symptom) == ("WR-5", "stop", "endless")


def test_a_finding_survives_an_implementation_that_swallows_it() -> None:
    """A finding inside a callback would be taken for the callback's exception and forgotten (CB-5)."""

    def swallows_all(target: Faulty, device: str, arguments: dict[str, Any]) -> None:
        with contextlib.suppress(BaseException):
            target.host.callback(device, OnFreeSelfToken())
        with contextlib.suppress(BaseException):
            target.host.callback(device, ReadOneMsgFromDevice(1))

    finding = found("stop", swallows_all, STOP)
    assert (finding.allowed, finding.seen) == ("the end of the call", "on_free_self_token()")


def test_it_runs_in_any_thread() -> None:
    """The checker could not be used where the main thread has something else to do."""
    results: list[Finding | None] = []
    scenario = Scenario(steps=[CREATE, START])
    thread = threading.Thread(target=lambda: results.append(replay(DeviceTarget, scenario)[0]))
    thread.start()
    thread.join()
    assert results == [None]


# What is performed


def performed(*steps: Step, ports: dict[str, bool] | None = None) -> list[Step]:
    """What is left of these steps when the bundled device performs them."""
    finding, scenario = replay(DeviceTarget, Scenario(ports or {"p1": False}, None, [*steps]))
    assert finding is None
    return scenario.steps


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(Step("start", device="d2"), id="device"),
        pytest.param(CREATE, id="device that exists already"),
        pytest.param(Step("reset_dev_instance", {"port": "p2"}), id="port"),
        pytest.param(
            Step("create", CREATE.arguments | {"port": "p2"}, device="d2"),
            id="port of a new device",
        ),
        pytest.param(Step("write_buffer_add", {"buffer": "b2", "data": ""}), id="buffer"),
        pytest.param(
            Step("write_buffer_release", {"buffer": "b1"}, device="d2"),
            id="buffer of another device",
        ),
        pytest.param(RELEASE, id="migration data"),
    ],
)
def test_steps_that_speak_of_nothing_are_left_out(step: Step) -> None:
    """A scenario that was shrunk by striking out steps would not run any more."""
    inside = Step("start", {}, [Answer("read_one_msg_from_device", calls=[step])])
    left = performed(CREATE, GET, step, inside)
    assert [each.call for each in walk(left)] == ["create", "write_buffer_get", "start"]


def test_a_refused_create_makes_no_device() -> None:
    """Later calls would be made on a device that does not exist, and its implementation blamed for it."""
    second = Step("create", dict(CREATE.arguments), device="d2")
    left = performed(
        CREATE,
        second,
        Step("start", device="d2"),
        second,
        Step("destroy"),
        second,
        Step("stop", device="d2"),
    )
    assert [(step.device, step.call) for step in left] == [
        ("d1", "create"),
        ("d2", "create"),
        ("d2", "create"),
        ("d1", "destroy"),
        ("d2", "create"),
        ("d2", "stop"),
    ]


def test_migration_data_is_released_once() -> None:
    """A marshaller's reference would be dropped twice, which no owner does."""
    left = performed(CREATE, add_client(), MARSHALL, RELEASE, RELEASE)
    assert [step.call for step in left] == [
        "create",
        "client_add",
        "migrate_data_marshall",
        "migrate_data_release",
    ]


def test_the_performed_scenario_has_every_answer() -> None:
    """A saved failure would depend on what a callback is answered by default."""
    left = performed(CREATE, GET, ADD, Step("start", {}, [Answer("write", 1)]))
    assert left[-1].answers == [
        Answer("write", 1),
        Answer("write"),
        Answer("on_free_self_token"),
        Answer("read_one_msg_from_device"),
        Answer("read_one_msg_from_device"),
    ]


@pytest.mark.parametrize("seed", range(40))
def test_a_performed_scenario_is_performed_alike_again(seed: int) -> None:
    """A failure that was found by chance could not be replayed."""
    random = Random(seed)
    scenario = random_scenario(random)
    lockstep = Lockstep(DeviceTarget, RandomScript(random), scenario)
    finding = lockstep.run()
    text = dumps(lockstep.performed)
    assert replay(DeviceTarget, loads(text, "trace")) == (finding, lockstep.performed)


def test_the_clock_is_one() -> None:
    """Timers of spec and implementation would drift apart, or those of two devices."""
    scenario = Scenario(
        {"p1": False, "p2": False},
        None,
        [CREATE, GET, ADD, Step("advance", {"milliseconds": 7}), STUCK],
    )
    lockstep = Lockstep(DeviceTarget, Replay(scenario), scenario)
    assert lockstep.run() is None
    assert lockstep.now_ms() == 7
    assert lockstep.target.timers("d1") == Timers(107, {})
    assert lockstep.pairs["d1"].runner.state.device.retry_due_ms == 107


def test_the_clock_stands_still_inside_a_call() -> None:
    """A device that is told the time with a call would be blamed for a timer that is right by what it was told."""
    late = Step("advance", {"milliseconds": 7})
    scenario = Scenario({"p1": False}, None, [CREATE, GET, ADD, in_a_write(late)])
    finding, performed = replay(DeviceTarget, scenario)
    assert finding is None
    assert [
        each.call for step in performed.steps for answer in step.answers for each in answer.calls
    ] == []


def test_statistics_count_what_was_done() -> None:
    """The report would tell of other calls than were made."""
    statistics = Statistics()
    scenario = Scenario(steps=[CREATE, GET, ADD, in_a_write(Step("stop"))])
    assert replay(DeviceTarget, scenario, statistics=statistics)[0] is None
    assert (statistics.calls, statistics.nested_calls, statistics.callbacks) == (5, 1, 1)
    assert statistics.functions["stop"] == 1
    assert statistics.functions["reset"] == 0
