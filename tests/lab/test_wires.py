"""The lab's null modem, without a guest: what crosses, what is held, and what a pulled end hears."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.lab.wires import End, Wire


@asynccontextmanager
async def joined(folder: Path) -> AsyncIterator[Wire]:
    """A wire that carries, between two sockets."""
    wire = Wire(End(folder / "one", unbounded=False), End(folder / "two", unbounded=True))
    for end in wire.ends:
        await end.plug()
    carrying = asyncio.create_task(wire.carry())
    try:
        yield wire
    finally:
        carrying.cancel()
        for end in wire.ends:
            await end.pull()


def test_bytes_cross_and_a_stalled_wire_holds_them(tmp_path: Path) -> None:
    """The guest's lines would not be joined, or a stall lose what it was to hold."""

    async def main() -> None:
        async with joined(tmp_path) as wire:
            one, to_one = await asyncio.open_unix_connection(tmp_path / "one")
            two, to_two = await asyncio.open_unix_connection(tmp_path / "two")
            to_one.write(b"there")
            to_two.write(b"and back")
            assert await two.readexactly(5) == b"there"
            assert await one.readexactly(8) == b"and back"
            wire.flowing.clear()
            to_one.write(b"later")
            await asyncio.sleep(0.05)
            assert not two._buffer  # type: ignore[attr-defined] # a look, not a read
            wire.flowing.set()
            assert await two.readexactly(5) == b"later"
            to_one.close()
            to_two.close()

    asyncio.run(main())


def test_a_pulled_end_hangs_up_and_can_be_plugged_again(tmp_path: Path) -> None:
    """An adapter in the guest could not be unplugged, or would not work a second time."""

    async def main() -> None:
        async with joined(tmp_path) as wire:
            two, to_two = await asyncio.open_unix_connection(tmp_path / "two")
            for word in (b"first", b"again"):
                one, to_one = await asyncio.open_unix_connection(tmp_path / "one")
                await wire.ends[0].connected()
                to_one.write(word)
                assert await two.readexactly(5) == word
                await wire.ends[0].pull()
                assert await one.read() == b""
                to_one.close()
                await wire.ends[0].plug()
            to_two.close()

    asyncio.run(main())
