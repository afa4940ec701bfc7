"""One line shared among connections: nobody stalls anybody, nothing is lost, everybody may leave."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest

from chardev import PORT_FAILED, PORT_NOT_NOW, state
from chardev.ports import DescriptorPort, SocketPort, open_pty_pair
from chardev.sharing import SEND_QUEUE_SIZE, SharedLine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from chardev import Bytes


async def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Let the loop turn until the condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition is what is tested
            await asyncio.sleep(0.001)


class Peer:
    """One of our ends of a stream; reads what comes while `reading`."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket = connection
        self.received = bytearray()
        self.ended = False
        self.reading = False
        self.read_on()

    def read_on(self) -> None:
        """Read from now on."""
        if not self.reading:
            self.reading = True
            asyncio.get_running_loop().add_reader(self.socket, self._read)

    def stall(self) -> None:
        """Read no more."""
        if self.reading:
            self.reading = False
            asyncio.get_running_loop().remove_reader(self.socket)

    def close(self) -> None:
        """Leave."""
        self.stall()
        self.socket.close()

    async def send(self, data: bytes) -> None:
        """Send all of it, however long that takes."""
        while data := data[self.send_what_fits(data) :]:  # noqa: ASYNC110 - a pty has no event here
            await asyncio.sleep(0.001)

    def send_what_fits(self, data: bytes) -> int:
        """Send without waiting; returns how much was taken."""
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < len(data):
                sent += self.socket.send(data[sent : sent + 65536])
        return sent

    def _read(self) -> None:
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionError:
            data = b""
        self.received += data
        if not data:
            self.ended = True
            self.stall()


class World:
    """A shared line: `far` is its other side."""

    def __init__(self, line: SharedLine, far: Peer) -> None:
        self.line = line
        self.far = far
        self.peers: list[Peer] = []

    def connect(self) -> Peer:
        """Add a connection."""
        ours, theirs = socket.socketpair()
        self.line.add_connection(theirs)
        peer = Peer(ours)
        self.peers.append(peer)
        return peer


@contextlib.asynccontextmanager
async def shared(
    kind: str = "socket",
    make: Callable[[socket.socket], DescriptorPort] = SocketPort,
    **options: Any,
) -> AsyncIterator[World]:
    """A line that is shared; on a socket pair, which `make` makes a port, or a pty."""
    if kind == "pty":
        master, slave = open_pty_pair()
        port: DescriptorPort = slave
        far = Peer(_PtyEnd(master))  # type: ignore[arg-type] # what it has is enough
    else:
        near, other = socket.socketpair()
        port = make(near)
        far = Peer(other)
    world = World(SharedLine(port, **options), far)
    try:
        yield world
    finally:
        await world.line.close()
        for peer in (*world.peers, far):
            peer.close()


class _PtyEnd:
    """A pty's master with the methods of a socket that are used here."""

    def __init__(self, master: DescriptorPort) -> None:
        self.master = master

    def setblocking(self, _flag: object) -> None:
        pass

    def fileno(self) -> int:
        return self.master.fileno()

    def recv(self, limit: int) -> bytes:
        return self.master.read(limit)

    def send(self, data: Bytes) -> int:
        taken = self.master.write([data])
        if not taken:
            raise BlockingIOError
        return taken

    def close(self) -> None:
        self.master.close()


@pytest.mark.parametrize("kind", ["pty", "socket"])
def test_all_hear_the_line_and_it_hears_all(kind: str) -> None:
    """A client would miss what the line says, or the line what a client says."""

    async def main() -> None:
        async with shared(kind) as world:
            peers = [world.connect() for _ in range(5)]
            for number, peer in enumerate(peers):
                peer.send_what_fits(b"%d" % number)
            await until(lambda: sorted(world.far.received) == sorted(b"01234"))
            world.far.send_what_fits(b"hello")
            await until(lambda: all(peer.received == b"hello" for peer in peers))
            statistics = world.line.statistics()
            assert (statistics.clients, statistics.accepted) == (5, 5)
            assert (statistics.line_read, statistics.line_written) == (5, 5)
            assert (statistics.sent, statistics.received) == (25, 5)
            late = world.connect()
            world.far.send_what_fits(b"!")
            await until(lambda: late.received == b"!")

    asyncio.run(main())


