"""The agent device: chunks, filters, tokens, clients and agents that come and go, migration."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from chardev import BadMigrationDataError, CannotMarshallError, CannotRestoreError, Device
from chardev.vdagent import (
    CLIENT_PORT,
    SERVER_PORT,
    AgentDevice,
    BadAgentMessageError,
    BadChunkError,
    ChunkReader,
    MessageFilter,
    MessageHeader,
    MessageType,
    chunk,
    message,
    parts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chardev import Bytes, Callbacks

CAPS = message(MessageType.ANNOUNCE_CAPABILITIES, b"caps")
TEXT = message(MessageType.CLIPBOARD, bytes(range(250)) * 20)
FAREWELL = chunk(SERVER_PORT, message(MessageType.CLIENT_DISCONNECTED))


class Pipe:
    """An agent's port in memory: `input` is what the agent says, `written` what it hears."""

    def __init__(self) -> None:
        self.announces_writability = True
        self.device: Device[Any, Any] | None = None
        self.input = b""
        self.written = b""
        self.room = 1 << 30
        self.answer: int | None = None

    def write(self, buffers: Sequence[Bytes], /) -> int:
        if self.answer is not None:
            return self.answer
        data = b"".join(bytes(buffer) for buffer in buffers)[: self.room]
        self.room -= len(data)
        self.written += data
        return len(data)

    def read(self, limit: int, /) -> bytes:
        data, self.input = self.input[:limit], self.input[limit:]
        return data


class Server:
    """An owner that keeps what its clients are sent."""

    def __init__(
        self,
        *,
        allowed: Callable[[int], bool] = lambda _: True,
        pipe: Pipe | None = None,
        attached: bool = True,
    ) -> None:
        self.pipe = pipe or Pipe()
        self.attached = attached
        self.events: list[str] = []
        self.received: dict[str, bytes] = {}
        self.inside: dict[str, deque[Callable[[], object]]] = {}
        self.retry: int | None = None
        self.agent: AgentDevice[str] = AgentDevice(self.create, self, allowed=allowed)

    def create(
        self, interval: int, self_tokens: int, callbacks: Callbacks[bytes, Any]
    ) -> Device[bytes, Any]:
        device: Device[bytes, Any] = Device(self.pipe, interval, self_tokens, callbacks, self)
        if not self.attached:
            device.reset_dev_instance(None)
        return device

    def note(self, event: str) -> None:
        self.events.append(event)
        calls = self.inside.get(event.split(maxsplit=1)[0])
        if calls:
            calls.popleft()()

    def when(self, event: str, *calls: Callable[[], object]) -> None:
        self.inside.setdefault(event, deque()).extend(calls)

    def take(self) -> list[str]:
        events, self.events = self.events, []
        return events

    def says(self, data: bytes) -> None:
        """The agent says something."""
        self.pipe.input += data
        self.agent.device.wakeup()

    def counts(self, client: str = "a") -> tuple[int, int, int]:
        """Client tokens, freed tokens, send tokens."""
        state = self.agent.device.client_state(client)
        return state.tokens, state.freed, state.send_tokens

    # The owner.

    def agent_connected(self, client: str, tokens: int, /) -> None:
        self.note(f"connected {client} {tokens}")

    def agent_disconnected(self, client: str, /) -> None:
        self.note(f"disconnected {client}")

    def agent_data(self, client: str, part: bytes, /) -> None:
        self.received[client] = self.received.get(client, b"") + part
        self.note(f"data {client} {len(part)}")

    def agent_tokens(self, client: str, tokens: int, /) -> None:
        self.note(f"tokens {client} {tokens}")

    def disconnect_client(self, client: str, /) -> None:
        self.note(f"disconnect {client}")

    def agent_failed(self, reason: str, /) -> None:
        self.note(f"failed: {reason}")

    # The timers.

    def start_retry_timer(self, delay_ms: int, /) -> None:
        self.retry = delay_ms

    def cancel_retry_timer(self) -> None:
        self.retry = None

    def start_wait_timer(self, client: str, delay_ms: int, /) -> None:
        pass

    def cancel_wait_timer(self, client: str, /) -> None:
        pass


