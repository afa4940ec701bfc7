"""One path through one function: where it is cut, what is proved there, and what is known after.

Theory of operation
===================
The text runs from a *cut* to the next: that is a segment.

At a callback every invariant is proved, and that the segment did nothing that the frames below rely on not being done.
Then the state is replaced by an arbitrary one that satisfies the invariants and the rely; path and locals stay.
A procedure is the same: it does what some calls could do.

At the head of a loop everything is forgotten, locals too: each becomes an unknown of its kind.
A head that was reached before with locals of the same shape need not be followed again.
Invariants of the device that do not hold at a loop head are not assumed after it; that is no error, because nobody
sees the state there.

What a function must give back (`rely.BALANCED_*`, references, pushes) is compared with its entry at every loop head and
at the return.

The proof is by induction over the number of segments that all calls have run: whoever is resumed finds what he
relies on, because everybody else's segments keep it.
"""

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from types import GeneratorType
from typing import Any, Final, NoReturn, TypeAlias

import z3

from chardev_proofs.buffers import before, pending
from chardev_proofs.explore import Path, PathEnd, ReplayError, other_names, restart_names
from chardev_proofs.lists import SymHandles, SymMessages
from chardev_proofs.machine import PROCEDURES, Procedure, ProcedureCall, written_count
from chardev_proofs.rely import (
    BALANCED_BOOLS,
    BALANCED_COUNTS,
    ONLY_THE_WRITER_COMPLETES,
    WRITERS_OWN,
    device_rely,
    row_rely,
)
from chardev_proofs.rows import DEVICE_KINDS, SymRow, sort_of
from chardev_proofs.state import SymState
from chardev_proofs.tables import (
    BUFFER,
    CLIENT,
    MESSAGE,
    NUMBER,
    TRUTH,
    Base,
    Version,
    View,
    fresh,
)
from chardev_proofs.templates import Template
from chardev_proofs.turns import Turn, comes_to_an_end, everybody_is_served, turn
from chardev_proofs.values import SymBool, SymBytes, SymInt, UnsupportedError
from chardev_spec.conditions import Frame
from chardev_spec.events import PortWrite, ReadOneMsgFromDevice
from chardev_spec.invariants import Invariant, Scope

EVERYWHERE: Final = (Scope.DEVICE, Scope.CLIENT, Scope.BUFFER)
ROW_TABLE: Final = {Scope.CLIENT: CLIENT.name, Scope.BUFFER: BUFFER.name}


ANNOUNCED: Final = "freed_tokens_are_announced"
"""The invariant from which a reset exempts clients for a while."""

KEPT: Final[dict[str, Callable[[SymState], z3.BoolRef]]] = {
    "destroyed": lambda state: state.device.terms["destroyed"],
    "not sealed": lambda state: z3.Not(state.device.terms["sealed"]),
    "not awaiting": lambda state: state.device.terms["awaiting"] == 0,
    "nothing is written": lambda state: z3.Or(
        state.device.terms["destroyed"], written_count(state.buffers.version) == 0
    ),
}
"""Facts about the device that a loop head does not forget, if they hold there."""

HEADS_LIMIT: Final = 400
"""Shapes of locals at the loop heads of one function: beyond it, a concrete counter is being counted up."""


@dataclass
class Moment:
    """A state that stays as it is."""

    device: dict[str, Any]
    versions: list[Version]
    counters: list[dict[str, z3.ArithRef]]

    @classmethod
    def of(cls, state: SymState) -> "Moment":
        """What is now."""
        snapshot = state.save()
        return cls(snapshot.device, snapshot.versions, snapshot.counters)


class _Terms:
    def __init__(self, terms: dict[str, Any]) -> None:
        self.terms = terms


class _Table:
    def __init__(self, version: Version) -> None:
        self.version = version


class BaseState:
    """The state right after a cut, for the templates of what is assumed there."""

    def __init__(self, moment: Moment, ordered: z3.BoolRef) -> None:
        self.device = _Terms(moment.device)
        self.tables = [_Table(version) for version in moment.versions]
        self._ordered = ordered

    def in_order(self, _: Version) -> z3.BoolRef:
        """An unknown of which `Cuts.flush` says what it implies."""
        return self._ordered


Named: TypeAlias = Callable[[z3.ArithRef], z3.BoolRef]
"""Whether a list names a client, as the list was at some moment."""


