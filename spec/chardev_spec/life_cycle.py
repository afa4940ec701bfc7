"""Life cycle: create and destroy, start and stop, ports, clients, reset (LC).

Theory of operation
===================
Whatever takes things away (client_remove, reset, destroy) first brings the state in order, completely, and only
then calls back with what it took out; so a callback never sees half of it.
A reset is made of named steps, because that is where the releases differ most.
"""

from chardev_spec.conditions import Frame, Steps
from chardev_spec.errors import (
    ClientAlreadyAttachedError,
    PortAttachedElsewhereError,
    StarvingWindowError,
)
from chardev_spec.events import LOOP, Message, OnFreeSelfToken, Peer, UnrefMsgToClient
from chardev_spec.reading import Reading
from chardev_spec.state import Client, Origin, Place


class LifeCycle(Reading):
    """Everything about a device's life but its migration."""

    def create(
        self, frame: Frame, port: int, client_tokens_interval: int, self_tokens: int
    ) -> None:
        """spice_char_device_state_create: stopped, attached to its port, no clients (LC-1)."""
        self.check_port(port)
        self.check_count("client_tokens_interval", client_tokens_interval)
        self.check_count("self_tokens", self_tokens)
        self.device.interval = client_tokens_interval
        self.device.self_tokens = self_tokens
        self.device.initial_self_tokens = self_tokens
        self.attach(port)

    def opaque_get(self, frame: Frame) -> None:
        """spice_char_device_state_opaque_get: what the owner gave at creation.

        The specification keeps nothing for an owner: what matters here is that the call changes nothing (LC-5).
        """
        self.check_alive()

    # Ports

    def check_port(self, port: int) -> None:
        """LC-4: a port serves one device."""
        if self.state.ports[port].attached_elsewhere:
            raise PortAttachedElsewhereError(f"port {port} is attached to another device")

    def attach(self, port: int) -> None:
        """LC-4: the device has this port from now on; the one it had is detached."""
        device = self.device
        device.port = port
        device.port_generation += 1
        device.announces_writability = self.state.ports[port].announces_writability
        device.port_owes_wakeup = False

    def reset_dev_instance(self, frame: Frame, port: int | None) -> Steps[None]:
        """spice_char_device_state_reset_dev_instance: attach a port, or detach (None) (LC-4).

        The rest of a partly written buffer goes to the new port (WR-1); the answer of an outstanding write counts
        for the old one.
        """
        self.check_alive()
        if port is None:
            self.detach()
        else:
            self.check_port(port)
            self.attach(port)
            yield from self.after_attach(frame)

    def after_attach(self, frame: Frame) -> Steps[None]:
        """LC-4: a port was attached to the device, which writes and reads."""
        yield from self.write_and_read(frame)

    # Running

    def start(self, frame: Frame) -> Steps[None]:
        """spice_char_device_start: write and read in turn until neither makes progress (LC-2, WR-5)."""
        self.check_alive()
        self.device.running = True
        progressed = True
        while (yield LOOP) and progressed and self.device.running and not frame.raised:
            frame.progressed = False
            yield from self.take_turns(frame)
            progressed = frame.progressed and not frame.limited

    def stop(self, frame: Frame) -> None:
        """spice_char_device_stop: not running, not active; nothing queued is lost (LC-2, LC-8)."""
        self.check_alive()
        self.halt()

    def halt(self) -> None:
        """LC-2: neither running nor active, the retry timer disarmed."""
        self.device.running = False
        self.device.active = False
        self.device.retry_armed = False

    def wakeup(self, frame: Frame) -> Steps[None]:
        """spice_char_device_wakeup: the port may take or give bytes again (LC-2, WR-4)."""
        self.check_alive()
        self.device.port_owes_wakeup = False
        yield from self.write_and_read(frame)

    def write_and_read(self, frame: Frame) -> Steps[None]:
        """LC-2: when running, one write pass, then one read pass."""
        if self.device.running:
            yield from self.take_turns(frame)

    def take_turns(self, frame: Frame) -> Steps[None]:
        """LC-2: one write pass, then one read pass."""
        self.device.read_due += 1
        yield from self.write_pass(frame)
        if self.device.destroyed:
            return
        self.device.read_due -= 1
        yield from self.read_pass(frame)

    def retry_timer_fired(self, frame: Frame) -> Steps[None]:
        """The retry timer: it does what wakeup does (WR-4, WR-5); when not armed, nothing (LC-9)."""
        if self.device.retry_armed:
            self.device.retry_armed = False
            yield from self.wakeup(frame)

    # Clients

    def client_exists(self, frame: Frame, peer: Peer) -> bool:
        """spice_char_device_client_exists: whether it is attached; also while it is leaving (RD-4)."""
        self.check_alive()
        return self.clients.attached(peer) is not None

    def client_add(
        self,
        frame: Frame,
        peer: Peer,
        flow_control: bool,
        max_send_queue_size: int,
        client_tokens: int,
        send_tokens: int,
        wait_for_migrate_data: bool,
    ) -> Steps[bool]:
        """spice_char_device_client_add: attach a client; False, and nothing changed, when it cannot be (LC-6).

        The send tokens of a client that awaits migration data are part of that data: it starts with none (MIG-4).
        The device then writes and reads.
        """
        self.check_alive()
        self.check_count("max_send_queue_size", max_send_queue_size)
        self.check_count("client_tokens", client_tokens)
        self.check_count("send_tokens", send_tokens)
        if self.clients.attached(peer) is not None:
            raise ClientAlreadyAttachedError(f"client {peer!r} is attached already")
        self.check_not_starving(flow_control, client_tokens)
        if self.refuses_client(wait_for_migrate_data):
            return False
        credit = self.credit_while_awaiting(send_tokens) if wait_for_migrate_data else send_tokens
        client = self.attach_client(peer, flow_control, client_tokens, credit, max_send_queue_size)
        self.device.awaiting = client if wait_for_migrate_data else None
        yield from self.after_client_add(frame)
        return True

    def check_not_starving(self, flow_control: bool, client_tokens: int) -> None:
        """LC-6: a window below the interval would never be announced again."""
        if flow_control and 0 < client_tokens < self.device.interval:
            raise StarvingWindowError(
                f"a window of {client_tokens} tokens never reaches the interval of {self.device.interval}"
            )

    def credit_while_awaiting(self, send_tokens: int) -> int:
        """MIG-4: the send tokens that a client has before its migration data comes, which brings them: none."""
        return 0

    def after_client_add(self, frame: Frame) -> Steps[None]:
        """LC-6: a client has joined the device, which writes and reads."""
        yield from self.write_and_read(frame)

    def refuses_client(self, wait_for_migrate_data: bool) -> bool:
        """LC-6: no client joins a sealed or an awaiting device, and none awaits on a device that has moved."""
        device = self.device
        if device.sealed or device.awaiting is not None:
            return True
        return wait_for_migrate_data and (
            not self.clients.empty()
            or device.active
            or self.buffers.any_in(Place.CURRENT)
            or device.writing
            or device.reading
        )

    def attach_client(
        self,
        peer: Peer,
        flow_control: bool,
        client_tokens: int,
        send_tokens: int,
        max_send_queue_size: int,
    ) -> int:
        """LC-6: a new attachment; a peer that comes back is another client (BUF-4)."""
        row = self.new_client(peer, flow_control, client_tokens, send_tokens, max_send_queue_size)
        self.clients.insert(row)
        return row.handle

    def new_client(
        self,
        peer: Peer,
        flow_control: bool,
        client_tokens: int,
        send_tokens: int,
        max_send_queue_size: int,
    ) -> Client:
        """LC-6: what an attachment begins with; without flow control its counts mean nothing (TOK-4)."""
        return Client(
            self.clients.next_handle(),
            peer,
            flow_control=flow_control,
            window=client_tokens,
            tokens=client_tokens,
            freed=0,
            send_tokens=send_tokens,
            max_send_queue_size=max_send_queue_size,
            granted=send_tokens,
        )

    def client_remove(self, frame: Frame, peer: Peer) -> Steps[None]:
        """spice_char_device_client_remove: delist the client, drop what is its own, then write and read (LC-7).

        It ends an awaiting for that client, and a seal.
        """
        self.check_alive()
        client = self.check_attached(peer)
        device = self.device
        messages = self.send_queue.drain(client)
        self.disown_buffers(client)
        self.clients.delete(client)
        was_awaited = device.awaiting == client
        if was_awaited:
            device.awaiting = None
        returned = self.end_seal()
        if self.clients.empty():
            device.spare_bytes = 0
        device.write_due += 1
        device.read_due += 1
        yield from self.free_self_tokens(frame, returned)
        yield from self.drop_messages(frame, messages)
        if device.destroyed:
            return
        device.write_due -= 1
        device.read_due -= 1
        yield from self.after_client_remove(frame, was_awaited)

    def after_client_remove(self, frame: Frame, was_awaited: bool) -> Steps[None]:
        """LC-7: a client has left the device, which writes and reads, whether or not that ended an awaiting."""
        yield from self.write_and_read(frame)

    def disown_buffers(self, client: int) -> None:
        """BUF-4, WR-3, WR-7: what becomes of the buffers of a client that goes.

        Queued and written ones are dropped, without tokens.
        The current one is finished, offered ones wait for the port's answer, held ones for their owner: these
        belong to nobody.
        """
        self.keep_spare(
            self.buffers.drop(
                lambda row: (
                    row.client == client
                    and (
                        row.place == Place.WRITTEN
                        or (row.place == Place.QUEUED and not row.offered)
                    )
                )
            )
        )
        self.buffers.update(
            lambda row: row.client == client,
            origin=lambda row: Origin.NOBODY,
            client=lambda row: None,
        )

    def end_seal(self) -> int:
        """MIG-2: the seal ends: what was marshalled is dropped; how many self tokens that returned (SELF-1)."""
        self.device.sealed = False
        returned = self.buffers.total(
            lambda row: row.marshalled and row.origin == Origin.SERVER, lambda row: 1
        )
        self.device.self_tokens += returned
        self.keep_spare(self.buffers.drop(lambda row: row.marshalled))
        self.buffers.update(lambda row: row.marshalled, marshalled=lambda row: False)
        return returned

    def free_self_tokens(self, frame: Frame, returned: int) -> Steps[None]:
        """SELF-3: say of each self token that has returned that it has."""
        while (yield LOOP) and returned > 0 and not self.device.destroyed:
            returned -= 1
            yield OnFreeSelfToken()

    def drop_messages(self, frame: Frame, messages: list[Message]) -> Steps[None]:
        """CB-4: drop the references to messages that were queued."""
        while (yield LOOP) and messages:
            yield from self.unref(messages.pop(0))

    # Reset and destroy

    def reset(self, frame: Frame) -> Steps[None]:
        """spice_char_device_reset: back to a stopped, detached device whose clients have their whole window (LC-3).

        All state comes first, then the callbacks: returned self tokens, dropped messages, and one announcement for
        each client that is not leaving.
        What callbacks queue meanwhile stays queued.
        At its end a device that has no port is stopped.
        """
        self.check_alive()
        device = self.device
        todo = self.clients.newest_first()
        self.reset_stop()
        self.reset_detach()
        self.reset_awaiting()
        self.reset_seal()
        returned = self.reset_pending_buffers()
        self.reset_held_buffers()
        self.reset_wait_timers()
        messages = self.reset_send_queues()
        device.announcing += 1
        yield from self.reset_self_tokens(frame, returned)
        yield from self.drop_messages(frame, messages)
        yield from self.reset_announce(frame, todo)
        if device.destroyed:
            return
        device.announcing -= 1
        if device.port is None:
            self.halt()

    def reset_stop(self) -> None:
        """LC-3: the device is stopped."""
        self.halt()

    def reset_detach(self) -> None:
        """LC-3, WR-7: the device has no port, and what the outstanding write answers counts nothing."""
        self.detach()
        self.device.answer_ignored = True

    def reset_awaiting(self) -> None:
        """LC-3: nothing is awaited; a client that was awaiting has no send tokens."""
        awaited = self.device.awaiting
        if awaited is not None:
            row = self.clients[awaited]
            row.granted -= row.send_tokens
            row.send_tokens = 0
        self.device.awaiting = None

    def reset_seal(self) -> None:
        """LC-3: the device is not sealed; what was marshalled is dropped with all that is pending."""
        self.device.sealed = False
        self.buffers.update(lambda row: row.marshalled, marshalled=lambda row: False)

    def in_flight(self, client: int) -> int:
        """TOK-1: the price of the client's buffers in flight."""
        return self.buffers.total(
            lambda row: row.client == client and row.place != Place.FREE, lambda row: row.price
        )

    def held_price(self, client: int) -> int:
        """TOK-1: the price of the client's buffers that the owner holds."""
        return self.buffers.total(
            lambda row: row.client == client and row.place == Place.HELD, lambda row: row.price
        )

    def reset_pending_buffers(self) -> int:
        """LC-3: pending and written buffers are dropped, their prices returned; how many self tokens that is.

        What clients paid for them is freed tokens now (TOK-1).
        """
        self.clients.update(
            lambda row: row.flow_control,
            freed=lambda row: row.freed + self.in_flight(row.handle) - self.held_price(row.handle),
        )
        returned = self.buffers.total(
            lambda row: (
                row.origin == Origin.SERVER and row.place != Place.HELD and row.place != Place.FREE
            ),
            lambda row: 1,
        )
        self.device.self_tokens += returned
        self.keep_spare(self.buffers.drop(lambda row: row.place != Place.HELD))
        return returned

    def reset_held_buffers(self) -> None:
        """LC-3: client buffers that the owner holds return their price and become nobody's; the server's stay."""
        self.clients.update(
            lambda row: row.flow_control,
            freed=lambda row: row.freed + self.held_price(row.handle),
        )
        self.buffers.update(
            lambda row: row.client is not None,
            origin=lambda row: Origin.NOBODY,
            client=lambda row: None,
        )

    def reset_wait_timers(self) -> None:
        """LC-3: wait timers are disarmed, because send queues are emptied."""
        self.clients.update(lambda row: True, wait_armed=lambda row: False)

    def reset_send_queues(self) -> list[Message]:
        """LC-3: send queues are emptied, send tokens unchanged; the messages whose references are to be dropped."""
        messages = self.send_queue.drain_all(self.clients.newest_first())
        self.clients.update(lambda row: True, queue_length=lambda row: 0)
        return messages

    def reset_self_tokens(self, frame: Frame, returned: int) -> Steps[None]:
        """LC-3: say of each self token that came back that it did."""
        yield from self.free_self_tokens(frame, returned)

    def reset_announce(self, frame: Frame, todo: list[int]) -> Steps[None]:
        """LC-3: every client that stays is told all its freed tokens at once, newest first."""
        while (yield LOOP) and todo and not self.device.destroyed:
            client = todo.pop(0)
            if client in self.clients and self.reset_announces(client):
                yield from self.announce(frame, client)

    def reset_announces(self, client: int) -> bool:
        """LC-3: whether the client has freed tokens to be told of; a leaving one is told nothing (RD-4)."""
        row = self.clients[client]
        return row.freed > 0 and not row.leaving

    def destroy(self, frame: Frame) -> Steps[None]:
        """spice_char_device_state_destroy: the end; only references to messages are dropped after it (LC-5).

        Buffers that the owner, a marshaller or the outstanding write refers to stay valid until released (BUF-3).
        """
        self.check_alive()
        messages = self.send_queue.drain_all(self.destroy_order())
        self.halt()
        self.detach()
        self.clients.clear()
        self.device.destroyed = True
        self.device.answer_ignored = True
        self.device.awaiting = None
        self.device.sealed = False
        self.device.spare_bytes = 0
        self.buffers.drop(lambda row: row.place != Place.HELD)
        self.buffers.update(
            lambda row: True,
            origin=lambda row: Origin.NOBODY,
            client=lambda row: None,
            marshalled=lambda row: False,
        )
        while (yield LOOP) and messages:
            yield UnrefMsgToClient(messages.pop(0))

    def destroy_order(self) -> list[int]:
        """LC-5: the clients in the order in which a destroy drops their messages."""
        return self.clients.newest_first()
