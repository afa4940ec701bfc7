"""The migration record as bytes (MIG-1, MIG-3, MIG-5).

Little endian, packed, 25 bytes:

====== ==== =========================================================
offset size field
====== ==== =========================================================
0      4    version, 1
4      1    connected, 0 or 1
5      4    client tokens
9      4    send tokens
13     4    size of the write data, in bytes
17     4    tokens in the write data
21     4    where the write data begins; 0 without data
====== ==== =========================================================

The last is an offset from the start of the 8-byte migration header that precedes the record in its message.
What that header says is its owner's affair.
"""

from typing import Final, NamedTuple

from chardev_spec.errors import BadMigrationDataError
from chardev_spec.state import UINT32_MAX

VERSION: Final = 1
HEADER_SIZE: Final = 8
"""Bytes of the migration header that precedes the record: a magic number and a version, of the device on top."""
RECORD_SIZE: Final = 25
MESSAGE_SIZE: Final = HEADER_SIZE + RECORD_SIZE
"""Bytes of header and record: the least offset at which write data can begin."""


class Record(NamedTuple):
    """The fields of a migration record; counts are 0 to 2**32 - 1."""

    version: int
    connected: int
    client_tokens: int
    send_tokens: int
    write_size: int
    write_client_tokens: int
    write_data_offset: int


class MigrateData(NamedTuple):
    """What marshall gives: the record, the write data, and the buffers that the marshaller refers to now."""

    record: Record
    write_data: bytes
    buffers: tuple[int, ...]


EMPTY: Final = Record(VERSION, 0, 0, 0, 0, 0, 0)
"""MIG-3: no client is connected."""


def saturate(count: int) -> int:
    """MIG-2: a count too large for its field is the largest that fits, never its low bits."""
    return min(count, UINT32_MAX)


def u32(value: int) -> bytes:
    """Four bytes, little endian."""
    return value.to_bytes(4, "little")


def encode(record: Record) -> bytes:
    """The 25 bytes of a record (MIG-1)."""
    return (
        u32(record.version)
        + record.connected.to_bytes(1, "little")
        + u32(record.client_tokens)
        + u32(record.send_tokens)
        + u32(record.write_size)
        + u32(record.write_client_tokens)
        + u32(record.write_data_offset)
    )


def encode_message(header: bytes, data: MigrateData) -> bytes:
    """A whole message: header, record, and the write data right behind it (MIG-1).

    `header` is 8 bytes.
    """
    return header + encode(data.record) + data.write_data


def u32_at(message: bytes, offset: int) -> int:
    """The four bytes at `offset` as a number, little endian."""
    return int.from_bytes(message[offset : offset + 4], "little")


def decode_record(message: bytes) -> Record:
    """The record of a whole message, wherever that says the write data is (MIG-5).

    Raises `BadMigrationDataError` when the message is truncated, its version is above ours, or nobody is connected.
    """
    size = len(message)
    if size < MESSAGE_SIZE:
        raise BadMigrationDataError(
            f"the message has {size} bytes; header and record are {MESSAGE_SIZE}"
        )
    record = Record(
        version=u32_at(message, HEADER_SIZE),
        connected=message[HEADER_SIZE + 4],
        client_tokens=u32_at(message, HEADER_SIZE + 5),
        send_tokens=u32_at(message, HEADER_SIZE + 9),
        write_size=u32_at(message, HEADER_SIZE + 13),
        write_client_tokens=u32_at(message, HEADER_SIZE + 17),
        write_data_offset=u32_at(message, HEADER_SIZE + 21),
    )
    if record.version > VERSION:
        raise BadMigrationDataError(
            f"the record has version {record.version}; the newest known is {VERSION}"
        )
    if record.connected == 0:
        raise BadMigrationDataError("the record says that no client is connected")
    return record


def write_data(message: bytes, record: Record) -> bytes:
    """The part of a whole message that its record says is the write data."""
    begin = record.write_data_offset
    return message[begin : begin + record.write_size]


def decode(message: bytes) -> tuple[Record, bytes]:
    """The record of a whole message and its write data (MIG-5).

    Raises `BadMigrationDataError` when the record does, or the write data does not lie behind the record and within
    the message.
    """
    record = decode_record(message)
    size = len(message)
    begin, end = record.write_data_offset, record.write_data_offset + record.write_size
    if record.write_size > 0 and (begin < MESSAGE_SIZE or end > size):
        raise BadMigrationDataError(
            f"the write data is said to be bytes {begin} to {end} of the message; "
            f"it must lie in {MESSAGE_SIZE} to {size}"
        )
    return record, write_data(message, record)
