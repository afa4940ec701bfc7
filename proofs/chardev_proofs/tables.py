"""Symbolic tables: any number of rows, of which only those that the text touches are ever looked at.

Theory of operation
===================
A table is a chain of *versions*, each made from the one before; none is ever changed.
The first is a `Base`: unknown rows, a z3 function from handles for each field.
A `Point` differs from its parent in one row, a `Bulk` in every row that satisfies a condition; each new value is
computed from the old row, in the state that was current when the update was made.
A `Merge` is one of two versions, by a condition.
To read a field is to walk down the chain: that gives a term, exactly, without quantifiers.

What is known of *every* row of a base (the invariants) is asserted for the handles that are touched (`Base.touch`):
that is sound, and complete enough when every handle that matters is touched.

Folds
-----
A *fold* is the sum of a weight over all rows: a total, or how many rows satisfy a condition.
A point changes a fold by the difference that it makes; a bulk update turns it into a fold of another weight over the
parent; so every fold comes down to folds over a base.
A fold over a base is an unknown number, of which this much is known:

- it is a function of the terms that its weight depends on (equal clients have equal totals);
- if no row's weight is negative, it is at least the weight of each touched row, and if it is above zero, some row
  (a *witness*) has a weight above zero;
- if two weights are equal for an arbitrary row, so are the folds; if one is never above the other, likewise; if one is
  the sum of two others, likewise. "For an arbitrary row" is decided by the solver.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, Final, Protocol, TypeAlias

import z3

from chardev_proofs.explore import new_number
from chardev_proofs.values import UnsupportedError
from chardev_spec.state import Buffer, Client, QueuedMessage

NUMBER: Final = z3.IntSort()
TRUTH: Final = z3.BoolSort()

View: TypeAlias = Mapping[str, z3.ExprRef]
"""The fields of a row, as terms."""
Weight: TypeAlias = Callable[[View], z3.ArithRef]
Condition: TypeAlias = Callable[[View], z3.BoolRef]
Update: TypeAlias = Callable[[View], dict[str, z3.ExprRef]]


def fresh(name: str, sort: z3.SortRef = NUMBER) -> Any:
    """A constant that was never used before."""
    return z3.Const(f"{name}!{new_number()}", sort)


@dataclass(frozen=True)
class Schema:
    """The fields of a table's rows.

    `optional` ones are 0 for None; of `sizes`, which are bytes, only the length is known.
    """

    name: str
    sorts: dict[str, z3.SortRef]
    optional: frozenset[str]
    sizes: frozenset[str]
    enums: dict[str, type[IntEnum]]

    def typed(self, view: View) -> list[z3.BoolRef]:
        """What the fields' types say of a row."""
        facts = [view[name] >= 0 for name in sorted(self.optional | self.sizes)]
        for name, kind in self.enums.items():
            facts += [view[name] >= min(kind), view[name] <= max(kind)]
        return facts

    def constants(self, prefix: str) -> dict[str, z3.ExprRef]:
        """A row of constants."""
        return {name: z3.Const(f"{prefix}.{name}", sort) for name, sort in self.sorts.items()}


def schema(name: str, row: type, **extra: z3.SortRef) -> Schema:
    """The schema of a row's class; `extra` are fields that only the symbolic table has."""
    kinds = {each.name: each.type for each in fields(row)}
    return Schema(
        name,
        {each: TRUTH if kind is bool else NUMBER for each, kind in kinds.items()} | extra,
        frozenset(each for each, kind in kinds.items() if kind == int | None),
        frozenset(each for each, kind in kinds.items() if kind is bytes),
        {
            each: kind
            for each, kind in kinds.items()
            if isinstance(kind, type) and issubclass(kind, IntEnum)
        },
    )


