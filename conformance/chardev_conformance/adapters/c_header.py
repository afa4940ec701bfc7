"""The header in ctypes: its structures, the types of its functions, and a library that exports them."""

import ctypes
import os
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, c_int, c_size_t, c_uint8, c_uint32, c_void_p
from typing import Any, ClassVar, Final

from chardev_conformance.target import TargetError

NOTIFY_WRITABLE: Final = 1
"""`SPICE_CHAR_DEVICE_NOTIFY_WRITABLE`"""

STATE: Final = "spice_char_device_state_"
DEVICE: Final = "spice_char_device_"

_P: Final = c_void_p
_Signature = tuple[Any, tuple[Any, ...]]

FUNCTIONS: Final[dict[str, tuple[str, _Signature]]] = {
    "create": (STATE + "create", (_P, (_P, c_uint32, c_uint32, _P, _P))),
    "reset_dev_instance": (STATE + "reset_dev_instance", (None, (_P, _P))),
    "destroy": (STATE + "destroy", (None, (_P,))),
    "opaque_get": (STATE + "opaque_get", (_P, (_P,))),
    "migrate_data_marshall": (STATE + "migrate_data_marshall", (None, (_P, _P))),
    "migrate_data_marshall_empty": (STATE + "migrate_data_marshall_empty", (None, (_P,))),
    "restore": (STATE + "restore", (c_int, (_P, _P))),
    "reset": (DEVICE + "reset", (None, (_P,))),
    "client_add": (
        DEVICE + "client_add",
        (c_int, (_P, _P, c_int, c_uint32, c_uint32, c_uint32, c_int)),
    ),
    "client_remove": (DEVICE + "client_remove", (None, (_P, _P))),
    "client_exists": (DEVICE + "client_exists", (c_int, (_P, _P))),
    "start": (DEVICE + "start", (None, (_P,))),
    "stop": (DEVICE + "stop", (None, (_P,))),
    "wakeup": (DEVICE + "wakeup", (None, (_P,))),
    "send_to_client_tokens_add": (DEVICE + "send_to_client_tokens_add", (None, (_P, _P, c_uint32))),
    "send_to_client_tokens_set": (DEVICE + "send_to_client_tokens_set", (None, (_P, _P, c_uint32))),
    "write_buffer_get": (DEVICE + "write_buffer_get", (_P, (_P, _P, c_int))),
    "write_buffer_get_server_no_token": (
        DEVICE + "write_buffer_get_server_no_token",
        (_P, (_P, c_int)),
    ),
    "write_buffer_add": (DEVICE + "write_buffer_add", (None, (_P, _P))),
    "write_buffer_release": (DEVICE + "write_buffer_release", (None, (_P, _P))),
}
"""The header's functions: the symbol, what it returns, what it takes."""

RESTORE_MESSAGE: Final = STATE + "restore_message"
"""Beyond the header: restore with the length of the message."""


class BaseInterface(ctypes.Structure):
    """The header's `SpiceBaseInterface`."""

    _fields_: ClassVar = [
        ("type", ctypes.c_char_p),
        ("description", ctypes.c_char_p),
        ("major_version", c_uint32),
        ("minor_version", c_uint32),
    ]


AddTimer = CFUNCTYPE(_P, _P, _P)
StartTimer = CFUNCTYPE(None, _P, c_uint32)
UseTimer = CFUNCTYPE(None, _P)


class CoreInterface(ctypes.Structure):
    """The header's `SpiceCoreInterface`, without anything to watch."""

    _fields_: ClassVar = [
        ("base", BaseInterface),
        ("timer_add", AddTimer),
        ("timer_start", StartTimer),
        ("timer_cancel", UseTimer),
        ("timer_remove", UseTimer),
        ("watch_add", _P),
        ("watch_update_mask", _P),
        ("watch_remove", _P),
        ("channel_event", _P),
    ]


State = CFUNCTYPE(None, _P, c_int)
Write = CFUNCTYPE(c_int, _P, _P, c_int)
Read = CFUNCTYPE(c_int, _P, _P, c_int)
Event = CFUNCTYPE(None, _P, c_uint8)


class PortInterface(ctypes.Structure):
    """The header's `SpiceCharDeviceInterface`."""

    _fields_: ClassVar = [
        ("base", BaseInterface),
        ("state", State),
        ("write", Write),
        ("read", Read),
        ("event", Event),
        ("flags", c_int),
    ]


class PortInstance(ctypes.Structure):
    """The header's `SpiceCharDeviceInstance`."""

    _fields_: ClassVar = [
        ("sif", POINTER(PortInterface)),
        ("subtype", ctypes.c_char_p),
        ("st", _P),
        ("portname", ctypes.c_char_p),
    ]


