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

from chardev_proofs.explore import Path, run_branches
from chardev_proofs.state import LambdaRow, SymState, join_values
from chardev_proofs.tables import CANONICAL, SCHEMAS, Schema, Version, View, Weight
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

    def fold(self, weight: Weight) -> z3.ArithRef:
        term = z3.simplify(weight(CANONICAL[self.schema.name]))
        for slot in self.slots:
            if slot.kind == "fold" and slot.table == self.table and slot.terms[0].eq(term):
                return slot.constant
        return self._slot("fold", z3.IntSort(), "", term)

    def attached(self, peer: z3.ArithRef) -> z3.ArithRef:
        return self._slot("attached", z3.IntSort(), "", peer)


class RecordedState(SymState):
    """A state of constants; whatever an invariant looks up is taken to be there."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.slots: list[Slot] = []
        for index, table in enumerate(self.tables):
            table.version = Recorded(table.schema, index, self.slots)
        self.device_constants = dict(self.device.terms)

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


@dataclass
class Template:
    """A predicate over a state of constants."""

    term: z3.BoolRef
    slots: list[Slot]
    device: dict[str, z3.ExprRef]
    subject: dict[str, z3.ExprRef]

    def of(self, state: SymState, subject: View | None = None) -> z3.BoolRef:
        """The predicate over another state."""
        answers = [(constant, state.device.terms[name]) for name, constant in self.device.items()]
        if subject is not None:
            answers += [(constant, subject[name]) for name, constant in self.subject.items()]
        for slot in self.slots:
            version = state.tables[slot.table].version
            terms = [z3.substitute(term, *answers) for term in slot.terms]
            answers.append((slot.constant, _answer(state, version, slot, terms)))
        return z3.simplify(z3.substitute(self.term, *answers))


def _answer(state: SymState, version: Version, slot: Slot, terms: list[Any]) -> z3.ExprRef:
    """What a state answers to a question."""
    if slot.kind == "field":
        return version.field(slot.name, terms[0])  # type: ignore[no-any-return]
    if slot.kind == "alive":
        return version.alive(terms[0])  # type: ignore[no-any-return]
    if slot.kind == "attached":
        return version.attached(terms[0])
    if slot.kind == "ordered":
        return state.in_order(version)
    canonical = CANONICAL[version.schema.name]
    return version.fold(
        lambda view: z3.substitute(
            terms[0], *[(constant, view[name]) for name, constant in canonical.items()]
        )
    )


def template(
    predicate: Callable[..., Any], machine: Callable[[SymState], Any], path: Path, table: str | None
) -> Template:
    """The template of a predicate over a machine, and over a row of a table if one is named."""
    state = RecordedState(path)
    lifted = machine(state)
    arguments: list[Any] = [lifted]
    if table is not None:
        arguments.append(LambdaRow(SUBJECT[table], SCHEMAS[table]))
    start = state.save()
    results = run_branches(lambda: predicate(*arguments), lambda: state.restore(start))
    return Template(
        bool_term(join_values(results)),
        state.slots,
        state.device_constants,
        SUBJECT[table] if table is not None else {},
    )