class Entry:
    """What the function found, as far as it must give it back."""

    def __init__(self) -> None:
        self.terms: dict[str, Any] = {
            name: fresh(f"entry.{name}", sort_of(DEVICE_KINDS[name]))
            for name in (*BALANCED_BOOLS, *BALANCED_COUNTS, "frames", "destroyed")
        }
        self.held = fresh("entry.held")
        self.limits = [fresh(f"entry.limit{index}") for index in range(3)]
        self.pushing = z3.Function(f"entry.pushing{self.held}", NUMBER, TRUTH)
        self.exempt = z3.Function(f"entry.exempt{self.held}", NUMBER, TRUTH)

    def facts(self, procedure: Procedure | None) -> list[z3.BoolRef]:
        """What the invariants say of them: nothing is negative, and outside there is nothing.

        A procedure finds what its caller holds.
        """
        terms = self.terms
        counts = [terms[name] for name in BALANCED_COUNTS]
        given = []
        if procedure is not None:
            given = [
                terms["frames"] > 0,
                z3.Or(terms["destroyed"], self.held >= procedure.releases),
            ]
            if procedure.holds:
                given += [z3.Not(terms["destroyed"]), *[terms[name] for name in procedure.holds]]
        return [
            *given,
            terms["frames"] >= 0,
            *[count >= 0 for count in counts],
            z3.Or(terms["destroyed"], self.held >= 0),
            z3.Implies(terms["write_outstanding"], terms["writing"]),
            z3.Implies(
                z3.And(terms["frames"] == 0, z3.Not(terms["destroyed"])),
                z3.And(
                    *[z3.Not(terms[name]) for name in BALANCED_BOOLS],
                    *[count == 0 for count in counts],
                    self.held == 0,
                ),
            ),
        ]

    def exempt_fact(self, client: z3.ArithRef) -> z3.BoolRef:
        """Whose freed tokens were above the interval was attached, and a frame below announces them."""
        return z3.Implies(
            self.exempt(client),
            z3.And(
                client < self.limits[0],
                z3.Or(self.terms["destroyed"], self.terms["announcing"] > 0),
            ),
        )

    def push_facts(self, client: z3.ArithRef) -> z3.BoolRef:
        """Whom the frames below push was attached, and they owe a read; outside, nobody is pushed."""
        return z3.Implies(
            self.pushing(client),
            z3.And(
                client < self.limits[0],
                z3.Or(
                    self.terms["destroyed"],
                    z3.And(self.terms["frames"] > 0, self.terms["read_due"] > 0),
                ),
            ),
        )


@dataclass
class Claim:
    """Something to be proved at a cut: `holds`, given `given`."""

    name: str
    rules: tuple[str, ...]
    holds: z3.BoolRef


def write_local(frame: Any, name: str, value: Any) -> None:
    """Change a local variable of a generator that is suspended."""
    namespace = frame.f_locals
    namespace[name] = value
    if sys.version_info < (3, 13):
        ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))


class Reshaper:
    """Makes every local an unknown of its kind, and notes their shape.

    Equal terms become equal unknowns: which ones are equal is part of the shape.
    """

    def __init__(self, state: SymState) -> None:
        self.state = state
        self.numbers: dict[int, tuple[int, Any, Any]] = {}
        self.lists: dict[int, tuple[int, Any]] = {}
        self.left: list[z3.ArithRef] = []

    def term(self, term: Any) -> tuple[Any, Any]:
        """An unknown in place of a term, and its number."""
        known = self.numbers.get(term.get_id())
        if known is None:
            known = (len(self.numbers), term, fresh("local", term.sort()))
            self.numbers[term.get_id()] = known
        return known[2], known[0]

    def value(self, value: Any) -> tuple[Any, Any]:
        """An unknown in place of a value, and its shape."""
        if isinstance(value, SymInt):
            term, number = self.term(value.term)
            return SymInt(term), ("int", number)
        if isinstance(value, SymBool):
            term, number = self.term(value.term)
            return SymBool(term), ("bool", number)
        if isinstance(value, SymBytes):
            term, number = self.term(value.size)
            self.state.path.later_facts.append(term >= 0)
            return SymBytes(term), ("bytes", number)
        if isinstance(value, (SymHandles, SymMessages)):
            if id(value) not in self.lists:
                left = value.left if z3.is_int_value(value.left) else fresh("left")
                self.state.path.later_facts.append(left >= 0)
                new: Any
                if isinstance(value, SymMessages):
                    new = SymMessages(self.state, left)
                    self.left.append(left)
                else:
                    new = SymHandles(self.state, value.version, left, falling=value.falling)
                    new.exact = False
                self.lists[id(value)] = (len(self.lists), new)
            number, new = self.lists[id(value)]
            return new, (type(value).__name__, number, z3.is_int_value(new.left))
        if isinstance(value, Frame):
            shape = []
            for name in value.__slots__:
                new, part = self.value(getattr(value, name))
                setattr(value, name, new)
                shape.append(part)
            return value, ("frame", *shape)
        if isinstance(value, tuple):
            parts = [self.value(part) for part in value]
            new_parts = [new for new, _ in parts]
            made = type(value)(*new_parts) if hasattr(value, "_fields") else tuple(new_parts)
            return made, (type(value).__name__, *[part for _, part in parts])
        if isinstance(value, SymRow) or value is self.state.device:
            return value, type(value).__name__
        if value is None or isinstance(value, (bool, int, str, bytes, type)):
            return value, repr(value)
        if hasattr(value, "state") and value.state is self.state:
            return value, "machine"
        raise UnsupportedError(f"a local {type(value).__name__} at the head of a loop")


