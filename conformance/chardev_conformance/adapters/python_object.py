"""Any Python object with the device's interface as a target: ``python:module:factory``.

What the object must offer is documented in docs/protocol.rst, under *Python*.
It runs inside the checker: what ends or blocks the interpreter ends or blocks the check.
"""

import inspect
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chardev_conformance.scenario import PARAMETERS
from chardev_conformance.target import (
    EVERYTHING,
    Capabilities,
    Host,
    Marshalled,
    RefusedError,
    TargetError,
    Timers,
)
from chardev_spec.events import (
    OnFreeSelfToken,
    PortFailed,
    PortWrite,
    ReadOneMsgFromDevice,
    RefMsgToClient,
    RemoveClient,
    SendMsgToClient,
    SendTokensToClient,
    UnrefMsgToClient,
)

MOVES_PER_CALL: Final = 1024
"""The limit that an implementation which takes one is created with, where a scenario names none."""

NO_METHODS: Final = frozenset(
    {"create", "advance", "migrate_data_release", "write_buffer_release_without_device"}
)
"""Calls of the scenario language that are no method of the object."""


class ObjectPort:
    """A port whose every answer is the checker's.

    `device` is for the implementation, which may note here whom the port is attached to.
    """

    def __init__(self, target: "PythonTarget", number: int, announces_writability: bool) -> None:
        self._target = target
        self.number = number
        self.announces_writability = announces_writability
        self.device: Any = None

    def write(self, buffers: Sequence[Any], /) -> int:
        """Offer the bytes; how many were taken."""
        target = self._target
        data = b"".join([bytes(buffer) for buffer in buffers])
        # A device may join buffers, and then says how many they are.
        target.offered = getattr(self.device, "offered_buffers", len(buffers))
        answer = target.host.callback(target.calling[-1], PortWrite(self.number, data))
        after = b"".join([bytes(buffer) for buffer in buffers])
        if after != data:
            target.host.report("BUF-2", f"{data.hex()} until the write returns", after.hex())
        assert isinstance(answer, int)
        return answer


class ObjectOwner:
    """The callbacks and timers of one device, all reported to the checker."""

    def __init__(self, name: str, host: Host) -> None:
        self.name = name
        self.host = host
        self.retry_ms: int | None = None
        self.wait_ms: dict[str, int] = {}

    def read_one_msg_from_device(self, port: ObjectPort, /) -> Any:
        """The header's callback, as are those below; a message or None."""
        return self.host.callback(self.name, ReadOneMsgFromDevice(port.number))

    def ref_msg_to_client(self, message: Any, /) -> None:
        """One more reference."""
        self.host.callback(self.name, RefMsgToClient(message))

    def unref_msg_to_client(self, message: Any, /) -> None:
        """One reference less."""
        self.host.callback(self.name, UnrefMsgToClient(message))

    def send_msg_to_client(self, message: Any, client: str, /) -> None:
        """Send a message."""
        self.host.callback(self.name, SendMsgToClient(message, client))

    def send_tokens_to_client(self, client: str, tokens: int, /) -> None:
        """Announce tokens."""
        self.host.callback(self.name, SendTokensToClient(client, tokens))

    def on_free_self_token(self) -> None:
        """A self token has returned."""
        self.host.callback(self.name, OnFreeSelfToken())

    def remove_client(self, client: str, /) -> None:
        """A client should go."""
        self.host.callback(self.name, RemoveClient(client))

    def port_failed(self) -> None:
        """The port failed for good; not in the header."""
        self.host.callback(self.name, PortFailed())

    def start_retry_timer(self, delay_ms: int, /) -> None:
        """Arm the retry timer, or arm it anew."""
        self.retry_ms = self.host.now_ms() + delay_ms

    def cancel_retry_timer(self) -> None:
        """Disarm the retry timer."""
        self.retry_ms = None

    def start_wait_timer(self, client: str, delay_ms: int, /) -> None:
        """Arm a client's wait timer, or arm it anew."""
        self.wait_ms[client] = self.host.now_ms() + delay_ms

    def cancel_wait_timer(self, client: str, /) -> None:
        """Disarm a client's wait timer."""
        self.wait_ms.pop(client, None)