class WriteBuffer(ctypes.Structure):
    """The header's `SpiceCharDeviceWriteBuffer`."""

    _fields_: ClassVar = [
        ("prev", _P),
        ("next", _P),
        ("origin", c_int),
        ("client", _P),
        ("buf", _P),
        ("buf_size", c_uint32),
        ("buf_used", c_uint32),
        ("token_price", c_uint32),
        ("refs", c_uint32),
    ]


ReadMessage = CFUNCTYPE(_P, _P, _P)
RefMessage = CFUNCTYPE(_P, _P, _P)
UnrefMessage = CFUNCTYPE(None, _P, _P)
SendMessage = CFUNCTYPE(None, _P, _P, _P)
SendTokens = CFUNCTYPE(None, _P, c_uint32, _P)
OnFreeSelfToken = CFUNCTYPE(None, _P)
RemoveClient = CFUNCTYPE(None, _P, _P)


class Callbacks(ctypes.Structure):
    """The header's `SpiceCharDeviceCallbacks`."""

    _fields_: ClassVar = [
        ("read_one_msg_from_device", ReadMessage),
        ("ref_msg_to_client", RefMessage),
        ("unref_msg_to_client", UnrefMessage),
        ("send_msg_to_client", SendMessage),
        ("send_tokens_to_client", SendTokens),
        ("on_free_self_token", OnFreeSelfToken),
        ("remove_client", RemoveClient),
    ]


class Library:
    """The library and its surroundings, loaded."""

    def __init__(self, path: str, surroundings: str, lacks: frozenset[str]) -> None:
        self.surroundings = ctypes.CDLL(surroundings, mode=os.RTLD_GLOBAL | os.RTLD_NOW)
        try:
            self.exports = ctypes.CDLL(path, mode=os.RTLD_LOCAL | os.RTLD_NOW)
        except OSError as error:
            raise TargetError(f"it cannot be loaded: {error}") from None
        missing = [
            symbol
            for call, (symbol, _) in FUNCTIONS.items()
            if call not in lacks and not hasattr(self.exports, symbol)
        ]
        if missing:
            raise TargetError(
                f"it does not export {', '.join(missing)}; define them under the header's names, "
                "or say with --lacks what the library lacks"
            )
        self.functions: dict[str, Any] = {}
        for call, (symbol, (result, arguments)) in FUNCTIONS.items():
            if hasattr(self.exports, symbol):
                function = getattr(self.exports, symbol)
                function.restype, function.argtypes = result, arguments
                self.functions[call] = function
        self.restore_message = getattr(self.exports, RESTORE_MESSAGE, None)
        if self.restore_message is not None:
            self.restore_message.restype = c_int
            self.restore_message.argtypes = (_P, _P, c_size_t)
        self.marshaller_new = self._own("surroundings_marshaller_new", _P)
        self.marshaller_reserve = self._own("spice_marshaller_reserve_space", _P, _P, c_size_t)
        self.marshaller_size = self._own("spice_marshaller_get_total_size", c_size_t, _P)
        self.marshaller_write = self._own("surroundings_marshaller_write", None, _P, _P)
        self.marshaller_free = self._own("surroundings_marshaller_free", None, _P)
        process = ctypes.CDLL(None)
        self.malloc, self.free = process.malloc, process.free
        self.malloc.restype, self.malloc.argtypes = _P, (c_size_t,)
        self.free.restype, self.free.argtypes = None, (_P,)
        self.leaks: Any = None
        self.fork = os.fork
        self.lsan_enable: Callable[[], None] = lambda: None
        self.lsan_disable: Callable[[], None] = lambda: None
        if hasattr(process, "__lsan_do_recoverable_leak_check"):
            # Python's own fork makes new locks and forgets the old ones, which would look like leaks.
            self.fork = ctypes.PyDLL(None).fork
            self.leaks = getattr(process, "__lsan_do_recoverable_leak_check")
            self.lsan_enable = getattr(process, "__lsan_enable")
            self.lsan_disable = getattr(process, "__lsan_disable")

    def _own(self, symbol: str, result: Any, *arguments: Any) -> Any:
        function = getattr(self.surroundings, symbol)
        function.restype, function.argtypes = result, arguments
        return function

    def set_core(self, core: int) -> None:
        """Set the variable `core`; also that of a library which brings its own."""
        for library in (self.surroundings, self.exports):
            try:
                c_void_p.in_dll(library, "core").value = core
            except ValueError:
                continue
