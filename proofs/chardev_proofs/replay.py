"""A counterexample, performed by the specification as it runs.

Theory of operation
===================
The path that failed is gone once more, with whole states (`whole_states`).
Then the function itself is called, not the lifted one, on such a state.
Where the environment may do anything, at a callback and at an inner step that is proved by itself, the state becomes
the next one of the model, and the model's answer is sent.
At the head of a loop the locals become those of the model as well.
In the end the claim is looked at in the specification's own words: it must be false there too.

So a counterexample that is confirmed cannot be a mistake of the symbolic tables.
It may begin in a state that no run comes to; `chardev_conformance.reachable` looks for a run.
"""

import inspect
from dataclasses import fields
from enum import IntEnum
from typing import Any, Final

import z3

from chardev_proofs.cuts import Claim
from chardev_proofs.explore import PathEnd
from chardev_proofs.functions import FunctionProof, Obligation, Report
from chardev_proofs.machine import PROCEDURES, ProcedureCall, namespaces
from chardev_proofs.reshape import generators, write_local
from chardev_proofs.rows import DEVICE_KINDS
from chardev_proofs.values import EngineSignal, deciders, lifted_builtins
from chardev_proofs.whole_states import (
    ROW_TYPES,
    ClosedCuts,
    ClosedPath,
    NoWholeStateError,
    Step,
    Values,
    locals_of,
)
from chardev_spec.conditions import Frame
from chardev_spec.contract import Contract
from chardev_spec.errors import BadMigrationDataError, ContractError
from chardev_spec.events import Choice, Loop
from chardev_spec.invariants import INVARIANTS, Scope
from chardev_spec.state import Device, State

PERFORMED: Final = 4
"""Counterexamples of one function that are performed, at most; each takes seconds."""

CONFIRMED: Final = "confirmed: the specification as it runs does the same"
"""The last line of a performance that ends as the proof says."""


class FoundError(EngineSignal):
    """The claim was reached, and every step to it has its values."""


class ClosedProof(FunctionProof):
    """Goes the path of one failure again, with whole tables, up to the claim that fails."""

    cuts_type = ClosedCuts

    def __init__(self, proof: FunctionProof, target: Obligation) -> None:
        # All that the first run has found out is needed, so that the path is the same.
        vars(self).update(vars(proof))
        self.target = target
        self.trace = [] if target.failure is None else target.failure.trace
        self.memory = _Kept(proof.memory, self.trace)
        self.cuts: ClosedCuts
        self.after = Device()

    def go(self) -> None:
        """Go the path; the steps are in `cuts` then.

        Raises `NoWholeStateError`.
        """
        path = ClosedPath(self.trace, self.explorer)
        deciders.append(path)
        try:
            self._follow(path)
        except FoundError:
            return
        except PathEnd as end:
            raise NoWholeStateError(f"with so few rows the path is {end}") from end
        finally:
            deciders.pop()
        raise NoWholeStateError("with so few rows the claim holds")

    def _perform(self, cuts: Any, machine: Any, frame: Frame, arguments: list[Any]) -> None:
        self.cuts = cuts.path.cuts = cuts
        cuts.note("entry", self.function, tuple(arguments))
        reading = type(machine).read_message

        def read_message(_: Any, message: Any) -> Any:
            try:
                result = reading(machine, message)
            except BadMigrationDataError as error:
                cuts.note("message", "read_message", error, cut=False)
                raise
            cuts.note("message", "read_message", result, cut=False)
            return result

        recorded = type("Recorded", (type(machine),), {"read_message": read_message})
        super()._perform(cuts, recorded(machine.state), frame, arguments)

    def _sent(self, cuts: Any, label: str, event: Any, answer: Any) -> None:
        if isinstance(event, Choice):
            cuts.note("choice", label, answer, cut=False)

    def _judge(self, cuts: Any, label: str, claims: list[Claim]) -> None:
        if cuts.path.replaying() or label != self.target.segment:
            return
        for claim in claims:
            if claim.name == self.target.invariant:
                cuts.path.solver.push()
                cuts.path.solver.add(z3.Not(claim.holds))
                if cuts.path.check() == z3.sat:
                    self._found(cuts)
                cuts.path.solver.pop()

    def _exception(self, cuts: Any, error: Exception) -> None:
        if self.target.invariant != "no exception":
            raise PathEnd(f"ended by {type(error).__name__}")
        self._found(cuts)

    def _found(self, cuts: ClosedCuts) -> None:
        model = cuts.resolve()
        self.after = Values(model, cuts).device(cuts.state.device.terms)
        raise FoundError


