"""The same steps on the specification: what is to be seen, by the contract or by a release.

Theory of operation
===================
The library shows nothing of the calls inside it, so a call of the device's API cannot be compared with the
specification's; what can be compared is what comes out at the other end.
`SpecifiedWorld` therefore has the specification's machine where the library has its devices, and around it what the
contract says of the devices on top (DEV-1, DEV-2), in `vmc` and `agent`.
It performs the same steps with the same ports (`port.HostPort`) and gives the same observations.

It says what is to be seen of peers that keep to the protocol.
Of the others it knows less: `Unpredictable` says that what comes next is not specified.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from chardev_conformance.spice_server import client as wire
from chardev_conformance.spice_server.agent import AgentOwner
from chardev_conformance.spice_server.observation import Observation
from chardev_conformance.spice_server.owner import Client, OwnedDevice
from chardev_conformance.spice_server.port import READ_MOST, HostPort
from chardev_conformance.spice_server.stages import AGENT, STAGES, PortPlan
from chardev_conformance.spice_server.steps import Step
from chardev_conformance.spice_server.vmc import VmcOwner
from chardev_conformance.spice_server.world import patched
from chardev_spec.contract import Contract

MIGRATION_MS: Final = 10_000
"""How long a client may take to connect, and to leave."""

WHILE_DEAF: Final = frozenset(
    ("deaf", "hear", "feed", "wakeup", "advance", "start", "tokens", "data", "begin", "more")
)
"""What may be done while a client does not read, for it to come to the same in the end.

