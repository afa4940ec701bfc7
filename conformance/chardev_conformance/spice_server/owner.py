"""The specification's device with what surrounds it in a server: its port, its clients, its messages.

`OwnedDevice` answers the callbacks of one device; `agent` and `vmc` say what their owners do.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, NamedTuple

from chardev_conformance.spice_server.port import HostPort
from chardev_spec import events
from chardev_spec.contract import Contract
from chardev_spec.events import Callback, Choice, ChooseGoOn
from chardev_spec.runner import Runner

_PORT: Final = 1
"""The number of a device's only port."""


_AT_ONCE: Final = {"agent-data", "agent-token", "data"}
"""The messages that are written to the socket at once."""


@dataclass(slots=True, eq=False)
class Client:
    """One channel of a client: what the server knows of it, and what it has been sent."""

    name: str
    session: int
    """Channels of one session belong together: they go when the main channel goes."""
    greeted: bool = True
    """It knows of the server's agent; one that moves here does when its migration data has come."""
    awaiting: bool = False
    """Migration data has been announced for it and has not come."""
    closed: bool = False
    leaving: bool = False
    """The server has shut its connection down; it is closed when the call at hand is over."""
    received: list[tuple[str, str]] = field(default_factory=list)
    when_sent_at_once: Callable[[], None] | None = None
    """What follows when the server next writes to its socket, without waiting until that takes bytes."""
    backlog: bytes = b""
    """What it has sent and the server has not taken."""

    def send(self, name: str, content: str = "") -> None:
        """A message goes to it, unless it has been shut down."""
        if self.when_sent_at_once is not None and name in _AT_ONCE:
            tell, self.when_sent_at_once = self.when_sent_at_once, None
            tell()
        if not self.closed and not self.leaving:
            self.received.append((name, content))


class Bounds(NamedTuple):
    """What a device allows a client, as `client_add` takes it."""

    flow_control: bool
    send_queue: int
    client_tokens: int
    send_tokens: int


@dataclass(slots=True, eq=False)
class Message:
    """What the read callback returned."""

    body: bytes
    references: int = 1


class OwnedDevice(ABC):
    """One device of the specification, its port, and the callbacks of its owner.

    `machine` is the contract or a release.
    """

    interval: int
    self_tokens: int

    def __init__(self, machine: type[Contract], host: HostPort, order: "count[int]") -> None:
        self.host = host
        self.registered = False
        """Whether the server's stop and run reach it."""
        self._order = order
        # A release breaks invariants: that is what its quirks are.
        self.runner = Runner(self, machine=machine, invariants=machine is Contract)
        self.runner.add_port(_PORT, announces_writability=host.announces)
        self.call("create", _PORT, self.interval, self.self_tokens)
        self.call("reset_dev_instance", None)
        self.timer_order: dict[str, int] = {}
        """When each timer was made: of two that are due together the older one fires first."""

    def call(self, function: str, *arguments: Any) -> Any:
        """Call the device."""
        return self.runner.call(function, *arguments)

    def attach_port(self) -> None:
        """The device gets its port."""
        self.timer_order["retry"] = next(self._order)
        self.call("reset_dev_instance", _PORT)

    def join_server(self, *, running: bool) -> None:
        """The server's stop and run reach the device from now on; it is started if the server runs."""
        self.registered = True
        if running:
            self.call("start")

    def has(self, client: Client) -> bool:
        """Whether the device has this client."""
        return bool(self.call("client_exists", client.name))

    def add_client(self, client: Client, bounds: Bounds, *, awaiting: bool) -> bool:
        """Add a client; whether that was possible."""
        self.timer_order[client.name] = next(self._order)
        return bool(self.call("client_add", client.name, *bounds, awaiting))

    @property
    def retry_due(self) -> int | None:
        """When the retry timer is due, None if it is not armed."""
        device = self.runner.state.device
        return device.retry_due_ms if device.retry_armed else None

    @property
    def wait_due(self) -> dict[str, int]:
        """When the armed wait timers are due, by client."""
        return {row.peer: row.wait_due_ms for row in self.runner.state.clients if row.wait_armed}

    # The environment of the runner

    def choose(self, event: Choice) -> Any:
        """The library offers one buffer at a time, and has no limit."""
        return True if isinstance(event, ChooseGoOn) else 1

    def answer(self, event: Callback) -> Any:
        """Perform a callback."""
        match event:
            case events.PortWrite(data=data):
                return self.host.write(data)
            case events.ReadOneMsgFromDevice():
                return self.read_one()
            case events.RefMsgToClient(message=message):
                message.references += 1
            case events.UnrefMsgToClient(message=message):
                self.unref(message)
            case events.SendMsgToClient(message=message, client=peer):
                self.send_message(message, peer)
            case events.SendTokensToClient(client=peer, tokens=tokens):
                self.send_tokens(peer, tokens)
            case events.OnFreeSelfToken():
                self.on_free_self_token()
            case events.RemoveClient(client=peer):
                self.remove_client(peer)
            case events.PortFailed():
                pass
        return None

    def unref(self, message: Message) -> None:
        """Drop a reference to a message; with the last one its memory is free."""
        message.references -= 1
        if message.references == 0:
            self.message_freed()

    @abstractmethod
    def read_one(self) -> Message | None:
        """`read_one_msg_from_device`."""

    @abstractmethod
    def message_freed(self) -> None:
        """Nobody refers to a message any more."""

    @abstractmethod
    def send_message(self, message: Message, peer: str) -> None:
        """`send_msg_to_client`."""

    @abstractmethod
    def send_tokens(self, peer: str, tokens: int) -> None:
        """`send_tokens_to_client`."""

    @abstractmethod
    def on_free_self_token(self) -> None:
        """`on_free_self_token`."""

    @abstractmethod
    def remove_client(self, peer: str) -> None:
        """`remove_client`."""
