"""Runs a machine against an environment, and checks every invariant on the way.

Theory of operation
===================
`Call` is one call of the API that is being performed: it stops at each callback, shows it as `event`, and goes on when
it is answered.
Between the two the environment may begin further calls, to any depth: the runner keeps them on a stack, and only the
innermost may be answered (CB-1).
Choices are settled at once by the environment's `choose`.

`Runner.call` performs a whole call at once: each callback goes to the environment's `answer`, which may call back into
the runner.

The clock is virtual: `Runner.advance` moves it, and the environment fires what is due.
"""

from collections.abc import Callable
from types import GeneratorType
from typing import Any, Final, Protocol

from chardev_spec.conditions import Frame
from chardev_spec.contract import Contract
from chardev_spec.events import Callback, Choice, ChooseGoOn, ChooseOffer, Loop, PortWrite
from chardev_spec.invariants import EVENT_INVARIANTS, INVARIANTS, Invariant, Scope
from chardev_spec.state import Port, State


class Environment(Protocol):
    """What the machine runs in: the owner, the port, and the choices an implementation makes."""

    def answer(self, event: Callback) -> Any:
        """Perform a callback; its answer. What it raises is an answer too (CB-5)."""

    def choose(self, event: Choice) -> Any:
        """Settle a choice: a bool for `ChooseGoOn`, a number for `ChooseOffer`."""


class InvariantViolationError(AssertionError):
    """An invariant does not hold: the machine, or a profile of it, is wrong."""

    def __init__(self, invariant: Invariant, subject: Any, where: str) -> None:
        rules = ", ".join(invariant.rules)
        super().__init__(f"{invariant.name} ({rules}) does not hold {where}: {subject}")
        self.invariant = invariant


# The predicates alone: they are evaluated at every callback point, and nothing is faster than a loop over functions.
def _of(scope: Scope) -> tuple[Callable[..., bool], ...]:
    return tuple(invariant.holds for invariant in INVARIANTS if invariant.scope == scope)


_DEVICE: Final = _of(Scope.DEVICE)
_CLIENT: Final = _of(Scope.CLIENT)
_BUFFER: Final = _of(Scope.BUFFER)
_OUTSIDE: Final = _of(Scope.OUTSIDE)
_EVENT: Final = {
    kind: tuple(invariant.holds for invariant in invariants)
    for kind, invariants in EVENT_INVARIANTS.items()
}


class Call:
    """One call of the API on the runner's stack.

    `event` is the callback that waits for an answer, None when the call is over; `result` is what it returned then,
    and `raised` the first exception of its callbacks.
    """

    __slots__ = ("_runner", "event", "frame", "function", "generator", "raised", "result")

    def __init__(self, runner: "Runner", function: str) -> None:
        self._runner = runner
        self.generator: GeneratorType[Any, Any, Any] | None = None
        self.function = function
        self.frame = Frame()
        self.event: Callback | None = None
        self.result: Any = None
        self.raised: BaseException | None = None

    def innermost(self) -> str:
        """The name of the machine's function that waits for the answer."""
        generator: Any = self.generator
        name = self.function
        while isinstance(generator, GeneratorType):
            name = generator.gi_code.co_name
            generator = generator.gi_yieldfrom
        return name

    def answer(self, value: Any = None, raised: BaseException | None = None) -> None:
        """Answer the callback and go on to the next one, or to the end.

        `raised` is the exception that the callback raised: it counts as "took nothing" from a write, as "nothing" from
        a read, else as a normal return (CB-5).
        """
        if raised is not None:
            self.frame.raised = True
            if self.raised is None:
                self.raised = raised
            value = 0 if type(self.event) is PortWrite else None
        self._runner.advance_call(self, self.generator, value)