The server has messages of its own under way then, and looks at its port whenever it got rid of one.
"""

RECEIVE_MOST: Final = 4096 + 11 * 2048
"""The largest message besides data, in bytes: migration data with a whole window in it fits."""

_MESSAGE_HEADER: Final = struct.Struct("<HI")


_KNOWN: Final = {
    wire.C_MAIN_AGENT_START,
    wire.C_MAIN_AGENT_TOKEN,
    wire.C_MAIN_MIGRATE_DST_DO_SEAMLESS,
    wire.C_MAIN_MIGRATE_CONNECTED_SEAMLESS,
    wire.C_MIGRATE_FLUSH_MARK,
    wire.C_MIGRATE_DATA,
}
"""The messages besides data that are specified."""


class UnpredictableError(Exception):
    """What comes next is not specified; the message says why."""


@dataclass(slots=True)
class SpecifiedServer:
    """A server: its agent, its ports, its clients."""

    agent: AgentOwner
    ports: dict[str, VmcOwner] = field(default_factory=dict)
    clients: list[Client] = field(default_factory=list)
    running: bool = True
    migrates: bool = False
    """A migration was begun, and the client is at the destination."""
    connecting: bool = False
    deadline_ms: int | None = None
    """When a migration that is not over by then is over all the same."""

    @property
    def devices(self) -> list[OwnedDevice]:
        """Its devices, the newest first."""
        return [*reversed(self.ports.values()), self.agent]


@dataclass(slots=True)
class Partial:
    """A message that has begun to come: its kind, how large its body is, and the memory for it."""

    kind: int
    size: int
    buffer: Any


class SpecifiedWorld:
    """The servers of a stage, as they are to be."""

    def __init__(
        self,
        stage: str,
        machine: type[Contract],
        agent_owner: type[AgentOwner] = AgentOwner,
        vmc_owner: type[VmcOwner] = VmcOwner,
    ) -> None:
        self._machine = machine
        self._agent_owner = agent_owner
        self._vmc_owner = vmc_owner
        self._order = count(1)
        self.stage = STAGES[stage]
        self.now_ms = 0
        self.hosts: dict[str, HostPort] = {}
        self.servers: dict[str, SpecifiedServer] = {}
        self.clients: dict[str, Client] = {}
        self.kinds: dict[str, tuple[str, str]] = {}
        """Each client's server, and what its channel is for: the name of a port, or ``agent``."""
        self.partial: dict[str, Partial] = {}
        self.migration_data: dict[str, bytes] = {}
        self._sessions = count(1)
        self.attached: set[str] = set()
        """The ports that the host has attached, as far as the host knows."""
        self._before = ""
        """What was done last."""
        self.deaf: set[str] = set()
        """The clients that do not read."""
        self._asked: set[str] = set()
        """The clients that were asked for a flush mark."""
        for server in self.stage.servers:
            self.servers[server] = self._new_server(server)
        for name, plan in self.stage.ports.items():
            if plan.attached:
                self._attach(name)
        for name, client in self.stage.clients.items():
            self._link(name, client.server, client.kind, client.session)
        self.observe()

    def _new_server(self, name: str) -> SpecifiedServer:
        clients: list[Client] = []
        host = HostPort()
        ports: dict[str, VmcOwner] = {}
        agents = [key for key, plan in self.stage.ports.items() if self._is_agent(name, plan)]
        for key in agents:
            host = self._host(key)
        agent = self._agent_owner(self._machine, host, self._order, clients)
        for key, plan in self.stage.ports.items():
            if plan.server == name and plan.kind != AGENT:
                ports[key] = self._vmc_owner(self._machine, self._host(key), self._order)
        return SpecifiedServer(agent, ports, clients)

    def _is_agent(self, server: str, plan: PortPlan) -> bool:
        return plan.server == server and plan.kind == AGENT

    def _host(self, name: str) -> HostPort:
        plan = self.stage.ports[name]
        host = HostPort(plan.announces, READ_MOST.get(plan.kind))
        self.hosts[name] = host
        host.perform = self._planned(name)
        return host

    def _planned(self, name: str) -> Callable[[str], None]:
        def perform(action: str) -> None:
            server, device = self._device(name)
            match action:
                case "wakeup":
                    device.call("wakeup")
                case "stop":
                    self._stop(server)
                case "run":
                    self._run(server)
                case "detach":
                    raise UnpredictableError("a port is removed inside its own call")

        return perform

    def _device(self, port: str) -> tuple[SpecifiedServer, AgentOwner | VmcOwner]:
        plan = self.stage.ports[port]
        server = self.servers[plan.server]
        return server, server.agent if plan.kind == AGENT else server.ports[port]

    def _attach(self, name: str) -> None:
        self.attached.add(name)
        server, device = self._device(name)
        device.plug(running=server.running)

    def _link(self, name: str, server: str, kind: str, session: str | None) -> None:
        number = next(self._sessions) if session is None else self.clients[session].session
        client = Client(name, number, greeted=session is None or kind != AGENT)
        self.clients[name] = client
        chosen = self.servers[server]
        if kind == AGENT:
            self.kinds[name] = (server, AGENT)
            chosen.clients.insert(0, client)
            chosen.agent.client_linked()
            return
        [port] = [
            key
            for key, plan in self.stage.ports.items()
            if plan.server == server and plan.kind == kind
        ]
        self.kinds[name] = (server, port)
        # Channels of a migrating client are linked to their devices when the migration is known to be seamless.
        if server == self.stage.servers[0]:
            chosen.ports[port].client_linked(client)

    # Performing

    def perform(self, step: Step) -> Observation:
        """What is to be seen of one step; raises `UnpredictableError`."""
        self._do(step)
        self._before = step.do
        self._settle()
        seen = self.observe()
        self.check_answers(seen)
        return seen

    def check_answers(self, seen: Observation) -> None:
        """What a port answered is no reason to doubt what is seen."""

    def _settle(self) -> None:
        """What the call at hand left to do: who was shut down goes, what was not taken is."""
        moved = True
        while moved:
            moved = False
            for name, client in self.clients.items():
                if client.leaving and not client.closed:
                    self.shut_down(name)
                    moved = True
                elif client.backlog and not client.closed:
                    moved = self._take(name) or moved

    def shut_down(self, name: str) -> None:
        """A client that was asked to go, by something that it did not do just now, goes."""
        self._close(name)

    def _do(self, step: Step) -> None:
        arguments = step.arguments
        if self.deaf and step.do not in WHILE_DEAF:
            raise UnpredictableError(f"{step.do} while a client does not read")
        if step.do == "advance":
            self._advance(step["milliseconds"])
        elif step.do in {"link", "link_bytes"}:
            raise UnpredictableError("a link while servers run")
        elif arguments.get("port") in self.hosts:
            self._do_to_port(step)
        elif arguments.get("server") in self.servers:
            self._do_to_server(step, self.servers[step["server"]])
        elif arguments.get("client") in self.clients:
            self._do_as_client(step, self.clients[step["client"]])

    def _do_to_port(self, step: Step) -> None:
        name = step["port"]
        host = self.hosts[name]
        _, device = self._device(name)
        attached = name in self.attached
        match step.do:
            case "room":
                host.room = None if step["bytes"] < 0 else step["bytes"]
            case "feed":
                host.waiting += bytes.fromhex(step["bytes"])
            case "answer":
                host.answers.append(step["value"])
            case "inside":
                host.plans.append((step["on"], step["action"]))
            case "wakeup" if attached:
                if isinstance(device, AgentOwner) and not device.plugged:
                    raise UnpredictableError("a port wakes up that the server has let go")
                device.call("wakeup")
            case "event" if attached and isinstance(device, VmcOwner):
                device.event(step["number"] % 256)
            case "attach" if not attached:
                if isinstance(device, VmcOwner):
                    raise UnpredictableError("a port comes back as another device")
                self._attach(name)
            case "detach" if attached:
                self.attached.remove(name)
                if isinstance(device, AgentOwner) and not device.plugged:
                    raise UnpredictableError("a port is removed that the server has let go")
                device.unplug()

    def _stop(self, server: SpecifiedServer) -> None:
        server.running = False
        for device in server.devices:
            if device.registered:
                device.call("stop")

    def _run(self, server: SpecifiedServer) -> None:
        server.running = True
        for device in server.devices:
            if device.registered:
                device.call("start")

    def _do_to_server(self, step: Step, server: SpecifiedServer) -> None:
        clients = [client for client in server.clients if not client.closed]
        match step.do:
            case "stop":
                self._stop(server)
            case "run":
                self._run(server)
            case "connect":
                if len(clients) != 1 or server.connecting:
                    raise UnpredictableError("a migration without one client, or inside another")
                if not clients[0].greeted:
                    raise UnpredictableError("a migration of a client that has not arrived yet")
                server.connecting = True
                server.deadline_ms = self.now_ms + MIGRATION_MS
                clients[0].send("migrate-begin-seamless")
            case "migrate":
                if not server.migrates or len(clients) != 1:
                    raise UnpredictableError("a migration that was not prepared")
                server.connecting = server.migrates = False
                server.deadline_ms = self.now_ms + MIGRATION_MS
                self._stop(server)
                server.agent.before_migration(clients[0])
                for client in self._session(server, clients[0]):
                    client.send("migrate")
                    self._asked.add(client.name)
            case "cancel":
                if not server.connecting or not clients:
                    raise UnpredictableError("a migration that was not prepared is cancelled")
                if server.migrates:
                    clients[0].send("migrate-cancel")
                server.connecting = server.migrates = False
                server.deadline_ms = None

    def _session(self, server: SpecifiedServer, main: Client) -> list[Client]:
        ports = [device.client for device in server.ports.values() if device.client is not None]
        return [main, *[client for client in ports if client.session == main.session]]

    def _do_as_client(self, step: Step, client: Client) -> None:
        if client.closed:
            return
        name = step["client"]
        server_name, port = self.kinds[name]
        main = port == AGENT
        linked = (
            self.servers[server_name].ports[port].client is client
            if not main
            else (client.greeted or client.awaiting)
        )
        if not linked and step.do not in {"seamless", "close"}:
            raise UnpredictableError("a channel that is not served yet")
        kind = wire.C_MAIN_AGENT_DATA if main else wire.C_VMC_DATA
        number = struct.Struct("<I")
        match step.do:
            case "start" if main:
                self._send(client, wire.C_MAIN_AGENT_START, number.pack(step["tokens"] % 2**32))
            case "tokens" if main:
                self._send(client, wire.C_MAIN_AGENT_TOKEN, number.pack(step["tokens"] % 2**32))
            case "data":
                self._send(client, kind, bytes.fromhex(step["bytes"]))
            case "begin":
                head = _MESSAGE_HEADER.pack(kind, step["size"] % 2**32)
                client.backlog += head + bytes.fromhex(step["bytes"])
            case "more":
                client.backlog += bytes.fromhex(step["bytes"])
            case "close":
                self._close(name)
            case "deaf":
                if self.stage.several_clients:
                    raise UnpredictableError("one of several clients does not read")
                if any(host.plans or host.answers for host in self.hosts.values()):
                    raise UnpredictableError(
                        "a port with plans, and who knows how often it is looked at"
                    )
                self.deaf.add(name)
            case "hear" if name in self.deaf:
                agent = self.servers[server_name].agent
                if main and agent.plugged and agent.host.waiting and self._before != "wakeup":
                    raise UnpredictableError("the port is looked at when the client reads")
                self.deaf.remove(name)
            case "hear":
                pass
            case "seamless" if main:
                self._send(
                    client, wire.C_MAIN_MIGRATE_DST_DO_SEAMLESS, number.pack(step["version"])
                )
            case "connected" if main:
                self._send(client, wire.C_MAIN_MIGRATE_CONNECTED_SEAMLESS, b"")
            case "flush":
                self._send(client, wire.C_MIGRATE_FLUSH_MARK, b"")
            case "restore":
                message = patched(self.migration_data.get(step["source"]), step)
                if message is not None:
                    self._send(client, wire.C_MIGRATE_DATA, message)
            case _:
                raise UnpredictableError(f"{step.do} is not specified")

    def _send(self, client: Client, kind: int, body: bytes) -> None:
        client.backlog += _MESSAGE_HEADER.pack(kind, len(body)) + body

    def _close(self, name: str) -> None:
        """The connection of a client ends; with its main channel, all of them."""
        client = self.clients[name]
        if not client.closed:
            client.closed = True
            self.unlink(name)

    def unlink(self, name: str) -> None:
        """The server forgets a client."""
        client = self.clients[name]
        server_name, port = self.kinds[name]
        server = self.servers[server_name]
        partial = self.partial.pop(name, None)
        if port != AGENT:
            if partial is not None and partial.kind == wire.C_VMC_DATA:
                server.ports[port].release(partial.buffer)
            if server.ports[port].client is client:
                server.ports[port].client_unlinked()
            return
        others = [each for each in self._session(server, client) if each is not client]
        server.agent.client_unlinked(client)
        if partial is not None and partial.buffer is not True:
            server.agent.call("write_buffer_release", partial.buffer)
        for other in others:
            self._close(other.name)

    # What a server reads from a client

    def _take(self, name: str) -> bool:
        """Take what a client has sent, as far as there is memory for it; whether anything was taken."""
        client = self.clients[name]
        taken = False
        while not client.closed and not client.leaving:
            partial = self.partial.get(name)
            if partial is None:
                if len(client.backlog) < _MESSAGE_HEADER.size:
                    break
                kind, size = _MESSAGE_HEADER.unpack_from(client.backlog)
                buffer = self._buffer(name, kind, size)
                if buffer is None:
                    break
                client.backlog = client.backlog[_MESSAGE_HEADER.size :]
                partial = self.partial[name] = Partial(kind, size, buffer)
                taken = True
            if len(client.backlog) < partial.size or client.leaving:
                break
            body, client.backlog = client.backlog[: partial.size], client.backlog[partial.size :]
            del self.partial[name]
            self._handle(name, partial, body)
        if client.leaving:
            self._close(name)
        return taken

    def _buffer(self, name: str, kind: int, size: int) -> Any:
        client = self.clients[name]
        server_name, port = self.kinds[name]
        server = self.servers[server_name]
        if port == AGENT and kind == wire.C_MAIN_AGENT_DATA:
            buffer = server.agent.buffer_for(client, size)
            if buffer is None:
                client.leaving = True
            return buffer
        if port != AGENT and kind == wire.C_VMC_DATA:
            return server.ports[port].buffer_for(size)
        if kind not in _KNOWN:
            raise UnpredictableError(f"a message of type {kind}")
        if size > RECEIVE_MOST:
            raise UnpredictableError(f"a message of {size:,} bytes")
        return True

    def _handle(self, name: str, partial: Partial, body: bytes) -> None:
        client = self.clients[name]
        server_name, port = self.kinds[name]
        server = self.servers[server_name]
        if port != AGENT:
            owner = server.ports[port]
            if partial.kind == wire.C_VMC_DATA:
                if not body:
                    raise UnpredictableError("a message of data without data")
                owner.data(body, partial.buffer)
                return
        elif partial.kind == wire.C_MAIN_AGENT_DATA:
            if not body:
                raise UnpredictableError("a message of data without data")
            server.agent.data(client, body, partial.buffer)
            return
        self._handle_other(name, partial.kind, body)

    def _handle_other(self, name: str, kind: int, body: bytes) -> None:
        client = self.clients[name]
        server_name, port = self.kinds[name]
        server = self.servers[server_name]
        owner = server.agent if port == AGENT else server.ports[port]
        (number,) = struct.unpack("<I", body) if len(body) == 4 else (0,)
        match kind:
            case wire.C_MAIN_AGENT_START:
                server.agent.start(client, number)
            case wire.C_MAIN_AGENT_TOKEN:
                server.agent.tokens(client, number)
            case wire.C_MAIN_MIGRATE_DST_DO_SEAMLESS:
                self._seamless(server, client, number)
            case wire.C_MAIN_MIGRATE_CONNECTED_SEAMLESS:
                if not server.connecting:
                    raise UnpredictableError("nobody asked for a migration")
                server.migrates = True
            case wire.C_MIGRATE_FLUSH_MARK:
                if client.name not in self._asked:
                    raise UnpredictableError("nobody asked for a flush mark")
                self._asked.remove(client.name)
                data = owner.migration_data(client)
                self.migration_data[name] = data
                client.send("migrate-data", data.hex())
            case wire.C_MIGRATE_DATA:
                if not client.awaiting:
                    raise UnpredictableError("nobody asked for migration data")
                owner.migrate_data_came(client, body)

    def _seamless(self, server: SpecifiedServer, client: Client, version: int) -> None:
        """The destination agrees, or not, and links what was waiting for that."""
        if version > 1:
            client.send("seamless-nack")
            return
        client.send("seamless-ack")
        client.awaiting = True
        for name, other in self.clients.items():
            server_name, port = self.kinds[name]
            if (
                self.servers[server_name] is server
                and other.session == client.session
                and port != AGENT
            ):
                other.awaiting = True
                server.ports[port].client_linked(other)

    # Time

    def _advance(self, milliseconds: int) -> None:
        end = self.now_ms + milliseconds
        for server in self.servers.values():
            if server.deadline_ms is not None and server.clients and end >= server.deadline_ms:
                raise UnpredictableError("a migration that takes too long")
        while True:
            due = [
                (when, device.timer_order.get(timer, 0), timer, device)
                for server in self.servers.values()
                for device in server.devices
                for timer, when in self._armed(device)
                if when <= end
            ]
            if not due:
                break
            when, _, timer, device = min(due, key=lambda each: each[:2])
            self._set_clock(when)
            if timer == "retry":
                device.call("retry_timer_fired")
            else:
                device.call("wait_timer_fired", timer)
            self._settle()
        self._set_clock(end)

    def _armed(self, device: OwnedDevice) -> list[tuple[str, int]]:
        armed = [*device.wait_due.items()]
        if device.retry_due is not None:
            armed.append(("retry", device.retry_due))
        return armed

    def _set_clock(self, now_ms: int) -> None:
        for server in self.servers.values():
            for device in server.devices:
                device.runner.advance(now_ms - self.now_ms)
        self.now_ms = now_ms

    # Seeing

    def observe(self) -> Observation:
        """What is to be seen since the last look."""
        seen = Observation()
        for name, host in self.hosts.items():
            if host.writes:
                seen.writes[name] = [(data.hex(), taken) for data, taken in host.writes]
            if host.told:
                seen.told[name] = [*host.told]
            if host.waiting:
                seen.unread[name] = len(host.waiting)
            host.writes.clear()
            host.told.clear()
        for name, client in self.clients.items():
            if client.received:
                seen.received[name] = [*client.received]
                client.received.clear()
            if client.closed:
                seen.closed.append(name)
        for name, server in self.servers.items():
            retry = [device.retry_due for device in server.devices if device.retry_due is not None]
            wait = [due for device in server.devices for due in device.wait_due.values()]
            if retry:
                seen.retry[name] = sorted(retry)
            if wait:
                seen.wait[name] = sorted(wait)
        return seen
