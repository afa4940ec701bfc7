"""Machines with one defect each, chosen so that only a sound engine notices it: each breaks one trap of the lifting.

A machine is listed with the function whose proof must fail.
"""

from typing import Final

from chardev_spec.conditions import Frame, Steps
from chardev_spec.contract import Contract
from chardev_spec.events import (
    LOOP,
    ChooseOffer,
    Message,
    OnFreeSelfToken,
    Peer,
    PortWrite,
    ReadOneMsgFromDevice,
    RemoveClient,
    UnrefMsgToClient,
)
from chardev_spec.state import Place
from chardev_spec.writing import Outcome


class KeepsLookingAfterACallback(Contract):
    """Uses the client after a callback in which it may have been removed."""

    def ask_to_remove(self, frame: Frame, client: int) -> Steps[None]:
        self.mark_leaving(client)
        yield RemoveClient(self.clients[client].peer)
        self.clients[client].freed += 0


class TrustsAScalarAfterACallback(Contract):
    """Takes it that the device is not destroyed in a callback."""

    def ask_to_remove(self, frame: Frame, client: int) -> Steps[None]:
        self.mark_leaving(client)
        yield RemoveClient(self.clients[client].peer)
        assert not self.device.destroyed


class FailsAfterALoop(Contract):
    """Fails behind a loop that calls back."""

    def start(self, frame: Frame) -> Steps[None]:
        self.check_alive()
        turns = 2
        while (yield LOOP) and turns > 0:
            turns -= 1
            yield UnrefMsgToClient(0)
        assert turns > 0


class CountsFurtherThanItsLoop(Contract):
    """A local that changes in a loop is taken for what it was before it."""

    def start(self, frame: Frame) -> Steps[None]:
        self.check_alive()
        turns = 0
        while (yield LOOP) and not self.device.destroyed:
            assert turns < 2
            turns += 1
            yield OnFreeSelfToken()


class WrongOnTheOtherPath(Contract):
    """Right where there is a self token; the other path breaks SELF-2."""

    def get_for_server(self, size: int) -> int | None:
        if self.device.self_tokens > 0:
            return super().get_for_server(size)
        self.device.self_tokens -= 1
        return None


class KeepsTheGuard(Contract):
    """A write pass that never gives its guard back."""

    def settle_after_write(self) -> None:
        self.device.writing = True
        super().settle_after_write()


class ForgetsARequest(Contract):
    """`stop` forgets that a write was asked for during the port's write: the suspended writer relies on it."""

    def stop(self, frame: Frame) -> None:
        self.check_alive()
        self.halt()
        self.device.write_asked = False


class WrongInABranch(Contract):
    """Leaves a stopped device active, where one thing is so; elsewhere it is right."""

    def halt(self) -> None:
        super().halt()
        if self.device.write_limited:
            self.device.active = True


class WrongInTheOtherBranch(Contract):
    """The same, where it is not so."""

    def halt(self) -> None:
        super().halt()
        if not self.device.write_limited:
            self.device.active = True


class CompletesHalf(Contract):
    """Returns the price of one written buffer and leaves the rest."""

    def complete(self, frame: Frame, completed: int) -> Steps[None]:
        frame.moved += completed
        frame.progressed = True
        if self.buffers.any_in(Place.WRITTEN):
            yield from self.give_back(frame, self.buffers.first(Place.WRITTEN))


class PicksFromNothing(Contract):
    """Takes the first message of a queue that may be empty."""

    def wait_timer_fired(self, frame: Frame, peer: Peer) -> Steps[None]:
        client = self.clients.attached(peer)
        if client is not None and not self.clients[client].wait_armed:
            assert self.send_queue[self.send_queue.first(client)].client == client
        yield from super().wait_timer_fired(frame, peer)


class LosesATotal(Contract):
    """A buffer is freed and its price is not returned."""

    def write_buffer_release(self, frame: Frame, handle: int) -> Steps[None]:
        self.check_alive()
        self.check_held(handle)
        self.free(handle)
        yield from self.free_self_tokens(frame, 0)


