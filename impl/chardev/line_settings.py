"""What a serial line is set to and what went wrong on it, as its driver tells.

A driver may change what it was asked for without an error: a pty drops parity, a UART picks the
nearest rate that it can make.
So settings are read back, and `refused` names what came out otherwise.
"""

from __future__ import annotations

import array
import fcntl
import os
import struct
import termios
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LineErrors", "LineSettings", "driver_of", "read_errors", "read_settings", "refused"]

# Linux' asm-generic/termbits.h and ioctls.h: what the standard library's termios lacks.
_TCGETS2: Final = 0x802C542A
_TERMIOS2: Final = struct.Struct("=4I20s2I")
_CMSPAR: Final = 0o10000000000

# Linux' include/uapi/linux/tty_flags.h; `flags` is the fifth number of struct serial_struct.
_LOW_LATENCY: Final = 1 << 13
_FLAGS: Final = 4
_SERIAL_STRUCT_NUMBERS: Final = 32

_SIZES: Final = {termios.CS5: 5, termios.CS6: 6, termios.CS7: 7, termios.CS8: 8}

# What a receiver tolerates over the ten bits of a character.
_RATE_TOLERANCE: Final = 0.02


@dataclass(frozen=True, slots=True)
class LineSettings:
    """The settings of a serial line, named as `open_tty` takes them."""

    baudrate: int
    """Bits a second, as the driver made it."""
    byte_size: int
    """Data bits a character: 5 to 8."""
    parity: str
    """`N` none, `E` even, `O` odd, `M` mark, `S` space."""
    stopbits: int
    """1 or 2."""
    rtscts: bool
    """RTS/CTS hold back sender and receiver."""
    xonxoff: bool
    """XON and XOFF characters hold them back; bytes 0x11 and 0x13 are then no data."""
    low_latency: bool
    """The driver passes on what it receives at once; False also where it has no such setting."""

    def __str__(self) -> str:
        """As people write it: `115200 8N1`, then what else is on."""
        extras = [name for name in ("rtscts", "xonxoff", "low_latency") if getattr(self, name)]
        return " ".join([f"{self.baudrate} {self.byte_size}{self.parity}{self.stopbits}", *extras])


@dataclass(frozen=True, slots=True)
class LineErrors:
    """How often the driver met each of these since it was loaded, or since a port was opened."""

    frame: int
    """Characters without their stop bit: a wrong rate, or noise."""
    parity: int
    """Characters of the wrong parity: other settings at the other end, or noise."""
    overrun: int
    """Times the UART received more than was fetched from it in time; bytes are lost."""
    buffer_overrun: int
    """Times the driver's buffer was full; bytes are lost."""
    breaks: int
    """Breaks received; each is also read as a zero byte."""

    def __sub__(self, earlier: LineErrors) -> LineErrors:
        """What has been counted since."""
        return LineErrors(
            *(getattr(self, each.name) - getattr(earlier, each.name) for each in fields(self))
        )

    def __str__(self) -> str:
        """What is not zero, in words; `none`."""
        counts = {each.name: getattr(self, each.name) for each in fields(self)}
        words = [f"{name.replace('_', ' ')} {count}" for name, count in counts.items() if count]
        return ", ".join(words) or "none"

    @property
    def lost_or_changed(self) -> bool:
        """True if bytes did not arrive as they were sent."""
        return bool(self.frame or self.parity or self.overrun or self.buffer_overrun)


def read_settings(descriptor: int) -> LineSettings:
    """Read back what an open serial line is set to.

    Raises:
        OSError: the descriptor is no tty, or it was unplugged.
    """
    buffer = bytearray(_TERMIOS2.size)
    fcntl.ioctl(descriptor, _TCGETS2, buffer)
    iflag, _, cflag, _, _, _, baudrate = _TERMIOS2.unpack(buffer)
    parity = "N"
    if cflag & termios.PARENB:
        odd = bool(cflag & termios.PARODD)
        parity = ("SM" if cflag & _CMSPAR else "EO")[odd]
    return LineSettings(
        baudrate=baudrate,
        byte_size=_SIZES[cflag & termios.CSIZE],
        parity=parity,
        stopbits=2 if cflag & termios.CSTOPB else 1,
        rtscts=bool(cflag & termios.CRTSCTS),
        xonxoff=bool(iflag & (termios.IXON | termios.IXOFF)),
        low_latency=_has_low_latency(descriptor),
    )


def read_errors(descriptor: int) -> LineErrors | None:
    """Read what the driver counted since it was loaded; None if it does not count.

    A pty and a virtio port have no errors to count, and some USB adapters count none.
    """
    numbers = array.array("i", [0] * 20)
    try:
        fcntl.ioctl(descriptor, termios.TIOCGICOUNT, numbers)
    except OSError:
        return None
    frame, overrun, parity, breaks, buffer_overrun = numbers[6:11]
    return LineErrors(frame, parity, overrun, buffer_overrun, breaks)


def refused(asked: Mapping[str, object], settings: LineSettings) -> list[str]:
    """Name what was asked for, by the names of `LineSettings`, and came out otherwise."""
    found = []
    for name, value in asked.items():
        if name not in LineSettings.__slots__:
            continue
        wanted = getattr(value, "value", value)
        is_now = getattr(settings, name)
        if name == "baudrate" and isinstance(wanted, int):
            same = abs(is_now - wanted) <= wanted * _RATE_TOLERANCE
        else:
            same = is_now == wanted
        if not same:
            found.append(f"{name} {wanted} (it is {is_now})")
    return found


def driver_of(path: str) -> str:
    """The driver of a tty or virtio port, as the kernel names it, such as `ftdi_sio`; "" if unknown.

    Raises:
        OSError: the path does not exist.
    """
    device = Path(path).resolve()
    for kind in ("tty", "virtio-ports"):
        link = Path("/sys/class", kind, device.name, "device", "driver")
        if link.exists():
            return link.resolve().name
    # A tty without hardware, such as a pty: its driver is known by number alone.
    number = device.stat().st_rdev
    for line in Path("/proc/tty/drivers").read_text(encoding="utf-8").splitlines():
        name, _, major, minors, _ = line.split()
        first, _, last = minors.partition("-")
        if os.major(number) == int(major) and (
            int(first) <= os.minor(number) <= int(last or first)
        ):
            return name
    return ""


def _has_low_latency(descriptor: int) -> bool:
    numbers = array.array("i", [0] * _SERIAL_STRUCT_NUMBERS)
    try:
        fcntl.ioctl(descriptor, termios.TIOCGSERIAL, numbers)
    except OSError:
        return False
    return bool(numbers[_FLAGS] & _LOW_LATENCY)