class Runner:
    """A machine with its state, its clock, and the calls on its stack.

    `machine` is the contract or a profile of it; `invariants` says whether they are checked.
    """

    def __init__(
        self,
        environment: Environment,
        *,
        machine: type[Contract] = Contract,
        invariants: bool = True,
    ) -> None:
        self.environment = environment
        self.state = State()
        self.machine = machine(self.state)
        # What holds is judged in the contract's own words, whichever of them a profile overrides.
        self.judge = Contract(self.state)
        self.invariants = invariants
        self.stack: list[Call] = []

    def add_port(self, port: int, *, announces_writability: bool = False) -> None:
        """Make a port known, so that it can be attached."""
        self.state.ports[port] = Port(announces_writability)

    def advance(self, milliseconds: int) -> None:
        """Move the clock; nothing fires by itself.

        Raises `RuntimeError` inside a call: there the clock stands still, as that of an event loop does in a turn.
        """
        if self.stack:
            raise RuntimeError(
                f"{self.stack[-1].function} has not returned: no time passes inside a call"
            )
        self.state.device.now_ms += milliseconds

    def call(self, function: str, *arguments: Any) -> Any:
        """Perform a whole call; its result.

        Raises the contract error that forbids the call, or the first exception of its callbacks.
        """
        call = self.begin(function, *arguments)
        environment_answer = self.environment.answer
        while call.event is not None:
            try:
                value = environment_answer(call.event)
            except InvariantViolationError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a callback raises is an answer (CB-5)
                call.answer(raised=error)
            else:
                call.answer(value)
        if call.raised is not None:
            raise call.raised
        return call.result

    def begin(self, function: str, *arguments: Any) -> Call:
        """Begin a call, up to its first callback or its end.

        Raises the contract error that forbids it; nothing has changed then, and nothing is left on the stack.
        """
        call = Call(self, function)
        self.stack.append(call)
        self.state.device.frames += 1
        try:
            result = getattr(self.machine, function)(call.frame, *arguments)
            if type(result) is GeneratorType:
                call.generator = result
                self.advance_call(call, result, None)
            else:
                self._end(call, result)
        except BaseException:
            if self.stack and self.stack[-1] is call:
                self.stack.pop()
                self.state.device.frames -= 1
            raise
        return call

    def advance_call(self, call: Call, generator: Any, value: Any) -> None:
        """Send an answer to the innermost call, and run it to its next callback or its end."""
        if self.stack[-1] is not call:
            raise RuntimeError(f"{call.function} is not the innermost call: answer that one first")
        send = generator.send
        try:
            while True:
                event = send(value)
                kind = type(event)
                if kind is Loop:
                    value = True
                elif kind is ChooseOffer:
                    value = self.environment.choose(event)
                    if not 1 <= value <= event.available:
                        raise ValueError(f"{value!r} is no answer to {event}")
                elif kind is ChooseGoOn:
                    value = self.environment.choose(event)
                else:
                    call.event = event
                    if self.invariants:
                        self.check(event)
                    return
        except StopIteration as end:
            self._end(call, end.value)

    def _end(self, call: Call, result: Any) -> None:
        call.event = None
        call.result = result
        self.stack.pop()
        self.state.device.frames -= 1
        if self.invariants:
            self.check(None)

    def check(self, event: Callback | None) -> None:
        """Evaluate every invariant; raise `InvariantViolationError` for the first that does not hold.

        `event` is the callback that is about to be made, None after a call.
        """
        machine, state = self.judge, self.state
        for holds in _DEVICE:
            if not holds(machine):
                raise self._violation(holds, state.device, event)
        for client in state.clients:
            for holds in _CLIENT:
                if not holds(machine, client):
                    raise self._violation(holds, client, event)
        for buffer in state.buffers:
            for holds in _BUFFER:
                if not holds(machine, buffer):
                    raise self._violation(holds, buffer, event)
        if event is not None:
            for holds in _EVENT[type(event)]:
                if not holds(machine, event):
                    raise self._violation(holds, event, event)
        elif not self.stack:
            for holds in _OUTSIDE:
                if not holds(machine):
                    raise self._violation(holds, state.device, event)

    def _violation(
        self, holds: Callable[..., bool], subject: Any, event: Callback | None
    ) -> InvariantViolationError:
        invariant = next(each for each in INVARIANTS if each.holds is holds)
        return InvariantViolationError(invariant, subject, self._where(event))

    def _where(self, event: Callback | None) -> str:
        if event is None:
            return "after the call"
        return f"at {event} in {' > '.join([call.function for call in self.stack])}"
