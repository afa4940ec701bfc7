"""The symbolic state: the very interface of `chardev_spec.state`, over the versions of `tables`.

Theory of operation
===================
The specification's machine is given this state instead of its own and does not notice.
Each operation has a *contract*, stated where it is defined: what is known of its result and of the tables after it.
Where the contract leaves something open, that is an unknown; so the symbolic state has every run that the concrete one
has, and perhaps more.
An operation whose precondition may fail raises what the concrete one would raise, an ordinary exception, and that is
a violation wherever it happens.

A row that was looked up is a view of the table, not an object.
It must not be kept across a callback: using it then is refused, because a program that does so sees a row that may be
gone.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final

import z3

from chardev_proofs.explore import (
    MergeRefused,
    Path,
    conditions,
    conjunction,
    run_branches,
)
from chardev_proofs.tables import (
    BUFFER,
    CANONICAL,
    CLIENT,
    MESSAGE,
    NUMBER,
    TRUTH,
    Base,
    Bulk,
    Empty,
    Fold,
    Merge,
    Point,
    Schema,
    Version,
    View,
    choose,
    fresh,
)
from chardev_proofs.values import (
    Symbolic,
    SymBool,
    SymBytes,
    SymInt,
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
from chardev_spec.state import Device, Marshalled, Offer, Origin, Place

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
        self.counters = {"handle": ONE, "position": ONE, "order": ONE}

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


class SymHandles(Symbolic):
    """A list of handles, taken from a table at one moment.

    `left` is how many are left.
    As long as the list is `exact`, what is popped was there at that moment, in falling order when `falling`, else
    rising; after a cut of a loop it is any list of handles.
    """

    __slots__ = ("exact", "falling", "last", "left", "members", "popped", "state", "version")

    def __init__(
        self, state: "SymState", version: Version, left: z3.ArithRef, *, falling: bool
    ) -> None:
        self.state, self.version, self.left, self.falling = state, version, left, falling
        self.exact = True
        self.last: z3.ArithRef | None = None
        self.popped: list[z3.ArithRef] = []
        self.members = z3.Function(f"members{fresh('list')}", NUMBER, TRUTH)
        state.lists.append(self)

    def naming(self) -> Callable[[z3.ArithRef], z3.BoolRef]:
        """Whether a client is in the list, as it is now."""
        there: Callable[[z3.ArithRef], Any] = self.version.alive if self.exact else self.members
        popped = list(self.popped)
        return lambda client: z3.And(there(client), *[client != each for each in popped])

    def same_as(self, other: "SymHandles") -> z3.BoolRef:
        """Whether this is the same list of a table at one moment, as far as that is plain."""
        whole = self.exact and self.last is None and self.falling == other.falling
        return z3.BoolVal(val=whole and self.version is other.version)

    def names_nobody(self) -> Callable[[z3.ArithRef], z3.BoolRef]:
        """Contract: a list of which nothing is left names no client."""
        left, named = self.left, self.naming()
        return lambda client: z3.Implies(left <= 0, z3.Not(named(client)))

    def __bool__(self) -> bool:
        """Contract: whether one is left; there are never fewer than none."""
        if decide(self.left > 0):
            return True
        if not conditions():
            self.left = NONE
        return False

    def pop(self, index: int) -> Any:
        """Contract: IndexError unless one is left; the first one."""
        if index != 0 or conditions():
            raise UnsupportedError("a list is popped elsewhere than at its head, or in a helper")
        if not self.state.surely(self.left > 0):
            raise IndexError("pop from a list that may be empty")
        handle = fresh("listed")
        self.state.know(handle > 0)
        if self.exact:
            version, last, falling = self.version, self.last, self.falling
            self.state.know(version.alive(handle))
            if last is not None:
                self.state.know(handle < last if falling else handle > last)

            def no_other_first(other: z3.ArithRef) -> z3.BoolRef:
                left = [] if last is None else [other < last if falling else other > last]
                first = other <= handle if falling else other >= handle
                return z3.Implies(z3.And(version.alive(other), *left), first)

            self.state.for_all(self.version.schema.name, no_other_first)
        else:
            self.state.know(self.members(handle))
        self.popped.append(handle)
        self.state.popped.append(handle)
        self.left, self.last = self.left - 1, handle
        return SymInt(handle)


class SymMessages(Symbolic):
    """A list of messages; each is a reference that the frame holds."""

    __slots__ = ("left", "state")

    def __init__(self, state: "SymState", left: z3.ArithRef) -> None:
        self.state, self.left = state, left

    def __bool__(self) -> bool:
        """Contract: whether one is left; there are never fewer than none."""
        if decide(self.left > 0):
            return True
        if not conditions():
            self.left = NONE
        return False

    def pop(self, index: int) -> Any:
        """Contract: IndexError unless one is left; the first one."""
        if index != 0 or conditions():
            raise UnsupportedError("a list is popped elsewhere than at its head, or in a helper")
        if not self.state.surely(self.left > 0):
            raise IndexError("pop from a list that may be empty")
        self.left = self.left - 1
        return SymInt(fresh("message"))


class SymClients(SymTable):
    """The clients."""

    def attached(self, peer: Any) -> Any:
        """Contract: the first attachment of the peer, None when it has none."""
        return optional(self.version.attached(int_term(peer)))

    def newest_first(self) -> SymHandles:
        """Contract: all handles, falling."""
        return SymHandles(self.state, self.version, self.number(lambda _: TRUE), falling=True)

    def oldest_first(self) -> SymHandles:
        """Contract: all handles, rising."""
        return SymHandles(self.state, self.version, self.number(lambda _: TRUE), falling=False)


class SymSendQueue(SymTable):
    """The send queues."""

    def first(self, client: Any) -> Any:
        """Contract: IndexError unless the client's queue has an entry; the entry with the lowest handle."""
        client = int_term(client)
        version = self.version
        if not self.state.surely(self.number(lambda view: view["client"] == client) > 0):
            raise IndexError("the first entry of a queue that may be empty")
        entry = fresh("entry")
        self.state.assume(z3.And(version.alive(entry), version.field("client", entry) == client))
        self.state.for_all(
            MESSAGE.name,
            lambda other: z3.Implies(
                z3.And(version.alive(other), version.field("client", other) == client),
                entry <= other,
            ),
        )
        return SymInt(entry)

    def drain(self, client: Any) -> SymMessages:
        """Contract: the client's entries are gone; as many messages."""
        client = int_term(client)
        left = self.number(lambda view: view["client"] == client)
        self.version = Bulk(
            self.version,
            lambda view: view["client"] == client,
            lambda _: {},
            lambda _: z3.BoolVal(val=False),
        )
        return SymMessages(self.state, left)

    def drain_all(self, clients: SymHandles) -> SymMessages:
        """Contract: the entries of these clients are gone; as many messages.

        Only for all clients.
        """
        there = self.state.clients.version
        if not clients.exact or clients.last is not None or clients.version is not there:
            raise UnsupportedError("queues of other clients than all are drained")
        everything = self.version.fold(lambda _: ONE)
        self.version = Bulk(
            self.version,
            lambda view: there.alive(view["client"]),
            lambda _: {},
            lambda _: z3.BoolVal(val=False),
        )
        left = everything - self.version.fold(lambda _: ONE)
        return SymMessages(self.state, left)


