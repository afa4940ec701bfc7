"""Why a claim does not hold: a small state before, the path, and what the last segment made of it.

The solver's model is a state that satisfies every invariant; it need not be reachable.
Each value is asked to be small, one after the other, as long as the claim still fails.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import z3

from chardev_proofs.cuts import Claim, Cuts
from chardev_proofs.state import SymTable
from chardev_proofs.tables import Base, Version
from chardev_spec.state import Origin, Place

SMALL: Final = (0, 1, 2, 3)
"""Values that a number is asked to have, in this order."""

ROWS_SHOWN: Final = 6
"""Rows of one table, at most."""

TERM_SHOWN: Final = 400
"""Characters of the formula that fails."""

NAMES: Final = {"place": Place, "origin": Origin}
"""Fields whose values have names."""


@dataclass
class Failure:
    """Why an obligation is not proved.

    `before` is the state at the last cut, as far as it matters; `after` is what differs after it, by the same names.
    `term` is the part of the claim that is false.
    """

    reason: str
    steps: list[str]
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    term: str = ""


def failure(cuts: Cuts, claim: Claim, result: z3.CheckSatResult) -> Failure:
    """The failure of a claim; `result` is what the solver said of its opposite."""
    steps = list(cuts.path.steps)
    if result != z3.sat:
        return Failure(f"unknown: {cuts.path.solver.reason_unknown()}", steps)
    solver = cuts.path.solver
    solver.push()
    try:
        solver.add(z3.Not(claim.holds))
        _make_small(solver, [term for _, term, _ in _values(cuts)])
        if solver.check() != z3.sat:
            return Failure("refuted", steps)
        model = solver.model()
        before, after = {}, {}
        rows: dict[str, str | None] = {}
        for place, old, new in _values(cuts):
            name = place
            row, _, field_name = place.partition("#")
            if field_name:
                number, _, field_name = field_name.partition(".")
                key = f"{row}#{number}"
                if key not in rows:
                    rows[key] = _row_name(model, row, old, new, set(rows.values()))
                if rows[key] is None:
                    continue
                name = f"{rows[key]}.{field_name}"
            was, now = _shown(name, model, old), _shown(name, model, new)
            if was != now:
                after[name] = now
            if was != now or was not in {"0", "False", "None"}:
                before[name] = was
        return Failure("refuted", steps, before, after, _false_part(model, claim.holds))
    finally:
        solver.pop()


def _make_small(solver: z3.Solver, terms: list[Any]) -> None:
    for term in terms:
        values: tuple[Any, ...] = SMALL
        if z3.is_bool(term):
            values = (z3.BoolVal(val=False),)
        for value in values:
            if solver.check(term == value) == z3.sat:
                solver.add(term == value)
                break


def _values(cuts: Cuts) -> Iterator[tuple[str, Any, Any]]:
    """What the state is made of: a name, the term at the last cut, and the term now."""
    state, moment = cuts.state, cuts.moment
    for name, term in moment.device.items():
        yield f"device.{name}", term, state.device.terms[name]
    for table, version in zip(state.tables, moment.versions, strict=True):
        yield from _rows(table, version)


def _rows(table: SymTable, version: Version) -> Iterator[tuple[str, Any, Any]]:
    if not isinstance(version, Base):
        return
    for number, handle in enumerate(list(version.seen.values())[:ROWS_SHOWN], start=1):
        row = f"{table.schema.name}#{number}"
        yield f"{row}.there", version.alive(handle), table.version.alive(handle)
        for name in table.schema.sorts:
            if name != "position":
                yield (
                    f"{row}.{name}",
                    version.field(name, handle),
                    table.version.field(name, handle),
                )


def _row_name(
    model: z3.ModelRef, table: str, old: Any, new: Any, shown: set[str | None]
) -> str | None:
    """The name of a row that is there before or after and was not shown yet."""
    there = [z3.is_true(model.eval(each, model_completion=True)) for each in (old, new)]
    handle = model.eval(old.arg(0), model_completion=True) if old.num_args() else 0
    name = f"{table}[{handle}]"
    return name if any(there) and name not in shown else None


def _shown(name: str, model: z3.ModelRef, term: Any) -> str:
    value = model.eval(term, model_completion=True)
    kind = NAMES.get(name.rpartition(".")[2])
    if kind is not None and z3.is_int_value(value) and value.as_long() in list(kind):
        return kind(value.as_long()).name
    return str(value)


def _false_part(model: z3.ModelRef, term: z3.BoolRef) -> str:
    while z3.is_and(term):
        term = next(
            (
                each
                for each in term.children()
                if z3.is_false(model.eval(each, model_completion=True))
            ),
            z3.BoolVal(val=False),
        )
    text = " ".join(str(term).split())
    return text if len(text) <= TERM_SHOWN else f"{text[:TERM_SHOWN]}…"
