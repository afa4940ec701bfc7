"""A device on an asyncio event loop: descriptor, timers and wake-ups; no threads.

Theory of operation
-------------------
`AsyncRunner` stands between a port and its device and owns everything that the sans-I/O core does
not have.

Writing: a port that took less than it was offered is *blocked*.
Only then is the descriptor watched for writability, and only then does the port owe the device a
wakeup (WR-4), which the loop pays.
While blocked, it says so, and the device queues without asking, so a congested device costs little.
A descriptor that is writable, it says, and then takes nothing, is asked again only after a pause.
With `cork`, writes are held until the loop's next turn and then go out in gathered batches; the
device sees only a port that is blocked until then.

Reading: the descriptor is watched for input only after the device read and found nothing.
When there is input, the device is woken; if it does not read, or may not read on, watching ends.
So whatever the clients have no credit for stays in the port, which is back-pressure all the way to
its peer, and a read callback that declines to read does not make the loop spin.

Hang-up: found by a read or a write, dealt with in the loop's next turn, outside any frame; then the
device waits for another port.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .device import Device
from .interfaces import PORT_BLOCKED
from .ports import PortError
from .state import RETRY_DELAY_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from .interfaces import BatchCallbacks, Bytes, Callbacks
    from .ports import DescriptorPort

__all__ = ["AsyncPort", "AsyncRunner", "AsyncTimers"]

MessageT = TypeVar("MessageT")
ClientT = TypeVar("ClientT")


class AsyncPort:
    """The port as the device and the read callback see it; it announces writability."""

    def __init__(self, port: DescriptorPort, *, cork: bool) -> None:
        self.announces_writability = True
        self.device: Device[Any, Any] | None = None
        self.descriptor_port = port
        self._loop = asyncio.get_running_loop()
        self._cork = cork
        self._blocked = False
        self._uncorked = False
        # The descriptor has just said that it is writable, and has taken nothing since.
        self._announced = False
        self._pause: asyncio.TimerHandle | None = None
        self._watching_input = False
        self._was_read = False
        self._hung_up = False
        self._closed = False
        self._on_hang_up: Callable[[], object] | None = None
        self._check_pollable()

    def __repr__(self) -> str:
        return f"<AsyncPort on {self.descriptor_port!r}>"

    @property
    def name(self) -> str:
        """What messages call the port."""
        return self.descriptor_port.name

    @property
    def hung_up(self) -> bool:
        """True once the peer hung up or the adapter was unplugged."""
        return self._hung_up

    @property
    def watching_input(self) -> bool:
        """True while the descriptor is watched for input: the device found nothing to read."""
        return self._watching_input

    def write(self, buffers: Sequence[Bytes], /) -> int:
        """Write what fits; nothing while blocked or corked (see `Port.write`)."""
        if self._blocked:
            return PORT_BLOCKED
        if self._cork and not self._uncorked:
            self._blocked = True
            self._loop.call_soon(self._uncork)
            return PORT_BLOCKED
        size = 0
        for buffer in buffers:
            size += len(buffer)
        taken = self.descriptor_port.write(buffers)
        if taken < 0:
            self._note_hang_up()
        elif taken < size:
            self._blocked = True
            if taken or not self._announced:
                self._loop.add_writer(self.descriptor_port.fileno(), self._writable)
            else:
                self._pause = self._loop.call_later(RETRY_DELAY_MS / 1000, self._writable)
        self._announced = False
        return taken or PORT_BLOCKED

    def read(self, limit: int = 65536, /) -> bytes:
        """Read at most `limit` bytes; `b""` if there is nothing now.

        A read callback reads until it has a message or gets `b""`.
        """
        self._was_read = True
        if self._hung_up or self._closed:
            return b""
        data = self.descriptor_port.read(limit)
        if not data:
            if self.descriptor_port.hung_up:
                self._note_hang_up()
            elif not self._watching_input:
                self._watching_input = True
                self._loop.add_reader(self.descriptor_port.fileno(), self._readable)
        return data

    def start(self, on_hang_up: Callable[[], object]) -> None:
        """Say whom to call, in the loop's next turn, when the port hung up."""
        self._on_hang_up = on_hang_up

    def close(self) -> None:
        """Stop watching and close the descriptor; a second close does nothing."""
        if not self._closed:
            self._stop_watching()
            self._closed = True
            self.descriptor_port.close()

    def _check_pollable(self) -> None:
        descriptor = self.descriptor_port.fileno()
        try:
            self._loop.add_reader(descriptor, self._readable)
        except OSError as error:
            raise PortError(
                f"AsyncRunner: {self.name} cannot be polled ({error.strerror}); "
                "use a port that can, or drive the device without an event loop"
            ) from error
        self._loop.remove_reader(descriptor)

    def _wake_device(self) -> None:
        if self.device is not None:
            self.device.wakeup()

    def _uncork(self) -> None:
        if not self._hung_up and not self._closed:
            self._blocked = False
            self._uncorked = True
            try:
                self._wake_device()
            finally:
                self._uncorked = False

    def _writable(self) -> None:
        self._loop.remove_writer(self.descriptor_port.fileno())
        self._pause = None
        self._blocked = False
        if self.descriptor_port.check_hang_up():
            self._note_hang_up()
            return
        self._uncorked = self._announced = True
        try:
            self._wake_device()
        finally:
            self._uncorked = self._announced = False

    def _readable(self) -> None:
        self._was_read = False
        try:
            self._wake_device()
        finally:
            device = self.device
            if self._watching_input and not (
                self._was_read and device is not None and device.wants_to_read()
            ):
                self._watching_input = False
                self._loop.remove_reader(self.descriptor_port.fileno())

    def _note_hang_up(self) -> None:
        if not self._hung_up:
            self._hung_up = True
            self._stop_watching()
            if self._on_hang_up is not None:
                self._loop.call_soon(self._on_hang_up)

    def _stop_watching(self) -> None:
        if not self._closed:
            descriptor = self.descriptor_port.fileno()
            self._loop.remove_reader(descriptor)
            self._loop.remove_writer(descriptor)
            self._watching_input = False
            if self._pause is not None:
                self._pause.cancel()


