"""What holds at every callback point and after every call, whatever happened before.

An invariant is a predicate over the device, over each client, over each buffer, or over an event at the moment it is
yielded.
Those marked *outside* hold when no call is on the stack: they say that nothing was forgotten.
Each cites the rules that it states; many are there because the others need them to be inductive.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias, get_args

from chardev_spec.contract import Contract
from chardev_spec.events import (
    Callback,
    PortWrite,
    ReadOneMsgFromDevice,
    RemoveClient,
    SendMsgToClient,
    SendTokensToClient,
    UnrefMsgToClient,
)
from chardev_spec.state import (
    POOL_LIMIT,
    RETRY_DELAY_MS,
    UINT32_MAX,
    WAIT_DELAY_MS,
    Buffer,
    Client,
    Origin,
    Place,
)


class Scope(Enum):
    """What an invariant is evaluated on."""

    DEVICE = "device"
    CLIENT = "client"
    BUFFER = "buffer"
    EVENT = "event"
    OUTSIDE = "outside"


@dataclass(frozen=True, slots=True)
class Invariant:
    """A named predicate; `rules` are the ids of the rules that it states."""

    name: str
    rules: tuple[str, ...]
    scope: Scope
    text: str
    holds: Callable[..., bool]


DevicePredicate: TypeAlias = Callable[[Contract], bool]
ClientPredicate: TypeAlias = Callable[[Contract, Client], bool]
BufferPredicate: TypeAlias = Callable[[Contract, Buffer], bool]
EventPredicate: TypeAlias = Callable[[Contract, Any], bool]

INVARIANTS: Final[list[Invariant]] = []
EVENT_INVARIANTS: Final[dict[type[Callback], list[Invariant]]] = {}


def _declare(scope: Scope, rules: tuple[str, ...], holds: Callable[..., bool]) -> Invariant:
    name = holds.__name__
    invariant = Invariant(name, rules, scope, (holds.__doc__ or "").strip(), holds)
    INVARIANTS.append(invariant)
    return invariant


def device_invariant(*rules: str) -> Callable[[DevicePredicate], DevicePredicate]:
    """Declare a predicate over the device."""

    def declare(holds: DevicePredicate) -> DevicePredicate:
        _declare(Scope.DEVICE, rules, holds)
        return holds

    return declare


def outside_invariant(*rules: str) -> Callable[[DevicePredicate], DevicePredicate]:
    """Declare a predicate over the device when no call is on the stack."""

    def declare(holds: DevicePredicate) -> DevicePredicate:
        _declare(Scope.OUTSIDE, rules, holds)
        return holds

    return declare


def client_invariant(*rules: str) -> Callable[[ClientPredicate], ClientPredicate]:
    """Declare a predicate over each client."""

    def declare(holds: ClientPredicate) -> ClientPredicate:
        _declare(Scope.CLIENT, rules, holds)
        return holds

    return declare


def buffer_invariant(*rules: str) -> Callable[[BufferPredicate], BufferPredicate]:
    """Declare a predicate over each buffer."""

    def declare(holds: BufferPredicate) -> BufferPredicate:
        _declare(Scope.BUFFER, rules, holds)
        return holds

    return declare


def event_invariant(
    event: type[Callback], *rules: str
) -> Callable[[EventPredicate], EventPredicate]:
    """Declare a predicate over each event of one kind, at the moment it is yielded."""

    def declare(holds: EventPredicate) -> EventPredicate:
        EVENT_INVARIANTS.setdefault(event, []).append(_declare(Scope.EVENT, rules, holds))
        return holds

    return declare


# Tokens


@client_invariant("TOK-1", "TOK-5")
def tokens_are_conserved(machine: Contract, row: Client) -> bool:
    """Client tokens, freed tokens and the price of buffers in flight are the window."""
    return (
        not row.flow_control or row.tokens + row.freed + machine.in_flight(row.handle) == row.window
    )


@client_invariant("TOK-2", "TOK-5")
def counts_are_not_negative(machine: Contract, row: Client) -> bool:
    """No count of a client is below zero."""
    return row.tokens >= 0 and row.freed >= 0 and row.send_tokens >= 0 and row.queue_length >= 0


@client_invariant("TOK-4")
def nothing_is_freed_without_flow_control(machine: Contract, row: Client) -> bool:
    """Without flow control no token is freed, so none is announced."""
    return row.flow_control or row.freed == 0


@client_invariant("LC-6")
def peers_are_attached_once(machine: Contract, row: Client) -> bool:
    """A peer has one attachment, which is found by it."""
    return machine.clients.attached(row.peer) == row.handle


@device_invariant("CB-1", "RD-7")
def dues_are_not_negative(machine: Contract) -> bool:
    """What frames owe is counted up before it is counted down."""
    device = machine.device
    return device.write_due >= 0 and device.read_due >= 0 and device.announcing >= 0


@client_invariant("RD-7", "RD-8")
def pushes_owe_a_read(machine: Contract, row: Client) -> bool:
    """Who pushes a queue reads on afterwards."""
    return not row.pushing or machine.device.read_due > 0


@client_invariant("TOK-3")
def freed_tokens_are_announced(machine: Contract, row: Client) -> bool:
    """Freed tokens of a client that stays are below the interval, unless a reset is about to announce them."""
    return (
        row.freed < max(machine.device.interval, 1)
        or row.leaving
        or not row.flow_control
        or machine.device.announcing > 0
    )


@client_invariant("TOK-6")
def client_knows_its_tokens(machine: Contract, row: Client) -> bool:
    """What was given and announced is what the client has and has used."""
    return (
        not row.flow_control or row.leaving or row.window + row.announced == row.tokens + row.taken
    )


@device_invariant("TOK-5", "LC-1")
def interval_fits_its_type(machine: Contract) -> bool:
    """The interval, and the self tokens at creation, are counts that the header's types carry."""
    device = machine.device
    return 0 <= device.interval <= UINT32_MAX and device.initial_self_tokens <= UINT32_MAX


