"""Migration: marshall, seal, restore, and chains of moves (MIG)."""

import struct
from collections.abc import Callable
from typing import Final, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chardev_spec.errors import BadMigrationDataError
from chardev_spec.events import Callback, PortWrite, SendMsgToClient, SendTokensToClient
from chardev_spec.record import MigrateData, Record, encode_message
from chardev_spec.state import Origin
from tests.spec.owner import HEADER, BoomError, Owner, buffer, snapshot

MAXIMUM: Final = 2**32 - 1


def marshal(owner: Owner) -> MigrateData:
    """What the device's marshaller sends."""
    data = owner.call("migrate_data_marshall")
    assert isinstance(data, MigrateData)
    return data


def awaiting(window: int = 9, interval: int = 1) -> Owner:
    """A stopped destination whose client "a" awaits migration data."""
    owner = Owner(interval=interval)
    assert owner.add_client(window=window, wait=True)
    return owner


# Marshall


def test_marshall() -> None:
    """The record would not say what the device holds (MIG-2)."""
    owner = Owner(interval=3)
    owner.add_client("a", window=9, send_tokens=7)
    owner.takes.extend([1, 1, 0, 1, 0, 0])
    for peer, content in (("a", b"x"), (None, b"yz"), ("a", b"uv"), ("a", b"")):
        owner.add(peer, content)
    owner.call("start")
    owner.call("stop")
    assert owner.tokens() == (6, 1, 2)
    data = marshal(owner)
    assert data.record == Record(1, 1, 6, 7, 2, 2, 33)
    assert data.write_data == b"uv"
    assert owner.device.sealed


def test_marshall_without_data_has_no_pointer() -> None:
    """A record would point to data that is not there (MIG-1)."""
    owner = Owner()
    owner.add_client(window=4, send_tokens=1)
    owner.call("reset_dev_instance", None)
    assert marshal(owner) == MigrateData(Record(1, 1, 4, 1, 0, 0, 0), b"", ())


def test_tokens_of_empty_buffers_are_in_the_record() -> None:
    """A move would lose the price of what has no bytes (MIG-2, MIG-4)."""
    owner = Owner()
    owner.add_client(window=4)
    owner.add("a", b"")
    assert marshal(owner).record == Record(1, 1, 3, 2, 0, 1, 0)


def test_too_large_counts_saturate() -> None:
    """A count would arrive as its low bits (MIG-2)."""
    owner = Owner()
    owner.add_client(window=MAXIMUM, send_tokens=MAXIMUM)
    owner.call("send_to_client_tokens_add", "a", 5)
    assert marshal(owner).record == Record(1, 1, MAXIMUM, MAXIMUM, 0, 0, 0)


def test_without_flow_control_both_counts_are_the_largest() -> None:
    """A destination would limit a client that has no limits (MIG-2)."""
    owner = Owner()
    owner.add_client(window=3, send_tokens=2, flow_control=False)
    owner.add("a", b"x")
    assert marshal(owner).record == Record(1, 1, MAXIMUM, MAXIMUM, 1, 1, 33)


def test_a_sealed_device_does_nothing() -> None:
    """The source would write or send what the destination has too (MIG-2)."""
    owner = Owner()
    owner.add_client()
    owner.add("a", b"x")
    marshal(owner)
    owner.messages.append("m")
    owner.call("start")
    owner.call("wakeup")
    owner.call("send_to_client_tokens_add", "a", 3)
    owner.add(None, b"later")
    assert owner.call("write_buffer_get", "a", 1) is None
    assert owner.events == []
    assert not owner.row().leaving


def test_marshalling_again_says_the_same() -> None:
    """A source that is asked twice would send something else the second time (MIG-2)."""
    owner = Owner()
    owner.add_client()
    owner.add("a", b"x")
    assert marshal(owner) == marshal(owner)
    handle = owner.runner.state.buffers.first_pending()
    assert buffer(owner, handle).marshaller_references == 2


