"""Machines made by hand, each to break one invariant that quirks and machine-made mutants seldom break first."""

from typing import Final

from chardev_spec.conditions import Frame, Steps
from chardev_spec.contract import Contract
from chardev_spec.events import PortWrite, ReadOneMsgFromDevice, SendTokensToClient
from chardev_spec.state import WAIT_DELAY_MS, Buffer, Origin, Place, QueuedMessage

FUNCTION: Final = "stop"
"""What they all change: in the contract it calls nothing back, so nothing else fails before."""


class FreesWithoutFlowControl(Contract):
    """Frees a token of a client that has none."""

    def stop(self, frame: Frame) -> None:
        super().stop(frame)
        self.clients.update(lambda row: not row.flow_control, freed=lambda _: 1)


class WritesWhatIsHeld(Contract):
    """Says that a byte of each held buffer is written."""

    def stop(self, frame: Frame) -> None:
        super().stop(frame)
        self.buffers.update(lambda row: row.place == Place.HELD, written=lambda _: 1)


class QueuesOne(Contract):
    """Puts a buffer that was never added in the write queue."""

    place = Place.QUEUED

    def stop(self, frame: Frame) -> None:
        super().stop(frame)
        handle = self.buffers.next_handle()
        origin = Origin.SERVER_NO_TOKEN
        self.buffers.insert(Buffer(handle, origin, None, capacity=1, price=0, place=self.place))


class QueuesAnotherCurrent(QueuesOne):
    """Makes a second buffer current."""

    place = Place.CURRENT


class QueuesForNobody(Contract):
    """Queues a message for a client that was never there."""

    def stop(self, frame: Frame) -> None:
        super().stop(frame)
        self.send_queue.insert(QueuedMessage(self.send_queue.next_handle(), 0, 1))


class WritesAtAnyTime(Contract):
    """Writes to a port that may not be there."""

    def stop(self, frame: Frame) -> Steps[None]:  # type: ignore[override] # stop has no callback
        self.check_alive()
        yield PortWrite(1, bytes(1))


class ReadsAtAnyTime(Contract):
    """Reads a port that may not be there."""

    def stop(self, frame: Frame) -> Steps[None]:  # type: ignore[override] # stop has no callback
        self.check_alive()
        yield ReadOneMsgFromDevice(1)


class AnnouncesNothing(Contract):
    """Announces no token, whatever the interval is."""

    def stop(self, frame: Frame) -> Steps[None]:  # type: ignore[override] # stop has no callback
        self.check_alive()
        yield SendTokensToClient(1, 0)


class PaysBack(Contract):
    """Gives a token to whoever holds a buffer."""

    def stop(self, frame: Frame) -> None:
        super().stop(frame)
        self.buffers.update(lambda row: row.place == Place.HELD, price=lambda _: -1)


class WaitsTooLong(Contract):
    """Sets wait timers to later than their delay."""

    def stop(self, frame: Frame) -> None:
        super().stop(frame)
        late = self.device.now_ms + WAIT_DELAY_MS + 1
        self.clients.update(lambda row: row.wait_armed, wait_due_ms=lambda _: late)


class OwesForEver(Contract):
    """Owes a write when it has returned."""

    def stop(self, frame: Frame) -> None:
        super().stop(frame)
        self.device.write_due += 1


BREAKS: Final[dict[type[Contract], str]] = {
    FreesWithoutFlowControl: "nothing_is_freed_without_flow_control",
    WritesWhatIsHeld: "written_bytes_fit_the_place",
    QueuesOne: "queued_buffers_have_a_number",
    QueuesAnotherCurrent: "write_queue_is_in_order",
    QueuesForNobody: "queued_messages_have_a_client",
    WritesAtAnyTime: "writes_are_allowed",
    ReadsAtAnyTime: "reads_are_allowed",
    AnnouncesNothing: "announcements_reach_the_interval",
    PaysBack: "sizes_and_prices_are_sound",
    WaitsTooLong: "wait_timer_is_soon_due",
    OwesForEver: "nothing_is_left_on_the_stack",
}
"""Each with the invariant that it breaks."""
