"""Where the contract leaves a choice, the specification chooses what the implementation is seen to do."""

from collections.abc import Callable
from typing import Any, TypeAlias

from chardev_spec import events
from chardev_spec.events import Callback, Choice, ChooseGoOn, ChooseOffer, PortWrite
from chardev_spec.runner import Runner


class Ended:
    """The implementation's call has ended; a hint for the spec's choices."""


Seen: TypeAlias = Callback | Ended


class Choices:
    """Settles the spec's choices by what the implementation is seen to do next."""

    def __init__(
        self,
        moves_per_call: int | None,
        retry_is_due: Callable[[], bool],
        offered: Callable[[], int | None],
    ) -> None:
        self.moves_per_call = moves_per_call
        self._retry_is_due = retry_is_due
        self._buffers_offered = offered
        self.seen: Seen = Ended()
        self.runner: Runner

    def answer(self, event: Callback) -> Any:
        """Never asked."""
        raise AssertionError("the lockstep answers callbacks itself")

    def choose(self, event: Choice) -> Any:
        """What the implementation does, as far as it shows."""
        if isinstance(event, ChooseGoOn):
            return self._goes_on(event)
        return self._offered(event)

    def _goes_on(self, event: ChooseGoOn) -> bool:
        if self.moves_per_call is not None:
            return event.moved < self.moves_per_call
        if self.runner.stack[-1].innermost() == "read_once":
            return isinstance(self.seen, events.ReadOneMsgFromDevice)
        if isinstance(self.seen, Ended | events.ReadOneMsgFromDevice):
            # The write pass has ended, or only empty buffers are left, which may go without any callback (BUF-6).
            # A limit that left them shows: the retry timer is due at once (WR-5).
            return self._only_empty() and not self._retry_is_due()
        return True

    def _only_empty(self) -> bool:
        return not any(row.data for row in self.runner.state.buffers.pending_rows())

    def _offered(self, event: ChooseOffer) -> int:
        """How many buffers make up the bytes that the implementation offered.

        The bytes do not tell of empty buffers behind them; the target may.
        """
        if not isinstance(self.seen, PortWrite):
            return 1
        known = self._buffers_offered()
        if known is not None:
            return min(known, event.available)
        size, count, total = len(self.seen.data), 0, 0
        for row in self.runner.state.buffers.pending_rows():
            total += len(row.data) - row.written
            if total > size and count > 0:
                break
            count += 1
        return count