@pytest.fixture
def server() -> Server:
    """A running guest with an agent, and client "a", which has granted 8 send tokens."""
    made = Server()
    made.agent.start()
    made.agent.client_connected("a")
    made.agent.client_started("a", 8)
    assert made.take() == ["connected a 10"]
    return made


# Chunks.


def read_all(reader: ChunkReader, stream: bytes, step: int) -> list[tuple[int, bytes]]:
    """What the reader gives when `step` bytes arrive at a time."""
    waiting = b""

    def read(limit: int) -> bytes:
        nonlocal waiting
        data, waiting = waiting[:limit], waiting[limit:]
        return data

    found = []
    for begin in range(0, len(stream), step):
        waiting += stream[begin : begin + step]
        while (part := reader.next_part(read)) is not None:
            found.append(part)
    return found


@pytest.mark.parametrize("step", [1, 7, 8, 2048, 100_000])
def test_chunks_come_out_in_parts_however_they_arrive(step: int) -> None:
    """A long chunk, which the real agent sends, would not fit; or a header cut in two be misread (DEV-2)."""
    stream = chunk(1, b"x" * 5000) + chunk(2, b"") + chunk(2, b"abc") + chunk(1, b"y" * 2048)
    assert read_all(ChunkReader(), stream, step) == [
        *((1, b"x" * 2048), (1, b"x" * 2048), (1, b"x" * 904)),
        *((2, b""), (2, b"abc"), (1, b"y" * 2048)),
    ]


def test_a_port_is_asked_until_it_has_nothing() -> None:
    """A port that gave a little would never be watched for the rest, as a pty does."""
    pieces = deque([b"\1\0\0", b"\0\5\0\0\0", b"12", b"34", b"", b"5"])
    reader = ChunkReader()
    assert reader.next_part(lambda _: pieces.popleft()) is None
    assert list(pieces) == [b"5"]
    assert reader.next_part(lambda _: pieces.popleft()) == (1, b"12345")


def test_a_chunk_for_an_unknown_port_ends_the_stream() -> None:
    """A stream that lost its framing would go on as garbage."""
    with pytest.raises(BadChunkError) as caught:
        read_all(ChunkReader(), chunk(7, b"x"), 100)
    assert str(caught.value) == "a chunk is for port 7; there are 1 (client) and 2 (server)"


# The filter.


def test_the_filter_follows_messages_over_parts() -> None:
    """A forbidden message's later parts would pass, as the beginning of another one (DEV-2)."""
    asked: list[int] = []

    def allowed(kind: int) -> bool:
        asked.append(kind)
        return kind == MessageType.CLIPBOARD

    message_filter = MessageFilter(allowed, is_open=True)
    answers = [
        message_filter.may_pass(part)
        for whole in (TEXT, CAPS, message(MessageType.REPLY), TEXT)
        for part in parts(whole)
    ]
    assert answers == [True] * 3 + [False, False] + [True] * 3
    assert asked == [4, 6, 3, 4]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"x" * 19, "the first part of a message has 19 bytes; its header alone needs 20"),
        (b"x" * 2049, "a part has 2049 bytes; 2048 are allowed"),
        (b"\2\0\0\0" + bytes(16), "a message has protocol version 2; there is only 1"),
        (CAPS + b"x", "a part goes on for 5 bytes where its message has 4 left"),
    ],
    ids=["short", "long", "protocol", "more"],
)
def test_what_is_no_message_is_refused(data: bytes, problem: str) -> None:
    """A confused peer's bytes would reach the other side, or change the filter's mind."""
    message_filter = MessageFilter(lambda _: True, is_open=True)
    with pytest.raises(BadAgentMessageError) as caught:
        message_filter.may_pass(data)
    assert str(caught.value) == problem
    assert message_filter.may_pass(CAPS)


