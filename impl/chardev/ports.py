"""Ports on file descriptors: serial lines, ptys, sockets, virtio ports and other character devices.

Theory of operation
-------------------
Every port here is a non-blocking descriptor, and its `write` one system call: what the kernel says it
took is exactly what the device counts (WR-3), and bytes are never buffered in between.
Three kinds of error matter and are told apart by errno alone: "not now" (the device tries again),
final ones (the port failed, WR-8), and nothing else: an error that the kernel does not promise to
pass is final.
A read of nothing but an end (`b""`), or a final error, means that the peer hung up or the adapter
was unplugged: `hung_up` says so, and the read callback has nothing to read.

Line settings are not redone here: `open_tty` leaves them to the serial line library `serialx`, the
optional extra `serial`, reads them back, and names what the driver refused.
Closing a line with a stalled peer would block until its output drained (31 s on a 16550A), so what
is still queued in the kernel is dropped first, or, where a driver cannot do that, left to a thread.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import select
import socket
import stat
import termios
import tty
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from .interfaces import PORT_FAILED, PORT_NOT_NOW
from .line_settings import (
    LineErrors,
    LineSettings,
    driver_of,
    read_errors,
    read_settings,
    refused,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from .device import Device
    from .interfaces import Bytes

__all__ = [
    "CharacterDevicePort",
    "DescriptorPort",
    "PortError",
    "PtyPort",
    "SocketPort",
    "TtyPort",
    "connect_tcp",
    "connect_unix",
    "open_character_device",
    "open_port",
    "open_pty_pair",
    "open_tty",
]

# What passes by itself: the peer reads on, or memory is freed.
_NOT_NOW: Final = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS, errno.ENOMEM})

# Linux' UIO_MAXIOV: more pieces than this and writev refuses all of them.
_PIECES_MAX: Final = 1024

# What most adapters and consoles are set to.
_BAUDRATE: Final = 115200


class PortError(Exception):
    """A port cannot be opened; the message says what, where, and what to do."""


class DescriptorPort:
    """A port on an open descriptor, which it owns and makes non-blocking.

    `name` is what messages call it.
    It announces nothing: whoever polls the descriptor sets `announces_writability` and calls
    `Device.wakeup`, as `chardev.aio` does; else the device's retry timer does the work (WR-4).
    """

    def __init__(self, descriptor: int, name: str) -> None:
        self.announces_writability = False
        self.device: Device[Any, Any] | None = None
        self.name = name
        self.hung_up = False
        """True once the peer hung up, the adapter was unplugged, or a write failed for good."""
        self.error: OSError | None = None
        """The final error, if there was one."""
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self._descriptor < 0

    def fileno(self) -> int:
        """Return the descriptor, for polling.

        Raises:
            ValueError: the port was closed.
        """
        if self._descriptor < 0:
            raise ValueError(f"fileno: {self!r} was closed")
        return self._descriptor

    def write(self, buffers: Sequence[Bytes], /) -> int:
        """Write any prefix of the buffers' bytes without waiting; one system call (WR-3).

        Returns how many bytes were taken, `PORT_NOT_NOW`, or `PORT_FAILED`.
        """
        try:
            # An interrupted call is made again by Python itself (PEP 475).
            if len(buffers) == 1:
                return os.write(self._descriptor, buffers[0])
            if len(buffers) > _PIECES_MAX:
                buffers = buffers[:_PIECES_MAX]
            return os.writev(self._descriptor, buffers)
        except OSError as error:
            if error.errno in _NOT_NOW:
                return PORT_NOT_NOW
            self._fail(error)
            return PORT_FAILED

    def read(self, limit: int = 65536, /) -> bytes:
        """Read at most `limit` bytes without waiting.

        Returns `b""` if there is nothing to read now; or never again, which `hung_up` tells.
        """
        try:
            data = os.read(self._descriptor, limit)
        except OSError as error:
            if error.errno not in _NOT_NOW:
                self._fail(error)
            return b""
        if not data and limit:
            self.hung_up = True
        return data

    def check_hang_up(self) -> bool:
        """Look whether the peer hung up, without reading; returns and remembers it.

        A descriptor that reports a hang-up and takes no data will never take any: a virtio port
        whose host went away answers writes with "not now" for ever.
        """
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        events = dict(poll.poll(0)).get(self._descriptor, 0)
        if events & (select.POLLHUP | select.POLLERR | select.POLLNVAL) and (
            not events & select.POLLOUT
        ):
            self.hung_up = True
        return self.hung_up

    def close(self) -> None:
        """Close the descriptor without waiting for the peer; a second close does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            self._close(descriptor)

    def _close(self, descriptor: int) -> None:
        os.close(descriptor)

    def _fail(self, error: OSError) -> None:
        self.hung_up = True
        if self.error is None:
            self.error = error


