"""What is done to a device: the one scenario language of every driver, replay and report.

A scenario is a list of steps.
A step is one call of the API, with the answers that the environment gives to the callbacks of that call; an answer may
hold steps of its own, which are performed inside the callback (CB-1).

Things are named, so that a step still makes sense when others are taken out: devices ``d1``, ports ``p1``, clients
``c1``, buffers by the name that the step which got them gave (``as``).
A step that speaks of a name that stands for nothing is left out when the scenario is run.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Literal, TypeAlias

WriteAnswer: TypeAlias = int | Literal["all", "fail", "over"]
"""How many bytes the port takes; all of them; a final error; more than it was offered."""

EVENT_NAMES: Final = {
    "PortWrite": "write",
    "ReadOneMsgFromDevice": "read_one_msg_from_device",
    "RefMsgToClient": "ref_msg_to_client",
    "UnrefMsgToClient": "unref_msg_to_client",
    "SendMsgToClient": "send_msg_to_client",
    "SendTokensToClient": "send_tokens_to_client",
    "OnFreeSelfToken": "on_free_self_token",
    "RemoveClient": "remove_client",
    "PortFailed": "port_failed",
}
"""The name of each callback in scenarios and traces: the header's, which has no `port_failed` and no port's `write`."""

PARAMETERS: Final[Mapping[str, tuple[str, ...]]] = {
    "create": ("port", "client_tokens_interval", "self_tokens"),
    "reset_dev_instance": ("port",),
    "destroy": (),
    "opaque_get": (),
    "reset": (),
    "start": (),
    "stop": (),
    "wakeup": (),
    "client_add": (
        "client",
        "do_flow_control",
        "max_send_queue_size",
        "num_client_tokens",
        "num_send_tokens",
        "wait_for_migrate_data",
    ),
    "client_remove": ("client",),
    "client_exists": ("client",),
    "send_to_client_tokens_add": ("client", "tokens"),
    "send_to_client_tokens_set": ("client", "tokens"),
    "write_buffer_get": ("client", "size"),
    "write_buffer_get_server_no_token": ("size",),
    "write_buffer_add": ("buffer", "data"),
    "write_buffer_release": ("buffer",),
    "write_buffer_release_without_device": ("buffer",),
    "migrate_data_marshall": (),
    "migrate_data_marshall_empty": (),
    "migrate_data_release": ("data",),
    "restore": ("message",),
    "retry_timer_fired": (),
    "wait_timer_fired": ("client",),
    "advance": ("milliseconds",),
}
"""Every call of the scenario language and its arguments, in the header's order.

`advance` moves the virtual clock; `migrate_data_release` drops what a marshaller refers to; bytes are hexadecimal.
"""

RESULTS: Final[Mapping[str, str]] = {
    "write_buffer_get": "the buffer",
    "write_buffer_get_server_no_token": "the buffer",
    "migrate_data_marshall": "the migration data",
}
"""The calls that hand something out, which `as` gives a name."""

NESTING_LIMIT: Final = 16
"""How deep calls may be nested in callbacks: each level takes stack of the implementation and of the checker."""

SIZE_LIMIT: Final = 2**24
"""The largest buffer that can be asked for, in bytes: an implementation may allocate it at once."""


class Kind(Enum):
    """What an argument may be."""

    NAME = "a name"
    NAME_OR_NULL = "a name or null"
    FLAG = "true or false"
    NUMBER = "a number"
    SIZE = f"a number, at most {SIZE_LIMIT}"
    DURATION = "a number, at least 0"
    BYTES = "bytes in hexadecimal"


_KINDS: Final = {
    "port": Kind.NAME,
    "client": Kind.NAME,
    "buffer": Kind.NAME,
    "data": Kind.NAME,
    "do_flow_control": Kind.FLAG,
    "wait_for_migrate_data": Kind.FLAG,
    "size": Kind.SIZE,
    "milliseconds": Kind.DURATION,
    "message": Kind.BYTES,
}

_KINDS_IN_CALLS: Final = {
    # The server's buffers are got without a client; a device without a port is detached.
    ("write_buffer_get", "client"): Kind.NAME_OR_NULL,
    ("reset_dev_instance", "port"): Kind.NAME_OR_NULL,
    ("write_buffer_add", "data"): Kind.BYTES,
}

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")
NAME_RULE: Final = "a name is made of letters, digits, '_', '.' and '-'"


def kind(call: str, parameter: str) -> Kind:
    """What the argument of a call may be; counts are numbers of any size, so that refusing them can be tried."""
    return _KINDS_IN_CALLS.get((call, parameter)) or _KINDS.get(parameter, Kind.NUMBER)


def is_name(value: Any) -> bool:
    """Whether a value can name a device, port, client or result."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


