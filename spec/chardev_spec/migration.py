"""Migration: marshall seals the source, restore makes the destination what the source was (MIG).

Theory of operation
===================
A window is split three ways at the source: client tokens, freed tokens, and the price of what is in the write data.
The record carries the first and the last, so the destination can compute the rest.
Meanwhile the destination's client may have taken buffers there: its *own* part of the window, which is subtracted.
The sum is the window again, over any chain of moves (MIG-6, TOK-1).
"""

from chardev_spec.conditions import Frame, Steps
from chardev_spec.errors import BadMigrationDataError, CannotMarshallError, CannotRestoreError
from chardev_spec.life_cycle import LifeCycle
from chardev_spec.record import (
    EMPTY,
    MESSAGE_SIZE,
    VERSION,
    MigrateData,
    Record,
    decode,
    encode,
    saturate,
)
from chardev_spec.state import UINT32_MAX, Buffer, Marshalled, Origin, Place


class Migration(LifeCycle):
    """Marshall and restore."""

    def migrate_data_marshall_empty(self, frame: Frame) -> bytes:
        """spice_char_device_state_migrate_data_marshall_empty: the record of a device without client (MIG-3)."""
        return encode(EMPTY)

    def migrate_data_marshall(self, frame: Frame) -> MigrateData:
        """spice_char_device_state_migrate_data_marshall: the record of this device, which is sealed (MIG-2).

        The write data is referenced, not copied: each buffer stays valid until the marshaller drops it (BUF-2).
        The record says where it begins as if it follows at once (MIG-1).
        """
        self.check_alive()
        client = self.check_can_marshal()
        row = self.clients[client]
        write_size = self.buffers.pending_bytes()
        write_client_tokens = self.buffers.total(
            lambda row: (
                row.client == client and (row.place == Place.QUEUED or row.place == Place.CURRENT)
            ),
            lambda row: row.price,
        )
        record = Record(
            version=VERSION,
            connected=1,
            client_tokens=self.marshalled_count(client, row.tokens),
            send_tokens=self.marshalled_count(client, row.send_tokens),
            write_size=write_size,
            write_client_tokens=saturate(write_client_tokens),
            write_data_offset=MESSAGE_SIZE if write_size > 0 else 0,
        )
        marshalled = self.seal()
        return MigrateData(record, marshalled.data, marshalled.handles)

    def marshalled_count(self, client: int, count: int) -> int:
        """MIG-2: a count as the record says it: the largest that fits, and so always without flow control."""
        return saturate(count) if self.clients[client].flow_control else UINT32_MAX

    def seal(self) -> Marshalled:
        """MIG-2: the device is sealed: what is pending goes with the record, and is dropped when the seal ends."""
        self.device.sealed = True
        return self.buffers.marshal()

    def check_can_marshal(self) -> int:
        """MIG-2: the one client of a device that can be marshalled."""
        device = self.device
        if device.running:
            raise CannotMarshallError("the device is running; stop it first")
        if device.awaiting is not None:
            raise CannotMarshallError("the device awaits migration data itself")
        if device.frames > 1:
            raise CannotMarshallError("this is inside a callback of the device")
        if self.clients.count() != 1:
            raise CannotMarshallError(
                f"the device has {self.clients.count()} clients; only one can be marshalled"
            )
        client = self.clients.newest_first().pop(0)
        row = self.clients[client]
        if row.leaving:
            raise CannotMarshallError("the client is leaving")
        if row.queue_length > 0:
            raise CannotMarshallError(
                f"{row.queue_length} messages wait in the client's send queue"
            )
        if self.buffers.exists(
            lambda buffer: buffer.client == client and buffer.place == Place.HELD
        ):
            raise CannotMarshallError("the owner holds a buffer of the client")
        if self.buffers.pending_bytes() > UINT32_MAX:
            raise CannotMarshallError("2**32 bytes or more are pending")
        return client

    def restore(self, frame: Frame, message: bytes) -> Steps[None]:
        """spice_char_device_state_restore: become what the source was (MIG-4, MIG-6).

        `message` is the whole message, its 8-byte header included.
        Bad data is refused with `BadMigrationDataError` and changes nothing (MIG-5).
        All is installed and the awaiting ended first; then freed tokens are announced, and the device writes and
        reads.
        """
        self.check_alive()
        client = self.check_can_restore()
        record, data = self.read_message(message)
        self.check_window(client, record)
        self.restore_tokens(client, record, data)
        self.restore_data(client, record, data)
        self.device.awaiting = None
        self.device.write_due += 1
        self.device.read_due += 1
        yield from self.announce_restored(frame, client)
        if self.device.destroyed:
            return
        self.device.write_due -= 1
        self.device.read_due -= 1
        yield from self.write_and_read(frame)

    def check_can_restore(self) -> int:
        """MIG-4: the one client, which awaits migration data and is not leaving."""
        client = self.device.awaiting
        if client is None:
            raise CannotRestoreError("no client of this device awaits migration data")
        if self.clients[client].leaving:
            raise CannotRestoreError("the client that awaits migration data is leaving")
        return client

    def read_message(self, message: bytes) -> tuple[Record, bytes]:
        """MIG-5: the record and the write data, refused when they are malformed."""
        return decode(message)

    def announce_restored(self, frame: Frame, client: int) -> Steps[None]:
        """MIG-4, TOK-3: freed tokens that the record brought over the interval are announced."""
        if self.announcement_due(client):
            yield from self.announce(frame, client)

    def check_window(self, client: int, record: Record) -> None:
        """MIG-5: what the record gives fits the client's window, and covers what it took here meanwhile."""
        row = self.clients[client]
        own = row.window - row.tokens
        if row.flow_control and record.client_tokens + record.write_client_tokens > row.window:
            raise BadMigrationDataError(
                f"the record has {record.client_tokens} client tokens and {record.write_client_tokens} in the "
                f"write data; the window is {row.window}"
            )
        if row.flow_control and record.client_tokens < own:
            raise BadMigrationDataError(
                f"the record has {record.client_tokens} client tokens; the client took {own} here meanwhile"
            )

    def restore_tokens(self, client: int, record: Record, data: bytes) -> None:
        """MIG-4, TOK-1: the window is client tokens, freed tokens and what is in flight here and in the data.

        Tokens without data have nothing to wait for: they are freed.
        The count of what the client knows starts anew (TOK-6).
        """
        row = self.clients[client]
        if row.flow_control:
            own = row.window - row.tokens
            freed = row.window - record.client_tokens - record.write_client_tokens
            if record.write_size == 0:
                freed += record.write_client_tokens
            row.tokens = record.client_tokens - own
            row.freed += freed
            row.send_tokens += record.send_tokens
            row.granted += record.send_tokens
            row.announced = 0
            row.taken = row.window - row.tokens

    def restore_data(self, client: int, record: Record, data: bytes) -> None:
        """MIG-4, WR-7: the data is one current buffer, ahead of whatever was queued here meanwhile.

        Data without tokens costs nobody anything (SELF-4).
        """
        if record.write_size > 0:
            paid = record.write_client_tokens > 0
            self.buffers.insert(
                Buffer(
                    self.buffers.next_handle(),
                    Origin.CLIENT if paid else Origin.SERVER_NO_TOKEN,
                    client if paid else None,
                    capacity=record.write_size,
                    price=record.write_client_tokens,
                    place=Place.CURRENT,
                    data=data,
                )
            )