@client_invariant("TOK-5", "LC-6")
def bounds_fit_their_types(machine: Contract, row: Client) -> bool:
    """The window and the bound of the send queue are counts that the header's types carry."""
    return 0 <= row.window <= UINT32_MAX and 0 <= row.max_send_queue_size <= UINT32_MAX


@client_invariant("LC-6")
def no_window_starves(machine: Contract, row: Client) -> bool:
    """With flow control, a window that is not empty reaches the interval."""
    return not row.flow_control or row.window == 0 or row.window >= machine.device.interval


@device_invariant("SELF-1")
def self_tokens_are_conserved(machine: Contract) -> bool:
    """Self tokens and the server's buffers in flight are the self tokens at creation."""
    device = machine.device
    in_flight = machine.buffers.total(
        lambda row: row.origin == Origin.SERVER and row.place != Place.FREE, lambda row: 1
    )
    return device.destroyed or device.self_tokens + in_flight == device.initial_self_tokens


@device_invariant("SELF-2")
def self_tokens_are_not_negative(machine: Contract) -> bool:
    """The count of self tokens is not below zero."""
    return machine.device.self_tokens >= 0


# Buffers


@buffer_invariant("BUF-1", "BUF-4", "TOK-1")
def payer_is_attached(machine: Contract, row: Buffer) -> bool:
    """A client's buffer has an attached client; nobody else's names one."""
    return (row.origin == Origin.CLIENT) == (row.client is not None) and (
        row.client is None or row.place == Place.FREE or row.client in machine.clients
    )


@buffer_invariant("BUF-2")
def references_are_counted(machine: Contract, row: Buffer) -> bool:
    """One reference for its place unless free, one for an outstanding write, and the marshallers'; never none."""
    places = (row.place != Place.FREE) + row.offered
    return (
        row.marshaller_references >= 0 and row.references == places + row.marshaller_references > 0
    )


@buffer_invariant("WR-7", "WR-1")
def written_bytes_fit_the_place(machine: Contract, row: Buffer) -> bool:
    """Nothing of a held or queued buffer is written, not all of the current one, all of a written one."""
    if row.place == Place.CURRENT:
        return 0 <= row.written < len(row.data)
    if row.place == Place.WRITTEN:
        return row.written == len(row.data)
    return row.place == Place.FREE or row.written == 0


