"""Reading from the port: each message to every client, under the clients' own credit (RD).

Theory of operation
===================
A *read pass* is the only place where the port is read.
It holds the reader's guard (`device.reading`) during the fan-out too; a nested request leaves a mark
(`device.read_wanted`), and the outer pass reads on (RD-8).

A fan-out walks the clients that were attached when it began; each is looked up again before anything is done for
it (CB-2, CB-3).
A *push* empties a send queue as far as the client's tokens go; it may run inside a fan-out, and a nested push of
the same queue defers to it (RD-7).
"""

from chardev_spec.conditions import Frame, Steps
from chardev_spec.errors import ClientNotAttachedError
from chardev_spec.events import (
    LOOP,
    ChooseGoOn,
    Message,
    Peer,
    ReadOneMsgFromDevice,
    RefMsgToClient,
    RemoveClient,
    SendMsgToClient,
    UnrefMsgToClient,
)
from chardev_spec.state import WAIT_DELAY_MS, QueuedMessage
from chardev_spec.writing import Outcome, Writing


class Reading(Writing):
    """The read pass, the fan-out, and the push of a send queue."""

    def ask_for_read(self) -> None:
        """RD-8: note that a read was asked for."""
        self.device.read_wanted = True
        self.device.read_asked = True

    def read_pass(self, frame: Frame) -> Steps[None]:
        """Read until the port says "nothing", nobody may be sent to, or a limit is reached (RD-1, WR-5)."""
        device = self.device
        self.ask_for_read()
        if device.reading:
            return
        if frame.raised:
            self.settle_after_read()
            return
        device.reading = True
        outcome = Outcome.MOVED
        repeated = False
        while (
            (yield LOOP) and self.goes_on(frame, outcome) and device.read_wanted and self.may_read()
        ):
            outcome = yield from self.read_once(frame)
            outcome = self.limit_repeats(outcome, repeated)
            repeated = outcome == Outcome.ASKED
        if device.destroyed:
            return
        frame.limited = frame.limited or outcome == Outcome.LIMIT
        device.reading = False
        self.settle_after_read()

    def settle_after_read(self) -> None:
        """RD-8, WR-4: a read pass has ended: restart the retry timer for what is owed now, or disarm it."""
        self.settle_retry_timer()

    def read_once(self, frame: Frame) -> Steps[Outcome]:
        """One read and its fan-out.

        What a read returned is fanned out even if a stop, reset or detach overtook it; after a destroy it is only
        unreferenced (RD-8).
        A message makes the device active only while it runs (LC-8).
        """
        device = self.device
        if frame.moved > 0:
            goes_on = yield ChooseGoOn(frame.moved)
            if not goes_on:
                return Outcome.LIMIT
        device.read_asked = False
        message = yield ReadOneMsgFromDevice(self.port_to_read())
        if device.destroyed:
            if message is not None:
                yield UnrefMsgToClient(message)
            return Outcome.NOTHING
        if message is None:
            device.read_wanted = device.read_asked
            if device.read_asked:
                return Outcome.ASKED
            return Outcome.NOTHING
        device.references += 1
        frame.moved += 1
        frame.progressed = True
        if device.running:
            device.active = True
        yield from self.fan_out(frame, message)
        return Outcome.MOVED

    def port_to_read(self) -> int:
        """RD-1: the attached port."""
        port = self.device.port
        assert port is not None
        return port

    def fan_out(self, frame: Frame, message: Message) -> Steps[None]:
        """CB-2, RD-2: the message goes to the clients attached now that still are when their turn comes, once each.

        Any client may be removed meanwhile, not only the one being served (CB-3).
        """
        recipients = self.clients.newest_first()
        while (yield LOOP) and recipients:
            client = recipients.pop(0)
            if client in self.clients and not self.clients[client].leaving:
                yield from self.deliver(frame, client, message)
        yield from self.unref(message)

    def unref(self, message: Message) -> Steps[None]:
        """CB-4: drop a reference."""
        self.device.references -= 1
        yield UnrefMsgToClient(message)

    def deliver(self, frame: Frame, client: int, message: Message) -> Steps[None]:
        """RD-2, RD-3, RD-4: send, queue or refuse one message, decided after `ref_msg_to_client` returned."""
        yield RefMsgToClient(message)
        self.device.references += 1
        if client not in self.clients or self.clients[client].leaving:
            yield from self.unref(message)
        elif self.sends_directly(client):
            yield from self.send(frame, client, message)
        elif self.clients[client].queue_length >= self.clients[client].max_send_queue_size:
            yield from self.refuse(frame, client, message)
        else:
            self.queue_message(client, message)

    def sends_directly(self, client: int) -> bool:
        """RD-2, RD-3: the queue is never overtaken; without flow control there is none (TOK-4)."""
        row = self.clients[client]
        return not row.flow_control or (row.queue_length == 0 and row.send_tokens > 0)

    def send(self, frame: Frame, client: int, message: Message) -> Steps[None]:
        """RD-6: one send token, one message; the callback borrows it, then the reference is dropped (CB-4)."""
        self.spend_credit(client)
        yield SendMsgToClient(message, self.clients[client].peer)
        yield from self.unref(message)

    def spend_credit(self, client: int) -> None:
        """RD-6: a message costs one send token; without flow control there is no count (TOK-4)."""
        row = self.clients[client]
        if row.flow_control:
            row.send_tokens -= 1
            row.sent += 1

    def refuse(self, frame: Frame, client: int, message: Message) -> Steps[None]:
        """RD-4: the send queue is full: the client becomes leaving, the message is dropped, removal is asked for."""
        self.mark_leaving(client)
        yield from self.unref(message)
        if client in self.clients:
            yield RemoveClient(self.clients[client].peer)

    def queue_message(self, client: int, message: Message) -> None:
        """RD-2, RD-5: the message waits for a send token, for as long as the wait timer allows."""
        row = self.clients[client]
        handle = self.send_queue.next_handle()
        self.send_queue.insert(QueuedMessage(handle, client, message))
        row.queue_length += 1
        if self.needs_wait_timer(client):
            self.start_wait_timer(client)

    def needs_wait_timer(self, client: int) -> bool:
        """RD-5: whether a message that was queued just now starts the wait timer: not if it is armed."""
        return not self.clients[client].wait_armed

    def start_wait_timer(self, client: int) -> None:
        """RD-5: arm or restart the client's wait timer."""
        row = self.clients[client]
        row.wait_armed = True
        row.wait_due_ms = self.device.now_ms + WAIT_DELAY_MS

    def cancel_wait_timer(self, client: int) -> None:
        """RD-5: disarm the client's wait timer, because it left nothing waiting."""
        self.clients[client].wait_armed = False

    def settle_wait_timer(self, client: int) -> None:
        """RD-5: a message was taken off the queue: disarm the wait timer with the last one, else restart it."""
        if self.clients[client].queue_length == 0:
            self.cancel_wait_timer(client)
        else:
            self.start_wait_timer(client)

    def send_to_client_tokens_add(self, frame: Frame, peer: Peer, tokens: int) -> Steps[None]:
        """spice_char_device_send_to_client_tokens_add: the client grants `tokens` more messages (RD-7).

        Adding 0 does nothing and asks for no read; without flow control there is no count (TOK-4).
        """
        client = self.check_grant(peer, tokens)
        if self.counts_credit(client) and self.is_grant(tokens):
            self.add_credit(client, tokens)
            yield from self.use_credit(frame, client)

    def send_to_client_tokens_set(self, frame: Frame, peer: Peer, tokens: int) -> Steps[None]:
        """spice_char_device_send_to_client_tokens_set: the client now grants `tokens` messages in all (RD-7)."""
        client = self.check_grant(peer, tokens)
        if self.counts_credit(client):
            self.add_credit(client, tokens - self.clients[client].send_tokens)
            yield from self.use_credit(frame, client)

    def counts_credit(self, client: int) -> bool:
        """TOK-4: whether the client's send tokens are counted."""
        return self.clients[client].flow_control

    def is_grant(self, tokens: int) -> bool:
        """RD-7: whether adding so many send tokens does anything."""
        return tokens > 0

    def add_credit(self, client: int, tokens: int) -> None:
        """RD-7: the client grants so many messages more, or, by a negative number, fewer."""
        row = self.clients[client]
        row.send_tokens += tokens
        row.granted += tokens

    def check_grant(self, peer: Peer, tokens: int) -> int:
        """RD-9: only an attached client grants tokens; the client's handle."""
        self.check_alive()
        self.check_count("tokens", tokens)
        return self.check_attached(peer)

    def check_attached(self, peer: Peer) -> int:
        """RD-9: the handle of an attached client."""
        client = self.clients.attached(peer)
        if client is None:
            raise ClientNotAttachedError(f"client {peer!r} is not attached")
        return client

    def use_credit(self, frame: Frame, client: int) -> Steps[None]:
        """RD-7: push the client's queue, then read on, even if the client went meanwhile.

        A leaving client's count changes and nothing else (RD-4).
        Inside a push of the same queue, the outer push and its read do both.
        """
        if self.clients[client].leaving:
            return
        if self.clients[client].pushing:
            self.ask_for_read()
            return
        self.device.read_due += 1
        yield from self.push(frame, client)
        if self.device.destroyed:
            return
        self.device.read_due -= 1
        yield from self.read_after_push(frame, client)

    def read_after_push(self, frame: Frame, client: int) -> Steps[None]:
        """RD-7: the read that a grant asks for, whoever has credit and even if the client is gone."""
        yield from self.read_pass(frame)

    def push(self, frame: Frame, client: int) -> Steps[None]:
        """RD-7: send queued messages, oldest first, one token each; an exception does not stop it (CB-5)."""
        self.clients[client].pushing = True
        while (yield LOOP) and self.may_push(client):
            yield from self.send(frame, client, self.pop_message(client))
        if client in self.clients:
            self.clients[client].pushing = False

    def may_push(self, client: int) -> bool:
        """RD-3, RD-6: the client is there, stays, has a token, and a message waits for it."""
        if client not in self.clients:
            return False
        row = self.clients[client]
        return row.queue_length > 0 and row.send_tokens > 0 and not row.leaving

    def pop_message(self, client: int) -> Message:
        """RD-5: take the oldest message; the wait timer is disarmed with the last one, else restarted."""
        row = self.clients[client]
        entry = self.send_queue.first(client)
        message = self.send_queue[entry].message
        self.send_queue.delete(entry)
        row.queue_length -= 1
        self.settle_wait_timer(client)
        return message

    def wait_timer_fired(self, frame: Frame, peer: Peer) -> Steps[None]:
        """The client's wait timer: it left messages waiting too long and must go (RD-5).

        A timer that is not armed does nothing (LC-9).
        """
        client = self.clients.attached(peer)
        if client is not None and self.clients[client].wait_armed:
            self.clients[client].wait_armed = False
            yield from self.ask_to_remove(frame, client)
