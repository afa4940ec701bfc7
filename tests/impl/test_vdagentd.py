"""The real guest agent as the other side: `spice-vdagentd` over a unix socket and over a pty.

The daemon opens its port once a session agent has told it a resolution; a few lines here are that
session agent, and a few more are the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import socket
import struct
import sys
import termios
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from chardev.aio import AsyncRunner
from chardev.ports import DescriptorPort, PtyPort, SocketPort, open_pty_pair
from chardev.vdagent import AgentDevice, MessageHeader, MessageType, message, parts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from chardev import Callbacks, Device

DAEMON: Final = shutil.which(
    "spice-vdagentd", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
)

pytestmark = [
    pytest.mark.skipif(
        DAEMON is None,
        reason="spice-vdagentd is not installed; "
        "install it with: apt-get install --no-install-recommends spice-vdagent",
    ),
    pytest.mark.parametrize("line", ["unix", "pty"]),
]

# Between daemon and session agent: type, two arguments, size.
SESSION_HEADER: Final = struct.Struct("<IIII")
RESOLUTION: Final = 0
MONITORS: Final = 1
CLIPBOARD_DATA: Final = 4

# What a client can: replies, and clipboards on demand with a selection.
CLIENT_CAPABILITIES: Final = 1 << 1 | 1 << 2 | 1 << 5 | 1 << 6
DAEMON_CAPABILITIES: Final = 0, 1, 2, 5, 6

UTF8_TEXT: Final = 1
# A clipboard's selection (with padding) and type.
CLIPBOARD_PREFIX: Final = struct.pack("<II", 0, UTF8_TEXT)
TEXT: Final = bytes(range(256)) * 1172
assert len(TEXT) > 300_000

# Type, code and value of what a mouse move makes of itself, after a time stamp.
INPUT_EVENT: Final = struct.Struct("<qqHHi")


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until the condition holds, at most 30 s."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the condition is what is tested
            await asyncio.sleep(0.002)


class Guest:
    """The daemon and a session agent that keeps what it is told."""

    def __init__(self, folder: Path, line: str) -> None:
        self.folder = folder
        self.line = line
        self.mouse = folder / "mouse"
        self.mouse.touch()
        self.told: deque[tuple[int, int, int, bytes]] = deque()
        self._runs = 0
        self._daemon: asyncio.subprocess.Process | None = None
        self._session: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None

    async def start(self) -> DescriptorPort:
        """Start the daemon; returns our end of its line, which it has opened."""
        self._runs += 1
        if self.line == "pty":
            master, slave = open_pty_pair()
            await self._run(slave.name)
            # With our own end closed, the line hangs up when the daemon dies.
            await until(lambda: waiting(master))
            slave.close()
            return master
        path = str(self.folder / f"port-{self._runs}")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            listener.setblocking(False)
            await self._run(path)
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
        return SocketPort(connection)

    async def _run(self, port_path: str) -> None:
        session_path = self.folder / f"session-{self._runs}"
        assert DAEMON is not None
        self._daemon = await asyncio.create_subprocess_exec(
            *(DAEMON, "-x", "-d", "-X", "-f", "-u", str(self.mouse)),
            *("-s", port_path, "-S", str(session_path)),
            stderr=asyncio.subprocess.DEVNULL,
        )
        reader = None
        async with asyncio.timeout(30):
            while reader is None:
                with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                    reader, self._session = await asyncio.open_unix_connection(session_path)
                await asyncio.sleep(0.002)
        self._listening = asyncio.create_task(self._listen(reader))
        self.say(RESOLUTION, 1024, 768, struct.pack("<iiiii", 1024, 768, 0, 0, 0))

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                header = await reader.readexactly(SESSION_HEADER.size)
                kind, one, two, size = SESSION_HEADER.unpack(header)
                self.told.append((kind, one, two, await reader.readexactly(size)))

    def say(self, kind: int, one: int = 0, two: int = 0, data: bytes = b"") -> None:
        """The session agent tells the daemon something."""
        assert self._session is not None
        self._session.write(SESSION_HEADER.pack(kind, one, two, len(data)) + data)

    def heard(self, kind: int) -> list[bytes]:
        """The bodies of what the daemon told the session agent."""
        return [data for told, _, _, data in self.told if told == kind]

    def signal(self, number: int) -> None:
        """Send a signal to the daemon."""
        assert self._daemon is not None
        self._daemon.send_signal(number)

    async def kill(self) -> None:
        """Kill the daemon, without a chance to say good-bye."""
        assert self._daemon is not None
        if self._daemon.returncode is None:
            self._daemon.kill()
            await self._daemon.wait()
        if self._listening is not None:
            await self._listening
        if self._session is not None:
            self._session.close()


def waiting(port: DescriptorPort) -> int:
    """The number of bytes that wait to be read."""
    count = fcntl.ioctl(port.fileno(), termios.FIONREAD, bytes(4))
    return int.from_bytes(count, sys.byteorder)


class Client:
    """A client that keeps to its tokens, and a server around an agent device."""

    def __init__(self, port: DescriptorPort) -> None:
        # Whether each part that comes is granted anew.
        self.grant = True
        self.tokens = 0
        self.connected = 0
        self.disconnected = 0
        self.outbox: deque[bytes] = deque()
        self.partial = b""
        self.received: list[tuple[int, bytes]] = []
        self.parts_received = 0
        self.runner: AsyncRunner[bytes, str]
        self._port = port
        self.agent: AgentDevice[str] = AgentDevice(self._create, self)

    def _create(
        self, interval: int, self_tokens: int, callbacks: Callbacks[bytes, Any]
    ) -> Device[bytes, Any]:
        self.runner = AsyncRunner(
            self._port,
            interval,
            self_tokens,
            callbacks,
            on_hang_up=lambda: self.agent.agent_detached(),  # noqa: PLW0108 - it is made later
        )
        return self.runner.device

    def connect(self) -> None:
        """Connect to the server, then start the guest: its first words are not lost."""
        assert self.agent.client_connected("c")
        self.agent.start()

    def replug(self, port: DescriptorPort) -> None:
        """Give the device the next daemon's line; the client stays."""
        self.runner.attach(port, by=self.agent.agent_attached)

    def send(self, kind: int, body: bytes) -> None:
        """Send a message as tokens allow."""
        self.outbox.extend(parts(message(kind, body)))
        self._send_more()

    def announce(self) -> None:
        """Say what we can, and ask the agent the same."""
        self.send(MessageType.ANNOUNCE_CAPABILITIES, struct.pack("<II", 1, CLIENT_CAPABILITIES))

    def bodies(self, kind: int) -> list[bytes]:
        """The bodies of the messages that came from the agent."""
        return [body for received, body in self.received if received == kind]

    def grant_tokens(self, tokens: int) -> None:
        """Let the agent send so many parts more."""
        self.agent.client_tokens("c", tokens)

    def _send_more(self) -> None:
        while self.outbox and self.tokens:
            self.tokens -= 1
            self.agent.client_data("c", self.outbox.popleft())

    # The owner of the agent device.

    def agent_connected(self, client: str, tokens: int, /) -> None:
        self.connected += 1
        self.tokens = tokens
        self.agent.client_started(client, 10)
        self.announce()

    def agent_disconnected(self, client: str, /) -> None:
        self.disconnected += 1
        self.tokens = 0
        self.outbox.clear()
        self.partial = b""

    def agent_data(self, client: str, part: bytes, /) -> None:
        assert len(part) <= 2048
        self.parts_received += 1
        self.partial += part
        header = MessageHeader.parse(self.partial)
        if len(self.partial) == 20 + header.size:
            self.received.append((header.type, self.partial[20:]))
            self.partial = b""
        if self.grant:
            self.agent.client_tokens(client, 1)

    def agent_tokens(self, client: str, tokens: int, /) -> None:
        self.tokens += tokens
        self._send_more()

    def disconnect_client(self, client: str, /) -> None:
        pytest.fail(f"the server disconnects {client}")

    def agent_failed(self, reason: str, /) -> None:
        pytest.fail(f"the agent is detached: {reason}")


