"""Small scopes: so few clients, buffers and counts that every state can be visited.

A scope says which calls are made in a state, outside and inside callbacks, and how callbacks can be answered.
Defects are shy of neither: what goes wrong mostly goes wrong with two of something.

Buffers are named by the lowest number that is free, so that equal states have equal names, whatever led to them.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any, Final

from chardev_conformance.scenario import Step
from chardev_spec.events import Callback, PortWrite, ReadOneMsgFromDevice
from chardev_spec.record import HEADER_SIZE, MESSAGE_SIZE, Record, encode
from chardev_spec.state import Place, State

PORT: Final = "p1"


@dataclass(frozen=True, slots=True)
class Peer:
    """How a client is added."""

    name: str
    flow: bool = True
    room: int = 1
    window: int = 2
    credit: int = 0
    waits: bool = False

    def step(self) -> Step:
        """The call that adds it."""
        arguments = {
            "client": self.name,
            "do_flow_control": self.flow,
            "max_send_queue_size": self.room,
            "num_client_tokens": self.window,
            "num_send_tokens": self.credit,
            "wait_for_migrate_data": self.waits,
        }
        return Step("client_add", arguments)


@dataclass(frozen=True, slots=True)
class Scope:
    """What is small about it, and what is tried.

    `calls` are made outside, `disturbances` inside callbacks, one a call; each is tried with all that it can be about.
    `buffers` bounds those that are held or pending, `credit` the send tokens of a client, `messages` what a call reads.
    """

    name: str
    title: str
    calls: AbstractSet[str]
    peers: tuple[Peer, ...] = ()
    disturbances: frozenset[str] = frozenset()
    interval: int = 1
    self_tokens: int = 1
    announces: bool = False
    buffers: int = 2
    sizes: tuple[int, ...] = (2,)
    credit: int = 1
    messages: int = 1
    answers: tuple[Any, ...] = ("all", 0, 1)
    """How the port answers a write; one that asks for more than there is counts as "all"."""
    raises: bool = False
    clients_at_once: int = 2
    restores: tuple[Record, ...] = field(default=())

    def begin(self) -> Step:
        """The call that makes the device."""
        arguments = {
            "port": PORT,
            "client_tokens_interval": self.interval,
            "self_tokens": self.self_tokens,
        }
        return Step("create", arguments)

    def steps(self, state: State, names: dict[str, Any]) -> Iterator[Step]:
        """The calls that are tried outside, in this state; `names` are those of buffers and migration data."""
        return self._steps(state, names, self.calls)

    def inside(self, state: State, names: dict[str, Any]) -> Iterator[Step]:
        """The calls that are tried inside a callback."""
        return self._steps(state, names, self.disturbances)

    def values(self, event: Callback, messages: int) -> tuple[Any, ...]:
        """How a callback can be answered, the dull way first; `messages` were read in the call so far."""
        if isinstance(event, PortWrite):
            return tuple(each for each in self.answers if each != 1 or len(event.data) > 1)
        if isinstance(event, ReadOneMsgFromDevice) and messages < self.messages:
            return (None, True)
        return (None,)

    def _steps(
        self, state: State, names: dict[str, Any], calls: AbstractSet[str]
    ) -> Iterator[Step]:
        device = state.device
        held = {
            name: state.buffers[handle]
            for name, handle in names.items()
            if name.startswith("b")
            and handle in state.buffers
            and state.buffers[handle].place == Place.HELD
        }
        if device.destroyed:
            if "write_buffer_release_without_device" in calls:
                for name in held:
                    yield Step("write_buffer_release_without_device", {"buffer": name})
            return
        for call in PLAIN:
            if call in calls:
                yield Step(call)
        if "reset_dev_instance" in calls:
            yield Step("reset_dev_instance", {"port": PORT if device.port is None else None})
        yield from self._client_steps(state, calls)
        yield from self._buffer_steps(state, held, calls)
        yield from self._migration_steps(state, names, calls)

    def _client_steps(self, state: State, calls: AbstractSet[str]) -> Iterator[Step]:
        attached = {row.peer: row for row in state.clients}
        if "client_add" in calls and len(attached) < self.clients_at_once:
            for peer in self.peers:
                if peer.name not in attached:
                    yield peer.step()
        for name, row in attached.items():
            if "client_remove" in calls:
                yield Step("client_remove", {"client": name})
            if "send_to_client_tokens_add" in calls and row.send_tokens < self.credit:
                yield Step("send_to_client_tokens_add", {"client": name, "tokens": 1})
            if "send_to_client_tokens_set" in calls and row.send_tokens > 0:
                yield Step("send_to_client_tokens_set", {"client": name, "tokens": 0})
            if "wait_timer_fired" in calls and row.wait_armed:
                yield Step("wait_timer_fired", {"client": name})

    def _buffer_steps(
        self, state: State, held: dict[str, Any], calls: AbstractSet[str]
    ) -> Iterator[Step]:
        if len(held) + state.buffers.pending_count() < self.buffers:
            name = next(name for i in range(1, 99) if (name := f"b{i}") not in held)
            for size in self.sizes:
                if "write_buffer_get" in calls:
                    for peer in [*(row.peer for row in state.clients), None]:
                        arguments = {"client": peer, "size": size}
                        yield Step("write_buffer_get", arguments, result_name=name)
                if "write_buffer_get_server_no_token" in calls:
                    arguments = {"size": size}
                    yield Step("write_buffer_get_server_no_token", arguments, result_name=name)
        for name, row in held.items():
            if "write_buffer_add" in calls:
                data = bytes(range(1, row.capacity + 1)).hex()
                yield Step("write_buffer_add", {"buffer": name, "data": data})
            if "write_buffer_release" in calls:
                yield Step("write_buffer_release", {"buffer": name})

    def _migration_steps(
        self, state: State, names: dict[str, Any], calls: AbstractSet[str]
    ) -> Iterator[Step]:
        device = state.device
        marshalled = "x1" in names
        if "migrate_data_marshall" in calls and not marshalled and can_marshall(state):
            yield Step("migrate_data_marshall", result_name="x1")
        if "migrate_data_release" in calls and marshalled:
            yield Step("migrate_data_release", {"data": "x1"})
        waits = device.awaiting is not None and not state.clients[device.awaiting].leaving
        if "restore" in calls and waits:
            for record in self.restores:
                yield Step("restore", {"message": message_of(record).hex()})


PLAIN: Final = ("start", "stop", "wakeup", "retry_timer_fired", "reset", "destroy")
"""Calls that are about the device alone, in the order in which they are tried."""


def can_marshall(state: State) -> bool:
    """Whether the contract allows to marshall (MIG-2)."""
    device = state.device
    if device.running or device.awaiting is not None or device.frames or state.clients.count() != 1:
        return False
    [row] = state.clients
    held = state.buffers.exists(
        lambda buffer: buffer.client == row.handle and buffer.place == Place.HELD
    )
    return not row.leaving and row.queue_length == 0 and not held


def message_of(record: Record) -> bytes:
    """A whole message: as many bytes of data as the record says, as far as that is in reason."""
    size = min(record.write_size, 16)
    return bytes(HEADER_SIZE) + encode(record) + bytes(range(0xA1, 0xA1 + size))


def good_record(tokens: int, *, size: int = 0, price: int = 0, credit: int = 0) -> Record:
    """A record of a source with a client that is connected."""
    return Record(1, 1, tokens, credit, size, price, MESSAGE_SIZE if size else 0)


WRITES: Final = frozenset(
    "write_buffer_get write_buffer_add write_buffer_release write_buffer_release_without_device".split()
)
RUNS: Final = frozenset("start stop wakeup retry_timer_fired reset_dev_instance".split())
ENDS: Final = frozenset("reset destroy".split())
CLIENTS: Final = frozenset("client_add client_remove".split())
CREDIT: Final = frozenset(
    "send_to_client_tokens_add send_to_client_tokens_set wait_timer_fired".split()
)
MOVES: Final = frozenset("migrate_data_marshall migrate_data_release restore".split())

SCOPES: Final = {
    scope.name: scope
    for scope in (
        Scope(
            "writing",
            "one client and the server write two buffers to a port that takes all, a part, nothing, or fails",
            WRITES | RUNS | ENDS | CLIENTS,
            (Peer("c1", window=1),),
            frozenset("stop reset client_remove".split()),
            answers=("all", 0, 1, "fail"),
        ),
        Scope(
            "announcing",
            "a port that announces writability, a client without flow control, and empty buffers",
            WRITES | RUNS | {"reset"} | CLIENTS,
            (Peer("c1", flow=False),),
            frozenset("stop wakeup".split()),
            announces=True,
            buffers=1,
            sizes=(0, 2),
        ),
        Scope(
            "reading",
            "two clients are sent what the port gives, as far as they have credit and room",
            RUNS | ENDS | CLIENTS | CREDIT,
            (Peer("c1", credit=1), Peer("c2")),
            frozenset(
                "stop reset destroy wakeup client_remove client_add send_to_client_tokens_add".split()
            ),
            raises=True,
            messages=2,
        ),
        Scope(
            "moving",
            "one client moves: marshalled as a source, restored as a destination",
            MOVES
            | CLIENTS
            | set(
                "start stop reset write_buffer_get write_buffer_add write_buffer_release".split()
            ),
            (Peer("c1", window=1), Peer("c2", window=1, waits=True)),
            frozenset({"client_remove"}),
            buffers=1,
            clients_at_once=1,
            answers=("all", 0),
            restores=(
                good_record(1),
                good_record(0, size=2, price=1, credit=1),
                good_record(1)._replace(version=2),
            ),
        ),
    )
}
"""The scopes, by name."""


def quiet(scope: Scope) -> Scope:
    """The scope without anything inside callbacks, and without exceptions."""
    return replace(scope, disturbances=frozenset(), raises=False)