class ScenarioError(ValueError):
    """A scenario or trace that cannot be understood; the message says what and where."""


@dataclass(slots=True)
class Answer:
    """How the environment answers the next callback named `on` of its step.

    `value` is a `WriteAnswer` for ``write``, whether there is a message for ``read_one_msg_from_device``, else None.
    `calls` are performed inside the callback, before it returns; with `raises` it raises then (CB-5).
    """

    on: str
    value: WriteAnswer | bool | None = None
    raises: bool = False
    calls: "list[Step]" = field(default_factory=list)


@dataclass(slots=True)
class Step:
    """One call of the API on one device."""

    call: str
    arguments: dict[str, Any] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    device: str = "d1"
    result_name: str | None = None


@dataclass(slots=True)
class Scenario:
    """A run from the beginning: which ports there are, and what is done.

    `ports` says of each port whether it announces writability.
    `moves_per_call` is the limit that the implementation is to be created with (WR-5), None for its own.
    """

    ports: dict[str, bool] = field(default_factory=lambda: {"p1": False})
    moves_per_call: int | None = None
    steps: list[Step] = field(default_factory=list)


def count_calls(steps: list[Step]) -> int:
    """How many calls there are, those inside callbacks included."""
    return sum(1 for _ in walk(steps))


def walk(steps: list[Step]) -> Iterator[Step]:
    """Every step, each before those inside its callbacks."""
    for step in steps:
        yield step
        for answer in step.answers:
            yield from walk(answer.calls)


def step_to_json(step: Step) -> dict[str, Any]:
    """The step as JSON data; what is as usual is left out."""
    data: dict[str, Any] = {"call": step.call}
    if step.device != "d1":
        data["device"] = step.device
    if step.arguments:
        data["arguments"] = step.arguments
    if step.result_name is not None:
        data["as"] = step.result_name
    if step.answers:
        data["answers"] = [answer_to_json(answer) for answer in step.answers]
    return data


def answer_to_json(answer: Answer) -> dict[str, Any]:
    """The answer as JSON data; what is as usual is left out."""
    data: dict[str, Any] = {"on": answer.on}
    if answer.value is not None:
        data["value"] = answer.value
    if answer.raises:
        data["raises"] = True
    if answer.calls:
        data["calls"] = [step_to_json(step) for step in answer.calls]
    return data


def step_from_json(data: Any, where: str, depth: int = 0) -> Step:
    """The step that JSON data says; raises `ScenarioError` naming what is wrong `where`."""
    if not isinstance(data, dict):
        raise ScenarioError(f"{where}: a step must be an object, not {_json_type(data)}")
    call = data.get("call")
    if not isinstance(call, str) or call not in PARAMETERS:
        raise ScenarioError(f"{where}: unknown call {call!r}; known are {', '.join(PARAMETERS)}")
    _check_keys(data, {"call", "arguments", "answers", "device", "as"}, f"{where}: a step")
    arguments = data.get("arguments", {})
    if not isinstance(arguments, dict) or set(arguments) != set(PARAMETERS[call]):
        expected = ", ".join(PARAMETERS[call]) or "none"
        raise ScenarioError(f"{where}: {call} takes the arguments {expected}")
    for name, value in arguments.items():
        _check_argument(kind(call, name), value, f"{where}: argument {name} of {call}")
    answers = data.get("answers", [])
    if not isinstance(answers, list):
        raise ScenarioError(
            f"{where}: the answers of {call} must be a list, not {_json_type(answers)}"
        )
    device, result_name = data.get("device", "d1"), data.get("as")
    if not is_name(device):
        raise ScenarioError(f"{where}: device must be a name, not {device!r}; {NAME_RULE}")
    if result_name is not None and not is_name(result_name):
        raise ScenarioError(f"{where}: as must be a name, not {result_name!r}; {NAME_RULE}")
    if result_name is not None and call not in RESULTS:
        raise ScenarioError(f"{where}: {call} hands nothing out that 'as' could name")
    # In the order of the parameters, whatever the order of the keys: implementations are called by position.
    return Step(
        call,
        {name: arguments[name] for name in PARAMETERS[call]},
        [
            answer_from_json(each, f"{where}: answer {i}", depth)
            for i, each in enumerate(answers, start=1)
        ],
        device,
        result_name,
    )


