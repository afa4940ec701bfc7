"""Write buffers: given to the owner, then added or released, exactly once (BUF)."""

from chardev_spec.conditions import Frame, Steps
from chardev_spec.errors import (
    BufferNotHeldError,
    BufferOverfullError,
    DeviceStillAliveError,
    NegativeSizeError,
)
from chardev_spec.events import Peer
from chardev_spec.state import POOL_LIMIT, Buffer, Origin, Place
from chardev_spec.tokens import Tokens


class Buffers(Tokens):
    """Getting, dropping and releasing buffers; adding one is in `writing`."""

    def allocate(self, origin: Origin, client: int | None, size: int) -> int:
        """A buffer of `size` bytes, held by the owner (BUF-1); memory kept for reuse is used first (BUF-5)."""
        if size <= self.device.spare_bytes:
            self.device.spare_bytes -= size
        handle = self.buffers.next_handle()
        self.buffers.insert(
            Buffer(handle, origin, client, capacity=size, price=1, place=Place.HELD)
        )
        return handle

    def keep_spare(self, freed_bytes: int) -> None:
        """BUF-5: keep freed memory for reuse, within the limit, and none when there is no client."""
        if not self.clients.empty():
            kept = self.device.spare_bytes + freed_bytes
            self.device.spare_bytes = min(kept, POOL_LIMIT)

    def free(self, handle: int) -> None:
        """BUF-1, BUF-2: the buffer is free; its memory is reusable when nothing else refers to it."""
        self.keep_spare(self.buffers.drop(lambda row: row.handle == handle))

    def give_back(self, frame: Frame, handle: int) -> Steps[None]:
        """A buffer is consumed, or released unsent: it is free, then its price returns (TOK-3, SELF-3)."""
        row = self.buffers[handle]
        origin, client, price = row.origin, row.client, row.price
        self.free(handle)
        yield from self.return_price(frame, origin, client, price)

    def write_buffer_get(self, frame: Frame, peer: Peer | None, size: int) -> Steps[int | None]:
        """spice_char_device_write_buffer_get: a buffer of `size` bytes for a client, or for the server (None).

        The server's costs a self token; with none left there is no buffer, which is no error (SELF-2).
        A client that is not attached gets none (BUF-4); a leaving one (RD-4) and any client of a sealed
        device (MIG-2) get none, silently.
        A client with flow control pays one token; with none left this is a token violation: the client
        becomes leaving and its removal is asked for (TOK-2).
        It works while stopped, detached or awaiting (BUF-1).
        """
        self.check_alive()
        self.check_size(size)
        if peer is None:
            return self.get_for_server(size)
        client = self.clients.attached(peer)
        if client is None or self.clients[client].leaving or self.device.sealed:
            return None
        if self.clients[client].flow_control and self.clients[client].tokens == 0:
            yield from self.ask_to_remove(frame, client)
            return None
        self.take_token(client)
        return self.allocate(Origin.CLIENT, client, size)

    def get_for_server(self, size: int) -> int | None:
        """SELF-1, SELF-2: a buffer for a self token; none without one."""
        if self.device.self_tokens == 0:
            return None
        self.device.self_tokens -= 1
        return self.allocate(Origin.SERVER, None, size)

    def write_buffer_get_server_no_token(self, frame: Frame, size: int) -> int:
        """spice_char_device_write_buffer_get_server_no_token: a buffer that touches no count (SELF-4)."""
        self.check_alive()
        self.check_size(size)
        return self.allocate(Origin.SERVER_NO_TOKEN, None, size)

    def write_buffer_release(self, frame: Frame, handle: int) -> Steps[None]:
        """spice_char_device_write_buffer_release: the buffer is not to be sent.

        Its price returns (TOK-3, SELF-3); a buffer of a client that is gone is just freed (BUF-4).
        """
        self.check_alive()
        self.check_held(handle)
        yield from self.give_back(frame, handle)

    def write_buffer_release_without_device(self, frame: Frame, handle: int) -> None:
        """spice_char_device_write_buffer_release with no device: just frees the buffer (BUF-3).

        Only for what a destroyed device left with the owner: while the device lives the token would be lost.
        """
        self.check_held(handle)
        if not self.device.destroyed:
            raise DeviceStillAliveError(
                "the device of this buffer is alive; release the buffer to it, or its token is lost"
            )
        self.free(handle)

    def marshaller_unref(self, frame: Frame, handle: int) -> None:
        """A migration marshaller drops one of its references to a buffer (BUF-2)."""
        if handle not in self.buffers or self.buffers[handle].marshaller_references == 0:
            raise BufferNotHeldError("no marshaller refers to this buffer")
        self.buffers[handle].marshaller_references -= 1
        self.keep_spare(self.buffers.unref(handle))

    def check_size(self, size: int) -> None:
        """BUF-1: a buffer has a size of 0 bytes or more."""
        if size < 0:
            raise NegativeSizeError(f"size is {size} bytes; it must be 0 or more")

    def check_held(self, handle: int) -> None:
        """BUF-1: only a buffer that the owner holds is added or released."""
        if handle not in self.buffers or self.buffers[handle].place != Place.HELD:
            raise BufferNotHeldError(
                "the owner does not hold this buffer; it is added or released exactly once"
            )

    def check_used(self, handle: int, used: int) -> None:
        """BUF-1: no more is used than the buffer can carry."""
        capacity = self.buffers[handle].capacity
        if used > capacity:
            raise BufferOverfullError(f"{used} bytes used in a buffer of {capacity} bytes")
