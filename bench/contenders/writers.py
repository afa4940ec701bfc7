"""Who writes: our device in its ways, the system calls alone, and the libraries that people use instead.

A writer is handed a number of messages and goes on when the line has room again; both are measured, nothing else is.
"""

import asyncio
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final

import serial
import serial_asyncio_fast
import serialx
import uvloop

from chardev import PORT_BLOCKED, Device
from chardev.aio import AsyncRunner
from chardev.ports import DescriptorPort

from .media import Line

INTERVAL: Final = 5
"""Tokens of the guest agent's client are announced so many at once."""


class Writer(ABC):
    """One way to write messages of one size to one line."""

    media: tuple[str, ...] = ("pty", "socket", "pipe")
    waits = False
    """It waits inside its write, so that what does not fit on the line would never get there."""

    def __init__(self, line: Line, size: int) -> None:
        self.line = line
        self.data = b"x" * size
        self.open()

    def open(self) -> None:
        """Get ready."""

    @abstractmethod
    def send(self, count: int) -> None:
        """Write that many messages, or leave them pending."""

    def pending(self) -> bool:
        """Whether anything is left to be written."""
        return False

    def go_on(self) -> None:
        """The line has room again."""

    def close(self) -> None:
        """Let go of the line, which stays open."""


class SystemCall(Writer):
    """One `os.write` a message, and no flow control at all."""

    left = 0

    def send(self, count: int) -> None:
        """Write in a loop."""
        self.left = count * len(self.data)
        self.go_on()

    def pending(self) -> bool:
        """Whether the line was full."""
        return self.left > 0

    def go_on(self) -> None:
        """Write on; which byte of a message goes out does not matter here."""
        write, own, data = os.write, self.line.own, self.data
        try:
            while self.left > 0:
                self.left -= write(own, data)
        except BlockingIOError:
            return


