"""Quirks of reading: fan-out, send tokens, and the wait timer."""

from typing import Final

from chardev_spec.conditions import Frame, Steps
from chardev_spec.events import Message, Peer, RefMsgToClient, RemoveClient, SendMsgToClient
from chardev_spec.profiles.quirk import (
    ALL,
    BOTH,
    SPICE_0_12_4,
    DeviceField,
    Quirk,
    RowField,
    low_bits,
)
from chardev_spec.state import Client
from chardev_spec.writing import Outcome

UINT64_MAX: Final = 2**64 - 1
"""The counts of a client without flow control: all bits set."""

NO_PORT: Final = 0
"""What the read callback is given for the port when there is none."""


class DecidesBeforeReferring(Quirk):
    """RD-3, CB-4: whether a message is sent, queued or refused is decided before `ref_msg_to_client`.

    It is called for a message that is queued, and for no other.
    """

    releases = BOTH
    refuted_by = "queue_waits_for_tokens"

    def deliver(self, frame: Frame, client: int, message: Message) -> Steps[None]:
        """Send on the reader's own reference, or refuse, or refer and queue."""
        row = self.clients[client]
        if self.sends_directly(client):
            self.spend_credit(client)
            yield SendMsgToClient(message, row.peer)
        elif row.queue_length >= row.max_send_queue_size:
            self.mark_leaving(client)
            yield RemoveClient(row.peer)
        else:
            yield RefMsgToClient(message)
            # The releases look at the client again, gone or not: what follows there is undefined.
            if client in self.clients:
                self.device.references += 1
                self.queue_message(client, message)


class CreditSnapshot(Quirk):
    """RD-1: a read pass goes by the credit that the clients had when it began, less one for each message.

    What callbacks grant or take away meanwhile is not seen.
    """

    releases = ALL
    refuted_by = "reads_are_allowed"

    read_credit = DeviceField(0)
    """Messages that the read pass may still read."""

    def read_pass(self, frame: Frame) -> Steps[None]:
        """Note the largest credit of a client, unless a reader is on the stack."""
        if not self.device.reading:
            self.read_credit = self.clients.most_send_tokens()
            if self.clients.exists(lambda row: not row.flow_control):
                self.read_credit = UINT64_MAX
        yield from super().read_pass(frame)

    def fan_out(self, frame: Frame, message: Message) -> Steps[None]:
        """A message takes one off the credit; with none left, because there was no client, the count wraps round."""
        yield from super().fan_out(frame, message)
        self.read_credit = low_bits(self.read_credit - 1, 64)

    def wants_messages(self) -> bool:
        """Inside a read pass the noted credit counts."""
        if self.device.reading:
            return self.clients.empty() or self.read_credit > 0
        return super().wants_messages()


class ReadRequestsOutlastMessages(Quirk):
    """RD-8: a read that is asked for inside a read pass counts until the port says "nothing".

    So a request that a message has answered long since makes the device read once more behind the last message.
    A request while the device may not be read at all is none.
    """

    releases = BOTH

    read_requested = DeviceField(default=False)
    """Whether a read was asked for inside the read pass."""

    def ask_for_read(self) -> None:
        """Note it, when a reader is on the stack."""
        super().ask_for_read()
        requested = self.read_requested or self.may_move()
        self.read_requested = self.device.reading and requested

    def read_once(self, frame: Frame) -> Steps[Outcome]:
        """When the port says "nothing", every request of the pass counts, not those inside this read alone."""
        outcome = yield from super().read_once(frame)
        moved_nothing = outcome == Outcome.NOTHING or outcome == Outcome.ASKED
        if moved_nothing and not self.device.destroyed:
            self.device.read_wanted = self.read_requested
            outcome = Outcome.ASKED if self.read_requested else Outcome.NOTHING
            self.read_requested = False
        return outcome


class ReadsWithoutPort(Quirk):
    """RD-1: a running device that has no port is read all the same."""

    releases = (SPICE_0_12_4,)
    refuted_by = "reads_are_allowed"

    def may_read(self) -> bool:
        """Nobody looks whether there is a port."""
        device = self.device
        return (
            device.running
            and device.awaiting is None
            and not device.sealed
            and self.wants_messages()
        )

    def port_to_read(self) -> int:
        """The callback is called for no port."""
        port = self.device.port
        return NO_PORT if port is None else port


