"""The process in which a shared library is checked; `c_library` starts it.

Theory of operation
===================
The process loads the library once and forks for every scenario, so that no scenario sees what another left behind,
and a crash ends a scenario and not the check.
The fork speaks the line protocol; when it dies, the process that it came from says how (``died``).

A timer is known by where it was added: inside ``spice_char_device_state_create`` it is the retry timer of that device,
inside ``spice_char_device_client_add`` the wait timer of that client.

Random scenarios can also be run and judged in the fork (``scout``), which saves the way to and fro.
If anything comes up, the checker runs them again, one by one and over the protocol.

With LeakSanitizer, what the library allocates, and nothing else, has to be gone when everything is destroyed.
"""

import ctypes
import gc
import os
import signal
import sys
from ctypes import c_uint8
from typing import Any, Final, NoReturn

from chardev_conformance.adapters import c_header
from chardev_conformance.adapters.protocol import decode, encode
from chardev_conformance.adapters.serve import ABANDONED, NO_MORE_INPUT, Lines, Scenario, hello_of
from chardev_conformance.coverage import Statistics
from chardev_conformance.drivers import RandomDriver
from chardev_conformance.lockstep import Lockstep
from chardev_conformance.target import (
    BrokenError,
    Capabilities,
    Host,
    Marshalled,
    RefusedError,
    TargetError,
    Timers,
)
from chardev_spec.events import (
    OnFreeSelfToken,
    PortWrite,
    ReadOneMsgFromDevice,
    RefMsgToClient,
    RemoveClient,
    SendMsgToClient,
    SendTokensToClient,
    UnrefMsgToClient,
)

HEADER_SIZE: Final = 8
RECORD_SIZE: Final = 25

ENDED: Final = 40
BEGUN: Final = 42
"""Exit statuses of a fork that ended as it should: its scenario did, or another one begins."""


class _Timer:
    """A timer of the library."""

    __slots__ = ("client", "device", "function", "opaque")

    def __init__(self, function: int, opaque: int, device: str, client: str | None) -> None:
        self.function = function
        self.opaque = opaque
        self.device = device
        self.client = client


class _Names:
    """Names as pointers that mean nothing, and back."""

    def __init__(self, base: int) -> None:
        self._base = base
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def pointer(self, name: str | None) -> int:
        """The pointer that stands for a name; none for None."""
        if name is None:
            return 0
        number = self._numbers.get(name)
        if number is None:
            number = self._base + 64 * (len(self._numbers) + 1)
            self._numbers[name] = number
            self._names[number] = name
        return number

    def name(self, pointer: int | None) -> str:
        """The name that a pointer stands for; a telling one for a pointer that stands for nothing."""
        return self._names.get(pointer or 0) or f"pointer-{pointer or 0:x}"


