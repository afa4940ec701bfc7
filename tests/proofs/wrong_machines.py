"""Machines with one defect each, chosen so that only a sound engine notices it: each breaks one trap of the lifting.

A machine is listed with the function whose proof must fail.
"""

from typing import Final

from chardev_spec.conditions import Frame, Steps
from chardev_spec.contract import Contract
from chardev_spec.events import LOOP, Message, OnFreeSelfToken, Peer, RemoveClient, UnrefMsgToClient
from chardev_spec.state import Place


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
    MarshallsTooFew: "migrate_data_marshall",
}