def test_marshalling_again_takes_in_what_came_later() -> None:
    """A second record would lack data that the end of the seal then drops, or keep what it has (MIG-2, MIG-6)."""
    owner = Owner()
    owner.add_client()
    owner.add("a", b"x")
    marshal(owner)
    owner.add(None, b"later")
    assert marshal(owner).write_data == b"xlater"
    owner.call("client_remove", "a")
    assert (owner.events, owner.pending()) == (["self-token"], b"")


def test_a_seal_is_not_ended_by_a_second_client() -> None:
    """A client that joins a sealed device would make the source write what the destination has (MIG-2, LC-6)."""
    owner = Owner()
    owner.add_client("a", window=9)
    owner.add("a", b"x")
    marshal(owner)
    assert owner.add_client("b") is False
    owner.call("start")
    assert owner.events == []
    assert owner.device.sealed


def test_the_end_of_a_seal_drops_what_was_marshalled() -> None:
    """Data would be written twice, self tokens stay away, or later data go lost (MIG-2, SELF-1)."""
    owner = Owner(self_tokens=3)
    owner.add_client("a", window=9)
    owner.add("a", b"1")
    owner.add(None, b"2")
    owner.add(None, b"3")
    marshal(owner)
    owner.add(None, b"later")
    owner.call("start")
    seen: list[object] = []
    owner.inside("self-token", lambda: seen.append((owner.device.self_tokens, owner.pending())))
    owner.call("client_remove", "a")
    assert owner.events == [
        "self-token", "self-token", "write later -> 5", "self-token", "read None",
    ]  # fmt: skip
    assert seen == [(2, b"later")]
    assert owner.device.self_tokens == 3


def test_a_partly_written_buffer_is_not_finished_when_a_seal_ends() -> None:
    """The source would go on with a buffer whose rest the destination writes (MIG-2, MIG-6)."""
    owner = Owner()
    owner.add_client("a", window=9)
    owner.takes.extend([1, 0, 0])
    owner.add("a", b"xyz")
    owner.call("start")
    owner.call("stop")
    assert marshal(owner).write_data == b"yz"
    owner.take_events()
    owner.call("client_remove", "a")
    owner.call("start")
    assert owner.events == ["read None"]


def test_a_reset_ends_a_seal_and_returns_the_prices() -> None:
    """A failed move would cost the client its tokens (MIG-2, LC-3)."""
    owner = Owner()
    owner.add_client(window=9)
    owner.add("a", b"x")
    marshal(owner)
    owner.call("reset")
    assert owner.events == ["tokens 1 to a"]
    assert (owner.device.sealed, owner.tokens()) == (False, (9, 0, 0))


# Restore


def test_restore() -> None:
    """The destination would not be what the source was (MIG-4)."""
    owner = awaiting(window=9, interval=9)
    owner.restore(4, 3, 2, data=b"xyz")
    assert owner.tokens() == (4, 3, 2)
    assert owner.row().send_tokens == 3
    assert owner.device.awaiting is None
    assert owner.events == []
    owner.takes.extend([2, 0, 0])
    owner.call("start")
    owner.call("wakeup")
    assert owner.events == [
        "write xyz -> 2", "write z -> 0", "read None",
        "write z -> 0", "read None",
        "write z -> 1", "read None",
    ]  # fmt: skip
    assert owner.tokens() == (4, 5, 0)


def test_restore_counts_what_happened_meanwhile() -> None:
    """Tokens taken or freed, and sends granted, while awaiting would be lost (MIG-4, TOK-1)."""
    owner = awaiting(window=9, interval=3)
    owner.add("a", b"later")
    owner.call("write_buffer_release", owner.hold("a"))
    owner.call("send_to_client_tokens_add", "a", 5)
    assert owner.tokens() == (7, 1, 1)
    owner.restore(6, 1, 2, data=b"first")
    # 9 = 4 + 2 + 2 in the data + 1 added meanwhile: 1 freed at the source, 1 here.
    assert owner.tokens() == (4, 2, 3)
    assert owner.row().send_tokens == 6
    assert owner.pending() == b"firstlater"


