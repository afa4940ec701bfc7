"""Spec and implementation in lockstep: every callback, every result, every timer.

Theory of operation
===================
The implementation leads.
When it makes a callback, the spec is run up to its next callback, with the implementation's as a hint: where the
contract leaves a choice (how many buffers to offer, whether to stop by limit), the spec chooses what the implementation
is seen to do (`Choices`).
The two callbacks must be equal; then the script answers, for both, and may begin further calls inside the callback,
which are performed on both as well.
So the spec is an acceptor: of the behaviours that the contract allows it follows the one that it sees, and what it
cannot follow is a finding, with what was allowed instead.

Outside (no call on the stack) the timers must agree: what is owed at quiescence is an observation like any other
(WR-6).

A call that never ends is a finding too: one that goes on making callbacks is counted out, one that makes none is
interrupted when it has used too much processor time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import GeneratorType
from typing import Any, Final, Protocol, TypeAlias

from chardev_conformance import blame
from chardev_conformance.choices import Choices, Ended, Seen
from chardev_conformance.coverage import UNBORN, Mode, Statistics, Transition, mode
from chardev_conformance.forbidden import forbidden
from chardev_conformance.scenario import EVENT_NAMES, Answer, Observed, Outcome, Scenario, Step
from chardev_conformance.stopwatch import Stopwatch
from chardev_conformance.target import (
    EVERYTHING,
    OPTIONAL_CALLBACKS,
    BrokenError,
    CallbackError,
    Capabilities,
    Host,
    Marshalled,
    RefusedError,
    Target,
)
from chardev_spec import events
from chardev_spec.contract import Contract
from chardev_spec.errors import BadMigrationDataError, ContractError
from chardev_spec.events import Callback, PortWrite
from chardev_spec.record import MigrateData, encode_message
from chardev_spec.registry import FUNCTIONS
from chardev_spec.runner import Call, InvariantViolationError, Runner

EVENTS_PER_STEP: Final = 50_000
"""More callbacks than this in one outermost call is taken for an endless loop (WR-5)."""

SECONDS_PER_STEP: Final = 5.0
"""More processor time than this in one outermost call is taken for an endless loop (WR-5)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference between an implementation and what is allowed."""

    rules: tuple[str, ...]
    """The rules it is about, the most likely first."""
    where: str
    """The calls on the stack, outermost first."""
    allowed: str
    seen: str
    symptom: str
    """What kind of difference it is: findings of equal rule and symptom are one."""

    @property
    def rule(self) -> str:
        """The rule that was most likely broken."""
        return self.rules[0]


class FindingError(BaseException):
    """Ends a run at its first finding; no implementation may swallow it, so it is no `Exception`."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding)
        self.finding = finding


class Script(Protocol):
    """Decides what is done next: at random, or from a recorded scenario."""

    def step(self, lockstep: "Lockstep") -> Step | None:
        """The next call outside; None ends the run."""

    def nested_step(self, lockstep: "Lockstep") -> Step | None:
        """One more call inside the callback that is being made, besides those of its answer; None for no more."""

    def answer(self, lockstep: "Lockstep", unused: list[Answer], event: Callback) -> Answer:
        """How the callback is answered; `unused` are the answers of its step that were not taken yet."""


@dataclass(slots=True)
class Named:
    """What a result name stands for: the spec's handle or handles, and the implementation's object."""

    device: str
    spec: Any
    target: Any
    message: bytes = b""
    """The whole migration message, where it stands for migration data."""


@dataclass(slots=True)
class Pair:
    """One device: the spec's runner, and the implementation's under the same name."""

    name: str
    runner: Runner
    environment: Choices
    mode: Mode = UNBORN
    transition: Transition | None = None
    """The latest one."""


@dataclass(slots=True)
class Frame:
    """One call on the stack of both."""

    step: Step
    pair: Pair
    arguments: tuple[Any, ...]
    unused: list[Answer]
    call: Call | None = None
    refused: Exception | None = None
    answer: tuple[Any, BaseException | None] = (None, None)


TargetFactory: TypeAlias = Callable[[Host, dict[str, bool], int | None], Target]