class GatheredCall(SystemCall):
    """One `os.writev` for up to 256 messages: what the kernel allows."""

    def go_on(self) -> None:
        """Write on."""
        size = len(self.data)
        try:
            while self.left > 0:
                pieces = [self.data] * min(256, -(-self.left // size))
                self.left -= os.writev(self.line.own, pieces)
        except BlockingIOError:
            return


class CorkedPort(DescriptorPort):
    """A port that holds back while it is corked, and says so."""

    corked = False

    def write(self, buffers: Any, /) -> int:
        """Write, unless corked."""
        return PORT_BLOCKED if self.corked else super().write(buffers)


class Owner:
    """Callbacks and timers that do nothing."""

    def nothing(self, *_: object) -> None:
        """There is nothing to read and nothing to do."""

    read_one_msg_from_device = ref_msg_to_client = unref_msg_to_client = nothing
    send_msg_to_client = send_tokens_to_client = remove_client = nothing
    start_retry_timer = cancel_retry_timer = start_wait_timer = cancel_wait_timer = nothing


class PortAlone(SystemCall):
    """The bound of any device here: what port and owner cost, and nothing that decides when to call them."""

    def open(self) -> None:
        """Get a port of its own, and who hears of tokens."""
        self.port = DescriptorPort(os.dup(self.line.own), "bench")
        self.owner = Owner()

    def go_on(self) -> None:
        """Write on; the owner is told of every five messages."""
        write, grant, buffers = self.port.write, self.owner.send_tokens_to_client, (self.data,)
        freed = 0
        while self.left > 0:
            taken = write(buffers)
            if taken <= 0:
                return
            self.left -= taken
            freed += 1
            if freed == INTERVAL:
                grant("c", INTERVAL)
                freed = 0

    def close(self) -> None:
        """Let go of the port."""
        self.port.close()


class PortAloneTens(PortAlone):
    """The same with ten messages joined, of which the owner is told twice."""

    def go_on(self) -> None:
        """Write on; after what does not make a batch of its own the owner is told as well."""
        write, grant, data = self.port.write, self.owner.send_tokens_to_client, self.data
        buffers = [data] * 2 * INTERVAL
        while self.left > 0:
            if self.left < len(data) * 2 * INTERVAL:
                del buffers[-(-self.left // len(data)) :]
            taken = write((b"".join(buffers),))
            if taken <= 0:
                return
            self.left -= taken
            grant("c", INTERVAL)
            grant("c", INTERVAL)


class OurDevice(Writer):
    """Our device, one client with a window; every message is one call, and goes out at once."""

    window = 10
    port_class = DescriptorPort

    def open(self) -> None:
        """Start a device, whose port has a descriptor of its own to close."""
        self.port = self.port_class(os.dup(self.line.own), "bench")
        self.port.announces_writability = True
        owner: Any = Owner()
        self.device: Device[Any, str] = Device(self.port, self.window // 2, 0, owner, owner)
        self.device.start()
        self.device.client_add("c", True, 1, self.window, 0)  # noqa: FBT003 - the header's order
        self.left = 0

    def send(self, count: int) -> None:
        """Write while there are tokens; a client without one waits."""
        self.left = count
        self.go_on()

    def pending(self) -> bool:
        """Whether the port or the window was full."""
        return self.left > 0 or self.device.pending_buffers > 0

    def go_on(self) -> None:
        """Wake the device, then write on."""
        device, data = self.device, self.data
        if device.pending_buffers:
            device.wakeup()
        write, tokens = device.write, device.client_state("c")
        while self.left and tokens.tokens:
            count = min(self.left, tokens.tokens)
            for _ in range(count):
                write("c", data)
            self.left -= count

    def close(self) -> None:
        """End the device."""
        self.device.destroy()
        self.port.close()


class OurTens(OurDevice):
    """Batches of ten messages, the guest agent's window: each is one call of `Device.write_many`."""

    batch = 10

    def go_on(self) -> None:
        """Hand over many at once."""
        device, data, batch = self.device, self.data, self.batch
        if device.pending_buffers:
            device.wakeup()
        tokens = device.client_state("c")
        while self.left and tokens.tokens:
            count = batch
            if self.left < batch or tokens.tokens < batch:
                count = min(self.left, tokens.tokens)
            device.write_many("c", [data] * count)
            self.left -= count


class OurHundreds(OurTens):
    """Batches of 256 messages, with a window for them."""

    batch = window = 256


class OurCorkedTens(OurDevice):
    """One call of `Device.write` a message; the port is corked until ten are queued."""

    batch = 10
    port_class = CorkedPort

    def go_on(self) -> None:
        """Cork, write a batch, uncork."""
        device, data, port = self.device, self.data, self.port
        assert isinstance(port, CorkedPort)  # noqa: S101 - see above
        if device.pending_buffers:
            device.wakeup()
        write, tokens = device.write, device.client_state("c")
        while self.left and tokens.tokens:
            port.corked = True
            count = min(self.batch, self.left, tokens.tokens)
            for _ in range(count):
                write("c", data)
            self.left -= count
            port.corked = False
            device.wakeup()


class OurCorkedHundreds(OurCorkedTens):
    """The same with 256 messages, and a window for them."""

    batch = window = 256


class Looped(Writer):
    """A writer on an event loop: it writes, then the loop has its turns."""

    make_loop: Callable[[], asyncio.AbstractEventLoop] = staticmethod(asyncio.new_event_loop)

    def open(self) -> None:
        """Make a loop, and a transport on it."""
        self.loop = type(self).make_loop()
        self.transport = self.loop.run_until_complete(self.connect())
        self.transport.set_write_buffer_limits(2**24)

    async def connect(self) -> Any:
        """A transport on a copy of the descriptor."""
        copy = os.dup(self.line.own)
        if self.line.medium == "socket":
            connected = socket.socket(fileno=copy)
            return (await self.loop.create_connection(asyncio.Protocol, sock=connected))[0]
        pipe = os.fdopen(copy, "wb", buffering=0)
        return (await self.loop.connect_write_pipe(asyncio.BaseProtocol, pipe))[0]

    def send(self, count: int) -> None:
        """Write, and give the loop one turn."""
        write, data = self.transport.write, self.data
        for _ in range(count):
            write(data)
        self.go_on()

    def pending(self) -> bool:
        """Whether the transport still has something."""
        return self.transport.get_write_buffer_size() > 0

    def go_on(self) -> None:
        """One turn of the loop."""
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def close(self) -> None:
        """End the transport and the loop."""
        self.loop.call_soon(self.transport.abort)
        for _ in range(5):
            self.go_on()
        self.loop.close()


class Uvloop(Looped):
    """uvloop's transport, which writes what one turn of the loop brought."""

    make_loop = staticmethod(uvloop.new_event_loop)


class SerialFast(Looped):
    """pyserial-asyncio-fast: pyserial below an asyncio transport."""

    media = ("pty",)

    async def connect(self) -> Any:
        """Open the line by its name."""
        create = serial_asyncio_fast.create_serial_connection
        return (await create(self.loop, asyncio.Protocol, self.line.path))[0]


class OurRunner(Looped):
    """Our device on asyncio, corked: one gathered write a turn of the loop."""

    def open(self) -> None:
        """Make a loop, and a runner on it."""
        self.loop = asyncio.new_event_loop()
        self.runner = self.loop.run_until_complete(self.connect())
        self.device = self.runner.device
        self.device.start()
        self.device.client_add("c", True, 1, 256, 0)  # noqa: FBT003 - the header's order
        self.left = 0

    async def connect(self) -> Any:
        """A runner on a copy of the descriptor."""
        port = DescriptorPort(os.dup(self.line.own), "bench")
        owner: Any = Owner()
        return AsyncRunner(port, 128, 0, owner, cork=True)

    def send(self, count: int) -> None:
        """Write while there are tokens."""
        self.left = count
        self.go_on()

    def pending(self) -> bool:
        """Whether anything is left."""
        return self.left > 0 or self.device.pending_buffers > 0

    def go_on(self) -> None:
        """Write, and give the loop its turn."""
        write, tokens, data = self.device.write, self.device.client_state("c"), self.data
        while self.left and tokens.tokens:
            count = min(self.left, tokens.tokens)
            for _ in range(count):
                write("c", data)
            self.left -= count
        super().go_on()

    def close(self) -> None:
        """End the runner and the loop."""
        self.runner.close()
        self.loop.close()


class Pyserial(Writer):
    """pyserial, one `write` a message."""

    media = ("pty",)
    waits = True

    def open(self) -> None:
        """Open the line by its name."""
        self.serial: Any = serial.Serial(self.line.path, 115200)

    def send(self, count: int) -> None:
        """Write in a loop."""
        write, data = self.serial.write, self.data
        for _ in range(count):
            write(data)

    def close(self) -> None:
        """Close what was opened."""
        self.serial.close()


class Serialx(Pyserial):
    """serialx, one `write` a message."""

    def open(self) -> None:
        """Open the line by its name."""
        self.serial = serialx.Serial(self.line.path, 115200, exclusive=False)
        self.serial.open()


WRITERS: Final[dict[str, type[Writer]]] = {
    "os.write": SystemCall,
    "os.writev of 256": GatheredCall,
    "port and owner alone, at once": PortAlone,
    "port and owner alone, batch of 10": PortAloneTens,
    "device, at once": OurDevice,
    "device, batch of 10": OurTens,
    "device, batch of 256": OurHundreds,
    "device, one by one, corked for 10": OurCorkedTens,
    "device, one by one, corked for 256": OurCorkedHundreds,
    "device on asyncio, corked": OurRunner,
    "asyncio": Looped,
    "uvloop": Uvloop,
    "pyserial": Pyserial,
    "serialx": Serialx,
    "pyserial-asyncio-fast": SerialFast,
}
