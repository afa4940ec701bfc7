"""What an implementation was seen to do, as a target: a recorded trace is judged as if the implementation ran.

Theory of operation
===================
The script replays what was done, and this target answers every call with what was recorded for it: the callbacks in
their order, how the call ended, the timers.
So the lockstep judges a record by the same comparison as a live implementation.
The lockstep performs the recorded steps in their order, but for those that speak of a name that stands for nothing;
those are passed over here, too.
"""

from collections.abc import Iterator
from typing import Any

from chardev_conformance.scenario import Observed, Outcome, Scenario, Step
from chardev_conformance.target import (
    BrokenError,
    CallbackError,
    Capabilities,
    Host,
    Marshalled,
    RefusedError,
    TargetError,
    Timers,
)

NO_TIMERS = Timers(None, {})


class RecordEndError(BaseException):
    """The record ends in the middle of a call, and what it ends with is allowed."""


class RecordedTarget:
    """The implementation whose observations a scenario holds."""

    def __init__(
        self,
        host: Host,
        ports: dict[str, bool],
        moves_per_call: int | None,
        *,
        observed: Observed,
        scenario: Scenario,
    ) -> None:
        self.host = host
        self.name = "a record"
        self.moves_per_call = observed.moves_per_call
        self.capabilities = Capabilities(observed.lacks)
        self.offered: int | None = None
        """How many buffers the latest port write offered, where that was recorded."""
        self._steps: list[Iterator[Step]] = [iter(scenario.steps)]
        self._timers: dict[str, Timers] = {}

    def timers(self, device: str) -> Timers:
        """The timers that were armed after the call, or the call that it is in."""
        return self._timers.get(device, NO_TIMERS)

    def perform(self, device: str, call: str, arguments: dict[str, Any]) -> Any:
        """What was recorded of the next call."""
        step = self._next(device, call)
        if step.timers or len(self._steps) == 1:
            self._timers = step.timers
        raised = None
        for answer in step.answers:
            assert answer.event is not None
            self.offered = answer.buffers
            self._steps.append(iter(answer.calls))
            try:
                self.host.callback(device, answer.event)
            except CallbackError as error:
                raised = raised or error
            self._steps.pop()
        return self._end(device, call, step.outcome or Outcome(), raised)

    def _next(self, device: str, call: str) -> Step:
        for step in self._steps[-1]:
            # Migration data is released by its name, whatever device the step speaks of.
            if step.call == call and (step.device == device or call == "migrate_data_release"):
                return step
        raise TargetError(f"the record has no {call} of {device} here; it is out of order")

    def _end(self, device: str, call: str, outcome: Outcome, raised: CallbackError | None) -> Any:
        value = outcome.value
        match outcome.kind:
            case "refused":
                raise RefusedError(value, "as recorded")
            case "raised":
                raise raised or CallbackError("recorded, though no callback raised")
            case "broken":
                raise BrokenError(value, f"recorded: {value}")
            case "callback":
                self.host.callback(device, value)
                raise RecordEndError
        if call == "migrate_data_marshall" and isinstance(value, str):
            return Marshalled(_bytes(value), None)
        if call.startswith("write_buffer_get"):
            return True if value else None
        return _bytes(value) if isinstance(value, str) else value


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise TargetError(f"what a call returned is not hexadecimal: {text!r}") from None