def pending(view: View) -> z3.BoolRef:
    """Whether a buffer is in the write queue."""
    return z3.Or(view["place"] == Place.QUEUED.value, view["place"] == Place.CURRENT.value)


def rest(view: View) -> z3.ArithRef:
    """What a buffer still has to write."""
    return view["data"] - view["written"]


def before(one: View, two: View) -> z3.BoolRef:
    """Whether one pending buffer lies before another."""
    current = one["place"] == Place.CURRENT.value
    other = two["place"] == Place.CURRENT.value
    return z3.Or(
        z3.And(current, z3.Not(other)),
        z3.And(current == other, one["position"] < two["position"]),
    )


class SymBuffers(SymTable):
    """The write buffers."""

    def any_in(self, place: Place) -> Any:
        """Contract: some buffer is in that place."""
        return boolean(self.number(lambda view: view["place"] == place.value) > 0)

    def pending(self) -> Any:
        """Contract: some buffer is queued or current."""
        return boolean(self.number(pending) > 0)

    def current_count(self) -> Any:
        """Contract: the number of buffers in place CURRENT."""
        return integer(self.number(lambda view: view["place"] == Place.CURRENT.value))

    def pending_count(self) -> Any:
        """Contract: the number of buffers that are queued or current."""
        return integer(self.number(pending))

    def pending_bytes(self) -> Any:
        """Contract: the sum of what they still have to write."""
        return integer(self.version.fold(lambda view: choose(pending(view), rest(view), NONE)))

    def pending_in_order(self) -> Any:
        """Contract: of two pending buffers, the first has the lower order number."""
        return boolean(self.state.in_order(self.version))

    def first(self, place: Place) -> Any:
        """Contract: IndexError unless one is there; no other buffer of that place lies before it."""
        if not self.state.surely(self.number(lambda view: view["place"] == place.value) > 0):
            raise IndexError(f"the first buffer in {place.name}, where may be none")
        version, handle = self.version, fresh("first")
        self.state.assume(
            z3.And(version.alive(handle), version.field("place", handle) == place.value)
        )
        self.state.for_all(
            BUFFER.name,
            lambda other: z3.Implies(
                z3.And(version.alive(other), version.field("place", other) == place.value),
                version.field("position", handle) <= version.field("position", other),
            ),
        )
        return SymInt(handle)

    def head(self) -> z3.ArithRef:
        """Contract: a pending buffer that none lies before, if there is a pending one at all."""
        version, head = self.version, fresh("head")
        some = self.number(pending) > 0
        view = version.view(head)
        self.state.assume(z3.Implies(some, z3.And(version.alive(head), pending(view))))
        self.state.needs_order = True
        self.state.for_all(
            BUFFER.name,
            lambda other: z3.Implies(
                z3.And(some, version.alive(other), pending(version.view(other)), other != head),
                before(view, version.view(other)),
            ),
        )
        return head

    def enqueue(self, handle: Any, data: Any) -> None:
        """Contract: KeyError unless the buffer is there; it is queued behind all others, with the highest number."""
        term = int_term(handle)
        self.require(term)
        order, position = self.counters["order"], self.counters["position"]
        self.write(
            term,
            {
                "place": z3.IntVal(Place.QUEUED.value),
                "data": size_term(data),
                "order": order,
                "position": position,
            },
        )
        self.counters = self.counters | {"order": order + 1, "position": position + 1}

    def _prefix(self, limit: z3.ArithRef, more: z3.BoolRef) -> Callable[[View], z3.BoolRef]:
        """The pending buffers before one of them; all when there is no `more`."""
        version = self.version
        self.state.needs_order = True
        self.state.assume(
            z3.Implies(more, z3.And(version.alive(limit), pending(version.view(limit))))
        )
        return lambda view: z3.And(
            pending(view), z3.Or(z3.Not(more), before(view, version.view(limit)))
        )

    def offer(self, count: Any) -> Offer:
        """Contract: of `count` buffers at the head of the queue each is offered and has a reference more.

        Their bytes that are left are offered.
        Only for 1 to as many as there are, and at most one current.
        """
        number = int_term(count)
        if not self.state.surely(
            z3.And(
                number >= 1,
                number <= self.number(pending),
                self.number(lambda view: view["place"] == Place.CURRENT.value) <= 1,
            )
        ):
            raise UnsupportedError(
                "an offer of no buffer, of more than there are, or of two current ones"
            )
        prefix = self._prefix(fresh("behind_offer"), fresh("more", TRUTH))
        self.state.assume(self.number(prefix) == number)
        size = self.version.fold(lambda view: choose(prefix(view), rest(view), NONE))
        self.version = Bulk(
            self.version,
            prefix,
            lambda view: {"offered": TRUE, "references": view["references"] + 1},
            lambda _: TRUE,
        )
        return Offer(SymBytes(size), integer(size))  # type: ignore[arg-type]

    def marshal(self) -> Marshalled:
        """Contract: every pending buffer is marshalled, and referred to once more; their bytes that are left."""
        size = int_term(self.pending_bytes())
        self.version = Bulk(
            self.version,
            pending,
            lambda view: {
                "marshalled": TRUE,
                "references": view["references"] + 1,
                "marshaller_references": view["marshaller_references"] + 1,
            },
            lambda _: TRUE,
        )
        return Marshalled(SymBytes(size), ())  # type: ignore[arg-type]

    def take(self, size: Any, *, empty: bool = True) -> Any:
        """Contract: the longest head of the queue that has no more than `size` bytes left becomes written.

        It goes behind what is written already, in its order; all its bytes are written.
        Of the buffer behind it the rest of `size` is written; if that is anything, it becomes current.
        The answer is how many buffers became written.
        Only for a size that is not negative, and while no pending buffer has less than nothing left.
        """
        number, old, position = int_term(size), self.version, self.counters["position"]
        if empty is not True:
            raise UnsupportedError("`take` that leaves empty buffers")
        negative = self.version.fold(
            lambda view: choose(z3.And(pending(view), rest(view) < 0), ONE, NONE)
        )
        if not self.state.surely(z3.And(number >= 0, negative == 0)):
            raise UnsupportedError(
                "`take` of a negative size, or from a buffer with less than nothing left"
            )
        limit, more = fresh("behind_take"), fresh("more", TRUTH)
        prefix = self._prefix(limit, more)
        whole = self.version.fold(lambda view: choose(prefix(view), rest(view), NONE))
        view = old.view(limit)
        self.state.assume(whole <= number)
        self.state.assume(z3.Implies(more, number - whole < rest(view)))
        completed = self.number(prefix)
        self.version = Bulk(
            old,
            prefix,
            lambda view: {
                "written": view["data"],
                "place": z3.IntVal(Place.WRITTEN.value),
                "position": position
                + choose(
                    view["place"] == Place.CURRENT.value,
                    view["position"],
                    position + view["position"],
                ),
            },
            lambda _: TRUE,
        )
        part = z3.And(more, number > whole)
        self.write(
            limit,
            {
                "written": choose(part, view["written"] + number - whole, view["written"]),
                "place": choose(part, z3.IntVal(Place.CURRENT.value), view["place"]),
                "position": choose(
                    z3.And(part, view["place"] == Place.QUEUED.value),
                    position * 3,
                    view["position"],
                ),
            },
        )
        self.counters = self.counters | {"position": position * 3 + 1}
        return integer(completed)

    def _release(self, hit: Callable[[View], z3.BoolRef], values: dict[str, Any]) -> Any:
        """Rows lose a reference, and go with the last one; the bytes that nothing refers to any more."""
        canonical = CANONICAL[BUFFER.name]
        term = z3.simplify(hit(canonical))
        point = point_of(term, canonical["handle"])
        if point is not None:
            there = z3.And(self.version.alive(point), hit(self.version.view(point)))
            row = self.version.view(point)
            left = row["references"] - 1
            new = {name: choose(there, value, row[name]) for name, value in values.items()}
            new["references"] = choose(there, left, row["references"])
            alive = z3.And(self.version.alive(point), z3.Or(z3.Not(there), left > 0))
            self.write(point, new, z3.simplify(alive))
        else:
            self.version = Bulk(
                self.version,
                hit,
                lambda view: values | {"references": view["references"] - 1},
                lambda view: view["references"] - 1 > 0,
            )
        freed = fresh("freed_bytes")
        self.state.know(freed >= 0)
        return SymInt(freed)

    def drop(self, where: Callable[[Any], Any]) -> Any:
        """Contract: what satisfies the condition is free, has a reference less, and is gone with the last one.

        The answer is some number of bytes, not negative.
        """
        condition = self.condition(where)
        return self._release(
            lambda view: z3.And(view["place"] != Place.FREE.value, condition(view)),
            {"place": z3.IntVal(Place.FREE.value)},
        )

    def end_offer(self) -> Any:
        """Contract: what was offered is so no more, has a reference less, and is gone with the last one."""
        return self._release(lambda view: view["offered"], {"offered": z3.BoolVal(val=False)})

    def unref(self, handle: Any) -> Any:
        """Contract: KeyError unless the buffer is there; it has a reference less, and is gone with the last one."""
        term = int_term(handle)
        self.require(term)
        return self._release(lambda view: view["handle"] == term, {})


