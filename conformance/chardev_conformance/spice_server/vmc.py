"""The owner of the device of a port or a USB redirection (DEV-1): one client, no flow control, bytes as they are.

This is DEV-1; what the library does where that is something else is in `owner_quirks`.
"""

from itertools import count
from typing import Final

from chardev_conformance.spice_server.owner import Bounds, Client, Message, OwnedDevice
from chardev_conformance.spice_server.port import HostPort
from chardev_spec.contract import Contract
from chardev_spec.errors import BadMigrationDataError
from chardev_spec.record import HEADER_SIZE, RECORD_SIZE, MigrateData, encode
from chardev_spec.state import UINT32_MAX

READ_SIZE: Final = 64 * 1024 + 32
"""Bytes that are read from the port at a time."""

_UNBOUNDED: Final = Bounds(
    flow_control=False, send_queue=0, client_tokens=UINT32_MAX, send_tokens=UINT32_MAX
)

_MIGRATION_MAGIC: Final = b"SVMD" + (1).to_bytes(4, "little")


class VmcOwner(OwnedDevice):
    """The owner of a port's device."""

    interval = 0
    self_tokens = 128

    def __init__(self, machine: type[Contract], host: HostPort, order: "count[int]") -> None:
        self.client: Client | None = None
        self.attached = False
        super().__init__(machine, host, order)

    def plug(self, *, running: bool) -> None:
        """The port is attached: the device's life begins."""
        self.attached = True
        self.attach_port()
        self.join_server(running=running)

    def unplug(self) -> None:
        """The port is removed, and with it the channel."""
        self.attached = self.registered = False
        if self.client is not None:
            client = self.client
            self.client_unlinked()
            client.closed = True
        self.call("stop")
        self.call("reset_dev_instance", None)

    def client_linked(self, client: Client) -> None:
        """The channel has a client; the port is told."""
        self.client = client
        self.add_client(client, _UNBOUNDED, awaiting=client.awaiting)
        self.host.told.append("state 1")

    def client_unlinked(self) -> None:
        """The channel has none any more; the port is told."""
        if self.client is not None:
            client = self.client
            if self.has(client):
                self.call("client_remove", client.name)
            self.client = None
            self.host.told.append("state 0")

    def buffer_for(self, size: int) -> int | None:
        """Memory for what the client sends; None while all self tokens are in use."""
        handle: int | None = self.call("write_buffer_get", None, size)
        return handle

    def data(self, body: bytes, buffer: int) -> None:
        """A message of data has come whole."""
        self.call("write_buffer_add", buffer, body)

    def release(self, buffer: int) -> None:
        """A message of data will never be whole."""
        self.call("write_buffer_release", buffer)

    def event(self, number: int) -> None:
        """The port has an event for the client."""
        if self.client is not None:
            self.client.send("port-event", bytes([number]).hex())

    def read_one(self) -> Message | None:
        """What the port gives; without a client the data waits in the port."""
        if self.client is None:
            return None
        data = self.host.read(READ_SIZE)
        return Message(data) if data else None

    def message_freed(self) -> None:
        """Nothing depends on it."""

    def send_message(self, message: Message, peer: str) -> None:
        """The message goes to the channel."""
        if self.client is not None:
            self.client.send("data", message.body.hex())

    def send_tokens(self, peer: str, tokens: int) -> None:
        """There is no flow control, and nobody to be told."""

    def on_free_self_token(self) -> None:
        """What the client has sent meanwhile is taken when the call at hand is over."""

    def remove_client(self, peer: str) -> None:
        """The client is shut down."""
        if self.client is not None:
            self.client.leaving = True

    def migration_data(self, _client: Client) -> bytes:
        """The body of MIGRATE_DATA."""
        data: MigrateData = self.call("migrate_data_marshall")
        for buffer in data.buffers:
            self.call("marshaller_unref", buffer)
        record = data.record
        if record.write_size:
            record = record._replace(write_data_offset=HEADER_SIZE + RECORD_SIZE)
        return _MIGRATION_MAGIC + encode(record) + data.write_data

    def migrate_data_came(self, client: Client, message: bytes) -> None:
        """MIGRATE_DATA."""
        client.awaiting = False
        if len(message) < HEADER_SIZE + RECORD_SIZE:
            client.leaving = True
            return
        try:
            self.call("restore", message)
        except BadMigrationDataError:
            client.leaving = True
