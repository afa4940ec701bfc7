"""State diagrams, found by running the specification: every way that short runs of calls have to go.

Theory of operation
===================
From a new device every call of a small menu is made, with every way that its port can answer, and from each state that
this leads to again, to a given depth (breadth first).
States that differ only in what counts for nothing are one.
What is drawn is an *aspect* of the state: what a buffer's place is, whether a client stays.
An edge is a change of the aspect from one callback point to the next; it is called after what came in between: the call
that began, or the callback that was answered.
"""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from chardev_conformance.scenario import EVENT_NAMES
from chardev_spec.errors import BadMigrationDataError, ContractError
from chardev_spec.events import (
    Callback,
    Choice,
    ChooseGoOn,
    PortWrite,
    ReadOneMsgFromDevice,
)
from chardev_spec.runner import Runner
from chardev_spec.state import Place, State

DEPTH: Final = 5
"""How many calls are made in a row; the page says so, since a longer run could find one more edge."""

Edge: TypeAlias = tuple[str, str, str]

MENU: Final[tuple[tuple[Any, ...], ...]] = (
    ("start",),
    ("stop",),
    ("reset_dev_instance", 1),
    ("reset_dev_instance", None),
    ("client_add", "c1", True, 1, 2, 0, False),
    ("client_add", "c1", True, 1, 2, 0, True),
    ("client_add", "c2", True, 1, 1, 1, False),
    ("client_remove", "c1"),
    ("write_buffer_get", "c1", 2),
    ("write_buffer_add",),
    ("write_buffer_release",),
    ("send_to_client_tokens_add", "c1", 1),
    ("retry_timer_fired",),
    ("wait_timer_fired", "c1"),
    ("migrate_data_marshall",),
    ("restore", bytes(8) + bytes.fromhex("01000000 01 01000000 00000000 02000000 00000000 21000000 abcd")),
    ("reset",),
    ("destroy",),
)  # fmt: skip
"""The calls that are made; buffers are those that the owner holds."""


SEEDS: Final[tuple[tuple[tuple[Any, ...], ...], ...]] = (
    (),
    (
        ("client_add", "c1", True, 1, 2, 0, False),
        ("write_buffer_get", "c1", 2),
        ("write_buffer_get", "c1", 2),
        ("write_buffer_add", 1, b"ab"),
        ("write_buffer_add", 2, b"cd"),
    ),
)
"""Where the runs begin: with a new device, and with one whose write queue has two buffers."""


@dataclass(frozen=True, slots=True)
class Port:
    """One way that the port answers during a call: how many bytes it takes at first, and whether there is a message."""

    takes: int
    message: bool


PORTS: Final = (
    Port(9, message=False),
    Port(1, message=False),
    Port(0, message=True),
    Port(-1, message=False),
)


class _Environment:
    """Answers as the port does: the first write and the first read so, later ones with nothing."""

    def __init__(self, port: Port, look: Callable[[str], None]) -> None:
        self._port: Port | None = port
        self._reads = 1 if port.message else 0
        self._look = look

    def answer(self, event: Callback) -> Any:
        name = EVENT_NAMES[type(event).__name__]
        self._look(name)
        if isinstance(event, PortWrite):
            takes = self._port.takes if self._port else 0
            self._port = None
            return min(takes, len(event.data))
        if isinstance(event, ReadOneMsgFromDevice) and self._reads:
            self._reads -= 1
            return "m"
        return None

    def choose(self, event: Choice) -> Any:
        return event.moved < 2 if isinstance(event, ChooseGoOn) else event.available


Aspect: TypeAlias = Callable[[State], dict[Any, str]]
"""What is looked at: of each thing, by what names it, the state that it is in."""


def device_modes(state: State) -> dict[Any, str]:
    """Whether the device runs, and whether it has a port."""
    device = state.device
    if device.destroyed:
        return {"device": "destroyed"}
    words = "running" if device.running else "stopped"
    return {"device": words if device.port is not None else f"{words}, detached"}


def migration_states(state: State) -> dict[Any, str]:
    """Whether the device awaits migration data, or is sealed."""
    device = state.device
    if device.destroyed:
        return {"device": "destroyed"}
    if device.awaiting is not None:
        return {"device": "awaiting"}
    return {"device": "sealed" if device.sealed else "ordinary"}


def buffer_places(state: State) -> dict[Any, str]:
    """Where each buffer is."""
    return {row.handle: row.place.name.lower() for row in state.buffers}