CLIENT: Final = schema("clients", Client)
BUFFER: Final = schema("buffers", Buffer, position=NUMBER)
"""`position` stands for the order in which the buffers of one place lie there."""
MESSAGE: Final = schema("send_queue", QueuedMessage)
SCHEMAS: Final = {each.name: each for each in (CLIENT, BUFFER, MESSAGE)}
CANONICAL: Final = {each.name: each.constants(each.name) for each in SCHEMAS.values()}
"""A row of constants for each table, in which weights are written down."""


class World(Protocol):
    """What the tables ask of whoever explores a path.

    `depth` is above zero while a row is described.
    """

    depth: int

    def know(self, fact: z3.BoolRef) -> None:
        """Assume what holds on every branch."""

    def assume(self, fact: z3.BoolRef) -> None:
        """Assume what holds on the branch that is being run."""

    def survivors(self, condition: z3.BoolRef, claims: list[z3.BoolRef]) -> list[bool]:
        """Which of the claims follow from the condition on this path."""

    def sample(self, condition: z3.BoolRef, terms: list[z3.ArithRef]) -> list[int] | None:
        """Values of the terms where the condition is true; None if it never is."""

    def remembered(
        self, key: tuple[int, ...], find: Callable[[], list[z3.BoolRef]]
    ) -> list[z3.BoolRef]:
        """What `find` gives, or gave when the path was gone for the first time."""

    def dry(self) -> bool:
        """Whether nothing need be known, because it will be forgotten before anything is asked."""

    def always(self, table: str, claims: "list[tuple[str, tuple[Fold, ...]]]") -> list[bool]:
        """Which of these relations hold of every row that satisfies the invariants, whatever the path."""

    def row_facts(self, table: str, view: View, base: "Base") -> list[z3.BoolRef]:
        """What is known of a row of a base that is there."""