class CallsFromTheGrave(Contract):
    """Calls back though the device may be destroyed."""

    def retry_timer_fired(self, frame: Frame) -> Steps[None]:
        yield OnFreeSelfToken()
        yield from super().retry_timer_fired(frame)


class RefusesTooLate(Contract):
    """Raises a contract error when something has changed already."""

    def stop(self, frame: Frame) -> None:
        self.halt()
        self.device.read_wanted = not self.device.read_wanted
        self.check_alive()


class ServesTwice(Contract):
    """Delivers a message to each recipient twice."""

    def fan_out(self, frame: Frame, message: Message) -> Steps[None]:
        recipients = self.clients.newest_first()
        while (yield LOOP) and recipients:
            client = recipients.pop(0)
            if client in self.clients and not self.clients[client].leaving:
                yield from self.deliver(frame, client, message)
                yield from self.deliver(frame, client, message)
        yield from self.unref(message)


class PassesOver(Contract):
    """Leaves out every second recipient."""

    def fan_out(self, frame: Frame, message: Message) -> Steps[None]:
        recipients = self.clients.newest_first()
        while (yield LOOP) and recipients:
            client = recipients.pop(0)
            if recipients:
                client = recipients.pop(0)
            if client in self.clients and not self.clients[client].leaving:
                yield from self.deliver(frame, client, message)
        yield from self.unref(message)


class SaysItForEver(Contract):
    """Says of a self token that it has returned, again and again."""

    def free_self_tokens(self, frame: Frame, returned: int) -> Steps[None]:
        while (yield LOOP) and returned > 0 and not self.device.destroyed:
            yield OnFreeSelfToken()


class CountsNoBuffer(Contract):
    """Completes buffers and does not count them, so that no limit stops it."""

    def complete(self, frame: Frame, completed: int) -> Steps[None]:
        yield from super().complete(frame, completed)
        frame.moved -= completed


class CountsNoMessage(Contract):
    """Reads messages and does not count them."""

    def fan_out(self, frame: Frame, message: Message) -> Steps[None]:
        frame.moved -= 1
        yield from super().fan_out(frame, message)


class AsksForNoLimit(Contract):
    """Writes on without asking whether the limit allows it."""

    def write_once(self, frame: Frame) -> Steps[Outcome]:
        completed = self.take(0)
        if completed > 0:
            yield from self.complete(frame, completed)
            return Outcome.MOVED
        count = yield ChooseOffer(self.buffers.pending_count())
        return (yield from self.write_to_port(frame, count))


class AsksForAnotherLimit(Contract):
    """Asks for each message as if it were the first."""

    def read_once(self, frame: Frame) -> Steps[Outcome]:
        moved, frame.moved = frame.moved, 0
        outcome = yield from super().read_once(frame)
        frame.moved += moved
        return outcome


class TakesNothing(Contract):
    """Leaves the current buffer as it was when the port took a part of it: the same bytes are written again."""

    def take_answer(self, taken: int) -> int:
        return super().take_answer(taken) if taken > 1 else 0


class RepeatsWhatMovedNothing(Contract):
    """Tries again as often as it is asked to, though nothing moves."""

    def limit_repeats(self, outcome: Outcome, repeated: bool) -> Outcome:
        return outcome


class PushesForNothing(Contract):
    """Takes no token for a message that it pushes."""

    def spend_credit(self, client: int) -> None:
        if not self.clients[client].pushing:
            super().spend_credit(client)


class WritesBesideTheWriter(Contract):
    """Takes a byte off the current buffer while the writer may wait for the port."""

    def stop(self, frame: Frame) -> None:
        self.check_alive()
        self.halt()
        if self.buffers.any_in(Place.CURRENT):
            row = self.buffers[self.buffers.first(Place.CURRENT)]
            if len(row.data) - row.written > 1:
                row.written += 1


class GivesAnotherPart(Contract):
    """Gives the port what comes behind the first byte that is due."""

    def write_to_port(self, frame: Frame, count: int) -> Steps[Outcome]:
        steps, answer = super().write_to_port(frame, count), None
        while True:
            try:
                event = steps.send(answer)
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome
            if type(event) is PortWrite:
                event = PortWrite(event.port, event.data[1:])
            answer = yield event