def _json_type(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a string",
        bool: "true or false",
        type(None): "null",
    }
    return names.get(type(value), "a number")


def _check_keys(data: dict[str, Any], known: set[str], what: str) -> None:
    unknown = sorted(set(data) - known)
    if unknown:
        raise ScenarioError(f"{what} has no {unknown[0]!r}; it may have {', '.join(sorted(known))}")


def _check_argument(expected: Kind, value: Any, where: str) -> None:
    number = isinstance(value, int) and not isinstance(value, bool)
    right = False
    match expected:
        case Kind.NAME:
            right = is_name(value)
        case Kind.NAME_OR_NULL:
            right = value is None or is_name(value)
        case Kind.FLAG:
            right = isinstance(value, bool)
        case Kind.NUMBER:
            right = number
        case Kind.SIZE:
            right = number and value <= SIZE_LIMIT
        case Kind.DURATION:
            right = number and value >= 0
        case Kind.BYTES:
            right = isinstance(value, str) and _is_hexadecimal(value)
    if not right:
        rule = f"; {NAME_RULE}" if expected in {Kind.NAME, Kind.NAME_OR_NULL} else ""
        raise ScenarioError(f"{where} must be {expected.value}, not {value!r}{rule}")


def _is_hexadecimal(text: str) -> bool:
    try:
        bytes.fromhex(text)
    except ValueError:
        return False
    return True


def answer_from_json(data: Any, where: str, depth: int = 0) -> Answer:
    """The answer that JSON data says; raises `ScenarioError` naming what is wrong `where`."""
    if not isinstance(data, dict):
        raise ScenarioError(f"{where}: an answer must be an object, not {_json_type(data)}")
    on, value, raises = data.get("on"), data.get("value"), data.get("raises", False)
    if not isinstance(on, str) or on not in EVENT_NAMES.values():
        raise ScenarioError(
            f"{where}: 'on' must be one of {', '.join(EVENT_NAMES.values())}, not {on!r}"
        )
    _check_keys(data, {"on", "value", "raises", "calls"}, f"{where}: an answer")
    if on == "write":
        number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        if not number and value not in ("all", "fail", "over", None):
            raise ScenarioError(
                f"{where}: a write is answered with a number of bytes, 'all', 'fail' or 'over', not {value!r}"
            )
    elif on == "read_one_msg_from_device":
        if not isinstance(value, bool | None):
            raise ScenarioError(
                f"{where}: a read is answered with true (a message) or false, not {value!r}"
            )
    elif value is not None:
        raise ScenarioError(f"{where}: {on} is answered with nothing, not {value!r}")
    if not isinstance(raises, bool):
        raise ScenarioError(f"{where}: raises must be true or false, not {raises!r}")
    calls = data.get("calls", [])
    if not isinstance(calls, list):
        raise ScenarioError(f"{where}: calls must be a list of steps, not {_json_type(calls)}")
    if calls and depth == NESTING_LIMIT:
        raise ScenarioError(f"{where}: calls are nested more than {NESTING_LIMIT} deep")
    steps = [
        step_from_json(each, f"{where}, call {i}", depth + 1)
        for i, each in enumerate(calls, start=1)
    ]
    return Answer(on, value, raises, steps)