def test_restore_announces_first() -> None:
    """Tokens freed at the source would never be announced, or after the data (MIG-4, TOK-3)."""
    owner = awaiting(window=9, interval=2)
    owner.call("start")
    seen: list[object] = []
    owner.inside("tokens", lambda: seen.append((owner.device.awaiting, owner.pending())))
    owner.restore(5, 0, 2, data=b"x")
    assert owner.events == ["tokens 2 to a", "write x -> 1", "tokens 2 to a"]
    assert seen == [(None, b"x")]
    assert owner.tokens() == (9, 0, 0)


def test_tokens_without_data_are_freed() -> None:
    """Tokens in a record without data would wait for nothing (MIG-4)."""
    owner = awaiting(window=9, interval=9)
    owner.restore(7, 0, 2)
    assert owner.tokens() == (7, 2, 0)
    assert owner.runner.state.buffers.count() == 0


def test_data_without_tokens_costs_nobody() -> None:
    """The server's data of the source would cost the client tokens (MIG-4, SELF-4)."""
    owner = awaiting(window=9, interval=9)
    owner.restore(9, 0, 0, data=b"x")
    assert owner.tokens() == (9, 0, 0)
    handle = owner.runner.state.buffers.first_pending()
    assert buffer(owner, handle).origin == Origin.SERVER_NO_TOKEN


def test_restore_without_flow_control_keeps_the_price_only() -> None:
    """A client without flow control would be given counts (MIG-4, TOK-4)."""
    owner = Owner()
    owner.add_client(window=2, flow_control=False, wait=True)
    owner.restore(MAXIMUM, MAXIMUM, 5, data=b"x")
    assert (owner.row().tokens, owner.row().freed, owner.row().send_tokens) == (2, 0, 0)
    assert buffer(owner, owner.runner.state.buffers.first_pending()).price == 5


def test_an_exception_in_the_announcement_leaves_writing_to_the_timer() -> None:
    """Restored data would be stuck when send_tokens_to_client raises (CB-5, MIG-4)."""
    owner = awaiting(window=9, interval=1)
    owner.call("start")
    owner.inside("tokens", owner.fails(BoomError("tokens")))
    with pytest.raises(BoomError, match=r"^tokens$"):
        owner.restore(8, 1, 0, data=b"x")
    assert owner.events == ["tokens 1 to a"]
    assert owner.retry == 0


def test_restored_data_is_partly_written_data() -> None:
    """Restored data would vanish with its client, and a torn message stay in the port (WR-7, LC-6)."""
    owner = awaiting()
    owner.restore(8, 0, 1, data=b"rest")
    owner.call("client_remove", "a")
    assert owner.pending() == b"rest"
    assert owner.add_client(wait=True) is False


def test_two_partly_written_buffers_cannot_meet() -> None:
    """A restore inside a port write would leave two buffers partly written (LC-6, MIG-4, WR-7)."""
    owner = Owner()
    owner.offers = 2
    owner.add(None, b"ab")
    owner.add(None, b"cd")
    added: list[object] = []
    owner.inside("write", lambda: added.append(owner.add_client(wait=True)))
    owner.takes.extend([3, 0, 0])
    owner.call("start")
    assert added == [False]
    assert owner.runner.state.buffers.current_count() == 1


REFUSED = {
    "above the window": (
        (8, 0, 2), b"x",
        "the record has 8 client tokens and 2 in the write data; the window is 9",
    ),
    "below what was taken here": (
        (1, 0, 0), b"",
        "the record has 1 client tokens; the client took 2 here meanwhile",
    ),
    "wrapping": (
        (MAXIMUM, 0, 1), b"x",
        "the record has 4294967295 client tokens and 1 in the write data; the window is 9",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "data", "message"), REFUSED.values(), ids=REFUSED)
def test_a_record_that_contradicts_the_window_is_refused(
    fields: tuple[int, ...], data: bytes, message: str
) -> None:
    """A record would give a client more than its window, or less than nothing (MIG-5, TOK-1)."""
    owner = awaiting(window=9)
    owner.add("a", b"1")
    owner.add("a", b"2")
    before = snapshot(owner.runner.state)
    with pytest.raises(BadMigrationDataError) as caught:
        owner.restore(*fields, data=data)
    assert str(caught.value) == message
    assert snapshot(owner.runner.state) == before
    assert owner.events == []