@buffer_invariant("WR-7")
def orphans_wait_for_an_answer(machine: Contract, row: Buffer) -> bool:
    """A queued buffer of nobody's is part of an outstanding write."""
    return row.origin != Origin.NOBODY or row.place != Place.QUEUED or row.offered


@buffer_invariant("WR-7", "BUF-2")
def offered_buffers_are_pending(machine: Contract, row: Buffer) -> bool:
    """An offered buffer is part of the outstanding write, and pending unless the answer is ignored."""
    device = machine.device
    return not row.offered or (
        device.writing
        and device.write_outstanding
        and (device.answer_ignored or row.place == Place.QUEUED or row.place == Place.CURRENT)
    )


@buffer_invariant("MIG-2")
def marshalled_buffers_are_sealed(machine: Contract, row: Buffer) -> bool:
    """A buffer marked as marshalled is pending in a sealed device."""
    return not row.marshalled or (
        machine.device.sealed and (row.place == Place.QUEUED or row.place == Place.CURRENT)
    )


@buffer_invariant("MIG-2", "TOK-3")
def sealed_clients_hold_nothing(machine: Contract, row: Buffer) -> bool:
    """The buffers of a sealed device's client are pending: none comes back, so nothing is announced."""
    return (
        not machine.device.sealed
        or row.client is None
        or row.place == Place.QUEUED
        or row.place == Place.CURRENT
        or row.place == Place.FREE
    )


@buffer_invariant("WR-1")
def queued_buffers_have_a_number(machine: Contract, row: Buffer) -> bool:
    """What was added has an order number above that of restored data, which goes ahead of it."""
    return row.place != Place.QUEUED or row.order > 0


@buffer_invariant("BUF-1", "MIG-4")
def sizes_and_prices_are_sound(machine: Contract, row: Buffer) -> bool:
    """The content fits the capacity, and no price is negative."""
    return len(row.data) <= row.capacity and row.price >= 0


@buffer_invariant("MIG-4", "TOK-2")
def clients_pay_for_their_buffers(machine: Contract, row: Buffer) -> bool:
    """A client's buffer costs it a token; data that cost none is not a client's."""
    return row.origin != Origin.CLIENT or row.price > 0


@device_invariant("BUF-5")
def spare_memory_is_bounded(machine: Contract) -> bool:
    """Memory kept for reuse is within its limit, and none is kept without a client."""
    spare_bytes = machine.device.spare_bytes
    return 0 <= spare_bytes <= POOL_LIMIT and (spare_bytes == 0 or not machine.clients.empty())


# Writing


@event_invariant(PortWrite, "WR-2", "MIG-2")
def writes_are_allowed(machine: Contract, event: PortWrite) -> bool:
    """The port is written to only while running, attached, not awaiting, not sealed; something is offered."""
    return machine.may_write() and event.port == machine.device.port and len(event.data) > 0


@device_invariant("WR-1", "WR-7")
def write_queue_is_in_order(machine: Contract) -> bool:
    """At most one buffer is current; it and those behind it are in the order in which they were added."""
    return machine.buffers.current_count() <= 1 and machine.buffers.pending_in_order()


@device_invariant("WR-3", "WR-5")
def written_buffers_have_a_writer(machine: Contract) -> bool:
    """Buffers whose price is still to be returned belong to a writer on the stack."""
    return machine.device.writing or not machine.buffers.any_in(Place.WRITTEN)


@device_invariant("WR-5")
def outstanding_write_has_a_writer(machine: Contract) -> bool:
    """A port write is made by a writer."""
    return machine.device.writing or not machine.device.write_outstanding


@device_invariant("WR-4", "WR-6", "WR-8")
def no_data_is_stuck(machine: Contract) -> bool:
    """Where data may be written, the retry timer, the port's wakeup, a writer or a frame will see to it."""
    device = machine.device
    return (
        device.retry_armed
        or device.port_owes_wakeup
        or device.writing
        or device.write_due > 0
        or not machine.may_write()
    )


@device_invariant("WR-4", "LC-2", "LC-4")
def retry_timer_has_a_purpose(machine: Contract) -> bool:
    """The retry timer is armed only on a running device with a port."""
    device = machine.device
    return not device.retry_armed or (device.running and device.port is not None)


