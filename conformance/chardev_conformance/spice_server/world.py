"""Servers of the real library, with their ports and clients: performs steps and says what is seen.

Everything happens in this process, on one virtual clock; a world is made once for each stage and copied by forking
(`zygote`).
"""

import ctypes
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from chardev_conformance.spice_server import client as wire
from chardev_conformance.spice_server.client import Channel, LinkError, Message
from chardev_conformance.spice_server.libspice import (
    NOTIFY_WRITABLE,
    BaseInterface,
    CharDeviceInstance,
    CharDeviceInterface,
    MigrateCall,
    MigrateInstance,
    MigrateInterface,
    PortEvent,
    PortState,
    PortTransfer,
    Surroundings,
    read_memory,
    write_memory,
)
from chardev_conformance.spice_server.observation import Observation
from chardev_conformance.spice_server.port import READ_MOST, HostPort
from chardev_conformance.spice_server.stages import AGENT, PORT, STAGES, USB, PortPlan, Stage
from chardev_conformance.spice_server.steps import Step
from chardev_spec.state import RETRY_DELAY_MS

_SUBTYPES: Final = {AGENT: b"vdagent", PORT: b"port", USB: b"usbredir"}
_CHANNELS: Final = {AGENT: wire.MAIN, PORT: wire.PORT, USB: wire.USBREDIR}

_MAIN_NAMES: Final = {
    wire.MIGRATE: "migrate",
    wire.MIGRATE_DATA: "migrate-data",
    wire.MAIN_MIGRATE_BEGIN: "migrate-begin",
    wire.MAIN_MIGRATE_CANCEL: "migrate-cancel",
    wire.MAIN_AGENT_CONNECTED: "agent-connected",
    wire.MAIN_AGENT_DISCONNECTED: "agent-disconnected",
    wire.MAIN_AGENT_DATA: "agent-data",
    wire.MAIN_AGENT_TOKEN: "agent-token",
    wire.MAIN_AGENT_CONNECTED_TOKENS: "agent-connected-tokens",
    wire.MAIN_MIGRATE_BEGIN_SEAMLESS: "migrate-begin-seamless",
    wire.MAIN_MIGRATE_DST_SEAMLESS_ACK: "seamless-ack",
    wire.MAIN_MIGRATE_DST_SEAMLESS_NACK: "seamless-nack",
}
"""The messages that are looked at; the others have nothing to do with a character device."""
_PORT_NAMES: Final = {
    wire.MIGRATE: "migrate",
    wire.MIGRATE_DATA: "migrate-data",
    wire.VMC_DATA: "data",
    wire.PORT_EVENT_FROM_SERVER: "port-event",
}
_NUMBERS: Final = {"agent-token", "agent-connected-tokens"}
_EMPTY: Final = {"migrate-begin-seamless", "migrate-begin", "migrate", "agent-disconnected"}
"""What is in them is an address, or flags that are always the same."""

SEVERAL_CLIENTS: Final = "SPICE_DEBUG_ALLOW_MC"
"""The variable of the environment that lets a server have several clients."""


@dataclass(slots=True)
class TimerKinds:
    """The functions of the library that its retry timers and wait timers call; learnt once, see `learn_timers`."""

    retry: int
    wait: int


@dataclass(slots=True)
class LibraryPort:
    """A port with what the library must have of it."""

    plan: PortPlan
    host: HostPort
    interface: CharDeviceInterface
    instance: CharDeviceInstance
    attached: bool = False

    @property
    def address(self) -> int:
        """What the library calls it by."""
        return ctypes.addressof(self.instance)


@dataclass(slots=True)
class LibraryServer:
    """A server of the library."""

    handle: int
    surroundings: Surroundings
    migration: Any
    """What the library must have of its migration interface."""