@dataclass(frozen=True, slots=True)
class Implementation:
    """How to make and use the devices of a Python implementation.

    `factory` is called with a port, the interval, the self tokens, callbacks and timers, and with `moves_per_call` by
    name where it `takes_limit`.
    """

    name: str
    factory: Callable[..., Any]
    takes_limit: bool = True
    takes_opaque: bool = True
    release_without_device: Callable[[Any], None] | None = None
    capabilities: Capabilities = EVERYTHING


class PythonTarget:
    """Devices of a Python implementation on ports in memory.

    `owner_class` makes the callbacks and timers.
    """

    owner_class: type[ObjectOwner] = ObjectOwner

    def __init__(
        self,
        host: Host,
        ports: dict[str, bool],
        moves_per_call: int | None,
        implementation: Implementation,
    ) -> None:
        self.host = host
        self.name = implementation.name
        self.capabilities = implementation.capabilities
        self.moves_per_call: int | None = None
        if implementation.takes_limit:
            self.moves_per_call = moves_per_call or MOVES_PER_CALL
        self.ports = {
            name: ObjectPort(self, number, announces)
            for number, (name, announces) in enumerate(ports.items(), start=1)
        }
        self.devices: dict[str, Any] = {}
        self.owners: dict[str, ObjectOwner] = {}
        self.offered: int | None = None
        """How many buffers the latest port write offered."""
        self.calling: list[str] = []
        """The devices that are being called, the innermost last."""
        self._implementation = implementation
        self._held: set[int] = set()

    def timers(self, device: str) -> Timers:
        """The timers that are armed now."""
        owner = self.owners[device]
        return Timers(owner.retry_ms, dict(owner.wait_ms))

    def perform(self, device: str, call: str, arguments: dict[str, Any]) -> Any:
        """Perform one call of the scenario language."""
        self.calling.append(device)
        try:
            return self._perform(device, call, arguments)
        except NotImplementedError as error:
            raise TargetError(f"{self.name}: {str(error) or f'missing: {call}'}") from None
        except Exception as error:
            rule = getattr(error, "rule", None)
            if isinstance(rule, str) and rule and not isinstance(error, RefusedError):
                raise RefusedError(rule, str(error)) from None
            raise
        finally:
            self.calling.pop()

    def _create(self, name: str, port: str, interval: int, self_tokens: int) -> None:
        implementation = self._implementation
        owner = self.owner_class(name, self.host)
        options: dict[str, Any] = {}
        if implementation.takes_limit:
            options["moves_per_call"] = self.moves_per_call
        if implementation.takes_opaque:
            options["opaque"] = name
        self.owners[name] = owner
        self.devices[name] = implementation.factory(
            self.ports[port], interval, self_tokens, owner, owner, **options
        )

    def _fill(self, buffer: Any, data: bytes) -> None:
        """Put the owner's bytes in a buffer; one that the owner does not hold any more is not its to touch."""
        if id(buffer) in self._held:
            if len(data) <= buffer.buf_size:
                buffer.buf[: len(data)] = data
            buffer.buf_used = len(data)

    def _add(self, device: Any, buffer: Any, data: bytes) -> None:
        """Hand a buffer over: from the beginning of the call it is not the owner's, unless the call is refused."""
        self._fill(buffer, data)
        held = id(buffer) in self._held
        self._held.discard(id(buffer))
        try:
            device.write_buffer_add(buffer)
        except Exception as error:
            if held and getattr(error, "rule", None):
                self._held.add(id(buffer))
            raise

    def _perform(self, name: str, call: str, arguments: dict[str, Any]) -> Any:
        if call == "create":
            return self._create(name, *arguments.values())
        device = self.devices[name]
        match call:
            case "reset_dev_instance":
                port = arguments["port"]
                device.reset_dev_instance(None if port is None else self.ports[port])
            case "write_buffer_get" | "write_buffer_get_server_no_token":
                buffer = getattr(device, call)(*arguments.values())
                if buffer is not None:
                    self._held.add(id(buffer))
                return buffer
            case "write_buffer_add":
                self._add(device, arguments["buffer"], arguments["data"])
            case "write_buffer_release":
                device.write_buffer_release(arguments["buffer"])
                self._held.discard(id(arguments["buffer"]))
            case "retry_timer_fired":
                self.owners[name].retry_ms = None
                device.retry_timer_fired()
            case "wait_timer_fired":
                self.owners[name].wait_ms.pop(arguments["client"], None)
                device.wait_timer_fired(arguments["client"])
            case "write_buffer_release_without_device":
                assert self._implementation.release_without_device is not None
                self._implementation.release_without_device(arguments["buffer"])
            case "migrate_data_marshall":
                data = device.migrate_data_marshall()
                return Marshalled(bytes(data.message(bytes(8))), data)
            case "migrate_data_release":
                # As it stands now: whatever it refers to must not have changed (BUF-2).
                message = bytes(arguments["data"].message(bytes(8)))
                arguments["data"].release()
                return message
            case "opaque_get":
                opaque = device.opaque_get()
                if self._implementation.takes_opaque and opaque != name:
                    raise AssertionError(f"opaque_get returned {opaque!r}; {name!r} was given")
            case _:
                return getattr(device, call)(*arguments.values())
        return None