@device_invariant("WR-4")
def retry_timer_is_settled(machine: Contract) -> bool:
    """The retry timer is armed only for what is owed, or until a pass that is on the stack or due settles it."""
    device = machine.device
    return (
        not device.retry_armed
        or device.writing
        or device.reading
        or device.write_due > 0
        or device.read_due > 0
        or machine.write_owed()
        or machine.read_owed()
    )


@device_invariant("WR-5", "RD-8")
def what_a_limit_left_is_due(machine: Contract) -> bool:
    """A retry timer that is armed for a read, or for what a limit left, is due, unless a pass will settle it."""
    device = machine.device
    return (
        not device.retry_armed
        or device.writing
        or device.reading
        or device.write_due > 0
        or device.read_due > 0
        or not (machine.read_owed() or (device.write_limited and machine.write_owed()))
        or device.retry_due_ms <= device.now_ms
    )


@device_invariant("WR-4")
def retry_timer_is_soon_due(machine: Contract) -> bool:
    """An armed retry timer is due within its delay."""
    device = machine.device
    return not device.retry_armed or device.retry_due_ms <= device.now_ms + RETRY_DELAY_MS


@device_invariant("WR-4")
def only_announcing_ports_owe(machine: Contract) -> bool:
    """A wakeup is owed by an attached port that announces writability."""
    device = machine.device
    return not device.port_owes_wakeup or (device.announces_writability and device.port is not None)


# Reading


@event_invariant(ReadOneMsgFromDevice, "RD-1", "MIG-2")
def reads_are_allowed(machine: Contract, event: ReadOneMsgFromDevice) -> bool:
    """The port is read only while RD-1's condition holds."""
    return machine.may_read() and event.port == machine.device.port


@event_invariant(SendMsgToClient, "RD-4", "MIG-2")
def messages_go_to_clients_that_stay(machine: Contract, event: SendMsgToClient) -> bool:
    """A message goes to an attached client that is not leaving, of a device that is not sealed."""
    client = machine.clients.attached(event.client)
    return client is not None and not machine.clients[client].leaving and not machine.device.sealed


@event_invariant(SendTokensToClient, "RD-4", "TOK-4", "MIG-2")
def tokens_go_to_clients_that_stay(machine: Contract, event: SendTokensToClient) -> bool:
    """Tokens, at least one, are announced to an attached client with flow control that is not leaving."""
    client = machine.clients.attached(event.client)
    return (
        client is not None
        and event.tokens > 0
        and machine.clients[client].flow_control
        and not machine.clients[client].leaving
        and not machine.device.sealed
    )


@event_invariant(SendTokensToClient, "TOK-3", "LC-3")
def announcements_reach_the_interval(machine: Contract, event: SendTokensToClient) -> bool:
    """Tokens are announced when they have reached the interval; only a reset announces fewer."""
    return event.tokens >= machine.device.interval or machine.device.announcing > 0


@event_invariant(RemoveClient, "RD-4")
def leaving_comes_first(machine: Contract, event: RemoveClient) -> bool:
    """A client whose removal is asked for is leaving already, its wait timer disarmed."""
    client = machine.clients.attached(event.client)
    return (
        client is not None
        and machine.clients[client].leaving
        and not machine.clients[client].wait_armed
    )


@client_invariant("RD-3")
def queue_waits_for_tokens(machine: Contract, row: Client) -> bool:
    """Who has messages waiting has no send tokens, except inside a push of that queue or when leaving."""
    return row.queue_length == 0 or row.send_tokens == 0 or row.leaving or row.pushing


@client_invariant("RD-4", "TOK-4")
def send_queue_is_bounded(machine: Contract, row: Client) -> bool:
    """A send queue holds no more than its bound; without flow control it is empty."""
    return row.queue_length <= row.max_send_queue_size and (
        row.flow_control or row.queue_length == 0
    )


@client_invariant("RD-3")
def send_queue_is_counted(machine: Contract, row: Client) -> bool:
    """The length of a send queue is the number of its entries."""
    return row.queue_length == machine.send_queue.total(
        lambda entry: entry.client == row.handle, lambda entry: 1
    )


@device_invariant("RD-3", "CB-4")
def queued_messages_have_a_client(machine: Contract) -> bool:
    """Every entry of a send queue belongs to an attached client."""
    return not machine.send_queue.exists(lambda entry: entry.client not in machine.clients)


