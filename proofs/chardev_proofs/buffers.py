"""The write buffers: the queue, what a port call takes of it, and what becomes of each buffer.

Theory of operation
===================
The order within a place is the field `position`, which the concrete table does not have: a buffer that comes to a place
is the last there.
Operations on many buffers at once are bulk updates of the table (`tables.Bulk`), with what is known of their totals.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import z3

from chardev_proofs.rows import (
    NONE,
    ONE,
    TRUE,
    SymTable,
)
from chardev_proofs.tables import (
    BUFFER,
    CANONICAL,
    TRUTH,
    Bulk,
    View,
    choose,
    fresh,
)
from chardev_proofs.values import (
    SymBytes,
    SymInt,
    UnsupportedError,
    boolean,
    int_term,
    integer,
    size_term,
)
from chardev_spec.state import Marshalled, Offer, Place

if TYPE_CHECKING:
    pass


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

    def first_pending(self) -> Any:
        """Contract: StopIteration unless a buffer is pending; the head of the queue."""
        if not self.state.surely(self.number(pending) > 0):
            raise StopIteration("the head of a queue that may be empty")
        return SymInt(self.head())

    def move(self, handle: Any, place: Place) -> None:
        """Contract: KeyError unless the buffer is there; it is the last of that place."""
        term = int_term(handle)
        self.require(term)
        row, position = self.version.view(term), self.counters["position"]
        number = self.number(lambda view: view["place"] == place.value)
        # A buffer that is in its place alone is its last already.
        alone = z3.And(row["place"] == place.value, number <= 1)
        last = choose(alone, row["position"], position)
        self.write(term, {"place": z3.IntVal(place.value), "position": last})
        self.counters = self.counters | {"position": position + 1}

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

        Their bytes that are left are offered, in order: they begin where the write queue does.
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
        return Offer._make((SymBytes(size, self.counters["taken"]), integer(size)))

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
        return Marshalled._make((SymBytes(size), ()))

    def take(self, size: Any, *, empty: bool = True) -> Any:
        """Contract: the longest head of the queue that has no more than `size` bytes left becomes written.

        It goes behind what is written already, in its order; all its bytes are written.
        Of the buffer behind it the rest of `size` is written; if that is anything, it becomes current.
        The answer is how many buffers became written.
        With `empty` False that head ends with the last byte: the empty buffers behind it stay.
        Only for a size that is not negative, and while no pending buffer has less than nothing left.
        """
        number, old, position = int_term(size), self.version, self.counters["position"]
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
        everything = int_term(self.pending_bytes())
        self.state.assume(z3.Implies(z3.Not(more), whole == everything))
        completed = self.number(prefix)
        ends = z3.Implies(more, number - whole < rest(view))
        if empty:
            self.state.assume(ends)
        else:
            self.state.assume(z3.Or(ends, number == whole))
            self._ends_with_a_byte(prefix, z3.And(number == whole, completed > 0))
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
        self.counters = self.counters | {
            "position": position * 3 + 1,
            "taken": self.counters["taken"] + choose(more, number, whole),
        }
        return integer(completed)

    def _ends_with_a_byte(self, prefix: Callable[[View], z3.BoolRef], given: z3.BoolRef) -> None:
        """Contract: the last buffer of a head of the queue has something left."""
        version, last = self.version, fresh("last")
        view = version.view(last)
        self.state.assume(
            z3.Implies(given, z3.And(version.alive(last), prefix(view), rest(view) > 0))
        )
        self.state.for_all(
            BUFFER.name,
            lambda other: z3.Implies(
                z3.And(given, version.alive(other), prefix(version.view(other)), other != last),
                before(version.view(other), view),
            ),
        )

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