def point_of(term: z3.BoolRef, handle: z3.ArithRef) -> z3.ArithRef | None:
    """The only handle that can satisfy a condition, if it says so: `handle == x`, perhaps among other conjuncts."""
    parts = term.children() if z3.is_and(term) else [term]
    for part in parts:
        if z3.is_eq(part):
            left, right = part.children()
            for one, two in ((left, right), (right, left)):
                if one.eq(handle) and not mentions(two, handle):
                    return two
    return None


def mentions(term: z3.ExprRef, constant: z3.ExprRef) -> bool:
    """Whether a constant occurs in a term."""
    return term.eq(constant) or any(mentions(child, constant) for child in term.children())


class SymPort:
    """What a port is like."""

    def __init__(self, port: z3.ArithRef) -> None:
        self.announces_writability = boolean(z3.Function("port.announces", NUMBER, TRUTH)(port))
        self.attached_elsewhere = boolean(z3.Function("port.elsewhere", NUMBER, TRUTH)(port))


class SymPorts:
    """The ports that there are; any handle is one."""

    def __getitem__(self, port: Any) -> SymPort:
        return SymPort(int_term(port))


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


class QuirkFields:
    """What a quirk remembers in the device: after a cut, anything."""

    def __init__(self, state: "SymState") -> None:
        self.state = state
        self.values: dict[str, tuple[int, Any]] = {}

    def get(self, name: str, default: Any = None) -> Any:
        """The value that was set in this segment, else an unknown like the default."""
        era, value = self.values.get(name, (-1, None))
        if era != self.state.era:
            if not isinstance(default, int):
                raise UnsupportedError(f"`{name}`: a quirk's field that is no number")
            kind = TRUTH if isinstance(default, bool) else NUMBER
            value = boolean(fresh(name, kind)) if kind == TRUTH else integer(fresh(name))
            self.values[name] = (self.state.era, value)
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        if conditions():
            raise MergeRefused("a quirk's field is set")
        self.values[name] = (self.state.era, value)


