"""What a migrating agent device hands over besides the device's own record.

Theory of operation
-------------------
The message begins with the 8-byte header "MNMD" and version 1, then the device's record of 25 bytes
(MIG-1), then 32 bytes that say where inside a message the agent's and the client's streams stand.
Behind these 65 bytes come the device's write data and then the bytes that were read from the agent
and not yet passed on.
All pointers count from the start of the message.
Nothing in a message is trusted (MIG-5).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from chardev.errors import BadMigrationDataError
from chardev.interfaces import Bytes

from .chunks import CLIENT_PORT, HEADER_SIZE, PART_MAX, SERVER_PORT

__all__ = ["DATA_OFFSET", "HEADER", "StreamState", "is_connected", "parse"]

HEADER: Final = b"MNMD" + struct.pack("<I", 1)
"""The migration header: what the message is, and its version."""

_CONNECTED_AT: Final = len(HEADER) + 4
_STATE_AT: Final = len(HEADER) + 25

# client_agent_started | chunk_header_size, port, size, msg_header_done, msg_header_partial_len,
# msg_header_ptr, msg_remaining, filter | c2a msg_remaining, filter
_STATE: Final = struct.Struct("<BIIIBIIIBIB")

DATA_OFFSET: Final = _STATE_AT + _STATE.size
"""Where the write data stands: 65."""

# Filter results on the wire.
_PASS: Final = 0
_DISCARD: Final = 1


@dataclass(frozen=True, slots=True)
class StreamState:
    """Where the two streams stand.

    `started`: the client has started the agent.
    `chunk_header`: what was read of a chunk's header, all 8 bytes inside a chunk.
    `chunk_remaining`: how much of the present chunk was not passed on.
    `partial`: what of it was read.
    `from_agent_remaining`, `from_agent_passing`: the agent's present message (`MessageFilter`).
    `to_agent_remaining`, `to_agent_passing`: the client's present message.
    """

    started: bool = False
    chunk_header: bytes = b""
    chunk_remaining: int = 0
    partial: bytes = b""
    from_agent_remaining: int = 0
    from_agent_passing: bool = False
    to_agent_remaining: int = 0
    to_agent_passing: bool = False

    def pack(self, partial_offset: int) -> bytes:
        """Return the 32 bytes; `partial_offset` is where `partial` will stand."""
        header = self.chunk_header
        if self.chunk_remaining:
            header = header[:4] + struct.pack("<I", self.chunk_remaining)
        port, size = struct.unpack("<II", header.ljust(HEADER_SIZE, b"\0"))
        return _STATE.pack(
            self.started,
            len(header),
            port,
            size,
            self.from_agent_remaining > 0,
            len(self.partial),
            partial_offset if self.partial else 0,
            self.from_agent_remaining,
            _filter_result(self.from_agent_remaining, passing=self.from_agent_passing),
            self.to_agent_remaining,
            _filter_result(self.to_agent_remaining, passing=self.to_agent_passing),
        )


def _filter_result(remaining: int, *, passing: bool) -> int:
    """What was decided about the present message; between messages nothing is."""
    return _PASS if passing or not remaining else _DISCARD


def is_connected(message: Bytes) -> bool:
    """Check header and length, and tell whether the source had a client.

    Raises:
        chardev.BadMigrationDataError: the message is truncated, or something else altogether.
    """
    if len(message) < DATA_OFFSET:
        raise BadMigrationDataError(
            f"restore: the message has {len(message)} bytes; an agent's needs {DATA_OFFSET}: it is truncated"
        )
    if bytes(message[: len(HEADER)]) != HEADER:
        raise BadMigrationDataError(
            f"restore: the message begins with {bytes(message[: len(HEADER)])!r}; an agent's begins with {HEADER!r}"
        )
    return message[_CONNECTED_AT] != 0


def parse(message: Bytes) -> StreamState:
    """Read where the streams stood; `is_connected` was asked before.

    Raises:
        chardev.BadMigrationDataError: the state contradicts itself, or points outside the message.
    """
    (
        started,
        header_size,
        port,
        size,
        _,
        partial_size,
        pointer,
        from_agent_remaining,
        from_agent_filter,
        to_agent_remaining,
        to_agent_filter,
    ) = _STATE.unpack_from(message, _STATE_AT)
    inside = header_size == HEADER_SIZE
    problem = None
    if header_size > HEADER_SIZE:
        problem = f"{header_size} bytes of a chunk's header were read, which has {HEADER_SIZE}"
    elif inside and port not in {CLIENT_PORT, SERVER_PORT}:
        problem = f"the present chunk is for port {port}, which does not exist"
    elif inside and not size:
        problem = "the present chunk has nothing left"
    elif partial_size and (not inside or partial_size >= min(size, PART_MAX)):
        problem = f"{partial_size} bytes of a part were read and kept, which is all of it or more"
    elif partial_size and not DATA_OFFSET <= pointer <= len(message) - partial_size:
        problem = f"{partial_size} bytes are said to stand at {pointer}, outside the message"
    if problem is not None:
        raise BadMigrationDataError(f"restore: {problem}")
    return StreamState(
        started=started != 0,
        chunk_header=struct.pack("<II", port, size)[:header_size],
        chunk_remaining=size if inside else 0,
        partial=bytes(message[pointer : pointer + partial_size]) if partial_size else b"",
        from_agent_remaining=from_agent_remaining,
        from_agent_passing=from_agent_filter == _PASS,
        to_agent_remaining=to_agent_remaining,
        to_agent_passing=to_agent_filter == _PASS,
    )
