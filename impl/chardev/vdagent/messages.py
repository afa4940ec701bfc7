"""Messages of the guest agent, as client and agent see them.

Theory of operation
-------------------
A message is a header of 20 bytes, little endian and packed, and a body of any length.
It travels in *parts* of at most 2048 bytes; the first one holds the whole header.
The device never looks at a body.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from chardev.interfaces import Bytes

__all__ = [
    "HEADER_SIZE",
    "PART_MAX",
    "BadAgentMessageError",
    "MessageHeader",
    "MessageType",
    "message",
    "parts",
]

PROTOCOL: Final = 1
"""The only version of the agent's protocol (`VD_AGENT_PROTOCOL`)."""

PART_MAX: Final = 2048
"""The most bytes of a part (`VD_AGENT_MAX_DATA_SIZE`; DEV-2)."""

# protocol, type, opaque, size of the body
_HEADER: Final = struct.Struct("<IIQI")

HEADER_SIZE: Final = _HEADER.size


class BadAgentMessageError(ValueError):
    """What a peer sent is no message; the text says what is wrong with it."""


class MessageType(enum.IntEnum):
    """What a message is about (`VD_AGENT_...`)."""

    MOUSE_STATE = 1
    MONITORS_CONFIG = 2
    REPLY = 3
    CLIPBOARD = 4
    DISPLAY_CONFIG = 5
    ANNOUNCE_CAPABILITIES = 6
    CLIPBOARD_GRAB = 7
    CLIPBOARD_REQUEST = 8
    CLIPBOARD_RELEASE = 9
    FILE_XFER_START = 10
    FILE_XFER_STATUS = 11
    FILE_XFER_DATA = 12
    CLIENT_DISCONNECTED = 13
    MAX_CLIPBOARD = 14
    AUDIO_VOLUME_SYNC = 15
    GRAPHICS_DEVICE_INFO = 16


@dataclass(frozen=True, slots=True)
class MessageHeader:
    """The header of a message: `type` is a `MessageType` or a later one, `size` the body's bytes."""

    type: int
    size: int
    opaque: int = 0

    def pack(self) -> bytes:
        """Return the 20 bytes."""
        return _HEADER.pack(PROTOCOL, self.type, self.opaque, self.size)

    @classmethod
    def parse(cls, data: Bytes) -> MessageHeader:
        """Read the header at the beginning of a message's first part.

        Raises:
            BadAgentMessageError: there are less than 20 bytes, or the protocol is another one.
        """
        if len(data) < HEADER_SIZE:
            raise BadAgentMessageError(
                f"the first part of a message has {len(data)} bytes; its header alone needs {HEADER_SIZE}"
            )
        protocol, kind, opaque, size = _HEADER.unpack_from(data)
        if protocol != PROTOCOL:
            raise BadAgentMessageError(
                f"a message has protocol version {protocol}; there is only {PROTOCOL}"
            )
        return cls(kind, size, opaque)


def message(kind: int, body: bytes = b"", opaque: int = 0) -> bytes:
    """Return a whole message: header and body."""
    return MessageHeader(kind, len(body), opaque).pack() + body


def parts(data: bytes) -> Iterator[bytes]:
    """Cut a whole message into the parts that it travels in."""
    for begin in range(0, len(data), PART_MAX):
        yield data[begin : begin + PART_MAX]
