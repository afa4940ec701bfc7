"""Quirks of reset."""

from chardev_spec.conditions import Frame, Steps
from chardev_spec.events import LOOP, Message
from chardev_spec.profiles.quirk import ALL, BOTH, SPICE_0_15, Quirk, no_steps
from chardev_spec.state import Place


class ResetKeepsHeldBuffers(Quirk):
    """LC-3: client buffers that the owner holds stay the client's; their price returns when they are used."""

    releases = ALL

    def reset_held_buffers(self) -> None:
        """Nothing."""


class ResetReturnsPricesOneByOne(Quirk):
    """LC-3, CB-1: buffers are dropped one by one, queued ones oldest first and then the current one.

    The price of each returns as if it had been written: self tokens at once, freed tokens when they reach the interval.
    All this comes before the messages are dropped.
    """

    releases = ALL
    refuted_by = "tokens_are_conserved"

    def reset_pending_buffers(self) -> int:
        """Nothing yet."""
        return 0

    def reset_self_tokens(self, frame: Frame, returned: int) -> Steps[None]:
        """Give back whatever is pending; callbacks see what is left of it."""
        while (yield LOOP) and self.buffers.any_in(Place.QUEUED):
            yield from self.give_back(frame, self.buffers.first(Place.QUEUED))
        if self.buffers.any_in(Place.CURRENT):
            yield from self.give_back(frame, self.buffers.first(Place.CURRENT))


class ResetDoesNotAnnounce(Quirk):
    """LC-3, TOK-3: nothing is announced at the end of a reset: what is below the interval stays freed."""

    releases = BOTH
    refuted_by = "freed_tokens_are_announced"

    def reset_announce(self, frame: Frame, todo: list[int]) -> Steps[None]:
        """Nothing."""
        yield from no_steps()


class ResetFoldsFreedTokens(Quirk):
    """LC-3, TOK-6: freed tokens become client tokens at the end of a reset, and nobody is told.

    The agent's owner tells the client of its whole window when the agent comes back; other owners tell nothing.
    """

    releases = (SPICE_0_15,)
    refuted_by = "client_knows_its_tokens"

    def reset_announce(self, frame: Frame, todo: list[int]) -> Steps[None]:
        """Move the counts, silently."""
        self.clients.update(
            lambda row: True, tokens=lambda row: row.tokens + row.freed, freed=lambda row: 0
        )
        yield from no_steps()


class ResetDetachesLast(Quirk):
    """LC-3, CB-1: a reset takes the port away when all its callbacks have been made.

    So a device that a callback starts goes on with the old port, and is left running without any.
    """

    releases = BOTH

    def reset_detach(self) -> None:
        """Not yet; what the outstanding write answers counts nothing."""
        self.device.answer_ignored = True

    def reset(self, frame: Frame) -> Steps[None]:
        """Reset, then detach; the retry timer stays as the callbacks left it."""
        yield from super().reset(frame)
        if not self.device.destroyed:
            armed = self.device.retry_armed
            self.detach()
            self.device.retry_armed = armed


class ResetKeepsWaitTimer(Quirk):
    """LC-3, RD-5: wait timers stay armed, though nothing waits any more."""

    releases = ALL
    refuted_by = "waiting_is_timed"

    def reset_wait_timers(self) -> None:
        """Nothing."""


class ResetGrantsQueuedTokens(Quirk):
    """LC-3, RD-6: a client is credited a send token for each message of its that was dropped."""

    releases = ALL
    refuted_by = "credit_is_conserved"

    def reset_send_queues(self) -> list[Message]:
        """Credit first, then empty the queues."""
        self.clients.update(
            lambda row: True, send_tokens=lambda row: row.send_tokens + row.queue_length
        )
        return super().reset_send_queues()