class _NobodyCalls:
    """The checker's side while an implementation is only looked at."""

    def callback(self, device: str, event: Any) -> Any:
        """Nothing is there to be read, nothing is taken."""
        return 0 if isinstance(event, PortWrite) else None

    def now_ms(self) -> int:
        """No time passes."""
        return 0

    def report(self, rule: str, allowed: str, seen: str) -> None:
        """Nothing is judged."""


def load(name: str) -> Implementation:
    """The implementation ``module:factory``, looked at by making one device.

    Raises `TargetError` when there is none, or when it makes no device.
    """
    where = f"python:{name}"
    module_name, colon, factory_name = name.partition(":")
    if not (colon and module_name and factory_name):
        raise TargetError(
            f"{where}: name a module and what makes a device in it, as python:module:factory"
        )
    try:
        factory = pkgutil.resolve_name(name)
        module = pkgutil.resolve_name(f"{module_name}:")
    except (ImportError, AttributeError, ValueError) as error:
        raise TargetError(
            f"{where}: {error}; the module must be importable (is its folder in PYTHONPATH?)"
        ) from None
    except Exception as error:
        raise TargetError(
            f"{where}: importing it fails: {type(error).__name__}: {error}"
        ) from error
    implementation = Implementation(
        where,
        factory,
        _takes(factory, "moves_per_call"),
        _takes(factory, "opaque"),
        getattr(module, "write_buffer_release_without_device", None),
    )
    return Implementation(
        where,
        factory,
        implementation.takes_limit,
        implementation.takes_opaque,
        implementation.release_without_device,
        _look_at(implementation),
    )


def _takes(factory: Callable[..., Any], parameter: str) -> bool:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(each.name == parameter or each.kind == each.VAR_KEYWORD for each in parameters)


def _look_at(implementation: Implementation) -> Capabilities:
    """What the implementation can do: the methods of a first device say it."""
    target = PythonTarget(_NobodyCalls(), {"p1": False}, None, implementation)
    arguments = {"port": "p1", "client_tokens_interval": 1, "self_tokens": 1}
    try:
        target.perform("d1", "create", arguments)
    except Exception as error:
        raise TargetError(
            f"{implementation.name}: making a device fails: {type(error).__name__}: {error}"
        ) from error
    device = target.devices["d1"]
    lacks = {call for call in PARAMETERS if call not in NO_METHODS and not hasattr(device, call)}
    if len(lacks) == len(PARAMETERS) - len(NO_METHODS):
        raise TargetError(
            f"{implementation.name}: it makes a {type(device).__name__}, which has no method of a device"
        )
    if implementation.release_without_device is None:
        lacks.add("write_buffer_release_without_device")
    lacks |= set(getattr(implementation.factory, "lacks", ()))
    if "migrate_data_marshall" in lacks:
        lacks.add("migrate_data_release")
    return Capabilities(
        frozenset(lacks),
        contract_errors=bool(getattr(implementation.factory, "contract_errors", True)),
        exceptions=bool(getattr(implementation.factory, "exceptions", True)),
    )
