"""A path with whole states: for every cut a state, of numbers, that the solver's model describes.

Theory of operation
===================
The tables of a proof have any number of rows, of which few are looked at; so a model says little of the others, and a
total is whatever it must be.
Here a path is gone with tables that have no rows but those that were looked at, and a few more: every total is a plain
sum, and a model is a *whole* state.
That is asked for only when a claim has failed, so nothing that is proved depends on it; a path may have no such state.

What is forgotten at the head of a loop gets its values before (`ClosedPath`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import z3

from chardev_proofs.cuts import Cuts
from chardev_proofs.entry import Moment
from chardev_proofs.explore import Path, other_names
from chardev_proofs.lists import SymHandles, SymMessages
from chardev_proofs.machine import ProcedureCall
from chardev_proofs.reshape import generators
from chardev_proofs.rows import DEVICE_KINDS
from chardev_proofs.tables import BUFFER, Base, Version, fresh
from chardev_proofs.values import EngineSignal, SymBool, SymBytes, SymInt
from chardev_spec.state import Buffer, Client, Device, Port, QueuedMessage, State

MORE_ROWS: Final = 1
"""Rows of each table that the path did not ask for, so that totals can be what they must."""

ROUNDS: Final = 6
"""How often closing a table may bring up new totals."""

LARGEST: Final = 10_000
"""The longest content that is made of a size."""

ROW_TYPES: Final = {"clients": Client, "buffers": Buffer, "send_queue": QueuedMessage}
SMALL: Final = range(7)


class NoWholeStateError(EngineSignal):
    """The counterexample cannot be performed; the message says why."""


@dataclass
class Step:
    """One stop on the path, and what the environment makes of it; first as terms, then as values."""

    kind: str
    label: str
    moment: Moment | None = None
    frame: dict[str, Any] = field(default_factory=dict)
    answer: Any = None
    names: list[dict[str, Any]] = field(default_factory=list)
    """The locals at the head of a loop, of each suspended generator."""
    state: State = field(default_factory=State)
    """The state at a cut, when its values are known."""


class ClosedCuts(Cuts):
    """Cuts whose tables are whole, and which note every step."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.steps: list[Step] = []
        self.pending: list[Step] = []
        self.domains: dict[int, list[z3.ArithRef]] = {}
        self.resolved = False

    def note(self, kind: str, label: str, answer: Any = None, *, cut: bool = True) -> Step:
        """One more step; at a cut the state and the frame are what they have just become."""
        frame = self.state.frame
        slots = {name: getattr(frame, name) for name in frame.__slots__} if cut else {}
        step = Step(kind, label, self.moment if cut else None, slots, answer)
        self.pending.append(step)
        return step

    def replace(self, device: dict[str, Any], **options: Any) -> None:
        """Give the values of the step that ends here, then forget."""
        if not self.resolved:
            self.close()
        self.resolved = False
        super().replace(device, **options)

    def callback(self, label: str, event: Any) -> Any:
        """A cut at a callback, with its answer noted."""
        answer = super().callback(label, event)
        self.note("callback", label, answer)
        return answer

    def procedure(self, label: str, call: ProcedureCall) -> Any:
        """A cut at an inner step, with its answer noted."""
        answer = super().procedure(label, call)
        self.note("procedure", label, answer)
        return answer

    def loop(self, generator: Any, label: str) -> None:
        """A cut at the head of a loop, with its locals noted."""
        super().loop(generator, label)
        step = self.note("loop", label)
        step.names = [
            {name: _snapshot(value) for name, value in locals_of(each).items()}
            for each in generators(generator)
        ]

    # Whole states

    def close(self) -> None:
        """The tables have no rows but those that were looked at, and a few more."""
        bases = self._bases()
        if not bases:
            return
        with other_names():
            self.state.needs_order = True
            for base in bases:
                for _ in range(MORE_ROWS):
                    base.touch(fresh(f"more.{base.schema.name}"))
            self.flush()
            domains = {id(base): list(base.touched.values()) for base in bases}
            self.domains.update(domains)
            summed: set[int] = set()
            for _ in range(ROUNDS):
                facts = [fact for base in bases for fact in _sums(base, domains[id(base)], summed)]
                self.path.add(*facts)
                self.flush()
                if not facts:
                    break
            else:
                raise NoWholeStateError("its totals depend on ever more rows")
            for base in bases:
                known = {each.get_id() for each in domains[id(base)]}
                everything = {**base.touched, **base.seen, **base.glimpsed}
                for key, handle in everything.items():
                    if key not in known:
                        same = [handle == each for each in domains[id(base)]]
                        self.path.add(z3.Implies(base._here(handle), z3.Or(*same)))

    def resolve(self) -> z3.ModelRef:
        """Give every step that is pending its values; the model."""
        self.close()
        solver = self.path.solver
        if solver.check() != z3.sat:
            raise NoWholeStateError("no state with so few rows is one")
        model = _smallest(solver, self._terms())
        for step in self.pending:
            Values(model, self).resolve(step)
        self.steps += self.pending
        self.pending = []
        return model

    def _terms(self) -> Iterator[Any]:
        """What is asked to be small, the most telling first."""
        moments = [each.moment for each in self.pending if each.moment is not None]
        bases = [base for moment in moments for base in moment.versions if isinstance(base, Base)]
        for base in bases:
            for handle in self.domains.get(id(base), []):
                yield base._here(handle)
        for moment in moments:
            yield from moment.device.values()
        for base in bases:
            for handle in self.domains.get(id(base), []):
                for name, function in base._functions.items():
                    if name != "handle":
                        yield function(handle)
                yield handle
        for step in self.pending:
            for value in (*step.frame.values(), *_parts(step.answer)):
                if isinstance(value, (SymInt, SymBool)):
                    yield value.term


