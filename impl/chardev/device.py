"""The device: every function of the header, under its own name.

Theory of operation
-------------------
Each method is one frame: it checks what the contract forbids, changes all of the state that it has
to change, then makes callbacks, then runs the passes that it owes, then raises the first exception
that a callback raised.
The order matters: a callback may call anything, and must find every rule satisfied (CB-1).
Clients and the life cycle are here; write buffers in `buffering`, the passes in `writing` and
`reading`, migration in `migrating`; what all of them rely on is explained in `state`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from .buffers import SERVER, Attachment
from .compiling import mypyc_attr
from .errors import ClientAlreadyAttachedError, ClientNotAttachedError, StarvingWindowError
from .migrating import Migrating
from .state import check_count

if TYPE_CHECKING:
    from .interfaces import BatchCallbacks, Callbacks, Port, Timers

__all__ = ["Device"]

MessageT = TypeVar("MessageT")
ClientT = TypeVar("ClientT")


@mypyc_attr(allow_interpreted_subclasses=True)
class Device(Migrating[MessageT, ClientT]):
    """A SPICE character device (header: `SpiceCharDeviceState`).

    It moves buffers from clients to a port, and messages from the port to clients, and sees that
    neither side is flooded.
    It is created stopped, attached to `port`, without clients (LC-1; header:
    `spice_char_device_state_create`).

    `client_tokens_interval` is how many freed tokens are announced at once (TOK-3).
    `self_tokens` is how many buffers of the server may be in flight (SELF-1).
    `opaque` is kept for `opaque_get`.
    `moves_per_call` limits how many buffers and messages one call moves (WR-5).

    Clients are hashable objects other than None; messages are any objects other than None.
    Not thread-safe: one thread at a time calls a device.

    Raises:
        CountOutOfRangeError: a count does not fit 32 bits.
        PortAttachedElsewhereError: the port serves another device.
        TypeError: the callbacks have one of `BatchCallbacks`' two, and not the other.
        ValueError: `moves_per_call` is less than 1.
    """

    __slots__ = ()

    def __init__(
        self,
        port: Port,
        client_tokens_interval: int,
        self_tokens: int,
        callbacks: Callbacks[MessageT, ClientT] | BatchCallbacks[MessageT, ClientT],
        timers: Timers[ClientT],
        *,
        opaque: object = None,
        moves_per_call: int = 1024,
    ) -> None:
        super().__init__(
            port,
            client_tokens_interval,
            self_tokens,
            callbacks,
            timers,
            opaque=opaque,
            moves_per_call=moves_per_call,
        )

    # Life cycle.

    def opaque_get(self) -> object:
        """Return what the creator gave as `opaque` (header: `spice_char_device_state_opaque_get`).

        Raises:
            DestroyedDeviceError: the device was destroyed.
        """
        self._check_alive("opaque_get")
        return self._opaque

    def reset_dev_instance(self, port: Port | None) -> None:
        """Attach another port, or none (LC-4; header: `..._state_reset_dev_instance`).

        Pending data stays, and the rest of a partly written buffer goes to the new port.
        When running, the device then writes and reads.

        Raises:
            DestroyedDeviceError: the device was destroyed.
            PortAttachedElsewhereError: the port serves another device.
        """
        self._check_alive("reset_dev_instance")
        if port is not None:
            self._check_port_is_free("reset_dev_instance", port, self)
        self._attach(port)
        if port is not None and self._running:
            frame = self._enter()
            self._write_and_read(frame)
            self._leave(frame)

    def destroy(self) -> None:
        """End the device (LC-5; header: `spice_char_device_state_destroy`).

        Queued messages are unreferenced; no other callback is made, now or later.
        Buffers that the owner holds stay valid: free them with
        `write_buffer_release_without_device`.

        Raises:
            DestroyedDeviceError: the device was destroyed before.
        """
        self._check_alive("destroy")
        self._destroyed = True
        self._epoch += 1
        self._stop()
        self._attach(None)
        self._queue.clear()
        self._express = ()
        self._awaiting = None
        self._sealed = False
        messages: list[MessageT] = []
        for attachment in reversed(self._clients.values()):
            attachment.gone = True
            self._take_send_queue(attachment, messages)
        self._clients.clear()
        frame = self._enter()
        self._unref(frame, messages)
        self._leave(frame)

    def reset(self) -> None:
        """Drop all that is queued, return all prices, stop and detach (LC-3; header: `..._reset`).

        Clients stay attached, and every one that is not leaving is told its freed tokens.

        Raises:
            DestroyedDeviceError: the device was destroyed.
        """
        self._check_alive("reset")
        self._epoch += 1
        self._stop()
        self._attach(None)
        awaiting = self._awaiting
        self._awaiting = None
        self._sealed = False
        self._queue.clear()
        self._express = ()
        # SELF-1: what is not here and not held was queued, current or written.
        server_tokens = (
            self._self_tokens_at_creation - self._self_tokens - self._held_server_buffers
        )
        self._self_tokens += server_tokens
        attachments = tuple(reversed(self._clients.values()))
        messages: list[MessageT] = []
        for attachment in attachments:
            self._take_send_queue(attachment, messages)
            attachment.held = 0
            if attachment.flow_control:
                # TOK-1 with nothing in flight any more.
                attachment.freed = attachment.window - attachment.tokens
            if attachment is awaiting:
                attachment.send_tokens = 0
        frame = self._enter()
        for _ in range(server_tokens):
            if self._destroyed:
                break
            self._call_on_free_self_token(frame)
        self._unref(frame, messages)
        for attachment in attachments:
            if not attachment.gone:
                frame.fail(self._announce(attachment))
        if not self._destroyed and self._port is None:
            self._stop()
        self._leave(frame)

    def start(self) -> None:
        """Run: write and read until neither makes progress (LC-2; header: `..._start`).

        Raises:
            DestroyedDeviceError: the device was destroyed.
        """
        self._check_alive("start")
        self._running = True
        self._refresh()
        frame = self._enter()
        while True:
            frame.progress = False
            write_limited = self._write_pass(frame)
            if self._destroyed:
                break
            read_limited = self._read_pass(frame)
            if (
                not frame.progress
                or write_limited
                or read_limited
                or frame.raised is not None
                or not self._running
            ):
                break
        self._leave(frame)

    def stop(self) -> None:
        """Stop: no port is written or read until the next start (LC-2; header: `..._stop`).

        Raises:
            DestroyedDeviceError: the device was destroyed.
        """
        self._check_alive("stop")
        self._stop()

    def wakeup(self) -> None:
        """Note that the port may take or give something (LC-2; header: `..._wakeup`).

        When running: one write pass, then one read pass.

        Raises:
            DestroyedDeviceError: the device was destroyed.
        """
        self._check_alive("wakeup")
        self._wakeup()

    def retry_timer_fired(self) -> None:
        """Tell the device that its retry timer fired (WR-4); nothing if it is not armed (LC-9)."""
        if self._retry_timer_armed:
            self._retry_timer_armed = False
            self._wakeup()

    def wait_timer_fired(self, client: ClientT) -> None:
        """Tell the device that a client's wait timer fired (RD-5): the client becomes leaving.

        Nothing if the client is not attached or its timer not armed (LC-9).
        """
        attachment = self._clients.get(client)
        if attachment is not None and attachment.wait_timer_armed:
            attachment.wait_timer_armed = False
            self._set_leaving(attachment)
            frame = self._enter()
            self._call_remove_client(frame, attachment)
            self._leave(frame)

    def _wakeup(self) -> None:
        self._port_owes_wakeup = self._port_blocked = False
        if self._running:
            frame = self._enter()
            self._write_and_read(frame)
            self._leave(frame)

    # Clients.

    def client_add(
        self,
        client: ClientT,
        do_flow_control: bool,
        max_send_queue_size: int,
        num_client_tokens: int,
        num_send_tokens: int,
        wait_for_migrate_data: bool = False,
    ) -> bool:
        """Attach a client (LC-6; header: `spice_char_device_client_add`).

        `max_send_queue_size` is how many messages may wait for its send tokens.
        `num_client_tokens` is its window: how many buffers of it may be in flight.
        `num_send_tokens` is how many messages may be sent to it, for now; with
        `wait_for_migrate_data` it is ignored, and the client starts with none.

        Returns false, and changes nothing, if the device is sealed, awaits migration data, or is
        asked to await some and is not as good as new.

        Raises:
            DestroyedDeviceError: the device was destroyed.
            CountOutOfRangeError: a count does not fit 32 bits.
            ClientAlreadyAttachedError: the client is attached.
            StarvingWindowError: flow control, and 0 < window < interval.
        """
        self._check_alive("client_add")
        check_count("client_add", "max_send_queue_size", max_send_queue_size)
        check_count("client_add", "num_client_tokens", num_client_tokens)
        check_count("client_add", "num_send_tokens", num_send_tokens)
        if wait_for_migrate_data:
            num_send_tokens = 0
        if client is None:
            raise TypeError("client_add: None stands for the server; give the client another name")
        if client in self._clients:
            raise ClientAlreadyAttachedError(
                f"client_add: client {client!r} is attached already; call client_remove first"
            )
        if do_flow_control and 0 < num_client_tokens < self._interval:
            raise StarvingWindowError(
                f"client_add: the window of {num_client_tokens} is smaller than the interval of "
                f"{self._interval}, so client {client!r} would never hear of freed tokens; "
                "give a window of at least the interval"
            )
        if self._sealed or self._awaiting is not None:
            return False
        if wait_for_migrate_data and (
            self._clients or self._active or self._queue.current or self._writing or self._reading
        ):
            return False
        attachment: Attachment[MessageT, ClientT] = Attachment(
            client,
            flow_control=bool(do_flow_control),
            max_send_queue_size=max_send_queue_size,
            window=num_client_tokens,
            send_tokens=num_send_tokens,
        )
        self._clients[client] = attachment
        self._nobody_may_be_sent_to = False
        if wait_for_migrate_data:
            self._awaiting = attachment
            self._refresh()
        if self._running:
            frame = self._enter()
            self._write_and_read(frame)
            self._leave(frame)
        return True

    def client_remove(self, client: ClientT) -> None:
        """Detach a client (LC-7; header: `spice_char_device_client_remove`).

        Its queued messages and buffers are dropped; a partly written buffer is finished (WR-7).
        An awaiting of its migration data ends, and so does a seal.
        When running, the device then writes and reads.

        Raises:
            DestroyedDeviceError: the device was destroyed.
            ClientNotAttachedError: the client is not attached.
        """
        self._check_alive("client_remove")
        attachment = self._attachment("client_remove", client)
        del self._clients[client]
        attachment.gone = True
        messages: list[MessageT] = []
        self._take_send_queue(attachment, messages)
        if self._awaiting is attachment:
            self._awaiting = None
        server_tokens = 0
        if self._sealed:
            self._sealed = False
            server_tokens = self._queue.drop_first(self._sealed_buffers).count(SERVER)
            self._self_tokens += server_tokens
        if attachment.may_have_queued:
            self._queue.drop_detached()
        self._refresh()
        frame = self._enter()
        self._unref(frame, messages)
        for _ in range(server_tokens):
            if self._destroyed:
                break
            self._call_on_free_self_token(frame)
        self._write_and_read(frame)
        self._leave(frame)

    def client_exists(self, client: ClientT) -> bool:
        """Tell whether a client is attached, leaving or not (header: `..._client_exists`).

        Raises:
            DestroyedDeviceError: the device was destroyed.
        """
        self._check_alive("client_exists")
        return client in self._clients

    def clients(self) -> tuple[ClientT, ...]:
        """Return the attached clients, newest first."""
        return tuple(reversed(self._clients))

    def client_state(self, client: ClientT) -> Attachment[MessageT, ClientT]:
        """Return a client's counters, to look at and not to change.

        Raises:
            ClientNotAttachedError: the client is not attached.
        """
        return self._attachment("client_state", client)

    def send_to_client_tokens_add(self, client: ClientT, tokens: int) -> None:
        """Let that many more messages be sent to the client (RD-7; header: `..._tokens_add`).

        Raises:
            DestroyedDeviceError: the device was destroyed.
            CountOutOfRangeError: the count does not fit 32 bits.
            ClientNotAttachedError: the client is not attached.
        """
        where = "send_to_client_tokens_add"
        self._check_alive(where)
        check_count(where, "tokens", tokens)
        attachment = self._attachment(where, client)
        if tokens:
            self._grant(attachment, attachment.send_tokens + tokens)

    def send_to_client_tokens_set(self, client: ClientT, tokens: int) -> None:
        """Let that many messages be sent to the client (RD-7; header: `..._tokens_set`).

        Raises:
            DestroyedDeviceError: the device was destroyed.
            CountOutOfRangeError: the count does not fit 32 bits.
            ClientNotAttachedError: the client is not attached.
        """
        where = "send_to_client_tokens_set"
        self._check_alive(where)
        check_count(where, "tokens", tokens)
        self._grant(self._attachment(where, client), tokens)

    def _grant(self, attachment: Attachment[MessageT, ClientT], send_tokens: int) -> None:
        if not attachment.flow_control:
            return
        self._nobody_may_be_sent_to = False
        attachment.send_tokens = send_tokens
        if attachment.leaving:
            return
        if attachment.pushing:
            self._wanted = self._read_asked = True
            return
        frame = self._enter()
        self._push(frame, attachment)
        if not self._destroyed:
            self._read_pass(frame)
        self._leave(frame)

    def _attachment(self, where: str, client: ClientT) -> Attachment[MessageT, ClientT]:
        attachment = self._clients.get(client)
        if attachment is None:
            raise ClientNotAttachedError(
                f"{where}: client {client!r} is not attached; call client_add first"
            )
        return attachment

    def _take_send_queue(
        self, attachment: Attachment[MessageT, ClientT], messages: list[MessageT]
    ) -> None:
        """Move a client's queued messages to `messages`, whose references are the caller's then."""
        messages.extend(attachment.send_queue)
        attachment.send_queue.clear()
        self._disarm_wait_timer(attachment)
