"""A minimal SPICE client: link, authentication, and messages with the short header.

It knows the framing of messages, and what is in those of the main channel and of character-device channels; no more.
It reads and writes only when asked, so that it goes in step with the server in the same process.
"""

import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

MAIN: Final = 1
USBREDIR: Final = 9
PORT: Final = 10
"""Types of channels."""

# From the server.
MIGRATE: Final = 1
MIGRATE_DATA: Final = 2
SET_ACK: Final = 3
PING: Final = 4
MAIN_MIGRATE_BEGIN: Final = 101
MAIN_MIGRATE_CANCEL: Final = 102
MAIN_INIT: Final = 103
MAIN_MOUSE_MODE: Final = 105
MAIN_MULTI_MEDIA_TIME: Final = 106
MAIN_AGENT_CONNECTED: Final = 107
MAIN_AGENT_DISCONNECTED: Final = 108
MAIN_AGENT_DATA: Final = 109
MAIN_AGENT_TOKEN: Final = 110
MAIN_MIGRATE_END: Final = 112
MAIN_AGENT_CONNECTED_TOKENS: Final = 115
MAIN_MIGRATE_BEGIN_SEAMLESS: Final = 116
MAIN_MIGRATE_DST_SEAMLESS_ACK: Final = 117
MAIN_MIGRATE_DST_SEAMLESS_NACK: Final = 118
VMC_DATA: Final = 101
PORT_INIT: Final = 201
PORT_EVENT_FROM_SERVER: Final = 202

# From the client.
C_ACK_SYNC: Final = 1
C_ACK: Final = 2
C_PONG: Final = 3
C_MIGRATE_FLUSH_MARK: Final = 4
C_MIGRATE_DATA: Final = 5
C_MAIN_MIGRATE_CONNECTED: Final = 102
C_MAIN_MIGRATE_CONNECT_ERROR: Final = 103
C_MAIN_ATTACH_CHANNELS: Final = 104
C_MAIN_MOUSE_MODE_REQUEST: Final = 105
C_MAIN_AGENT_START: Final = 106
C_MAIN_AGENT_DATA: Final = 107
C_MAIN_AGENT_TOKEN: Final = 108
C_MAIN_MIGRATE_END: Final = 109
C_MAIN_MIGRATE_DST_DO_SEAMLESS: Final = 110
C_MAIN_MIGRATE_CONNECTED_SEAMLESS: Final = 111
C_VMC_DATA: Final = 101
C_VMC_COMPRESSED_DATA: Final = 102
C_PORT_EVENT: Final = 201

_MAGIC: Final = b"REDQ"
_LINK_HEADER: Final = struct.Struct("<4sIII")
_LINK_MESSAGE: Final = struct.Struct("<IBBIII")
_MESSAGE_HEADER: Final = struct.Struct("<HI")
_COMMON_CAPABILITIES: Final = 0b1011
"""Choice of authentication, authentication by ticket, short message headers."""
_MAIN_CAPABILITIES: Final = 0b1111
"""Both kinds of migration, the name of the machine, tokens when the agent connects."""
_KEY_SIZE: Final = 162
"""Bytes of the server's public key."""
_AUTHENTICATION_SPICE: Final = 1


class LinkError(Exception):
    """The server refused a link, or answered what is none."""


class Message(NamedTuple):
    """One message from the server."""

    type: int
    body: bytes


