"""libspice-server through its public API: the structures of the ABI, and the surroundings that the library asks for.

Theory of operation
===================
The library starts no thread of its own as long as it has no graphics device.
All its timers and watches are the caller's: here the timers run on a virtual clock, and a watch is looked at only by
`Surroundings.settle`.
So nothing happens unless it is asked for, and the same calls give the same run.

The layouts are those of the library's public headers on a 64-bit machine.
"""

import ctypes
import os
import select
from collections.abc import Callable
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char_p,
    c_int,
    c_size_t,
    c_ubyte,
    c_uint32,
    c_void_p,
)
from dataclasses import dataclass
from typing import Any, Final

from chardev_conformance.target import TargetError

SONAME: Final = "libspice-server.so.1"
VARIABLE: Final = "CHARDEV_SPICE_SERVER"
"""The variable of the environment that names another file: a build of one's own."""

INSTALL: Final = "apt-get install --no-install-recommends libspice-server1"
"""The command that installs the library on Debian."""

READ: Final = 1
WRITE: Final = 2
"""The masks of a watch."""

NOTIFY_WRITABLE: Final = 1
"""The flag of a port that announces writability."""


class TooBusyError(Exception):
    """The library keeps its watches busy for ever."""


class BaseInterface(Structure):
    """SpiceBaseInterface."""

    _fields_ = (
        ("type", c_char_p),
        ("description", c_char_p),
        ("major_version", c_uint32),
        ("minor_version", c_uint32),
    )


TimerFunction = CFUNCTYPE(None, c_void_p)
WatchFunction = CFUNCTYPE(None, c_int, c_int, c_void_p)
TimerAdd = CFUNCTYPE(c_void_p, c_void_p, c_void_p)
TimerStart = CFUNCTYPE(None, c_void_p, c_uint32)
TimerCall = CFUNCTYPE(None, c_void_p)
WatchAdd = CFUNCTYPE(c_void_p, c_int, c_int, c_void_p, c_void_p)
WatchUpdate = CFUNCTYPE(None, c_void_p, c_int)
ChannelEvent = CFUNCTYPE(None, c_int, c_void_p)


class CoreInterface(Structure):
    """SpiceCoreInterface: timers and watches."""

    _fields_ = (
        ("base", BaseInterface),
        ("timer_add", TimerAdd),
        ("timer_start", TimerStart),
        ("timer_cancel", TimerCall),
        ("timer_remove", TimerCall),
        ("watch_add", WatchAdd),
        ("watch_update_mask", WatchUpdate),
        ("watch_remove", TimerCall),
        ("channel_event", ChannelEvent),
    )


PortState = CFUNCTYPE(None, c_void_p, c_int)
PortTransfer = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
PortEvent = CFUNCTYPE(None, c_void_p, c_ubyte)


class CharDeviceInterface(Structure):
    """SpiceCharDeviceInterface: the port below a device."""

    _fields_ = (
        ("base", BaseInterface),
        ("state", PortState),
        ("write", PortTransfer),
        ("read", PortTransfer),
        ("event", PortEvent),
        ("flags", c_int),
    )


class CharDeviceInstance(Structure):
    """SpiceCharDeviceInstance."""

    _fields_ = (
        ("interface", POINTER(CharDeviceInterface)),
        ("subtype", c_char_p),
        ("state", c_void_p),
        ("portname", c_char_p),
    )


MigrateCall = CFUNCTYPE(None, c_void_p)


class MigrateInterface(Structure):
    """SpiceMigrateInterface."""

    _fields_ = (
        ("base", BaseInterface),
        ("connect_complete", MigrateCall),
        ("end_complete", MigrateCall),
    )


class MigrateInstance(Structure):
    """SpiceMigrateInstance."""

    _fields_ = (("interface", POINTER(MigrateInterface)), ("state", c_void_p))


_SIGNATURES: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "new": (c_void_p, ()),
    "set_noauth": (c_int, (c_void_p,)),
    "init": (c_int, (c_void_p, c_void_p)),
    "add_interface": (c_int, (c_void_p, c_void_p)),
    "remove_interface": (c_int, (c_void_p,)),
    "set_seamless_migration": (None, (c_void_p, c_int)),
    "add_client": (c_int, (c_void_p, c_int, c_int)),
    "vm_start": (None, (c_void_p,)),
    "vm_stop": (None, (c_void_p,)),
    "char_device_wakeup": (None, (c_void_p,)),
    "port_event": (None, (c_void_p, c_ubyte)),
    "migrate_connect": (c_int, (c_void_p, c_char_p, c_int, c_int, c_char_p)),
    "migrate_start": (c_int, (c_void_p,)),
    "migrate_end": (c_int, (c_void_p, c_int)),
}
"""The functions of the library that are called, without their prefix ``spice_server_``."""


def load_library() -> ctypes.CDLL:
    """The library, its functions declared; raises `TargetError` when it cannot be loaded."""
    name = os.environ.get(VARIABLE, SONAME)
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        raise TargetError(f"spice-server: {error}; install it with: {INSTALL}") from None
    for short, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, f"spice_server_{short}", None)
        if function is None:
            raise TargetError(
                f"spice-server: {name} has no spice_server_{short}; release 0.15.1 is needed"
            )
        function.restype = result
        function.argtypes = arguments
    return library


