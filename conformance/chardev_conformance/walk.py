"""A scenario on the specification alone, one decision at a time.

Theory of operation
===================
Whoever drives the machine decides two things: which call is made next (`Begin`), and how the callback that waits is
answered (`Reply`).
A *walk* takes such decisions in a row and says what each led to, its *moment*: the callback that waits now, or how the
call ended, or why it was refused.
Decisions made while a callback waits are calls inside it (CB-1).

The same decisions always lead to the same moments.
So to undo one is to walk the others again, and whoever steps through the machine has a list of decisions to remember,
no more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from chardev_conformance.refusals import Refusal, refusal
from chardev_conformance.scenario import EVENT_NAMES, Answer, Scenario, Step
from chardev_conformance.snapshots import snapshot
from chardev_spec.contract import Contract
from chardev_spec.errors import BadMigrationDataError, ContractError
from chardev_spec.events import Callback, Choice, ChooseGoOn, PortWrite, ReadOneMsgFromDevice
from chardev_spec.invariants import EVENT_INVARIANTS, INVARIANTS, Invariant, Scope
from chardev_spec.record import MigrateData
from chardev_spec.runner import Call, Runner

MOVES_PER_CALL: Final = 16
"""How many buffers and messages a call moves at most, where the scenario leaves it open (WR-5)."""


class WalkError(ValueError):
    """A decision that cannot be taken here; the message says why."""


@dataclass(frozen=True, slots=True)
class Begin:
    """A call is made; the answers of its step are not looked at."""

    step: Step


@dataclass(frozen=True, slots=True)
class Reply:
    """The callback that waits is answered; the calls of the answer are not looked at."""

    answer: Answer


Decision: TypeAlias = Begin | Reply


@dataclass(frozen=True, slots=True)
class Moment:
    """What one decision led to."""

    decision: Decision
    device: str
    calls: tuple[str, ...]
    """The calls on the stack when the decision was taken, outermost first."""
    waiting: Callback | None = None
    """The callback that waits for an answer now, in the call that the decision went to."""
    result: Any = None
    """What the call returned, when it ended."""
    raised: str | None = None
    """The exception that the call ended with, the first of its callbacks (CB-5)."""
    refusal: Refusal | None = None
    """Why the call was refused."""

    @property
    def ended(self) -> bool:
        """Whether the call that the decision went to is over."""
        return self.waiting is None


@dataclass(slots=True)
class Named:
    """What a name stands for: a buffer, or migration data."""

    device: str
    value: Any


@dataclass(slots=True)
class Open:
    """A call on the stack."""

    step: Step
    call: Call
    unused: list[Answer] = field(default_factory=list)


class _Choices:
    """The environment of the machine: an implementation that offers all it has, up to a limit (WR-5)."""

    def __init__(self, moves_per_call: int) -> None:
        self._moves_per_call = moves_per_call

    def answer(self, event: Callback) -> Any:
        raise AssertionError("a walk answers callbacks itself")

    def choose(self, event: Choice) -> Any:
        if isinstance(event, ChooseGoOn):
            return event.moved < self._moves_per_call
        return event.available


class Walk:
    """The machine, and all that was decided so far.

    `ports` says of each port whether it announces writability; `machine` is the contract or a profile of it.
    """

    def __init__(
        self,
        ports: Mapping[str, bool],
        moves_per_call: int | None = None,
        machine: type[Contract] = Contract,
    ) -> None:
        self.ports = dict(ports)
        self.runners: dict[str, Runner] = {}
        self.named: dict[str, Named] = {}
        self.stack: list[Open] = []
        self.moments: list[Moment] = []
        self.now_ms = 0
        self._machine = machine
        self._choices = _Choices(moves_per_call or MOVES_PER_CALL)
        self._port_numbers = {name: i for i, name in enumerate(self.ports, start=1)}
        self._messages = 0

    @property
    def waiting(self) -> Callback | None:
        """The callback that waits for an answer, None outside."""
        return self.stack[-1].call.event if self.stack else None

    def port_name(self, number: int | None) -> str | None:
        """The name of a port by the number that the machine knows it by."""
        return next((name for name, i in self._port_numbers.items() if i == number), None)

    def take(self, decision: Decision) -> Moment:
        """Take one decision; raises `WalkError`, and nothing has changed, when it makes no sense here."""
        moment = self._begin(decision) if isinstance(decision, Begin) else self._reply(decision)
        self.moments.append(moment)
        return moment

    def perform(self, step: Step) -> None:
        """Make a call and answer its callbacks as the step says, or as usual; what makes no sense is left out."""
        try:
            self.take(Begin(step))
        except WalkError:
            return
        depth = len(self.stack)
        if not self.moments[-1].ended:
            while len(self.stack) == depth:
                answer = self._next_answer()
                for inner in answer.calls:
                    self.perform(inner)
                self.take(Reply(answer))

    def _next_answer(self) -> Answer:
        """The first unused answer of the innermost call that is for the callback that waits."""
        top = self.stack[-1]
        name = EVENT_NAMES[type(top.call.event).__name__]
        for answer in top.unused:
            if answer.on == name:
                top.unused.remove(answer)
                return answer
        return Answer(name)

    # Decisions

    def _begin(self, decision: Begin) -> Moment:
        step = decision.step
        calls = tuple(open_call.step.call for open_call in self.stack)
        if step.call == "advance":
            if self.stack:
                raise WalkError("no time passes inside a callback; answer it first")
            self.now_ms += step.arguments["milliseconds"]
            for runner in self.runners.values():
                runner.advance(step.arguments["milliseconds"])
            return Moment(decision, step.device, calls)
        if step.call == "migrate_data_release":
            self._release(step)
            return Moment(decision, step.device, calls)
        arguments = self._resolve(step)
        runner = self._runner(step)
        try:
            call = runner.begin(step.call, *arguments)
        except (ContractError, BadMigrationDataError) as error:
            return Moment(decision, step.device, calls, refusal=refusal(error))
        self.runners[step.device] = runner
        self.stack.append(Open(step, call, [*step.answers]))
        return self._moment(decision, calls)

    def _reply(self, decision: Reply) -> Moment:
        if not self.stack:
            raise WalkError("no callback waits for an answer")
        call, answer = self.stack[-1].call, decision.answer
        assert call.event is not None
        name = EVENT_NAMES[type(call.event).__name__]
        if answer.on != name:
            raise WalkError(f"{name} waits for an answer, not {answer.on}")
        calls = tuple(open_call.step.call for open_call in self.stack)
        raised = RuntimeError(f"raised in {name}") if answer.raises else None
        call.answer(self._value_of(answer, call.event), raised)
        return self._moment(decision, calls)

    def _moment(self, decision: Decision, calls: tuple[str, ...]) -> Moment:
        """What the innermost call came to; it is taken off the stack, and its result named, when it is over."""
        top = self.stack[-1]
        device, call = top.step.device, top.call
        if call.event is not None:
            return Moment(decision, device, calls, waiting=call.event)
        self.stack.pop()
        if top.step.result_name is not None and call.result is not None:
            self.named[top.step.result_name] = Named(device, call.result)
        raised = None if call.raised is None else str(call.raised)
        return Moment(decision, device, calls, result=call.result, raised=raised)

    def _value_of(self, answer: Answer, event: Callback) -> Any:
        if isinstance(event, PortWrite):
            size = len(event.data)
            words: dict[Any, int] = {"all": size, None: size, "fail": -1, "over": size + 1}
            return min(answer.value, size) if isinstance(answer.value, int) else words[answer.value]
        if isinstance(event, ReadOneMsgFromDevice) and answer.value and not answer.raises:
            self._messages += 1
            return f"m{self._messages}"
        return None

    # Names

    def _runner(self, step: Step) -> Runner:
        """The runner of the step's device; a new one for `create`."""
        if step.call != "create":
            return self.runners[step.device]
        runner = Runner(self._choices, machine=self._machine, invariants=False)
        runner.advance(self.now_ms)
        elsewhere = {other.state.device.port for other in self.runners.values()}
        for name, number in self._port_numbers.items():
            runner.add_port(number, announces_writability=self.ports[name])
            runner.state.ports[number].attached_elsewhere = number in elsewhere
        return runner

    def _resolve(self, step: Step) -> tuple[Any, ...]:
        """The machine's arguments for the step's; raises `WalkError` for a name that stands for nothing."""
        if step.call == "create":
            if step.device in self.runners:
                raise WalkError(f"there is a device {step.device} already")
        elif step.device not in self.runners:
            raise WalkError(f"there is no device {step.device}; create it first")
        return tuple(self._value(step, name, value) for name, value in step.arguments.items())

    def _value(self, step: Step, name: str, value: Any) -> Any:
        if name == "port" and value is not None:
            if value not in self._port_numbers:
                raise WalkError(f"there is no port {value}")
            self._mark_ports(step.device)
            return self._port_numbers[value]
        if name == "message" or (name == "data" and step.call == "write_buffer_add"):
            return bytes.fromhex(value)
        if name == "buffer":
            return self._known(step, value).value
        return value

    def _known(self, step: Step, name: str) -> Named:
        known = self.named.get(name)
        if known is None or known.device != step.device:
            raise WalkError(f"{name} stands for nothing that device {step.device} gave")
        return known

    def _mark_ports(self, device: str) -> None:
        """Tell the machine which ports other devices have (LC-4)."""
        if device in self.runners:
            elsewhere = {
                other.state.device.port for name, other in self.runners.items() if name != device
            }
            for number, port in self.runners[device].state.ports.items():
                port.attached_elsewhere = number in elsewhere

    def _release(self, step: Step) -> None:
        """Drop what migration data refers to (BUF-2)."""
        name = step.arguments["data"]
        data = self._known(step, name).value
        if not isinstance(data, MigrateData):
            raise WalkError(f"{name} is no migration data")
        del self.named[name]
        for buffer in data.buffers:
            self.runners[step.device].call("marshaller_unref", buffer)

    # What is

    def snapshot(self, device: str) -> dict[str, dict[str, Any]]:
        """Every field of a device's state now, by the thing that has it: the device, clients, buffers.

        Buffers have the name that they were given; a client's row has its queue as well.
        """
        state = self.runners[device].state
        names = {known.value: name for name, known in self.named.items() if known.device == device}
        return snapshot(state, names, self.port_name(state.device.port))

    # What holds

    def broken(self, device: str) -> list[Invariant]:
        """The invariants that do not hold of a device now; in a walk of the contract there are none."""
        return [invariant for invariant in INVARIANTS if not self.holds(device, invariant)]

    def holds(self, device: str, invariant: Invariant) -> bool:
        """Whether an invariant holds now, in the contract's own words, of everything that it speaks of."""
        runner = self.runners[device]
        state, judge, holds = runner.state, runner.judge, invariant.holds
        match invariant.scope:
            case Scope.DEVICE:
                return holds(judge)
            case Scope.OUTSIDE:
                return bool(runner.stack) or holds(judge)
            case Scope.CLIENT:
                return all(holds(judge, row) for row in state.clients)
            case Scope.BUFFER:
                return all(holds(judge, row) for row in state.buffers)
            case Scope.EVENT:
                event = runner.stack[-1].event if runner.stack else None
                about = EVENT_INVARIANTS.get(type(event), []) if event is not None else []
                return invariant not in about or holds(judge, event)


def walk(scenario: Scenario, machine: type[Contract] = Contract) -> Walk:
    """Perform a whole scenario."""
    done = Walk(scenario.ports, scenario.moves_per_call, machine)
    for step in scenario.steps:
        done.perform(step)
    return done