def acceptable(message: bytes, window: int, own: int) -> bool:
    """MIG-5, stated on its own."""
    if len(message) < 33:
        return False
    version, connected, given, _, size, price, pointer = struct.unpack_from("<IBIIIII", message, 8)
    return bool(
        version <= 1
        and connected
        and own <= given
        and given + price <= window
        and (size == 0 or (pointer >= 33 and pointer + size <= len(message)))
    )


def check_message(message: bytes) -> None:
    """The message is either refused and changes nothing, or restored with every invariant."""
    owner = awaiting(window=9, interval=2)
    owner.add("a", b"own")
    before = snapshot(owner.runner.state)
    if acceptable(message, window=9, own=1):
        owner.call("restore", message)
        assert owner.device.awaiting is None
        owner.call("start")
        assert owner.pending() == b""
        return
    with pytest.raises(BadMigrationDataError):
        owner.call("restore", message)
    assert snapshot(owner.runner.state) == before
    assert owner.events == []


SMALL = st.one_of(st.integers(0, 10), st.sampled_from([33, 34, 2**31, MAXIMUM]))
RECORDS = st.tuples(
    st.sampled_from([1, 1, 0, 2, MAXIMUM]), st.sampled_from([1, 1, 0, 255]),
    SMALL, SMALL, SMALL, SMALL, st.one_of(st.integers(30, 40), SMALL),
)  # fmt: skip


@given(RECORDS, st.text("data", max_size=8), st.integers(0, 45))
def test_no_record_is_applied_by_halves(fields: tuple[int, ...], data: str, length: int) -> None:
    """A record made up by an enemy would crash the destination or leave it half restored (MIG-5)."""
    check_message((HEADER + struct.pack("<IBIIIII", *fields) + data.encode())[: max(length, 30)])


@given(
    st.lists(st.tuples(st.integers(0, 36), st.integers(0, 127)), min_size=1, max_size=4),
    st.integers(0, 37),
)
def test_no_damage_is_applied_by_halves(changes: list[tuple[int, int]], length: int) -> None:
    """A record damaged on the way would crash the destination or leave it half restored (MIG-5)."""
    record = Record(1, 1, 4, 2, 4, 1, 33)
    message = bytearray(encode_message(HEADER, MigrateData(record, b"data", ())))
    for place, value in changes:
        message[place] = value
    check_message(bytes(message[: max(length, 20)]))


# Chains of moves


class Peer:
    """A client and a port that live through all moves: what they know is compared at the end (MIG-6)."""

    def __init__(self, window: int, interval: int, sends: int) -> None:
        self.window = window
        self.interval = interval
        self.tokens = window
        """What it may still send, in its own books."""
        self.grants = sends
        """Messages it still allows."""
        self.messages_left = 0
        self.read = 0
        self.received: list[str] = []
        self.added = b""
        self.written = b""
        self.serial = 0