class Version(ABC):
    """A table at one moment."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._fields: dict[tuple[str, int], tuple[z3.ExprRef, z3.ExprRef]] = {}

    def field(self, name: str, handle: z3.ArithRef) -> Any:
        """The field of the row under this handle."""
        if name == "handle":
            return handle
        key = (name, handle.get_id())
        if key not in self._fields:
            # The handle is kept with the answer, so that its number stays its own.
            self._fields[key] = (handle, self._field(name, handle))
        return self._fields[key][1]

    def alive(self, handle: z3.ArithRef) -> Any:
        """Whether there is a row under this handle."""
        key = ("", handle.get_id())
        if key not in self._fields:
            self._fields[key] = (handle, self._alive(handle))
        return self._fields[key][1]

    def view(self, handle: z3.ArithRef) -> "RowView":
        """The row under this handle."""
        return RowView(self, handle)

    @abstractmethod
    def _field(self, name: str, handle: z3.ArithRef) -> z3.ExprRef: ...

    @abstractmethod
    def _alive(self, handle: z3.ArithRef) -> z3.ExprRef: ...

    @abstractmethod
    def fold(self, weight: Weight, *, composed: bool = False) -> z3.ArithRef:
        """The sum of the weights of all rows; `composed` when an update has changed the weight."""

    @abstractmethod
    def attached(self, peer: z3.ArithRef) -> z3.ArithRef:
        """The handle of the first row of this peer; 0 when there is none."""


class RowView(Mapping[str, z3.ExprRef]):
    """The row under a handle, read when it is asked for."""

    def __init__(self, version: Version, handle: z3.ArithRef) -> None:
        self.version = version
        self.handle = handle

    def __getitem__(self, name: str) -> Any:
        return self.version.field(name, self.handle)

    def __iter__(self) -> Any:
        return iter(self.version.schema.sorts)

    def __len__(self) -> int:
        return len(self.version.schema.sorts)


def substitute(term: Any, pairs: list[tuple[z3.ExprRef, z3.ExprRef]]) -> Any:
    """`z3.substitute` of constants, without its look at every sort."""
    if not pairs:
        return term
    size = len(pairs)
    old, new = (z3.Ast * size)(), (z3.Ast * size)()
    for index, (one, two) in enumerate(pairs):
        old[index], new[index] = one.as_ast(), two.as_ast()
    return _expression(z3.Z3_substitute(term.ctx_ref(), term.as_ast(), size, old, new), term.ctx)


_expression: Final = z3.z3._to_expr_ref


def apply(function: z3.FuncDeclRef, handle: z3.ArithRef) -> Any:
    """What a function of handles gives for one, without a look at its sort."""
    arguments = (z3.Ast * 1)(handle.as_ast())
    return _expression(z3.Z3_mk_app(handle.ctx_ref(), function.ast, 1, arguments), handle.ctx)


def constants_in(term: z3.ExprRef) -> set[str]:
    """The names of the constants of a term."""
    found: set[str] = set()
    seen: set[int] = set()
    waiting = [term]
    while waiting:
        part = waiting.pop()
        if part.get_id() in seen:
            continue
        seen.add(part.get_id())
        children = part.children()
        if not children and z3.is_const(part) and part.decl().kind() == z3.Z3_OP_UNINTERPRETED:
            found.add(part.decl().name())
        waiting += children
    return found


def choose(condition: z3.BoolRef, yes: Any, no: Any) -> Any:
    """`If`, without what is plain."""
    if z3.is_true(condition) or yes.eq(no):
        return yes
    return no if z3.is_false(condition) else z3.If(condition, yes, no)


ZERO: Final = z3.IntVal(0)


class Empty(Version):
    """No rows."""

    def _field(self, name: str, handle: z3.ArithRef) -> z3.ExprRef:
        return z3.Function(f"none.{self.schema.name}.{name}", NUMBER, self.schema.sorts[name])(
            handle
        )

    def _alive(self, handle: z3.ArithRef) -> z3.ExprRef:
        return z3.BoolVal(val=False)

    def fold(self, weight: Weight, *, composed: bool = False) -> z3.ArithRef:
        """As `Version.fold`."""
        return ZERO

    def attached(self, peer: z3.ArithRef) -> z3.ArithRef:
        """As `Version.attached`."""
        return ZERO


class Point(Version):
    """A version in which one row is another, new, or gone."""

    def __init__(
        self,
        parent: Version,
        handle: z3.ArithRef,
        row: dict[str, z3.ExprRef],
        alive: z3.BoolRef,
        world: World,
    ) -> None:
        super().__init__(parent.schema)
        self.parent, self.handle, self.row, self.here, self.world = (
            parent,
            handle,
            row,
            alive,
            world,
        )

    def _same(self, handle: z3.ArithRef) -> z3.BoolRef:
        return z3.simplify(handle == self.handle)

    def _field(self, name: str, handle: z3.ArithRef) -> z3.ExprRef:
        if name not in self.row:
            return self.parent.field(name, handle)
        return choose(self._same(handle), self.row[name], self.parent.field(name, handle))

    def _alive(self, handle: z3.ArithRef) -> z3.ExprRef:
        return choose(self._same(handle), self.here, self.parent.alive(handle))

    def fold(self, weight: Weight, *, composed: bool = False) -> z3.ArithRef:
        """As `Version.fold`."""
        before, now = self.parent.view(self.handle), self.view(self.handle)
        old, new = weight(before), weight(now)
        there, here = self.parent.alive(self.handle), self.here
        if old.eq(new) and there.eq(here):
            return self.parent.fold(weight, composed=composed)
        change = choose(here, new, ZERO) - choose(there, old, ZERO)
        return self.parent.fold(weight, composed=composed) + change

    def attached(self, peer: z3.ArithRef) -> z3.ArithRef:
        """As `Version.attached`."""
        found = self.parent.attached(peer)
        if self.parent.alive(self.handle).eq(self.here) and "peer" not in self.row:
            return found
        if z3.is_true(self.here):
            mine = z3.And(found == 0, self.view(self.handle)["peer"] == peer)
            return choose(mine, self.handle, found)
        # The row goes; another row of the same peer, if there is one, is found now.
        other = fresh("attached")
        self.world.know(
            z3.Or(
                other == 0,
                z3.And(
                    other != self.handle,
                    self.parent.alive(other),
                    self.parent.field("peer", other) == peer,
                ),
            )
        )
        return choose(found == self.handle, other, found)


class Bulk(Version):
    """A version in which every row that satisfies a condition is updated, or gone."""

    def __init__(self, parent: Version, where: Condition, update: Update, stays: Condition) -> None:
        super().__init__(parent.schema)
        self.parent, self.where, self.update, self.stays = parent, where, update, stays
        self._rows: dict[
            int, tuple[z3.ArithRef, z3.BoolRef, dict[str, z3.ExprRef], z3.BoolRef]
        ] = {}
        # The fields that it changes, and the constants that stand for them; None when rows may go.
        self._names: set[str] | None = None
        canonical = CANONICAL[parent.schema.name]
        if z3.is_true(stays(canonical)):
            self._names = set(update(canonical))
            self._changed = {canonical[name].decl().name() for name in self._names}

    def _row(
        self, handle: z3.ArithRef
    ) -> tuple[Any, z3.BoolRef, dict[str, z3.ExprRef], z3.BoolRef]:
        if handle.get_id() not in self._rows:
            view = self.parent.view(handle)
            self._rows[handle.get_id()] = (
                handle,
                self.where(view),
                self.update(view),
                self.stays(view),
            )
        return self._rows[handle.get_id()]

    def _field(self, name: str, handle: z3.ArithRef) -> z3.ExprRef:
        old = self.parent.field(name, handle)
        if self._names is not None and name not in self._names:
            return old
        _, hit, values, _ = self._row(handle)
        return choose(hit, values[name], old) if name in values else old

    def _alive(self, handle: z3.ArithRef) -> z3.ExprRef:
        there = self.parent.alive(handle)
        if self._names is not None:
            return there
        _, hit, _, stays = self._row(handle)
        return z3.And(there, z3.Or(z3.Not(hit), stays))

    def fold(self, weight: Weight, *, composed: bool = False) -> z3.ArithRef:
        """As `Version.fold`."""
        if self._names is not None:
            term = weight(CANONICAL[self.schema.name])
            if not self._changed & constants_in(term):
                return self.parent.fold(weight, composed=composed)

        def through(view: View) -> z3.ArithRef:
            hit, values = self.where(view), self.update(view)
            new = weight({**dict(view), **values})
            return choose(hit, choose(self.stays(view), new, ZERO), weight(view))

        return self.parent.fold(through, composed=True)

    def attached(self, peer: z3.ArithRef) -> z3.ArithRef:
        """As `Version.attached`."""
        if self.schema is CLIENT and not z3.is_true(self.stays(CANONICAL["clients"])):
            raise UnsupportedError("many clients are deleted at once")
        return self.parent.attached(peer)


class Merge(Version):
    """One of two versions."""

    def __init__(self, condition: z3.BoolRef, yes: Version, no: Version) -> None:
        super().__init__(yes.schema)
        self.condition, self.yes, self.no = condition, yes, no

    def _field(self, name: str, handle: z3.ArithRef) -> z3.ExprRef:
        return choose(self.condition, self.yes.field(name, handle), self.no.field(name, handle))

    def _alive(self, handle: z3.ArithRef) -> z3.ExprRef:
        return choose(self.condition, self.yes.alive(handle), self.no.alive(handle))

    def fold(self, weight: Weight, *, composed: bool = False) -> z3.ArithRef:
        """As `Version.fold`."""
        return choose(
            self.condition,
            self.yes.fold(weight, composed=composed),
            self.no.fold(weight, composed=composed),
        )

    def attached(self, peer: z3.ArithRef) -> z3.ArithRef:
        """As `Version.attached`."""
        return choose(self.condition, self.yes.attached(peer), self.no.attached(peer))


@dataclass
class Fold:
    """A fold over a base.

    Its weight is a function of a row, and a pattern with place-holders for its `arguments`, which are no part of the
    row; `number` is the unknown number that the fold is.
    """

    weight: Weight
    number: z3.ArithRef
    witness: z3.ArithRef | None
    bounded: set[int]
    pattern: z3.ExprRef
    arguments: list[z3.ExprRef]


def relations(fold: Fold, others: list[Fold], *, sums: bool) -> list[tuple[str, tuple[Fold, ...]]]:
    """What may hold of a weight for every row, and then of the fold: a relation's name, and what it relates.

    First that it is nothing, then that it is not negative, then that it is another one; then the rest.
    """
    claims: list[tuple[str, tuple[Fold, ...]]] = [("none", (fold,)), ("sign", (fold,))]
    claims += [("same", (fold, other)) for other in others]
    for index, one in enumerate(others):
        claims += [("least", (fold, one)), ("most", (fold, one))]
        if sums:
            for two in others[index + 1 :]:
                claims += [
                    ("sum", (fold, one, two)),
                    ("sum", (one, fold, two)),
                    ("sum", (two, fold, one)),
                ]
    return claims


RELATIONS: Final[dict[str, Callable[..., z3.BoolRef]]] = {
    "none": lambda weight: weight == 0,
    "sign": lambda weight: weight >= 0,
    "same": lambda weight, other: weight == other,
    "least": lambda weight, other: weight <= other,
    "most": lambda weight, other: weight >= other,
    "sum": lambda whole, one, two: whole == one + two,
}


PLAIN_RELATIONS: Final[dict[str, Callable[..., bool]]] = {
    "none": lambda weight: weight == 0,
    "sign": lambda weight: weight >= 0,
    "same": lambda weight, other: weight == other,
    "least": lambda weight, other: weight <= other,
    "most": lambda weight, other: weight >= other,
    "sum": lambda whole, one, two: whole == one + two,
}
"""The same of Python's numbers."""