class SymState:
    """The state that the machine is given.

    `era` counts how often it was replaced.
    `pushes` are the clients whose queues the frame under proof is pushing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.era = 0
        self.device = SymDevice(
            {name: z3.Const(name, sort_of(kind)) for name, kind in DEVICE_KINDS.items()}
        )
        self.clients = SymClients(CLIENT, self)
        self.buffers = SymBuffers(BUFFER, self)
        self.send_queue = SymSendQueue(MESSAGE, self)
        self.ports = SymPorts()
        self.quirk_fields = QuirkFields(self)
        self.frame: Any = None
        self.pushes: list[z3.ArithRef] = []
        self.universal: list[tuple[str, Callable[[z3.ArithRef], z3.BoolRef], set[int]]] = []
        self.needs_order = False
        self.universe: Any = None
        self.knowledge: Any = None
        self.depth = 0
        self.lists: list[SymHandles] = []
        self.popped: list[z3.ArithRef] = []

    @property
    def tables(self) -> list[SymTable]:
        """All tables."""
        return [self.clients, self.buffers, self.send_queue]

    def save(self) -> Snapshot:
        """What is now."""
        frame = (
            {name: getattr(self.frame, name) for name in self.frame.__slots__} if self.frame else {}
        )
        return Snapshot(
            dict(self.device.terms),
            [each.version for each in self.tables],
            [each.counters for each in self.tables],
            frame,
        )

    def restore(self, snapshot: Snapshot) -> None:
        """What was then."""
        self.device.terms.clear()
        self.device.terms.update(snapshot.device)
        for table, version, counters in zip(
            self.tables, snapshot.versions, snapshot.counters, strict=True
        ):
            table.version, table.counters = version, counters
        for name, value in snapshot.frame.items():
            setattr(self.frame, name, value)

    def know(self, fact: z3.BoolRef) -> None:
        """See `tables.World`."""
        self.path.add(fact)

    def assume(self, fact: z3.BoolRef) -> None:
        """See `tables.World`."""
        self.path.add(z3.Implies(conjunction(conditions()), fact))

    def survivors(self, condition: z3.BoolRef, claims: list[z3.BoolRef]) -> list[bool]:
        """See `tables.World`."""
        return self.path.survivors(conjunction([*conditions(), condition]), claims)

    def sample(self, condition: z3.BoolRef, terms: list[z3.ArithRef]) -> list[int] | None:
        """See `tables.World`."""
        return self.path.sample(conjunction([*conditions(), condition]), terms)

    def remembered(
        self, key: tuple[int, ...], find: Callable[[], list[z3.BoolRef]]
    ) -> list[z3.BoolRef]:
        """See `tables.World`."""
        return self.path.remembered(key, find)

    def dry(self) -> bool:
        """See `tables.World`."""
        return self.path.dry()

    def always(self, table: str, claims: list[tuple[str, tuple[Fold, ...]]]) -> list[bool]:
        """See `tables.World`."""
        return list(self.universe.always(table, claims))

    def row_facts(self, table: str, view: View, base: Base) -> list[z3.BoolRef]:
        """See `tables.World`."""
        return list(self.knowledge.row_facts(table, view, base))

    def in_order(self, version: Version) -> Any:
        """Whether the write queue of a version is in order."""
        return self.knowledge.in_order(version)

    def surely(self, fact: z3.BoolRef) -> bool:
        """Whether the fact follows on this branch."""
        fact = z3.simplify(fact)
        if z3.is_true(fact) or self.path.dry():
            # A path that was gone before has passed here.
            return True
        return not self.path.ask(*conditions(), z3.Not(fact))

    def for_all(self, table: str, fact: Callable[[z3.ArithRef], z3.BoolRef]) -> None:
        """Assume a fact for every handle of a table, on the branch that is being run."""
        condition = conjunction(conditions())
        self.universal.append((table, lambda handle: z3.Implies(condition, fact(handle)), set()))

    def note_push(self, client: z3.ArithRef, pushing: z3.BoolRef) -> None:
        """The frame begins or ends a push."""
        if conditions():
            raise UnsupportedError("a push begins or ends in a helper")
        if z3.is_true(pushing):
            self.pushes.append(client)
        else:
            mine = [each for each in self.pushes if self.surely(each == client)]
            if not z3.is_false(pushing) or not mine:
                raise UnsupportedError("a push is ended that this frame did not begin")
            self.pushes.remove(mine[0])

    def merge(self, run: Callable[[], Any]) -> Any:
        """Run all branches of a helper at once."""
        start = self.save()
        try:
            results = run_branches(lambda: (run(), self.save()), lambda: self.restore(start))
            value = join_values([(condition, result[0]) for condition, result in results])
        except MergeRefused:
            self.restore(start)
            raise
        self.restore(join_states([(condition, result[1]) for condition, result in results]))
        return value


def join_states(results: list[tuple[z3.BoolRef, Snapshot]]) -> Snapshot:
    """The states that a helper's branches leave, as one."""
    joined = results[-1][1]
    for condition, other in reversed(results[:-1]):
        joined = Snapshot(
            {
                name: choose(condition, term, joined.device[name])
                for name, term in other.device.items()
            },
            [
                no if yes is no else Merge(condition, yes, no)
                for yes, no in zip(other.versions, joined.versions, strict=True)
            ],
            [
                {name: choose(condition, yes[name], no[name]) for name in yes}
                for yes, no in zip(other.counters, joined.counters, strict=True)
            ],
            {
                name: value
                if value is joined.frame[name]
                else join_values([(condition, value), (TRUE, joined.frame[name])])
                for name, value in other.frame.items()
            },
        )
    return joined


def all_bases(version: Version) -> list[Base]:
    """The bases under a version."""
    if isinstance(version, Base):
        return [version]
    if isinstance(version, Merge):
        return all_bases(version.yes) + all_bases(version.no)
    parent = getattr(version, "parent", None)
    return [] if parent is None else all_bases(parent)


__all__ = ["NUMBER", "Origin", "SymState"]