class AsyncTimers(Generic[ClientT]):
    """The timers of a device on the running event loop; set `device` once it is made with them.

    Raises `RuntimeError` when no event loop is running.
    """

    device: Device[Any, ClientT]

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._retry: asyncio.TimerHandle | None = None
        self._waits: dict[ClientT, asyncio.TimerHandle] = {}

    def start_retry_timer(self, delay_ms: int, /) -> None:
        """Start the retry timer, or start it anew (WR-4)."""
        self.cancel_retry_timer()
        self._retry = self._loop.call_later(delay_ms / 1000, self._retry_timer_fired)

    def cancel_retry_timer(self) -> None:
        """Disarm the retry timer."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def start_wait_timer(self, client: ClientT, delay_ms: int, /) -> None:
        """Start a client's wait timer, or start it anew (RD-5)."""
        self.cancel_wait_timer(client)
        self._waits[client] = self._loop.call_later(delay_ms / 1000, self._wait_timer_fired, client)

    def cancel_wait_timer(self, client: ClientT, /) -> None:
        """Disarm a client's wait timer."""
        timer = self._waits.pop(client, None)
        if timer is not None:
            timer.cancel()

    def _retry_timer_fired(self) -> None:
        self._retry = None
        self.device.retry_timer_fired()

    def _wait_timer_fired(self, client: ClientT) -> None:
        del self._waits[client]
        self.device.wait_timer_fired(client)


class AsyncRunner(Generic[MessageT, ClientT]):
    """Runs a new device on the running event loop; it owns the port and the device.

    `port` is a port of `chardev.ports`.
    `client_tokens_interval`, `self_tokens`, `callbacks`, `opaque` and `moves_per_call` are those of
    `Device`.
    `on_hang_up` is called once for each port, in a turn of the loop, when the peer hung up or the
    adapter was unplugged; the port was detached (LC-4) and closed before, and `attach` gives the
    device another one.
    `cork` collects what is written in one turn of the loop into gathered batches.

    The device is stopped: add clients, then call `runner.device.start()`.
    The read callback gets an `AsyncPort` and reads it with its `read`.

    Raises:
        RuntimeError: no event loop is running.
        PortError: the port cannot be polled.
    """

    def __init__(
        self,
        port: DescriptorPort,
        client_tokens_interval: int,
        self_tokens: int,
        callbacks: Callbacks[MessageT, ClientT] | BatchCallbacks[MessageT, ClientT],
        *,
        on_hang_up: Callable[[], object] | None = None,
        opaque: object = None,
        moves_per_call: int = 1024,
        cork: bool = False,
    ) -> None:
        self._on_hang_up = on_hang_up
        self._closed = False
        self._cork = cork
        timers = AsyncTimers[ClientT]()
        self.port = AsyncPort(port, cork=cork)
        self.device: Device[MessageT, ClientT] = Device(
            self.port,
            client_tokens_interval,
            self_tokens,
            callbacks,
            timers,
            opaque=opaque,
            moves_per_call=moves_per_call,
        )
        timers.device = self.device
        self.port.start(partial(self._hang_up, self.port))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Destroy the device, cancel the timers, close the port; a second close does nothing."""
        self._closed = True
        try:
            if not self.device.destroyed:
                self.device.destroy()
        finally:
            self.port.close()

    def attach(self, port: DescriptorPort, by: Callable[[AsyncPort], object] | None = None) -> None:
        """Give the device another port in place of the one it has, or has lost, which is closed (LC-4).

        What the device has not written goes there: the rest of a partly written buffer, too.
        To begin with an empty queue, call `runner.device.reset()` first, and `start()` afterwards.
        `by` is what attaches it, `Device.reset_dev_instance` by default; a device on top has its own,
        `AgentDevice.agent_attached` or `SpiceVmcDevice.attach`.

        Raises:
            PortError: the port cannot be polled; nothing has changed.
            ValueError: the runner was closed.
        """
        if self._closed:
            raise ValueError(f"attach: the runner was closed, and cannot take {port!r}")
        old, self.port = self.port, AsyncPort(port, cork=self._cork)
        self.port.start(partial(self._hang_up, self.port))
        try:
            (by or self.device.reset_dev_instance)(self.port)
        finally:
            old.close()

    def _hang_up(self, port: AsyncPort) -> None:
        if self._closed or port is not self.port:
            return
        try:
            if port.device is self.device and not self.device.destroyed:
                self.device.reset_dev_instance(None)
        finally:
            # A USB adapter gets its old name back only when nobody has its old self open.
            port.close()
            if self._on_hang_up is not None:
                self._on_hang_up()
