"""Who reads: our device, with messages that carry their size in a header, as the guest agent's do."""

import os
import struct
from collections.abc import Sequence
from typing import Any, Final

from chardev import Device
from chardev.ports import DescriptorPort

from .media import Line
from .writers import Owner

HEADER: Final = struct.Struct("<II")


def frame(size: int) -> bytes:
    """One message of `size` bytes, its header included."""
    return HEADER.pack(1, size - HEADER.size) + b"x" * (size - HEADER.size)


class Frames:
    """Cuts what a line says into messages: 64 KiB a read; a run of messages with one header is cut in one go."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.data = b""

    def take(self, limit: int) -> list[bytes]:
        """At most `limit` complete messages."""
        messages = self._cut(limit)
        if not messages:
            try:
                self.data += os.read(self.descriptor, 65536)
            except BlockingIOError:
                return []
            messages = self._cut(limit)
        return messages

    def _cut(self, limit: int) -> list[bytes]:
        data, position = self.data, 0
        messages: list[bytes] = []
        while len(messages) < limit and len(data) - position >= HEADER.size:
            size = HEADER.size + HEADER.unpack_from(data, position)[1]
            count = min((len(data) - position) // size, limit - len(messages))
            if not count:
                break
            header = data[position : position + HEADER.size]
            end = position + count * size
            # The headers agree if each of their bytes does, and slices find that out far faster than a loop.
            same = all(
                data[position + index : end : size] == header[index : index + 1] * count
                for index in range(HEADER.size)
            )
            if not same:
                count = 1
            messages += struct.unpack_from(
                f"{HEADER.size}x{size - HEADER.size}s" * count, data, position
            )
            position += count * size
        self.data = data[position:]
        return messages


class Reader:
    """One way to read messages from one line, for some clients."""

    def __init__(self, line: Line, clients: int) -> None:
        self.line = line
        self.frames = Frames(line.own)
        self.got: dict[int, list[bytes]] = {number: [] for number in range(clients)}
        self.open()

    def open(self) -> None:
        """Get ready."""

    def grant(self, count: int) -> None:
        """Every client may get that many messages."""

    def go_on(self) -> None:
        """Read what there is."""
        while messages := self.frames.take(2**30):
            for each in self.got.values():
                each.extend(messages)

    def close(self) -> None:
        """Let go of the line."""


class OurReader(Reader):
    """Our device, with an owner that reads and sends many messages at once."""

    def open(self) -> None:
        """Start a device with clients that get what was sent to them in a list."""
        self.port = DescriptorPort(os.dup(self.line.own), "bench")
        timers: Any = Owner()
        callbacks: Any = self
        self.device: Device[bytes, int] = Device(self.port, 5, 0, callbacks, timers)
        self.device.start()
        for client in self.got:
            self.device.client_add(client, True, 2**20, 10, 0)  # noqa: FBT003 - the header's order

    def read_msgs_from_device(self, port: Any, limit: int, /) -> Sequence[bytes]:
        """Cut messages."""
        del port
        return self.frames.take(limit)

    def send_msgs_to_client(self, messages: Sequence[bytes], client: int, /) -> None:
        """Put them on the client's list."""
        self.got[client] += messages

    def send_tokens_to_client(self, client: int, tokens: int, /) -> None:
        """Clients write nothing here."""

    def remove_client(self, client: int, /) -> None:
        """Nobody has to go here."""

    def grant(self, count: int) -> None:
        """Grant, client by client; the line is empty."""
        for client in self.got:
            self.device.send_to_client_tokens_set(client, count)

    def go_on(self) -> None:
        """There is something to read."""
        self.device.wakeup()

    def close(self) -> None:
        """End the device."""
        self.device.destroy()
        self.port.close()


class OurSingleReader(OurReader):
    """Our device, with the header's callbacks: every message is read, counted and sent by itself."""

    def open(self) -> None:
        """Start the same device, with an owner that has the callbacks of the header."""
        owner: Any = _Single(self)
        self.port = DescriptorPort(os.dup(self.line.own), "bench")
        self.device = Device(self.port, 5, 0, owner, owner)
        self.device.start()
        for client in self.got:
            self.device.client_add(client, True, 2**20, 10, 0)  # noqa: FBT003 - the header's order


class _Single(Owner):
    def __init__(self, reader: OurSingleReader) -> None:
        self.reader = reader
        self.ready: list[bytes] = []

    def read_one_msg_from_device(self, port: Any, /) -> bytes | None:  # type: ignore[override] # Owner's reads nothing
        del port
        if not self.ready:
            self.ready = self.reader.frames.take(2**30)[::-1]
        return self.ready.pop() if self.ready else None

    def send_msg_to_client(self, message: bytes, client: int, /) -> None:  # type: ignore[override] # Owner's takes anything
        self.reader.got[client].append(message)


READERS: Final[dict[str, type[Reader]]] = {
    "os.read and slices": Reader,
    "device, many messages at once": OurReader,
    "device, one by one": OurSingleReader,
}