def client_states(state: State) -> dict[Any, str]:
    """How each client stands: whether messages can be sent to it, wait for it, or it must go."""

    def of(row: Any) -> str:
        if row.leaving:
            return "leaving"
        if row.queue_length > 0:
            return "messages wait"
        return "has credit" if row.send_tokens > 0 else "no credit"

    return {row.handle: of(row) for row in state.clients}


def retry_timer(state: State) -> dict[Any, str]:
    """Whether the retry timer is armed."""
    device = state.device
    if not device.retry_armed:
        return {"timer": "not armed"}
    return {"timer": "due at once" if device.retry_due_ms <= device.now_ms else "due in 100 ms"}


ASPECTS: Final[dict[str, tuple[str, Aspect]]] = {
    "device": ("Modes of a device", device_modes),
    "migration": ("Migration of a device", migration_states),
    "buffer": ("Places of a write buffer", buffer_places),
    "client": ("A client and the messages for it", client_states),
    "retry-timer": ("The retry timer", retry_timer),
}
"""What there are diagrams of, with their titles."""


def explore(depth: int = DEPTH) -> dict[str, list[Edge]]:
    """The edges of every aspect, in the order in which they are found."""
    edges: dict[str, dict[Edge, None]] = {name: {} for name in ASPECTS}
    frontier = [_prepared(calls) for calls in SEEDS]
    seen = {*map(_key, frontier)}
    for _ in range(depth):
        following = []
        for state in frontier:
            # A state is copied for every call that is made of it; nothing in the standard library copies faster.
            kept = pickle.dumps(state)
            for call in MENU:
                for port in PORTS:
                    after, asked = _perform(pickle.loads(kept), call, port, edges)  # noqa: S301 - what it reads, the line above wrote
                    if after is None:
                        continue
                    key = _key(after)
                    if key not in seen:
                        seen.add(key)
                        following.append(after)
                    if not asked:
                        break  # the port was not asked: its other answers lead nowhere else
        frontier = following
    return {name: [*found] for name, found in edges.items()}


def _prepared(calls: tuple[tuple[Any, ...], ...]) -> State:
    """The state of a new device after some calls."""
    runner = Runner(_Environment(PORTS[0], lambda _: None), invariants=False)
    runner.add_port(1)
    runner.call("create", 1, 1, 0)
    for call in calls:
        runner.call(*call)
    return runner.state


def _key(state: State) -> str:
    """What two states must share to be one: all but what only counts."""
    device = state.device
    rows = [
        (row.peer, row.tokens, row.freed, row.send_tokens, row.leaving, row.queue_length)
        for row in state.clients
    ]
    buffers = [(row.origin, row.place, row.written, row.marshalled) for row in state.buffers]
    return repr((
        device.destroyed, device.running, device.active, device.port, device.awaiting, device.sealed,
        device.retry_armed, device.retry_due_ms, device.read_wanted, device.write_limited, rows, buffers,
    ))  # fmt: skip


def _perform(
    state: State, call: tuple[Any, ...], port: Port, edges: dict[str, dict[Edge, None]]
) -> tuple[State | None, bool]:
    """Make one call; the state after it, and whether the port was asked anything."""
    name, *arguments = call
    if name in {"write_buffer_add", "write_buffer_release"}:
        held = [row.handle for row in state.buffers if row.place == Place.HELD]
        if not held:
            return None, False
        arguments = [held[0], b"ab"] if name == "write_buffer_add" else [held[0]]
    last = {aspect: look(state) for aspect, (_, look) in ASPECTS.items()}
    why, asked = name, False

    def record(waiting: str | None) -> None:
        nonlocal why, asked
        for aspect, (_, look) in ASPECTS.items():
            edges[aspect] |= dict.fromkeys(_edges(last[aspect], now := look(state), why))
            last[aspect] = now
        why = f"{waiting} answered"
        asked = asked or waiting in {"write", "read_one_msg_from_device"}

    runner = Runner(_Environment(port, record), invariants=False)
    runner.state = state
    runner.machine = type(runner.machine)(state)
    try:
        runner.call(name, *arguments)
    except (ContractError, BadMigrationDataError):
        return None, asked
    record(None)
    return state, asked


def _edges(before: dict[Any, str], after: dict[Any, str], why: str) -> Iterator[Edge]:
    for thing in dict.fromkeys([*before, *after]):
        old, new = before.get(thing, "[*]"), after.get(thing, "[*]")
        if old != new:
            yield old, new, why