@dataclass(slots=True)
class Timer:
    """A timer of the library; `due_ms` is None while it is not armed."""

    function: int
    opaque: int | None
    due_ms: int | None = None


@dataclass(slots=True)
class Watch:
    """A file descriptor that the library watches."""

    descriptor: int
    mask: int
    function: int
    opaque: int | None


class Surroundings:
    """Timers on a virtual clock, and watches; what the library gets as its core interface.

    One serves any number of servers in one process.
    """

    DISPATCHES: Final = 20_000
    """More dispatches than this without coming to rest are taken for an endless loop."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.timers: dict[int, Timer] = {}
        self.watches: dict[int, Watch] = {}
        self.error: BaseException | None = None
        """The first exception of a callback: it cannot pass through the library."""
        self._next = 1
        self._poll: select.poll | None = None
        functions = {
            "timer_add": TimerAdd(self._timer_add),
            "timer_start": TimerStart(self._timer_start),
            "timer_cancel": TimerCall(self._timer_cancel),
            "timer_remove": TimerCall(self._timer_remove),
            "watch_add": WatchAdd(self._watch_add),
            "watch_update_mask": WatchUpdate(self._watch_update),
            "watch_remove": TimerCall(self._watch_remove),
            "channel_event": ChannelEvent(self._channel_event),
        }
        self.interface = CoreInterface(BaseInterface(b"core", b"checker", 1, 3), **functions)

    def _handle(self) -> int:
        self._next += 1
        return self._next

    def _timer_add(self, function: int, opaque: int | None) -> int:
        handle = self._handle()
        self.timers[handle] = Timer(function, opaque)
        return handle

    def _timer_start(self, handle: int, milliseconds: int) -> None:
        self.timers[handle].due_ms = self.now_ms + milliseconds

    def _timer_cancel(self, handle: int) -> None:
        self.timers[handle].due_ms = None

    def _timer_remove(self, handle: int) -> None:
        del self.timers[handle]

    def _watch_add(self, descriptor: int, mask: int, function: int, opaque: int | None) -> int:
        handle = self._handle()
        self.watches[handle] = Watch(descriptor, mask, function, opaque)
        self._poll = None
        return handle

    def _watch_update(self, handle: int, mask: int) -> None:
        self.watches[handle].mask = mask
        self._poll = None

    def _watch_remove(self, handle: int) -> None:
        del self.watches[handle]
        self._poll = None

    def _channel_event(self, event: int, information: int | None) -> None:
        """Nothing: what is seen of a channel is seen by its client."""

    def guarded(self, function: Callable[..., Any], default: Any) -> Callable[..., Any]:
        """A callback whose exception is kept in `error`; the library sees `default` then."""

        def call(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except BaseException as error:  # noqa: BLE001 - it must not pass through foreign frames
                self.error = self.error or error
                return default

        return call

    def raise_error(self) -> None:
        """Raise what a callback raised."""
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    def settle(self) -> None:
        """Dispatch what is ready, one watch at a time, until nothing is; raises `TooBusyError` if that never ends."""
        for _ in range(self.DISPATCHES):
            if not self._dispatch_one():
                self.raise_error()
                return
        raise TooBusyError(f"{self.DISPATCHES} dispatches, and there is still something to do")

    def _dispatch_one(self) -> bool:
        if self._poll is None:
            self._poll = select.poll()
            masks: dict[int, int] = {}
            for watch in self.watches.values():
                masks[watch.descriptor] = masks.get(watch.descriptor, 0) | watch.mask
            for descriptor, mask in masks.items():
                self._poll.register(
                    descriptor,
                    (select.POLLIN if mask & READ else 0) | (select.POLLOUT if mask & WRITE else 0),
                )
        ready = dict(self._poll.poll(0))
        if not ready:
            return False
        for handle in sorted(self.watches):
            watch = self.watches[handle]
            events = ready.get(watch.descriptor, 0)
            # The end of the other side is read, as an end of file.
            mask = READ if events & (select.POLLIN | select.POLLHUP | select.POLLERR) else 0
            mask |= WRITE if events & select.POLLOUT else 0
            mask &= watch.mask
            if mask:
                WatchFunction(watch.function)(watch.descriptor, mask, watch.opaque)
                return True
        return False

    def advance(self, milliseconds: int) -> None:
        """Move the clock; what becomes due fires, the earliest first, and what it leads to is done at once."""
        end = self.now_ms + milliseconds
        while True:
            due = [
                (timer.due_ms, handle)
                for handle, timer in self.timers.items()
                if timer.due_ms is not None and timer.due_ms <= end
            ]
            if not due:
                break
            self.now_ms, handle = min(due)
            timer = self.timers[handle]
            timer.due_ms = None
            TimerFunction(timer.function)(timer.opaque)
            self.settle()
        self.now_ms = end


def read_memory(address: int, size: int) -> bytes:
    """Bytes of the library's memory."""
    return ctypes.string_at(address, size)


def write_memory(address: int, data: bytes) -> None:
    """Put bytes into memory that the library offers."""
    ctypes.memmove(address, data, c_size_t(len(data)).value)