class LibraryTarget:
    """The devices of one scenario, in the library."""

    name = "a shared library"
    moves_per_call: int | None = None
    capabilities = Capabilities()

    def __init__(
        self,
        host: Host,
        ports: dict[str, bool],
        moves_per_call: int | None,
        library: c_header.Library,
    ) -> None:
        self.host = host
        self._library = library
        self._devices: dict[str, int] = {}
        self._opaques = _Names(0x1000_0000)
        self._clients = _Names(0x2000_0000)
        self._messages = _Names(0x3000_0000)
        self._timers: dict[int, _Timer] = {}
        self._timer_count = 0
        self._retry_ms: dict[str, int] = {}
        self._wait_ms: dict[str, dict[str, int]] = {}
        self._calling: list[tuple[str, str | None]] = []
        """The device that is being called and the client that is being added, the innermost call last."""
        self._held: set[int] = set()
        self._outlived = False
        """Whether a buffer was released after its device was gone."""
        self._marshallers: set[int] = set()
        self._finishing = False
        self._make_core()
        self._make_callbacks()
        self._make_ports(ports)

    # What the library is given

    def _make_core(self) -> None:
        self._core = c_header.CoreInterface(
            c_header.BaseInterface(b"core", b"the checker", 1, 3),
            c_header.AddTimer(self._timer_add),
            c_header.StartTimer(self._timer_start),
            c_header.UseTimer(self._timer_cancel),
            c_header.UseTimer(self._timer_remove),
        )
        self._library.set_core(ctypes.addressof(self._core))

    def _make_callbacks(self) -> None:
        self._callbacks = c_header.Callbacks(
            c_header.ReadMessage(self._read),
            c_header.RefMessage(self._ref),
            c_header.UnrefMessage(self._unref),
            c_header.SendMessage(self._send),
            c_header.SendTokens(self._send_tokens),
            c_header.OnFreeSelfToken(self._on_free_self_token),
            c_header.RemoveClient(self._remove_client),
        )

    def _make_ports(self, ports: dict[str, bool]) -> None:
        self._keep: list[Any] = []
        self._ports: dict[str, c_header.PortInstance] = {}
        self._port_numbers: dict[int, int] = {}
        for number, (name, announces) in enumerate(ports.items(), start=1):
            interface = c_header.PortInterface(
                c_header.BaseInterface(b"char_device", b"the checker's port", 1, 3),
                c_header.State(lambda _sin, _connected: None),
                c_header.Write(self._write),
                c_header.Read(lambda _sin, _bytes, _size: 0),
                c_header.Event(lambda _sin, _event: None),
                c_header.NOTIFY_WRITABLE if announces else 0,
            )
            port = c_header.PortInstance(ctypes.pointer(interface), b"port", None, name.encode())
            self._keep.append(interface)
            self._ports[name] = port
            self._port_numbers[ctypes.addressof(port)] = number

    # Callbacks: what goes wrong in one must not be lost in ctypes

    def _call_back(self, device: str, event: Any) -> Any:
        library = self._library
        library.lsan_disable()
        calling = self._calling
        self._calling = []
        try:
            return None if self._finishing else self.host.callback(device, event)
        except BaseException as error:  # noqa: BLE001 - nothing may get lost in ctypes
            sys.stderr.write(f"in a callback: {type(error).__name__}: {error}\n")
            sys.stderr.flush()
            os._exit(70)
        finally:
            self._calling = calling
            library.lsan_enable()

    def _read(self, sin: int, opaque: int) -> int:
        event = ReadOneMsgFromDevice(self._port_numbers.get(sin, 0))
        message = self._call_back(self._opaques.name(opaque), event)
        return self._messages.pointer(message)

    def _ref(self, message: int, opaque: int) -> int:
        self._call_back(self._opaques.name(opaque), RefMsgToClient(self._messages.name(message)))
        return message

    def _unref(self, message: int, opaque: int) -> None:
        self._call_back(self._opaques.name(opaque), UnrefMsgToClient(self._messages.name(message)))

    def _send(self, message: int, client: int, opaque: int) -> None:
        event = SendMsgToClient(self._messages.name(message), self._clients.name(client))
        self._call_back(self._opaques.name(opaque), event)

    def _send_tokens(self, client: int, tokens: int, opaque: int) -> None:
        event = SendTokensToClient(self._clients.name(client), tokens)
        self._call_back(self._opaques.name(opaque), event)

    def _on_free_self_token(self, opaque: int) -> None:
        self._call_back(self._opaques.name(opaque), OnFreeSelfToken())

    def _remove_client(self, client: int, opaque: int) -> None:
        self._call_back(self._opaques.name(opaque), RemoveClient(self._clients.name(client)))

    def _write(self, sin: int, data: int, size: int) -> int:
        device = self._calling[-1][0] if self._calling else ""
        offered = ctypes.string_at(data, size) if size > 0 else b""
        event = PortWrite(self._port_numbers.get(sin, 0), offered)
        answer = self._call_back(device, event)
        return int(answer or 0)

    # Timers

    def _timer_add(self, function: int, opaque: int) -> int:
        device, client = self._calling[-1] if self._calling else ("", None)
        self._timer_count += 1
        self._timers[self._timer_count] = _Timer(function, opaque, device, client)
        return self._timer_count

    def _timer_start(self, number: int, delay: int) -> None:
        timer = self._timers.get(number)
        if timer is not None:
            self._set_timer(timer, self.host.now_ms() + delay)

    def _timer_cancel(self, number: int) -> None:
        timer = self._timers.get(number)
        if timer is not None:
            self._set_timer(timer, None)

    def _timer_remove(self, number: int) -> None:
        self._timer_cancel(number)
        self._timers.pop(number, None)

    def _set_timer(self, timer: _Timer, due: int | None) -> None:
        if timer.client is None:
            armed, key = self._retry_ms, timer.device
        else:
            armed, key = self._wait_ms.setdefault(timer.device, {}), timer.client
        if due is None:
            armed.pop(key, None)
        else:
            armed[key] = due

    def timers(self, device: str) -> Timers:
        """The timers that are armed now."""
        return Timers(self._retry_ms.get(device), dict(self._wait_ms.get(device, {})))

    def _fire(self, device: str, client: str | None) -> None:
        """Let a timer fire, if it is armed."""
        armed = self._retry_ms if client is None else self._wait_ms.get(device, {})
        key = device if client is None else client
        if armed.pop(key, None) is None:
            return
        for timer in [*self._timers.values()]:
            if timer.device == device and timer.client == client:
                c_header.UseTimer(timer.function)(timer.opaque)

    # Calls

    def perform(self, device: str, call: str, arguments: dict[str, Any]) -> Any:
        """Perform one call of the scenario language."""
        client = arguments["client"] if call == "client_add" else None
        self._calling.append((device, client))
        self._library.lsan_enable()
        try:
            return self._perform(device, call, arguments)
        finally:
            self._library.lsan_disable()
            self._calling.pop()

    def _perform(self, name: str, call: str, arguments: dict[str, Any]) -> Any:
        functions = self._library.functions
        if call == "create":
            self._devices[name] = functions[call](
                ctypes.addressof(self._ports[arguments["port"]]),
                arguments["client_tokens_interval"],
                arguments["self_tokens"],
                ctypes.addressof(self._callbacks),
                self._opaques.pointer(name),
            )
            return None
        device = self._devices[name]
        match call:
            case "client_add":
                client, *rest = arguments.values()
                return bool(functions[call](device, self._clients.pointer(client), *rest))
            case "client_exists":
                return bool(functions[call](device, self._clients.pointer(arguments["client"])))
            case "client_remove":
                functions[call](device, self._clients.pointer(arguments["client"]))
            case "send_to_client_tokens_add" | "send_to_client_tokens_set":
                client = self._clients.pointer(arguments["client"])
                functions[call](device, client, arguments["tokens"])
            case "reset_dev_instance":
                port = arguments["port"]
                functions[call](device, ctypes.addressof(self._ports[port]) if port else None)
            case "write_buffer_get":
                client = self._clients.pointer(arguments["client"])
                size = arguments["size"]
                return self._got(functions[call](device, client, size), size)
            case "write_buffer_get_server_no_token":
                return self._got(functions[call](device, arguments["size"]), arguments["size"])
            case "write_buffer_add":
                self._add(device, arguments["buffer"], arguments["data"])
            case "write_buffer_release":
                self._held.discard(arguments["buffer"])
                functions[call](device, arguments["buffer"])
            case "write_buffer_release_without_device":
                self._held.discard(arguments["buffer"])
                self._outlived = True
                functions["write_buffer_release"](None, arguments["buffer"])
            case "retry_timer_fired":
                self._fire(name, None)
            case "wait_timer_fired":
                self._fire(name, arguments["client"])
            case "migrate_data_marshall":
                return self._marshall(device)
            case "migrate_data_marshall_empty":
                return self._marshall_empty()
            case "migrate_data_release":
                return self._release(arguments["data"])
            case "restore":
                self._restore(device, arguments["message"])
            case "opaque_get":
                if functions[call](device) != self._opaques.pointer(name):
                    raise BrokenError(
                        "result", "opaque_get does not return what was given at create"
                    )
            case "destroy":
                # Not to be destroyed again at the end, even if this call is the last one that is made.
                self._devices[name] = 0
                functions[call](device)
            case _:
                functions[call](device)
        return None

    def _got(self, address: int | None, size: int) -> int | None:
        if not address:
            return None
        given = c_header.WriteBuffer.from_address(address).buf_size
        if given < size:
            raise BrokenError(
                "result", f"a buffer of {given} bytes was given, {size} were asked for", ("BUF-1",)
            )
        self._held.add(address)
        return address

    def _add(self, device: int, address: int, data: bytes) -> None:
        buffer = c_header.WriteBuffer.from_address(address)
        if data:
            ctypes.memmove(buffer.buf, data, len(data))
        buffer.buf_used = len(data)
        self._held.discard(address)
        self._library.functions["write_buffer_add"](device, address)

    # Migration

    def _bytes_of(self, marshaller: int) -> bytes:
        size = self._library.marshaller_size(marshaller)
        whole = (c_uint8 * size)()
        self._library.marshaller_write(marshaller, whole)
        return bytes(whole)

    def _marshall(self, device: int) -> Marshalled:
        library = self._library
        marshaller = library.marshaller_new()
        library.marshaller_reserve(marshaller, HEADER_SIZE)
        library.functions["migrate_data_marshall"](device, marshaller)
        self._marshallers.add(marshaller)
        return Marshalled(self._bytes_of(marshaller), marshaller)

    def _marshall_empty(self) -> bytes:
        library = self._library
        marshaller = library.marshaller_new()
        library.functions["migrate_data_marshall_empty"](marshaller)
        result = self._bytes_of(marshaller)
        library.marshaller_free(marshaller)
        return result

    def _release(self, marshaller: int) -> bytes:
        message = self._bytes_of(marshaller)
        self._marshallers.discard(marshaller)
        self._library.marshaller_free(marshaller)
        return message

    def _restore(self, device: int, message: bytes) -> None:
        """Restore from memory of exactly that size, so that a sanitizer sees what is read behind it."""
        library = self._library
        place = library.malloc(max(len(message), 1))
        ctypes.memmove(place, message, len(message))
        if library.restore_message is not None:
            accepted = library.restore_message(device, place, len(message))
        elif _is_whole(message):
            accepted = library.functions["restore"](device, place + HEADER_SIZE)
        else:
            # Without its length nobody can tell; `remarks` say that this is not tested.
            accepted = 0
        library.free(place)
        if not accepted:
            raise RefusedError("MIG-5", "restore returned 0")

    # The end

    def finish(self) -> None:
        """Take everything away; raises `BrokenError` if the library keeps memory."""
        functions = self._library.functions
        self._finishing = True
        self._library.lsan_enable()
        for name, device in self._devices.items():
            if device:
                self._calling.append((name, None))
                functions["destroy"](device)
        for address in self._held:
            self._outlived = True
            functions["write_buffer_release"](None, address)
        for marshaller in self._marshallers:
            self._library.marshaller_free(marshaller)
        self._library.lsan_disable()
        if self._library.leaks is not None and self._library.leaks():
            rules = ("BUF-2", "LC-5") if self._outlived else ("LC-5", "BUF-2")
            raise BrokenError("leak", "memory is left after all was destroyed and released", rules)