def _facts(claims: list[tuple[str, tuple[Fold, ...]]], holds: list[bool]) -> list[z3.BoolRef]:
    """What the relations that hold of the weights say of the folds."""
    return [
        RELATIONS[kind](*[each.number for each in related])
        for (kind, related), survives in zip(claims, holds, strict=True)
        if survives
    ]


class Base(Version):
    """Any rows that satisfy what is known of every row.

    `frozen`: a later state has taken its place, and nothing more need be known of it.
    """

    def __init__(self, schema: Schema, world: World) -> None:
        super().__init__(schema)
        self.world = world
        self.frozen = False
        self.touched: dict[int, z3.ArithRef] = {}
        # Handles that were asked for, and those that were met while another row was described.
        self.seen: dict[int, z3.ArithRef] = {}
        self.glimpsed: dict[int, z3.ArithRef] = {}
        self.folds: dict[int, Fold] = {}
        self.terms: list[z3.ExprRef] = []
        self._bounded = (0, 0, 0)
        self.any_row = fresh(f"any.{schema.name}")
        number = new_number()
        self._functions = {
            name: z3.Function(f"{schema.name}.{name}!{number}", NUMBER, sort)
            for name, sort in schema.sorts.items()
        }
        self._here = z3.Function(f"{schema.name}!{number}", NUMBER, TRUTH)
        self._attached = z3.Function(f"{schema.name}.attached!{number}", NUMBER, NUMBER)
        self._peers: set[int] = set()
        self._number = number

    def touch(self, handle: z3.ArithRef) -> None:
        """Know of this row what is known of every row."""
        if self.frozen or handle.get_id() in self.touched or self.world.dry():
            return
        self.touched[handle.get_id()] = handle
        (self.glimpsed if self.world.depth else self.seen)[handle.get_id()] = handle
        there = apply(self._here, handle)
        self.world.depth += 1
        try:
            facts = self.world.row_facts(self.schema.name, self.view(handle), self)
            self.world.know(z3.Implies(there, z3.And(*facts)))
        finally:
            self.world.depth -= 1

    def _field(self, name: str, handle: z3.ArithRef) -> z3.ExprRef:
        self.touch(handle)
        return apply(self._functions[name], handle)

    def _alive(self, handle: z3.ArithRef) -> z3.ExprRef:
        # Whether a row is there says nothing about its fields: it is not touched, only counted.
        where = self.glimpsed if self.world.depth else self.seen
        where.setdefault(handle.get_id(), handle)
        return apply(self._here, handle)

    def attached(self, peer: z3.ArithRef) -> z3.ArithRef:
        """As `Version.attached`."""
        found = apply(self._attached, peer)
        if peer.get_id() not in self._peers:
            self._peers.add(peer.get_id())
            self.world.know(
                z3.Or(
                    found == 0,
                    z3.And(apply(self._here, found), apply(self._functions["peer"], found) == peer),
                )
            )
        return found

    def fold(self, weight: Weight, *, composed: bool = False) -> z3.ArithRef:
        """As `Version.fold`."""
        term = z3.simplify(weight(CANONICAL[self.schema.name]))
        if z3.is_int_value(term) and term.as_long() == 0:
            return ZERO
        if term.get_id() not in self.folds:
            self.terms.append(term)
            self.folds[term.get_id()] = self._new_fold(term, weight, composed=composed)
        return self.folds[term.get_id()].number

    def weight_at(self, fold: Fold, handle: z3.ArithRef) -> Any:
        """A weight, of the row under this handle."""
        names, elsewhere = _described(fold.pattern, self.schema.name)
        if elsewhere:
            return fold.weight(self.view(handle))
        canonical = CANONICAL[self.schema.name]
        pairs = [(canonical[name], self.field(name, handle)) for name in names]
        places = [_place(index, each.sort()) for index, each in enumerate(fold.arguments)]
        return substitute(fold.pattern, pairs + list(zip(places, fold.arguments, strict=True)))

    def _new_fold(self, term: z3.ArithRef, weight: Weight, *, composed: bool) -> Fold:
        pattern, arguments = abstracted(term, self.schema.name)
        _patterns[pattern.get_id()] = pattern
        name = f"{self.schema.name}.fold{pattern.get_id()}!{self._number}"
        function = z3.Function(name, *[each.sort() for each in arguments], NUMBER)
        fold = Fold(weight, function(*arguments), None, set(), pattern, arguments)
        if not self.frozen and not self.world.dry():
            self._relate(fold, composed=composed)
        return fold

    def _relate(self, fold: Fold, *, composed: bool) -> None:
        """What is known of a fold, beside others.

        What holds of any row that satisfies the invariants is asked once and for all (`World.always`).
        A weight that depends on several terms is one of a table that was changed; what the path knows of these terms
        matters then.
        """
        others = list(self.folds.values())
        elsewhere = _described(fold.pattern, self.schema.name)[1]
        if elsewhere or (composed and len(fold.arguments) > 1):
            key = (fold.number.get_id(), *[each.number.get_id() for each in others])
            facts = self.world.remembered(key, lambda: self._found(fold, others))
        else:
            claims = relations(fold, others, sums=composed)
            facts = _facts(claims, self.world.always(self.schema.name, claims))
        # The fold stays an unknown of its own: a path that replays a trace must meet the same terms.
        for fact in facts:
            self.world.know(fact)
        positive = fold.number >= 0
        if any(each.eq(positive) for fact in facts for each in (fact, *fact.children()[-1:])):
            witness = fresh(f"witness.{self.schema.name}")
            fold.witness = witness
            self.touch(witness)
            there = z3.And(self.alive(witness), self.weight_at(fold, witness) > 0)
            self.world.know(z3.Implies(fold.number > 0, there))

    def _found(self, fold: Fold, others: list[Fold]) -> list[z3.BoolRef]:
        """What the path says of a fold: a row that has a weight rules most of it out, the solver decides the rest."""
        here = apply(self._here, self.any_row)
        weights = {id(each): self.weight_at(each, self.any_row) for each in (fold, *others)}
        terms = list(weights.values())
        values = self.world.sample(z3.And(here, terms[0] != 0), terms)
        if values is None:
            return [fold.number == 0, fold.number >= 0]
        numbers = dict(zip(weights, values, strict=True))
        claims = [
            (kind, related)
            for kind, related in relations(fold, others, sums=True)
            if PLAIN_RELATIONS[kind](*[numbers[id(each)] for each in related])
        ]
        terms = [
            RELATIONS[kind](*[weights[id(each)] for each in related]) for kind, related in claims
        ]
        return _facts(claims, self.world.survivors(here, terms))

    def bound_folds(self) -> None:
        """Say of each fold that it is at least the weight of each touched row.

        How many rows there are is also bounded by rows that were only seen, two by two.
        """
        know = self.world.know
        size = (len(self.folds), len(self.touched), len(self.seen) + len(self.glimpsed))
        if size == self._bounded:
            return
        self._bounded = size
        for fold in list(self.folds.values()):
            if fold.witness is None:
                continue
            counts = z3.is_int_value(fold.pattern)
            for key, handle in list(
                ({**self.glimpsed, **self.seen} if counts else self.touched).items()
            ):
                if key in fold.bounded:
                    continue
                fold.bounded.add(key)
                here = apply(self._here, handle)
                know(z3.Implies(here, self.weight_at(fold, handle) <= fold.number))
                if counts:
                    for other_key, other in list(self.seen.items()):
                        if key in self.seen and other_key in fold.bounded and other_key != key:
                            both = z3.And(here, apply(self._here, other), handle != other)
                            know(z3.Implies(both, fold.number >= 2))