class World:
    """Servers, ports and clients of one stage."""

    def __init__(
        self, library: ctypes.CDLL, stage: Stage, timers: TimerKinds | None = None
    ) -> None:
        self._library = library
        self._timers = timers
        self.stage = stage
        self.servers = {name: self._new_server() for name in stage.servers}
        self.ports: dict[str, LibraryPort] = {}
        self.clients: dict[str, Channel] = {}
        self.migration_data: dict[str, bytes] = {}
        for name, plan in stage.ports.items():
            self.ports[name] = self._new_port(plan)
            if plan.attached:
                self._attach(self.ports[name])
        for name, client in stage.clients.items():
            session = 0 if client.session is None else self.clients[client.session].session
            self.clients[name] = self._link(client.server, _CHANNELS[client.kind], session)
        self.observe()

    def _call(self, function: str, *arguments: Any) -> Any:
        return getattr(self._library, f"spice_server_{function}")(*arguments)

    # Making

    def _new_server(self) -> LibraryServer:
        surroundings = Surroundings()
        handle = self._call("new")
        self._call("set_noauth", handle)
        # Read by `init` alone. A server that allows several clients does not migrate seamlessly.
        if self.stage.several_clients:
            os.environ[SEVERAL_CLIENTS] = "1"
        result = self._call("init", handle, ctypes.byref(surroundings.interface))
        os.environ.pop(SEVERAL_CLIENTS, None)
        if result != 0:
            raise LinkError("the library did not make a server")
        interface = MigrateInterface(
            BaseInterface(b"migration", b"checker", 1, 1),
            MigrateCall(lambda _: None),
            MigrateCall(lambda _: None),
        )
        instance = MigrateInstance(ctypes.pointer(interface), None)
        self._call("add_interface", handle, ctypes.addressof(instance))
        self._call("set_seamless_migration", handle, 1)
        return LibraryServer(handle, surroundings, (interface, instance))

    def _new_port(self, plan: PortPlan) -> LibraryPort:
        host = HostPort(plan.announces, READ_MOST.get(plan.kind))
        surroundings = self.servers[plan.server].surroundings
        interface = CharDeviceInterface(
            BaseInterface(b"char_device", b"checker", 1, 3),
            PortState(surroundings.guarded(lambda _, on: host.told.append(f"state {on}"), None)),
            PortTransfer(surroundings.guarded(_write_to(host), 0)),
            PortTransfer(surroundings.guarded(_read_from(host), 0)),
            PortEvent(surroundings.guarded(lambda _, n: host.told.append(f"event {n}"), None)),
            NOTIFY_WRITABLE if plan.announces else 0,
        )
        name = b"org.chardev.port" if plan.kind == PORT else None
        instance = CharDeviceInstance(ctypes.pointer(interface), _SUBTYPES[plan.kind], None, name)
        port = LibraryPort(plan, host, interface, instance)
        host.perform = self._planned(port)
        return port

    def _planned(self, port: LibraryPort) -> Callable[[str], None]:
        def perform(action: str) -> None:
            server = self.servers[port.plan.server]
            match action:
                case "wakeup":
                    self._call("char_device_wakeup", port.address)
                case "stop":
                    self._call("vm_stop", server.handle)
                case "run":
                    self._call("vm_start", server.handle)
                case "detach" if port.attached:
                    self._detach(port)

        return perform

    def _attach(self, port: LibraryPort) -> None:
        port.attached = True
        self._call("add_interface", self.servers[port.plan.server].handle, port.address)

    def _detach(self, port: LibraryPort) -> None:
        port.attached = False
        self._call("remove_interface", port.address)

    def _link(self, server: str, kind: int, session: int) -> Channel:
        chosen = self.servers[server]
        channel = wire.link(
            lambda descriptor: self._call("add_client", chosen.handle, descriptor, 0),
            chosen.surroundings.settle,
            kind=kind,
            connection=session,
        )
        chosen.surroundings.settle()
        if kind == wire.MAIN and session == 0:
            first = channel.receive()
            if not first or first[0].type != wire.MAIN_INIT:
                raise LinkError("the server did not begin with MAIN_INIT")
            (channel.session,) = struct.unpack_from("<I", first[0].body)
            channel.send(wire.C_MAIN_ATTACH_CHANNELS)
            chosen.surroundings.settle()
        return channel

    def renew_sockets(self) -> None:
        """Give every linked client a socket of its own, under the same numbers: this process shares none any more.

        For a copy of the process that made the world, while nothing is on its way in any socket.
        """
        for channel in self.clients.values():
            ours, theirs = socket.socketpair()
            for end in (ours, theirs):
                end.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
            os.dup2(ours.fileno(), channel.socket.fileno())
            os.dup2(theirs.fileno(), channel.server_descriptor)
            ours.close()
            theirs.close()

    # Performing

    def perform(self, step: Step) -> Observation:
        """Do one step, let everything come to rest, and say what is seen.

        A step that speaks of what is not there does nothing.
        """
        self._do(step)
        for server in self.servers.values():
            while True:
                server.surroundings.settle()
                # All of them: a generator would stop at the first.
                if not sum([channel.pump() for channel in self.clients.values()]):
                    break
        return self.observe()

    def _do(self, step: Step) -> None:
        arguments = step.arguments
        port = self.ports.get(arguments.get("port", ""))
        server = self.servers.get(arguments.get("server", ""))
        channel = self.clients.get(arguments.get("client", ""))
        if step.do == "advance":
            for each in self.servers.values():
                each.surroundings.advance(step["milliseconds"])
        elif step.do == "link":
            self._link_step(step)
        elif port is not None:
            self._do_to_port(step, port)
        elif server is not None:
            self._do_to_server(step, server)
        elif channel is not None:
            self._do_as_client(step, channel)

    def _do_to_port(self, step: Step, port: LibraryPort) -> None:
        match step.do:
            case "room":
                port.host.room = None if step["bytes"] < 0 else step["bytes"]
            case "feed":
                port.host.waiting += bytes.fromhex(step["bytes"])
            case "answer":
                port.host.answers.append(step["value"])
            case "inside":
                port.host.plans.append((step["on"], step["action"]))
            case "wakeup" if port.attached:
                self._call("char_device_wakeup", port.address)
            case "event" if port.attached and port.plan.kind != AGENT:
                self._call("port_event", port.address, step["number"] % 256)
            case "attach" if not port.attached:
                self._attach(port)
            case "detach" if port.attached:
                self._detach(port)

    def _do_to_server(self, step: Step, server: LibraryServer) -> None:
        match step.do:
            case "stop":
                self._call("vm_stop", server.handle)
            case "run":
                self._call("vm_start", server.handle)
            case "connect":
                self._call("migrate_connect", server.handle, b"127.0.0.1", 5999, -1, None)
            case "migrate":
                self._call("vm_stop", server.handle)
                self._call("migrate_start", server.handle)
                self._call("migrate_end", server.handle, 1)
            case "cancel":
                self._call("migrate_start", server.handle)
                self._call("migrate_end", server.handle, 0)
            case "link_bytes":
                ours, theirs = socket.socketpair()
                self._call("add_client", server.handle, theirs.detach(), 0)
                ours.sendall(bytes.fromhex(step["bytes"]))
                server.surroundings.settle()
                ours.close()

    def _link_step(self, step: Step) -> None:
        name, server = step["client"], step["server"]
        if server in self.servers and (name not in self.clients or self.clients[name].closed):
            try:
                self.clients[name] = self._link(server, wire.MAIN, 0)
            except LinkError:
                return

    def _do_as_client(self, step: Step, channel: Channel) -> None:
        number = struct.Struct("<I")
        main = channel.type == wire.MAIN
        data = wire.C_MAIN_AGENT_DATA if main else wire.C_VMC_DATA
        match step.do:
            case "start" if main:
                channel.send(wire.C_MAIN_AGENT_START, number.pack(step["tokens"] % 2**32))
            case "tokens" if main:
                channel.send(wire.C_MAIN_AGENT_TOKEN, number.pack(step["tokens"] % 2**32))
            case "data":
                channel.send(data, bytes.fromhex(step["bytes"]))
            case "begin":
                body = bytes.fromhex(step["bytes"])
                channel.send_bytes(struct.pack("<HI", data, step["size"] % 2**32) + body)
            case "more":
                channel.send_bytes(bytes.fromhex(step["bytes"]))
            case "send":
                channel.send(step["type"] % 2**16, bytes.fromhex(step["bytes"]))
            case "close":
                channel.close()
            case "deaf":
                channel.stop_reading()
            case "hear":
                channel.deaf = False
            case "seamless" if main:
                channel.send(
                    wire.C_MAIN_MIGRATE_DST_DO_SEAMLESS, number.pack(step["version"] % 2**32)
                )
            case "connected" if main:
                channel.send(wire.C_MAIN_MIGRATE_CONNECTED_SEAMLESS)
            case "flush":
                channel.send(wire.C_MIGRATE_FLUSH_MARK)
            case "restore":
                message = patched(self.migration_data.get(step["source"]), step)
                if message is not None:
                    channel.send(wire.C_MIGRATE_DATA, message)

    # Seeing

    def observe(self) -> Observation:
        """What has been seen since the last look."""
        seen = Observation()
        for name, port in self.ports.items():
            host = port.host
            if host.writes:
                seen.writes[name] = [(data.hex(), taken) for data, taken in host.writes]
            if host.told:
                seen.told[name] = [*host.told]
            if host.waiting:
                seen.unread[name] = len(host.waiting)
            host.writes.clear()
            host.told.clear()
        for name, channel in self.clients.items():
            messages = [self._message(name, channel, each) for each in channel.receive()]
            told = [each for each in messages if each is not None]
            if told:
                seen.received[name] = told
            if channel.closed:
                seen.closed.append(name)
        if self._timers is not None:
            for name, server in self.servers.items():
                _due(server, self._timers.retry, seen.retry, name)
                _due(server, self._timers.wait, seen.wait, name)
        return seen

    def _message(self, client: str, channel: Channel, message: Message) -> tuple[str, str] | None:
        names = _MAIN_NAMES if channel.type == wire.MAIN else _PORT_NAMES
        name = names.get(message.type)
        if name is None:
            return None
        if name == "migrate-data":
            self.migration_data[client] = message.body
        if name in _NUMBERS:
            return name, str(int.from_bytes(message.body, "little"))
        return name, "" if name in _EMPTY else message.body.hex()


