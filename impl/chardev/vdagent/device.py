"""The agent device: one client, one guest agent, and a device between them (DEV-2).

Theory of operation
-------------------
The client counts here from the moment it is connected, but the device knows it only from
`client_started` on: with that message it grants its first send tokens.
Before it, whatever it sends is meant for an agent that is gone, and is dropped without a price.

The agent comes and goes as its daemon in the guest starts and ends.
When it goes, everything that was under way goes with it: the device is reset (LC-3), half messages
of both directions are forgotten, and the client has to start anew, with a full window and without
send tokens, so that the next agent's first words wait in the port until it has.
When the client goes, the agent is told, which makes it forget the client's half message; the chunk
that was begun is finished first (WR-7), so the agent's framing holds.

There is one client at a time: the agent cannot tell the parts of two clients' messages apart.

Every callback of the device asks whether the client that it speaks of is still ours: any call may
have come between (CB-1), and a callback about a client that is gone does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from chardev.device import Device
from chardev.errors import CannotMarshallError
from chardev.interfaces import Bytes, Callbacks, Port

from . import migration
from .chunks import CLIENT_PORT, SERVER_PORT, BadChunkError, ChunkReader, chunk
from .filtering import MessageFilter
from .messages import BadAgentMessageError, MessageType, message

CreateDevice: TypeAlias = Callable[[int, int, Callbacks[bytes, Any]], Device[bytes, Any]]

__all__ = ["CLIENT_WINDOW", "AgentDevice", "AgentOwner"]

CLIENT_WINDOW: Final = 10
"""How many parts of a client may be in flight (DEV-2; `REDS_AGENT_WINDOW_SIZE`)."""

CLIENT_INTERVAL: Final = 5
"""How many freed tokens are announced at once (DEV-2; `REDS_TOKENS_TO_SEND`)."""

SEND_QUEUE_SIZE: Final = 5
"""How many parts may wait for the client's send tokens (DEV-2; `REDS_VDI_PORT_NUM_RECEIVE_BUFFS`)."""

SELF_TOKENS: Final = 1
"""One mouse state of the server may be in flight (DEV-2; `REDS_NUM_INTERNAL_AGENT_MESSAGES`)."""

SKIPPED_MAX: Final = 64
"""How many parts that concern nobody one read drops before others have their turn (WR-5)."""

FAREWELLS_MAX: Final = 3
"""With so many buffers left once a client's are gone, one is a farewell that nobody has begun to read.

The others are at most a begun one and a mouse state, so a stalled agent does not collect farewells.
"""

FAREWELL: Final = chunk(SERVER_PORT, message(MessageType.CLIENT_DISCONNECTED))

ClientT = TypeVar("ClientT")
ClientT_contra = TypeVar("ClientT_contra", contravariant=True)


class AgentOwner(Protocol[ClientT_contra]):
    """What the device tells its owner: most of it are messages to the client."""

    def agent_connected(self, client: ClientT_contra, tokens: int, /) -> None:
        """There is an agent; the client's tokens are this many, whatever they were before."""

    def agent_disconnected(self, client: ClientT_contra, /) -> None:
        """The agent is gone, with whatever was under way."""

    def agent_data(self, client: ClientT_contra, part: bytes, /) -> None:
        """Send a part of a message, at most 2048 bytes, to the client."""

    def agent_tokens(self, client: ClientT_contra, tokens: int, /) -> None:
        """The client may send this many parts more."""

    def disconnect_client(self, client: ClientT_contra, /) -> None:
        """Disconnect the client, now or later, which ends in `AgentDevice.client_disconnected`."""

    def agent_failed(self, reason: str, /) -> None:
        """The agent sent what is no message of an agent; it was detached."""