class _Kept(dict[Any, Any]):
    """What was found out the first time; nothing of it is found out anew, but a loop head where the path ends."""

    def __init__(self, found: dict[Any, Any], trace: list[bool]) -> None:
        super().__init__(found)
        self.end = tuple(trace)

    def __contains__(self, key: object) -> bool:
        head_at_the_end = isinstance(key, tuple) and len(key) == 2 and key[0] == self.end
        return super().__contains__(key) and not head_at_the_end

    def __setitem__(self, key: Any, value: Any) -> None:
        self.setdefault(key, value)


# The run


class DivergedError(Exception):
    """The specification does something else than the path says."""


class Performance:
    """The function itself, on the states of the steps."""

    def __init__(self, proof: ClosedProof) -> None:
        self.proof = proof
        self.steps = iter(proof.cuts.steps)
        self.lines: list[str] = []
        entry = next(self.steps)
        self.state = entry.state
        self.machine = _with_steps(self, self._machine())(self.state)
        self.frame = Frame()
        self._become(entry)
        self.arguments = entry.answer
        self.event: Any = None
        self.error: Exception | None = None
        self.before = self.state.copy()

    def _machine(self) -> type[Contract]:
        return self.proof.machine

    def run(self) -> bool:
        """Perform; whether the claim is false in the end.

        Raises `DivergedError`.
        """
        method = getattr(self.machine, self.proof.function)
        parameters = inspect.signature(method).parameters
        shown = ", ".join([str(each) for each in self.arguments])
        self.lines.append(f"{self.proof.function}({shown}), in {described(self.state)}")
        try:
            result = method(*([self.frame] if "frame" in parameters else []), *self.arguments)
            where = self._drive(result) if inspect.isgenerator(result) else "return"
        except DivergedError:
            raise
        except (ContractError, BadMigrationDataError) as error:
            where = f"raises {type(error).__name__}"
        except Exception as error:
            self.error = error
            where = f"{type(error).__name__}: {error}"
        left = next(self.steps, None)
        if left is not None:
            raise DivergedError(f"it ends in {where}, and not in {left.label}")
        self.lines += differences(self.before, self.state)
        self.lines.append(f"then: {where}")
        return self._is_false(where)

    def _drive(self, generator: Any) -> str:
        value: Any = None
        while True:
            try:
                event = generator.send(value)
            except StopIteration:
                return "return"
            self.event = event
            label = _label(generator, event)
            step = next(self.steps, None)
            if step is None:
                return label
            if step.label != label:
                raise DivergedError(f"{label} comes where {step.label} should")
            if step.kind == "choice":
                value = step.answer
            elif step.kind == "loop":
                value = True
                self._take_over(generator, step)
                self._become(step)
            else:
                value = step.answer
                self._become(step)

    def inner(self, name: str) -> Any:
        """An inner step that calls nothing back, or the message that is read: the model's result."""
        step = next(self.steps, None)
        if step is None or not step.label.endswith(name):
            raise DivergedError(f"{name} comes where {step.label if step else 'the end'} should")
        if isinstance(step.answer, BadMigrationDataError):
            raise step.answer
        if step.kind == "procedure":
            self._become(step)
        return step.answer

    def _take_over(self, generator: Any, step: Step) -> None:
        """The locals become those of the model."""
        for each, names in zip(generators(generator), step.names, strict=True):
            for name, value in names.items():
                now = locals_of(each).get(name)
                if isinstance(now, (int, bytes, list, tuple)) or now is None:
                    write_local(each.gi_frame, name, value)

    def _become(self, step: Step) -> None:
        """What the environment makes of the state."""
        if step.kind != "entry":
            self.lines += differences(self.before, self.state)
            if step.kind == "loop":
                self.lines.append(f"at {step.label}, any turn of it, in {described(step.state)}")
            else:
                self.lines.append(f"at {step.label}, which answers {step.answer}; meanwhile:")
                self.lines += differences(self.state, step.state) or ["  nothing"]
        for name in (each.name for each in fields(Device)):
            setattr(self.state.device, name, getattr(step.state.device, name))
        self.state.ports = step.state.ports
        for name in ROW_TYPES:
            here, there = getattr(self.state, name), getattr(step.state, name).copy()
            for slot in ("_rows", "_next_handle", "_ordered", "_next_order"):
                if hasattr(there, slot):
                    setattr(here, slot, getattr(there, slot))
        for name, value in step.frame.items():
            setattr(self.frame, name, value)
        self.before = self.state.copy()

    def _is_false(self, where: str) -> bool:
        """Whether the claim does not hold here, in the specification's own words."""
        target = self.proof.target
        if target.invariant == "no exception":
            return self.error is not None
        if where != target.segment:
            raise DivergedError(f"it ends in {where}, and not in {target.segment}")
        invariant = next((each for each in INVARIANTS if each.name == target.invariant), None)
        if where == "return" and self.proof.function not in PROCEDURES:
            self.state.device.frames -= 1
        if invariant is None:
            # A claim about what changed: the state must be the one of which the solver says so.
            after = self.proof.after
            return all(
                getattr(self.state.device, name) == getattr(after, name)
                for name in DEVICE_KINDS
                if name not in {"spare_bytes", "frames"}
            )
        subjects: list[tuple[Any, ...]] = [()]
        if invariant.scope in {Scope.CLIENT, Scope.BUFFER}:
            rows = self.state.clients if invariant.scope == Scope.CLIENT else self.state.buffers
            subjects = [(row,) for row in rows]
        elif invariant.scope == Scope.EVENT:
            subjects = [(self.event,)]
        judge = Contract(self.state)
        return not all(invariant.holds(judge, *each) for each in subjects)


