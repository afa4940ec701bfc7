"""The asyncio runner: end to end over ptys and sockets, back-pressure, timers, hang-up."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from chardev.aio import AsyncRunner, AsyncTimers
from chardev.ports import CharacterDevicePort, PortError, SocketPort, open_pty_pair
from chardev.spicevmc import SpiceVmcDevice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chardev import Bytes, Callbacks
    from chardev.ports import DescriptorPort


class Owner:
    """Callbacks of an owner that keeps what it is told."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.tokens = 0
        self.failed = 0
        self.removed: list[str] = []
        self.references = 0
        self.reads = 0

    def read_one_msg_from_device(self, port: Any, /) -> bytes | None:
        """Read up to 10 bytes."""
        self.reads += 1
        data: bytes = port.read(10)
        self.references += bool(data)
        return data or None

    def ref_msg_to_client(self, message: bytes, /) -> None:
        """Count."""
        self.references += 1

    def unref_msg_to_client(self, message: bytes, /) -> None:
        """Count."""
        self.references -= 1

    def send_msg_to_client(self, message: bytes, client: str, /) -> None:
        """Keep."""
        self.sent.append(message)

    def send_tokens_to_client(self, client: str, tokens: int, /) -> None:
        """Keep."""
        self.tokens += tokens

    def remove_client(self, client: str, /) -> None:
        """Keep."""
        self.removed.append(client)

    def port_failed(self) -> None:
        """Count."""
        self.failed += 1


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until the condition holds, at most 5 s."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the condition is what is tested
            await asyncio.sleep(0.001)


def socket_pair() -> tuple[DescriptorPort, DescriptorPort]:
    """Return two connected socket ports."""
    one, two = socket.socketpair()
    return SocketPort(one), SocketPort(two)


@pytest.mark.parametrize("cork", [False, True], ids=["direct", "corked"])
@pytest.mark.parametrize("make_pair", [open_pty_pair, socket_pair], ids=["pty", "socket"])
def test_two_devices_talk_to_each_other(
    make_pair: Callable[[], tuple[DescriptorPort, DescriptorPort]], *, cork: bool
) -> None:
    """Bytes would be lost, reordered or stuck between two event-driven devices (WR-1, WR-6)."""

    async def main() -> None:
        one, two = make_pair()
        left, right = Owner(), Owner()
        with (
            AsyncRunner(one, 5, 0, left, cork=cork) as a,
            AsyncRunner(two, 5, 0, right, cork=cork) as b,
        ):
            for runner in (a, b):
                runner.device.client_add("c", False, 0, 0, 0)
                runner.device.start()
            data = os.urandom(300_000)
            for begin in range(0, len(data), 100):
                a.device.write("c", data[begin : begin + 100])
                b.device.write("c", data[begin : begin + 100])
            assert a.device.pending_buffers > 0
            for owner in (left, right):
                await until(lambda: sum(map(len, owner.sent)) >= len(data))
                assert b"".join(owner.sent) == data
                assert owner.references == 0
            assert a.device.pending_buffers == b.device.pending_buffers == 0

    asyncio.run(main())


def test_without_credit_data_waits_in_the_port() -> None:
    """A slow client would make us read, and keep, any amount of data (RD-1)."""

    async def main() -> None:
        one, two = open_pty_pair()
        owner = Owner()
        with two, AsyncRunner(one, 1, 0, owner) as runner:
            runner.device.client_add("c", True, 0, 0, 2)
            runner.device.start()
            assert runner.port.watching_input
            two.write([b"0123456789" * 4])
            await until(lambda: len(owner.sent) == 2)
            await until(lambda: not runner.port.watching_input)
            reads = owner.reads
            await asyncio.sleep(0.05)
            assert owner.reads == reads
            runner.device.send_to_client_tokens_add("c", 5)
            await until(lambda: len(owner.sent) == 4)
            assert runner.port.watching_input
            assert owner.removed == []

    asyncio.run(main())


