"""Lines that misbehave: slow, refusing, failing, interrupted, unplugged, never read. Nothing is lost or sent twice."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from chardev import Device
from chardev.ports import DescriptorPort, SocketPort, open_pty_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chardev import Bytes
    from tests.impl.conftest import World

NUMBERS = b"".join(b"%07d\n" % number for number in range(4000))
"""32,000 bytes in which every place can be told from every other."""

PIECES = [NUMBERS[begin : begin + 1000] for begin in range(0, len(NUMBERS), 1000)]


class Owner:
    """Callbacks and timers of somebody who only writes: whether the retry timer is armed, how often the port failed."""

    def __init__(self) -> None:
        self.armed = False
        self.failed = 0

    def start_retry_timer(self, delay_ms: int, /) -> None:
        self.armed = True

    def cancel_retry_timer(self) -> None:
        self.armed = False

    def port_failed(self) -> None:
        self.failed += 1

    def ignore(self, *_: object) -> None:
        """Nothing is read, and nobody listens."""

    read_one_msg_from_device = ref_msg_to_client = unref_msg_to_client = send_msg_to_client = ignore
    send_tokens_to_client = remove_client = start_wait_timer = cancel_wait_timer = ignore


def started(port: Any) -> tuple[Device[Any, str], Owner]:
    """A running device with one client that may send all pieces."""
    owner: Any = Owner()
    device: Device[Any, str] = Device(port, 1, 0, owner, owner)
    device.start()
    device.client_add("c", True, 1, len(PIECES), 0)
    return device, owner


def fire(device: Device[Any, str], owner: Owner, times: int) -> None:
    """The retry timer fires, as long as it is armed."""
    for _ in range(times):
        if not owner.armed:
            return
        owner.armed = False
        device.retry_timer_fired()


class ByteByByte(DescriptorPort):
    """A port that takes one byte a call, whatever it is offered."""

    def write(self, buffers: Sequence[Bytes], /) -> int:
        """Take one byte."""
        return super().write([memoryview(buffers[0])[:1]])


def test_a_line_that_takes_one_byte_at_a_time() -> None:
    """Bytes would be lost, doubled or reordered by partial writes (WR-1)."""
    one, two = socket.socketpair()
    with ByteByByte(one.detach(), "slow") as port, two:
        device, owner = started(port)
        heard = b""
        for piece in PIECES[:5]:
            device.write("c", piece)
            while device.pending_buffers:
                heard += two.recv(10_000)
                fire(device, owner, 1)
            heard += two.recv(10_000)
        assert heard == NUMBERS[:5000]
        assert device.client_state("c").tokens == len(PIECES)


def test_a_line_that_refuses_for_ever(make_world: Callable[..., World]) -> None:
    """A line that is never ready would keep the processor busy, or its queue would grow without end (WR-4)."""
    world = make_world()
    world.dev.client_add("a", True, 0, 10, 0)
    world.dev.start()
    world.answers.extend([0] * 1000)
    for _ in range(12):
        world.dev.write("a", b"x")
    world.take_events()
    for _ in range(100):
        world.dev.retry_timer_fired()
    assert world.take_events() == ["write xxxxxxxxxx -> 0", *["retry 100"] * 2] * 100
    assert world.dev.pending_bytes == 10


def test_a_line_that_fails_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """After EIO the device would go on writing to a line that is gone, or lose what it had not taken (WR-8)."""
    one, two = socket.socketpair()
    with SocketPort(one, "broken") as port, two:
        device, owner = started(port)

        def fail(*_: object) -> int:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", fail)
            device.write("c", PIECES[0])
        assert (owner.failed, device.port, owner.armed) == (1, None, False)
        assert port.error is not None
        assert port.error.errno == errno.EIO
        device.write("c", PIECES[1])
        assert (owner.failed, device.pending_bytes) == (1, 2000)


def test_signals_all_the_time() -> None:
    """An interrupted system call would look like a failed line (EINTR)."""
    one, two = open_pty_pair()
    with one, two:
        device, owner = started(two)
        heard = bytearray()

        def listen() -> None:
            while len(heard) < len(NUMBERS):
                heard.extend(one.read())

        interruptions = []
        before = signal.signal(signal.SIGALRM, lambda *_: interruptions.append(1))
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        try:
            listener = threading.Thread(target=listen)
            listener.start()
            for piece in PIECES:
                device.write("c", piece)
            while device.pending_buffers:
                fire(device, owner, 1)
            listener.join(20)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert bytes(heard) == NUMBERS
        assert owner.failed == 0
        assert interruptions


def test_a_line_that_disappears_in_the_middle_of_a_write() -> None:
    """What a line took before it was unplugged would be sent again on the next, or the rest be lost (WR-8, LC-4)."""
    one, two = socket.socketpair()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    with SocketPort(one, "unplugged") as port:
        device, owner = started(port)
        for piece in PIECES:
            device.write("c", piece)
        assert device.pending_buffers
        taken = len(NUMBERS) - device.pending_bytes
        assert two.recv(100_000) == NUMBERS[:taken]
        two.close()
        fire(device, owner, 1)
        assert (owner.failed, device.port) == (1, None)
    three, four = socket.socketpair()
    with SocketPort(three, "plugged in again") as port, four:
        device.reset_dev_instance(port)
        fire(device, owner, 1000)
        assert four.recv(100_000) == NUMBERS[taken:]


def test_a_peer_that_never_reads() -> None:
    """One client could fill the memory by sending to a line that nobody reads (TOK-2)."""
    one, two = socket.socketpair()
    with SocketPort(one, "unread") as port, two:
        device, owner = started(port)
        window = len(PIECES)
        sent = 0
        while device.write("c", b"x" * 65536):
            sent += 1
            fire(device, owner, 1)
            assert device.pending_buffers <= window
        assert device.pending_buffers == window
        assert device.client_state("c").leaving