class PtyPort(DescriptorPort):
    """One end of a pty pair; its close never blocks, and the other end may read what is left."""


class CharacterDevicePort(DescriptorPort):
    """A character device that is not a tty, such as a virtio port."""


class TtyPort(DescriptorPort):
    """A serial line that `serialx` opened and set up."""

    def __init__(self, line: Any, name: str) -> None:
        super().__init__(line.fileno(), name)
        self._line = line
        self._errors_before = read_errors(self.fileno())

    @property
    def line(self) -> Any:
        """The `serialx` object, for modem lines and other settings; do not read or write it."""
        return self._line

    def settings(self) -> LineSettings:
        """Read back what the line is set to.

        Raises:
            OSError: the line was unplugged.
            ValueError: the port was closed.
        """
        return read_settings(self.fileno())

    def errors(self) -> LineErrors | None:
        """What went wrong on the line since it was opened; None if its driver does not count.

        Raises:
            ValueError: the port was closed.
        """
        now = read_errors(self.fileno())
        if now is None or self._errors_before is None:
            return None
        return now - self._errors_before

    def _close(self, descriptor: int) -> None:
        with contextlib.suppress(OSError, termios.error):
            termios.tcflush(descriptor, termios.TCOFLUSH)
        if _queued(descriptor):
            # A driver that cannot take back what it has queued makes the close wait for its peer,
            # 30 s as a rule; only a thread can leave it to that, and the program's end ends it.
            Thread(target=self._line.close, name=f"close {self.name}", daemon=True).start()
        else:
            self._line.close()


class SocketPort(DescriptorPort):
    """A connected stream socket, unix or TCP, such as QEMU's end of a character device."""

    def __init__(self, connection: socket.socket, name: str = "") -> None:
        if connection.family in {socket.AF_INET, socket.AF_INET6}:
            # Batches are made here; Nagle's algorithm would only delay them.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(connection.detach(), name or "socket")


def open_pty_pair() -> tuple[PtyPort, PtyPort]:
    """Open a pty pair in raw mode: bytes pass as they are, both ways.

    Returns both ends, the master first; the second's `name` is the path that others can open.

    Raises:
        PortError: the system has no free pty.
    """
    try:
        master, slave = os.openpty()
    except OSError as error:
        raise PortError(
            f"open_pty_pair: no pty can be had ({error.strerror}); "
            "close some, or raise kernel.pty.max"
        ) from error
    tty.setraw(slave)
    name = os.ttyname(slave)
    return PtyPort(master, f"master of {name}"), PtyPort(slave, name)


def open_tty(path: str, baudrate: int | None = None, **settings: Any) -> TtyPort:
    """Open a serial line, exclusively, in raw mode, with low latency where it can be had.

    `baudrate` is in bits a second; without it 115200, where the line has a rate at all.
    `settings` are those of `serialx.Serial`: `parity`, `stopbits`, `byte_size`, `rtscts`,
    `xonxoff`, `low_latency`, and so on.
    What is given here is read back: a driver that did something else has refused it.

    Raises:
        PortError: `serialx` is not installed; or the path does not exist, is no tty, is in use or
            not permitted; or the line does not have such a setting, or its driver refused one.
    """
    try:
        import serialx  # noqa: PLC0415 - optional
    except ImportError as error:
        raise PortError(
            f"open_tty: cannot open {path}: line settings need the library serialx; "
            "install it with: python -m pip install 'chardev[serial]'"
        ) from error
    asked = settings if baudrate is None else {"baudrate": baudrate, **settings}
    line = None
    # Our own descriptor can still be asked when the library has given up.
    descriptor = _open(path, "open_tty", want_tty=True)
    try:
        serial_class: Any = serialx.Serial
        line = serial_class(path, baudrate or _BAUDRATE, **settings)
        line.open()
        _check_settings(path, asked, descriptor)
        return TtyPort(line, path)
    except OSError as error:
        _close_quietly(line)
        # The C library's words for parity or byte size that were not taken.
        if error.errno == errno.EINVAL:
            _check_settings(path, asked, descriptor)
        raise _port_error("open_tty", path, error) from error
    except PortError:
        _close_quietly(line)
        raise
    except (TypeError, ValueError, serialx.SerialException) as error:
        _close_quietly(line)
        raise PortError(
            f"open_tty: {path} cannot be set up: {error}; change the line settings"
        ) from error
    finally:
        os.close(descriptor)