_patterns: dict[int, z3.ExprRef] = {}
"""Keeps the patterns, so that their numbers stay their own."""
_descriptions: dict[int, tuple[list[str], bool]] = {}


def _described(pattern: z3.ExprRef, table: str) -> tuple[list[str], bool]:
    """Which fields a weight depends on, and whether it depends on another table's rows."""
    if pattern.get_id() not in _descriptions:
        found = constants_in(pattern)
        names = [name for name, each in CANONICAL[table].items() if each.decl().name() in found]
        _descriptions[pattern.get_id()] = names, _asks_elsewhere(pattern)
    return _descriptions[pattern.get_id()]


def _asks_elsewhere(pattern: z3.ExprRef) -> bool:
    if (
        z3.is_app(pattern)
        and pattern.decl().kind() == z3.Z3_OP_UNINTERPRETED
        and pattern.children()
    ):
        return True
    return any(_asks_elsewhere(child) for child in pattern.children())


def _place(index: int, sort: z3.SortRef) -> z3.ExprRef:
    return z3.Const(f"place{index}.{sort}", sort)


def abstracted(term: z3.ExprRef, table: str) -> tuple[z3.ExprRef, list[z3.ExprRef]]:
    """A weight with every part that is no part of the row replaced by a place-holder, and these parts."""
    row = {constant.get_id() for constant in CANONICAL[table].values()}
    depends: dict[int, bool] = {}

    def of_row(part: z3.ExprRef) -> bool:
        key = part.get_id()
        if key not in depends:
            depends[key] = key in row or any(of_row(child) for child in part.children())
        return depends[key]

    parts: dict[int, z3.ExprRef] = {}

    def collect(part: z3.ExprRef) -> None:
        if not of_row(part):
            if not (z3.is_int_value(part) or z3.is_true(part) or z3.is_false(part)):
                parts.setdefault(part.get_id(), part)
            return
        for child in part.children():
            collect(child)

    collect(term)
    arguments = list(parts.values())
    places = [_place(index, part.sort()) for index, part in enumerate(arguments)]
    return z3.substitute(term, *zip(arguments, places, strict=True)), arguments