def test_lines_are_never_mixed() -> None:
    """Two writers' commands would be torn into each other (WR-1)."""

    async def main() -> None:
        async with shared("pty", whole_lines=True) as world:
            peers = [world.connect() for _ in range(3)]
            lines = [
                [b"%d:%06d:%s\n" % (number, index, b"x" * (index % 90)) for index in range(5000)]
                for number in range(3)
            ]
            streams = [b"".join(each) for each in lines]
            sending = [peer.send(stream) for peer, stream in zip(peers, streams, strict=True)]
            await asyncio.gather(*sending)
            await until(lambda: len(world.far.received) == sum(map(len, streams)))
            received = [bytearray(), bytearray(), bytearray()]
            for line in bytes(world.far.received).splitlines(keepends=True):
                received[line[0] - ord("0")] += line
            assert received == streams

    asyncio.run(main())


def test_a_line_waits_for_its_end_but_not_for_ever() -> None:
    """A prompt's answer without a line end, or one longer than a piece, would never arrive."""

    async def main() -> None:
        async with shared(whole_lines=True) as world:
            first, second = world.connect(), world.connect()
            first.send_what_fits(b"MEAS")
            await asyncio.sleep(0.02)
            second.send_what_fits(b"*IDN?\r")
            await until(lambda: world.far.received == b"*IDN?\r")
            first.send_what_fits(b":VOLT?\nnext")
            await until(lambda: world.far.received == b"*IDN?\rMEAS:VOLT?\n")
            first.socket.shutdown(socket.SHUT_WR)
            await until(lambda: world.far.received == b"*IDN?\rMEAS:VOLT?\nnext")
            second.send_what_fits(b"z" * 3000 + b"\n")
            await until(lambda: world.far.received.endswith(b"next" + b"z" * 3000 + b"\n"))

    asyncio.run(main())


def test_a_client_that_does_not_read_is_cut_off_and_stalls_nobody() -> None:
    """One forgotten terminal would stop the line for all others (RD-4)."""

    async def main() -> None:
        async with shared(backlog=100_000) as world:
            slow, fast, other = world.connect(), world.connect(), world.connect()
            slow.stall()
            data = os.urandom(8_000_000)
            await world.far.send(data)
            for peer in (fast, other):
                await until(lambda: len(peer.received) >= len(data))
                assert peer.received == data
            statistics = world.line.statistics()
            assert (statistics.cut_off, statistics.clients) == (1, 2)
            # What it got before is a beginning, and then it knows that it was cut off.
            slow.read_on()
            await until(lambda: slow.ended)
            assert data.startswith(bytes(slow.received))

    asyncio.run(main())


def test_a_client_that_reads_slowly_but_enough_is_kept() -> None:
    """A client that is behind for a moment would lose its connection."""

    async def main() -> None:
        async with shared() as world:
            slow, fast = world.connect(), world.connect()
            sent = b""
            for _ in range(20):
                slow.stall()
                data = os.urandom(200_000)
                sent += data
                await world.far.send(data)
                await until(lambda: len(fast.received) == len(sent))
                slow.read_on()
                await until(lambda: len(slow.received) == len(sent))
            assert slow.received == fast.received == sent
            assert world.line.statistics().cut_off == 0

    asyncio.run(main())


def test_if_nobody_reads_the_line_is_held_back() -> None:
    """What the line says would be lost, or kept in memory without bound (RD-1)."""

    async def main() -> None:
        async with shared(backlog=50_000) as world:
            only = world.connect()
            only.stall()
            data = os.urandom(3_000_000)
            sending = asyncio.create_task(world.far.send(data))
            await asyncio.sleep(0.2)
            assert not sending.done()
            statistics = world.line.statistics()
            assert statistics.backlog < 50_000 + 33 * 16384
            assert statistics.cut_off == 0
            only.read_on()
            await until(lambda: len(only.received) == len(data))
            assert only.received == data

    asyncio.run(main())