@contextlib.asynccontextmanager
async def running(folder: Path, line: str) -> AsyncIterator[tuple[Guest, Client]]:
    """A daemon, a device and a client that has started the agent."""
    guest = Guest(folder, line)
    port = await guest.start()
    client = Client(port)
    try:
        client.connect()
        await until(lambda: len(client.bodies(MessageType.ANNOUNCE_CAPABILITIES)) == 2)
        yield guest, client
    finally:
        client.runner.close()
        await guest.kill()


def test_capabilities_monitors_and_mouse(tmp_path: Path, line: str) -> None:
    """The real agent would not understand us, or we not it (DEV-2)."""

    async def main() -> None:
        async with running(tmp_path, line) as (guest, client):
            asked, answered = client.bodies(MessageType.ANNOUNCE_CAPABILITIES)
            assert (asked[:4], answered[:4]) == (struct.pack("<I", 1), bytes(4))
            (bits,) = struct.unpack_from("<I", answered, 4)
            assert [bit for bit in DAEMON_CAPABILITIES if not bits >> bit & 1] == []

            monitors = struct.pack("<IIIIIii", 1, 0, 600, 800, 32, 0, 0)
            client.send(MessageType.MONITORS_CONFIG, monitors)
            await until(lambda: client.bodies(MessageType.REPLY))
            assert client.bodies(MessageType.REPLY) == [struct.pack("<II", 2, 1)]
            await until(lambda: guest.heard(MONITORS))
            assert guest.heard(MONITORS) == [monitors]

            before = guest.mouse.stat().st_size
            client.agent.mouse(struct.pack("<IIIB", 123, 45, 0, 0))
            await until(lambda: guest.mouse.stat().st_size == before + 72)
            events = [
                event[2:] for event in INPUT_EVENT.iter_unpack(guest.mouse.read_bytes()[before:])
            ]
            assert events == [(3, 0, 123), (3, 1, 45), (0, 0, 0)]

    asyncio.run(main())