class TokensWithoutFlowControlCount(Quirk):
    """TOK-4, TOK-5: without flow control tokens are counted too, from 2**64 - 1 and round.

    `tokens_add` and `tokens_set` change the count and ask for a read.
    """

    releases = BOTH
    refuted_by = "bounds_fit_their_types"

    def new_client(
        self,
        peer: Peer,
        flow_control: bool,
        client_tokens: int,
        send_tokens: int,
        max_send_queue_size: int,
    ) -> Client:
        """Without flow control all counts begin at the largest number."""
        if not flow_control:
            client_tokens = UINT64_MAX
            send_tokens = UINT64_MAX
        return super().new_client(
            peer, flow_control, client_tokens, send_tokens, max_send_queue_size
        )

    def counts_credit(self, client: int) -> bool:
        """Every client's send tokens are counted."""
        return True

    def add_credit(self, client: int, tokens: int) -> None:
        """The count wraps round."""
        row = self.clients[client]
        row.send_tokens = low_bits(row.send_tokens + tokens, 64)
        row.granted += tokens

    def spend_credit(self, client: int) -> None:
        """The count wraps round."""
        row = self.clients[client]
        row.send_tokens = low_bits(row.send_tokens - 1, 64)
        row.sent += 1


class AddZeroIsAGrant(Quirk):
    """RD-7, RD-5: `tokens_add` of 0 does what any other does: it sets the wait timer and asks for a read."""

    releases = ALL

    def is_grant(self, tokens: int) -> bool:
        """Whatever the number."""
        return True


class ReadsOnlyWithOwnCredit(Quirk):
    """RD-7: `tokens_add` and `tokens_set` read only if this client has credit left; another's does not count."""

    releases = ALL
    refuted_by = "retry_timer_is_settled"

    def read_after_push(self, frame: Frame, client: int) -> Steps[None]:
        """Read if the client is there and may be sent to."""
        if client in self.clients and self.has_credit(self.clients[client]):
            yield from super().read_after_push(frame, client)


class NestedPushes(Quirk):
    """RD-7: nobody looks whether a push of the same queue is on the stack: a grant inside it pushes and reads."""

    releases = BOTH

    def use_credit(self, frame: Frame, client: int) -> Steps[None]:
        """Forget the push on the stack."""
        self.clients[client].pushing = False
        yield from super().use_credit(frame, client)


class WaitTimerSetAfterPush(Quirk):
    """RD-5: the wait timer is set once, after a push.

    Credit that is left disarms it, else messages that are left restart it.
    A last message that took the last token leaves it armed; a push of nothing restarts it.
    """

    releases = ALL
    refuted_by = "waiting_is_timed"

    def settle_wait_timer(self, client: int) -> None:
        """Nothing: a message that is taken off the queue changes no timer."""

    def push(self, frame: Frame, client: int) -> Steps[None]:
        """Push, then set the timer."""
        yield from super().push(frame, client)
        if client in self.clients:
            if self.has_credit(self.clients[client]):
                self.cancel_wait_timer(client)
            elif self.clients[client].queue_length > 0:
                self.start_wait_timer(client)


class WaitFlagOutlivesTimer(Quirk):
    """RD-5: whether a message that is queued starts the wait timer goes by a flag of its own.

    The flag is set with the timer and cleared when tokens come, but stays when the timer fires or is reset.
    So after a firing nothing starts the timer until tokens come.
    """

    releases = ALL
    refuted_by = "waiting_is_timed"

    wait_started = RowField(default=False)
    """The flag, by client."""

    def needs_wait_timer(self, client: int) -> bool:
        """The flag decides."""
        return not self.wait_started[client]

    def start_wait_timer(self, client: int) -> None:
        """Set the flag with the timer."""
        super().start_wait_timer(client)
        self.wait_started[client] = True

    def cancel_wait_timer(self, client: int) -> None:
        """Clear the flag with the timer."""
        super().cancel_wait_timer(client)
        self.wait_started[client] = False