def _label(generator: Any, event: Any) -> str:
    chain = [each.gi_code.co_name for each in generators(generator)]
    if isinstance(event, ProcedureCall):
        return f"{chain[-2] if len(chain) > 1 else chain[-1]} {event.name}"
    return f"{chain[-1]} {'loop' if isinstance(event, Loop) else type(event).__name__}"


def _with_steps(performance: Performance, machine: type[Contract]) -> type[Contract]:
    """The machine with the inner steps that are proved by themselves left to the model."""
    members: dict[str, Any] = {"read_message": lambda *_: performance.inner("read_message")}
    for name in PROCEDURES:
        if name != performance.proof.function:
            calls_back = inspect.isgeneratorfunction(getattr(machine, name))
            members[name] = _asked(name) if calls_back else _told(performance, name)
    return type("Performed", (machine,), members)


def _asked(name: str) -> Any:
    def ask(_: Any, __: Any, *arguments: Any) -> Any:
        return (yield ProcedureCall(name, None, arguments))

    return ask


def _told(performance: Performance, name: str) -> Any:
    return lambda *_: performance.inner(name)


# In words


def described(state: State) -> str:
    """A state on one line: what is neither 0, False nor None."""
    parts = [
        f"device.{name} {value}"
        for name, value in _values(state.device).items()
        if value not in (0, None) and name != "now_ms"
    ]
    for table in ROW_TYPES:
        for row in getattr(state, table):
            values = [f"{name} {value}" for name, value in _values(row).items() if value]
            parts.append(f"{table}[{row.handle}] ({', '.join(values)})")
    return f"a state with {', '.join(parts) or 'nothing'}"


def differences(old: State, new: State) -> list[str]:
    """What differs, a line each."""
    lines = [
        f"  device.{name}: {was} -> {now}"
        for (name, was), now in zip(
            _values(old.device).items(), _values(new.device).values(), strict=True
        )
        if was != now
    ]
    for table in ROW_TYPES:
        before = {row.handle: _values(row) for row in getattr(old, table)}
        after = {row.handle: _values(row) for row in getattr(new, table)}
        for handle in sorted(before.keys() | after.keys()):
            name = f"  {table}[{handle}]"
            if handle not in after:
                lines.append(f"{name}: gone")
            elif handle not in before:
                values = [f"{each} {value}" for each, value in after[handle].items() if value]
                lines.append(f"{name}: new, {', '.join(values)}")
            else:
                lines += [
                    f"{name}.{each}: {was} -> {after[handle][each]}"
                    for each, was in before[handle].items()
                    if was != after[handle][each]
                ]
    return lines


def _values(row: Any) -> dict[str, Any]:
    """The fields, enumerations by name, contents by their size."""
    values = {}
    for each in fields(row):
        value = getattr(row, each.name)
        if each.name != "handle":
            values[each.name] = (
                value.name
                if isinstance(value, IntEnum)
                else f"{len(value)} bytes"
                if isinstance(value, bytes)
                else value
            )
    return values


def prove_and_perform(function: str, machine: type[Contract] = Contract) -> Report:
    """The report on one function; the first counterexamples in it are performed."""
    with lifted_builtins(namespaces(machine, Contract)):
        proof = FunctionProof(function, machine)
        report = proof.run()
        failed = [each for each in report.obligations if each.refuted]
        for obligation in failed[:PERFORMED]:
            if obligation.failure is not None:
                obligation.failure.run = perform(proof, obligation)
    return report


def perform(proof: FunctionProof, obligation: Obligation) -> list[str]:
    """Perform the counterexample of an obligation that the proof has refuted; how that went, the verdict last."""
    closed = ClosedProof(proof, obligation)
    try:
        closed.go()
        performance = Performance(closed)
        verdict = CONFIRMED if performance.run() else "NOT CONFIRMED: the claim holds there"
    except NoWholeStateError as error:
        return [f"not performed: {error}"]
    except DivergedError as error:
        return [f"NOT CONFIRMED: {error}"]
    return [*performance.lines, verdict]