def _is_whole(message: bytes) -> bool:
    """Whether a message is as long as its record says: the header's `restore` is not told its length."""
    if len(message) < HEADER_SIZE + RECORD_SIZE:
        return False
    size = int.from_bytes(message[21:25], "little")
    pointer = int.from_bytes(message[29:33], "little")
    return size == 0 or pointer + size <= len(message)


def _run_scenario(
    lines: Lines, library: c_header.Library, begin: dict[str, Any], to_parent: int
) -> NoReturn:
    """One scenario, in a fork."""
    scenario = Scenario(
        lines, lambda host, ports, limit: LibraryTarget(host, ports, limit, library), begin
    )
    while True:
        message = lines.receive()
        if "begin" in message:
            os.write(to_parent, encode(message))
            os._exit(BEGUN)
        if "end" in message:
            answer: dict[str, Any] = {"return": None}
            try:
                scenario.target.finish()
            except BrokenError as error:
                broken = {"symptom": error.symptom, "message": str(error), "rules": error.rules}
                answer = {"broken": broken}
            lines.send(answer)
            os._exit(ENDED)
        if "abandon" in message:
            os._exit(ABANDONED)
        scenario.perform(message)


def _scout(
    lines: Lines, library: c_header.Library, capabilities: Capabilities, order: dict[str, Any]
) -> NoReturn:
    """Random scenarios in this fork, judged here; if anything comes up, the checker runs them again one by one."""

    def make(host: Host, ports: dict[str, bool], limit: int | None) -> LibraryTarget:
        target = LibraryTarget(host, ports, limit, library)
        target.capabilities = capabilities
        return target

    gc.disable()  # it would write to all the memory that the fork shares
    counts = Statistics()
    driver = RandomDriver(order["seed"])
    held = True
    for number in order["numbers"]:
        scenario, script = driver.scenario(number, order["calls"] - counts.calls)
        held = held and Lockstep(make, script, scenario, statistics=counts).run() is None
    lines.send({"held": held, **counts.to_json()})
    os._exit(ENDED)


