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

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NoReturn

import z3

from chardev_proofs.entry import Entry, Moment
from chardev_proofs.explore import Path, PathEnd, ReplayError, other_names, restart_names
from chardev_proofs.knowledge import ROW_TABLE, Knowledge
from chardev_proofs.lists import SymMessages
from chardev_proofs.machine import PROCEDURES, Call, Procedure, ProcedureCall
from chardev_proofs.order import joining_facts, queue_facts, taken_by
from chardev_proofs.progress import Counts, counted, written_count
from chardev_proofs.rely import (
    BALANCED_BOOLS,
    BALANCED_COUNTS,
    WRITERS_OWN,
    device_rely,
    row_rely,
    writer_rely,
)
from chardev_proofs.reshape import Reshaper, generators, innermost_locals, write_local
from chardev_proofs.rows import DEVICE_KINDS
from chardev_proofs.state import SymState
from chardev_proofs.tables import BUFFER, CLIENT, MESSAGE, TRUTH, fresh
from chardev_proofs.templates import Template
from chardev_proofs.turns import Turn, comes_to_an_end, everybody_is_served, turn
from chardev_proofs.values import SymBool, SymInt, UnsupportedError, int_term
from chardev_spec.events import PortWrite, ReadOneMsgFromDevice
from chardev_spec.invariants import Invariant, Scope

EVERYWHERE: Final = (Scope.DEVICE, Scope.CLIENT, Scope.BUFFER)

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
class Claim:
    """Something to be proved at a cut: `holds`, given `given`."""

    name: str
    rules: tuple[str, ...]
    holds: z3.BoolRef


