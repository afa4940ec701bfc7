"""The state: scalars of the device, and tables of clients, buffers and queued messages.

Theory of operation
===================
A machine (`contract.Contract`) never holds a record across a callback; it holds *handles* and looks up again.
Handles are numbers that are never used twice, given in rising order, so that a handle is also an order number:
the client with the highest handle is the newest, the queued message with the lowest is the oldest.

The tables offer the few operations that the machine's text needs: look up, exists, totals, FIFO ends, and
updates of many rows at once.
An update of many rows computes every new value from the old row.
This interface is what a symbolic state offers as well; nothing in the machine reaches below it.

Fields marked *ghost* are read by invariants only: they record totals that the contract speaks of.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, fields
from enum import IntEnum
from operator import attrgetter
from typing import Any, Final, Generic, NamedTuple, Self, TypeAlias, TypeVar

from chardev_spec.events import Message, Peer

UINT32_MAX: Final = 2**32 - 1
"""The largest count that the header's types carry (TOK-5)."""

POOL_LIMIT: Final = 640 * 1024
"""Bytes of buffer memory that may be kept for reuse (BUF-5): ten of the largest USB messages of 64 KiB."""

RETRY_DELAY_MS: Final = 100
"""Delay of the retry timer after a port took nothing (WR-4)."""

WAIT_DELAY_MS: Final = 30_000
"""How long a client may leave messages waiting for send tokens (RD-5)."""


class Origin(IntEnum):
    """Who a buffer is from, and so where its price goes."""

    CLIENT = 1
    SERVER = 2
    SERVER_NO_TOKEN = 3
    NOBODY = 4


class Place(IntEnum):
    """Where a buffer is; exactly one of these (BUF-1)."""

    HELD = 1
    QUEUED = 2
    CURRENT = 3
    WRITTEN = 4
    FREE = 5


@dataclass(slots=True)
class Port:
    """What lies below the device: a serial line, a virtio port."""

    announces_writability: bool
    attached_elsewhere: bool = False


@dataclass(slots=True)
class Device:
    """The scalars of one device."""

    destroyed: bool = False
    running: bool = False
    active: bool = False
    """Whether any byte has moved since start (LC-8)."""
    port: int | None = None
    """The attached port."""
    port_generation: int = 0
    """Counts attachments and detachments: an equal generation means the same attachment (WR-8)."""
    announces_writability: bool = False
    """Whether the attached port calls `wakeup` when it takes bytes again (WR-4)."""
    port_owes_wakeup: bool = False
    """An announcing port took less than it was offered (WR-4)."""
    interval: int = 0
    """Freed tokens are announced when they reach this many (TOK-3)."""
    self_tokens: int = 0
    initial_self_tokens: int = 0
    """Ghost: the self tokens at creation (SELF-1)."""
    awaiting: int | None = None
    """The client for which migration data is awaited."""
    sealed: bool = False
    """Marshalled: nothing moves until client_remove, reset or destroy (MIG-2)."""

    writing: bool = False
    """A writer is on the stack (WR-5)."""
    write_asked: bool = False
    """A write was asked for since the outstanding port write was made (WR-5)."""
    write_limited: bool = False
    """The last write pass was stopped by a limit (WR-5) or an exception (CB-5)."""
    write_outstanding: bool = False
    """The port's write is on the stack."""
    answer_ignored: bool = False
    """A reset or destroy overtook the outstanding write: its answer counts nothing (WR-7)."""
    write_due: int = 0
    """Ghost, balanced: frames on the stack that still owe a write pass."""

    reading: bool = False
    """A reader is on the stack (RD-8)."""
    read_wanted: bool = False
    """A read was asked for after the port last said "nothing" (RD-8)."""
    read_asked: bool = False
    """A read was asked for since the outstanding read was made (RD-8)."""
    read_due: int = 0
    """Ghost, balanced: frames on the stack that still owe a read pass."""

    retry_armed: bool = False
    retry_due_ms: int = 0
    announcing: int = 0
    """Ghost, balanced: resets on the stack that still owe announcements (TOK-3)."""
    frames: int = 0
    """Calls on the stack (MIG-2)."""
    references: int = 0
    """Ghost: references to messages that the device holds (CB-4)."""
    spare_bytes: int = 0
    """Buffer memory kept for reuse, in bytes (BUF-5)."""
    now_ms: int = 0
    """The virtual clock; only the environment moves it."""