def test_a_rest_that_is_too_long_is_refused() -> None:
    """The end of one message would be lost in another."""
    message_filter = MessageFilter(lambda _: True, is_open=True)
    message_filter.may_pass(MessageHeader(MessageType.CLIPBOARD, 3).pack())
    with pytest.raises(BadAgentMessageError) as caught:
        message_filter.may_pass(b"1234")
    assert str(caught.value) == "a part goes on for 4 bytes where its message has 3 left"


# Tokens.


def test_the_window_is_ten_and_five_are_announced_at_once(server: Server) -> None:
    """The client would believe in other counts than the contract's (DEV-2, TOK-2, TOK-3)."""
    for _ in range(7):
        server.agent.client_data("a", CAPS)
    assert server.take() == ["tokens a 5"]
    assert server.counts() == (8, 2, 8)
    server.pipe.room = 0
    for _ in range(9):
        server.agent.client_data("a", CAPS)
    assert server.take() == ["disconnect a"]
    assert server.pipe.written == chunk(CLIENT_PORT, CAPS) * 7


def test_tokens_before_the_start_are_ignored(server: Server) -> None:
    """Leftovers for the last agent would be credit at the next one (DEV-2)."""
    other = Server()
    other.agent.start()
    other.agent.client_connected("a")
    other.agent.client_tokens("a", 3)
    other.agent.client_data("a", CAPS)
    assert not other.agent.device.clients()
    other.agent.client_started("a", 1)
    assert other.counts() == (10, 0, 1)
    assert other.pipe.written == b""
    server.agent.agent_detached()
    server.agent.client_tokens("a", 3)
    assert server.counts() == (10, 0, 0)


def test_a_forbidden_message_costs_its_token_and_returns_it() -> None:
    """A filtered message would leak a token for each of its parts (TOK-1, TOK-3)."""
    server = Server(allowed=lambda kind: kind != MessageType.CLIPBOARD)
    server.agent.start()
    server.agent.client_connected("a")
    server.agent.client_started("a", 8)
    for part in parts(TEXT):
        server.agent.client_data("a", part)
    assert server.counts() == (7, 3, 8)
    assert server.pipe.written == b""


def test_a_client_that_sends_garbage_is_disconnected(server: Server) -> None:
    """The agent would get what is no message."""
    server.agent.client_data("a", b"garbage")
    assert server.take() == ["disconnect a"]
    assert server.pipe.written == b""


# From the agent.


def test_messages_reach_the_client_while_it_has_tokens(server: Server) -> None:
    """More would be sent than the client granted, or the rest be lost (RD-6)."""
    whole = message(MessageType.CLIPBOARD, b"z" * 20_000)
    server.says(chunk(CLIENT_PORT, whole))
    assert server.take() == ["data a 2048"] * 8
    assert len(server.pipe.input) == len(whole) + 8 - 8 * 2048 - 8
    server.agent.client_tokens("a", 8)
    assert server.received["a"] == whole


def test_chunks_for_the_server_cost_nothing(server: Server) -> None:
    """A message that the client never sees would cost its token (DEV-2)."""
    server.says(chunk(SERVER_PORT, CAPS) + chunk(CLIENT_PORT, CAPS))
    assert server.take() == ["data a 24"]
    assert server.counts() == (10, 0, 7)


def test_a_flood_for_nobody_lets_others_have_their_turn(server: Server) -> None:
    """An agent that talks to the server without end would hang the loop (WR-5)."""
    server.says(chunk(SERVER_PORT, b"x" * 2000) * 500 + chunk(CLIENT_PORT, CAPS))
    rounds = 0
    while server.retry is not None:
        assert server.retry == 0
        server.agent.device.retry_timer_fired()
        rounds += 1
    assert 1 < rounds < 10
    assert server.received["a"] == CAPS


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (chunk(9, b"x"), "a chunk is for port 9; there are 1 (client) and 2 (server)"),
        (
            chunk(1, b"x"),
            "the first part of a message has 1 bytes; its header alone needs 20",
        ),
    ],
    ids=["chunk", "message"],
)
def test_an_agent_that_lost_its_framing_is_detached(
    server: Server, stream: bytes, reason: str
) -> None:
    """The client would get garbage, or the server read it for ever."""
    server.says(stream + chunk(CLIENT_PORT, CAPS))
    assert server.take() == ["disconnected a", f"failed: {reason}"]
    assert not server.agent.attached
    assert server.pipe.device is None