def _status(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            return f"signal {signal.Signals(number).name}"
        except ValueError:
            return f"signal {number}"
    return f"exit status {os.WEXITSTATUS(status)}"


def main(arguments: list[str]) -> int:
    """Serve a library, one fork a scenario: ``LIBRARY SURROUNDINGS LACKS``."""
    path, surroundings, lacking = arguments
    lacks = frozenset(filter(None, lacking.split(",")))
    lines = Lines()
    try:
        library = c_header.Library(path, surroundings, lacks)
    except TargetError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    remarks = []
    if library.restore_message is None:
        remarks.append(f"truncated migration data (needs {c_header.RESTORE_MESSAGE})")
    if library.leaks is None:
        remarks.append("memory leaks (needs a build with AddressSanitizer)")
    capabilities = Capabilities(lacks | {"port_failed"}, contract_errors=False, exceptions=False)
    lines.send(
        hello_of(
            f"c:{path}",
            capabilities,
            abandons=True,
            reports_leaks=True,
            scouts=True,
            remarks=remarks,
        )
    )
    library.lsan_disable()
    if library.leaks is not None:
        library.leaks()  # what the interpreter keeps is looked up once, and not in every fork
    gc.freeze()
    pending: dict[str, Any] | None = None
    while True:
        message = pending or lines.receive()
        pending = None
        if "begin" not in message and "scout" not in message:
            continue
        reading, writing = os.pipe()
        child = library.fork()
        if child == 0 and "scout" in message:
            _scout(lines, library, capabilities, message["scout"])
        if child == 0:
            _run_scenario(lines, library, message["begin"], writing)
        os.close(writing)
        _, status = os.waitpid(child, 0)
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1
        if code == BEGUN:
            with os.fdopen(reading, "rb") as handed_over:
                pending = decode(handed_over.read())
            continue
        os.close(reading)
        if code == ABANDONED:
            lines.send({"abandoned": True})
        elif code == NO_MORE_INPUT:
            return 0
        elif code != ENDED:
            lines.send({"died": _status(status)})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
