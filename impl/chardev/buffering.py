"""Write buffers: getting, adding and releasing them, and the short way that does all three.

Theory of operation
-------------------
A buffer's price is paid when it is got and returned when it is released or written (TOK-1, SELF-1).
A held buffer knows who paid for it, and forgets it when its client leaves or the device is reset:
nothing has to search for held buffers then.
`write` needs no buffer object at all; what it queues is the caller's own bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from .buffers import NOBODY, SERVER, BufferOrigin, WriteBuffer
from .compiling import mypyc_attr
from .errors import BufferNotHeldError, BufferOverfullError, NegativeSizeError
from .write_queue import gathered
from .writing import BATCH_BYTES, Writing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .buffers import Attachment, Payer
    from .interfaces import Bytes

MessageT = TypeVar("MessageT")
ClientT = TypeVar("ClientT")


@mypyc_attr(allow_interpreted_subclasses=True)
class Buffering(Writing[MessageT, ClientT]):
    """Write buffers, as their owners use them."""

    __slots__ = ()

    def write_buffer_get(self, client: ClientT | None, size: int) -> WriteBuffer | None:
        """Get a buffer of `size` bytes to fill (header: `..._write_buffer_get`).

        A client's buffer costs one of its tokens; without one the client is told to leave (TOK-2).
        With None as client the buffer is the server's and costs one self token (SELF-1).

        Returns None if there is no self token, if the client is not attached, leaving or marshalled
        (BUF-4, RD-4, MIG-2), or if it had no token.

        Raises:
            DestroyedDeviceError: the device was destroyed.
            NegativeSizeError: the size is negative.
        """
        self._check_alive("write_buffer_get")
        _check_size("write_buffer_get", size)
        if client is None:
            if not self._self_tokens:
                return None
            buffer = WriteBuffer(self, BufferOrigin.SERVER, None, self._epoch, size)
            self._self_tokens -= 1
            self._held_server_buffers += 1
            return buffer
        attachment = self._clients.get(client)
        if attachment is None or not self._may_pay(attachment):
            return None
        buffer = WriteBuffer(self, BufferOrigin.CLIENT, attachment, self._epoch, size)
        if attachment.flow_control:
            attachment.tokens -= 1
        attachment.held += 1
        return buffer

    def write_buffer_get_server_no_token(self, size: int) -> WriteBuffer:
        """Get a buffer that nobody pays for (SELF-4; header: `..._get_server_no_token`).

        Raises:
            DestroyedDeviceError: the device was destroyed.
            NegativeSizeError: the size is negative.
        """
        self._check_alive("write_buffer_get_server_no_token")
        _check_size("write_buffer_get_server_no_token", size)
        return WriteBuffer(self, BufferOrigin.SERVER_NO_TOKEN, None, self._epoch, size)

    def write_buffer_add(self, buffer: WriteBuffer) -> None:
        """Queue a held buffer to be written, then write (BUF-1; header: `..._write_buffer_add`).

        A buffer whose client is gone, or that was got before a reset, is dropped (BUF-4, LC-3).
        Its memory is the device's from now on.

        Raises:
            DestroyedDeviceError: the device was destroyed.
            BufferNotHeldError: the buffer was added or released before, or is another device's.
            NegativeSizeError: less than nothing of it is said to be used.
            BufferOverfullError: more of it is said to be used than it can hold.
        """
        self._check_alive("write_buffer_add")
        self._check_held("write_buffer_add", buffer)
        used = buffer.buf_used
        if used < 0:
            raise NegativeSizeError(
                f"write_buffer_add: buf_used is {used}; say how many bytes of the buffer to write"
            )
        if used > buffer.buf_size:
            raise BufferOverfullError(
                f"write_buffer_add: buf_used is {used}, but the buffer holds {buffer.buf_size} "
                "bytes; get a larger buffer"
            )
        payer = self._let_go(buffer)
        if payer is not None:
            data = buffer.buf if used == buffer.buf_size else buffer.buf[:used]
            self._write_added(data, payer)
        elif self._may_write and not self._writing:
            frame = self._enter()
            self._write_pass(frame)
            self._leave(frame)
        else:
            self._write_in_vain()

    def write_buffer_release(self, buffer: WriteBuffer) -> None:
        """Give a held buffer back unused (BUF-1; header: `..._write_buffer_release`).

        Its price is returned (TOK-3, SELF-3), unless its client is gone (BUF-4).

        Raises:
            DestroyedDeviceError: the device was destroyed; use `write_buffer_release_without_device`.
            BufferNotHeldError: the buffer was added or released before, or is another device's.
        """
        self._check_alive("write_buffer_release")
        self._check_held("write_buffer_release", buffer)
        payer = self._let_go(buffer)
        if payer is not None:
            frame = self._enter()
            self._return_prices(frame, (payer,))
            self._leave(frame)

    def write(self, client: ClientT | None, data: Bytes) -> bool:
        """Send bytes to the device: get a buffer, fill it, add it, in one step and without copying.

        The data must not change until the port has taken it; `bytes` never do.

        Returns false if `write_buffer_get` would have returned None.

        Raises:
            DestroyedDeviceError: the device was destroyed.
        """
        attachment = self._clients.get(client)  # type: ignore[arg-type] # None is nobody's
        if attachment is None:
            return self._write_unattached(client, data)
        if type(data) is not bytes:
            data = memoryview(data).cast("B")
        may_lack = attachment.leaving or self._sealed or not attachment.tokens
        if may_lack and not self._may_pay(attachment):
            return False
        if attachment.flow_control:
            attachment.tokens -= 1
        queue = self._queue
        if not data or self._writing or self._retry_timer_armed:
            self._write_added(data, attachment)
        elif self._port_blocked:
            # What a write pass would do, if the port were asked and took nothing.
            queue.data.append(data)
            queue.payers.append(attachment)
            self._write_limited = False
            if self._wanted and not self._nobody_may_be_sent_to:
                self._decide_retry_timer()
        elif queue.payers or not self._may_write:
            self._write_added(data, attachment)
        else:
            pieces = (data,)
            self._write_express(attachment, pieces, pieces, len(data))
        return True

    def _write_unattached(self, client: ClientT | None, data: Bytes) -> bool:
        self._check_alive("write")
        if client is not None or not self._self_tokens:
            return False
        self._self_tokens -= 1
        self._write_added(memoryview(data).cast("B"), SERVER)
        return True

    def write_many(self, client: ClientT, data: Sequence[bytes]) -> int:
        """Send several buffers of a client at once: as `write` of each, but queued before the port is asked.

        The port gets them gathered; a call costs little more than one of `write`.
        Neither the sequence nor the data may change until the call returns, nor the data until the port has taken it.

        Returns how many were sent: fewer than given if `write` would have returned false.

        Raises:
            DestroyedDeviceError: the device was destroyed.
        """
        attachment = self._clients.get(client)
        if attachment is None:
            self._check_alive("write_many")
            return 0
        count = len(data)
        if (
            0 < count <= self._offer_entries
            and (count <= attachment.tokens or not attachment.flow_control)
            and self._may_write
            and data[0]
            and not (attachment.leaving or self._writing or self._queue.payers)
            and not (self._port_owes_wakeup or self._retry_timer_armed)
        ):
            pieces, size = gathered(data)
            if size <= BATCH_BYTES:
                if attachment.flow_control:
                    attachment.tokens -= count
                self._write_express(attachment, data, pieces, size)
                return count
        sent = 0
        while sent < count and not attachment.gone and self._may_pay(attachment):
            step = count - sent
            if attachment.flow_control:
                step = min(step, attachment.tokens)
                attachment.tokens -= step
            self._queue.extend(data[sent : sent + step], attachment)
            sent += step
            if self._may_write and not self._writing:
                frame = self._enter()
                self._write_pass(frame)
                self._leave(frame)
            else:
                self._write_in_vain()
        return sent

    def _may_pay(self, attachment: Attachment[MessageT, ClientT]) -> bool:
        """Tell whether the client may have a buffer; one that lacks a token must leave (TOK-2)."""
        if attachment.leaving or self._sealed:
            return False
        if attachment.tokens or not attachment.flow_control:
            return True
        self._set_leaving(attachment)
        frame = self._enter()
        self._call_remove_client(frame, attachment)
        self._leave(frame)
        return False

    def _check_held(self, where: str, buffer: WriteBuffer) -> None:
        if buffer.device is not self:
            raise BufferNotHeldError(
                f"{where}: the buffer was got from another device; use that one"
            )
        if not buffer.held:
            raise BufferNotHeldError(
                f"{where}: the buffer is not held by its owner; "
                "add or release each buffer exactly once"
            )

    def _let_go(self, buffer: WriteBuffer) -> Payer | None:
        """Take the buffer from its owner; returns who pays, None if it became nobody's."""
        attachment = buffer.paying_attachment
        buffer.held = False
        if attachment is not None:
            attachment.held -= 1
            return attachment
        origin = buffer.origin
        if origin is BufferOrigin.SERVER:
            self._held_server_buffers -= 1
            return SERVER
        return NOBODY if origin is BufferOrigin.SERVER_NO_TOKEN else None


def _check_size(where: str, size: int) -> None:
    if size < 0:
        raise NegativeSizeError(
            f"{where}: the size is {size}; give the number of bytes needed, 0 or more"
        )