class Station(Owner):
    """One device on the peer's way; its port is the peer's."""

    def __init__(self, peer: Peer, sends: int | None) -> None:
        super().__init__(interval=peer.interval, self_tokens=3)
        self.peer = peer
        self.capacity: int | None = 0
        """How many bytes the port takes yet; None: all."""
        assert self.add_client(
            "a", peer.window, MAXIMUM if sends is None else sends, queue=50, wait=sends is None
        )

    def _scripted_answer(self, event: Callback) -> int | str | Exception | None:
        peer = self.peer
        if isinstance(event, PortWrite):
            taken = len(event.data)
            if self.capacity is not None:
                taken = min(taken, self.capacity)
                self.capacity -= taken
            peer.written += event.data[:taken]
            return taken
        if isinstance(event, SendTokensToClient):
            peer.tokens += event.tokens
        elif isinstance(event, SendMsgToClient):
            assert peer.grants > 0, "a message that the peer did not grant"
            peer.grants -= 1
            peer.received.append(event.message)
        elif type(event).__name__ == "ReadOneMsgFromDevice" and peer.messages_left > 0:
            peer.messages_left -= 1
            peer.read += 1
            return f"m{peer.read}"
        return None

    def content(self, size: int) -> bytes:
        """Bytes that occur once."""
        peer = self.peer
        peer.serial += 1
        return f"<{peer.serial}>".encode() * min(size, 1) + b"." * max(size - 1, 0)

    def send(self, size: int) -> None:
        """The peer sends a buffer, if its own books allow."""
        if self.peer.tokens > 0:
            self.peer.tokens -= 1
            content = self.content(size)
            self.peer.added += content
            self.add("a", content)

    def send_in_vain(self, _: int) -> None:
        """The peer sends a buffer that the owner does not pass on."""
        if self.peer.tokens > 0:
            self.peer.tokens -= 1
            self.call("write_buffer_release", self.hold("a"))

    def send_from_server(self, size: int) -> None:
        """The server writes, with a self token or without."""
        content = self.content(size)
        handle = self.call("write_buffer_get", None, len(content)) if size % 2 else None
        if handle is None:
            handle = self.call("write_buffer_get_server_no_token", len(content))
        self.peer.added += content
        self.call("write_buffer_add", handle, content)

    def grant(self, tokens: int) -> None:
        """The peer grants messages."""
        self.peer.grants += tokens
        self.call("send_to_client_tokens_add", "a", tokens)

    def take_bytes(self, count: int) -> None:
        """The port takes this many bytes more."""
        if self.capacity is not None:
            self.capacity += 2 * count
        self.call("wakeup")

    def say(self, count: int) -> None:
        """The port has messages."""
        self.peer.messages_left += count
        self.call("wakeup")

    def restart(self, _: int) -> None:
        """Start, or kick."""
        self.call("start")

    def leave(self) -> bytes:
        """Come to where it can be marshalled, and marshal."""
        self.call("stop")
        while self.queued():
            self.grant(1)
        data = marshal(self)
        self.call("start")
        self.call("wakeup")
        return encode_message(HEADER, data)


OPERATIONS: Final = (
    Station.send, Station.send, Station.send_in_vain, Station.send_from_server, Station.grant,
    Station.take_bytes, Station.take_bytes, Station.say, Station.restart,
)  # fmt: skip
Operations: TypeAlias = list[tuple[Callable[[Station, int], None], int]]
steps: Final[st.SearchStrategy[Operations]] = st.lists(
    st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 4)), max_size=10
)


@given(
    st.sampled_from([(1, 1), (5, 2), (10, 5), (3, 0), (4, 4)]),
    st.integers(0, 3),
    st.lists(st.tuples(steps, steps, st.booleans()), min_size=1, max_size=3),
    steps,
)
def test_a_chain_of_moves_is_one_device(
    tokens: tuple[int, int],
    sends: int,
    moves: list[tuple[Operations, Operations, bool]],
    last: Operations,
) -> None:
    """A move would lose, repeat or reorder bytes, tokens or messages (MIG-6, TOK-1, RD-6)."""
    peer = Peer(*tokens, sends)
    station = Station(peer, sends)

    def take(operations: Operations) -> None:
        for operation, number in operations:
            operation(station, number)

    for before, meanwhile, starts_early in moves:
        take(before)
        source, message = station, station.leave()
        written = peer.written
        station = Station(peer, None)
        if starts_early:
            station.call("start")
        take(meanwhile)
        # Nothing moves between marshall and restore.
        assert peer.written == written
        station.call("restore", message)
        # Stopped first: without clients it would read the port, and drop what it reads.
        source.call("stop")
        source.call("client_remove" if starts_early else "destroy", *["a"] * starts_early)
        assert peer.written.startswith(written)
    take(last)
    station.capacity = None
    station.call("start")
    assert peer.written == peer.added
    assert peer.received == [f"m{number + 1}" for number in range(len(peer.received))]
    assert station.queued() == [f"m{number + 1}" for number in range(len(peer.received), peer.read)]
    row = station.row()
    assert peer.grants == row.send_tokens
    assert peer.tokens == row.tokens
    # Every token is at the peer, but for fewer than an interval.
    assert peer.tokens + row.freed == peer.window
    assert row.freed < max(peer.interval, 1)