def test_a_queued_message_waits_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that reads no more would be kept for ever if the line says little (RD-5)."""
    monkeypatch.setattr(state, "WAIT_DELAY_MS", 50)

    async def main() -> None:
        async with shared(backlog=1) as world:
            slow, fast = world.connect(), world.connect()
            slow.stall()
            # Fills the kernel's buffers, then the send window, then some of the queue.
            said = 0
            while world.line.statistics().backlog == 0:
                said += world.far.send_what_fits(b"x" * 16384)
                await until(lambda: len(fast.received) == said)
            for _ in range(SEND_QUEUE_SIZE // 2):
                said += world.far.send_what_fits(b"x")
                await until(lambda: len(fast.received) == said)
            await until(lambda: world.line.statistics().cut_off == 1)
            assert world.line.statistics().clients == 1

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["pty", "socket"])
def test_a_stalled_line_holds_its_writers_back(kind: str) -> None:
    """Any amount would pile up in memory, or be lost, while the line takes nothing (TOK-2)."""

    async def main() -> None:
        async with shared(kind) as world:
            world.far.stall()
            writers = [world.connect() for _ in range(3)]
            reader = world.connect()
            data = [bytes([number]) * 2_000_000 for number in (1, 2, 3)]
            sending = [
                asyncio.create_task(writer.send(each))
                for writer, each in zip(writers, data, strict=True)
            ]
            await asyncio.sleep(0.2)
            assert not any(task.done() for task in sending)
            assert world.line.statistics().pending <= 3 * 8 * 1024
            # The other direction goes on.
            world.far.send_what_fits(b"still here")
            await until(lambda: reader.received == b"still here")
            world.far.read_on()
            await until(lambda: len(world.far.received) == 6_000_000)
            assert [world.far.received.count(number) for number in (1, 2, 3)] == [2_000_000] * 3
            # They had their turns: nobody had to wait until another one was done.
            first = world.far.received[:200_000]
            assert all(first.count(number) > 20_000 for number in (1, 2, 3))

    asyncio.run(main())


def test_a_client_leaves_in_the_middle_of_everything() -> None:
    """The others would be torn from the line, or the line stall (LC-7, WR-7)."""

    async def main() -> None:
        async with shared() as world:
            stays = world.connect()
            data = os.urandom(4_000_000)
            sending = asyncio.create_task(world.far.send(data))
            for number in range(50):
                leaver = world.connect()
                leaver.send_what_fits(b"y" * 5000)
                if number % 2:
                    leaver.stall()
                await asyncio.sleep(0.001)
                leaver.close()
            await sending
            await until(lambda: len(stays.received) == len(data))
            assert stays.received == data
            await until(lambda: world.line.statistics().clients == 1)
            await until(lambda: len(world.far.received) == 50 * 5000)

    asyncio.run(main())


def test_the_last_words_of_a_client_reach_a_line_that_is_slow() -> None:
    """`echo reboot | nc` would do nothing (WR-1)."""

    async def main() -> None:
        async with shared() as world:
            world.far.stall()
            filler = world.connect()
            filler.send_what_fits(b"x" * 3_000_000)
            await until(lambda: world.line.statistics().pending >= 8 * 1024)
            leaver = world.connect()
            leaver.send_what_fits(b"reboot")
            leaver.close()
            await asyncio.sleep(0.05)
            assert world.line.statistics().clients == 2
            world.far.send_what_fits(b"a socket that has failed is noticed here")
            await asyncio.sleep(0.05)
            world.far.read_on()
            await until(lambda: world.line.statistics().clients == 1)
            await until(lambda: b"reboot" in world.far.received)

    asyncio.run(main())


def test_who_ends_its_sending_still_hears_the_answer() -> None:
    """`printf '*IDN?' | nc -N` would print nothing."""

    async def main() -> None:
        async with shared() as world:
            asker = world.connect()
            asker.send_what_fits(b"*IDN?\n")
            asker.socket.shutdown(socket.SHUT_WR)
            await until(lambda: world.far.received == b"*IDN?\n")
            await asyncio.sleep(0.1)
            world.far.send_what_fits(b"ACME\n")
            await until(lambda: asker.received == b"ACME\n")
            await until(lambda: asker.ended)
            assert world.line.statistics().clients == 0

    asyncio.run(main())


def test_too_many_clients_are_refused_and_those_that_ended_make_room() -> None:
    """Connections without end would take all descriptors, or dead ones keep living ones out."""

    async def main() -> None:
        async with shared(clients_max=2) as world:
            first, second, third = world.connect(), world.connect(), world.connect()
            await until(lambda: third.ended)
            assert world.line.statistics().refused == 1
            first.socket.shutdown(socket.SHUT_WR)
            await asyncio.sleep(0.01)
            fourth = world.connect()
            await until(lambda: first.ended)
            world.far.send_what_fits(b"x")
            await until(lambda: second.received == fourth.received == b"x")

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["pty", "socket"])
def test_a_line_that_hangs_up_says_so(kind: str) -> None:
    """Clients would wait for ever for a line that is unplugged (WR-8)."""

    async def main() -> None:
        async with shared(kind) as world:
            peer = world.connect()
            world.far.close()
            await until(world.line.ended.is_set)
            peer.send_what_fits(b"x")
            await world.line.close(1)
            await until(lambda: peer.ended)

    asyncio.run(main())


def test_close_delivers_what_is_here_or_gives_up_in_time() -> None:
    """Stopping would lose what clients had sent, or take for ever on a stalled line."""

    async def main() -> None:
        async with shared() as world:
            peer = world.connect()
            peer.send_what_fits(b"x" * 5000)
            await asyncio.sleep(0.01)
            await world.line.close(1)
            await until(lambda: len(world.far.received) == 5000)
            assert world.line.statistics().pending == 0
        async with shared() as world:
            world.far.stall()
            peer = world.connect()
            peer.send_what_fits(b"x" * 3_000_000)
            await until(lambda: world.line.statistics().pending >= 8 * 1024)
            begin = asyncio.get_running_loop().time()
            await world.line.close(0.1)
            assert asyncio.get_running_loop().time() - begin < 10
            assert world.line.statistics().pending >= 7 * 1024
            await world.line.close(0.1)

    asyncio.run(main())


class _Exhausted(socket.socket):
    """A listener of a process that has no descriptor left, once."""

    failures = 1

    def accept(self) -> tuple[socket.socket, object]:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_without_descriptors_accepting_goes_on_later() -> None:
    """The loop would spin, or nobody could connect any more."""

    async def main() -> None:
        async with shared() as world:
            listener = _Exhausted(socket.AF_INET, socket.SOCK_STREAM)
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            world.line.listen(listener)
            with socket.create_connection(listener.getsockname()) as connection:
                peer = Peer(connection)
                await until(lambda: world.line.statistics().clients == 1)
                assert listener.failures == 0
                world.far.send_what_fits(b"x")
                await until(lambda: peer.received == b"x")
                peer.stall()

    asyncio.run(main())


class _Faulty(SocketPort):
    """A port that takes at most `most` bytes at a time, and fails after `left` bytes."""

    most = 1
    left = 1 << 30

    def write(self, buffers: Sequence[Bytes], /) -> int:
        if not self.left:
            return PORT_FAILED
        data = b"".join(bytes(buffer) for buffer in buffers)[: min(self.most, self.left)]
        taken = super().write([data])
        self.left -= max(taken, 0)
        return taken


def test_a_line_that_takes_a_byte_at_a_time() -> None:
    """What a poor driver leaves over would be lost or doubled (WR-3)."""

    async def main() -> None:
        async with shared(make=_Faulty) as world:
            peers = [world.connect() for _ in range(2)]
            await asyncio.gather(*(peer.send(b"0123456789" * 500) for peer in peers))
            await until(lambda: len(world.far.received) == 10_000)
            assert sorted(world.far.received) == sorted(b"0123456789" * 1000)
            assert world.line.statistics().line_written == 10_000

    asyncio.run(main())


def test_a_line_that_fails_in_the_middle_of_a_write() -> None:
    """The server would go on with a line that is gone, or say that all was delivered (WR-8)."""

    async def main() -> None:
        class Failing(_Faulty):
            most = 100
            left = 250

        async with shared(make=Failing) as world:
            peer = world.connect()
            peer.send_what_fits(b"x" * 1000)
            await until(world.line.ended.is_set)
            assert world.far.received == b"x" * 250
            await world.line.close(1)
            statistics = world.line.statistics()
            assert (statistics.line_written, statistics.pending) == (250, 750)
            await until(lambda: peer.ended)

    asyncio.run(main())


def test_a_line_that_takes_nothing_though_it_says_it_would() -> None:
    """A broken driver would cost a whole processor (WR-4)."""

    class Refusing(SocketPort):
        writes = 0
        refusing = True

        def write(self, buffers: Sequence[Bytes], /) -> int:
            Refusing.writes += 1
            return PORT_NOT_NOW if Refusing.refusing else super().write(buffers)

    async def main() -> None:
        async with shared(make=Refusing) as world:
            peer = world.connect()
            peer.send_what_fits(b"x")
            await asyncio.sleep(0.25)
            assert 2 <= Refusing.writes <= 5
            Refusing.refusing = False
            await until(lambda: world.far.received == b"x")

    asyncio.run(main())


def test_signals_without_end() -> None:
    """An interrupted system call would count as an error, or be made twice."""

    async def main() -> None:
        async with shared("pty") as world:
            peer = world.connect()
            before = signal.signal(signal.SIGALRM, lambda *_: None)
            signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
            try:
                data = os.urandom(1_000_000)
                await asyncio.gather(peer.send(data), world.far.send(data))
                await until(lambda: len(world.far.received) == len(peer.received) == len(data))
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)
            assert world.far.received == peer.received == data

    asyncio.run(main())