class Lockstep:
    """One run of an implementation against the spec.

    `performed` is the scenario as it was performed: what was left out is not in it, so it replays as it is.
    """

    def __init__(
        self,
        target: TargetFactory,
        script: Script,
        scenario: Scenario,
        *,
        machine: type[Contract] = Contract,
        statistics: Statistics | None = None,
        seconds_per_step: float = SECONDS_PER_STEP,
    ) -> None:
        self.script = script
        self.statistics = statistics or Statistics()
        self.machine = self.statistics.counting(machine)
        # A release breaks rules: that is what its quirks are. Only the contract itself has to keep them.
        self._invariants = machine is Contract
        self.performed = Scenario(dict(scenario.ports), scenario.moves_per_call)
        self.target = target(self, dict(scenario.ports), scenario.moves_per_call)
        self.capabilities: Capabilities = getattr(self.target, "capabilities", EVERYTHING)
        self._silent = OPTIONAL_CALLBACKS & self.capabilities.lacks
        self.performed.observed = Observed(self.target.moves_per_call, self._silent)
        self._plain_machine = machine
        self.pairs: dict[str, Pair] = {}
        self.named: dict[str, Named] = {}
        self.frames: list[Frame] = []
        self.clock_ms = 0
        self.messages = 0
        self._finding: Finding | None = None
        self._events_left = EVENTS_PER_STEP
        self._stopwatch = Stopwatch(seconds_per_step, self._endless)
        self._port_numbers = {name: i for i, name in enumerate(scenario.ports, start=1)}

    def now_ms(self) -> int:
        """The virtual clock."""
        return self.clock_ms

    def run(self) -> Finding | None:
        """Perform the whole script; the finding that ended it, None when there is none."""
        try:
            with self._stopwatch:
                while (step := self.script.step(self)) is not None:
                    self._run_step(step)
            self._finish_target()
        except FindingError as error:
            return error.finding
        return self._finding

    def _finish_target(self) -> None:
        """Let the implementation take away what is left, and say what should not be left."""
        finish = getattr(self.target, "finish", None)
        if finish is not None:
            try:
                finish()
            except BrokenError as error:
                raise self._broken(error, "destroy") from None

    # Performing

    def run_step(self, step: Step) -> None:
        """Perform one call outside, with everything in it; raises `FindingError`."""
        with self._stopwatch:
            self._run_step(step)

    def _run_step(self, step: Step) -> None:
        self._events_left = EVENTS_PER_STEP
        self._stopwatch.start()
        self.perform(step, self.performed.steps)
        self._stopwatch.stop()

    def perform(self, step: Step, performed: list[Step]) -> None:
        """Perform one call on both; leave it out when it speaks of a name that stands for nothing.

        Time that would pass inside a callback is left out as well: an implementation in a process of its own is told
        the time with a call, and would be blamed for a clock that it cannot see.
        """
        if step.call == "advance":
            if not self.frames:
                performed.append(step)
                self.advance(step.arguments["milliseconds"])
            return
        if step.call in self.capabilities.lacks:
            return
        if step.call == "migrate_data_release":
            self._release(step, performed)
            return
        resolved = self._resolve(step)
        if resolved is None:
            return
        pair, for_spec, for_target = resolved
        if not self.capabilities.contract_errors and self._is_forbidden(pair, step, for_spec):
            if step.call == "create":
                del self.pairs[step.device]
            return
        record = Step(step.call, step.arguments, [], step.device, step.result_name)
        performed.append(record)
        self.statistics.calls += 1
        self.statistics.nested_calls += bool(self.frames)
        frame = Frame(record, pair, for_spec, [*step.answers])
        self.frames.append(frame)
        result, error = self._perform_on_target(record, for_target)
        record.outcome = _outcome(step.call, result, error)
        if self.target.moves_per_call is None and len(self.frames) > 1:
            # Without a known limit the timers tell whether one was met (`_goes_on`).
            record.timers = {pair.name: self.target.timers(pair.name)}
        self._compare_end(frame, result, error)
        self.frames.pop()
        if step.call == "create" and frame.refused is not None:
            del self.pairs[step.device]
        if not self.frames:
            self._compare_timers(frame)
            self._note_transition(frame)

    def _note_transition(self, frame: Frame) -> None:
        pair = frame.pair
        transition = (pair.mode, frame.step.call, mode(pair.runner.state))
        self.statistics.note(pair.transition, transition)
        pair.mode, pair.transition = transition[2], transition

    def _is_forbidden(self, pair: Pair, step: Step, arguments: tuple[Any, ...]) -> bool:
        # Not the runner's machine: asking counts as no coverage.
        return forbidden(self._plain_machine(pair.runner.state), step.call, arguments)

    def _release(self, step: Step, performed: list[Step]) -> None:
        """Drop what a marshaller refers to, on both; once."""
        known = self.named.pop(step.arguments["data"], None)
        if known is not None and known.device in self.pairs:
            record = Step(step.call, step.arguments, device=step.device)
            performed.append(record)
            for buffer in known.spec:
                self.pairs[known.device].runner.call("marshaller_unref", buffer)
            release = Step(step.call, device=known.device)
            message, _ = self._perform_on_target(release, {"data": known.target})
            record.outcome = Outcome("returned", None if message is None else message.hex())
            if message is not None and message != known.message:
                raise self._found(("BUF-2",), known.message.hex(), message.hex(), "marshalled data")

    def advance(self, milliseconds: int) -> None:
        """Move the virtual clock of both."""
        self.clock_ms += milliseconds
        for pair in self.pairs.values():
            pair.runner.advance(milliseconds)

    def _perform_on_target(self, step: Step, arguments: dict[str, Any]) -> tuple[Any, Any]:
        try:
            return self.target.perform(step.device, step.call, arguments), None
        except (RefusedError, CallbackError) as error:
            return None, error
        except FindingError:
            raise
        except BrokenError as error:
            step.outcome = Outcome("broken", error.symptom)
            raise self._broken(error) from None
        except RecursionError:  # its message differs from one Python to the next
            raise self._found(("CB-1",), "to return", "RecursionError", "crash") from None
        except Exception as error:
            rule = "MIG-5" if step.call == "restore" else "CB-1"
            seen = f"{type(error).__name__}: {error}"
            step.outcome = Outcome("broken", "crash")
            raise self._found((rule,), "to return or to name a rule", seen, "crash") from error

    def _resolve(self, step: Step) -> tuple[Pair, tuple[Any, ...], dict[str, Any]] | None:
        """The arguments for the spec, and for the implementation."""
        if step.call == "create":
            if step.device in self.pairs or step.arguments["port"] not in self._port_numbers:
                return None
            self._create_pair(step.device)
        elif step.device not in self.pairs:
            return None
        pair = self.pairs[step.device]
        for_spec, for_target = [], {}
        for name, value in step.arguments.items():
            if (name in {"buffer", "data"} and step.call != "write_buffer_add") or name == "buffer":
                known = self.named.get(value)
                if known is None or known.device != step.device:
                    return None
                for_spec.append(known.spec)
                for_target[name] = known.target
            elif name == "port" and value is not None:
                if value not in self._port_numbers:
                    return None
                self._mark_ports(pair)
                for_spec.append(self._port_numbers[value])
                for_target[name] = value
            elif name in {"data", "message"}:
                for_spec.append(bytes.fromhex(value))
                for_target[name] = bytes.fromhex(value)
            else:
                for_spec.append(value)
                for_target[name] = value
        return pair, tuple(for_spec), for_target

    def _create_pair(self, name: str) -> None:
        environment = Choices(
            self.target.moves_per_call,
            lambda: self.target.timers(name).retry_ms == self.clock_ms,
            lambda: getattr(self.target, "offered", None),
        )
        runner = Runner(environment, machine=self.machine, invariants=self._invariants)
        environment.runner = runner
        runner.advance(self.clock_ms)
        for port, number in self._port_numbers.items():
            runner.add_port(number, announces_writability=self.performed.ports[port])
        self.pairs[name] = Pair(name, runner, environment)

    def _mark_ports(self, pair: Pair) -> None:
        """Tell the spec which ports other devices have (LC-4)."""
        elsewhere = {
            other.runner.state.device.port for other in self.pairs.values() if other is not pair
        }
        for number, port in pair.runner.state.ports.items():
            port.attached_elsewhere = number in elsewhere

    # Callbacks

    def callback(self, device: str, event: Callback) -> Any:
        """The implementation makes a callback."""
        if self._finding is not None:
            raise FindingError(self._finding)
        self._events_left -= 1
        if self._events_left < 0:
            raise self._endless()
        if not self.frames or self.frames[-1].pair.name != device:
            raise self._found(("CB-1",), "no callback", describe(event), "outside")
        frame = self.frames[-1]
        self._advance_spec(frame, event)
        allowed = frame.call.event if frame.call is not None else None
        if allowed != event:
            frame.step.outcome = Outcome("callback", event)
            raise self._blame(frame, allowed, event)
        self.statistics.callbacks += 1
        answer = self.script.answer(self, frame.unused, event)
        raises = answer.raises and self.capabilities.exceptions
        record = Answer(answer.on, answer.value, raises, [], event)
        if isinstance(event, PortWrite):
            record.buffers = getattr(self.target, "offered", None)
        frame.step.answers.append(record)
        for step in answer.calls:
            self.perform(step, record.calls)
        while (nested := self.script.nested_step(self)) is not None:
            self.perform(nested, record.calls)
        value = self._value_of(record, event)
        if raises:
            raised = CallbackError(f"raised in {answer.on}")
            frame.answer = (None, raised)
            raise raised
        frame.answer = (value, None)
        return value

    def report(self, rule: str, allowed: str, seen: str) -> None:
        """The target saw the implementation do what shows in no callback."""
        raise self._found((rule,), allowed, seen, "reported")

    def _value_of(self, answer: Answer, event: Callback) -> Any:
        if isinstance(event, PortWrite):
            size = len(event.data)
            values: dict[Any, int] = {"all": size, None: size, "fail": -1, "over": size + 1}
            if isinstance(answer.value, int):
                return min(answer.value, size)
            return values[answer.value]
        if isinstance(event, events.ReadOneMsgFromDevice) and answer.value and not answer.raises:
            self.messages += 1
            return f"m{self.messages}"
        return None

    def _advance_spec(self, frame: Frame, seen: Seen) -> None:
        """Run the spec's call to its next callback or its end, choosing as the implementation is seen to."""
        frame.pair.environment.seen = seen
        if frame.refused is not None:
            return
        try:
            self._go_on(frame)
        except InvariantViolationError as violation:
            rules, kept = violation.invariant.rules, f"{violation.invariant.name} to hold"
            raise self._found(rules, kept, str(violation), "the specification") from None

    def _go_on(self, frame: Frame) -> None:
        if frame.call is not None:
            value, raised = frame.answer
            frame.call.answer(value, raised)
        else:
            try:
                frame.call = frame.pair.runner.begin(frame.step.call, *frame.arguments)
            except (ContractError, BadMigrationDataError) as error:
                frame.refused = error
                return
        if self._silent:
            # What the implementation cannot tell happens without a word.
            while EVENT_NAMES.get(type(frame.call.event).__name__) in self._silent:
                frame.call.answer()

    # Comparing

    def _compare_end(self, frame: Frame, result: Any, error: Exception | None) -> None:
        if self._finding is not None:
            raise FindingError(self._finding)
        self._advance_spec(frame, Ended())
        call = frame.call
        refused = error if isinstance(error, RefusedError) else None
        if frame.refused is not None:
            rule = getattr(frame.refused, "rule", "MIG-5")
            if refused is None:
                allowed = f"refused: {frame.refused}"
                raise self._found((rule,), allowed, "the call was accepted", "not refused")
            if refused.rule != rule:
                rules: tuple[str, ...] = (rule, refused.rule)
                said, saw = f"refused: {frame.refused}", f"refused: {refused}"
                raise self._found(rules, said, saw, "refused otherwise")
            return
        assert call is not None
        if call.event is not None and refused is None:
            raise self._blame(frame, call.event, None)
        if refused is not None:
            rules = blame.of_refusal(
                frame.pair.runner.machine, frame.step.call, frame.arguments, call, refused.rule
            )
            raise self._found(rules, "the call is legal", f"refused: {refused}", "wrongly refused")
        if call.raised is not error:
            raise self._found(
                ("CB-5",), f"raises {call.raised!r}", f"raised {error!r}", "exception"
            )
        if error is None:
            self._compare_results(frame, call.result, result)

    def _compare_results(self, frame: Frame, allowed: Any, seen: Any) -> None:
        step = frame.step
        if isinstance(allowed, MigrateData):
            if not isinstance(seen, Marshalled):
                raise self._found(("MIG-2",), "migration data", repr(seen), "result")
            message = encode_message(bytes(8), allowed)
            if message != seen.message:
                rules = blame.of_message(message, seen.message)
                raise self._found(rules, message.hex(), seen.message.hex(), "migration record")
            self._name(step, Named(step.device, allowed.buffers, seen.handle, message))
        elif step.call.startswith("write_buffer_get"):
            if (allowed is None) != (seen is None):
                words = {True: "no buffer", False: "a buffer"}
                rules = self._of_result(frame, allowed)
                raise self._found(rules, words[allowed is None], words[seen is None], "result")
            if allowed is not None:
                self._name(step, Named(step.device, allowed, seen))
        elif allowed is not None and allowed != seen:
            raise self._found(self._of_result(frame, allowed), repr(allowed), repr(seen), "result")

    def _of_result(self, frame: Frame, allowed: Any) -> tuple[str, ...]:
        return blame.of_result(frame.pair.runner.machine, frame.step.call, frame.arguments, allowed)

    def _name(self, step: Step, named: Named) -> None:
        if step.result_name is not None:
            self.named[step.result_name] = named

    def _compare_timers(self, last: Frame) -> None:
        """After an outermost call: what is owed now is what must be armed."""
        for pair in self.pairs.values():
            device = pair.runner.state.device
            retry_ms, wait_ms = None, {}
            if not device.destroyed:
                retry_ms = device.retry_due_ms if device.retry_armed else None
                for row in pair.runner.state.clients:
                    if row.wait_armed:
                        wait_ms[row.peer] = row.wait_due_ms
            seen = self.target.timers(pair.name)
            if seen.retry_ms is not None or seen.wait_ms:
                last.step.timers[pair.name] = seen
            if retry_ms != seen.retry_ms:
                rules = blame.of_retry_timer(
                    pair.runner.machine, last.call, retry_ms, seen.retry_ms
                )
                raise self._found(
                    rules,
                    f"retry timer {_due(retry_ms)}",
                    f"retry timer {_due(seen.retry_ms)}",
                    "retry timer",
                )
            if wait_ms != seen.wait_ms:
                raise self._found(
                    ("RD-5",),
                    f"wait timers {wait_ms}",
                    f"wait timers {seen.wait_ms}",
                    "wait timer",
                )

    # Findings

    def _broken(self, error: BrokenError, function: str = "marshaller_unref") -> FindingError:
        """The implementation broke down: the rules are those of what it was doing, `function` outside all calls."""
        functions, call = [function], None
        if self.frames:
            frame = self.frames[-1]
            call = frame.step.call
            functions = _functions(frame.call) if frame.call else [call]
        rules = [*error.rules, *blame.of_crash(error.symptom, call or function)]
        rules += [rule for each in functions for rule in self._rules_of(each)]
        return self._found((*rules, "CB-1"), "to go on", str(error), error.symptom)

    def _endless(self) -> FindingError:
        return self._found(("WR-5",), "a bounded call", "an endless loop", "endless")

    def _found(self, rules: tuple[str, ...], allowed: str, seen: str, symptom: str) -> FindingError:
        where = " > ".join([frame.step.call for frame in self.frames])
        self._finding = Finding(tuple(dict.fromkeys(rules)), where, allowed, seen, symptom)
        return FindingError(self._finding)

    def _blame(self, frame: Frame, allowed: Callback | None, seen: Callback | None) -> FindingError:
        """Another callback than the one that was allowed; None is the end of the call."""
        said = "the end of the call" if allowed is None else describe(allowed)
        saw = "the end of the call" if seen is None else describe(seen)
        kinds = [EVENT_NAMES.get(type(each).__name__, "end") for each in (allowed, seen)]
        if frame.refused is not None:
            said = f"refused: {frame.refused}"
            rules: tuple[str, ...] = (getattr(frame.refused, "rule", "MIG-5"),)
        else:
            assert frame.call is not None
            machine, answers = frame.pair.runner.machine, frame.step.answers
            rules = blame.of_callback(machine, frame.call, answers, allowed, seen)
        return self._found(rules, said, saw, " / ".join(kinds))

    def _rules_of(self, function: str) -> tuple[str, ...]:
        return FUNCTIONS[function].rules if function in FUNCTIONS else ()