class WritesTwice(Contract):
    """Leaves in the queue what the port took, as if it had taken nothing."""

    def write_to_port(self, frame: Frame, count: int) -> Steps[Outcome]:
        offer = self.buffers.offer(count)
        self.device.write_outstanding = True
        self.device.answer_ignored = False
        assert self.device.port is not None
        yield PortWrite(self.device.port, offer.data)
        self.keep_spare(self.buffers.end_offer())
        self.device.write_outstanding = False
        return Outcome.NOTHING


class TakesWithoutAWrite(Contract):
    """Takes the first byte off the queue before anything is written."""

    def write_once(self, frame: Frame) -> Steps[Outcome]:
        if self.take(1) > 0:
            yield from self.complete(frame, 1)
        return (yield from super().write_once(frame))


class Overtakes(Contract):
    """Sends a message to whoever has a send token, past those that wait."""

    def sends_directly(self, client: int) -> bool:
        return not self.clients[client].flow_control or self.clients[client].send_tokens > 0


class PopsTheNewest(Contract):
    """Takes the newest message of a queue first, where that is the client's."""

    def pop_message(self, client: int) -> Message:
        entry = self.send_queue.next_handle() - 1
        if entry not in self.send_queue or self.send_queue[entry].client != client:
            entry = self.send_queue.first(client)
        message = self.send_queue[entry].message
        self.send_queue.delete(entry)
        self.clients[client].queue_length -= 1
        self.settle_wait_timer(client)
        return message


class SendsAnother(Contract):
    """Sends another message than the one that it took from the queue."""

    def pop_message(self, client: int) -> Message:
        return super().pop_message(client) + 1


class QueuesAnother(Contract):
    """Queues another message than the one that was read."""

    def queue_message(self, client: int, message: Message) -> None:
        super().queue_message(client, message + 1)


class ReadsInsideAFanOut(Contract):
    """Reads while a message is being fanned out."""

    def read_pass(self, frame: Frame) -> Steps[None]:
        if self.device.reading and self.may_read():
            yield ReadOneMsgFromDevice(self.port_to_read())
        yield from super().read_pass(frame)


class MarshallsTooFew(Contract):
    """Keeps a client's tokens from the record."""

    def marshalled_count(self, client: int, count: int) -> int:
        return 0


WRONG: Final[dict[type[Contract], str]] = {
    KeepsLookingAfterACallback: "wait_timer_fired",
    TrustsAScalarAfterACallback: "wait_timer_fired",
    FailsAfterALoop: "start",
    CountsFurtherThanItsLoop: "start",
    WrongOnTheOtherPath: "write_buffer_get",
    KeepsTheGuard: "write_pass",
    ForgetsARequest: "stop",
    WrongInABranch: "stop",
    WrongInTheOtherBranch: "stop",
    CompletesHalf: "complete",
    PicksFromNothing: "wait_timer_fired",
    LosesATotal: "write_buffer_release",
    CallsFromTheGrave: "retry_timer_fired",
    RefusesTooLate: "stop",
    ServesTwice: "fan_out",
    PassesOver: "fan_out",
    SaysItForEver: "client_remove",
    CountsNoBuffer: "complete",
    CountsNoMessage: "fan_out",
    AsksForNoLimit: "write_once",
    AsksForAnotherLimit: "read_pass",
    TakesNothing: "take_answer",
    RepeatsWhatMovedNothing: "write_pass",
    PushesForNothing: "send_to_client_tokens_add",
    WritesBesideTheWriter: "stop",
    GivesAnotherPart: "write_to_port",
    WritesTwice: "write_to_port",
    TakesWithoutAWrite: "write_once",
    Overtakes: "deliver",
    PopsTheNewest: "send_to_client_tokens_add",
    SendsAnother: "send_to_client_tokens_add",
    QueuesAnother: "deliver",
    ReadsInsideAFanOut: "read_pass",
    MarshallsTooFew: "migrate_data_marshall",
}
