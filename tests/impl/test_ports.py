"""Ports on real descriptors: ptys, sockets, a tty; exact accounting, hang-up, clear errors.

The lab runs those that take `ends`, directly or by `pair` or `tty`, on the serial lines of its guest.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
import time
from typing import TYPE_CHECKING

import pytest

from chardev import PORT_FAILED, PORT_NOT_NOW, Device
from chardev.ports import (
    CharacterDevicePort,
    DescriptorPort,
    PortError,
    PtyPort,
    SocketPort,
    connect_tcp,
    connect_unix,
    open_character_device,
    open_port,
    open_pty_pair,
    open_tty,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.impl.conftest import Ends, World

XON, XOFF = b"\x11", b"\x13"

UART_BYTES = 16
"""What a 16550A's own buffer holds."""

SETTLE_SECONDS = 0.2
"""So long a byte is under way at most, from one end to the other."""


class PtyPortPair:
    """A pty pair that is closed at the end."""

    def __enter__(self) -> tuple[PtyPort, PtyPort]:
        self.ports = open_pty_pair()
        return self.ports

    def __exit__(self, *exception: object) -> None:
        for port in self.ports:
            port.close()


def read_all(port: DescriptorPort, size: int) -> bytes:
    """Read until `size` bytes are there, at most 20 s."""
    data = b""
    end = time.monotonic() + 20
    while len(data) < size and time.monotonic() < end:
        data += port.read(size - len(data))
        time.sleep(0)
    return data


def test_bytes_pass_unchanged_both_ways(pair: tuple[DescriptorPort, DescriptorPort]) -> None:
    """A line discipline would change bytes, or echo them."""
    everything = bytes(range(256))
    for one, two in (pair, pair[::-1]):
        assert one.write([everything[:100], memoryview(everything)[100:]]) == 256
        assert read_all(two, 256) == everything
        assert one.read() == b""
        assert not one.hung_up


def fill(port: DescriptorPort, data: bytes) -> int:
    """Write `data` over and over until the port takes no more; the bytes that it took."""
    taken = 0
    while taken < 1 << 24:
        count = port.write([data[taken % len(data) :], data])
        if count == PORT_NOT_NOW:
            return taken
        taken += count
    pytest.fail("the port never filled up")


