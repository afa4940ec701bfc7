"""Migration data: what a source hands to a destination.

Theory of operation
-------------------
The record is packed and little endian (MIG-1): 25 bytes, then, wherever its pointer says, the
write data: the bytes that the source had taken from its client and the port had not yet taken.
The pointer counts from the start of the 8-byte migration header that stands before the record and
belongs to the owner of the device.
`MigrateData` refers to the pending bytes and never copies them; it keeps them valid until it is
released, whatever happens to the device (BUF-2).
`parse` reads a whole message, trusts nothing in it, and changes nothing (MIG-5).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .errors import BadMigrationDataError, CountOutOfRangeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .interfaces import Bytes

__all__ = ["MigrateData", "MigrateRecord", "parse"]

VERSION: Final = 1
"""The format's version (MIG-1); 0 is accepted too (MIG-5)."""

HEADER_SIZE: Final = 8
"""Bytes of the migration header that precedes the record (MIG-1)."""

# version, connected, client tokens, send tokens, write size, tokens in the write data, pointer
_RECORD: Final = struct.Struct("<IBIIIII")

RECORD_SIZE: Final = _RECORD.size
DATA_OFFSET: Final = HEADER_SIZE + RECORD_SIZE
"""Where the write data stands if it follows the record at once: 33."""

_FIELD_MAX: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class MigrateRecord:
    """One record, its counts exact; `pack` makes them fit."""

    connected: bool = False
    client_tokens: int = 0
    send_tokens: int = 0
    write_size: int = 0
    tokens_in_write_data: int = 0

    def pack(self, write_data_offset: int = DATA_OFFSET) -> bytes:
        """Return the record's 25 bytes (MIG-1).

        `write_data_offset` is where the write data will stand, counted from the start of the
        8-byte migration header.
        A count too large for its field becomes the largest that fits (MIG-2).

        Raises:
            CountOutOfRangeError: the offset lies inside the record or does not fit its field.
        """
        if not DATA_OFFSET <= write_data_offset <= _FIELD_MAX:
            raise CountOutOfRangeError(
                f"pack: write_data_offset is {write_data_offset}; the write data stands behind the "
                f"record, at {DATA_OFFSET} or later, and within 32 bits"
            )
        return _RECORD.pack(
            VERSION,
            self.connected,
            min(self.client_tokens, _FIELD_MAX),
            min(self.send_tokens, _FIELD_MAX),
            self.write_size,
            min(self.tokens_in_write_data, _FIELD_MAX),
            write_data_offset if self.write_size else 0,
        )


class MigrateData:
    """What `Device.migrate_data_marshall` returns: the record, and the write data by reference.

    It holds references to the bytes until `release` (BUF-2).
    """

    __slots__ = ("_data", "_record")

    def __init__(self, record: MigrateRecord, data: Sequence[Bytes]) -> None:
        self._record = record
        self._data: tuple[memoryview, ...] | None = tuple(
            memoryview(piece).toreadonly() for piece in data if len(piece)
        )

    @property
    def fields(self) -> MigrateRecord:
        """The record's fields, their counts exact."""
        return self._record

    @property
    def write_data(self) -> tuple[memoryview, ...]:
        """The bytes that the source's port has not taken, in order, not copied.

        Raises:
            ValueError: they were released.
        """
        if self._data is None:
            raise ValueError("write_data: the migration data was released; use it before release()")
        return self._data

    def record(self, write_data_offset: int = DATA_OFFSET) -> bytes:
        """Return the record's 25 bytes (MIG-1).

        `write_data_offset` says where the write data will stand, counted from the start of the
        8-byte migration header.

        Raises:
            CountOutOfRangeError: the offset lies inside the record or does not fit its field.
        """
        return self._record.pack(write_data_offset)

    def message(self, header: bytes) -> bytes:
        """Return the whole message: the owner's 8-byte header, the record and the write data.

        Raises:
            ValueError: the header has another length, or the data was released.
        """
        if len(header) != HEADER_SIZE:
            raise ValueError(
                f"message: the migration header has {len(header)} bytes; it must have {HEADER_SIZE}"
            )
        return b"".join((header, self.record(), *self.write_data))

    def release(self) -> None:
        """Drop the references to the write data; a second release does nothing."""
        self._data = None


def parse(message: Bytes) -> tuple[MigrateRecord, memoryview]:
    """Read a whole migration message: 8-byte header, record, and the data its pointer names.

    Returns the record and its write data, by reference.

    Raises:
        BadMigrationDataError: it is truncated, of a later version, of a source without a client, or its
            pointer leads outside (MIG-5).
    """
    view = memoryview(message).cast("B")
    if len(view) < DATA_OFFSET:
        raise BadMigrationDataError(
            f"restore: the message has {len(view)} bytes; "
            f"header and record need {DATA_OFFSET}: it is truncated"
        )
    version, connected, client_tokens, send_tokens, size, data_tokens, pointer = (
        _RECORD.unpack_from(view, HEADER_SIZE)
    )
    if version > VERSION:
        raise BadMigrationDataError(
            f"restore: the record has version {version}; "
            f"this device reads versions up to {VERSION}: the source is too new"
        )
    if not connected:
        raise BadMigrationDataError(
            "restore: the record says that the source had no client connected"
        )
    if size and pointer < DATA_OFFSET:
        raise BadMigrationDataError(
            f"restore: the write data is said to stand at {pointer}, inside header or record; "
            f"it can stand at {DATA_OFFSET} or later"
        )
    if size and pointer + size > len(view):
        raise BadMigrationDataError(
            f"restore: {size} bytes of write data at {pointer} reach past the message, "
            f"which has {len(view)} bytes: it is truncated"
        )
    data = view[pointer : pointer + size] if size else view[:0]
    record = MigrateRecord(
        connected=True,
        client_tokens=client_tokens,
        send_tokens=send_tokens,
        write_size=size,
        tokens_in_write_data=data_tokens,
    )
    return record, data
