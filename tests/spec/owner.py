"""A small world around the specified machine: it writes down what happens, and plays a script."""

from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeAlias

from chardev_spec.contract import Contract
from chardev_spec.events import (
    Callback,
    Choice,
    ChooseGoOn,
    ChooseOffer,
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
from chardev_spec.record import Record, encode
from chardev_spec.runner import Runner
from chardev_spec.state import Buffer, Client, Device, Place, State

Step: TypeAlias = Callable[[], object]

HEADER = b"\x01\x02\x03\x04\x05\x06\x07\x08"
"""A migration header; the device does not look at it."""


class BoomError(Exception):
    """What a callback raises when the script says so."""


class Owner:
    """Owner, port and clients of one device, with the device itself.

    `events` has one line for each callback.
    `takes` says what the port takes, one number or exception a write; then it takes everything.
    `messages` is what can be read, exceptions included; then there is nothing.
    A write offers `offers` buffers; a pass goes on until its frame has moved `limit`.
    """

    def __init__(
        self,
        *,
        interval: int = 1,
        self_tokens: int = 2,
        announces_writability: bool = False,
        machine: type[Contract] = Contract,
        invariants: bool = True,
    ) -> None:
        self.runner = Runner(self, machine=machine, invariants=invariants)
        self.events: list[str] = []
        self.takes: deque[int | Exception] = deque()
        self.messages: deque[str | Exception] = deque()
        self.offers = 1
        self.limit = 1000
        self._inside: dict[str, deque[Step]] = {}
        self._always: dict[str, Step] = {}
        for port in (1, 2):
            self.runner.add_port(port, announces_writability=announces_writability)
        self.runner.call("create", 1, interval, self_tokens)

    # The script

    def inside(self, word: str, *steps: Step) -> None:
        """Take these steps inside the next events whose line begins with `word`, one step each."""
        self._inside.setdefault(word, deque()).extend(steps)

    def always_inside(self, word: str, step: Step) -> None:
        """Take this step inside every event whose line begins with `word`."""
        self._always[word] = step

    def later(self, function: str, *arguments: Any) -> Step:
        """A step that makes this call."""
        return lambda: self.call(function, *arguments)

    def fails(self, error: Exception) -> Step:
        """A step that raises `error`."""

        def step() -> None:
            raise error

        return step

    # Short forms

    def call(self, function: str, *arguments: Any) -> Any:
        """Call the API."""
        return self.runner.call(function, *arguments)

    def add_client(
        self,
        peer: str = "a",
        window: int = 3,
        send_tokens: int = 2,
        queue: int = 2,
        *,
        flow_control: bool = True,
        wait: bool = False,
    ) -> Any:
        """Attach a client."""
        return self.call("client_add", peer, flow_control, queue, window, send_tokens, wait)

    def hold(self, peer: str | None, size: int = 8) -> int:
        """Get a buffer, which must be given."""
        handle = self.call("write_buffer_get", peer, size)
        assert handle is not None
        return int(handle)

    def add(self, peer: str | None, data: bytes) -> int:
        """Get a buffer, fill it and add it; its handle."""
        handle = self.hold(peer, len(data))
        self.call("write_buffer_add", handle, data)
        return handle

    def take_events(self) -> list[str]:
        """The events so far, which are forgotten."""
        events, self.events = self.events, []
        return events

    def restore(self, *fields: int, data: bytes = b"") -> None:
        """Restore from a record with these client tokens, send tokens and tokens in the data."""
        client_tokens, send_tokens, write_client_tokens = fields
        offset = 33 if data else 0
        record = Record(1, 1, client_tokens, send_tokens, len(data), write_client_tokens, offset)
        self.call("restore", HEADER + encode(record) + data)

    @property
    def device(self) -> Device:
        """The device's scalars."""
        return self.runner.state.device

    @property
    def retry(self) -> int | None:
        """In how many milliseconds the retry timer fires; None when it is not armed."""
        device = self.device
        return device.retry_due_ms - device.now_ms if device.retry_armed else None

    def row(self, peer: str = "a") -> Client:
        """The client of this name."""
        handle = self.runner.state.clients.attached(peer)
        assert handle is not None
        return self.runner.state.clients[handle]

    def tokens(self, peer: str = "a") -> tuple[int, int, int]:
        """A client's tokens: its own, freed, and in flight."""
        row = self.row(peer)
        return row.tokens, row.freed, self.runner.machine.in_flight(row.handle)

    def wait(self, peer: str = "a") -> int | None:
        """In how many milliseconds the client's wait timer fires; None when it is not armed."""
        row = self.row(peer)
        return row.wait_due_ms - self.device.now_ms if row.wait_armed else None

    def pending(self) -> bytes:
        """What the write queue still has to write."""
        rows = self.runner.state.buffers.pending_rows()
        return b"".join([row.data[row.written :] for row in rows])

    def queued(self, peer: str = "a") -> list[str]:
        """The messages that wait for the client's tokens."""
        handle = self.row(peer).handle
        return [row.message for row in self.runner.state.send_queue if row.client == handle]

    # The environment

    def choose(self, event: Choice) -> int | bool:
        """Settle a choice as `offers` and `limit` say."""
        if isinstance(event, ChooseGoOn):
            return event.moved < self.limit
        assert isinstance(event, ChooseOffer)
        return min(self.offers, event.available)

    def answer(self, event: Callback) -> int | str | None:
        """Write the event down, take the steps that are to be taken inside it, and answer it."""
        answer = self._scripted_answer(event)
        line = describe(event, answer)
        self.events.append(line)
        word = line.split()[0]
        steps = self._inside.get(word)
        if steps:
            steps.popleft()()
        if word in self._always:
            self._always[word]()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _scripted_answer(self, event: Callback) -> int | str | Exception | None:
        if isinstance(event, PortWrite):
            return self.takes.popleft() if self.takes else len(event.data)
        if isinstance(event, ReadOneMsgFromDevice):
            return self.messages.popleft() if self.messages else None
        return None


def describe(event: Callback, answer: object = None) -> str:
    """One line for a callback and its answer."""
    match event:
        case PortWrite(_, data):
            return f"write {data.decode()} -> {answer!r}"
        case ReadOneMsgFromDevice():
            return (
                f"read {answer!r}"
                if answer is None or isinstance(answer, Exception)
                else f"read {answer}"
            )
        case RefMsgToClient(message):
            return f"ref {message}"
        case UnrefMsgToClient(message):
            return f"unref {message}"
        case SendMsgToClient(message, client):
            return f"send {message} to {client}"
        case SendTokensToClient(client, tokens):
            return f"tokens {tokens} to {client}"
        case OnFreeSelfToken():
            return "self-token"
        case RemoveClient(client):
            return f"remove {client}"
        case PortFailed():
            return "port-failed"


def snapshot(state: State) -> dict[str, object]:
    """Everything a state holds, as plain values that nothing changes any more."""
    return {
        "device": asdict(state.device),
        "ports": {port: asdict(row) for port, row in state.ports.items()},
        "clients": [asdict(row) for row in state.clients],
        "buffers": [asdict(row) for row in state.buffers],
        "order": [
            [row.handle for row in state.buffers.rows(place)]
            for place in (Place.CURRENT, Place.QUEUED, Place.WRITTEN)
        ],
        "send queue": [asdict(row) for row in state.send_queue],
        "next handles": [
            table._next_handle for table in (state.clients, state.buffers, state.send_queue)
        ],
        "next order": state.buffers._next_order,
    }


def buffer(owner: Owner, handle: int) -> Buffer:
    """A buffer of the owner's device."""
    return owner.runner.state.buffers[handle]
