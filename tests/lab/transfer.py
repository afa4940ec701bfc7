"""A device on an event loop over a line of the guest, unplugged and plugged in the middle of a buffer."""

import asyncio
import os
import select
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from chardev import Bytes
from chardev.aio import AsyncRunner
from chardev.ports import DescriptorPort, TtyPort
from tests.lab.control import Control
from tests.lab.places import WAIT_SECONDS, Place, stalled

BUFFER: Final = 10_000
"""Bytes of a buffer: more than a UART's driver takes at once."""

SENT_BACK: Final = 3000
"""Bytes from the peer: less than a tty keeps."""


class Owner:
    """One client, without flow control, that keeps what it is sent."""

    def __init__(self) -> None:
        self.received = b""

    def read_one_msg_from_device(self, port: Any, /) -> bytes | None:
        """Whatever is there."""
        return port.read(4096) or None

    def ref_msg_to_client(self, message: bytes, /) -> None:
        """Python counts."""

    def unref_msg_to_client(self, message: bytes, /) -> None:
        """Python counts."""

    def send_msg_to_client(self, message: bytes, _client: str, /) -> None:
        """Keep it."""
        self.received += message

    def send_tokens_to_client(self, client: str, tokens: int, /) -> None:
        """Without flow control there are none."""
        raise AssertionError(f"{tokens} tokens for {client}, who has no flow control")

    def remove_client(self, client: str, /) -> None:
        """Nothing that a client does here is a reason."""
        raise AssertionError(f"{client} was to be removed")


class Transfer:
    """The device, its line, and what went over it."""

    def __init__(self, place: Place, control: Control) -> None:
        self.place = place
        self.control = control
        self.owner = Owner()
        self.data = os.urandom(place.amount)
        self.taken = self.held_back = 0
        self.until_unplugged = place.amount // 3
        self.received = bytearray()
        self.hung_up = asyncio.Event()

    def open(self, open_soon: Callable[[str], DescriptorPort]) -> DescriptorPort:
        """The port, which counts from now on, and the peer."""
        path, peer_path = self.place.find()
        self.peer = open_soon(peer_path)
        port = open_soon(path)
        write = port.write

        def counted(buffers: Sequence[Bytes], /) -> int:
            offered = b"".join(buffers)[: self.until_unplugged]
            answer = write([offered])
            self.taken += max(answer, 0)
            self.held_back += 0 <= answer < len(offered)
            self.until_unplugged -= max(answer, 0)
            if not self.until_unplugged:
                self.runner.device.stop()
            return answer

        port.write = counted  # type: ignore[method-assign] # of this port alone
        return port

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the peer read until something is so.

        Raises `TimeoutError`, which says how far it got, when nothing arrives for long.
        """
        end = time.monotonic() + WAIT_SECONDS
        while not condition():
            data = self.peer.read()
            self.received += data
            await asyncio.sleep(0)
            if data:
                end = time.monotonic() + WAIT_SECONDS
            elif time.monotonic() > end:
                errors = self.peer.errors() if isinstance(self.peer, TtyPort) else None
                raise TimeoutError(
                    f"nothing for {WAIT_SECONDS:.0f} s: of {len(self.data)} bytes the line took {self.taken}, "
                    f"its peer has {len(self.received)} and errors {errors}, "
                    f"the client {len(self.owner.received)}; {self.runner.device.pending_bytes} wait"
                )

    async def heard_of(self, port: DescriptorPort) -> None:
        """Wait until the guest has heard that the line was pulled: until then it takes more, which is lost."""
        poll = select.poll()
        poll.register(port, 0)  # a hang-up is told without being asked for
        await self.until(lambda: self.hung_up.is_set() or poll.poll(0))

    async def run(self, open_soon: Callable[[str], DescriptorPort]) -> str:
        """Send all, with a mishap in the middle; what was seen."""
        port = self.open(open_soon)
        with AsyncRunner(port, 1, 0, self.owner, on_hang_up=self.hung_up.set) as self.runner:
            device = self.runner.device
            device.client_add("client", False, 0, 0, 0)
            device.start()
            back = os.urandom(SENT_BACK)
            assert self.peer.write([back]) == SENT_BACK
            await self.until(lambda: len(self.owner.received) == SENT_BACK)
            with stalled(self.place, self.control):
                for begin in range(0, len(self.data), BUFFER):
                    device.write("client", self.data[begin : begin + BUFFER])
            # What is under way when a line is pulled is lost with it; what the device has is not.
            await self.until(lambda: not device.running and len(self.received) == self.taken)
            self.place.unplug(self.control)
            await self.heard_of(port)
            self.until_unplugged = len(self.data)
            device.start()
            async with asyncio.timeout(WAIT_SECONDS):
                await self.hung_up.wait()
            self.peer.close()
            self.place.plug(self.control)
            self.runner.attach(self.open(open_soon))
            await self.until(lambda: len(self.received) == len(self.data))
            assert self.received == self.data
            assert self.owner.received == back
            self.peer.close()
        assert self.held_back or not self.place.holds_back, "the line took all at once"
        return f"{len(self.data):,} bytes on an event loop, unplugged midway, held back {self.held_back} times"
