"""Invariants as terms: each is run once, on a state of constants, and then only substituted.

Theory of operation
===================
An invariant of the specification is run on a state whose every answer is a new constant (a *slot*), with a note of what
was asked.
The result is a term over slots, a `Template`.
To have the invariant of another state, the same questions are asked there, and the answers are put in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import z3

from chardev_proofs.entry import BaseState
from chardev_proofs.explore import SOLVER_TIMEOUT_MS, Path, run_branches
from chardev_proofs.rows import LambdaRow, join_values
from chardev_proofs.state import SymState
from chardev_proofs.tables import (
    CANONICAL,
    PLAIN_RELATIONS,
    RELATIONS,
    SCHEMAS,
    Fold,
    Schema,
    Version,
    View,
    Weight,
    constants_in,
    substitute,
)
from chardev_proofs.values import bool_term

SUBJECT: Final = {each.name: each.constants(f"subject.{each.name}") for each in SCHEMAS.values()}
"""The row that an invariant is about."""


@dataclass
class Slot:
    """One question, and the constant that stands for its answer."""

    constant: z3.ExprRef
    kind: str
    table: int
    terms: tuple[z3.ExprRef, ...]
    name: str = ""
    used: tuple[str, ...] = ()


class Recorded(Version):
    """A table that notes what it is asked."""

    def __init__(self, schema: Schema, table: int, slots: list[Slot]) -> None:
        super().__init__(schema)
        self.table, self.slots = table, slots

    def _slot(self, kind: str, sort: z3.SortRef, name: str, *terms: z3.ExprRef) -> z3.ExprRef:
        constant = z3.Const(f"slot{len(self.slots)}.{sort}", sort)
        self.slots.append(Slot(constant, kind, self.table, terms, name))
        return constant

    def _field(self, name: str, handle: z3.ArithRef) -> z3.ExprRef:
        subject = SUBJECT[self.schema.name]
        if handle.eq(subject["handle"]):
            return subject[name]
        return self._slot("field", self.schema.sorts[name], name, handle)

    def _alive(self, handle: z3.ArithRef) -> z3.ExprRef:
        return self._slot("alive", z3.BoolSort(), "", handle)

    def fold(self, weight: Weight, *, composed: bool = False) -> z3.ArithRef:
        """As `Version.fold`."""
        term = z3.simplify(weight(CANONICAL[self.schema.name]))
        for slot in self.slots:
            if slot.kind == "fold" and slot.table == self.table and slot.terms[0].eq(term):
                return slot.constant
        return self._slot("fold", z3.IntSort(), "", term)

    def attached(self, peer: z3.ArithRef) -> z3.ArithRef:
        """As `Version.attached`."""
        return self._slot("attached", z3.IntSort(), "", peer)


class RecordedState(SymState):
    """A state of constants; whatever an invariant looks up is taken to be there."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.slots: list[Slot] = []
        for index, table in enumerate(self.tables):
            table.version = Recorded(table.schema, index, self.slots)
        self.device_constants = dict(self.device.terms)

    def dry(self) -> bool:
        """Nothing need be known."""
        return True

    def know(self, fact: z3.BoolRef) -> None:
        """Nothing is known of constants."""

    assume = know

    def surely(self, fact: z3.BoolRef) -> bool:
        """A row that is looked up is there."""
        return True

    def in_order(self, version: Version) -> z3.BoolRef:
        """A slot of its own kind."""
        constant = z3.Const(f"slot{len(self.slots)}.ordered", z3.BoolSort())
        self.slots.append(Slot(constant, "ordered", self.tables.index(self.buffers), ()))
        return constant


class Template:
    """A predicate over a state of constants.

    `scalars` and `tables` are what it depends on: fields of the device, and tables by their number.
    """

    def __init__(self, term: z3.BoolRef, state: "RecordedState", table: str | None) -> None:
        self.term = term
        used = constants_in(term)
        self.slots: list[Slot] = []
        for slot in reversed(state.slots):
            if slot.constant.decl().name() in used:
                self.slots.insert(0, slot)
                for each in slot.terms:
                    used |= constants_in(each)
        inside: dict[str, set[str]] = {}
        for slot in self.slots:
            # A question inside a weight may be about the row that is weighed.
            found = set().union(*[constants_in(each) for each in slot.terms])
            found |= set().union(*[inside.get(name, set()) for name in found])
            inside[slot.constant.decl().name()] = found
            canonical = CANONICAL[state.tables[slot.table].schema.name]
            slot.used = tuple(
                [name for name, each in canonical.items() if each.decl().name() in found]
            )
        self.scalars = {
            name: constant
            for name, constant in state.device_constants.items()
            if constant.decl().name() in used
        }
        self.subject = SUBJECT[table] if table is not None else {}
        self.subject = {
            name: each for name, each in self.subject.items() if each.decl().name() in used
        }
        self.tables = {slot.table for slot in self.slots}
        if table is not None:
            self.tables.add([each.schema.name for each in state.tables].index(table))

    def of(self, state: SymState | BaseState, subject: View | None = None) -> z3.BoolRef:
        """The predicate over another state."""
        answers = [(constant, state.device.terms[name]) for name, constant in self.scalars.items()]
        if subject is not None:
            answers += [(constant, subject[name]) for name, constant in self.subject.items()]
        for slot in self.slots:
            version = state.tables[slot.table].version
            terms = [substitute(term, answers) for term in slot.terms]
            answers.append((slot.constant, _answer(state, version, slot, terms)))
        return z3.simplify(substitute(self.term, answers))