def _due(server: LibraryServer, function: int, into: dict[str, list[int]], name: str) -> None:
    """Enter when the armed timers that call this function are due."""
    timers = server.surroundings.timers.values()
    due = [each.due_ms for each in timers if each.due_ms is not None and each.function == function]
    if due:
        into[name] = sorted(due)


def patched(message: bytes | None, step: Step) -> bytes | None:
    """Migration data, changed and cut as the step says."""
    if message is None:
        return None
    changed = bytearray(message)
    for offset, text in step["patches"]:
        data = bytes.fromhex(text)
        if 0 <= offset <= len(changed):
            changed[offset : offset + len(data)] = data
    return bytes(changed if step["size"] < 0 else changed[: step["size"]])


def _write_to(host: HostPort) -> Callable[[int, int, int], int]:
    def write(_: int, address: int, size: int) -> int:
        return host.write(read_memory(address, size) if size > 0 else b"")

    return write


def _read_from(host: HostPort) -> Callable[[int, int, int], int]:
    def read(_: int, address: int, size: int) -> int:
        data = host.read(max(size, 0))
        if data:
            write_memory(address, data)
        return len(data)

    return read


def learn_timers(library: ctypes.CDLL) -> TimerKinds:
    """Which functions of the library its timers call: that of a port, and that of a client of the agent."""
    world = World(library, STAGES["agent"])
    timers = world.servers["A"].surroundings.timers
    world.perform(Step("room", {"port": "agentA", "bytes": 0}))
    world.perform(Step("start", {"client": "c1", "tokens": 1}))
    newest = max(timers)
    hello = struct.pack("<IIQI", 1, 4, 0, 0).hex()
    world.perform(Step("data", {"client": "c1", "bytes": hello}))
    armed = [timer.function for timer in timers.values() if timer.due_ms == RETRY_DELAY_MS]
    return TimerKinds(armed[0], timers[newest].function)
