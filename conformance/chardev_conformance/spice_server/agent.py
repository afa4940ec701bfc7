"""The owner of the agent's device (DEV-2): chunks, the agent's messages, who has started, and migration.

Theory of operation
===================
Toward the port everything is in *chunks*: a header of port and size, then the body.
What the port gives is read chunk by chunk; a chunk's body goes to the clients as a message.
What a client sends becomes the body of a chunk for the port.
Both ways a *filter* follows the agent's messages, which may span chunks: it must know where one ends to drop the rest
of it.

This is DEV-2; what the library does where that is something else is in `owner_quirks`.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from itertools import count
from typing import Final

from chardev_conformance.spice_server.owner import Bounds, Client, Message, OwnedDevice
from chardev_conformance.spice_server.port import HostPort
from chardev_spec.contract import Contract
from chardev_spec.errors import BadMigrationDataError
from chardev_spec.record import EMPTY, HEADER_SIZE, RECORD_SIZE, MigrateData, encode
from chardev_spec.state import UINT32_MAX

WINDOW: Final = 10
"""A client's tokens."""
SEND_QUEUE: Final = 5
READ_BUFFERS: Final = 5
"""Messages from the agent that may be on their way."""
BODY_LIMIT: Final = 2048
"""Bytes of a chunk's body, of an AGENT_DATA message."""

CLIENT_PORT: Final = 1
SERVER_PORT: Final = 2
"""Ports of the agent's protocol: whom a chunk is for, or from."""

_CHUNK: Final = struct.Struct("<II")
_AGENT_MESSAGE: Final = struct.Struct("<IIQI")
_PROTOCOL: Final = 1
_ANNOUNCE_CAPABILITIES: Final = 6
_CLIENT_DISCONNECTED: Final = 13
_GRAPHICS_DEVICE_INFO: Final = 16
_CAPABILITY_GRAPHICS_DEVICE_INFO: Final = 15

_MIGRATION_MAGIC: Final = b"MNMD" + (1).to_bytes(4, "little")
_MIGRATION_REST: Final = struct.Struct("<BIIIBIIIBIB")
"""Behind the record: started, size of the chunk header that was read, the chunk header, whether the head of the agent's
message is done, bytes of it that were read and where they are, rest of the message, verdict; the same two for what
clients send."""
MIGRATION_SIZE: Final = HEADER_SIZE + RECORD_SIZE + _MIGRATION_REST.size


class Verdict(IntEnum):
    """What a filter says of a piece of a message."""

    OK = 0
    DISCARD = 1
    ERROR = 2


@dataclass(slots=True)
class Filter:
    """Follows the agent's messages through the pieces that they come in."""

    discard_all: bool = True
    remaining: int = 0
    """Bytes of the message that are still to come."""
    verdict: Verdict = Verdict.OK

    def process(self, piece: bytes) -> Verdict:
        """What becomes of the next piece."""
        if len(piece) > BODY_LIMIT:
            return Verdict.ERROR
        size = len(piece)
        if self.remaining == 0:
            if size < _AGENT_MESSAGE.size:
                return Verdict.ERROR
            protocol, _, _, self_size = _AGENT_MESSAGE.unpack_from(piece)
            if protocol != _PROTOCOL:
                return Verdict.ERROR
            self.verdict = Verdict.DISCARD if self.discard_all else Verdict.OK
            self.remaining = self_size
            size -= _AGENT_MESSAGE.size
            if self.remaining == 0:
                return self.verdict
        if size > self.remaining:
            return Verdict.ERROR
        self.remaining -= size
        return self.verdict


class Reading(IntEnum):
    """Where the reader of chunks is."""

    HEADER = 1
    BUFFER = 2
    """The header is read; memory for the body is to be found."""
    BODY = 3