# Clients that come and go.


def test_the_next_client_gets_nothing_of_a_half_message(server: Server) -> None:
    """A client would take the middle of its predecessor's clipboard for a message (DEV-2)."""
    server.says(chunk(CLIENT_PORT, TEXT)[:3000])
    assert server.take() == ["data a 2048"]
    server.agent.client_disconnected("a")
    server.agent.client_connected("b")
    server.agent.client_started("b", 8)
    server.says(chunk(CLIENT_PORT, TEXT)[3000:] + chunk(CLIENT_PORT, CAPS))
    assert server.received["b"] == CAPS


def test_a_begun_chunk_is_finished_and_then_the_agent_is_told(server: Server) -> None:
    """The agent would lose its framing, or wait for the rest of a message (WR-7, DEV-2)."""
    server.pipe.room = 100
    for part in parts(TEXT):
        server.agent.client_data("a", part)
    server.agent.client_disconnected("a")
    server.agent.client_data("a", CAPS)
    server.pipe.room = 100_000
    server.agent.device.wakeup()
    first = next(parts(TEXT))
    assert server.pipe.written == chunk(CLIENT_PORT, first) + FAREWELL
    server.agent.client_connected("b")
    server.agent.client_started("b", 8)
    server.agent.client_data("b", CAPS)
    assert server.pipe.written.endswith(FAREWELL + chunk(CLIENT_PORT, CAPS))


def test_a_stalled_agent_does_not_collect_farewells(server: Server) -> None:
    """Clients that come and go would fill the memory while the agent hangs."""
    server.pipe.room = 5
    server.agent.mouse(b"m" * 13)
    for _ in range(100):
        server.agent.client_data("a", CAPS)
        server.agent.client_disconnected("a")
        server.agent.client_connected("a")
        server.agent.client_started("a", 8)
    assert server.agent.device.pending_buffers <= 4
    server.pipe.room = 100_000
    server.agent.device.wakeup()
    assert server.pipe.written.endswith(FAREWELL)


def test_one_client_at_a_time(server: Server) -> None:
    """The parts of two clients' messages would be mixed."""
    assert not server.agent.client_connected("b")
    server.agent.client_started("b", 1)
    server.agent.client_data("b", CAPS)
    server.agent.client_tokens("b", 1)
    server.agent.client_disconnected("b")
    assert server.take() == []
    assert server.agent.client == "a"


def test_a_client_that_leaves_inside_a_callback_hears_no_more(server: Server) -> None:
    """Data would be sent to a client that has gone meanwhile (CB-1, DEV-2)."""
    server.when("data", lambda: server.agent.client_disconnected("a"))
    server.says(chunk(CLIENT_PORT, CAPS) * 3)
    assert server.take() == ["data a 24"]
    assert server.pipe.written == FAREWELL
    assert server.pipe.input == b""


# Agents that come and go.


def test_an_agent_that_goes_takes_everything_along(server: Server) -> None:
    """The next agent would get the rest of a chunk, the client the rest of a message (LC-3, DEV-2)."""
    server.pipe.room = 30
    for _ in range(4):
        server.agent.client_data("a", CAPS)
    server.says(chunk(CLIENT_PORT, TEXT)[:3000])
    server.agent.agent_detached()
    server.agent.agent_detached()
    assert server.take() == ["data a 2048", "tokens a 4", "disconnected a"]
    server.agent.client_data("a", CAPS)
    after = Pipe()
    after.input = chunk(CLIENT_PORT, CAPS)
    server.agent.agent_attached(after)
    assert server.take() == ["connected a 10"]
    # Nothing is read before the client has started the new agent, so its first words are not lost.
    assert after.input
    server.agent.client_data("a", CAPS)
    assert after.written == b""
    server.agent.client_started("a", 2)
    assert server.take() == ["data a 24"]
    assert server.counts() == (10, 0, 1)
    server.agent.client_data("a", CAPS)
    assert after.written == chunk(CLIENT_PORT, CAPS)


