"""Quirks of writing: what is current, what is asked for, and the retry timer."""

from chardev_spec.conditions import Frame, Steps
from chardev_spec.profiles.quirk import (
    ALL,
    BOTH,
    SPICE_0_12_4,
    SPICE_0_15,
    SPICE_2015_11,
    DeviceField,
    Quirk,
    no_steps,
)
from chardev_spec.state import Place
from chardev_spec.writing import Outcome


class CurrentWhenOffered(Quirk):
    """WR-7, LC-7, BUF-4: a buffer is current from when it is offered to the port, though nothing of it was taken.

    A client that goes leaves it to be written.
    """

    releases = ALL

    def write_to_port(self, frame: Frame, count: int) -> Steps[Outcome]:
        """The head of the queue becomes current first."""
        self.buffers.move(self.buffers.first_pending(), Place.CURRENT)
        return (yield from super().write_to_port(frame, count))


class EmptyBufferBlocks(Quirk):
    """BUF-6, WR-6: an empty buffer is offered to the port, which takes none of its 0 bytes.

    It stays at the head of the queue for ever, and with it all that is behind.
    """

    releases = BOTH
    refuted_by = "writes_are_allowed"

    def take(self, size: int) -> int:
        """Empty buffers stay."""
        return self.buffers.take(size, empty=False)


class DroppedBufferAsksNoWrite(Quirk):
    """LC-2: `write_buffer_add` of a buffer whose client is gone does not write what else is pending."""

    releases = BOTH

    def drop_added(self, frame: Frame, handle: int) -> Steps[None]:
        """Free the buffer; that is all."""
        self.free(handle)
        yield from no_steps()


class NestedWrites(Quirk):
    """WR-5, WR-1: nobody looks whether a writer is on the stack.

    A write that is asked for inside the port's write offers the same bytes again.
    """

    releases = (SPICE_0_12_4,)
    refuted_by = "references_are_counted"

    def write_pass(self, frame: Frame) -> Steps[None]:
        """Forget the writer on the stack."""
        self.device.writing = False
        yield from super().write_pass(frame)


class WriteRequestsOutlastWrites(Quirk):
    """WR-5: a write that is asked for inside a write pass counts until the port takes nothing.

    So a request that further writes have answered long since makes the device try once more behind them.
    A request while the device may not write at all is none.
    """

    releases = (SPICE_2015_11, SPICE_0_15)

    write_requested = DeviceField(default=False)
    """Whether a write was asked for inside the write pass."""

    def write_pass(self, frame: Frame) -> Steps[None]:
        """Note it, when a writer is on the stack."""
        requested = self.write_requested or self.may_move()
        self.write_requested = self.device.writing and requested
        yield from super().write_pass(frame)

    def write_once(self, frame: Frame) -> Steps[Outcome]:
        """When the port takes nothing, every request of the pass counts, not those inside this write alone."""
        outcome = yield from super().write_once(frame)
        moved_nothing = outcome == Outcome.NOTHING or outcome == Outcome.ASKED
        if moved_nothing and not self.device.destroyed:
            outcome = Outcome.ASKED if self.write_requested else Outcome.NOTHING
            self.write_requested = False
        return outcome


class RepeatsAsLongAsAsked(Quirk):
    """WR-5: a try that moved nothing is repeated as often as another is asked for inside it: for ever, if always.

    Reading in both releases, writing in that of 2015 (2013 has no guard there).
    """

    releases = ALL

    def limit_repeats(self, outcome: Outcome, repeated: bool) -> Outcome:
        """No limit."""
        return outcome


class FailedPortIsNotNow(Quirk):
    """WR-8: a final write error is taken for "not now": the port stays, and is tried again."""

    releases = ALL

    def fail_port(self, frame: Frame) -> Steps[None]:
        """Nothing: the answer counts as 0."""
        yield from no_steps()


class RetryTimerOnlyForWriting(Quirk):
    """RD-8, WR-5: the retry timer is never armed for a read, and a read pass leaves it as it is."""

    releases = ALL
    refuted_by = "no_read_is_lost"

    def read_owed(self) -> bool:
        """Never."""
        return False

    def settle_after_read(self) -> None:
        """Nothing."""


class BlockedPassKeepsRetryTimer(Quirk):
    """WR-4: a write pass on a device that may not write leaves the retry timer armed.

    So it survives that a client is added for which migration data is awaited.
    Where a read pass settles the timer nothing of this is seen: it takes `RetryTimerOnlyForWriting` as well.
    """

    releases = BOTH

    def settle_after_write(self) -> None:
        """Only where the device may write."""
        if self.may_move():
            super().settle_after_write()


class RetryFiringOnlyWrites(Quirk):
    """WR-5, RD-8, LC-2: the firing of the retry timer writes and does not read."""

    releases = ALL
    refuted_by = "no_read_is_lost"

    def retry_timer_fired(self, frame: Frame) -> Steps[None]:
        """Disarm it, then one write pass."""
        if self.device.retry_armed:
            self.device.retry_armed = False
            yield from self.write_pass(frame)


class RetryTimerForEveryPort(Quirk):
    """WR-4: the retry timer is armed for every port, also for one that owes a wakeup."""

    releases = (SPICE_0_12_4,)
    refuted_by = "retry_timer_is_settled"

    def write_owed(self) -> bool:
        """Whatever the port announces."""
        return not self.device.writing and self.may_write()


class AnnouncingPortHasNoRetryTimer(Quirk):
    """WR-4, WR-5, WR-6: while the attached port announces writability there is no retry timer, whatever is owed.

    Observed after a write that failed: the port does not owe a wakeup for that, and nothing else will come.
    """

    releases = (SPICE_0_15,)
    refuted_by = "no_data_is_stuck"

    def write_owed(self) -> bool:
        """Only where the port does not announce writability."""
        device = self.device
        return not device.announces_writability and not device.writing and self.may_write()


class NoRetryTimerForAnnouncingPort(Quirk):
    """WR-4, WR-5, WR-6: a device whose first port announces writability has no retry timer.

    Not even for data that this port was never offered, nor for a later port that announces nothing.
    """

    releases = (SPICE_2015_11,)
    refuted_by = "no_data_is_stuck"

    has_retry_timer = DeviceField(default=True)

    def create(
        self, frame: Frame, port: int, client_tokens_interval: int, self_tokens: int
    ) -> None:
        """The first port decides for good."""
        super().create(frame, port, client_tokens_interval, self_tokens)
        self.has_retry_timer = not self.device.announces_writability

    def write_owed(self) -> bool:
        """If there is a timer, whether or not the port owes a wakeup."""
        return self.has_retry_timer and not self.device.writing and self.may_write()