def generators(outer: Any) -> "list[GeneratorType[Any, Any, Any]]":
    """The generators that are suspended, outermost first."""
    chain = []
    while isinstance(outer, GeneratorType):
        chain.append(outer)
        outer = outer.gi_yieldfrom
    return chain


def innermost_locals(outer: Any) -> tuple[str, dict[str, Any]]:
    """The name of the function that is suspended innermost, and its locals."""
    innermost = generators(outer)[-1]
    frame: Any = innermost.gi_frame
    return innermost.gi_code.co_name, frame.f_locals


class Cuts:
    """What one run of a function knows and proves.

    `judge` takes the claims of a cut; `templates` are the invariants.
    """

    def __init__(
        self,
        path: Path,
        state: SymState,
        templates: list[tuple[Invariant, Template]],
        judge: Callable[["Cuts", str, list[Claim]], None],
        memory: dict[Any, Any],
    ) -> None:
        self.path, self.state, self.templates, self.judge = path, state, templates, judge
        self.memory = memory
        self.broken: frozenset[str] = frozenset()
        self.entry = Entry()
        self.moment = Moment.of(state)
        self.base: BaseState | None = None
        self.base_pushes: list[z3.ArithRef] = []
        self.previous: Moment | None = None
        # The lists that name whoever is exempt beside those of the entry; None when that is not known.
        self.naming: list[Named] | None = []
        self.served: list[tuple[Any, ...]] = []
        self.cuts = 0
        self.ordered = fresh("ordered", TRUTH)
        self.pairs: set[tuple[int, int]] = set()
        self.outside: z3.BoolRef | None = None
        path.before_check = self.flush
        state.knowledge = self

    # What is known

    def replace(
        self, device: dict[str, Any], *, rely_on: Moment | None, writer: bool = False
    ) -> None:
        """The state becomes another one, of which the invariants are known and, if asked for, the rely."""
        state = self.state
        before_it = Moment.of(state)
        for version in before_it.versions:
            freeze(version)
        state.era += 1
        state.universal.clear()
        state.needs_order = False
        state.device.terms.clear()
        state.device.terms.update(device)
        for table, limits in zip(state.tables, before_it.counters, strict=True):
            table.version = Base(table.schema, state)
            table.counters = {name: fresh(f"next.{table.schema.name}.{name}") for name in limits}
            for name, limit in table.counters.items():
                state.know(limit >= limits[name] if rely_on else limit >= 1)
        self.moment = Moment.of(state)
        self.base_pushes = list(state.pushes)
        self.ordered = fresh("ordered", TRUTH)
        self.pairs = set()
        self.base = BaseState(self.moment, self.ordered)
        self.previous = None
        if self.path.dry():
            return
        if rely_on is not None:
            self.previous = rely_on
            for name, fact in device_rely(rely_on.device, rely_on.device, device):
                if not (writer and name in WRITERS_OWN):
                    state.know(fact)
            if not writer:
                state.know(self._only_the_writer_completes(rely_on.device, rely_on.versions[1]))
        for limit, first in zip(
            [each["handle"] for each in self.moment.counters], self.entry.limits, strict=True
        ):
            state.know(limit >= first)
        # A procedure's frame is its caller's: it is on the stack already.
        state.know(device["frames"] == self.entry.terms["frames"] + (0 if self.called else 1))
        state.know(z3.Implies(self.entry.terms["destroyed"], device["destroyed"]))
        for invariant, template in self.templates:
            if invariant.scope == Scope.DEVICE and invariant.name not in self.broken:
                term = template.of(self.base)  # type: ignore[arg-type]
                state.know(term)
        for client in state.pushes:
            # Touched, so that it is known not to come back once it is gone.
            state.clients.version.field("leaving", client)
            state.know(client < state.clients.counters["handle"])

    def fresh_device(self) -> dict[str, Any]:
        """Unknown scalars."""
        return {name: fresh(name, sort_of(kind)) for name, kind in DEVICE_KINDS.items()}

    def row_facts(self, table: str, view: View, base: Base) -> list[z3.BoolRef]:
        """See `tables.World`."""
        index = [each.schema.name for each in self.state.tables].index(table)
        counters = self.moment.counters[index]
        facts = [view["handle"] >= 1, view["handle"] < counters["handle"], *base.schema.typed(view)]
        if table == BUFFER.name:
            facts += [view["position"] >= 0, view["position"] < counters["position"]]
            facts += [view["order"] >= 0, view["order"] < counters["order"]]
        if table == MESSAGE.name:
            # Seen, so that it is counted.
            clients: Any = self.moment.versions[0]
            clients.seen.setdefault(view["client"].get_id(), view["client"])
        for invariant, template in self.templates:
            if ROW_TABLE.get(invariant.scope) == table:
                facts.append(template.of(self.base, view))  # type: ignore[arg-type]
        if self.previous is not None:
            old = self.previous
            version = old.versions[index]
            facts += [
                fact
                for _, fact in row_rely(
                    table, version.view(view["handle"]), version.alive(view["handle"]),
                    old.counters[index]["handle"], view,
                )
            ]  # fmt: skip
        if table == CLIENT.name:
            facts.append(self.push_fact(view, self.base_pushes, self.moment.device["destroyed"]))
            facts += self._announcement_facts(view)
        return facts

    def _announcement_facts(self, view: View) -> list[z3.BoolRef]:
        """What is known of the freed tokens of a client since the entry."""
        handle = view["handle"]
        facts = [self.entry.exempt_fact(handle)]
        if self.naming is not None:
            now = self.announced(self.moment, view)
            facts.append(z3.Or(now, self.exempt(handle, self.naming)))
        return facts

    def push_fact(self, view: View, pushes: list[z3.ArithRef], gone: z3.BoolRef) -> z3.BoolRef:
        """Who is pushed: by the frames below, or by this one."""
        handle = view["handle"]
        mine = z3.Or(*[handle == each for each in pushes])
        return z3.Or(
            gone,
            z3.And(
                view["pushing"] == z3.Or(self.entry.pushing(handle), mine),
                z3.Not(z3.And(self.entry.pushing(handle), mine)),
                self.entry.push_facts(handle),
            ),
        )

    def in_order(self, version: Version) -> z3.BoolRef:
        """Whether the write queue is in order, to be proved: of two arbitrary buffers."""
        if self.base is not None and version is self.moment.versions[1]:
            return self.ordered
        self.state.needs_order = True
        one, two = version.view(fresh("one")), version.view(fresh("two"))
        return z3.Implies(
            z3.And(
                version.alive(one.handle), version.alive(two.handle),
                pending(one), pending(two), before(one, two),
            ),
            one["order"] < two["order"],
        )  # fmt: skip

    def flush(self) -> None:
        """Say what is known of whatever was touched since."""
        state = self.state
        while True:
            size = sum([len(base.touched) + len(base.folds) for base in self._bases()])
            for base in self._bases():
                base.bound_folds()
            for table, fact, done in list(state.universal):
                for base in self._bases():
                    if base.schema.name == table:
                        for key, handle in list(base.touched.items()):
                            if key not in done:
                                done.add(key)
                                state.know(fact(handle))
            if state.needs_order:
                self._pair_up()
            if size == sum([len(base.touched) + len(base.folds) for base in self._bases()]):
                return

    def _bases(self) -> list[Base]:
        return [version for version in self.moment.versions if isinstance(version, Base)]

    def _pair_up(self) -> None:
        for base in self._bases():
            if base.schema is not BUFFER:
                continue
            handles = list(base.touched.items())
            for first, one in handles:
                for second, two in handles:
                    if first != second and (first, second) not in self.pairs:
                        self.pairs.add((first, second))
                        left, right = base.view(one), base.view(two)
                        there = z3.And(
                            base.alive(one), base.alive(two), pending(left), pending(right)
                        )
                        self.state.know(
                            z3.Implies(
                                z3.And(self.ordered, there, before(left, right)),
                                left["order"] < right["order"],
                            )
                        )
                        self.state.know(
                            z3.Implies(
                                z3.And(there, left["place"] == right["place"], one != two),
                                left["position"] != right["position"],
                            )
                        )

    def _only_the_writer_completes(self, held: dict[str, Any], old: Version) -> z3.BoolRef:
        """The rely about how many buffers are written; that it composes is plain."""
        fewer = written_count(self.state.buffers.version) <= written_count(old)
        return z3.Implies(z3.Or(held["writing"], held["destroyed"]), fewer)

    def announced(self, moment: Moment, view: View) -> z3.BoolRef:
        """TOK-3 of a client, were no reset about to announce anything."""
        for invariant, template in self.templates:
            if invariant.name == ANNOUNCED:
                state: Any = BaseState(moment, self.ordered)
                state.device = _Terms(moment.device | {"announcing": z3.IntVal(0)})
                return template.of(state, view)
        return z3.BoolVal(val=True)

    def exempt(self, client: z3.ArithRef, named: "list[Named]") -> z3.BoolRef:
        """Who need not have been told: who was exempt at the entry, and whom this frame's lists still name."""
        return z3.Or(self.entry.exempt(client), *[each(client) for each in named])

    def _naming(self, word: str) -> "list[Named] | None":
        """The lists that name whoever is exempt, as they are now."""
        if word == "unknown":
            return None
        return [each.naming() for each in self.state.lists] if word == "lists" else []

    # What is proved

    def held(self) -> z3.ArithRef:
        """The references that frames hold: those that are in no send queue."""
        queued = self.state.send_queue.version.fold(lambda _: z3.IntVal(1))
        return self.state.device.terms["references"] - queued

    def rely_claims(self) -> list[Claim]:
        """That the segment did nothing that the frames below rely on not being done."""
        entry, old, new = self.entry.terms, self.moment, Moment.of(self.state)
        writer = self.called is not None and self.called.writer
        claims = [
            Claim(f"rely: {name}", ("CB-1",), fact)
            for name, fact in device_rely(entry, old.device, new.device)
            if not (writer and name in WRITERS_OWN)
        ]
        limit = self.state.clients.counters["handle"]
        used = z3.And(*[client < limit for client in self.state.pushes])
        claims.append(Claim("rely: who is pushed was attached", ("RD-7",), used))
        for index, table in enumerate(self.state.tables):
            if new.versions[index] is old.versions[index]:
                continue
            handle = fresh(f"some.{table.schema.name}")
            version, there = old.versions[index], old.versions[index].alive(handle)
            view = table.version.view(handle)
            here = table.version.alive(handle)
            facts = row_rely(
                table.schema.name, version.view(handle), there,
                old.counters[index]["handle"], view,
            )  # fmt: skip
            facts.append(("handles are given once", handle < table.counters["handle"]))
            if table.schema is CLIENT:
                self.state.know(self.entry.push_facts(handle))
                pushed = self.push_fact(view, self.state.pushes, new.device["destroyed"])
                facts.append(("pushes are this frame's", pushed))
            if table.schema is BUFFER:
                if not writer:
                    fact = self._only_the_writer_completes(entry, version)
                    claims.append(
                        Claim(f"rely: {ONLY_THE_WRITER_COMPLETES}", ("WR-3", "WR-5"), fact)
                    )
                limits = table.counters
                facts.append(("order numbers are given once", z3.And(
                    view["position"] < limits["position"], view["order"] < limits["order"],
                    view["position"] >= 0, view["order"] >= 0,
                )))  # fmt: skip
            claims += [
                Claim(f"rely: {name}", ("CB-1",), z3.Implies(here, fact)) for name, fact in facts
            ]
        return claims

    def prove(
        self, label: str, scopes: tuple[Scope, ...], *, leave_out: frozenset[str] = frozenset()
    ) -> None:
        """Prove invariants, those about rows for an arbitrary row, and the rely."""
        self.judge(self, label, self.rely_claims())
        for scope in scopes:
            self._prove_scope(label, scope, [], leave_out)

    def _prove_scope(
        self, label: str, scope: Scope, given: list[z3.BoolRef], leave_out: frozenset[str]
    ) -> None:
        wanted = [
            (invariant, template)
            for invariant, template in self.templates
            if invariant.scope == scope and invariant.name not in leave_out
        ]
        same = [each for each, template in wanted if self._unchanged(each, template)]
        self.judge(
            self, label, [Claim(each.name, each.rules, z3.BoolVal(val=True)) for each in same]
        )
        wanted = [(each, template) for each, template in wanted if each not in same]
        if not wanted:
            return
        subject, there = None, []
        if scope in ROW_TABLE:
            table = next(each for each in self.state.tables if each.schema.name == ROW_TABLE[scope])
            handle = fresh(f"some.{table.schema.name}")
            subject, there = table.version.view(handle), [table.version.alive(handle)]
            if table.schema is BUFFER and self.base is not None:
                # Seen, so that it is counted beside the others.
                clients: Any = self.moment.versions[0]
                clients.seen.setdefault(subject["client"].get_id(), subject["client"])
        with self.path.supposing(*there, *given):
            claims = [
                Claim(invariant.name, invariant.rules, template.of(self.state, subject))
                for invariant, template in wanted
            ]
            self.judge(self, label, claims)

    def _unchanged(self, invariant: Invariant, template: Template) -> bool:
        """Whether nothing that the invariant speaks of was changed since the cut at which it was assumed."""
        if self.base is None or invariant.name in self.broken or invariant.scope == Scope.OUTSIDE:
            return False
        state, moment = self.state, self.moment
        return all(
            state.device.terms[name].eq(moment.device[name]) for name in template.scalars
        ) and all(
            state.tables[index].version is moment.versions[index] for index in template.tables
        )

    # Cuts

    def enter(self, procedure: Procedure | None, arguments: tuple[Any, ...]) -> None:
        """The function begins, in any state; a procedure in any in which it may be called."""
        entry, device = self.entry, self.fresh_device()
        self.called = procedure
        self.arguments = arguments
        self.broken = procedure.broken if procedure else frozenset()
        for name in (*BALANCED_BOOLS, *BALANCED_COUNTS, "destroyed"):
            device[name] = entry.terms[name]
        self.path.add(*entry.facts(procedure))
        self.replace(device, rely_on=None)
        state = self.state
        state.know(z3.Or(device["destroyed"], self.held() == entry.held))
        for index, table in enumerate(state.tables):
            state.know(table.counters["handle"] == entry.limits[index])
        if procedure is not None:
            for fact in procedure.requires(state, arguments):
                state.know(fact)
        for invariant, template in self.templates:
            if invariant.scope == Scope.OUTSIDE and procedure is None:
                term = template.of(self.base)  # type: ignore[arg-type]
                state.know(z3.Implies(entry.terms["frames"] == 0, term))
        self._satisfiable("entry")

    def callback(self, label: str, event: Any) -> Any:
        """A callback: anything may be called in it."""
        self._environment(label, Procedure())
        frame = self.state.frame
        raises = fresh("raises", TRUTH)
        frame.raised = SymBool(z3.simplify(z3.Or(raises, bool_of(frame.raised))))
        if type(event) is PortWrite:
            answer = fresh("answer")
            self.path.add(z3.Implies(raises, answer == 0))
            return SymInt(answer)
        if type(event) is ReadOneMsgFromDevice:
            nothing = fresh("nothing", TRUTH)
            self.path.add(z3.Implies(raises, nothing))
            return None if SymBool(nothing) else SymInt(fresh("message"))
        return None

    def procedure(self, label: str, call: ProcedureCall) -> Any:
        """A procedure: it does what calls may do, and no more, but for this frame; its result."""
        procedure = PROCEDURES[call.name]
        if call.name == "deliver":
            self.served.append(call.arguments)
        state, written = self.state, written_count(self.state.buffers.version)
        self._environment(label, procedure, call.arguments)
        for fact in procedure.ensures(state, call.arguments, written):
            state.know(fact)
        if procedure.changes is None:
            self._forget_frame()
        return self._result(call)

    def _result(self, call: ProcedureCall) -> Any:
        if call.result is type(None):
            return None
        term = fresh(f"result.{call.name}")
        if issubclass(call.result, IntEnum):
            self.state.know(z3.And(term >= min(call.result), term <= max(call.result)))
        return SymInt(term)

    def _forget_frame(self) -> None:
        frame = self.state.frame
        # What it does to the frame is not proved, so nothing is known of it, but that who raised has raised.
        raised = z3.Or(bool_of(frame.raised), fresh("raised", TRUTH))
        frame.raised = SymBool(z3.simplify(raised))
        frame.progressed = SymBool(fresh("progressed", TRUTH))
        frame.limited = SymBool(fresh("limited", TRUTH))
        frame.moved = SymInt(fresh("moved"))

    def _environment(
        self, label: str, procedure: Procedure, arguments: tuple[Any, ...] = ()
    ) -> None:
        """Prove, then let the state be replaced by what calls may do, or a procedure."""
        self.cuts += 1
        key = ("exempt", tuple(self.path.taken), self.path.era, self.cuts)
        if not self.path.replaying():
            with other_names(), self.path.supposing(for_good=True):
                self.prove(label, EVERYWHERE, leave_out=procedure.broken)
                now = self.state.device.terms
                enough = z3.Or(now["destroyed"], self.held() >= procedure.releases)
                required = [*procedure.requires(self.state, arguments), enough]
                if procedure.holds:
                    required += [z3.Not(now["destroyed"]), *[now[name] for name in procedure.holds]]
                if procedure.writer and not (self.called and self.called.writer):
                    required.append(z3.Not(self.entry.terms["writing"]))
                self.judge(
                    self,
                    label,
                    [Claim("what the procedure requires", ("CB-1",), term) for term in required],
                )
                self.memory[key] = self._who_is_exempt()
        self.broken = frozenset()
        # Nobody whom a frame has told is made exempt again by a call that has returned.
        self.naming = self._naming(self.memory[key])
        old = Moment.of(self.state)
        held = self.held() - procedure.releases
        device = self.fresh_device()
        if procedure.changes is not None:
            device = {
                name: device[name] if name in procedure.changes else old.device[name]
                for name in device
            }
        for name in (*BALANCED_BOOLS, *BALANCED_COUNTS):
            device[name] = z3.If(device["destroyed"], device[name], old.device[name])
        for name in ("frames", "interval", "initial_self_tokens"):
            device[name] = old.device[name]
        self.replace(device, rely_on=old, writer=procedure.writer)
        self.state.know(z3.Or(device["destroyed"], self.held() == held))
        self._satisfiable(label)

    def _satisfiable(self, label: str) -> None:
        if not self.path.replaying() and self.path.check() == z3.unsat:
            self.judge(
                self,
                label,
                [Claim("the state after the cut is possible", (), z3.BoolVal(val=False))],
            )
            raise PathEnd("vacuous")

    def loop(self, generator: Any, label: str) -> None:
        """The head of a loop: all is forgotten, and what was proved from here is not proved again."""
        path, state = self.path, self.state
        key = (tuple(path.taken), path.era)
        if key not in self.memory:
            if path.replaying():
                raise ReplayError(f"{label}: a loop head that was not there the first time")
            self.memory[key] = self._judge_head(label, generator)
        state.popped.clear()
        self.served.clear()
        broken, balance, kept, naming = self.memory[key]
        restart_names(path.era + 1)
        chain = generators(generator)
        shaper = Reshaper(state)
        path.later_facts = []
        state.lists = []
        shape: list[Any] = []
        for each in chain:
            frame: Any = each.gi_frame
            shape.append((each.gi_code.co_qualname, frame.f_lasti))
            for name, value in sorted(frame.f_locals.items()):
                new, part = shaper.value(value)
                shape.append((name, part))
                if new is not value:
                    write_local(frame, name, new)
        pushes = [shaper.term(each) for each in state.pushes]
        state.pushes = [term for term, _ in pushes]
        lists = len(shaper.left)
        where = (
            tuple(shape),
            tuple(number for _, number in pushes),
            tuple(sorted(broken)),
            balance,
            kept,
            naming,
            lists,
        )
        heads = self.memory.setdefault("heads", {})
        if where not in heads:
            heads[where] = key
            if len(heads) > HEADS_LIMIT:
                raise UnsupportedError(f"a loop whose locals never come to an end: {where}")
        elif heads[where] != key:
            raise PathEnd("proved already")
        path.forget()
        path.add(*path.later_facts)
        self.broken = broken
        self.naming = self._naming(naming)
        self._reenter(dict(balance), shaper.left)
        for name in kept:
            state.know(KEPT[name](state))
        self._satisfiable(label)
        self.turn = turn(*innermost_locals(generator), state)

    def _judge_head(
        self, label: str, generator: Any
    ) -> tuple[frozenset[str], tuple[tuple[str, Any], ...], tuple[str, ...], str]:
        """Prove what must hold at a loop head; which invariants of the device do not hold, and what the frame owes."""
        with other_names(), self.path.supposing(for_good=True):
            self.prove(label, (Scope.CLIENT, Scope.BUFFER))
            self.judge(self, label, self._turn_claims(generator))
            claims = [
                (invariant.name, template.of(self.state))
                for invariant, template in self.templates
                if invariant.scope == Scope.DEVICE and not self._unchanged(invariant, template)
            ]
            holds = self.path.survivors(z3.BoolVal(val=True), [term for _, term in claims])
            broken = [
                name for (name, _), survives in zip(claims, holds, strict=True) if not survives
            ]
            kept = [name for name, fact in KEPT.items() if self.path.valid(fact(self.state))]
            balance = [] if "destroyed" in kept else self._balance(label)
            return frozenset(broken), tuple(balance), tuple(kept), self._who_is_exempt()

    def _turn_claims(self, generator: Any) -> list[Claim]:
        """That the turn that ends here did what it must."""
        name, names = innermost_locals(generator)
        now, gone = turn(name, names, self.state), self.state.device.terms["destroyed"]
        claims = []
        if self.turn is not None and self.turn.function == name:
            nearer = comes_to_an_end(self.turn, now, gone)
            if nearer is not None:
                claims.append(Claim("the loop comes to an end", ("WR-5",), nearer))
        if name == "fan_out":
            if self.turn is None or self.turn.function != name:
                everybody = self.state.clients.newest_first()
                claims.append(
                    Claim("all are recipients", ("CB-2",), names["recipients"].same_as(everybody))
                )
            served = everybody_is_served(
                self.state, self.state.popped, self.served, names["message"]
            )
            claims.append(Claim("a recipient is served once", ("CB-2",), served))
        return claims

    def _who_is_exempt(self) -> str:
        """Whether only who was exempt at the entry is so, or also who is named by a list of the frame."""
        handle = fresh("some.clients")
        version = self.state.clients.version
        with self.path.supposing(version.alive(handle)):
            self.state.know(self.entry.exempt_fact(handle))
            now = self.announced(Moment.of(self.state), version.view(handle))
            for word in ("entry", "lists"):
                named = self._naming(word)
                if self.path.valid(z3.Or(now, self.exempt(handle, named or []))):
                    return word
        return "unknown"

    def _locals(self) -> list[Any]:
        return [
            value
            for each in generators(self.generator)
            for value in (each.gi_frame.f_locals if each.gi_frame else {}).values()
        ]

    def _balance(self, label: str) -> list[tuple[str, Any]]:
        """How far the frame is from what it must give back."""
        now, entry = self.state.device.terms, self.entry.terms
        gone = now["destroyed"]
        result: list[tuple[str, Any]] = []
        for name in BALANCED_BOOLS:
            same = z3.simplify(now[name] == entry[name])
            if self.path.valid(z3.simplify(z3.Or(gone, same))):
                result.append((name, "same"))
            elif self.path.valid(z3.Or(gone, z3.And(now[name], z3.Not(entry[name])))):
                result.append((name, "taken"))
            else:
                self._not_balanced(label, name)
        for name in BALANCED_COUNTS:
            result.append((name, self._constant(label, name, now[name] - entry[name], gone)))
        lists = {id(each): each.left for each in self._message_lists()}
        owed = self.held() - self.entry.held - sum(lists.values(), z3.IntVal(0))
        result.append(("held", self._constant(label, "references", owed, gone)))
        return result

    def _not_balanced(self, label: str, name: str) -> NoReturn:
        """A frame does not know what it owes: then it cannot give it back."""
        claim = Claim(f"given back: {name}", ("CB-1", "WR-5"), z3.BoolVal(val=False))
        self.judge(self, label, [claim])
        raise PathEnd("not balanced")

    def _constant(self, label: str, name: str, term: z3.ArithRef, gone: z3.BoolRef) -> int:
        """The constant that a term is unless the device is gone."""
        term = z3.simplify(term)
        if z3.is_int_value(term):
            return int(term.as_long())
        self.path.check(z3.Not(gone))
        value = int(self.path.solver.model().eval(term, model_completion=True).as_long())
        if not self.path.valid(z3.Or(gone, term == value)):
            self._not_balanced(label, name)
        return value

    def _message_lists(self) -> list[SymMessages]:
        return [each for each in self._locals() if isinstance(each, SymMessages)]

    generator: Any = None
    turn: Turn | None = None
    called: Procedure | None = None
    arguments: tuple[Any, ...] = ()

    def _reenter(self, balance: dict[str, Any], left: list[z3.ArithRef]) -> None:
        """After a loop head: any state, as far from any entry as before."""
        self.entry = Entry()
        entry, device = self.entry, self.fresh_device()
        self.path.add(*entry.facts(self.called))
        gone = device["destroyed"]
        for name in BALANCED_BOOLS:
            now = entry.terms[name]
            if balance.get(name) == "taken":
                self.state.know(z3.Or(gone, z3.Not(entry.terms[name])))
                now = z3.BoolVal(val=True)
            device[name] = z3.If(gone, device[name], now)
        for name in BALANCED_COUNTS:
            device[name] = z3.If(
                gone, device[name], z3.simplify(entry.terms[name] + balance.get(name, 0))
            )
        self.replace(device, rely_on=None)
        owed = entry.held + balance.get("held", 0) + sum(left, z3.IntVal(0))
        self.state.know(z3.Or(gone, self.held() == owed))

    def balance_claims(self) -> list[Claim]:
        """That everything is given back."""
        state, entry = self.state, self.entry
        terms = state.device.terms
        gone = terms["destroyed"]
        claims = [
            Claim(
                f"given back: {name}",
                ("CB-1", "WR-5"),
                z3.Or(gone, terms[name] == entry.terms[name]),
            )
            for name in (*BALANCED_BOOLS, *BALANCED_COUNTS)
        ]
        released = self.called.releases if self.called else 0
        held = z3.Or(gone, self.held() == entry.held - released)
        claims.append(Claim("given back: references", ("CB-4",), held))
        # A client that is gone is pushed no more, and its handle is not used again.
        left = [z3.Not(state.clients.version.alive(each)) for each in state.pushes]
        pushes = z3.Or(gone, z3.And(*left))
        claims.append(Claim("given back: pushes", ("RD-7",), pushes))
        handle = fresh("some.clients")
        version = state.clients.version
        for each in state.lists:
            state.for_all(CLIENT.name, each.names_nobody())
        state.know(entry.exempt_fact(handle))
        told = z3.Or(self.announced(Moment.of(state), version.view(handle)), entry.exempt(handle))
        held = z3.Implies(version.alive(handle), told)
        claims.append(Claim("given back: announcements", ("TOK-3",), held))
        return claims

    def prove_initial(self, label: str) -> None:
        """The device was created: invariants, those of outside too."""
        if not self.path.replaying():
            with other_names():
                for scope in (*EVERYWHERE, Scope.OUTSIDE):
                    self._prove_scope(label, scope, [], frozenset())

    def _procedure_claims(self, procedure: Procedure) -> list[Claim]:
        """That a procedure does what its callers rely on."""
        state, old = self.state, self.moment
        facts = procedure.ensures(state, self.arguments, written_count(old.versions[1]))
        claims = [Claim("what the procedure ensures", ("CB-1",), fact) for fact in facts]
        if procedure.changes is not None:
            kept = [name for name in DEVICE_KINDS if name not in procedure.changes]
            same = z3.And(*[state.device.terms[name] == old.device[name] for name in kept])
            claims.append(Claim("the procedure changes nothing else", ("CB-1",), same))
        return claims

    def leave(self, label: str) -> None:
        """The function returns: invariants, and everything is given back."""
        if self.path.replaying():
            return
        with other_names(), self.path.supposing(for_good=True):
            self.judge(self, label, self.rely_claims() + self.balance_claims())
            for scope in EVERYWHERE:
                self._prove_scope(label, scope, [], frozenset())
            if self.called is not None:
                self.judge(self, label, self._procedure_claims(self.called))
            else:
                outside = self.entry.terms["frames"]
                self.state.device.terms["frames"] = outside
                self._prove_scope(label, Scope.OUTSIDE, [outside == 0], frozenset())


def bool_of(value: Any) -> z3.BoolRef:
    """The term of a frame's flag."""
    return value.term if isinstance(value, SymBool) else z3.BoolVal(val=bool(value))


def freeze(version: Version) -> None:
    """Nothing more need be known of the bases under a version."""
    for name in ("parent", "yes", "no"):
        below = getattr(version, name, None)
        if below is not None:
            freeze(below)
    if isinstance(version, Base):
        version.frozen = True