def test_full_port_takes_a_prefix_then_nothing(
    ends: Ends, pair: tuple[DescriptorPort, DescriptorPort]
) -> None:
    """Bytes would be lost or repeated when the kernel takes a part (WR-3)."""
    if not ends.fills:
        pytest.skip("these ends take all at once")
    one, two = pair
    data = os.urandom(4096)
    with ends.stalled():
        taken = fill(one, data)
    assert read_all(two, taken) == (data * (taken // 4096 + 1))[:taken]
    assert one.write([data]) > 0


def test_more_pieces_than_writev_takes(pair: tuple[DescriptorPort, DescriptorPort]) -> None:
    """A long batch would be refused as a whole, or bytes beyond what was taken would be sent."""
    one, two = pair
    taken = one.write([b"x"] * 3000)
    assert 0 < taken <= 1024
    # A driver of a serial line may take less.
    assert taken == 1024 or not isinstance(one, PtyPort | SocketPort)
    assert read_all(two, taken) == b"x" * taken
    assert two.read() == b""


def test_device_over_a_port(
    world: World, ends: Ends, pair: tuple[DescriptorPort, DescriptorPort]
) -> None:
    """Device and port would disagree about what was taken (WR-1)."""
    one, two = pair
    device: Device[str, str] = Device(one, 1, 0, world, world)
    device.client_add("a", False, 0, 0, 0)
    device.start()
    messages: list[bytes] = []
    received = b""
    with ends.stalled():
        for number in range(100_000):
            # How much a pty takes depends on when the kernel gets to moving it on.
            if number >= 5_000 and (device.pending_buffers or not ends.fills):
                break
            messages.append(b"%d," % number)
            device.write("a", messages[-1])
    assert device.pending_buffers > 0 or not ends.fills
    while device.pending_buffers:
        received += two.read()
        device.retry_timer_fired()
    received += read_all(two, sum(map(len, messages)) - len(received))
    assert received == b"".join(messages)
    device.destroy()


def test_peer_that_closes_is_a_hang_up(
    ends: Ends, pair: tuple[DescriptorPort, DescriptorPort]
) -> None:
    """An unplugged port would look like one with nothing to say (WR-8)."""
    if not ends.hangs_up:
        pytest.skip("a peer that is closed is no hang-up here")
    one, two = pair
    two.write([b"last words"])
    two.close()
    assert two.closed
    assert read_all(one, 10) == b"last words"
    assert one.read() == b""
    assert one.hung_up


def test_write_to_a_peer_that_closed_fails(
    ends: Ends, pair: tuple[DescriptorPort, DescriptorPort]
) -> None:
    """Writing to a port that is gone would be tried for ever (WR-8)."""
    if not ends.hangs_up:
        pytest.skip("a peer that is closed is no hang-up here")
    one, two = pair
    two.close()
    if isinstance(one, PtyPort):
        one, master = open_pty_pair()[::-1]
        master.close()
    assert one.write([b"x"]) == PORT_FAILED
    assert one.hung_up
    assert one.error is not None
    assert one.error.errno in {errno.EIO, errno.EPIPE}


class Poll:
    """Stands for select.poll, which says what a virtio port without its host says."""

    events = select.POLLIN | select.POLLHUP

    def register(self, descriptor: int, events: int) -> None:
        assert events == select.POLLOUT
        self.descriptor = descriptor

    def poll(self, timeout: int) -> list[tuple[int, int]]:
        assert timeout == 0
        return [(self.descriptor, self.events)]


def test_hang_up_is_seen_without_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtio port whose host went away would be polled for ever: it takes nothing, always."""
    with PtyPortPair() as (one, two):
        assert not one.check_hang_up()
        two.close()
        assert not one.check_hang_up()
        monkeypatch.setattr(select, "poll", Poll)
        assert one.check_hang_up()
        assert one.hung_up


def test_closed_port(pair: tuple[DescriptorPort, DescriptorPort]) -> None:
    """A closed port would write to somebody else's descriptor."""
    one, _ = pair
    one.close()
    one.close()
    assert one.write([b"x"]) == PORT_FAILED
    assert one.read() == b""
    with pytest.raises(ValueError, match="was closed"):
        one.fileno()


def test_tty_settings_and_exclusive_lock(tty: tuple[str, DescriptorPort]) -> None:
    """Two programs would share one line, or settings be ignored."""
    path, peer = tty
    with open_tty(path, 9600) as port:
        assert port.line.baudrate == 9600
        assert port.write([b"out"]) == 3
        assert read_all(peer, 3) == b"out"
        assert peer.write([b"in\n\x03"]) == 4
        assert read_all(port, 4) == b"in\n\x03"
        with pytest.raises(PortError) as caught:
            open_tty(path)
        assert str(caught.value) == (
            f"open_tty: {path} is in use by another program; stop that one first"
        )
    with open_port(path, baudrate=115200) as port_again:
        assert port_again.write([b"x"]) == 1


def test_xoff_from_the_peer_pauses_the_line(ends: Ends, tty: tuple[str, DescriptorPort]) -> None:
    """A peer that asks for a pause would be overrun, or its request be read as data."""
    if not ends.xonxoff:
        pytest.skip("the driver leaves XON and XOFF to the adapter")
    path, peer = tty
    data = os.urandom(2000).translate(None, delete=XON + XOFF)
    with open_tty(path, xonxoff=True) as port:
        assert port.write([b"before"]) == 6
        assert read_all(peer, 6) == b"before"
        assert peer.write([XOFF]) == 1
        # There is no other sign that it has arrived.
        time.sleep(SETTLE_SECONDS)
        sent = port.write([data])
        time.sleep(SETTLE_SECONDS)
        # A UART sends what it had taken out of its driver's buffer already.
        received = peer.read()
        assert len(received) <= UART_BYTES
        assert peer.write([XON]) == 1
        end = time.monotonic() + 20
        while len(received) < len(data) and time.monotonic() < end:
            sent += port.write([data[sent:]]) if sent < len(data) else 0
            received += peer.read()
        assert received == data
        assert port.read() == b""


def test_closing_a_line_with_a_stalled_peer_does_not_block(
    ends: Ends, tty: tuple[str, DescriptorPort]
) -> None:
    """A program would hang at its end, 31 s on a real UART."""
    if not ends.fills:
        pytest.skip("these ends take all at once")
    path, peer = tty
    with ends.stalled():
        port = open_tty(path)
        queued = fill(port, bytes(4096))
        began = time.monotonic()
        port.close()
        assert time.monotonic() - began < 1
    left = 0
    while data := peer.read():
        left += len(data)
    assert left < queued or (left == queued and ends.keeps), (
        "what was queued is dropped, not waited for"
    )


def test_wrong_line_settings_say_so(tty: tuple[str, DescriptorPort]) -> None:
    """A typing error would look like a broken line, and leave the line locked."""
    path, _ = tty
    with pytest.raises(PortError) as caught:
        open_tty(path, 9600, parity="X")
    assert str(caught.value) == (
        f"open_tty: {path} cannot be set up: 'X' is not a valid Parity; change the line settings"
    )
    open_tty(path).close()


def test_missing_serial_library_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra a user would get a bare ImportError."""
    monkeypatch.setitem(sys.modules, "serialx", None)
    with pytest.raises(PortError) as caught:
        open_tty("/dev/ttyX")
    assert str(caught.value) == (
        "open_tty: cannot open /dev/ttyX: line settings need the library serialx; "
        "install it with: python -m pip install 'chardev[serial]'"
    )


def test_paths_that_are_no_ports(tmp_path: Path) -> None:
    """A wrong path would give an error that does not say what to do."""
    missing = str(tmp_path / "missing")
    file = tmp_path / "file"
    file.touch()
    for function in (open_character_device, open_port):
        with pytest.raises(PortError) as gone:
            function(missing)
        assert str(gone.value) == (
            f"{function.__name__}: {missing} does not exist; plug it in, or give another path"
        )
    for function in (open_character_device, open_port):
        with pytest.raises(PortError) as no_device:
            function(str(file))
        assert str(no_device.value) == (
            f"open_character_device: {file} is not a character device; give the path of one"
        )
    with PtyPortPair() as (_, slave), pytest.raises(PortError) as is_tty:
        open_character_device(slave.name)
    assert str(is_tty.value) == (
        f"open_character_device: {slave.name} is a tty and needs line settings; use open_tty"
    )


def test_tty_wanted_but_another_device_given() -> None:
    """A virtio port would be opened as a serial line, which fails obscurely."""
    pytest.importorskip("serialx")
    with pytest.raises(PortError) as caught:
        open_tty("/dev/null")
    assert str(caught.value) == "open_tty: /dev/null is not a tty; use open_character_device"
    with pytest.raises(PortError) as settings:
        open_port("/dev/null", baudrate=9600)
    assert str(settings.value) == (
        "open_port: /dev/null is not a tty, so it has no baudrate; leave line settings out"
    )


def test_character_device_is_exclusive() -> None:
    """Two programs would share one virtio port."""
    with open_port("/dev/null") as port:
        assert isinstance(port, CharacterDevicePort)
        assert port.write([b"x", b"y"]) == 2
        assert port.read() == b""
        with pytest.raises(PortError) as caught:
            open_character_device("/dev/null")
        assert str(caught.value) == (
            "open_character_device: /dev/null is in use by another program; stop that one first"
        )


def test_unix_and_tcp_sockets(tmp_path: Path) -> None:
    """QEMU's end of a character device could not be used as a port."""
    path = str(tmp_path / "socket")
    for listener in (
        socket.create_server(path, family=socket.AF_UNIX),
        socket.create_server(("127.0.0.1", 0)),
    ):
        with listener:
            address = listener.getsockname()
            is_unix = address == path
            port = open_port(path) if is_unix else connect_tcp(*address)
            accepted, _ = listener.accept()
            with port, SocketPort(accepted) as peer:
                assert port.write([b"hello ", b"there"]) == 11
                assert read_all(peer, 11) == b"hello there"
        if not is_unix:
            with pytest.raises(PortError) as caught:
                connect_tcp(*address)
            assert str(caught.value) == (
                f"connect_tcp: 127.0.0.1:{address[1]} has nobody listening; "
                "start the other side first"
            )
    with pytest.raises(PortError) as unix:
        connect_unix(path)
    assert str(unix.value) == (
        f"connect_unix: {path} has nobody listening; start the other side first"
    )