def test_clipboard_to_a_guest_that_stalls(tmp_path: Path, line: str) -> None:
    """300,000 bytes would be lost or kept in memory while the guest does not read (TOK-1, WR-1)."""

    async def main() -> None:
        async with running(tmp_path, line) as (guest, client):
            guest.signal(signal.SIGSTOP)
            client.send(MessageType.CLIPBOARD, CLIPBOARD_PREFIX + TEXT)
            await asyncio.sleep(0.1)
            device = client.agent.device
            if line == "pty":
                # A pty takes some 20 KB: the client is held back.
                assert (client.tokens, device.pending_buffers) == (
                    0,
                    10 - device.client_state("c").freed,
                )
                assert len(client.outbox) > 100
            guest.signal(signal.SIGCONT)
            await until(lambda: guest.heard(CLIPBOARD_DATA))
            assert guest.heard(CLIPBOARD_DATA) == [TEXT]
            state = device.client_state("c")
            assert (device.pending_buffers, state.tokens + state.freed) == (0, 10)
            assert client.tokens == state.tokens

    asyncio.run(main())


def test_clipboard_to_a_client_that_stalls(tmp_path: Path, line: str) -> None:
    """The guest's clipboard would flood a client that grants little, or get lost (RD-1, RD-6)."""

    async def main() -> None:
        async with running(tmp_path, line) as (guest, client):
            client.grant = False
            before = client.parts_received
            guest.say(CLIPBOARD_DATA, 0, UTF8_TEXT, TEXT)
            await until(lambda: client.parts_received == before + 10)
            await asyncio.sleep(0.1)
            assert client.parts_received == before + 10
            while not client.bodies(MessageType.CLIPBOARD):
                granted = client.parts_received + 3
                client.grant_tokens(3)
                await until(
                    lambda: client.parts_received == granted or client.bodies(MessageType.CLIPBOARD)
                )
            assert client.bodies(MessageType.CLIPBOARD) == [CLIPBOARD_PREFIX + TEXT]

    asyncio.run(main())


def test_clipboards_cross(tmp_path: Path, line: str) -> None:
    """Both directions at once would mix or block each other."""

    async def main() -> None:
        async with running(tmp_path, line) as (guest, client):
            for _ in range(3):
                client.send(MessageType.CLIPBOARD, CLIPBOARD_PREFIX + TEXT)
                guest.say(CLIPBOARD_DATA, 0, UTF8_TEXT, TEXT)
            await until(lambda: len(guest.heard(CLIPBOARD_DATA)) == 3)
            await until(lambda: len(client.bodies(MessageType.CLIPBOARD)) == 3)
            assert guest.heard(CLIPBOARD_DATA) == [TEXT] * 3
            assert client.bodies(MessageType.CLIPBOARD) == [CLIPBOARD_PREFIX + TEXT] * 3

    asyncio.run(main())