@dataclass(slots=True)
class Client:
    """One attachment of a peer to the device."""

    handle: int
    peer: Peer
    flow_control: bool
    window: int
    """The client tokens given at client_add."""
    tokens: int
    """Client tokens: buffers it may still send."""
    freed: int
    """Tokens given back but not yet announced (TOK-3)."""
    send_tokens: int
    """Messages that may still be sent to it (RD-6)."""
    max_send_queue_size: int
    queue_length: int = 0
    """Messages in its send queue."""
    wait_armed: bool = False
    wait_due_ms: int = 0
    leaving: bool = False
    """`remove_client` has been called for it; nothing more is sent to it or taken from it (RD-4)."""
    pushing: bool = False
    """A push of its send queue is on the stack (RD-7)."""
    granted: int = 0
    """Ghost: send tokens it granted (RD-6)."""
    sent: int = 0
    """Ghost: messages sent to it (RD-6)."""
    announced: int = 0
    """Ghost: client tokens announced to it (TOK-6)."""
    taken: int = 0
    """Ghost: client tokens its buffers took (TOK-6)."""


@dataclass(slots=True)
class Buffer:
    """One write buffer."""

    handle: int
    origin: Origin
    client: int | None
    """The client whose tokens paid for it; None when it is the server's or nobody's."""
    capacity: int
    price: int
    """Tokens it returns when consumed or released; 1, but for restored data (MIG-4)."""
    place: Place
    data: bytes = b""
    """Its content, `used` bytes, fixed at write_buffer_add."""
    written: int = 0
    """Bytes of `data` that the port has taken."""
    order: int = 0
    """Its number in the order of the write queue, from when it joined (WR-1); restored data has 0."""
    references: int = 1
    offered: bool = False
    """Part of the outstanding port write, which holds a reference (BUF-2)."""
    marshalled: bool = False
    """Part of the sealed state: dropped when the seal ends (MIG-2)."""
    marshaller_references: int = 0
    """References that migration marshallers hold (BUF-2)."""


@dataclass(slots=True)
class QueuedMessage:
    """One entry of a client's send queue."""

    handle: int
    client: int
    message: Message


FIELDS: Final[dict[type[Any], Callable[[Any], tuple[Any, ...]]]] = {
    kind: attrgetter(*[each.name for each in fields(kind)])
    for kind in (Device, Client, Buffer, QueuedMessage)
}
"""All fields of a row at once, in the order in which its type takes them."""

Row = TypeVar("Row", Client, Buffer, QueuedMessage)
Where: TypeAlias = Callable[[Row], bool]