class AgentOwner(OwnedDevice):
    """The owner of the agent's device."""

    interval = 5
    self_tokens = 1

    def __init__(
        self,
        machine: type[Contract],
        host: HostPort,
        order: "count[int]",
        clients: list[Client],
    ) -> None:
        self.clients = clients
        """The main channels of the server, newest first."""
        self.plugged = False
        self.attached = False
        self.started = False
        self.plugs = 0
        self.stored: bytes | None = None
        """Migration data that came before the agent's port."""
        self.from_agent = Filter()
        self.from_client = Filter()
        self.supports_device_info = False
        self.device_info_pending = False
        self.read_buffers = 0
        self._begin_reading()
        super().__init__(machine, host, order)

    def _begin_reading(self) -> None:
        self.reading = Reading.HEADER
        self.header = b""
        """What has been read of a chunk's header; all of it while the body is read."""
        self.body = b""
        self.body_size = 0
        self.chunk_rest = 0

    def _client(self, peer: str) -> Client | None:
        return next((each for each in self.clients if each.name == peer), None)

    # The port comes and goes

    def plug(self, *, running: bool) -> None:
        """The agent's port is attached."""
        self.plugged = True
        self.attach_port()
        self.host.told.append("state 1")
        if self.clients:
            self.from_agent.discard_all = False
            self.plugs += 1
            if self.stored is not None or any(each.awaiting for each in self.clients):
                self._await_migration_data()
            else:
                self.tell_all("agent-connected-tokens", str(WINDOW))
        self.attached = True
        self.join_server(running=running)

    def _await_migration_data(self) -> None:
        client = self.clients[0]
        if not self.has(client) and not self.add_client(client, _bounds(UINT32_MAX), awaiting=True):
            client.leaving = True
        if self.stored is not None:
            data, self.stored = self.stored, None
            self.restore(client, data)

    def unplug(self) -> None:
        """The agent's port is removed, or the agent broke its protocol."""
        self.drop_partial_chunk()
        self.from_agent = Filter()
        self.from_client.discard_all = True
        self.from_client.verdict = Verdict.DISCARD
        self.started = False
        self.supports_device_info = False
        self.attached = False
        self.call("stop")
        self.call("reset")
        self.call("reset_dev_instance", None)
        self.host.told.append("state 0")
        self.plugged = self.registered = False
        if self.clients and not any(each.awaiting for each in self.clients):
            self.tell_all("agent-disconnected")

    def drop_partial_chunk(self) -> None:
        """What the agent has begun to write will never be whole."""
        self.read_buffers -= self.reading is Reading.BODY
        self._begin_reading()

    def tell_all(self, name: str, content: str = "") -> None:
        """Every client is sent a message."""
        for client in self.clients:
            if client.greeted:
                client.send(name, content)

    # Clients come and go

    def client_linked(self) -> None:
        """A main channel has been linked."""
        if self.plugged:
            self.from_agent.discard_all = False
            self.plugs += 1

    def client_unlinked(self, client: Client) -> None:
        """A main channel is gone; `clients` still has it."""
        if self.has(client):
            self.call("client_remove", client.name)
        self.clients.remove(client)
        if not self.clients:
            if self.attached:
                self._tell_agent(_CLIENT_DISCONNECTED, b"", costs_token=False)
            self.from_client = Filter()
            self.from_agent.verdict = Verdict.DISCARD
            self.from_agent.discard_all = True
            self.stored = None

    # What clients send

    def start(self, client: Client, tokens: int) -> None:
        """AGENT_START: the client takes part from now on."""
        if not self.plugged:
            return
        self.started = True
        if self.has(client):
            self.call("send_to_client_tokens_set", client.name, tokens)
        elif not self.add_client(client, _bounds(tokens), awaiting=client.awaiting):
            client.leaving = True
            return
        self.send_device_info()
        self.from_client.discard_all = False

    def tokens(self, client: Client, tokens: int) -> None:
        """AGENT_TOKEN; before the agent was started it is ignored."""
        if self.plugged and self.takes_tokens() and self.has(client):
            self.call("send_to_client_tokens_add", client.name, tokens)

    def takes_tokens(self) -> bool:
        """Whether anybody has started the agent."""
        return self.started

    def buffer_for(self, client: Client, size: int) -> int | bool | None:
        """Memory for AGENT_DATA: a buffer; True where what comes is discarded; None when there is no token."""
        if not self.started or self.discards(client):
            return True
        handle: int | None = self.call("write_buffer_get", client.name, size + _CHUNK.size)
        return handle

    def discards(self, client: Client) -> bool:
        """What comes from a client that has not started itself is discarded."""
        return not self.has(client)

    def data(self, client: Client, body: bytes, buffer: int | bool) -> None:
        """AGENT_DATA has come whole."""
        verdict = self.from_client.process(body)
        if verdict is Verdict.ERROR:
            client.leaving = True
        if buffer is True:
            return
        if verdict is Verdict.OK:
            self.call("write_buffer_add", buffer, _CHUNK.pack(CLIENT_PORT, len(body)) + body)
        else:
            self.call("write_buffer_release", buffer)

    # Callbacks

    def read_one(self) -> Message | None:
        """Read chunks until one is whole that clients are to have."""
        while self.plugged:
            if self.reading is Reading.HEADER and not self._read_header():
                return None
            if self.reading is Reading.BUFFER and not self._find_buffer():
                return None
            if self.reading is Reading.BODY:
                piece = self.host.read(self.body_size - len(self.body))
                if not piece:
                    return None
                self.body += piece
                if len(self.body) == self.body_size:
                    message = self._chunk_read()
                    if message is not None:
                        return message
        return None

    def _read_header(self) -> bool:
        """Whether there is more to do now."""
        piece = self.host.read(_CHUNK.size - len(self.header))
        self.header += piece
        if len(self.header) < _CHUNK.size:
            return False
        _, self.chunk_rest = _CHUNK.unpack(self.header)
        if self.empty_chunk():
            return True
        self.reading = Reading.BUFFER
        return True

    def empty_chunk(self) -> bool:
        """A chunk without body is over when its header is."""
        if self.chunk_rest == 0:
            self.forget_header()
            return True
        return False

    def forget_header(self) -> None:
        """The chunk is over."""
        self.header = b""

    def _find_buffer(self) -> bool:
        if self.read_buffers >= READ_BUFFERS:
            return False
        self.read_buffers += 1
        self.body = b""
        self.body_size = min(self.chunk_rest, BODY_LIMIT)
        self.chunk_rest -= self.body_size
        self.reading = Reading.BODY
        return True

    def _chunk_read(self) -> Message | None:
        """A body, or as much of one as a message holds, is whole: the message, if clients are to have it."""
        message = Message(self.body)
        port, _ = _CHUNK.unpack(self.header)
        if self.chunk_rest == 0:
            self.forget_header()
            self.reading = Reading.HEADER
        else:
            self.reading = Reading.BUFFER
        self.body = b""
        verdict = self._verdict(port, message.body)
        if verdict is Verdict.OK:
            self.note_capabilities(message.body)
            return message
        if verdict is Verdict.ERROR:
            self.unplug()
        self.unref(message)
        return None

    def _verdict(self, port: int, body: bytes) -> Verdict:
        if port == CLIENT_PORT:
            return self.from_agent.process(body)
        return Verdict.DISCARD if port == SERVER_PORT else Verdict.ERROR

    def message_freed(self) -> None:
        """There is memory for another body: the port is looked at again."""
        self.read_buffers -= 1
        if self.attached:
            self.call("wakeup")

    def send_message(self, message: Message, peer: str) -> None:
        """AGENT_DATA."""
        client = self._client(peer)
        if client is not None:
            client.send("agent-data", message.body.hex())

    def send_tokens(self, peer: str, tokens: int) -> None:
        """AGENT_TOKEN."""
        client = self._client(peer)
        if client is not None:
            client.send("agent-token", str(tokens))

    def on_free_self_token(self) -> None:
        """What waited for the token is sent."""
        if self.device_info_pending:
            self.send_device_info()

    def remove_client(self, peer: str) -> None:
        """The client is shut down."""
        client = self._client(peer)
        if client is not None:
            client.leaving = True

    # The server's own messages

    def note_capabilities(self, body: bytes) -> None:
        """An agent that says that it wants to know the displays is told."""
        if len(body) < _AGENT_MESSAGE.size:
            return
        _, kind, _, size = _AGENT_MESSAGE.unpack_from(body)
        if kind != _ANNOUNCE_CAPABILITIES:
            return
        words = body[_AGENT_MESSAGE.size + 4 :]
        word, bit = divmod(_CAPABILITY_GRAPHICS_DEVICE_INFO, 32)
        known = word < (size - 4) // 4 and len(words) >= 4 * (word + 1)
        self.supports_device_info = known and bool(
            int.from_bytes(words[4 * word : 4 * word + 4], "little") >> bit & 1
        )
        self.send_device_info()

    def send_device_info(self) -> None:
        """The displays: there are none. It takes the self token."""
        if self.attached and self.supports_device_info:
            self.device_info_pending = not self._tell_agent(
                _GRAPHICS_DEVICE_INFO, bytes(4), costs_token=True
            )

    def _tell_agent(self, kind: int, content: bytes, *, costs_token: bool) -> bool:
        body = _AGENT_MESSAGE.pack(_PROTOCOL, kind, 0, len(content)) + content
        data = _CHUNK.pack(SERVER_PORT, len(body)) + body
        if costs_token:
            buffer = self.call("write_buffer_get", None, len(data))
            if buffer is None:
                return False
        else:
            buffer = self.call("write_buffer_get_server_no_token", len(data))
        self.device_info_pending = False
        self.call("write_buffer_add", buffer, data)
        return True

    # Migration

    def before_migration(self, client: Client) -> None:
        """What has been read of a chunk goes to the client at once, to spare it the way over the destination."""
        if self.reading is not Reading.BODY or not self.body:
            return
        if self.from_agent.remaining or len(self.body) > _AGENT_MESSAGE.size:
            port, _ = _CHUNK.unpack(self.header)
            message = Message(self.body)
            verdict = self._verdict(port, message.body)
            self.chunk_rest += self.body_size - len(self.body)
            self.reading = Reading.BUFFER
            if verdict is Verdict.OK:
                self.note_capabilities(message.body)
                client.send("agent-data", message.body.hex())
            elif verdict is Verdict.ERROR:
                self.unplug()
            self.body = b""
            self.unref(message)

    def migration_data(self, client: Client) -> bytes:
        """The body of MIGRATE_DATA."""
        if not self.plugged or not self.has(client):
            return _MIGRATION_MAGIC + encode(EMPTY) + bytes(_MIGRATION_REST.size)
        data: MigrateData = self.call("migrate_data_marshall")
        for buffer in data.buffers:
            self.call("marshaller_unref", buffer)
        record = data.record
        if record.write_size:
            record = record._replace(write_data_offset=MIGRATION_SIZE)
        port, size = _CHUNK.unpack(self.header_memory())
        if self.reading is not Reading.HEADER:
            size = self.chunk_rest + self.body_rest()
        partial = self.body if self.reading is Reading.BODY else b""
        done = self.reading is Reading.BUFFER
        rest = _MIGRATION_REST.pack(
            self.started,
            len(self.header),
            port,
            size,
            done,
            len(partial),
            MIGRATION_SIZE + len(data.write_data) if partial else 0,
            self.from_agent.remaining if done or self.reading is Reading.HEADER else 0,
            self.from_agent.verdict if done else 0,
            self.from_client.remaining,
            self.from_client.verdict,
        )
        return _MIGRATION_MAGIC + encode(record) + rest + data.write_data + partial

    def header_memory(self) -> bytes:
        """The header of the chunk, as far as it has been read."""
        return self.header.ljust(_CHUNK.size, b"\0")

    def partial_body(self, message: bytes, at: int, size: int) -> bytes:
        """What has come of a body, as migration data has it."""
        return message[at : at + size]

    def body_rest(self) -> int:
        """What a body that has begun to come still lacks, as the destination is told."""
        return self.body_size - len(self.body) if self.reading is Reading.BODY else 0

    def migrate_data_came(self, client: Client, message: bytes) -> None:
        """MIGRATE_DATA: the port may have come before, or is to come."""
        client.awaiting = False
        client.greeted = True
        if len(message) < MIGRATION_SIZE:
            client.leaving = True
        elif message[HEADER_SIZE + 4] == 0:
            if self.plugged:
                self.call("client_remove", client.name)
                self.tell_all("agent-connected-tokens", str(WINDOW))
        elif not self.attached:
            self.stored = message
        elif self.plugs > 1:
            self.tell_all("agent-disconnected")
            self.tell_all("agent-connected-tokens", str(WINDOW))
        else:
            self.restore(client, message)

    def restore(self, client: Client, message: bytes) -> None:
        """The destination goes on where the source was."""
        fields = _MIGRATION_REST.unpack_from(message, HEADER_SIZE + RECORD_SIZE)
        started, header_size, port, size, done, partial_size, partial_at = fields[:7]
        self._begin_reading()
        self.header = _CHUNK.pack(port, size)[:header_size]
        if header_size == _CHUNK.size:
            self.chunk_rest = size
            if done:
                self.reading = Reading.BUFFER
            else:
                self.read_buffers += 1
                self.body = self.partial_body(message, partial_at, partial_size)
                self.body_size = partial_size + min(size, BODY_LIMIT - partial_size)
                self.chunk_rest = size - (self.body_size - partial_size)
                self.reading = Reading.BODY
        self.from_agent.remaining = fields[7]
        if done:
            self.from_agent.verdict = _verdict(fields[8])
        self.from_agent.discard_all = False
        self.started = bool(started)
        self.from_client = Filter(not started, fields[9], _verdict(fields[10]))
        try:
            self.call("restore", message)
        except BadMigrationDataError:
            client.leaving = True


def _bounds(send_tokens: int) -> Bounds:
    """What a client of the agent may do that grants so many messages."""
    return Bounds(
        flow_control=True, send_queue=SEND_QUEUE, client_tokens=WINDOW, send_tokens=send_tokens
    )


def _verdict(number: int) -> Verdict:
    """The verdict that migration data has; what is none lets through, as whoever wrote it knows best."""
    return Verdict(number) if number in {each.value for each in Verdict} else Verdict.OK
