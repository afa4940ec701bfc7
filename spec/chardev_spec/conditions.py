"""What the machine asks of its state: may it write, may it read, what is owed.

This is the lowest layer of the machine.
The layers above it, each a class that builds on the one before, are `tokens`, `buffers`, `writing`, `reading`,
`life_cycle` and `migration`; `contract.Contract` is the whole.
"""

from collections.abc import Generator
from typing import Any, TypeAlias, TypeVar

from chardev_spec.errors import CountOutOfRangeError, DestroyedDeviceError
from chardev_spec.events import Event
from chardev_spec.state import RETRY_DELAY_MS, UINT32_MAX, Client, State

Result = TypeVar("Result")
Steps: TypeAlias = Generator[Event, Any, Result]
"""An action: it yields events, is sent their answers, and returns its result."""


class Frame:
    """One call of the API that has not returned.

    `raised` is set by the runner when a callback of this frame raises (CB-5).
    `moved` counts the buffers completed and messages read by it (WR-5), `progressed` says whether it moved
    anything at all, part of a buffer included.
    `limited` says whether a limit stopped one of its passes (WR-5).
    """

    __slots__ = ("limited", "moved", "progressed", "raised")

    def __init__(self) -> None:
        self.raised = False
        self.moved = 0
        self.progressed = False
        self.limited = False


class Conditions:
    """The state, and questions about it."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.device = state.device
        self.clients = state.clients
        self.buffers = state.buffers
        self.send_queue = state.send_queue

    def may_move(self) -> bool:
        """Whether the port may be used at all (WR-2, RD-1)."""
        device = self.device
        return (
            device.running
            and device.port is not None
            and device.awaiting is None
            and not device.sealed
        )

    def may_write(self) -> bool:
        """Whether something is pending and the port may be written to (WR-2)."""
        return self.buffers.pending() and self.may_move()

    def has_credit(self, row: Client) -> bool:
        """Whether a message may be sent to this client now (RD-1, RD-6); without flow control always (TOK-4)."""
        return not row.leaving and (not row.flow_control or row.send_tokens > 0)

    def wants_messages(self) -> bool:
        """RD-1: whether someone may be sent to, or there is no client at all, so that what is read is dropped."""
        return self.clients.empty() or self.clients.exists(self.has_credit)

    def may_read(self) -> bool:
        """RD-1: whether the port may be read."""
        return self.may_move() and self.wants_messages()

    def write_owed(self) -> bool:
        """WR-6: whether pending data relies on the retry timer: no writer is on the stack, no wakeup is to come."""
        device = self.device
        return (
            not device.writing
            and (device.write_limited or not device.port_owes_wakeup)
            and self.may_write()
        )

    def read_owed(self) -> bool:
        """RD-8: whether a read that was asked for relies on the retry timer."""
        device = self.device
        return device.read_wanted and not device.reading and self.may_read()

    def settle_retry_timer(self) -> None:
        """WR-4, RD-8: restart the retry timer when something is owed, else disarm it.

        What a limit left behind is tried again at once (WR-5), what the port refused after a delay.
        """
        device = self.device
        if self.read_owed():
            device.retry_armed = True
            device.retry_due_ms = device.now_ms
        elif self.write_owed():
            delay_ms = 0 if device.write_limited else RETRY_DELAY_MS
            device.retry_armed = True
            device.retry_due_ms = device.now_ms + delay_ms
        else:
            device.retry_armed = False

    def disarm_idle_retry_timer(self) -> None:
        """WR-4: disarm the retry timer when nothing is owed any more; never restart it."""
        if not self.read_owed() and not self.write_owed():
            self.device.retry_armed = False

    def check_alive(self) -> None:
        """LC-5: no call on a destroyed device."""
        if self.device.destroyed:
            raise DestroyedDeviceError("the device has been destroyed; create a new one")

    def check_count(self, name: str, count: int) -> None:
        """TOK-5: a count is one that the header's types carry."""
        if count < 0 or count > UINT32_MAX:
            raise CountOutOfRangeError(f"{name} is {count}; it must be 0 to {UINT32_MAX}")
