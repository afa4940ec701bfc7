"""Where the library was when the processor or the C library ended the process.

An assertion of the library says its place itself; a memory fault does not, so a handler writes it to standard error:
the innermost place in the library, and the function that it is in, as offsets that are the same in every run.
A use of freed memory is noticed at one instruction of a function or at another, as the memory happens to lie: the
function is what tells it from others.
"""

import ctypes
import os
import signal
from typing import Any, Final

from chardev_conformance.spice_server.libspice import SONAME

_DEPTH: Final = 40
_SIGNALS: Final = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE)
_Handler = ctypes.CFUNCTYPE(None, ctypes.c_int)


class CrashPlaces:
    """Writes where a fault happened; made before the process is copied, switched on in the copy."""

    def __init__(self) -> None:
        self._c: Any = ctypes.CDLL(None)
        self._c.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
        # The library has no symbols, but the tables that exceptions are unwound by say where its functions begin.
        self._function: Any = ctypes.CDLL("libgcc_s.so.1")["_Unwind_FindEnclosingFunction"]
        self._function.argtypes = (ctypes.c_void_p,)
        self._function.restype = ctypes.c_void_p
        self._frames = (ctypes.c_void_p * _DEPTH)()
        # The first call loads what it needs, which is no work for a handler.
        self._c.backtrace(self._frames, _DEPTH)
        self._handler = _Handler(self._write)
        with open("/proc/self/maps", encoding="ascii") as maps:  # noqa: PTH123 - no file of a project
            spans = [line.split() for line in maps if SONAME.partition(".so")[0] in line]
        bounds = [tuple(int(each, 16) for each in fields[0].split("-")) for fields in spans]
        self._first = min([begin for begin, _ in bounds], default=0)
        self._last = max([end for _, end in bounds], default=0)

    def report(self) -> None:
        """Report faults of this process from now on."""
        for number in _SIGNALS:
            self._c.signal(int(number), ctypes.cast(self._handler, ctypes.c_void_p))

    def _write(self, number: int) -> None:
        count = self._c.backtrace(self._frames, _DEPTH)
        for frame in self._frames[:count]:
            if frame is not None and self._first <= frame < self._last:
                function = (self._begin(frame) or frame) - self._first
                place = frame - self._first
                os.write(2, f"\nfault in {SONAME}, function {function:x}, at {place:x}\n".encode())
                break
        self._c.signal(number, None)
        os.kill(os.getpid(), number)

    def _begin(self, place: int) -> int | None:
        """Where the function begins that a place in the code is in; a place may be one that a call returns to."""
        begin: int | None = self._function(place + 1)
        return begin if begin == place else self._function(place)
