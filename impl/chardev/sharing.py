"""One line shared among many connections, on an asyncio event loop; no threads.

Theory of operation
-------------------
A connection carries plain bytes: what the line says goes to every connection, and what any of them
sends goes to the line, in the order in which it was read, piece by piece.
There is no framing, so every tool that can open a socket is a client; all the token discipline of
the device happens on this side.

From a connection to the line: each piece read from it costs one of its client tokens, which returns
when the line has taken the piece (TOK-2, TOK-3).
A connection without tokens is not read, so a stalled line fills the socket's buffers and holds the
writer back, and nobody else; windows are small because what one writer has in flight is what the
others wait for.

From the line to the connections: a message costs one send token (RD-2).
It returns at once while what waits for the connection's socket is below the *backlog*, and else when
the socket has taken enough of it.
So a connection that does not read runs out of send tokens; the device then queues a few more
messages for it and cuts it off (RD-4, RD-5), while all others go on.
Only when no connection has tokens the line itself is not read, which holds back its other side.

A connection that ends its sending stays until the line has taken all it sent, and then a moment
longer, so that the answer to a last command still arrives.
One whose socket fails hears nothing any more, but what it sent is written to the line.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import select
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from .aio import AsyncPort, AsyncTimers
from .device import Device
from .interfaces import Bytes
from .ports import DescriptorPort

__all__ = ["BACKLOG", "CLIENTS_MAX", "SharedLine", "Statistics"]

BACKLOG: Final = 4 * 1024 * 1024
"""How many bytes may wait for a connection that does not read, before its tokens are kept."""

CLIENTS_MAX: Final = 100
"""How many connections there may be at once."""

CLIENT_WINDOW: Final = 8
"""How many pieces of one connection may be on their way to the line."""

PIECE: Final = 1024
"""The most that is read from a connection at once: a window of them is 7 s at 9600 baud."""

SEND_WINDOW: Final = 32
"""How many messages may go to a connection before it has to return tokens."""

SEND_INTERVAL: Final = 8
"""How many send tokens are returned at once."""

SEND_QUEUE_SIZE: Final = 64
"""How many messages the device queues for a connection without tokens before it is cut off."""

READ_MAX: Final = 16 * 1024
"""The most that is read from the line at once; a tty gives 4 KiB."""

LINGER_SECONDS: Final = 1.0
"""How long a connection that has ended its sending still hears the line."""

ACCEPT_MAX: Final = 64
"""How many connections are accepted before those that are there have their turn."""

ACCEPT_PAUSE_SECONDS: Final = 0.1
"""How long no connection is accepted when the process has no descriptor left."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a shared line has done so far.

    `clients`: connections now; `accepted`, `refused`, `cut_off`: connections so far.
    `line_read`, `line_written`: bytes on the line.
    `sent`, `received`: bytes to and from all connections.
    `pending`: bytes that wait for the line; `backlog`: bytes that wait for connections.
    """

    clients: int
    accepted: int
    refused: int
    cut_off: int
    line_read: int
    line_written: int
    sent: int
    received: int
    pending: int
    backlog: int


class MeteredPort(AsyncPort):
    """A port that counts."""

    def __init__(self, port: DescriptorPort) -> None:
        # What comes from many connections in one turn goes out together.
        super().__init__(port, cork=True)
        self.bytes_read = 0
        self.bytes_written = 0

    def write(self, buffers: Sequence[Bytes], /) -> int:
        """Write and count (see `Port.write`)."""
        taken = super().write(buffers)
        if taken > 0:
            self.bytes_written += taken
        return taken

    def read(self, limit: int = 65536, /) -> bytes:
        """Read and count."""
        data = super().read(limit)
        self.bytes_read += len(data)
        return data


class _Connection:
    """One connection: a client of the device."""

    __slots__ = (
        "deaf",
        "ended",
        "linger_timer",
        "outbox",
        "owed",
        "partial",
        "reading",
        "socket",
        "writing",
    )

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        # The socket is watched for input, for room.
        self.reading = False
        self.writing = False
        # Nothing more comes from it; nothing more can be sent to it.
        self.ended = False
        self.deaf = False
        # A line that has no end yet.
        self.partial = b""
        # What waits for the socket, and the send tokens that this keeps.
        self.outbox = bytearray()
        self.owed = 0
        self.linger_timer: asyncio.TimerHandle | None = None


class SharedLine:
    """Shares `port`, which it owns, among the connections that are given to it or come in.

    `backlog` is in bytes.
    With `whole_lines` what a connection sends goes to the line up to the last line end of it, so that
    no other one's bytes come into a line of at most 1024 bytes.
    `ended` is set when the line hung up; the connections stay until `close`.

    Raises:
        RuntimeError: no event loop is running.
        PortError: the port cannot be polled.
    """

    def __init__(
        self,
        port: DescriptorPort,
        *,
        backlog: int = BACKLOG,
        clients_max: int = CLIENTS_MAX,
        whole_lines: bool = False,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._backlog = backlog
        self._clients_max = clients_max
        self._whole_lines = whole_lines
        self._connections: dict[_Connection, None] = {}
        self._listeners: list[socket.socket] = []
        self._accept_timer: asyncio.TimerHandle | None = None
        self._closing = False
        # What the line had not taken at the end.
        self._left = 0
        self._accepted = self._refused = self._cut_off = self._sent = self._received = 0
        self.ended = asyncio.Event()
        self._port = MeteredPort(port)
        timers = AsyncTimers[_Connection]()
        self._device: Device[bytes, _Connection] = Device(self._port, 1, 0, self, timers)
        timers.device = self._device
        self._port.start(self._hang_up)
        self._device.start()

    # Connections.

    def listen(self, listener: socket.socket) -> None:
        """Accept connections from a listening stream socket, which is ours from now on."""
        listener.setblocking(False)  # noqa: FBT003 - the socket's argument
        self._listeners.append(listener)
        self._loop.add_reader(listener, self._accept, listener)

    def add_connection(self, connection: socket.socket) -> bool:
        """Share the line with a connected stream socket, which is ours from now on.

        Returns false, and closes it, if there are too many already.
        """
        connection.setblocking(False)  # noqa: FBT003 - the socket's argument
        if len(self._connections) >= self._clients_max and not self._evict():
            self._refused += 1
            connection.close()
            return False
        if connection.family in {socket.AF_INET, socket.AF_INET6}:
            # A shared console is interactive.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._accepted += 1
        client = _Connection(connection)
        self._connections[client] = None
        self._device.client_add(
            client,
            do_flow_control=True,
            max_send_queue_size=SEND_QUEUE_SIZE,
            num_client_tokens=CLIENT_WINDOW,
            num_send_tokens=SEND_WINDOW,
        )
        self._watch_input(client)
        return True

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPT_MAX):
            try:
                connection, _ = listener.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            except OSError as error:
                if error.errno not in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                    raise
                self._pause_accepting()
                return
            self.add_connection(connection)

    def _pause_accepting(self) -> None:
        for listener in self._listeners:
            self._loop.remove_reader(listener)
        self._accept_timer = self._loop.call_later(ACCEPT_PAUSE_SECONDS, self._go_on_accepting)

    def _go_on_accepting(self) -> None:
        self._accept_timer = None
        for listener in self._listeners:
            self._loop.add_reader(listener, self._accept, listener)

    def _evict(self) -> bool:
        """Make room: the oldest connection of those that have ended goes, if there is one."""
        for client in self._connections:
            if client.ended:
                self._drop(client)
                return True
        return False

    def _drop(self, client: _Connection) -> None:
        """Forget a connection; does nothing if that was done."""
        if client not in self._connections:
            return
        del self._connections[client]
        self._stop_watching(client)
        if client.linger_timer is not None:
            client.linger_timer.cancel()
        client.outbox.clear()
        client.socket.close()
        if not self._device.destroyed and self._device.client_exists(client):
            self._device.client_remove(client)

    def _stop_watching(self, client: _Connection) -> None:
        if client.reading:
            client.reading = False
            self._loop.remove_reader(client.socket)
        if client.writing:
            client.writing = False
            self._loop.remove_writer(client.socket)

    # From a connection to the line.

    def _watch_input(self, client: _Connection) -> None:
        if not (client.reading or client.ended) and client in self._connections:
            client.reading = True
            self._loop.add_reader(client.socket, self._readable, client)

    def _readable(self, client: _Connection) -> None:
        tokens = self._device.client_state(client).tokens
        for _ in range(tokens):
            wanted = PIECE - len(client.partial)
            try:
                data = client.socket.recv(wanted)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            self._received += len(data)
            piece = self._next_piece(client, data)
            if piece:
                self._device.write(client, piece)
            if not data:
                self._end(client)
                return
            if len(data) < wanted:
                break
        if client in self._connections and not self._device.client_state(client).tokens:
            client.reading = False
            self._loop.remove_reader(client.socket)

    def _next_piece(self, client: _Connection, data: bytes) -> bytes:
        """What goes to the line of what a connection sent; without `data`, all that is left of it."""
        if not self._whole_lines:
            return data
        held = client.partial + data
        end = max(held.rfind(b"\n"), held.rfind(b"\r")) + 1
        if not data or (not end and len(held) == PIECE):
            end = len(held)
        client.partial = held[end:]
        return held[:end]

    def _end(self, client: _Connection) -> None:
        """Nothing more comes from this connection."""
        client.ended = True
        if client.reading:
            client.reading = False
            self._loop.remove_reader(client.socket)
        self._leave_if_done(client)

    def _leave_if_done(self, client: _Connection) -> None:
        """Let a connection that has ended go once the line has taken what it sent."""
        if not client.ended or client not in self._connections:
            return
        state = self._device.client_state(client)
        if state.tokens + state.freed < CLIENT_WINDOW:
            return
        if client.deaf or _is_closed(client.socket):
            self._drop(client)
        elif client.linger_timer is None:
            client.linger_timer = self._loop.call_later(LINGER_SECONDS, self._drop, client)

    # From the line to a connection.

    def _send(self, client: _Connection) -> None:
        """Give the socket what it takes, and return the tokens that this frees."""
        outbox = client.outbox
        try:
            sent = client.socket.send(outbox)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._hear_no_more(client)
            return
        self._sent += sent
        del outbox[:sent]
        if bool(outbox) != client.writing:
            client.writing = bool(outbox)
            if outbox:
                self._loop.add_writer(client.socket, self._writable, client)
            else:
                self._loop.remove_writer(client.socket)

    def _writable(self, client: _Connection) -> None:
        self._send(client)
        self._return_send_tokens(client, 1)

    def _hear_no_more(self, client: _Connection) -> None:
        """The socket has failed; what it sent is still written to the line."""
        client.deaf = True
        client.outbox.clear()
        if client.writing:
            client.writing = False
            self._loop.remove_writer(client.socket)
        self._loop.call_soon(self._leave_if_done, client)

    def _return_send_tokens(self, client: _Connection, at_least: int) -> None:
        if client.owed >= at_least and len(client.outbox) < self._backlog:
            tokens, client.owed = client.owed, 0
            if client in self._connections:
                self._device.send_to_client_tokens_add(client, tokens)

    # The whole.

    def statistics(self) -> Statistics:
        """Return what was done so far."""
        return Statistics(
            clients=len(self._connections),
            accepted=self._accepted,
            refused=self._refused,
            cut_off=self._cut_off,
            line_read=self._port.bytes_read,
            line_written=self._port.bytes_written,
            sent=self._sent,
            received=self._received,
            pending=self._left if self._device.destroyed else self._device.pending_bytes,
            backlog=sum(len(client.outbox) for client in self._connections),
        )

    async def close(self, grace_seconds: float = 0.0) -> None:
        """Stop: no new connections, no new input; then, within the grace, deliver what is here.

        A second close does nothing.
        """
        if self._closing:
            return
        self._closing = True
        if self._accept_timer is not None:
            self._accept_timer.cancel()
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            listener.close()
        for client in tuple(self._connections):
            self._end(client)
        end = self._loop.time() + grace_seconds
        while self._undelivered() and self._loop.time() < end:  # noqa: ASYNC110 - a short last wait
            await asyncio.sleep(0.005)
        self._left = self._device.pending_bytes
        self._device.stop()
        for client in tuple(self._connections):
            self._drop(client)
        self._device.destroy()
        self._port.close()

    def _undelivered(self) -> bool:
        pending = self._device.pending_bytes and self._device.port is not None
        return bool(pending) or any(client.outbox for client in self._connections)

    def _hang_up(self) -> None:
        if not self._device.destroyed:
            if self._device.port is not None:
                self._device.reset_dev_instance(None)
            self.ended.set()

    # Callbacks of the device.

    def read_one_msg_from_device(self, port: Any, /) -> bytes | None:
        """Read what the line says; nothing more once we are closing."""
        if self._closing:
            return None
        return port.read(READ_MAX) or None

    def ref_msg_to_client(self, message: bytes, /) -> None:
        """Do nothing: Python counts."""

    def unref_msg_to_client(self, message: bytes, /) -> None:
        """Do nothing: Python counts."""

    def send_msg_to_client(self, message: bytes, client: _Connection, /) -> None:
        """Send to the connection, or keep for it what its socket does not take."""
        client.owed += 1
        if not client.deaf:
            client.outbox += message
            if not client.writing:
                self._send(client)
        self._return_send_tokens(client, SEND_INTERVAL)

    def send_tokens_to_client(self, client: _Connection, _tokens: int, /) -> None:
        """The line has taken something: read on, in halves of a window; or let it go."""
        if client.ended:
            self._leave_if_done(client)
        elif not client.reading and (
            self._device.client_state(client).tokens >= CLIENT_WINDOW // 2
        ):
            self._watch_input(client)

    def remove_client(self, client: _Connection, /) -> None:
        """Cut off a connection that does not read (RD-4, RD-5)."""
        self._cut_off += 1
        self._drop(client)


def _is_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed both directions, as far as the kernel can tell."""
    poll = select.poll()
    with contextlib.suppress(ValueError):
        poll.register(connection, 0)
        return any(events & (select.POLLHUP | select.POLLERR) for _, events in poll.poll(0))
    return True