def test_read_callback_that_declines_does_not_make_the_loop_spin() -> None:
    """Data waiting for a client that is not there would cost a whole processor (DEV-1)."""

    class Declining(Owner):
        def read_one_msg_from_device(self, port: Any, /) -> bytes | None:
            if self.reads:
                self.reads += 1
                return None
            return super().read_one_msg_from_device(port)

    async def main() -> None:
        one, two = open_pty_pair()
        owner = Declining()
        with two, AsyncRunner(one, 1, 0, owner) as runner:
            runner.device.start()
            two.write([b"x"])
            await asyncio.sleep(0.05)
            assert owner.reads <= 4
            assert not runner.port.watching_input

    asyncio.run(main())


@pytest.mark.parametrize("writing", [False, True], ids=["read", "write"])
def test_hang_up_detaches_and_says_so_once(*, writing: bool) -> None:
    """An unplugged adapter would go unnoticed, or be reported again and again (WR-8, LC-4)."""

    async def main() -> None:
        master, slave = open_pty_pair()
        owner = Owner()
        hang_ups: list[object] = []
        with AsyncRunner(slave, 1, 0, owner, on_hang_up=lambda: hang_ups.append(1)) as runner:
            device = runner.device
            device.client_add("c", writing, 0, 9, 0)
            device.start()
            await asyncio.sleep(0)
            master.close()
            if writing:
                device.write("c", b"x")
                assert owner.failed == 1
            await until(lambda: hang_ups)
            assert device.port is None
            assert device.pending_buffers == int(writing)
            assert runner.port.hung_up
            await asyncio.sleep(0.02)
            assert hang_ups == [1]

    asyncio.run(main())


@pytest.mark.parametrize("cork", [False, True], ids=["direct", "corked"])
def test_the_device_goes_on_with_another_port(*, cork: bool) -> None:
    """After a replug bytes would be lost or repeated, or the device never write and read again (LC-4)."""

    async def main() -> None:
        owner = Owner()
        hang_ups: list[object] = []
        one, two = socket_pair()
        data = os.urandom(3_000_000)
        received = bytearray()

        async def receive(size: int) -> None:
            async with asyncio.timeout(10):
                while len(received) < size:
                    received.extend(one.read())
                    await asyncio.sleep(0)
            # Nothing may be under way when the line is pulled: that would be lost.
            while left := one.read():
                received.extend(left)

        with AsyncRunner(
            two, 1, 0, owner, cork=cork, on_hang_up=lambda: hang_ups.append(1)
        ) as runner:
            device = runner.device
            device.client_add("c", False, 0, 0, 0)
            device.start()
            device.write("c", data)
            for number in range(3):
                one.write([bytes([number])])
                await until(lambda: len(owner.sent) == number + 1)
                await receive(1_000_000 * number + 1)
                one.close()
                await until(lambda: len(hang_ups) == number + 1)
                assert two.closed
                assert device.port is None
                one, two = socket_pair()
                runner.attach(two)
            await receive(len(data))
            one.close()
        assert b"".join(owner.sent) == b"\0\1\2"
        assert received == data

    asyncio.run(main())


class PortOwner:
    """The owner of a spicevmc device that keeps what its client is sent."""

    def __init__(self) -> None:
        self.received = b""

    def port_data(self, client: str, data: bytes, /) -> None:
        assert client == "c"
        self.received += data

    def port_event(self, client: str, event: int, /) -> None:
        pytest.fail(f"{event} for {client}: the port has no events")

    def client_may_send(self, client: str, /) -> None:
        pytest.fail(f"{client} was never held back")

    def disconnect_client(self, client: str, /) -> None:
        pytest.fail(f"{client} is to be disconnected")


