"""The host's side of the guest's serial devices: null modems that can stall or be pulled, and QEMU's monitor.

QEMU connects to sockets that are listening before it starts, so there is no race at the start.
"""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any, Final

PIECE: Final = 4096
"""The most that is carried at once: little, so that a stalled wire holds little."""

CONNECT_SECONDS: Final = 10.0
"""QEMU looks once a second whether it can connect again."""


class End:
    """One end of a wire: QEMU connects to it, and again after it was pulled and plugged."""

    def __init__(self, path: Path, *, unbounded: bool) -> None:
        self.path = path
        self.unbounded = unbounded
        self._server: asyncio.Server | None = None
        self._connected = asyncio.Event()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def plug(self) -> None:
        """Listen: QEMU connects when it sees the socket."""
        self._server = await asyncio.start_unix_server(self._accept, self.path, limit=PIECE)

    async def connected(self) -> None:
        """Wait until QEMU has connected."""
        async with asyncio.timeout(CONNECT_SECONDS):
            await self._connected.wait()

    async def pull(self) -> None:
        """Hang up, and refuse to be called until plugged again."""
        if self._server is not None:
            self._server.close()
            self.path.unlink(missing_ok=True)
        self._connected.clear()
        if self._writer is not None:
            self._writer.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Little is on its way: what stalls here stalls soon for the guest.
        writer.transport.set_write_buffer_limits(high=0 if not self.unbounded else None)
        self._reader, self._writer = reader, writer
        self._connected.set()

    async def read(self) -> bytes:
        """What the guest wrote; waits for it, and for a connection."""
        while True:
            await self._connected.wait()
            assert self._reader is not None
            with contextlib.suppress(ConnectionError):
                data = await self._reader.read(PIECE)
                if data:
                    return data
            self._connected.clear()

    async def write(self, data: bytes) -> None:
        """Give it to the guest; dropped while nothing is connected, as on a wire that hangs loose."""
        if self._connected.is_set() and self._writer is not None:
            with contextlib.suppress(ConnectionError):
                self._writer.write(data)
                # QEMU's USB devices stop the whole guest while their host does not read.
                if not self.unbounded:
                    await self._writer.drain()


class Wire:
    """A null modem between two ends; while stalled it carries nothing, either way."""

    def __init__(self, one: End, two: End) -> None:
        self.ends = one, two
        self.flowing = asyncio.Event()
        self.flowing.set()

    async def carry(self) -> None:
        """Carry bytes both ways, for ever."""
        one, two = self.ends
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._carry(one, two))
            tasks.create_task(self._carry(two, one))

    async def _carry(self, source: End, destination: End) -> None:
        while True:
            await self.flowing.wait()
            data = await source.read()
            await self.flowing.wait()
            await destination.write(data)


class Monitor:
    """QEMU's monitor, in its machine protocol (QMP)."""

    def __init__(self) -> None:
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._connected = asyncio.Event()
        self._greeted = False

    async def listen(self, path: Path) -> None:
        """Wait for QEMU to connect."""
        await asyncio.start_unix_server(self._accept, path)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._connected.set()

    async def ask(self, command: str, **arguments: Any) -> Any:
        """What QEMU answers; raises `RuntimeError` with its own words when it refuses."""
        await self._connected.wait()
        if not self._greeted:
            assert self._reader is not None
            await self._reader.readline()  # QEMU greets first
            self._greeted = True
            await self._ask("qmp_capabilities")
        return await self._ask(command, **arguments)

    async def _ask(self, command: str, **arguments: Any) -> Any:
        assert self._reader is not None
        assert self._writer is not None
        question = {"execute": command, "arguments": arguments}
        self._writer.write(json.dumps(question).encode() + b"\n")
        while True:
            answer = json.loads(await self._reader.readline())
            if "error" in answer:
                raise RuntimeError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
