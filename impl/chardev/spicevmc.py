"""The spicevmc device: one client on a port, for port, usbredir and webdav channels (DEV-1).

Theory of operation
-------------------
Bytes pass both ways as they come, without tokens: the client's connection is what holds it back.
Reads go to the client as data messages; while there is none the read callback says "nothing", and
data waits in the port, which is back-pressure to the guest.

A client without flow control has no window, so somebody has to hold it back when the port does not
take what it sends.
`client_data` says when: it then puts an empty buffer of the server behind all that is pending, and
when this one is consumed (BUF-6) its self token returns (SELF-3), which means that the port has
taken everything.

The port is told when the client comes and goes, and events pass both ways; a port that has no such
methods is not told.
A callback about a client that is gone does nothing: any call may have come between (CB-1).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from .device import Device
from .errors import BadMigrationDataError
from .interfaces import Bytes, Callbacks, Port

CreateDevice: TypeAlias = Callable[[int, int, Callbacks[bytes, Any]], Device[bytes, Any]]

__all__ = [
    "PORT_EVENT_BREAK",
    "PORT_EVENT_CLOSED",
    "PORT_EVENT_OPENED",
    "SpiceVmcDevice",
    "SpiceVmcOwner",
]

PORT_EVENT_OPENED: Final = 0
"""The guest has opened the port (`SPICE_PORT_EVENT_OPENED`)."""

PORT_EVENT_CLOSED: Final = 1
"""The guest has closed the port (`SPICE_PORT_EVENT_CLOSED`)."""

PORT_EVENT_BREAK: Final = 2
"""A break on the line (`SPICE_PORT_EVENT_BREAK`)."""

READ_MAX: Final = 65536
"""The most bytes of a data message; a virtio port gives at most half of it."""

BACKLOG_MAX: Final = 128
"""How many buffers may be pending before the client is held back."""

SELF_TOKENS: Final = 1
"""For the empty buffer that ends a backlog."""

MIGRATION_HEADER: Final = b"SVMD" + struct.pack("<I", 1)

_CONNECTED_AT: Final = len(MIGRATION_HEADER) + 4

ClientT = TypeVar("ClientT")
ClientT_contra = TypeVar("ClientT_contra", contravariant=True)


class SpiceVmcOwner(Protocol[ClientT_contra]):
    """What the device tells its owner."""

    def port_data(self, client: ClientT_contra, data: bytes, /) -> None:
        """Send data, at most 64 KiB, to the client."""

    def port_event(self, client: ClientT_contra, event: int, /) -> None:
        """Send an event to the client: a number from 0 to 255."""

    def client_may_send(self, client: ClientT_contra, /) -> None:
        """The port has taken everything; go on reading the client's connection."""

    def disconnect_client(self, client: ClientT_contra, /) -> None:
        """Disconnect the client, which ends in `SpiceVmcDevice.disconnect`."""