def locals_of(generator: Any) -> dict[str, Any]:
    """The locals of a generator that is suspended."""
    return dict(generator.gi_frame.f_locals)


def _parts(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _snapshot(value: Any) -> Any:
    """A local, as it is at the head of a loop; of a list, how much of it is left then."""
    return (value, value.left) if isinstance(value, (SymHandles, SymMessages)) else value


def _sums(base: Base, domain: list[z3.ArithRef], summed: set[int]) -> list[z3.BoolRef]:
    """Every total that is new is the sum over these rows, each counted once."""
    facts = []
    for fold in list(base.folds.values()):
        if fold.number.get_id() in summed:
            continue
        summed.add(fold.number.get_id())
        parts = []
        for index, handle in enumerate(domain):
            again = [handle == other for other in domain[:index]]
            counts = z3.And(base._here(handle), z3.Not(z3.Or(*again)))
            parts.append(z3.If(counts, base.weight_at(fold, handle), z3.IntVal(0)))
        facts.append(fold.number == z3.Sum(*parts))
    return facts


def _smallest(solver: z3.Solver, terms: Iterator[Any]) -> z3.ModelRef:
    """A model in which the terms are small, one after the other; the solver's assumptions are as before."""
    model = solver.model()
    solver.push()
    try:
        for term in terms:
            wanted = [z3.BoolVal(val=False)] if z3.is_bool(term) else [*map(z3.IntVal, SMALL)]
            now = model.eval(term, model_completion=True)
            for value in wanted:
                # What the last model says already need not be asked.
                if now.eq(value):
                    solver.add(term == value)
                    break
                if solver.check(term == value) == z3.sat:
                    model = solver.model()
                    solver.add(term == value)
                    break
        solver.check()
        return solver.model()
    finally:
        solver.pop()


class Values:
    """Python's values, of a model."""

    def __init__(self, model: z3.ModelRef, cuts: ClosedCuts) -> None:
        self.model, self.cuts = model, cuts

    def resolve(self, step: Step) -> None:
        """Make the values of a step of its terms."""
        step.frame = {name: self.of(value) for name, value in step.frame.items()}
        step.answer = self.of(step.answer)
        step.names = [
            {name: self.of(value) for name, value in names.items()} for names in step.names
        ]
        if step.moment is not None:
            step.state = self.state(step.moment)

    def of(self, value: Any) -> Any:
        """The value of a symbolic one; whatever else it is stays."""
        if isinstance(value, SymInt):
            return self.number(value.term)
        if isinstance(value, SymBool):
            return self.truth(value.term)
        if isinstance(value, SymBytes):
            return self.content(value.size)
        if isinstance(value, tuple) and value and isinstance(value[0], (SymHandles, SymMessages)):
            handles, left = value
            popped = [self.number(each) for each in getattr(handles, "popped", [])]
            # What is never popped may be any handle.
            return (popped + [LARGEST] * self.number(left))[: self.number(left)]
        if isinstance(value, tuple):
            parts = [self.of(each) for each in value]
            return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
        return value

    def number(self, term: z3.ArithRef) -> int:
        """The value of a number."""
        return int(self.model.eval(term, model_completion=True).as_long())

    def truth(self, term: z3.BoolRef) -> bool:
        """The value of a condition."""
        return bool(z3.is_true(self.model.eval(term, model_completion=True)))

    def content(self, size: z3.ArithRef) -> bytes:
        """Bytes of the size that a number has."""
        length = self.number(size)
        if not 0 <= length <= LARGEST:
            raise NoWholeStateError(f"it needs a content of {length} bytes")
        return bytes(length)

    def device(self, terms: dict[str, Any]) -> Device:
        """The scalars."""
        device = Device()
        for name, kind in DEVICE_KINDS.items():
            value: Any = self.truth(terms[name]) if kind is bool else self.number(terms[name])
            setattr(device, name, value or None if kind == int | None else value)
        return device

    def state(self, moment: Moment) -> State:
        """The whole state at a moment."""
        state = State(self.device(moment.device), Ports(self))
        tables: tuple[Any, ...] = (state.clients, state.buffers, state.send_queue)
        for table, version, counters in zip(tables, moment.versions, moment.counters, strict=True):
            for row in self.rows(version):
                table.insert(row)
            table._next_handle = self.number(counters["handle"])
        state.buffers._next_order = self.number(moment.counters[1]["order"])
        return state

    def rows(self, version: Version) -> list[Any]:
        """The rows of a table, in its order."""
        found: dict[int, tuple[int, Any]] = {}
        domain = self.cuts.domains.get(id(version), [])
        for term in domain:
            handle = self.number(term)
            if handle not in found and self.truth(version.alive(term)):
                row = ROW_TYPES[version.schema.name](
                    **{
                        name: handle if name == "handle" else self.field(version, name, term)
                        for name in version.schema.sorts
                        if name != "position"
                    }
                )
                place = self.number(version.field("position", term)) if _ordered(version) else 0
                found[handle] = (place, row)
        return [
            row for _, (_, row) in sorted(found.items(), key=lambda each: (each[1][0], each[0]))
        ]

    def field(self, version: Version, name: str, handle: z3.ArithRef) -> Any:
        """A row's field."""
        schema = version.schema
        term = version.field(name, handle)
        if name in schema.sizes:
            return self.content(term)
        if z3.is_bool(term):
            return self.truth(term)
        value = self.number(term)
        if name in schema.optional:
            return value or None
        return schema.enums[name](value) if name in schema.enums else value


def _ordered(version: Version) -> bool:
    return version.schema is BUFFER


class Ports(dict[int, Port]):
    """The ports as the model has them; any handle is one."""

    def __init__(self, values: Values) -> None:
        super().__init__()
        self._values = values

    def __missing__(self, port: int) -> Port:
        self[port] = made = Port(
            *[
                self._values.truth(z3.Function(f"port.{name}", z3.IntSort(), z3.BoolSort())(port))
                for name in ("announces", "elsewhere")
            ]
        )
        return made


class ClosedPath(Path):
    """A path whose steps get their values before what is known of them is forgotten."""

    cuts: ClosedCuts

    def forget(self) -> None:
        """Give the steps their values, then forget."""
        self.cuts.resolve()
        self.cuts.resolved = True
        super().forget()
