"""Writing to the port: one queue, one writer, every byte once (WR).

Theory of operation
===================
A *write pass* is the only place where the port is written to.
It holds the writer's guard (`device.writing`) from its first look at the queue until every buffer that it
completed has returned its price, so a nested request never starts a second writer; it leaves a mark
(`device.write_asked`) instead, and the outer pass tries again (WR-5).

What the port completes leaves the queue in one step, before any callback; the prices are returned after, one by
one, and a callback may then do anything: stop, reset, remove the client, destroy (WR-3).

How many buffers one port write offers, and when a pass stops by limit, is the implementation's choice (WR-5).
"""

from enum import IntEnum

from chardev_spec.buffers import Buffers
from chardev_spec.conditions import Frame, Steps
from chardev_spec.events import LOOP, ChooseGoOn, ChooseOffer, PortFailed, PortWrite
from chardev_spec.state import Origin, Place


class Outcome(IntEnum):
    """How one try of a pass ended."""

    MOVED = 1
    """Something moved: go on."""
    NOTHING = 2
    """Nothing moved, and nobody asked meanwhile: the pass ends."""
    ASKED = 3
    """Nothing moved, but a request was made meanwhile: the pass tries again, once (WR-5)."""
    LIMIT = 4
    """The pass has done enough; the retry timer goes on with it at once (WR-5)."""


class Writing(Buffers):
    """The write pass."""

    def write_buffer_add(self, frame: Frame, handle: int, data: bytes) -> Steps[None]:
        """spice_char_device_write_buffer_add: the buffer joins the write queue, then one write pass (LC-2).

        `data` is what the owner put in the buffer; its length is the header's `buf_used`.
        A buffer whose client is gone is dropped: no token, no failure (BUF-4).
        It works while stopped, detached or awaiting (BUF-1).
        """
        self.check_alive()
        self.check_held(handle)
        self.check_used(handle, len(data))
        if self.buffers[handle].origin == Origin.NOBODY:
            yield from self.drop_added(frame, handle)
        else:
            self.buffers.enqueue(handle, data)
            yield from self.write_pass(frame)

    def drop_added(self, frame: Frame, handle: int) -> Steps[None]:
        """BUF-4, LC-2: an added buffer of a client that is gone is dropped; the write was asked for all the same."""
        self.free(handle)
        yield from self.write_pass(frame)

    def write_pass(self, frame: Frame) -> Steps[None]:
        """Write until the port takes nothing, nothing is pending, or a limit is reached (WR-4, WR-5)."""
        device = self.device
        device.write_asked = True
        if device.writing:
            return
        if frame.raised:
            device.write_limited = True
            self.settle_after_write()
            return
        device.writing = True
        device.write_limited = False
        outcome = Outcome.MOVED
        repeated = False
        while (yield LOOP) and self.goes_on(frame, outcome) and self.may_write():
            outcome = yield from self.write_once(frame)
            outcome = self.limit_repeats(outcome, repeated)
            repeated = outcome == Outcome.ASKED
        if device.destroyed:
            return
        frame.limited = frame.limited or outcome == Outcome.LIMIT
        device.writing = False
        device.write_limited = outcome != Outcome.NOTHING and self.may_write()
        self.settle_after_write()

    def settle_after_write(self) -> None:
        """WR-4: a write pass has ended: restart the retry timer for what is owed now, or disarm it."""
        self.settle_retry_timer()

    def goes_on(self, frame: Frame, outcome: Outcome) -> bool:
        """Whether a pass tries again (WR-5); an exception lets it start nothing new (CB-5)."""
        return not frame.raised and (outcome == Outcome.MOVED or outcome == Outcome.ASKED)

    def limit_repeats(self, outcome: Outcome, repeated: bool) -> Outcome:
        """WR-5: a try that was asked for and moves nothing again is not repeated until something moves."""
        return Outcome.LIMIT if outcome == Outcome.ASKED and repeated else outcome

    def write_once(self, frame: Frame) -> Steps[Outcome]:
        """One port write; before it, empty buffers at the head are consumed without one (BUF-6)."""
        if frame.moved > 0:
            goes_on = yield ChooseGoOn(frame.moved)
            if not goes_on:
                return Outcome.LIMIT
        completed = self.take(0)
        if completed > 0:
            yield from self.complete(frame, completed)
            return Outcome.MOVED
        count = yield ChooseOffer(self.buffers.pending_count())
        return (yield from self.write_to_port(frame, count))

    def write_to_port(self, frame: Frame, count: int) -> Steps[Outcome]:
        """Offer the first `count` buffers to the port, and do what its answer says (WR-1, WR-3, WR-8).

        The answer is judged against the state that the port call left: it counts nothing after a reset or
        destroy (WR-7), and blames a port only while that attachment lasts (WR-8).
        """
        device = self.device
        offer = self.buffers.offer(count)
        generation = device.port_generation
        device.write_asked = False
        device.write_outstanding = True
        device.answer_ignored = False
        assert device.port is not None
        taken = yield PortWrite(device.port, offer.data)
        self.keep_spare(self.buffers.end_offer())
        if device.destroyed:
            return Outcome.NOTHING
        device.write_outstanding = False
        failed = taken < 0 or taken > offer.size
        if failed or device.answer_ignored:
            taken = 0
        completed = self.take_answer(taken)
        if device.port_generation == generation:
            if failed:
                yield from self.fail_port(frame)
            else:
                device.port_owes_wakeup = device.announces_writability and taken < offer.size
        if taken > 0:
            frame.progressed = True
            yield from self.complete(frame, completed)
            return Outcome.MOVED
        if device.write_asked:
            return Outcome.ASKED
        return Outcome.NOTHING

    def take_answer(self, taken: int) -> int:
        """The port took `taken` bytes; how many buffers that completed.

        Buffers of a client that went during the write are dropped if untouched (WR-7), so that an empty one behind them
        is behind a completed one now (BUF-6).
        Bytes make the device active only while it runs (LC-8).
        """
        completed = 0
        if taken > 0:
            completed = self.take(taken)
            if self.device.running:
                self.device.active = True
        self.keep_spare(
            self.buffers.drop(lambda row: row.origin == Origin.NOBODY and row.place == Place.QUEUED)
        )
        if taken > 0:
            completed += self.take(0)
        return completed

    def take(self, size: int) -> int:
        """WR-3, BUF-6: `size` bytes leave the queue, with the empty buffers behind; how many buffers that completed."""
        return self.buffers.take(size)

    def complete(self, frame: Frame, completed: int) -> Steps[None]:
        """Return the prices of the written buffers, one by one, in order (WR-3)."""
        frame.moved += completed
        frame.progressed = True
        while (yield LOOP) and self.buffers.any_in(Place.WRITTEN):
            yield from self.give_back(frame, self.buffers.first(Place.WRITTEN))

    def fail_port(self, frame: Frame) -> Steps[None]:
        """WR-8: the port is detached as `reset_dev_instance(None)` does, then `port_failed` is called, once."""
        self.detach()
        yield PortFailed()

    def detach(self) -> None:
        """LC-4: the device has no port; the retry timer is disarmed. Pending data stays."""
        device = self.device
        device.port = None
        device.port_generation += 1
        device.announces_writability = False
        device.port_owes_wakeup = False
        device.retry_armed = False
