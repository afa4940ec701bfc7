"""Chunks: how the agent's port tells the client's messages from the server's own (DEV-2).

Theory of operation
-------------------
A chunk is a header of 8 bytes (u32 port, u32 size, little endian) and that many bytes.
What we write are chunks of one part each: at most 2048 bytes.
What we read may be longer: the agent sends each message as one chunk, however long.
So a chunk that is read is passed on in parts of at most 2048 bytes, and it never has to be kept as
a whole.
The reader takes from the port only what it still needs of the present part: whatever is behind it
waits in the port.
What it has of an unfinished header or part is its whole state, and migrates.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from .messages import PART_MAX

__all__ = [
    "CLIENT_PORT",
    "HEADER_SIZE",
    "PART_MAX",
    "SERVER_PORT",
    "BadChunkError",
    "ChunkReader",
    "chunk",
]

CLIENT_PORT: Final = 1
"""Messages between client and agent (`VDP_CLIENT_PORT`)."""

SERVER_PORT: Final = 2
"""Messages between server and agent (`VDP_SERVER_PORT`)."""

# port, size
HEADER: Final = struct.Struct("<II")

HEADER_SIZE: Final = HEADER.size


class BadChunkError(ValueError):
    """The agent's stream has lost its framing; the text says where."""


def chunk(port: int, part: bytes) -> bytes:
    """Return one part as a chunk; its size is the caller's care."""
    return HEADER.pack(port, len(part)) + part


class ChunkReader:
    """Reads chunks and gives them out in parts.

    `header`: what was read of a chunk's header; 8 bytes while inside a chunk.
    `port`: where the present chunk belongs.
    `remaining`: how much of the present chunk was not given out; 0 outside a chunk.
    `partial`: what was read of the present part.
    """

    __slots__ = ("header", "partial", "port", "remaining")

    def __init__(self) -> None:
        self.header = b""
        self.port = 0
        # 0 exactly if the header is incomplete.
        self.remaining = 0
        # Shorter than the part that it belongs to.
        self.partial = b""

    def next_part(self, read: Callable[[int], bytes]) -> tuple[int, bytes] | None:
        """Read on until a part is complete.

        `read` is asked for at most so many bytes and gives none when there are none now.
        It is asked until it gives none, however little it gave before: only then does a port watch
        for more.
        Returns the chunk's port and the part; None when there is nothing to read.

        Raises:
            BadChunkError: the chunk is for a port that does not exist.
        """
        if not self.remaining:
            if not self._read_header(read):
                return None
            if not self.remaining:
                self.header = b""
                return self.port, b""
        size = min(self.remaining, PART_MAX)
        data = self.partial
        while len(data) < size:
            more = read(size - len(data))
            if not more:
                self.partial = data
                return None
            data += more
        self.partial = b""
        self.remaining -= size
        if not self.remaining:
            self.header = b""
        return self.port, data

    def _read_header(self, read: Callable[[int], bytes]) -> bool:
        while len(self.header) < HEADER_SIZE:
            more = read(HEADER_SIZE - len(self.header))
            if not more:
                return False
            self.header += more
        port, size = HEADER.unpack(self.header)
        if port not in {CLIENT_PORT, SERVER_PORT}:
            raise BadChunkError(
                f"a chunk is for port {port}; there are {CLIENT_PORT} (client) and {SERVER_PORT} (server)"
            )
        self.port, self.remaining = port, size
        return True
