"""What is known of the state after a cut.

Theory of operation
===================
A cut replaces the state by an arbitrary one (`Knowledge.replace`).
Of its scalars the invariants of the device are known at once, and the rely, when the state before is the one that the
function left.
Of its rows nothing is said before somebody looks at them: then the invariants about rows, and what the rely says of
that row, are assumed for this one (`row_facts`).
What ties rows together, totals and the order of the queue, is said of those that were touched, just before the solver
is asked (`flush`).
"""

from typing import Any, Final

import z3

from chardev_proofs.buffers import before, pending
from chardev_proofs.entry import BaseState, Entry, Moment, Named, Terms
from chardev_proofs.explore import Path
from chardev_proofs.machine import Procedure
from chardev_proofs.rely import WRITERS_OWN, device_rely, row_rely, writer_rely
from chardev_proofs.rows import DEVICE_KINDS, sort_of
from chardev_proofs.state import SymState
from chardev_proofs.tables import (
    BUFFER,
    CLIENT,
    MESSAGE,
    TRUTH,
    Base,
    Version,
    View,
    fresh,
    substitute,
)
from chardev_proofs.templates import Template
from chardev_spec.invariants import Invariant, Scope

ROW_TABLE: Final = {Scope.CLIENT: CLIENT.name, Scope.BUFFER: BUFFER.name}

ANNOUNCED: Final = "freed_tokens_are_announced"
"""The invariant from which a reset exempts clients for a while."""


class Knowledge:
    """What one run of a function knows; `templates` are the invariants.

    `called` is the procedure that is proved, if it is one.
    """

    def __init__(
        self, path: Path, state: SymState, templates: list[tuple[Invariant, Template]]
    ) -> None:
        self.path, self.state, self.templates = path, state, templates
        self.called: Procedure | None = None
        self.broken: frozenset[str] = frozenset()
        self.entry = Entry()
        self.moment = Moment.of(state)
        self.base: BaseState | None = None
        self.base_pushes: list[z3.ArithRef] = []
        self.previous: Moment | None = None
        # The lists that name whoever is exempt beside those of the entry; None when that is not known.
        self.naming: list[Named] | None = []
        self.ordered = fresh("ordered", TRUTH)
        self.pairs: set[tuple[int, int]] = set()
        path.before_check = self.flush
        state.knowledge = self

    def replace(
        self, device: dict[str, Any], *, rely_on: Moment | None, writer: bool = False
    ) -> None:
        """The state becomes another one, of which the invariants are known and, if asked for, the rely."""
        state = self.state
        before_it = Moment.of(state)
        # Asked while all is known of the tables, whose totals these are.
        waited = rely_on.counted() if rely_on and self._waits_as_writer(writer=writer) else None
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
            if waited is not None:
                now = self.moment.counted()
                for _, fact in writer_rely(rely_on.device, waited, now):
                    state.know(fact)
        for limit, first in zip(
            [each["handle"] for each in self.moment.counters], self.entry.limits, strict=True
        ):
            state.know(limit >= first)
        # A procedure's frame is its caller's: it is on the stack already.
        state.know(device["frames"] == self.entry.terms["frames"] + (0 if self.called else 1))
        state.know(z3.Implies(self.entry.terms["destroyed"], device["destroyed"]))
        for invariant, template in self.templates:
            if invariant.scope == Scope.DEVICE and invariant.name not in self.broken:
                term = template.of(self.base)
                state.know(term)
        for client in state.pushes:
            # Touched, so that it is known not to come back once it is gone.
            state.clients.version.field("leaving", client)
            state.know(client < state.clients.counters["handle"])

    def _waits_as_writer(self, *, writer: bool) -> bool:
        """Whether the frame is the writer's and waits for somebody else."""
        return self.called is not None and "writing" in self.called.holds and not writer

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
        whole = self.state.universe.rows.get(table)
        if whole is not None:
            facts.append(whole.of(self.base, view))
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
                        self.state.tie(_pair_fact(self.ordered, base, one, two))

    def announced(self, moment: Moment, view: View) -> z3.BoolRef:
        """TOK-3 of a client, were no reset about to announce anything."""
        for invariant, template in self.templates:
            if invariant.name == ANNOUNCED:
                state: Any = BaseState(moment, self.ordered)
                state.device = Terms(moment.device | {"announcing": z3.IntVal(0)})
                return template.of(state, view)
        return z3.BoolVal(val=True)

    def exempt(self, client: z3.ArithRef, named: list[Named]) -> z3.BoolRef:
        """Who need not have been told: who was exempt at the entry, and whom this frame's lists still name."""
        return z3.Or(self.entry.exempt(client), *[each(client) for each in named])

    def named_by(self, word: str) -> list[Named] | None:
        """The lists that name whoever is exempt, as they are now."""
        if word == "unknown":
            return None
        return [each.naming() for each in self.state.lists] if word == "lists" else []

    def held(self) -> z3.ArithRef:
        """The references that frames hold: those that are in no send queue."""
        queued = self.state.send_queue.version.fold(lambda _: z3.IntVal(1))
        return self.state.device.terms["references"] - queued


_ONE, _TWO = BUFFER.constants("one"), BUFFER.constants("two")
_ORDERED, _HERE = z3.Bool("ordered"), z3.Bools("one.here two.here")
_BOTH_PENDING = z3.And(*_HERE, pending(_ONE), pending(_TWO))
_PAIR: Final = z3.And(
    z3.Implies(
        z3.And(_ORDERED, _BOTH_PENDING, before(_ONE, _TWO)),
        _ONE["order"] < _TWO["order"],
    ),
    z3.Implies(
        z3.And(_BOTH_PENDING, _ONE["place"] == _TWO["place"], _ONE["handle"] != _TWO["handle"]),
        _ONE["position"] != _TWO["position"],
    ),
)
"""What is known of two buffers, where the write queue is in order if `_ORDERED`."""


def _pair_fact(ordered: z3.BoolRef, base: Base, one: z3.ArithRef, two: z3.ArithRef) -> z3.BoolRef:
    answers = [(_ORDERED, ordered)]
    for constants, here, handle in ((_ONE, _HERE[0], one), (_TWO, _HERE[1], two)):
        answers.append((here, base.alive(handle)))
        answers += [
            (constants[name], base.field(name, handle))
            for name in ("handle", "place", "position", "order")
        ]
    return substitute(_PAIR, answers)


def freeze(version: Version) -> None:
    """Nothing more need be known of the bases under a version."""
    for name in ("parent", "yes", "no"):
        below = getattr(version, name, None)
        if below is not None:
            freeze(below)
    if isinstance(version, Base):
        version.frozen = True
