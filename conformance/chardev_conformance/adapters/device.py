"""The bundled device as a target, in memory."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import chardev
from chardev_conformance.target import Host, Marshalled, Refused, Timers
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


class _Port:
    """A port whose every answer is the checker's."""

    def __init__(self, target: "DeviceTarget", number: int, announces_writability: bool) -> None:
        self._target = target
        self.number = number
        self.announces_writability = announces_writability
        self.device: chardev.Device[Any, Any] | None = None

    def write(self, buffers: Sequence[chardev.Bytes], /) -> int:
        owner = self._target.writer_of(self)
        data = b"".join([bytes(buffer) for buffer in buffers])
        answer = self._target.host.callback(owner, PortWrite(self.number, data))
        assert isinstance(answer, int)
        return answer


class _Owner:
    """The callbacks and timers of one device, all reported to the checker."""

    def __init__(self, name: str, host: Host) -> None:
        self.name = name
        self.host = host
        self.retry_ms: int | None = None
        self.wait_ms: dict[str, int] = {}

    def read_one_msg_from_device(self, port: _Port, /) -> Any:
        return self.host.callback(self.name, ReadOneMsgFromDevice(port.number))

    def ref_msg_to_client(self, message: Any, /) -> None:
        self.host.callback(self.name, RefMsgToClient(message))

    def unref_msg_to_client(self, message: Any, /) -> None:
        self.host.callback(self.name, UnrefMsgToClient(message))

    def send_msg_to_client(self, message: Any, client: str, /) -> None:
        self.host.callback(self.name, SendMsgToClient(message, client))

    def send_tokens_to_client(self, client: str, tokens: int, /) -> None:
        self.host.callback(self.name, SendTokensToClient(client, tokens))

    def on_free_self_token(self) -> None:
        self.host.callback(self.name, OnFreeSelfToken())

    def remove_client(self, client: str, /) -> None:
        self.host.callback(self.name, RemoveClient(client))

    def port_failed(self) -> None:
        self.host.callback(self.name, PortFailed())

    def start_retry_timer(self, delay_ms: int, /) -> None:
        self.retry_ms = self.host.now_ms() + delay_ms

    def cancel_retry_timer(self) -> None:
        self.retry_ms = None

    def start_wait_timer(self, client: str, delay_ms: int, /) -> None:
        self.wait_ms[client] = self.host.now_ms() + delay_ms

    def cancel_wait_timer(self, client: str, /) -> None:
        self.wait_ms.pop(client, None)


class DeviceTarget:
    """`chardev.Device` on ports in memory.

    `package` is where the device and its errors come from: `chardev`, or a copy of it.
    """

    def __init__(
        self,
        host: Host,
        ports: dict[str, bool],
        moves_per_call: int | None = None,
        package: ModuleType = chardev,
    ) -> None:
        self.name = "the bundled device"
        self.host = host
        self.moves_per_call = moves_per_call or 1024
        self.package = package
        self.ports = {
            name: _Port(self, number, announces)
            for number, (name, announces) in enumerate(ports.items(), start=1)
        }
        self.devices: dict[str, chardev.Device[Any, Any]] = {}
        self.owners: dict[str, _Owner] = {}
        self.held: set[int] = set()

    def writer_of(self, port: _Port) -> str:
        """The name of the device that the port is attached to."""
        for name, device in self.devices.items():
            if port.device is device:
                return name
        return "?"

    def timers(self, device: str) -> Timers:
        """The timers that are armed now."""
        owner = self.owners[device]
        return Timers(owner.retry_ms, dict(owner.wait_ms))

    def perform(self, device: str, call: str, arguments: dict[str, Any]) -> Any:
        """Perform one call of the scenario language."""
        try:
            return self._perform(device, call, arguments)
        except self.package.ContractError as error:
            raise Refused(error.rule, str(error)) from None
        except self.package.BadMigrationData as error:
            raise Refused("MIG-5", str(error)) from None

    def _add(
        self, device: chardev.Device[Any, Any], buffer: chardev.WriteBuffer, data: bytes
    ) -> None:
        """Fill a buffer and add it; one that the owner gave away already is not its to touch."""
        held = id(buffer) in self.held
        if held:
            if len(data) <= buffer.buf_size:
                buffer.buf[: len(data)] = data
            buffer.buf_used = len(data)
            self.held.discard(id(buffer))
        try:
            device.write_buffer_add(buffer)
        except self.package.BufferOverfull:
            self.held.add(id(buffer))
            raise

    def _perform(self, name: str, call: str, arguments: dict[str, Any]) -> Any:
        if call == "create":
            owner = _Owner(name, self.host)
            self.owners[name] = owner
            self.devices[name] = self.package.Device(
                self.ports[arguments["port"]],
                arguments["client_tokens_interval"],
                arguments["self_tokens"],
                owner,
                owner,
                opaque=name,
                moves_per_call=self.moves_per_call,
            )
            return None
        device = self.devices[name]
        match call:
            case "reset_dev_instance":
                port = arguments["port"]
                device.reset_dev_instance(None if port is None else self.ports[port])
            case "write_buffer_get" | "write_buffer_get_server_no_token":
                buffer = getattr(device, call)(*arguments.values())
                if buffer is not None:
                    self.held.add(id(buffer))
                return buffer
            case "write_buffer_add":
                self._add(device, arguments["buffer"], arguments["data"])
            case "write_buffer_release":
                self.held.discard(id(arguments["buffer"]))
                device.write_buffer_release(arguments["buffer"])
            case "retry_timer_fired":
                self.owners[name].retry_ms = None
                device.retry_timer_fired()
            case "wait_timer_fired":
                self.owners[name].wait_ms.pop(arguments["client"], None)
                device.wait_timer_fired(arguments["client"])
            case "write_buffer_release_without_device":
                self.package.write_buffer_release_without_device(arguments["buffer"])
            case "migrate_data_marshall":
                data = device.migrate_data_marshall()
                return Marshalled(data.message(bytes(8)), data)
            case "migrate_data_release":
                arguments["data"].release()
            case "opaque_get":
                device.opaque_get()
            case _:
                return getattr(device, call)(*arguments.values())
        return None