class AgentDevice(Generic[ClientT]):
    """The device of one guest agent (DEV-2).

    `create(client_tokens_interval, self_tokens, callbacks)` makes the device, as a runner does; if
    the device has a port, the agent counts as attached.
    `allowed` is asked for each message's type whether it may pass; all may by default.
    The port needs a method `read(limit) -> bytes` besides those of `Port`.
    """

    def __init__(
        self,
        create: CreateDevice,
        owner: AgentOwner[ClientT],
        *,
        allowed: Callable[[int], bool] = lambda _: True,
    ) -> None:
        self._owner = owner
        self._allowed = allowed
        self._running = False
        self._client: ClientT | None = None
        # The client has started the present agent.
        self._started = False
        # Where its migration data is awaited, the device has the client before it was started.
        self._awaiting = False
        self._mouse: bytes | None = None
        self._forget_streams()
        self.device: Device[bytes, ClientT] = create(CLIENT_INTERVAL, SELF_TOKENS, self)
        self._attached = self.device.port is not None

    @property
    def attached(self) -> bool:
        """True while there is an agent."""
        return self._attached

    @property
    def client(self) -> ClientT | None:
        """The client that is connected."""
        return self._client

    @property
    def started(self) -> bool:
        """True if the client has started the present agent."""
        return self._started

    def _forget_streams(self) -> None:
        self._reader = ChunkReader()
        self._from_agent = MessageFilter(self._allowed, is_open=False)
        self._to_agent = MessageFilter(self._allowed, is_open=True)

    # The guest.

    def start(self) -> None:
        """The guest runs (LC-2)."""
        self._running = True
        if self._attached:
            self.device.start()

    def stop(self) -> None:
        """The guest is stopped: nothing moves, nothing is lost (LC-2)."""
        self._running = False
        self.device.stop()

    def agent_attached(self, port: Port) -> None:
        """An agent has opened its end of `port`; a client is told, and its tokens are reset.

        Raises:
            ValueError: there is an agent already.
            chardev.PortAttachedElsewhereError: the port serves another device.
        """
        if self._attached:
            raise ValueError("agent_attached: an agent is attached; call agent_detached first")
        # Not running if it ever had an agent: what the streams rely on is set before it is read.
        self.device.reset_dev_instance(port)
        self._attached = True
        # A client that was restored before its agent came has started it already.
        if not self._started:
            self._forget_streams()
            self._tell_connected()
        if self._attached and self._running and not self.device.running:
            self.device.start()

    def agent_detached(self) -> None:
        """The agent has closed its end, or hung up: everything under way goes with it (LC-3).

        Does nothing if no agent is attached.
        """
        if not self._attached or self.device.destroyed:
            return
        self._attached = False
        self._started = False
        self._awaiting = False
        self._mouse = None
        self._forget_streams()
        client = self._client
        # The next agent is not read before the client has started it.
        if client is not None and self.device.client_exists(client):
            self.device.send_to_client_tokens_set(client, 0)
        self.device.reset()
        if client is not None and client == self._client and not self._attached:
            self._owner.agent_disconnected(client)

    def mouse(self, state: bytes) -> None:
        """Send a mouse state; while one is under way, only the newest one waits (SELF-2, SELF-3)."""
        if self._attached:
            data = chunk(SERVER_PORT, message(MessageType.MOUSE_STATE, state))
            self._mouse = None
            if not self.device.write(None, data):
                self._mouse = data

    # The client.

    def client_connected(self, client: ClientT, *, migrating: bool = False) -> bool:
        """A client is there; it is told of the agent, if there is one.

        With `migrating` it comes from another host, and `restore` is to follow before anything that
        it sends is given to `client_data` (LC-6).
        Returns false, and does nothing, if there is a client already, or the device is not as good
        as new for one that migrates.
        """
        if self._client is not None:
            return False
        if migrating and not self.device.client_add(
            client,
            do_flow_control=True,
            max_send_queue_size=SEND_QUEUE_SIZE,
            num_client_tokens=CLIENT_WINDOW,
            num_send_tokens=0,
            wait_for_migrate_data=True,
        ):
            return False
        self._client = client
        self._awaiting = migrating
        if not migrating:
            self._tell_connected()
        return True

    def client_started(self, client: ClientT, tokens: int) -> None:
        """The client starts the agent, and grants its first send tokens (RD-7).

        Nothing happens if the client or the agent is gone.

        Raises:
            chardev.CountOutOfRangeError: the count does not fit 32 bits.
        """
        if client != self._client or not self._attached or self._awaiting:
            return
        self._started = True
        self._from_agent.open = True
        if self.device.client_exists(client):
            self.device.send_to_client_tokens_set(client, tokens)
        elif not self.device.client_add(
            client,
            do_flow_control=True,
            max_send_queue_size=SEND_QUEUE_SIZE,
            num_client_tokens=CLIENT_WINDOW,
            num_send_tokens=tokens,
        ):
            self._owner.disconnect_client(client)

    def client_tokens(self, client: ClientT, tokens: int) -> None:
        """The client grants more send tokens; ignored before it has started the agent (DEV-2).

        While its migration data is awaited they count: the source's are added to them (MIG-4).

        Raises:
            chardev.CountOutOfRangeError: the count does not fit 32 bits.
        """
        if client == self._client and (self._started or self._awaiting):
            self.device.send_to_client_tokens_add(client, tokens)

    def client_data(self, client: ClientT, part: Bytes) -> None:
        """The client sends a part of a message, which costs one of its tokens (TOK-2).

        Dropped, without a price, if the client is gone or has not started the present agent.
        A part that is no part of a message, and one that comes before the migration data, ends in
        `disconnect_client`; so does one without a token.
        """
        if client != self._client or self.device.sealed:
            return
        if self._awaiting:
            self._owner.disconnect_client(client)
            return
        if not self._started:
            return
        try:
            passing = self._to_agent.may_pass(part)
        except BadAgentMessageError:
            self._owner.disconnect_client(client)
            return
        if passing:
            self.device.write(client, chunk(CLIENT_PORT, bytes(part)))
            return
        buffer = self.device.write_buffer_get(client, 0)
        if buffer is not None:
            self.device.write_buffer_release(buffer)

    def client_disconnected(self, client: ClientT) -> None:
        """The client is gone; the agent is told so, behind the chunk that was begun (WR-7).

        Does nothing if it was not connected.
        """
        if client != self._client:
            return
        self._client = None
        self._awaiting = False
        told = self._attached and self._started
        self._started = False
        if self.device.destroyed:
            return
        self._from_agent.close()
        self._to_agent = MessageFilter(self._allowed, is_open=True)
        if self.device.client_exists(client):
            self.device.client_remove(client)
        if told and self._attached and self.device.pending_buffers < FAREWELLS_MAX:
            buffer = self.device.write_buffer_get_server_no_token(len(FAREWELL))
            buffer.buf[:] = FAREWELL
            buffer.buf_used = len(FAREWELL)
            self.device.write_buffer_add(buffer)

    def _tell_connected(self) -> None:
        if self._attached and self._client is not None and not self._awaiting:
            self._owner.agent_connected(self._client, CLIENT_WINDOW)

    # Migration.

    def marshall(self) -> bytes:
        """Return the whole migration message of a stopped device, which it seals (MIG-2).

        Without a client that has started the agent the message says just that (MIG-3).

        Raises:
            chardev.CannotMarshallError: the guest runs, or see `Device.migrate_data_marshall`.
        """
        client = self._client
        if client is None or not self.device.client_exists(client):
            if self._running:
                raise CannotMarshallError("marshall: the guest runs; call stop first")
            empty = self.device.migrate_data_marshall_empty()
            return migration.HEADER + empty + migration.StreamState().pack(migration.DATA_OFFSET)
        data = self.device.migrate_data_marshall()
        state = migration.StreamState(
            started=self._started,
            chunk_header=self._reader.header,
            chunk_remaining=self._reader.remaining,
            partial=self._reader.partial,
            from_agent_remaining=self._from_agent.remaining,
            from_agent_passing=self._from_agent.passing,
            to_agent_remaining=self._to_agent.remaining,
            to_agent_passing=self._to_agent.passing,
        )
        record = data.record(migration.DATA_OFFSET)
        partial_offset = migration.DATA_OFFSET + data.fields.write_size
        whole = b"".join(
            (
                migration.HEADER,
                record,
                state.pack(partial_offset),
                *data.write_data,
                state.partial,
            )
        )
        data.release()
        return whole

    def restore(self, whole: Bytes) -> None:
        """Take over from a source: `client_connected(..., migrating=True)` came before (MIG-4).

        A source without a client that had started the agent leaves nothing to take over: the client
        is told of the agent as any new one.

        Raises:
            chardev.BadMigrationDataError: the message is wrong; nothing changed (MIG-5).
            chardev.CannotRestoreError: no client awaits migration data, or it is leaving.
        """
        client = self._client
        if not migration.is_connected(whole):
            if self._awaiting and client is not None:
                self._awaiting = False
                self.device.client_remove(client)
                self._tell_connected()
            return
        state = migration.parse(whole)
        if not self._awaiting:
            # Names what is wrong.
            self.device.restore(whole)
            return
        before = self._reader, self._from_agent, self._to_agent
        self._reader = ChunkReader()
        self._reader.header = state.chunk_header
        self._reader.port = int.from_bytes(state.chunk_header[:4], "little")
        self._reader.remaining = state.chunk_remaining
        self._reader.partial = state.partial
        self._from_agent = MessageFilter(self._allowed, is_open=state.started)
        self._from_agent.remaining = state.from_agent_remaining
        self._from_agent.passing = state.from_agent_passing
        self._to_agent = MessageFilter(self._allowed, is_open=True)
        self._to_agent.remaining = state.to_agent_remaining
        self._to_agent.passing = state.to_agent_passing
        self._started = state.started
        self._awaiting = False
        try:
            # It writes and reads: what it reads with is in place.
            self.device.restore(whole)
        except BaseException:
            if self.device.awaiting_migration_data:
                self._reader, self._from_agent, self._to_agent = before
                self._started = False
                self._awaiting = True
            raise

    # Callbacks of the device.

    def read_one_msg_from_device(self, port: Any, /) -> bytes | None:
        """Read the agent's next part that is for the client (RD-8)."""
        for _ in range(SKIPPED_MAX):
            try:
                found = self._reader.next_part(port.read)
                if found is None:
                    return None
                number, part = found
                if number == CLIENT_PORT and part and self._from_agent.may_pass(part):
                    return part
            except (BadChunkError, BadAgentMessageError) as error:
                self.agent_detached()
                self._owner.agent_failed(str(error))
                return None
        # More of them may be there: the device asks again (RD-8).
        self.device.wakeup()
        return None

    def ref_msg_to_client(self, message: bytes, /) -> None:
        """Do nothing: Python counts."""

    def unref_msg_to_client(self, message: bytes, /) -> None:
        """Do nothing: Python counts."""

    def send_msg_to_client(self, message: bytes, client: ClientT, /) -> None:
        """Send a part to the client."""
        if client == self._client:
            self._owner.agent_data(client, message)

    def send_tokens_to_client(self, client: ClientT, tokens: int, /) -> None:
        """Announce tokens to the client (TOK-3)."""
        if client == self._client:
            self._owner.agent_tokens(client, tokens)

    def remove_client(self, client: ClientT, /) -> None:
        """Have the client disconnected (RD-4, TOK-2)."""
        if client == self._client:
            self._owner.disconnect_client(client)

    def on_free_self_token(self) -> None:
        """Send the newest mouse state that waits (SELF-3)."""
        data, self._mouse = self._mouse, None
        if data is not None and self._attached:
            # The token that just returned pays for it.
            self.device.write(None, data)

    def port_failed(self) -> None:
        """The agent's port is gone, and the agent with it (WR-8)."""
        self.agent_detached()
