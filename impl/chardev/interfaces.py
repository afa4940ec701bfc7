"""What the device needs from the world: a port, callbacks and timers.

Theory of operation
-------------------
The device is sans-I/O: it has no descriptor, no clock and no thread.
All that it does to the world goes through three small interfaces, which the code that creates the
device supplies.
`Callbacks` is the header's `SpiceCharDeviceCallbacks`, `Port` its `SpiceCharDeviceInstance`;
`Timers` stands for the timers of the server's core interface.
Any call of the device is legal inside a callback or a port write (CB-1).
Methods of `Timers` only set timers: they neither call the device nor raise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from .device import Device

__all__ = [
    "PORT_BLOCKED",
    "PORT_FAILED",
    "PORT_NOT_NOW",
    "BatchCallbacks",
    "Bytes",
    "Callbacks",
    "Port",
    "Timers",
]

PORT_NOT_NOW: Final = 0
"""What `Port.write` returns when it can take nothing now (WR-4)."""

PORT_FAILED: Final = -1
"""What `Port.write` returns after a final error: the port is gone (WR-8)."""

PORT_BLOCKED: Final = -2
"""What `Port.write` may return instead of `PORT_NOT_NOW` if it announces writability: nothing until the next wakeup.

The device then goes on as if it had asked again and been told `PORT_NOT_NOW`, but does not ask: a buffer that is
queued meanwhile costs next to nothing.
"""

Bytes: TypeAlias = bytes | bytearray | memoryview
"""Anything whose length in bytes is its `len`."""

MessageT = TypeVar("MessageT")
ClientT_contra = TypeVar("ClientT_contra", contravariant=True)


class Port(Protocol):
    """The character device below: a serial line, a virtio port, a socket."""

    announces_writability: bool
    """True if somebody calls `Device.wakeup` after this port took less than offered and can take more (WR-4)."""

    device: Device[Any, Any] | None
    """The device this port is attached to; only devices write it (LC-4)."""

    def write(self, buffers: Sequence[Bytes], /) -> int:
        """Take any prefix of the buffers' bytes, without waiting (WR-3).

        The buffers are valid, and do not change, until the call returns; small ones may have been joined.
        Returns how many bytes were taken, `PORT_NOT_NOW`, `PORT_BLOCKED`, or `PORT_FAILED`.
        """


class Callbacks(Protocol[MessageT, ClientT_contra]):
    """The header's `SpiceCharDeviceCallbacks`.

    Two more methods are optional and looked up once, at creation:
    `on_free_self_token(self)`, a server buffer was consumed or released (SELF-3), and
    `port_failed(self)`, the port failed and was detached (WR-8).
    An exception counts as an answer: nothing was read, or a normal return; the API call that made
    the callback raises it at its end (CB-5).
    """

    def read_one_msg_from_device(self, port: Any, /) -> MessageT | None:
        """Read from the port until one message is complete.

        Returns the message, with one reference; None when there is nothing to read now.
        """

    def ref_msg_to_client(self, message: MessageT, /) -> None:
        """Count one more reference to the message."""

    def unref_msg_to_client(self, message: MessageT, /) -> None:
        """Count one reference to the message less."""

    def send_msg_to_client(self, message: MessageT, client: ClientT_contra, /) -> None:
        """Send the message, which is only borrowed, to the client (CB-4)."""

    def send_tokens_to_client(self, client: ClientT_contra, tokens: int, /) -> None:
        """Announce to the client that it may send this many more buffers (TOK-3)."""

    def remove_client(self, client: ClientT_contra, /) -> None:
        """Disconnect the client, now or later, which ends in `Device.client_remove` (RD-4, TOK-2)."""


class BatchCallbacks(Protocol[MessageT, ClientT_contra]):
    """Callbacks of an owner that reads many messages at once, and takes many at once for a client.

    Beyond the header, for speed: the device behaves as if the messages were read, and sent, one by one.
    They are objects that Python counts, so nothing is called for a reference (an owner that has the two callbacks of
    `Callbacks` for it all the same has them called, and is asked for one message at a time).
    The optional callbacks are those of `Callbacks`, and so is what an exception does.
    """

    def read_msgs_from_device(self, port: Any, limit: int, /) -> Sequence[MessageT]:
        """Read complete messages from the port, at most `limit` of them; none when there is nothing to read now."""

    def send_msgs_to_client(self, messages: Sequence[MessageT], client: ClientT_contra, /) -> None:
        """Send the messages to the client, in order."""

    def send_tokens_to_client(self, client: ClientT_contra, tokens: int, /) -> None:
        """Announce to the client that it may send this many more buffers (TOK-3)."""

    def remove_client(self, client: ClientT_contra, /) -> None:
        """Disconnect the client, now or later, which ends in `Device.client_remove` (RD-4, TOK-2)."""


class Timers(Protocol[ClientT_contra]):
    """The timers that the device needs; their owner calls `Device.retry_timer_fired` and `Device.wait_timer_fired`."""

    def start_retry_timer(self, delay_ms: int, /) -> None:
        """Start the retry timer, or start it anew."""

    def cancel_retry_timer(self) -> None:
        """Disarm the retry timer."""

    def start_wait_timer(self, client: ClientT_contra, delay_ms: int, /) -> None:
        """Start the client's wait timer, or start it anew."""

    def cancel_wait_timer(self, client: ClientT_contra, /) -> None:
        """Disarm the client's wait timer."""
