"""Marshalling, restoring, bad data (MIG)."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING, Any

import pytest

from chardev import (
    BadMigrationDataError,
    CannotMarshallError,
    CannotRestoreError,
    CountOutOfRangeError,
    Device,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.impl.conftest import World

HEADER = b"HEADER!!"


def message(
    *,
    version: int = 1,
    connected: int = 1,
    tokens: int = 3,
    send: int = 0,
    size: int | None = None,
    in_data: int = 0,
    pointer: int = 33,
    data: bytes = b"",
) -> bytes:
    """Build a migration message, right or wrong."""
    size = len(data) if size is None else size
    record = struct.pack("<IBIIIII", version, connected, tokens, send, size, in_data, pointer)
    return HEADER + record + data


def test_record_of_a_source_with_data(world: World) -> None:
    """A destination of another implementation would not understand the record (MIG-1, MIG-2)."""
    world.dev.start()
    world.answers.extend([1, 0])
    world.dev.write("a", b"hello")
    world.dev.stop()
    world.dev.write("a", b"world")
    world.dev.write(None, b"!")
    data = world.dev.migrate_data_marshall()
    assert data.record() == struct.pack("<IBIIIII", 1, 1, 1, 2, 10, 2, 33)
    assert data.record(50) == struct.pack("<IBIIIII", 1, 1, 1, 2, 10, 2, 50)
    assert [bytes(piece) for piece in data.write_data] == [b"ello", b"world", b"!"]
    assert data.message(HEADER) == HEADER + data.record() + b"elloworld!"
    with pytest.raises(CountOutOfRangeError):
        data.record(32)
    with pytest.raises(ValueError, match="has 3 bytes; it must have 8"):
        data.message(b"abc")


def test_marshalled_bytes_outlive_the_device(world: World) -> None:
    """The marshaller would send freed memory (BUF-2)."""
    world.add("a", b"hello")
    data = world.dev.migrate_data_marshall()
    world.dev.destroy()
    assert bytes(data.write_data[0]) == b"hello"
    data.release()
    data.release()
    with pytest.raises(ValueError, match="was released"):
        _ = data.write_data


def test_empty_record() -> None:
    """A destination would believe that a client was connected (MIG-3)."""
    assert Device.migrate_data_marshall_empty() == b"\x01" + bytes(24)


def test_counts_that_do_not_fit_are_clamped(world: World) -> None:
    """The low bits of a count would be sent (MIG-2)."""
    for _ in range(2):
        world.dev.send_to_client_tokens_add("a", 2**32 - 1)
    assert world.dev.migrate_data_marshall().record()[9:13] == b"\xff\xff\xff\xff"


def test_client_without_flow_control(make_world: Callable[..., World]) -> None:
    """A client without flow control would arrive with the counts of one that has it (MIG-2)."""
    world = make_world()
    world.dev.client_add("a", False, 0, 0, 0)
    world.dev.write("a", b"x")
    record = world.dev.migrate_data_marshall().record()
    assert record == struct.pack("<IBIIIII", 1, 1, 2**32 - 1, 2**32 - 1, 1, 1, 33)


def test_seal_holds_until_the_client_goes(world: World) -> None:
    """What was sent to the destination would be written here too (MIG-2, MIG-6)."""
    world.dev.write("a", b"moved")
    world.dev.write(None, b"moved too")
    world.dev.migrate_data_marshall()
    world.dev.write(None, b"later")
    assert world.dev.write("a", b"x") is False
    assert world.dev.client_add("b", True, 0, 1, 0) is False
    world.dev.start()
    world.messages.append("m")
    world.dev.wakeup()
    assert world.take_events() == []
    assert world.dev.sealed
    world.dev.client_remove("a")
    assert world.take_events() == [
        "self-token", "write later -> 5", "self-token", "retry 0",
        "read m", "unref m", "read nothing", "retry off",
    ]  # fmt: skip
    assert world.dev.self_tokens == 2
    assert world.written == b"later"


def test_marshall_is_refused_where_the_state_cannot_be_carried(
    make_world: Callable[..., World],
) -> None:
    """A migration would lose a message, a buffer or a client (MIG-2)."""
    world = make_world(interval=0)
    device = world.dev

    def problem() -> str:
        with pytest.raises(CannotMarshallError) as caught:
            device.migrate_data_marshall()
        return str(caught.value).removeprefix("migrate_data_marshall: ")

    assert problem() == "the device has 0 clients; it must have exactly one"
    device.client_add("a", True, 9, 1, 0)
    device.client_add("b", True, 9, 1, 1)
    assert problem() == "the device has 2 clients; it must have exactly one"
    device.start()
    assert problem() == "the device runs; call stop first"
    world.messages.append("m")
    device.wakeup()
    device.stop()
    device.client_remove("b")
    assert problem() == "client 'a' has 1 queued messages, which the format cannot carry"
    device.send_to_client_tokens_add("a", 1)
    buffer = device.write_buffer_get("a", 1)
    assert buffer is not None
    assert problem() == (
        "1 buffers of client 'a' are held by their owner; add or release them first"
    )
    inside: list[str] = []
    world.when("tokens", lambda: inside.append(problem()))
    device.write_buffer_release(buffer)
    assert inside == ["a call of this device is on the stack; wait until it has returned"]
    assert device.write("a", b"x")
    assert not device.write("a", b"x")
    assert problem() == "client 'a' is leaving; it cannot be migrated"
    device.client_remove("a")
    device.client_add("a", True, 9, 1, 0, True)
    assert problem() == "the device awaits migration data itself"


def test_marshall_inside_a_port_write_is_refused(world: World) -> None:
    """Data that the port is taking would be moved as well (MIG-2)."""
    refused: list[str] = []

    def stop_and_marshall() -> None:
        world.dev.stop()
        with pytest.raises(CannotMarshallError) as caught:
            world.dev.migrate_data_marshall()
        refused.append(str(caught.value))

    world.dev.start()
    world.when("write", stop_and_marshall)
    world.dev.write("a", b"x")
    assert len(refused) == 1


def test_move_to_a_destination_keeps_order_and_tokens(make_world: Callable[..., World]) -> None:
    """Source and destination together would lose or repeat data or tokens (MIG-4, MIG-6)."""
    source, destination = make_world(interval=2), make_world(interval=2)
    source.dev.client_add("a", True, 0, 9, 5)
    source.dev.start()
    source.answers.extend([9, 0])
    source.dev.write("a", b"one-")
    source.dev.write("a", b"two-")
    source.dev.write("a", b"three-")
    source.dev.stop()
    data = source.dev.migrate_data_marshall()
    assert destination.dev.client_add("a", True, 0, 9, 2**32 - 1, True)
    assert destination.dev.write("a", b"four-")
    destination.dev.send_to_client_tokens_add("a", 2)
    destination.dev.start()
    assert destination.take_events() == []
    destination.dev.restore(data.message(HEADER))
    assert source.written + destination.written == b"one-two-three-four-"
    state = destination.dev.client_state("a")
    assert state.tokens + state.freed == 9
    assert state.freed < 2
    assert state.send_tokens == 7


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"in_data": 2, "data": b""}, (1, 2)),
        ({"in_data": 0, "data": b"x"}, (1, 0)),
        ({"in_data": 2, "data": b"x"}, (1, 0)),
        ({"version": 0, "pointer": 0}, (1, 0)),
        ({"connected": 7}, (1, 0)),
    ],
)
def test_restored_prices(
    make_world: Callable[..., World], fields: dict[str, Any], expected: tuple[int, int]
) -> None:
    """The tokens of restored data would be lost or counted twice (MIG-4)."""
    world = make_world(interval=9)
    world.dev.client_add("a", True, 0, 9, 0, True)
    in_data = fields.get("in_data", 0)
    world.dev.restore(message(tokens=1, **fields))
    state = world.dev.client_state("a")
    data_pending = bool(fields.get("data"))
    assert state.tokens == expected[0]
    assert state.freed == 9 - 1 - (in_data if data_pending else 0)
    world.dev.start()
    assert (state.tokens, state.freed) == (1, 8)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "the message has 0 bytes; header and record need 33: it is truncated"),
        (
            message(version=2),
            "the record has version 2; this device reads versions up to 1: the source is too new",
        ),
        (message(connected=0), "the record says that the source had no client connected"),
        (
            message(pointer=32, data=b"x"),
            (
                "the write data is said to stand at 32, inside header or record; "
                "it can stand at 33 or later"
            ),
        ),
        (
            message(size=2, data=b"x"),
            (
                "2 bytes of write data at 33 reach past the message, which has 34 bytes: "
                "it is truncated"
            ),
        ),
        (
            message(tokens=3, in_data=1, data=b"x"),
            "3 client tokens and 1 in the write data are more than the window of 3 of client 'a'",
        ),
        (
            message(tokens=0),
            "0 client tokens are less than the 1 that client 'a' took here meanwhile",
        ),
    ],
)
def test_bad_data_changes_nothing(make_world: Callable[..., World], data: bytes, text: str) -> None:
    """Data from a peer would crash the device or break a window (MIG-5)."""
    world = make_world()
    world.dev.client_add("a", True, 0, 3, 0, True)
    world.dev.write("a", b"x")
    with pytest.raises(BadMigrationDataError) as caught:
        world.dev.restore(data)
    assert str(caught.value) == f"restore: {text}"
    assert world.dev.awaiting_migration_data
    world.dev.restore(message(tokens=3))
    assert world.dev.client_state("a").tokens == 2


def test_no_byte_sequence_breaks_restore(make_world: Callable[..., World]) -> None:
    """Hostile data would crash, hang or read outside (MIG-5)."""
    generator = random.Random(1)
    good = message(tokens=2, in_data=1, data=b"hello")
    for _ in range(500):
        world = make_world()
        world.dev.client_add("a", True, 0, 3, 0, True)
        data = bytearray(good)
        for _ in range(generator.randrange(1, 5)):
            data[generator.randrange(len(data))] = generator.choice((0, 1, 33, 255))
        try:
            world.dev.restore(data[: generator.choice((len(data), generator.randrange(40)))])
        except BadMigrationDataError:
            assert world.dev.awaiting_migration_data
        else:
            world.dev.start()
            assert world.dev.client_state("a").tokens + world.dev.client_state("a").freed == 3


def test_restore_needs_an_awaiting_client(world: World) -> None:
    """Migration data would fall into a device in use (MIG-4)."""
    with pytest.raises(CannotRestoreError) as caught:
        world.dev.restore(message())
    assert str(caught.value) == (
        "restore: no client awaits migration data; add one with wait_for_migrate_data"
    )
    world.dev.client_remove("a")
    world.dev.client_add("a", True, 0, 1, 0, True)
    world.dev.write("a", b"x")
    world.dev.write("a", b"x")
    with pytest.raises(CannotRestoreError) as leaving:
        world.dev.restore(message())
    assert str(leaving.value) == "restore: client 'a' is leaving; remove it and start over"


def test_awaiting_is_refused_unless_the_device_is_as_new(world: World) -> None:
    """Restored data would be mixed into a conversation (LC-6)."""
    device = world.dev
    assert device.client_add("b", True, 0, 1, 0, True) is False
    device.client_remove("a")
    device.start()
    refused: list[bool] = []
    world.when("read", lambda: refused.append(device.client_add("b", True, 0, 1, 0, True)))
    world.when("write", lambda: refused.append(device.client_add("b", True, 0, 1, 0, True)))
    device.wakeup()
    device.write(None, b"x")
    refused.append(device.client_add("b", True, 0, 1, 0, True))
    assert refused == [False, False, False]
    device.stop()
    world.answers.extend([1, 0])
    device.start()
    device.write(None, b"xx")
    device.stop()
    assert device.client_add("b", True, 0, 1, 0, True) is False
    device.reset()
    assert device.client_add("b", True, 0, 1, 0, True) is True
    assert device.client_add("c", True, 0, 1, 0) is False


def test_reset_ends_awaiting_without_send_tokens(make_world: Callable[..., World]) -> None:
    """A client that awaited would keep credit of a conversation that is over (LC-3)."""
    world = make_world()
    world.dev.client_add("a", True, 0, 3, 0, True)
    world.dev.send_to_client_tokens_add("a", 4)
    world.dev.reset()
    assert world.dev.client_state("a").send_tokens == 0
    assert not world.dev.awaiting_migration_data


def test_restored_data_is_current_and_goes_first(make_world: Callable[..., World]) -> None:
    """Restored data would be dropped with its client half way, or overtaken (WR-7, MIG-4)."""
    world = make_world()
    world.dev.client_add("a", True, 0, 3, 0, True)
    world.dev.write("a", b"second")
    world.dev.restore(message(tokens=2, in_data=1, data=b"first"))
    world.dev.client_remove("a")
    world.dev.start()
    assert world.written == b"first"


def test_chain_of_moves(make_world: Callable[..., World]) -> None:
    """Prices of data that moves twice would be lost (MIG-6)."""
    first, second, third = (make_world(interval=9) for _ in range(3))
    first.dev.client_add("a", True, 0, 9, 0)
    first.dev.write("a", b"1")
    first.dev.write("a", b"2")
    second.dev.client_add("a", True, 0, 9, 0, True)
    second.dev.restore(first.dev.migrate_data_marshall().message(HEADER))
    second.dev.write("a", b"3")
    third.dev.client_add("a", True, 0, 9, 0, True)
    data = second.dev.migrate_data_marshall()
    assert data.record() == struct.pack("<IBIIIII", 1, 1, 6, 0, 3, 3, 33)
    third.dev.restore(data.message(HEADER))
    third.dev.start()
    assert third.written == b"123"
    assert (third.dev.client_state("a").tokens, third.dev.client_state("a").freed) == (6, 3)
