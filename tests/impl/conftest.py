"""What tests of the device run on: a small world that writes down what happens, and two ends that are joined."""

from __future__ import annotations

import socket
from collections import Counter, deque
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from chardev import Device
from chardev.ports import DescriptorPort, SocketPort, open_pty_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from chardev import Bytes


class World:
    """Everything a device needs, in memory; each event is one line of `events`.

    `answers` says what the port takes, one number or exception a write; then it takes all.
    `messages` is what can be read; then there is nothing.
    `inside` maps the first word of an event to calls to make inside it, one call an event.
    """

    def __init__(
        self, *, interval: int = 1, self_tokens: int = 2, moves_per_call: int = 1024
    ) -> None:
        self.announces_writability = False
        self.device: Device[str, str] | None = None
        self.events: list[str] = []
        self.answers: deque[int | BaseException] = deque()
        self.messages: deque[str | BaseException] = deque()
        self.inside: dict[str, deque[Callable[[], object]]] = {}
        self.references: Counter[str] = Counter()
        self.written = b""
        self.dev: Device[str, str] = Device(
            self, interval, self_tokens, self, self, opaque=self, moves_per_call=moves_per_call
        )

    def when(self, event: str, *calls: Callable[[], object]) -> None:
        """Make these calls inside the next events of that name, one each."""
        self.inside.setdefault(event, deque()).extend(calls)

    def take_events(self) -> list[str]:
        """Return the events so far and forget them."""
        events, self.events = self.events, []
        return events

    def note(self, event: str) -> None:
        """Write an event down, then make the call that is to be made inside it."""
        self.events.append(event)
        calls = self.inside.get(event.split(maxsplit=1)[0])
        if calls:
            calls.popleft()()

    # Port.

    def write(self, buffers: Sequence[Bytes], /) -> int:
        """Take what `answers` says."""
        offered = b"".join(bytes(buffer) for buffer in buffers).decode("latin-1")
        size = sum(len(buffer) for buffer in buffers)
        answer = self.answers.popleft() if self.answers else size
        self.note(f"write {offered} -> {answer!r}")
        if isinstance(answer, BaseException):
            raise answer
        if 0 <= answer <= size:
            self.written += b"".join(bytes(buffer) for buffer in buffers)[:answer]
        return answer

    # Callbacks.

    def read_one_msg_from_device(self, port: Any, /) -> str | None:
        """Return the next message."""
        message = self.messages.popleft() if self.messages else None
        if message is None:
            self.note("read nothing")
            return None
        self.note(f"read {message!r}" if isinstance(message, BaseException) else f"read {message}")
        if isinstance(message, BaseException):
            raise message
        self.references[message] += 1
        return message

    def ref_msg_to_client(self, message: str, /) -> None:
        """Count a reference."""
        assert self.references[message] > 0
        self.references[message] += 1
        self.note(f"ref {message}")

    def unref_msg_to_client(self, message: str, /) -> None:
        """Drop a reference."""
        assert self.references[message] > 0
        self.references[message] -= 1
        self.note(f"unref {message}")

    def send_msg_to_client(self, message: str, client: str, /) -> None:
        """Note the message."""
        assert self.references[message] > 0
        self.note(f"send {message} to {client}")

    def send_tokens_to_client(self, client: str, tokens: int, /) -> None:
        """Note the announcement."""
        self.note(f"tokens {tokens} to {client}")

    def on_free_self_token(self) -> None:
        """Note the self token."""
        self.note("self-token")

    def remove_client(self, client: str, /) -> None:
        """Note the request."""
        self.note(f"remove {client}")

    def port_failed(self) -> None:
        """Note the failure."""
        self.note("port-failed")

    # Timers.

    def start_retry_timer(self, delay_ms: int, /) -> None:
        """Note the timer."""
        self.events.append(f"retry {delay_ms}")

    def cancel_retry_timer(self) -> None:
        """Note the timer."""
        self.events.append("retry off")

    def start_wait_timer(self, client: str, delay_ms: int, /) -> None:
        """Note the timer."""
        self.events.append(f"wait {client} {delay_ms}")

    def cancel_wait_timer(self, client: str, /) -> None:
        """Note the timer."""
        self.events.append(f"wait {client} off")

    # Short forms.

    def add(self, client: str | None, data: bytes) -> None:
        """Get, fill and add a buffer."""
        buffer = self.dev.write_buffer_get(client, len(data))
        assert buffer is not None
        buffer.buf[:] = data
        buffer.buf_used = len(data)
        self.dev.write_buffer_add(buffer)


@pytest.fixture
def make_world() -> Iterator[Callable[..., World]]:
    """Make worlds; at the end every message reference must have been dropped (CB-4)."""
    worlds: list[World] = []

    def make(**options: int) -> World:
        world = World(**options)
        worlds.append(world)
        return world

    yield make
    for world in worlds:
        world.inside.clear()
        if not world.dev.destroyed:
            world.dev.destroy()
        assert +world.references == Counter(), "references that nobody dropped"


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """One world with interval 1, two self tokens and client "a" (window 3, 2 sends, queue 2)."""
    made = make_world()
    made.dev.client_add("a", True, 2, 3, 2)
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Two ends that are joined, and what is known of them."""

    name: str
    open: Callable[[], tuple[DescriptorPort, DescriptorPort]]
    tty: Callable[[], AbstractContextManager[tuple[str, DescriptorPort]]] | None = None
    """The path of the one, which is a tty, and the other, open."""
    stalled: Callable[[], AbstractContextManager[None]] = nullcontext
    """Nothing is carried from the one to the other meanwhile, if it is not enough that nobody reads."""
    fills: bool = True
    """The one takes only so much while nobody reads."""
    keeps: bool = False
    """What the one took has all gone to the other, whose driver keeps it until it is read."""
    hangs_up: bool = True
    """The one is hung up when the other is closed."""
    xonxoff: bool = True
    """The driver pauses when the peer sends XOFF."""


def _sockets() -> tuple[DescriptorPort, DescriptorPort]:
    one, two = socket.socketpair()
    return SocketPort(one), SocketPort(two)


@contextmanager
def _pty() -> Iterator[tuple[str, DescriptorPort]]:
    # The slave stays open: without one its master would be hung up.
    master, slave = open_pty_pair()
    with master, slave:
        yield slave.name, master


PTY = Ends(name="pty", open=open_pty_pair, tty=_pty)
SOCKET = Ends(name="socket", open=_sockets)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of ports run on ends that are made here, or on those of a plugin that is called `ends`."""
    if "ends" in metafunc.fixturenames:
        given = metafunc.config.pluginmanager.get_plugin("ends")
        every = [given] if given else [PTY, SOCKET]
        if "tty" in metafunc.fixturenames:
            every = [each for each in every if each.tty is not None]
        metafunc.parametrize("ends", every, ids=[each.name for each in every])


@pytest.fixture
def pair(ends: Ends) -> Iterator[tuple[DescriptorPort, DescriptorPort]]:
    """Two connected ports, whatever they are."""
    one, two = ends.open()
    with one, two:
        yield one, two


@pytest.fixture
def tty(ends: Ends) -> Iterator[tuple[str, DescriptorPort]]:
    """The path of a tty, and the open port at its other end."""
    pytest.importorskip("serialx", reason="python -m pip install 'chardev[serial]'")
    assert ends.tty is not None
    with ends.tty() as opened:
        yield opened