class Table(Generic[Row]):
    """Rows by handle, in the order in which they were inserted."""

    __slots__ = ("_next_handle", "_rows")

    def __init__(self) -> None:
        self._rows: dict[int, Row] = {}
        self._next_handle = 1

    def __getitem__(self, handle: int) -> Row:
        return self._rows[handle]

    def __contains__(self, handle: int | None) -> bool:
        return handle in self._rows

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def copy(self) -> Self:
        """A table of copies of the rows, which gives the same handles next."""
        result = type(self)()
        result._next_handle = self._next_handle
        # Not `copy.copy`: explorations copy some states ten thousand times a second.
        rows = result._rows
        for handle, row in self._rows.items():
            rows[handle] = type(row)(*FIELDS[type(row)](row))
        return result

    def next_handle(self) -> int:
        """A handle that was never used before."""
        handle = self._next_handle
        self._next_handle = handle + 1
        return handle

    def insert(self, row: Row) -> None:
        """Add a row under its handle."""
        self._rows[row.handle] = row

    def delete(self, handle: int) -> None:
        """Take a row away."""
        del self._rows[handle]

    def clear(self) -> None:
        """Take all rows away."""
        self._rows.clear()

    def empty(self) -> bool:
        """Whether there is no row."""
        return not self._rows

    def count(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    def exists(self, where: "Where[Row]") -> bool:
        """Whether any row satisfies `where`."""
        for row in self._rows.values():
            if where(row):
                return True
        return False

    def total(self, where: "Where[Row]", weight: Callable[[Row], int]) -> int:
        """The sum of `weight` over the rows that satisfy `where`."""
        if not self._rows:
            return 0
        return sum([weight(row) for row in self._rows.values() if where(row)])

    def update(self, where: "Where[Row]", **values: Callable[[Row], Any]) -> None:
        """Set the named fields of every row that satisfies `where`; each value is computed from the old row."""
        for row in self._rows.values():
            if where(row):
                changes = [(name, value(row)) for name, value in values.items()]
                for name, value in changes:
                    setattr(row, name, value)


class Clients(Table[Client]):
    """The attached clients."""

    __slots__ = ()

    def attached(self, peer: Peer) -> int | None:
        """The handle of the attachment of `peer`, None when it is not attached."""
        for row in self._rows.values():
            if row.peer == peer:
                return row.handle
        return None

    def newest_first(self) -> list[int]:
        """The handles of all clients, the newest first."""
        return [*reversed(self._rows)]

    def oldest_first(self) -> list[int]:
        """The handles of all clients, the oldest first."""
        return [*self._rows]

    def most_send_tokens(self) -> int:
        """The send tokens of the client that has most of them; 0 without clients."""
        return max([row.send_tokens for row in self._rows.values()], default=0)


class SendQueue(Table[QueuedMessage]):
    """The send queues of all clients: a queue is the entries of one client, oldest first."""

    __slots__ = ()

    def first(self, client: int) -> int:
        """The oldest entry of the client's queue, which must not be empty."""
        return next(row.handle for row in self._rows.values() if row.client == client)

    def drain(self, client: int) -> list[Message]:
        """Take the client's whole queue away; its messages, oldest first."""
        entries = [row for row in self._rows.values() if row.client == client]
        for row in entries:
            del self._rows[row.handle]
        return [row.message for row in entries]

    def drain_all(self, clients: list[int]) -> list[Message]:
        """Take the queues of these clients away; their messages, client by client, each oldest first."""
        return [message for client in clients for message in self.drain(client)]


class Offer(NamedTuple):
    """What one port write offers: the bytes, and how many they are."""

    data: bytes
    size: int


class Marshalled(NamedTuple):
    """What a marshaller refers to: the bytes, and the buffers they lie in."""

    data: bytes
    handles: tuple[int, ...]


class Buffers(Table[Buffer]):
    """The write buffers.

    The write queue is the buffer in place CURRENT, if any, and behind it those in place QUEUED, in the order in
    which they came there.
    Buffers in place WRITTEN keep that order.
    """

    __slots__ = ("_next_order", "_ordered")

    def __init__(self) -> None:
        super().__init__()
        self._next_order = 1
        # The rows of the places that have an order. HELD and FREE have none.
        self._ordered: dict[Place, dict[int, Buffer]] = {
            Place.CURRENT: {},
            Place.QUEUED: {},
            Place.WRITTEN: {},
        }

    def copy(self) -> Self:
        """A table of copies of the rows, in the same places and order."""
        result = super().copy()
        result._next_order = self._next_order
        rows = result._rows
        for place, ordered in self._ordered.items():
            if ordered:
                result._ordered[place] = {handle: rows[handle] for handle in ordered}
        return result

    def insert(self, row: Buffer) -> None:
        """Add a row under its handle, last of its place."""
        self._rows[row.handle] = row
        if row.place in self._ordered:
            self._ordered[row.place][row.handle] = row

    def delete(self, handle: int) -> None:
        """Take a row away."""
        row = self._rows.pop(handle)
        if row.place in self._ordered:
            del self._ordered[row.place][handle]

    def clear(self) -> None:
        """Take all rows away."""
        super().clear()
        for rows in self._ordered.values():
            rows.clear()

    def move(self, handle: int, place: Place) -> None:
        """Put a buffer last of another place."""
        row = self._rows[handle]
        if row.place in self._ordered:
            del self._ordered[row.place][handle]
        row.place = place
        if place in self._ordered:
            self._ordered[place][handle] = row

    def enqueue(self, handle: int, data: bytes) -> None:
        """Put a held buffer, with its content, last of the write queue (WR-1)."""
        row = self._rows[handle]
        row.data = data
        row.order = self._next_order
        self._next_order += 1
        self.move(handle, Place.QUEUED)

    def any_in(self, place: Place) -> bool:
        """Whether a buffer is in `place` (CURRENT, QUEUED or WRITTEN)."""
        return bool(self._ordered[place])

    def first(self, place: Place) -> int:
        """The oldest buffer in `place` (CURRENT, QUEUED or WRITTEN), which must not be empty."""
        return next(iter(self._ordered[place]))

    def rows(self, place: Place) -> list[Buffer]:
        """The buffers in `place` (CURRENT, QUEUED or WRITTEN), oldest first."""
        return [*self._ordered[place].values()]

    def pending(self) -> bool:
        """Whether a buffer is queued or current."""
        return bool(self._ordered[Place.CURRENT]) or bool(self._ordered[Place.QUEUED])

    def current_count(self) -> int:
        """How many buffers are current."""
        return len(self._ordered[Place.CURRENT])

    def first_pending(self) -> int:
        """The head of the write queue, which must not be empty."""
        return next(iter(self._ordered[Place.CURRENT] or self._ordered[Place.QUEUED]))

    def pending_count(self) -> int:
        """How many buffers are queued or current."""
        return len(self._ordered[Place.CURRENT]) + len(self._ordered[Place.QUEUED])

    def pending_rows(self) -> list[Buffer]:
        """The write queue, in order."""
        return [*self._ordered[Place.CURRENT].values(), *self._ordered[Place.QUEUED].values()]

    def pending_in_order(self) -> bool:
        """Whether the order numbers rise along the write queue (WR-1)."""
        rows = self.pending_rows()
        return all(rows[i].order < rows[i + 1].order for i in range(len(rows) - 1))

    def pending_bytes(self) -> int:
        """How many bytes the write queue still has to write."""
        return sum([len(row.data) - row.written for row in self.pending_rows()])

    def offer(self, count: int) -> Offer:
        """Offer the first `count` buffers of the write queue to the port; each gains a reference (BUF-2)."""
        current, queued = self._ordered[Place.CURRENT], self._ordered[Place.QUEUED]
        rows = [*current.values()]
        for row in queued.values():
            if len(rows) == count:
                break
            rows.append(row)
        for row in rows:
            row.offered = True
            row.references += 1
        data = b"".join([row.data[row.written :] for row in rows])
        return Offer(data, len(data))

    def marshal(self) -> Marshalled:
        """Mark the write queue as marshalled; a marshaller refers to each buffer from now on (MIG-2, BUF-2)."""
        rows = self.pending_rows()
        for row in rows:
            row.marshalled = True
            row.references += 1
            row.marshaller_references += 1
        data = b"".join([row.data[row.written :] for row in rows])
        return Marshalled(data, tuple([row.handle for row in rows]))

    def take(self, size: int, *, empty: bool = True) -> int:
        """Let the port take `size` bytes off the write queue; how many buffers that completed.

        What is completed, and the empty buffers behind it, becomes written, all at once (WR-3, BUF-6).
        With `empty` False the empty ones behind the last byte stay.
        A buffer of which some bytes are left becomes current (WR-7).
        """
        completed = 0
        while self.pending() and (empty or size > 0):
            row = self._rows[self.first_pending()]
            rest = len(row.data) - row.written
            if rest > size:
                if size > 0:
                    row.written += size
                    if row.place == Place.QUEUED:
                        self.move(row.handle, Place.CURRENT)
                break
            size -= rest
            row.written += rest
            self.move(row.handle, Place.WRITTEN)
            completed += 1
        return completed

    def drop(self, where: "Where[Buffer]") -> int:
        """Put every buffer that satisfies `where` in place FREE and drop its place's reference.

        Answers the bytes of memory that nothing refers to any more.
        """
        freed_bytes = 0
        for row in [row for row in self._rows.values() if row.place != Place.FREE and where(row)]:
            self.move(row.handle, Place.FREE)
            freed_bytes += self.unref(row.handle)
        return freed_bytes

    def unref(self, handle: int) -> int:
        """Drop one reference to a buffer; with the last one its row goes.

        Answers the bytes of memory that nothing refers to any more.
        """
        row = self._rows[handle]
        row.references -= 1
        if row.references > 0:
            return 0
        del self._rows[handle]
        return row.capacity

    def end_offer(self) -> int:
        """Drop the references of the outstanding write.

        Answers the bytes of memory that nothing refers to any more.
        """
        freed_bytes = 0
        for row in [row for row in self._rows.values() if row.offered]:
            row.offered = False
            freed_bytes += self.unref(row.handle)
        return freed_bytes


@dataclass(slots=True)
class State:
    """Everything a machine knows."""

    device: Device = field(default_factory=Device)
    ports: dict[int, Port] = field(default_factory=dict)
    clients: Clients = field(default_factory=Clients)
    buffers: Buffers = field(default_factory=Buffers)
    send_queue: SendQueue = field(default_factory=SendQueue)
    quirk_fields: dict[str, Any] = field(default_factory=dict)
    """What the quirks of a profile remember beyond this, by the name they give it (`profiles.quirk`)."""

    def copy(self) -> "State":
        """Another state that is equal and shares nothing but the ports."""
        return State(
            Device(*FIELDS[Device](self.device)),
            self.ports,
            self.clients.copy(),
            self.buffers.copy(),
            self.send_queue.copy(),
            deepcopy(self.quirk_fields) if self.quirk_fields else {},
        )