@pytest.mark.parametrize("direction", ["to the guest", "to the client"])
def test_a_daemon_killed_in_the_middle(tmp_path: Path, line: str, direction: str) -> None:
    """The next daemon would get the rest of a message, or the client lose its tokens (LC-3, DEV-2)."""

    async def main() -> None:
        async with running(tmp_path, line) as (guest, client):
            if direction == "to the guest":
                guest.signal(signal.SIGSTOP)
                client.send(MessageType.CLIPBOARD, CLIPBOARD_PREFIX + TEXT)
                client.send(MessageType.CLIPBOARD, CLIPBOARD_PREFIX + TEXT)
                await until(lambda: client.tokens == 0)
            else:
                client.grant = False
                guest.say(CLIPBOARD_DATA, 0, UTF8_TEXT, TEXT)
                await until(lambda: client.partial)
            await guest.kill()
            client.grant_tokens(100)
            await until(lambda: client.disconnected == 1)
            assert (client.connected, client.partial) == (1, b"")
            assert client.agent.device.pending_buffers == 0

            client.grant = True
            client.received.clear()
            port = await guest.start()
            client.replug(port)
            await until(lambda: len(client.bodies(MessageType.ANNOUNCE_CAPABILITIES)) == 2)
            assert client.connected == 2
            client.send(MessageType.CLIPBOARD, CLIPBOARD_PREFIX + TEXT)
            guest.say(CLIPBOARD_DATA, 0, UTF8_TEXT, TEXT)
            await until(lambda: guest.heard(CLIPBOARD_DATA))
            await until(lambda: client.bodies(MessageType.CLIPBOARD))
            assert guest.heard(CLIPBOARD_DATA) == [TEXT]
            assert client.bodies(MessageType.CLIPBOARD) == [CLIPBOARD_PREFIX + TEXT]
            state = client.agent.device.client_state("c")
            assert state.tokens + state.freed == 10

    asyncio.run(main())


def test_migration_in_the_middle_of_messages(tmp_path: Path, line: str) -> None:
    """A move of the guest would tear a clipboard, in either direction (MIG-6)."""

    async def main() -> None:
        async with running(tmp_path, line) as (guest, client):
            guest.signal(signal.SIGSTOP)
            client.send(MessageType.CLIPBOARD, CLIPBOARD_PREFIX + TEXT)
            await asyncio.sleep(0.05)
            client.grant = False
            guest.signal(signal.SIGCONT)
            guest.say(CLIPBOARD_DATA, 0, UTF8_TEXT, TEXT)
            await until(lambda: client.partial)
            guest.signal(signal.SIGSTOP)

            for _ in range(3):
                client.agent.stop()
                whole = client.agent.marshall()
                descriptor = os.dup(client.runner.port.descriptor_port.fileno())
                client.runner.close()
                client._port = (  # the line outlives the server that had it
                    PtyPort(descriptor, "pty")
                    if line == "pty"
                    else SocketPort(socket.socket(fileno=descriptor))
                )
                client.agent = AgentDevice(client._create, client)
                assert client.agent.client_connected("c", migrating=True)
                client.agent.start()
                client.agent.restore(whole)
                client.grant_tokens(1)
                await asyncio.sleep(0.01)
                guest.signal(signal.SIGCONT)
                await asyncio.sleep(0.01)
                guest.signal(signal.SIGSTOP)

            guest.signal(signal.SIGCONT)
            client.grant = True
            client.grant_tokens(10)
            await until(lambda: guest.heard(CLIPBOARD_DATA))
            await until(lambda: client.bodies(MessageType.CLIPBOARD))
            assert guest.heard(CLIPBOARD_DATA) == [TEXT]
            assert client.bodies(MessageType.CLIPBOARD) == [CLIPBOARD_PREFIX + TEXT]
            assert (client.connected, client.disconnected) == (1, 0)
            await until(lambda: not client.agent.device.pending_buffers)
            state = client.agent.device.client_state("c")
            assert state.tokens + state.freed == 10
            assert client.tokens == state.tokens

    asyncio.run(main())