class Cuts(Knowledge):
    """What one run of a function proves, and from where it goes on.

    `judge` takes the claims of a cut; `memory` is what the runs of the function have in common.
    `counts` is what was counted when the function began, `moved` the frame's count at its entry.
    """

    counts: Counts
    moved: z3.ArithRef

    def __init__(
        self,
        path: Path,
        state: SymState,
        templates: list[tuple[Invariant, Template]],
        judge: Callable[["Cuts", str, list[Claim]], None],
        memory: dict[Any, Any],
    ) -> None:
        super().__init__(path, state, templates)
        self.judge, self.memory = judge, memory
        self.generator: Any = None
        self.turn: Turn | None = None
        self.arguments: tuple[Any, ...] = ()
        self.served: list[tuple[Any, ...]] = []
        # The position in the write queue that is due: what the port took has left it, and nothing else.
        self.due = state.buffers.counters["taken"]
        self.cuts = 0

    # What is proved

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
        if self.called is not PROCEDURES["take_answer"]:
            due = self.state.buffers.counters["taken"] == self.due
            claims.append(Claim("what the port took leaves the queue, once", ("WR-1", "WR-7"), due))
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
                mine = z3.Implies(here, pushed)
                claims.append(Claim("rely: pushes are this frame's", ("CB-1", "RD-7"), mine))
            if table.schema is BUFFER:
                if not writer:
                    claims += [
                        Claim(f"rely: {name}", ("WR-1", "WR-3", "WR-5"), fact)
                        for name, fact in writer_rely(entry, old.counted(), new.counted())
                    ]
                joined = queue_facts(there, version.view(handle), old.counters[1]["order"], view)
                claims += [
                    Claim(name, rules, z3.Implies(here, fact)) for name, rules, fact in joined
                ]
                limits = table.counters
                facts.append(("order numbers are given once", z3.And(
                    view["position"] < limits["position"], view["order"] < limits["order"],
                    view["position"] >= 0, view["order"] >= 0,
                )))  # fmt: skip
            if table.schema is MESSAGE:
                joined = joining_facts(self, there, view)
                claims += [
                    Claim(name, rules, z3.Implies(here, fact)) for name, rules, fact in joined
                ]
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
        self.due = self.state.buffers.counters["taken"]
        state = self.state
        state.know(z3.Or(device["destroyed"], self.held() == entry.held))
        for index, table in enumerate(state.tables):
            state.know(table.counters["handle"] == entry.limits[index])
        if procedure is not None:
            for fact in procedure.requires(state, arguments):
                state.know(fact)
        for invariant, template in self.templates:
            if invariant.scope == Scope.OUTSIDE and procedure is None:
                term = template.of(self.base)  # type: ignore[arg-type] # replace has made it
                state.know(z3.Implies(entry.terms["frames"] == 0, term))
        self.counts = Counts.of(state)
        self.moved = self.counts.moved
        self._satisfiable("entry")

    def callback(self, label: str, event: Any) -> Any:
        """A callback: anything may be called in it."""
        self._environment(label, Procedure())
        frame = self.state.frame
        raises = fresh("raises", TRUTH)
        frame.raised = SymBool(z3.simplify(z3.Or(raises, bool_of(frame.raised))))
        if type(event) is PortWrite:
            answer = fresh("answer")
            self.due += taken_by(self, event, answer)
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
        state, before = self.state, Counts.of(self.state)
        if call.name == "take_answer":
            taken = int_term(call.arguments[0])
            self.due -= z3.If(taken > 0, taken, 0)
        self._environment(label, procedure, call.arguments)
        if procedure.changes is None:
            self._forget_frame()
            state.know(_moves(procedure, call.arguments, before.moved, Counts.of(state).moved))
        result = self._result(call)
        gone = state.device.terms["destroyed"]
        for fact in procedure.ensures(
            Call(state, call.arguments, result, before, Counts.of(state), gone)
        ):
            state.know(fact)
        return result

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
                    [
                        Claim("what the procedure requires", procedure.rules, term)
                        for term in required
                    ],
                )
                self.memory[key] = self._who_is_exempt()
        self.broken = frozenset()
        # Nobody whom a frame has told is made exempt again by a call that has returned.
        self.naming = self.named_by(self.memory[key])
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
        self.due = self.state.buffers.counters["taken"]
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
        arguments = [shaper.value(each) for each in self.arguments]
        self.arguments = tuple(new for new, _ in arguments)
        pushes = [shaper.term(each) for each in state.pushes]
        state.pushes = [term for term, _ in pushes]
        lists = len(shaper.left)
        where = (
            tuple(shape),
            tuple(part for _, part in arguments),
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
        self.moved = fresh("entry.moved")
        path.add(_moves(self.called, self.arguments, self.moved, int_term(state.frame.moved)))
        self.broken = broken
        self.naming = self.named_by(naming)
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
            self.judge(self, label, [self._moved_claim()])
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

    def delivers(self) -> bool:
        """Whether this is the proof of `deliver`, whose arguments are a client and the message that was read."""
        return self.called is PROCEDURES["deliver"]

    def _moved_claim(self) -> Claim:
        """That the frame's count of what it has moved is what the procedure says; no other may be below."""
        now = int_term(self.state.frame.moved)
        fact = _moves(self.called, self.arguments, self.moved, now)
        return Claim("what has moved is counted", ("WR-5",), fact)

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
                named = self.named_by(word)
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
        value = int(self.path.asked.model().eval(term, model_completion=True).as_long())
        if not self.path.valid(z3.Or(gone, term == value)):
            self._not_balanced(label, name)
        return value

    def _message_lists(self) -> list[SymMessages]:
        return [each for each in self._locals() if isinstance(each, SymMessages)]

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
        self.due = self.state.buffers.counters["taken"]
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

    def _procedure_claims(self, procedure: Procedure, result: Any) -> list[Claim]:
        """That a procedure does what its callers rely on."""
        state, old = self.state, self.moment
        gone = state.device.terms["destroyed"]
        call = Call(state, self.arguments, result, self.counts, Counts.of(state), gone)
        facts = procedure.ensures(call)
        claims = [Claim("what the procedure ensures", ("CB-1",), fact) for fact in facts]
        claims.append(self._moved_claim())
        if procedure.changes is not None:
            kept = [name for name in DEVICE_KINDS if name not in procedure.changes]
            same = z3.And(*[state.device.terms[name] == old.device[name] for name in kept])
            claims.append(Claim("the procedure changes nothing else", ("CB-1",), same))
        return claims

    def leave(self, label: str, result: Any) -> None:
        """The function returns: invariants, and everything is given back."""
        if self.path.replaying():
            return
        with other_names(), self.path.supposing(for_good=True):
            self.judge(self, label, self.rely_claims() + self.balance_claims())
            for scope in EVERYWHERE:
                self._prove_scope(label, scope, [], frozenset())
            if self.called is not None:
                self.judge(self, label, self._procedure_claims(self.called, result))
            else:
                outside = self.entry.terms["frames"]
                self.state.device.terms["frames"] = outside
                self._prove_scope(label, Scope.OUTSIDE, [outside == 0], frozenset())


def _moves(
    procedure: Procedure | None, arguments: tuple[Any, ...], before: z3.ArithRef, now: z3.ArithRef
) -> z3.BoolRef:
    """What a call makes of its frame's count of what it moved."""
    if procedure is None or procedure.moves is None:
        return counted(before, now)
    return now == before + procedure.moves(arguments)


def bool_of(value: Any) -> z3.BoolRef:
    """The term of a frame's flag."""
    return value.term if isinstance(value, SymBool) else z3.BoolVal(val=bool(value))