def test_a_device_on_top_takes_the_other_port() -> None:
    """A replugged usbredir channel would stay without its port (DEV-1, LC-4)."""

    async def main() -> None:
        owner = PortOwner()
        runners: list[AsyncRunner[bytes, Any]] = []
        one, two = socket_pair()

        def create(interval: int, tokens: int, callbacks: Callbacks[bytes, Any]) -> Any:
            runners.append(AsyncRunner(two, interval, tokens, callbacks))
            return runners[0].device

        channel: SpiceVmcDevice[str] = SpiceVmcDevice(create, owner)
        with runners[0] as runner:
            assert channel.connect("c")
            runner.device.start()
            one.write([b"before "])
            await until(lambda: owner.received == b"before ")
            one.close()
            await until(lambda: runner.device.port is None)
            assert channel.client_data("c", b"meanwhile")
            one, two = socket_pair()
            runner.attach(two, by=channel.attach)
            one.write([b"after"])
            await until(lambda: owner.received == b"before after")
            assert one.read() == b"meanwhile"
            one.close()

    asyncio.run(main())


def test_attach_refuses_what_it_cannot_use() -> None:
    """A device would be left without any port, or a closed runner hold one open."""

    async def main() -> None:
        one, two = open_pty_pair()
        with one, CharacterDevicePort(os.open("/dev/null", os.O_RDWR), "/dev/null") as null:
            runner = AsyncRunner(two, 1, 0, Owner())
            port = runner.port
            with pytest.raises(PortError, match="/dev/null cannot be polled"):
                runner.attach(null)
            assert runner.port is runner.device.port is port
            assert not two.closed
            runner.close()
            with pytest.raises(ValueError, match="the runner was closed"):
                runner.attach(null)

    asyncio.run(main())


def test_timers_run_on_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait timer would never fire, or the retry timer not go on after a limit (RD-5, WR-5)."""
    start = AsyncTimers.start_wait_timer
    monkeypatch.setattr(
        AsyncTimers, "start_wait_timer", lambda timers, client, _: start(timers, client, 20)
    )

    async def main() -> None:
        one, two = open_pty_pair()
        owner = Owner()
        with two, AsyncRunner(one, 1, 0, owner, moves_per_call=1) as runner:
            device = runner.device
            device.client_add("slow", True, 1, 0, 0)
            device.client_add("fast", False, 0, 0, 0)
            for _ in range(5):
                device.write("fast", b"x")
            device.start()
            two.write([b"0123456789"])
            await until(lambda: owner.removed == ["slow"])
            await until(lambda: not device.pending_buffers)
            assert two.read() == b"xxxxx"

    asyncio.run(main())


def test_close_is_clean() -> None:
    """Descriptors, timers or watchers would outlive the runner."""

    async def main() -> None:
        one, two = open_pty_pair()
        with two:
            runner = AsyncRunner(one, 1, 0, Owner())
            device = runner.device
            device.client_add("c", False, 0, 0, 0)
            device.start()
            while not device.pending_buffers:
                device.write("c", b"x" * 4096)
            runner.close()
            runner.close()
            assert device.destroyed
            assert one.closed
            await asyncio.sleep(0.01)

    asyncio.run(main())


def test_port_that_cannot_be_polled_is_refused() -> None:
    """The loop would fail later, inside a callback."""

    async def main() -> None:
        with CharacterDevicePort(os.open("/dev/null", os.O_RDWR), "/dev/null") as port:
            with pytest.raises(PortError) as caught:
                AsyncRunner(port, 1, 0, Owner())
            assert str(caught.value) == (
                "AsyncRunner: /dev/null cannot be polled (Operation not permitted); "
                "use a port that can, or drive the device without an event loop"
            )

    asyncio.run(main())


def test_corked_writes_of_one_turn_are_one_system_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each small message would cost a system call though the loop has many (WR-3)."""

    async def main() -> None:
        one, two = open_pty_pair()
        calls: list[int] = []
        write = one.write

        def count(buffers: Sequence[Bytes]) -> int:
            calls.append(sum(map(len, buffers)))
            return write(buffers)

        monkeypatch.setattr(one, "write", count)
        with two, AsyncRunner(one, 1, 0, Owner(), cork=True) as runner:
            runner.device.client_add("c", False, 0, 0, 0)
            runner.device.start()
            for _ in range(10):
                runner.device.write("c", b"x")
            assert calls == []
            await until(lambda: not runner.device.pending_buffers)
            assert calls == [10]
            assert two.read() == b"x" * 10

    asyncio.run(main())
