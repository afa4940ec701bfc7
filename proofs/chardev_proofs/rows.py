"""Rows and tables of the symbolic state: what all of them do.

Theory of operation
===================
`SymTable` is the interface of `chardev_spec.state.Table` over a version of `tables`.
Each operation has a *contract*, stated where it is defined: what is known of its result and of the table after it.

A row that was looked up is a view of the table, not an object.
It must not be kept across a callback: using it then is refused, because a program that does so sees a row that may be
gone.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import z3

from chardev_proofs.explore import (
    MergeRefused,
    run_branches,
)
from chardev_proofs.tables import (
    NUMBER,
    TRUTH,
    Bulk,
    Empty,
    Point,
    Schema,
    Version,
    View,
    choose,
)
from chardev_proofs.values import (
    Symbolic,
    SymBool,
    SymBytes,
    UnsupportedError,
    bool_term,
    boolean,
    decide,
    int_term,
    integer,
    is_number,
    optional,
    optional_term,
    size_term,
)
from chardev_spec.state import Device

if TYPE_CHECKING:
    from chardev_proofs.state import SymState

DEVICE_KINDS: Final = {each.name: each.type for each in fields(Device)}
ONE: Final = z3.IntVal(1)
NONE: Final = z3.IntVal(0)
TRUE: Final = z3.BoolVal(val=True)


def sort_of(kind: Any) -> z3.SortRef:
    """The sort of a device's field."""
    return TRUTH if kind is bool else NUMBER


def value_of(term: Any, name: str, schema: Schema) -> Any:
    """A row's field as a value."""
    if name in schema.optional:
        return optional(term)
    if name in schema.sizes:
        return SymBytes(term)
    return boolean(term) if schema.sorts[name] == TRUTH else integer(term)


def term_of(value: Any, name: str, schema: Schema) -> Any:
    """A value as a row's field."""
    if name in schema.optional:
        return optional_term(value)
    if name in schema.sizes:
        return size_term(value)
    return bool_term(value) if schema.sorts[name] == TRUTH else int_term(value)


@dataclass
class Snapshot:
    """Everything that a helper can change."""

    device: dict[str, Any]
    versions: list[Version]
    counters: list[dict[str, z3.ArithRef]]
    frame: dict[str, Any]
    quirk_fields: dict[str, Any]


class SymDevice:
    """The scalars of the device."""

    def __init__(self, terms: dict[str, Any]) -> None:
        object.__setattr__(self, "terms", terms)

    def __getattr__(self, name: str) -> Any:
        kind = DEVICE_KINDS[name]
        term = self.terms[name]
        if kind == int | None:
            return optional(term)
        return boolean(term) if kind is bool else integer(term)

    def __setattr__(self, name: str, value: Any) -> None:
        kind = DEVICE_KINDS[name]
        convert = optional_term if kind == int | None else bool_term if kind is bool else int_term
        self.terms[name] = z3.simplify(convert(value))


class LambdaRow:
    """A row that a table's operation hands to a lambda: it can be read."""

    def __init__(self, view: View, schema: Schema) -> None:
        object.__setattr__(self, "_view", view)
        object.__setattr__(self, "_schema", schema)

    def __getattr__(self, name: str) -> Any:
        return value_of(self._view[name], name, self._schema)

    def __setattr__(self, name: str, value: Any) -> None:
        raise UnsupportedError("a lambda changes a row")


MANAGED: Final = {"handle", "place", "order", "offered", "client", "peer", "data", "message"}
"""Fields that only a table's own operations change."""


class SymRow(Symbolic):
    """The row under a handle, looked up in this segment."""

    __slots__ = ("_era", "_handle", "_table")

    def __init__(self, table: "SymTable", handle: z3.ArithRef) -> None:
        object.__setattr__(self, "_table", table)
        object.__setattr__(self, "_handle", handle)
        object.__setattr__(self, "_era", table.state.era)

    def _fresh_table(self) -> "SymTable":
        table: SymTable = self._table
        if self._era != table.state.era:
            raise UnsupportedError("a row is used after a callback; look it up again")
        table.require(self._handle)
        return table

    def __getattr__(self, name: str) -> Any:
        table = self._fresh_table()
        if name not in table.schema.sorts:
            raise AttributeError(name)
        return value_of(table.version.field(name, self._handle), name, table.schema)

    def __setattr__(self, name: str, value: Any) -> None:
        table = self._fresh_table()
        if name in MANAGED or name not in table.schema.sorts:
            raise UnsupportedError(f"`{name}` is set directly")
        term = z3.simplify(term_of(value, name, table.schema))
        if name == "pushing":
            table.state.note_push(self._handle, term)
        table.write(self._handle, {name: term})


