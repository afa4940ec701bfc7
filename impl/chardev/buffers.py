"""Write buffers as the owner sees them, and who pays for a buffer.

Theory of operation
-------------------
A `WriteBuffer` exists only while the owner holds it, between get and add or release.
Once added, nothing but its bytes and its *payer* is kept: the write queue is lists of bytes and of
payers, not of buffer objects.
The payer gets the token price back when the bytes were written.
It is an `Attachment` (price 1), a `RestoredPayer` (the price that came with migration data),
`SERVER` (one self token) or `NOBODY`.
No buffer memory is kept for reuse, so there is no pool to bound (BUF-5): fresh memory is cheaper
here than a pool's bookkeeping.
A marshaller that holds an added buffer's memory holds a view of it, which keeps it valid whatever
happens to the device (BUF-2).
"""

from __future__ import annotations

import enum
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from .errors import BufferNotHeldError, DeviceStillAliveError

if TYPE_CHECKING:
    from .state import DeviceState

__all__ = [
    "NOBODY",
    "SERVER",
    "Attachment",
    "BufferOrigin",
    "Payer",
    "RestoredPayer",
    "WriteBuffer",
    "write_buffer_release_without_device",
]

MessageT = TypeVar("MessageT")
ClientT = TypeVar("ClientT")


class Payer:
    """Who paid for a queued buffer, and gets its price back; compared by identity."""

    __slots__ = ()

    @property
    def tokens_in_data(self) -> int:
        """The buffer's price if a client paid it, as migration counts it (MIG-2)."""
        return 0

    @property
    def detached(self) -> bool:
        """True if the paying client is gone, so that the buffer is nobody's."""
        return False


class Attachment(Payer, Generic[MessageT, ClientT]):
    """One attachment of a client: what the contract calls *client*.

    A client that left and came back has a new one (BUF-4).
    """

    __slots__ = (
        "client",
        "flow_control",
        "freed",
        "gone",
        "held",
        "leaving",
        "max_send_queue_size",
        "pushing",
        "send_queue",
        "send_tokens",
        "tokens",
        "wait_timer_armed",
        "window",
    )

    def __init__(
        self,
        client: ClientT,
        *,
        flow_control: bool,
        max_send_queue_size: int,
        window: int,
        send_tokens: int,
    ) -> None:
        self.client = client
        self.flow_control = flow_control
        self.max_send_queue_size = max_send_queue_size
        # tokens + freed + the price of this client's buffers in flight = window (TOK-1);
        # without flow control nothing is counted (TOK-4).
        self.window = window
        self.tokens = window
        self.freed = 0
        # Never more than the client granted (RD-6).
        self.send_tokens = send_tokens
        # Empty, or leaving, or no send tokens, or pushing (RD-3).
        self.send_queue: deque[MessageT] = deque()
        # Exactly if the send queue is not empty and the client not leaving (RD-5).
        self.wait_timer_armed = False
        self.leaving = False
        # The client was removed or the device destroyed: whoever comes back from a callback looks
        # here (CB-1).
        self.gone = False
        self.pushing = False
        # Buffers the owner holds for this client: marshalling needs to know of them (MIG-2).
        self.held = 0

    @property
    def may_have_queued(self) -> bool:
        """False if no buffer of this client can be queued: its tokens say where they all are (TOK-1)."""
        return not self.flow_control or self.tokens + self.freed + self.held < self.window

    @property
    def tokens_in_data(self) -> int:
        """One token a buffer, also without flow control."""
        return 1

    @property
    def detached(self) -> bool:
        """True if the client was removed."""
        return self.gone


class RestoredPayer(Payer):
    """The client that paid for restored data, with the price that the data came with (MIG-4)."""

    __slots__ = ("attachment", "price")

    def __init__(self, attachment: Attachment[Any, Any], price: int) -> None:
        self.attachment = attachment
        self.price = price

    @property
    def tokens_in_data(self) -> int:
        """The price that the data came with."""
        return self.price

    @property
    def detached(self) -> bool:
        """True if the client was removed."""
        return self.attachment.gone


SERVER: Final = Payer()
"""Pays one self token (SELF-1)."""

NOBODY: Final = Payer()
"""Pays nothing: server-without-token buffers (SELF-4)."""


class BufferOrigin(enum.Enum):
    """Where a write buffer came from; its client may leave, then it is nobody's."""

    CLIENT = "client"
    SERVER = "server"
    SERVER_NO_TOKEN = "server without token"
    NOBODY = "nobody"


class WriteBuffer:
    """A buffer to write to the device (header: `SpiceCharDeviceWriteBuffer`).

    Fill `buf` from its beginning, set `buf_used`, then call `Device.write_buffer_add`, or
    `Device.write_buffer_release`, exactly once (BUF-1).
    """

    __slots__ = (
        "_attachment",
        "_epoch",
        "_origin",
        "buf",
        "buf_size",
        "buf_used",
        "device",
        "held",
        "token_price",
    )

    def __init__(
        self,
        device: DeviceState[Any, Any],
        origin: BufferOrigin,
        attachment: Attachment[Any, Any] | None,
        epoch: int,
        size: int,
    ) -> None:
        self.buf = memoryview(bytearray(size))
        """Writable memory of `buf_size` bytes."""
        self.buf_size = size
        self.buf_used = 0
        """How many bytes of `buf`, from its beginning, are to be written; 0 is legal (BUF-6)."""
        self.token_price = 1
        self.device = device
        self._origin = origin
        self._attachment = attachment
        self._epoch = epoch
        self.held = True
        """True until the buffer was added or released."""

    @property
    def origin(self) -> BufferOrigin:
        """Where the buffer came from.

        A client's buffer is nobody's once its client left or the device was reset (BUF-4, LC-3).
        """
        if self._origin is BufferOrigin.CLIENT and self.paying_attachment is None:
            return BufferOrigin.NOBODY
        return self._origin

    @property
    def client(self) -> Any:
        """The client that the buffer was got for; None if there is none (any more)."""
        attachment = self.paying_attachment
        return None if attachment is None else attachment.client

    @property
    def paying_attachment(self) -> Attachment[Any, Any] | None:
        """Whose window the buffer's price belongs to.

        None for the server's buffers, after the client left, and after a reset.
        """
        attachment = self._attachment
        if attachment is None or attachment.gone or self._epoch != self.device.epoch:
            return None
        return attachment


def write_buffer_release_without_device(buffer: WriteBuffer) -> None:
    """Free a held buffer whose device was destroyed (BUF-3).

    The header's `spice_char_device_write_buffer_release` with NULL as device.

    Raises:
        BufferNotHeldError: the buffer was added or released before.
        DeviceStillAliveError: its device lives, so the buffer's token would be lost.
    """
    if not buffer.held:
        raise BufferNotHeldError(
            "write_buffer_release_without_device: the buffer is not held by its owner; "
            "add or release each buffer exactly once"
        )
    if not buffer.device.destroyed:
        raise DeviceStillAliveError(
            "write_buffer_release_without_device: the buffer's device is alive and waits for its token; "
            "call the device's write_buffer_release"
        )
    buffer.held = False
