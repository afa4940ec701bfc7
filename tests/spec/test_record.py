"""The migration record as bytes (MIG-1, MIG-3, MIG-5)."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chardev_spec.errors import BadMigrationDataError
from chardev_spec.record import (
    EMPTY,
    MigrateData,
    Record,
    decode,
    encode,
    encode_message,
    saturate,
)
from tests.spec.owner import HEADER

counts = st.integers(0, 2**32 - 1)
records = st.builds(Record, counts, st.integers(0, 255), counts, counts, counts, counts, counts)


def message(*, version: int = 1, connected: int = 1, size: int = 0, offset: int = 0) -> bytes:
    """Header and record."""
    return HEADER + encode(Record(version, connected, 2, 3, size, 1, offset))


@given(records)
def test_the_layout_is_the_packed_little_endian_one(record: Record) -> None:
    """Other implementations could not read our records (MIG-1)."""
    assert encode(record) == struct.pack("<IBIIIII", *record)


def test_the_layout_byte_by_byte() -> None:
    """A field would have moved (MIG-1)."""
    record = Record(1, 1, 0x01020304, 0x11121314, 0x21222324, 0x31323334, 0x41424344)
    assert encode(record).hex(" ") == (
        "01 00 00 00  01  04 03 02 01  14 13 12 11  24 23 22 21  34 33 32 31  44 43 42 41".replace(
            "  ", " "
        )
    )


def test_the_empty_record() -> None:
    """A device without client would say more than that (MIG-3)."""
    assert encode(EMPTY) == struct.pack("<IBIIIII", 1, 0, 0, 0, 0, 0, 0)


def test_a_message_is_header_record_and_data() -> None:
    """The offset in the record would not be where the data begins (MIG-1)."""
    record = Record(1, 1, 2, 3, 4, 1, 33)
    whole = encode_message(HEADER, MigrateData(record, b"data", (7,)))
    assert whole == HEADER + encode(record) + b"data"
    assert decode(whole) == (record, b"data")
    assert whole[record.write_data_offset :] == b"data"


@pytest.mark.parametrize(
    ("count", "field"), [(0, 0), (2**32 - 1, 2**32 - 1), (2**32, 2**32 - 1), (2**40, 2**32 - 1)]
)
def test_too_large_counts_are_the_largest(count: int, field: int) -> None:
    """A count would arrive as its low bits (MIG-2, TOK-5)."""
    assert saturate(count) == field


@pytest.mark.parametrize("length", [0, 1, 8, 32])
def test_truncated(length: int) -> None:
    """A message that was cut would be read past its end (MIG-5)."""
    with pytest.raises(BadMigrationDataError) as caught:
        decode(message()[:length])
    assert str(caught.value) == f"the message has {length} bytes; header and record are 33"


REFUSED = {
    "version": (message(version=2), "the record has version 2; the newest known is 1"),
    "not connected": (message(connected=0), "the record says that no client is connected"),
    "data inside the record": (
        message(size=1, offset=32) + b"x",
        "the write data is said to be bytes 32 to 33 of the message; it must lie in 33 to 34",
    ),
    "data past the end": (
        message(size=2, offset=33) + b"x",
        "the write data is said to be bytes 33 to 35 of the message; it must lie in 33 to 34",
    ),
    "an end beyond 32 bits": (
        message(size=2**32 - 1, offset=2**32 - 1) + b"x",
        "the write data is said to be bytes 4294967295 to 8589934590 of the message; it must lie in 33 to 34",
    ),
    "data of an offset of zero": (
        message(size=1) + b"x",
        "the write data is said to be bytes 0 to 1 of the message; it must lie in 33 to 34",
    ),
}


@pytest.mark.parametrize(("bad", "error"), REFUSED.values(), ids=REFUSED)
def test_refused(bad: bytes, error: str) -> None:
    """Bad data would be restored, or read outside of the message (MIG-5)."""
    with pytest.raises(BadMigrationDataError) as caught:
        decode(bad)
    assert str(caught.value) == error


def test_accepted() -> None:
    """Data that older sources send, or that lies farther behind, would be refused (MIG-5)."""
    assert decode(message(version=0)) == (Record(0, 1, 2, 3, 0, 1, 0), b"")
    assert decode(message(offset=5)) == (Record(1, 1, 2, 3, 0, 1, 5), b"")
    assert decode(message(connected=255))[0].connected == 255
    far = message(size=2, offset=36) + b"...xy..."
    assert decode(far) == (Record(1, 1, 2, 3, 2, 1, 36), b"xy")


@given(st.binary(max_size=80))
def test_any_bytes_are_a_record_or_refused(data: bytes) -> None:
    """Some byte sequence would crash the decoder (MIG-5)."""
    try:
        record, content = decode(data)
    except BadMigrationDataError:
        return
    assert len(content) == record.write_size
    assert content in data