def _answer(
    state: SymState | BaseState, version: Version, slot: Slot, terms: list[Any]
) -> z3.ExprRef:
    """What a state answers to a question."""
    if slot.kind == "field":
        return version.field(slot.name, terms[0])
    if slot.kind == "alive":
        return version.alive(terms[0])
    if slot.kind == "attached":
        return version.attached(terms[0])
    if slot.kind == "ordered":
        return state.in_order(version)
    canonical = CANONICAL[version.schema.name]
    return version.fold(
        lambda view: substitute(terms[0], [(canonical[name], view[name]) for name in slot.used])
    )


def template(
    predicate: Callable[..., Any],
    machine: Callable[[SymState], Any],
    state: RecordedState,
    table: str | None,
) -> Template:
    """The template of a predicate over a machine, and over a row of a table if one is named.

    Of templates that share a `state` the terms can be joined: one answer to each question serves all.
    """
    lifted = machine(state)
    arguments: list[Any] = [lifted]
    if table is not None:
        arguments.append(LambdaRow(SUBJECT[table], SCHEMAS[table]))
    start = state.save()
    results = run_branches(lambda: predicate(*arguments), lambda: state.restore(start))
    return Template(bool_term(join_values(results)), state, table)


class Universe:
    """What holds of every row that satisfies the invariants, asked once for all paths of a process.

    Whatever else an invariant speaks of is an unknown here.
    `rows` are all invariants about a row, by the name of the table.
    A row that refuted one relation is an example, and refutes most of the others without the solver.
    """

    def __init__(self, rows: dict[str, Template]) -> None:
        self.rows = rows
        self.solvers: dict[str, z3.Solver] = {}
        self.examples: dict[str, list[z3.ModelRef]] = {name: [] for name in SCHEMAS}
        self.values: dict[tuple[str, int, int, tuple[int, ...]], int] = {}
        self.answers: dict[tuple[Any, ...], bool] = {}
        self.kept: list[z3.ExprRef] = []
        for schema in SCHEMAS.values():
            solver = z3.Solver()
            solver.set("timeout", SOLVER_TIMEOUT_MS)
            row = CANONICAL[schema.name]
            solver.add(*schema.typed(row))
            if schema.name in rows:
                each = rows[schema.name]
                pairs = [(constant, row[name]) for name, constant in each.subject.items()]
                solver.add(substitute(each.term, pairs))
            self.solvers[schema.name] = solver

    def always(self, table: str, claims: list[tuple[str, tuple[Fold, ...]]]) -> list[bool]:
        """See `tables.World`."""
        numbers: dict[int, int] = {}
        named: dict[int, tuple[z3.ExprRef, tuple[int, ...]]] = {}
        answers = []
        for kind, related in claims:
            for each in related:
                if id(each) not in named:
                    named[id(each)] = (
                        each.pattern,
                        tuple(
                            [
                                numbers.setdefault(part.get_id(), len(numbers))
                                for part in each.arguments
                            ]
                        ),
                    )
            answers.append(self._holds(table, kind, *[named[id(each)] for each in related]))
        return answers

    def _holds(self, table: str, kind: str, *named: tuple[z3.ExprRef, tuple[int, ...]]) -> bool:
        """One claim; of the terms that the weights depend on, only which of them are equal matters."""
        numbers: dict[int, int] = {}
        aligned = [
            (pattern, tuple(numbers.setdefault(each, len(numbers)) for each in arguments))
            for pattern, arguments in named
        ]
        key = (table, kind, *[(pattern.get_id(), arguments) for pattern, arguments in aligned])
        if key not in self.answers:
            self.kept += [pattern for pattern, _ in aligned]
            self.answers[key] = not self._refuted(table, kind, aligned) and self._proved(
                table, RELATIONS[kind](*[_anonymous(*each) for each in aligned])
            )
        return self.answers[key]

    def _refuted(
        self, table: str, kind: str, aligned: list[tuple[z3.ExprRef, tuple[int, ...]]]
    ) -> bool:
        """Whether the relation does not hold of some example."""
        holds = PLAIN_RELATIONS[kind]
        return not all(
            holds(*[self._value(table, number, *each) for each in aligned])
            for number in range(len(self.examples[table]))
        )

    def _value(
        self, table: str, number: int, pattern: z3.ExprRef, arguments: tuple[int, ...]
    ) -> int:
        """The weight of an example."""
        key = (table, number, pattern.get_id(), arguments)
        if key not in self.values:
            weight: Any = self.examples[table][number].eval(
                _anonymous(pattern, arguments), model_completion=True
            )
            self.values[key] = weight.as_long()
        return self.values[key]

    def _proved(self, table: str, claim: z3.BoolRef) -> bool:
        """Whether the claim follows; a row of which it is false is an example from now on."""
        solver = self.solvers[table]
        result = solver.check(z3.Not(claim))
        if result == z3.sat:
            self.examples[table].append(solver.model())
        return bool(result == z3.unsat)


def _anonymous(pattern: z3.ExprRef, arguments: tuple[int, ...]) -> z3.ExprRef:
    """A weight whose arguments are unknowns with these numbers."""
    pairs = []
    for index, number in enumerate(arguments):
        for sort in (z3.IntSort(), z3.BoolSort()):
            pairs.append(
                (z3.Const(f"place{index}.{sort}", sort), z3.Const(f"argument{number}.{sort}", sort))
            )
    return substitute(pattern, pairs)