@client_invariant("RD-5", "RD-4")
def waiting_is_timed(machine: Contract, row: Client) -> bool:
    """The wait timer is armed exactly while messages wait for a client that is not leaving."""
    return row.wait_armed == (row.queue_length > 0 and not row.leaving)


@client_invariant("RD-5")
def wait_timer_is_soon_due(machine: Contract, row: Client) -> bool:
    """An armed wait timer is due within its delay."""
    return not row.wait_armed or row.wait_due_ms <= machine.device.now_ms + WAIT_DELAY_MS


@client_invariant("RD-6")
def credit_is_conserved(machine: Contract, row: Client) -> bool:
    """What was sent and what may still be sent is what the client granted."""
    return not row.flow_control or row.sent + row.send_tokens == row.granted


@device_invariant("RD-8", "RD-1")
def no_read_is_lost(machine: Contract) -> bool:
    """Where a wanted read may be made, the retry timer, a reader or a frame will see to it."""
    device = machine.device
    return (
        not device.read_wanted
        or device.retry_armed
        or device.reading
        or device.read_due > 0
        or not machine.may_read()
    )


@device_invariant("CB-4")
def queued_messages_are_referenced(machine: Contract) -> bool:
    """The device holds a reference to every message in a send queue."""
    return machine.device.destroyed or machine.device.references >= machine.send_queue.count()


# Life cycle and migration


@device_invariant("LC-8")
def only_running_devices_are_active(machine: Contract) -> bool:
    """An active device runs."""
    return machine.device.running or not machine.device.active


@device_invariant("LC-5", "CB-1")
def destroyed_devices_are_empty(machine: Contract) -> bool:
    """A destroyed device has no port, no client, nothing pending, no timer."""
    device = machine.device
    return not device.destroyed or (
        device.port is None
        and not device.running
        and not device.retry_armed
        and not device.sealed
        and device.awaiting is None
        and machine.clients.empty()
        and machine.send_queue.empty()
        and not machine.buffers.pending()
    )


@buffer_invariant("LC-5", "BUF-3")
def destroyed_devices_own_no_buffer(machine: Contract, row: Buffer) -> bool:
    """What is left of a destroyed device's buffers is nobody's."""
    return not machine.device.destroyed or row.origin == Origin.NOBODY


@device_invariant("LC-6", "MIG-4")
def awaiting_devices_are_quiet(machine: Contract) -> bool:
    """An awaiting device has that one client, nothing partly written, nothing outstanding, nothing to push."""
    device = machine.device
    return device.awaiting is None or (
        device.awaiting in machine.clients
        and machine.clients.count() == 1
        and not machine.buffers.any_in(Place.CURRENT)
        and (not device.write_outstanding or device.answer_ignored)
        and machine.send_queue.empty()
        and not device.sealed
    )


@device_invariant("MIG-2")
def sealed_devices_are_quiet(machine: Contract) -> bool:
    """A sealed device has one client, an empty send queue, and no outstanding write."""
    device = machine.device
    return not device.sealed or (
        machine.clients.count() == 1 and machine.send_queue.empty() and not device.write_outstanding
    )


@outside_invariant("CB-1", "WR-5", "RD-8", "CB-4", "RD-7")
def nothing_is_left_on_the_stack(machine: Contract) -> bool:
    """Outside, no guard is held, nothing is due, no push is on, and only queued messages are referenced."""
    device = machine.device
    return device.destroyed or not (
        device.writing
        or device.reading
        or device.write_outstanding
        or device.write_due != 0
        or device.read_due != 0
        or device.announcing != 0
        or device.references != machine.send_queue.count()
        or machine.clients.exists(lambda row: row.pushing)
        or machine.buffers.exists(lambda row: row.offered)
    )


def only_references_are_dropped(machine: Contract, event: Callback) -> bool:
    """LC-5: a destroyed device calls nothing but `unref_msg_to_client`."""
    return isinstance(event, UnrefMsgToClient) or not machine.device.destroyed


_ANY_EVENT: Final = _declare(Scope.EVENT, ("LC-5",), only_references_are_dropped)
for _kind in get_args(Callback):
    EVENT_INVARIANTS.setdefault(_kind, []).append(_ANY_EVENT)