def _outcome(call: str, result: Any, error: Exception | None) -> Outcome:
    """How a call ended, in words that a trace can hold."""
    if isinstance(error, RefusedError):
        return Outcome("refused", error.rule)
    if error is not None:
        return Outcome("raised")
    if isinstance(result, Marshalled):
        return Outcome("returned", result.message.hex())
    if isinstance(result, bytes | bytearray):
        return Outcome("returned", result.hex())
    if call.startswith("write_buffer_get"):
        return Outcome("returned", result is not None)
    return Outcome("returned", result if isinstance(result, bool) else None)


def describe(event: Callback) -> str:
    """A callback in one line, bytes in hexadecimal."""
    name = EVENT_NAMES[type(event).__name__]
    fields = [value.hex() if isinstance(value, bytes) else str(value) for value in event]
    return f"{name}({', '.join(fields)})"


def _functions(call: Call) -> list[str]:
    """The machine's functions that a call is in, the innermost first, as far as they tell what it is doing."""
    names = [call.function]
    generator: Any = call.generator
    while isinstance(generator, GeneratorType):
        names.append(generator.gi_code.co_name)
        generator = generator.gi_yieldfrom
    return names[:-4:-1]


def _due(milliseconds: int | None) -> str:
    return "not armed" if milliseconds is None else f"due at {milliseconds} ms"