def test_a_port_that_fails_is_an_agent_that_goes(server: Server) -> None:
    """A guest that died would leave its client waiting (WR-8)."""
    server.pipe.answer = -1
    server.agent.client_data("a", CAPS)
    assert server.take() == ["tokens a 1", "disconnected a"]
    assert server.counts() == (10, 0, 0)


def test_two_agents_at_once_are_refused(server: Server) -> None:
    """A second agent would take the first one's place unnoticed."""
    with pytest.raises(ValueError, match="agent_attached: an agent is attached"):
        server.agent.agent_attached(Pipe())


def test_without_a_client_the_agent_is_read_and_dropped() -> None:
    """The agent would block, writing to nobody (RD-1)."""
    server = Server()
    server.agent.start()
    server.says(chunk(CLIENT_PORT, TEXT))
    assert server.pipe.input == b""
    assert server.take() == []


def test_only_the_newest_mouse_state_waits(server: Server) -> None:
    """Mouse states would queue up without bound behind a slow agent (SELF-2, SELF-3)."""
    server.pipe.room = 0
    for number in range(5):
        server.agent.mouse(bytes([number]) * 13)
    server.pipe.room = 10_000
    server.agent.device.wakeup()
    sent = b"".join(
        chunk(SERVER_PORT, message(MessageType.MOUSE_STATE, bytes([number]) * 13))
        for number in (0, 4)
    )
    assert server.pipe.written == sent
    server.agent.mouse(b"x" * 13)
    assert len(server.pipe.written) == len(sent) * 3 // 2


# Migration.


def migrated(source: Server, *, attached: bool = True) -> Server:
    """Move the source's client and agent to a new server."""
    source.agent.stop()
    whole = source.agent.marshall()
    pipe, source.pipe = source.pipe, Pipe()
    source.agent.device.reset_dev_instance(None)
    destination = Server(pipe=pipe, attached=attached)
    assert destination.agent.client_connected("a", migrating=True)
    destination.agent.start()
    destination.agent.restore(whole)
    source.agent.client_disconnected("a")
    return destination


@pytest.mark.parametrize("cut", [0, 3, 8, 20, 28, 1000, 2056, 3000, 5027])
def test_a_move_in_the_middle_of_a_message_loses_and_doubles_nothing(
    server: Server, cut: int
) -> None:
    """A clipboard would arrive torn when the guest moves during it, in either direction (MIG-6)."""
    stream = chunk(CLIENT_PORT, TEXT) + chunk(CLIENT_PORT, CAPS)
    to_agent = list(parts(TEXT))
    server.pipe.room = cut
    server.says(stream[:cut])
    for part in to_agent[:2]:
        server.agent.client_data("a", part)
    other = migrated(server)
    assert other.take() == [] or cut == 5027
    other.pipe.room = 100_000
    other.agent.client_data("a", to_agent[2])
    other.agent.client_data("a", CAPS)
    other.says(stream[cut:])
    assert server.received.get("a", b"") + other.received.get("a", b"") == TEXT + CAPS
    expected = b"".join(chunk(CLIENT_PORT, part) for part in (*to_agent, CAPS))
    assert other.pipe.written == expected
    tokens, freed, send_tokens = other.counts()
    assert (tokens + freed, send_tokens) == (10, 4)


def test_a_chain_of_moves_stays_whole(server: Server) -> None:
    """Each move would lose a little (MIG-6)."""
    stream = chunk(CLIENT_PORT, TEXT)
    received = b""
    for begin in range(0, len(stream), 700):
        server.says(stream[begin : begin + 700])
        received += server.received.get("a", b"")
        server = migrated(server)
    assert received + server.received.get("a", b"") == TEXT