def _check_settings(path: str, asked: dict[str, Any], descriptor: int) -> None:
    """Raise `PortError` if the driver did otherwise than it was asked."""
    not_done = refused(asked, read_settings(descriptor))
    if not_done:
        raise PortError(
            f"open_tty: {path} cannot be set up: the driver {driver_of(path)} refused "
            f"{', '.join(not_done)}; change the line settings"
        )


def open_character_device(path: str) -> CharacterDevicePort:
    """Open a character device that is not a tty, exclusively: a virtio port, for example.

    Raises:
        PortError: the path does not exist, is no such device, is in use or not permitted.
    """
    where = "open_character_device"
    descriptor = _open(path, where, want_tty=False)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise _port_error(where, path, error) from error
    return CharacterDevicePort(descriptor, path)


def open_port(path: str, **settings: Any) -> DescriptorPort:
    """Open whatever character device or unix socket the path names.

    `settings` are those of `open_tty` and only for ttys.

    Raises:
        PortError: see `open_tty`, `open_character_device` and `connect_unix`; or settings were
            given for something that is no tty.
    """
    try:
        is_socket = stat.S_ISSOCK(Path(path).stat().st_mode)
        is_tty = not is_socket and _is_tty(path)
    except OSError as error:
        raise _port_error("open_port", path, error) from error
    if is_tty:
        return open_tty(path, **settings)
    if settings:
        raise PortError(
            f"open_port: {path} is not a tty, so it has no {', '.join(sorted(settings))}; "
            "leave line settings out"
        )
    return connect_unix(path) if is_socket else open_character_device(path)


def connect_unix(path: str) -> SocketPort:
    """Connect to a listening unix stream socket.

    Raises:
        PortError: the path does not exist, nobody listens there, or it is not permitted.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(path)
    except OSError as error:
        connection.close()
        raise _port_error("connect_unix", path, error) from error
    return SocketPort(connection, path)


def connect_tcp(host: str, port: int, timeout: float = 5.0) -> SocketPort:
    """Connect to a TCP service; `timeout` is in seconds.

    Raises:
        PortError: the host is unknown or does not answer, or nobody listens there.
    """
    name = f"{host}:{port}"
    try:
        connection = socket.create_connection((host, port), timeout)
    except OSError as error:
        raise _port_error("connect_tcp", name, error) from error
    return SocketPort(connection, name)


def _is_tty(path: str) -> bool:
    if not stat.S_ISCHR(Path(path).stat().st_mode):
        return False
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.isatty(descriptor)
    finally:
        os.close(descriptor)


def _open(path: str, where: str, *, want_tty: bool) -> int:
    """Open a character device of the wanted kind."""
    try:
        mode = Path(path).stat().st_mode
        if not stat.S_ISCHR(mode):
            raise PortError(f"{where}: {path} is not a character device; give the path of one")
        descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _port_error(where, path, error) from error
    if os.isatty(descriptor) == want_tty:
        return descriptor
    os.close(descriptor)
    if want_tty:
        raise PortError(f"{where}: {path} is not a tty; use open_character_device")
    raise PortError(f"{where}: {path} is a tty and needs line settings; use open_tty")


def _queued(descriptor: int) -> int:
    """How many bytes the driver of a tty still has to send; 0 if it does not say."""
    count = array.array("i", [0])
    with contextlib.suppress(OSError):
        fcntl.ioctl(descriptor, termios.TIOCOUTQ, count)
    return count[0]


def _close_quietly(line: Any) -> None:
    """Close what a failed open left open."""
    if line is not None:
        with contextlib.suppress(OSError):
            line.close()


_ADVICE: Final = {
    errno.ENOENT: "does not exist; plug it in, or give another path",
    errno.ENODEV: "has no device behind it; plug it in, or give another path",
    errno.ENXIO: "has no device behind it; plug it in, or give another path",
    errno.EACCES: "is not permitted; join the group that owns it, or change its mode",
    errno.EPERM: "is not permitted; join the group that owns it, or change its mode",
    errno.EBUSY: "is in use by another program; stop that one first",
    errno.EAGAIN: "is in use by another program; stop that one first",
    errno.ECONNREFUSED: "has nobody listening; start the other side first",
    errno.ETIMEDOUT: "does not answer; is it running and reachable?",
}


def _port_error(where: str, path: str, error: OSError) -> PortError:
    number = errno.ETIMEDOUT if isinstance(error, TimeoutError) else error.errno
    advice = _ADVICE.get(number or 0, f"cannot be opened ({error})")
    return PortError(f"{where}: {path} {advice}")