class SpiceVmcDevice(Generic[ClientT]):
    """The device of one spicevmc channel (DEV-1).

    `create(client_tokens_interval, self_tokens, callbacks)` makes the device, as a runner does.
    The port needs a method `read(limit) -> bytes` besides those of `Port`; it may have
    `state(connected)`, 0 or 1, and `event(number)`, 0 to 255.
    """

    def __init__(self, create: CreateDevice, owner: SpiceVmcOwner[ClientT]) -> None:
        self._owner = owner
        self._client: ClientT | None = None
        # The empty buffer that ends the backlog is under way.
        self._holding_back = False
        self._opened = False
        self.device: Device[bytes, ClientT] = create(1, SELF_TOKENS, self)

    @property
    def client(self) -> ClientT | None:
        """The client that is connected."""
        return self._client

    @property
    def opened(self) -> bool:
        """True if the last event said that the guest has opened the port."""
        return self._opened

    # The client.

    def connect(self, client: ClientT, *, migrating: bool = False) -> bool:
        """A client is there: the port is read and told (header: `spicevmc_device_connect`).

        With `migrating` it comes from another host, and `restore` follows (LC-6).
        Returns false, and does nothing, if there is a client already, or the device is not as good
        as new for one that migrates.
        """
        if self._client is not None:
            return False
        self._client = client
        if not self.device.client_add(
            client,
            do_flow_control=False,
            max_send_queue_size=0,
            num_client_tokens=0,
            num_send_tokens=0,
            wait_for_migrate_data=migrating,
        ):
            self._client = None
            return False
        if client == self._client:
            self._tell_port("state", 1)
        return True

    def disconnect(self, client: ClientT) -> None:
        """The client is gone: the port is told (header: `spicevmc_device_disconnect`).

        What it sent and the port has not begun to take is dropped (WR-7).
        Does nothing if it was not connected.
        """
        if client != self._client:
            return
        self._client = None
        if self.device.destroyed:
            return
        if self.device.client_exists(client):
            self.device.client_remove(client)
        self._tell_port("state", 0)

    def client_data(self, client: ClientT, data: Bytes) -> bool:
        """The client sends data; dropped if it is gone.

        Returns false if the port is behind: hold further data back until `client_may_send`.
        """
        if client != self._client:
            return True
        self.device.write(client, bytes(data))
        if self.device.pending_buffers < BACKLOG_MAX:
            return True
        if not self._holding_back:
            self._holding_back = True
            if not self.device.write(None, b""):
                self._holding_back = False
        return not self._holding_back

    def client_event(self, client: ClientT, event: int) -> None:
        """The client sends an event to the port; dropped if it is gone."""
        if client == self._client:
            self._tell_port("event", event)

    # The port.

    def port_event(self, event: int) -> None:
        """The port has an event for the client; opening and closing are remembered without one."""
        if event in {PORT_EVENT_OPENED, PORT_EVENT_CLOSED}:
            self._opened = event == PORT_EVENT_OPENED
        if self._client is not None:
            self._owner.port_event(self._client, event)

    def attach(self, port: Port) -> None:
        """Take another port, for example after a replug; it is told whether there is a client.

        Raises:
            chardev.PortAttachedElsewhereError: the port serves another device.
        """
        self.device.reset_dev_instance(port)
        self._tell_port("state", int(self._client is not None))

    def _tell_port(self, method: str, value: int) -> None:
        tell = getattr(self.device.port, method, None)
        if tell is not None:
            tell(value)

    # Migration.

    def marshall(self) -> bytes:
        """Return the whole migration message of a stopped device, which it seals (MIG-2).

        Raises:
            chardev.CannotMarshallError: see `Device.migrate_data_marshall`.
        """
        if self._client is None:
            return MIGRATION_HEADER + self.device.migrate_data_marshall_empty()
        data = self.device.migrate_data_marshall()
        whole = data.message(MIGRATION_HEADER)
        data.release()
        return whole

    def restore(self, whole: Bytes) -> None:
        """Take over from a source: `connect(..., migrating=True)` came before (MIG-4).

        A source without a client leaves nothing to take over.

        Raises:
            chardev.BadMigrationDataError: the message is wrong; nothing changed (MIG-5).
            chardev.CannotRestoreError: no client awaits migration data.
        """
        if bytes(whole[: len(MIGRATION_HEADER)]) != MIGRATION_HEADER:
            raise BadMigrationDataError(
                f"restore: the message begins with {bytes(whole[: len(MIGRATION_HEADER)])!r}; "
                f"a spicevmc device's begins with {MIGRATION_HEADER!r}"
            )
        client = self._client
        connected = len(whole) > _CONNECTED_AT and whole[_CONNECTED_AT]
        if connected or client is None or not self.device.awaiting_migration_data:
            self.device.restore(whole)
            return
        # Nothing to await any more: the client stays, as a new one.
        self.device.client_remove(client)
        self.device.client_add(
            client,
            do_flow_control=False,
            max_send_queue_size=0,
            num_client_tokens=0,
            num_send_tokens=0,
        )

    # Callbacks of the device.

    def read_one_msg_from_device(self, port: Any, /) -> bytes | None:
        """Read what there is; nothing without a client, so that it waits in the port."""
        if self._client is None:
            return None
        return port.read(READ_MAX) or None

    def ref_msg_to_client(self, message: bytes, /) -> None:
        """Do nothing: Python counts."""

    def unref_msg_to_client(self, message: bytes, /) -> None:
        """Do nothing: Python counts."""

    def send_msg_to_client(self, message: bytes, client: ClientT, /) -> None:
        """Send data to the client."""
        if client == self._client:
            self._owner.port_data(client, message)

    def send_tokens_to_client(self, client: ClientT, tokens: int, /) -> None:
        """Do nothing: a client without flow control has no tokens (TOK-4)."""

    def remove_client(self, client: ClientT, /) -> None:
        """Have the client disconnected (RD-4)."""
        if client == self._client:
            self._owner.disconnect_client(client)

    def on_free_self_token(self) -> None:
        """The port has taken the whole backlog (SELF-3): the client may send again."""
        self._holding_back = False
        if self._client is not None:
            self._owner.client_may_send(self._client)