def test_the_record_is_the_documented_one(server: Server) -> None:
    """Another implementation could not read it (MIG-1)."""
    server.agent.device.send_to_client_tokens_set("a", 5)
    server.pipe.room = 20
    for _ in range(3):
        server.agent.client_data("a", message(MessageType.ANNOUNCE_CAPABILITIES, b"8 bytes!"))
    server.agent.stop()
    whole = server.agent.marshall()
    # Outside a chunk and a message, both ways.
    assert whole[:65].hex() == (
        "4d4e4d44010000000100000001070000000500000058000000030000004100000001" + "00" * 31
    )
    assert len(whole) == 153


def test_an_agent_that_comes_after_the_restore_goes_on(server: Server) -> None:
    """The client would be told of a new agent though it has started this one."""
    server.says(chunk(CLIENT_PORT, TEXT)[:3000])
    other = migrated(server, attached=False)
    assert other.take() == []
    other.agent.agent_attached(other.pipe)
    other.says(chunk(CLIENT_PORT, TEXT)[3000:])
    assert server.received["a"] + other.received["a"] == TEXT
    assert "connected a 10" not in other.take()


def test_a_source_without_a_client_leaves_a_new_one() -> None:
    """The client would wait for ever for an agent that is there (MIG-3)."""
    source, other = Server(), Server()
    source.agent.start()
    with pytest.raises(CannotMarshallError):
        source.agent.marshall()
    source.agent.stop()
    assert other.agent.client_connected("a", migrating=True)
    other.agent.client_started("a", 5)
    other.agent.start()
    other.agent.restore(source.agent.marshall())
    assert other.take() == ["connected a 10"]
    other.agent.client_started("a", 5)
    assert other.counts() == (10, 0, 5)


def test_data_before_the_migration_data_ends_the_client() -> None:
    """A part would be taken for the beginning of a message that began at the source."""
    server = Server()
    server.agent.client_connected("a", migrating=True)
    server.agent.client_data("a", CAPS)
    assert server.take() == ["disconnect a"]


def bad(whole: bytes, offset: int, data: bytes) -> bytes:
    """The message with some of its bytes replaced."""
    return whole[:offset] + data + whole[offset + len(data) :]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda m: m[:64], "the message has 64 bytes; an agent's needs 65: it is truncated"),
        (
            lambda m: b"SVMD" + m[4:],
            r"the message begins with b'SVMD\x01\x00\x00\x00'; an agent's begins with b'MNMD\x01\x00\x00\x00'",
        ),
        (
            lambda m: bad(m, 34, b"\x09"),
            "9 bytes of a chunk's header were read, which has 8",
        ),
        (lambda m: bad(m, 38, b"\x05"), "the present chunk is for port 5, which does not exist"),
        (lambda m: bad(m, 42, bytes(4)), "the present chunk has nothing left"),
        (
            lambda m: bad(m, 47, b"\xff\xff"),
            "65535 bytes of a part were read and kept, which is all of it or more",
        ),
        (
            lambda m: bad(m, 51, b"\xff\xff"),
            "100 bytes are said to stand at 65535, outside the message",
        ),
        (
            lambda m: bad(m, 13, b"\x0b"),
            "11 client tokens and 0 in the write data are more than the window of 10 of client 'a'",
        ),
    ],
    ids=["short", "header", "size", "port", "empty", "partial", "pointer", "tokens"],
)
def test_bad_migration_data_changes_nothing(
    server: Server, change: Callable[[bytes], bytes], problem: str
) -> None:
    """A broken message would leave a device that is half restored (MIG-5)."""
    server.says(chunk(CLIENT_PORT, TEXT)[: 8 + 2048 + 100])
    server.agent.stop()
    whole = server.agent.marshall()
    other = Server()
    other.agent.client_connected("a", migrating=True)
    with pytest.raises(BadMigrationDataError) as caught:
        other.agent.restore(change(whole))
    assert str(caught.value) == f"restore: {problem}"
    other.agent.restore(whole)
    other.agent.start()
    other.says(chunk(CLIENT_PORT, TEXT)[8 + 2048 + 100 :])
    assert server.received["a"] + other.received["a"] == TEXT
    with pytest.raises(CannotRestoreError):
        other.agent.restore(whole)
