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

from chardev_conformance.target import Timers
from chardev_spec.events import Callback

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


OutcomeKind: TypeAlias = Literal["returned", "refused", "raised", "broken", "callback"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call was seen to end.

    `value` is, by `kind`: what was ``returned`` (whether there was a buffer, true or false, bytes in hexadecimal,
    None), the rule by which the call was ``refused``, None for the first exception of its callbacks that it
    ``raised``, the symptom with which the implementation was ``broken``, or the ``callback`` at which the record ends.
    """

    kind: OutcomeKind = "returned"
    value: Any = None


@dataclass(slots=True)
class Answer:
    """How the environment answers the next callback named `on` of its step.

    `value` is a `WriteAnswer` for ``write``, whether there is a message for ``read_one_msg_from_device``, else None.
    `calls` are performed inside the callback, before it returns; with `raises` it raises then (CB-5).
    `event` is the callback that was seen, and `buffers` how many it offered where that is known; both are no part of
    what is done.
    """

    on: str
    value: WriteAnswer | bool | None = None
    raises: bool = False
    calls: "list[Step]" = field(default_factory=list)
    event: Callback | None = field(default=None, compare=False)
    buffers: int | None = field(default=None, compare=False)


@dataclass(slots=True)
class Step:
    """One call of the API on one device.

    `outcome` is how it was seen to end, `timers` what was armed then; both are no part of what is done.
    """

    call: str
    arguments: dict[str, Any] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    device: str = "d1"
    result_name: str | None = None
    outcome: Outcome | None = field(default=None, compare=False)
    timers: dict[str, Timers] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Observed:
    """Whose the observations in a scenario are: its limit (WR-5) if that is known, the callbacks that it lacks."""

    moves_per_call: int | None = None
    lacks: frozenset[str] = frozenset()


@dataclass(slots=True)
class Scenario:
    """A run from the beginning: which ports there are, and what is done.

    `ports` says of each port whether it announces writability.
    `moves_per_call` is the limit that the implementation is to be created with (WR-5), None for its own.
    `observed` is there when the steps hold what an implementation was seen to do.
    """

    ports: dict[str, bool] = field(default_factory=lambda: {"p1": False})
    moves_per_call: int | None = None
    steps: list[Step] = field(default_factory=list)
    observed: Observed | None = field(default=None, compare=False)


def count_calls(steps: list[Step]) -> int:
    """How many calls there are, those inside callbacks included."""
    return sum(1 for _ in walk(steps))


def walk(steps: list[Step]) -> Iterator[Step]:
    """Every step, each before those inside its callbacks."""
    for step in steps:
        yield step
        for answer in step.answers:
            yield from walk(answer.calls)
