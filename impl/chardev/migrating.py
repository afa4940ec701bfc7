"""Marshalling a source and restoring a destination.

Theory of operation
-------------------
A source that was marshalled is *sealed*: whatever would change what it handed over waits until its
client is removed or it is reset (MIG-2).
A destination awaits the data with one client, which may already send and grant meanwhile; the
restore adds what it took and freed here to what the source says (MIG-4).
The format and its checks are in `migration`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from . import migration
from .buffers import NOBODY, RestoredPayer
from .compiling import mypyc_attr
from .errors import BadMigrationDataError, CannotMarshallError, CannotRestoreError
from .reading import Reading
from .state import COUNT_MAX

if TYPE_CHECKING:
    from .buffers import Attachment
    from .interfaces import Bytes

MessageT = TypeVar("MessageT")
ClientT = TypeVar("ClientT")


@mypyc_attr(allow_interpreted_subclasses=True)
class Migrating(Reading[MessageT, ClientT]):
    """Migration."""

    __slots__ = ()

    def migrate_data_marshall(self) -> migration.MigrateData:
        """Hand over all state to the destination and seal the device (MIG-2; header: same name).

        Raises:
            DestroyedDeviceError: the device was destroyed.
            CannotMarshallError: the device runs, awaits data itself, is inside a callback, or has not
                exactly one client that is not leaving, has no queued message and no held buffer.
        """
        self._check_alive("migrate_data_marshall")
        attachment = self._check_may_marshall()
        queue = self._queue
        record = migration.MigrateRecord(
            connected=True,
            client_tokens=attachment.tokens if attachment.flow_control else COUNT_MAX,
            send_tokens=attachment.send_tokens if attachment.flow_control else COUNT_MAX,
            write_size=queue.pending_bytes,
            tokens_in_write_data=sum(
                payer.tokens_in_data for payer in queue.pending_payers() if not payer.detached
            ),
        )
        data = migration.MigrateData(record, queue.pending_data())
        self._sealed = True
        self._sealed_buffers = len(queue)
        self._refresh()
        return data

    def _check_may_marshall(self) -> Attachment[MessageT, ClientT]:
        clients = tuple(self._clients.values())
        problem = None
        if self._running:
            problem = "the device runs; call stop first"
        elif self._awaiting is not None:
            problem = "the device awaits migration data itself"
        elif self._frames or self._writing:
            problem = "a call of this device is on the stack; wait until it has returned"
        elif len(clients) != 1:
            problem = f"the device has {len(clients)} clients; it must have exactly one"
        elif clients[0].leaving:
            problem = f"client {clients[0].client!r} is leaving; it cannot be migrated"
        elif clients[0].send_queue:
            problem = (
                f"client {clients[0].client!r} has {len(clients[0].send_queue)} queued messages, "
                "which the format cannot carry"
            )
        elif clients[0].held:
            problem = (
                f"{clients[0].held} buffers of client {clients[0].client!r} are held by their "
                "owner; add or release them first"
            )
        elif self._queue.pending_bytes > COUNT_MAX:
            problem = f"{self._queue.pending_bytes} bytes are pending; the format carries 2**32-1"
        if problem is not None:
            raise CannotMarshallError(f"migrate_data_marshall: {problem}")
        return clients[0]

    @staticmethod
    def migrate_data_marshall_empty() -> bytes:
        """Return the record of a source without a client (MIG-3; header: same name)."""
        return migration.MigrateRecord().pack()

    def restore(self, message: Bytes) -> None:
        """Take over what a source marshalled (MIG-4; header: `spice_char_device_state_restore`).

        `message` is the whole message: the 8-byte migration header, the record, the data.
        The data is referenced until it is written: it must not change.

        Raises:
            DestroyedDeviceError: the device was destroyed.
            CannotRestoreError: no client awaits migration data, or it is leaving.
            BadMigrationDataError: the data is wrong; nothing changed.
        """
        self._check_alive("restore")
        attachment = self._awaiting
        if attachment is None:
            raise CannotRestoreError(
                "restore: no client awaits migration data; add one with wait_for_migrate_data"
            )
        if attachment.leaving:
            raise CannotRestoreError(
                f"restore: client {attachment.client!r} is leaving; remove it and start over"
            )
        record, data = migration.parse(message)
        tokens_in_data = record.tokens_in_write_data
        if attachment.flow_control:
            _check_counts(attachment, record)
            attachment.freed += attachment.window - record.client_tokens - tokens_in_data
            attachment.tokens -= attachment.window - record.client_tokens
            attachment.send_tokens += record.send_tokens
            if not data:
                attachment.freed += tokens_in_data
        if data:
            payer = RestoredPayer(attachment, tokens_in_data) if tokens_in_data else NOBODY
            self._queue.restore_current(data, payer)
        self._awaiting = None
        self._refresh()
        frame = self._enter()
        if attachment.freed >= self._interval:
            frame.fail(self._announce(attachment))
        self._write_and_read(frame)
        self._leave(frame)


def _check_counts(
    attachment: Attachment[MessageT, ClientT], record: migration.MigrateRecord
) -> None:
    """Refuse tokens that break the client's window (MIG-5)."""
    given = record.client_tokens
    total = given + record.tokens_in_write_data
    own = attachment.window - attachment.tokens
    if total > attachment.window:
        raise BadMigrationDataError(
            f"restore: {given} client tokens and {record.tokens_in_write_data} in the write data "
            f"are more than the window of {attachment.window} of client {attachment.client!r}"
        )
    if given < own:
        raise BadMigrationDataError(
            f"restore: {given} client tokens are less than the {own} that client "
            f"{attachment.client!r} took here meanwhile"
        )