@dataclass(slots=True)
class Channel:
    """One channel of a client: our end of its socket."""

    socket: socket.socket
    server_descriptor: int
    """The number of the descriptor that the server was given."""
    type: int
    closed: bool = False
    """The server has closed it, or the client has."""
    deaf: bool = False
    """The client does not read."""
    narrow: bool = False
    """The socket holds little: what the server still has to say comes as the client reads."""
    _unread: bytes = b""
    session: int = 0
    """The connection id that further channels name; from the server's first message."""
    unsent: list[bytes] = field(default_factory=list)

    def send(self, kind: int, body: bytes = b"") -> None:
        """Send one message."""
        self.send_bytes(message_bytes(kind, body))

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are; what a closed channel is sent is lost, what does not fit waits for `flush`."""
        if not self.closed:
            self.unsent.append(data)
            self.flush()

    def flush(self) -> bool:
        """Send what did not fit before; whether anything was sent."""
        moved = False
        while self.unsent and not self.closed:
            try:
                sent = self.socket.send(self.unsent[0])
            except BlockingIOError:
                break
            except OSError:  # the server has closed it; what it had written can still be read
                self.unsent.clear()
                break
            moved = True
            rest = self.unsent.pop(0)[sent:]
            if rest:
                self.unsent.insert(0, rest)
        return moved

    def stop_reading(self) -> None:
        """Read no more; the server's end of the socket is given as little memory as there can be."""
        if not self.closed:
            self.deaf = self.narrow = True
            with socket.socket(fileno=os.dup(self.server_descriptor)) as theirs:
                theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 0)

    def pump(self) -> bool:
        """Move what could not be moved before; whether anything was."""
        return self.flush() or (self.narrow and self.read())

    def read(self) -> bool:
        """Read what has arrived, unless the client is deaf; whether that was anything."""
        before = len(self._unread)
        while not self.closed and not self.deaf:
            try:
                data = self.socket.recv(1 << 20)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.close()
            self._unread += data
        return len(self._unread) > before

    def receive(self) -> list[Message]:
        """Every complete message that was read; notes when the server has closed the channel."""
        self.read()
        messages = []
        while len(self._unread) >= _MESSAGE_HEADER.size:
            kind, size = _MESSAGE_HEADER.unpack_from(self._unread)
            end = _MESSAGE_HEADER.size + size
            if len(self._unread) < end:
                break
            messages.append(Message(kind, self._unread[_MESSAGE_HEADER.size : end]))
            self._unread = self._unread[end:]
        return messages

    def close(self) -> None:
        """Close it from the client's side."""
        self.closed = True
        self.socket.close()


def message_bytes(kind: int, body: bytes) -> bytes:
    """A message as it goes over the wire."""
    return _MESSAGE_HEADER.pack(kind, len(body)) + body


def link(
    connect: Callable[[int], None],
    settle: Callable[[], None],
    *,
    kind: int = MAIN,
    number: int = 0,
    connection: int = 0,
) -> Channel:
    """Open a channel: `connect` is given the server's end of a socket, `settle` lets the server work.

    `connection` is 0 for a new client, else the session that the channel belongs to.
    Raises `LinkError`.
    """
    ours, theirs = socket.socketpair()
    ours.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
    descriptor = theirs.detach()
    connect(descriptor)
    channel_capabilities = [_MAIN_CAPABILITIES] if kind == MAIN else [0]
    words = [_COMMON_CAPABILITIES, *channel_capabilities]
    body = _LINK_MESSAGE.pack(
        connection, kind, number, 1, len(channel_capabilities), _LINK_MESSAGE.size
    ) + struct.pack(f"<{len(words)}I", *words)
    ours.send(_LINK_HEADER.pack(_MAGIC, 2, 2, len(body)) + body)
    settle()
    reply = _receive(ours)
    if len(reply) < _LINK_HEADER.size + 4 + _KEY_SIZE or reply[:4] != _MAGIC:
        raise LinkError(f"the server answered a link with {len(reply)} bytes")
    (error,) = struct.unpack_from("<I", reply, _LINK_HEADER.size)
    if error:
        raise LinkError(f"the server refused a link with error {error}")
    key = load_der_public_key(reply[_LINK_HEADER.size + 4 :][:_KEY_SIZE])
    if not isinstance(key, rsa.RSAPublicKey):
        raise LinkError("the server's key is not an RSA key")
    # The protocol's own choice: it protects a ticket that is empty here.
    scheme = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303
    ours.send(struct.pack("<I", _AUTHENTICATION_SPICE) + key.encrypt(b"\0", scheme))
    settle()
    if (result := _receive(ours, 4)) != bytes(4):
        raise LinkError(f"the server refused the ticket: {result.hex()}")
    return Channel(ours, descriptor, kind, session=connection)


def _receive(sock: socket.socket, size: int = 4096) -> bytes:
    try:
        return sock.recv(size)
    except BlockingIOError:
        return b""