class SymTable:
    """What all tables do."""

    def __init__(self, schema: Schema, state: "SymState") -> None:
        self.schema = schema
        self.state = state
        self.version: Version = Empty(schema)
        # `taken` is the position of the byte that is written next (`order`).
        self.counters = {"handle": ONE, "position": ONE, "order": ONE, "taken": ONE}

    def __getattr__(self, name: str) -> Any:
        raise UnsupportedError(f"`{name}` of {self.schema.name} has no symbolic contract")

    def require(self, handle: z3.ArithRef) -> None:
        """KeyError when the row may be gone."""
        there = self.version.alive(handle)
        if not self.state.surely(there):
            raise KeyError(f"{self.schema.name}: the row may be gone")

    def write(self, handle: z3.ArithRef, row: dict[str, Any], alive: Any = None) -> None:
        """One row changes."""
        here = self.version.alive(handle) if alive is None else alive
        self.version = Point(self.version, handle, row, here, self.state)

    def evaluate(self, function: Callable[[Any], Any], view: View, snapshot: Snapshot) -> Any:
        """What a lambda gives for a row, as a term, in the state of the snapshot."""
        state = self.state
        now = state.save()
        row = LambdaRow(view, self.schema)
        state.restore(snapshot)
        try:
            results = run_branches(lambda: function(row), lambda: state.restore(snapshot))
        finally:
            state.restore(now)
        return join_values([(condition, result) for condition, result in results])

    def condition(self, where: Callable[[Any], Any]) -> Callable[[View], z3.BoolRef]:
        """A lambda that says yes or no, as it is now."""
        snapshot = self.state.save()
        return lambda view: z3.simplify(bool_term(self.evaluate(where, view, snapshot)))

    def fold(self, where: Callable[[Any], Any], weight: Callable[[Any], Any]) -> z3.ArithRef:
        """The sum of a weight over the rows that satisfy a condition."""
        snapshot = self.state.save()

        def weigh(view: View) -> z3.ArithRef:
            hit = bool_term(self.evaluate(where, view, snapshot))
            return choose(hit, int_term(self.evaluate(weight, view, snapshot)), NONE)

        return self.version.fold(weigh)

    def number(self, where: Callable[[View], z3.BoolRef]) -> z3.ArithRef:
        """How many rows satisfy a condition on terms."""
        return self.version.fold(lambda view: choose(where(view), ONE, NONE))

    # The interface of chardev_spec.state.Table

    def __getitem__(self, handle: Any) -> SymRow:
        """Contract: KeyError unless the row is there."""
        if not is_number(handle):
            raise KeyError(handle)
        self.require(int_term(handle))
        return SymRow(self, int_term(handle))

    def __contains__(self, handle: Any) -> bool:
        """Contract: whether the row is there; None never is."""
        return handle is not None and decide(self.version.alive(int_term(handle)))

    def next_handle(self) -> Any:
        """Contract: above every handle that was ever used."""
        handle = self.counters["handle"]
        self.counters = self.counters | {"handle": handle + 1}
        return integer(handle)

    def insert(self, row: Any) -> None:
        """Contract: the row is there; it is the last of its place.

        Its handle must be the one that `next_handle` gave last.
        """
        handle = int_term(row.handle)
        if not z3.is_true(z3.simplify(handle + 1 == self.counters["handle"])):
            raise UnsupportedError("a row is inserted under another handle than the next")
        terms = {
            each.name: term_of(getattr(row, each.name), each.name, self.schema)
            for each in fields(row)
        }
        if "position" in self.schema.sorts:
            if not z3.is_true(z3.simplify(terms["order"] == 0)):
                raise UnsupportedError("a buffer is inserted with an order number")
            terms["position"] = self.counters["position"]
            self.counters = self.counters | {"position": self.counters["position"] + 1}
        # Every row that is there has a lower handle than the next one.
        self.state.know(z3.Not(self.version.alive(handle)))
        self.write(handle, terms, TRUE)

    def delete(self, handle: Any) -> None:
        """Contract: the row was there, and is gone."""
        term = int_term(handle)
        self.require(term)
        self.write(term, {}, z3.BoolVal(val=False))

    def clear(self) -> None:
        """Contract: no rows."""
        self.version = Empty(self.schema)

    def empty(self) -> Any:
        """Contract: there is no row."""
        return boolean(self.number(lambda _: TRUE) == 0)

    def count(self) -> Any:
        """Contract: the number of rows."""
        return integer(self.number(lambda _: TRUE))

    def exists(self, where: Callable[[Any], Any]) -> Any:
        """Contract: some row satisfies the condition."""
        return boolean(self.fold(where, lambda _: 1) > 0)

    def total(self, where: Callable[[Any], Any], weight: Callable[[Any], Any]) -> Any:
        """Contract: the sum of the weight over the rows that satisfy the condition."""
        return integer(self.fold(where, weight))

    def update(self, where: Callable[[Any], Any], **values: Callable[[Any], Any]) -> None:
        """Contract: every row that satisfies the condition has these fields, each computed from the old row."""
        for name in values:
            if name in MANAGED - {"client"} or name not in self.schema.sorts:
                raise UnsupportedError(f"`{name}` is set directly")
        snapshot = self.state.save()
        self.version = Bulk(
            self.version,
            self.condition(where),
            lambda view: {
                name: term_of(self.evaluate(value, view, snapshot), name, self.schema)
                for name, value in values.items()
            },
            lambda _: TRUE,
        )


def join_values(results: list[tuple[z3.BoolRef, Any]]) -> Any:
    """The results of a helper's branches as one value."""
    values = [value for _, value in results]
    first = values[0]
    if all(value is first for value in values):
        return first
    if all(isinstance(value, (bool, SymBool)) for value in values):
        term: Any = bool_term(values[-1])
        for condition, value in reversed(results[:-1]):
            term = choose(condition, bool_term(value), term)
        return boolean(z3.simplify(term))
    if all(value is None or is_number(value) for value in values):
        if any(value is None for value in values) and len(values) > 1:
            raise MergeRefused("None or a number")
        term = int_term(values[-1])
        for condition, value in reversed(results[:-1]):
            term = choose(condition, int_term(value), term)
        return integer(z3.simplify(term))
    raise MergeRefused("results of different kinds")
