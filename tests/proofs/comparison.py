"""The engine against the specification as it runs: the same calls on both, step by step.

Theory of operation
===================
Random calls, also inside callbacks, are made on a concrete machine.
Beside each call runs the lifted machine, on a symbolic state that is made of the concrete one's very rows: every number
in it is known, so the contracts of the tables must lead to the one state that the concrete tables have.
At each callback and at the end the two are compared: the event, the result, the device, every row, the order of the
write queue.
The concrete state must be possible, else the proofs would miss runs.
Whether another one is possible too is counted: there a contract says less than the table does (`Tally.loose`), and a
proof might fail for no reason, but never succeed for none.
Every invariant is evaluated on both, too.

After a callback the symbolic state is made anew from the concrete one; the locals stay.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from itertools import pairwise
from random import Random
from typing import Any, Final

import z3

from chardev_proofs.explore import Explorer, Path, restart_names
from chardev_proofs.functions import ROW
from chardev_proofs.machine import lifted, namespaces
from chardev_proofs.rows import DEVICE_KINDS, SymTable
from chardev_proofs.state import SymPort, SymState
from chardev_proofs.tables import Empty, Point, Version
from chardev_proofs.templates import RecordedState, Template, template
from chardev_proofs.values import (
    SymBool,
    SymInt,
    bool_term,
    deciders,
    int_term,
    lifted_builtins,
    size_term,
)
from chardev_spec.conditions import Frame
from chardev_spec.contract import Contract
from chardev_spec.errors import BadMigrationDataError, ContractError
from chardev_spec.events import (
    ChooseGoOn,
    ChooseOffer,
    Loop,
    PortWrite,
    ReadOneMsgFromDevice,
    SendTokensToClient,
)
from chardev_spec.invariants import INVARIANTS, Scope
from chardev_spec.record import HEADER_SIZE, Record, encode
from chardev_spec.runner import Call, Runner
from chardev_spec.state import Place, State

PEERS: Final = (1, 2, 3)
DEPTH: Final = 3
"""Calls inside callbacks, at most."""


class MismatchError(Exception):
    """The lifted machine does not do what the specification does."""


class _Raised(Exception):  # noqa: N818 - what a random owner throws is no error
    """What a callback raises (CB-5)."""


class Literal:
    """What the tables ask of a world in which everything is known."""

    def __init__(self, state: "LiteralState") -> None:
        self.state = state

    def row_facts(self, *_: Any) -> list[z3.BoolRef]:
        """There is no base."""
        return []

    def in_order(self, version: Version) -> z3.BoolRef:
        """Of all pending buffers, by their positions."""
        handles = self.state.literal
        facts = [z3.BoolVal(val=True)]
        for one in handles:
            for two in handles:
                left, right = version.view(z3.IntVal(one)), version.view(z3.IntVal(two))
                facts.append(
                    z3.Implies(
                        z3.And(
                            version.alive(left.handle), version.alive(right.handle),
                            _pending(left), _pending(right), _before(left, right),
                        ),
                        left["order"] < right["order"],
                    )
                )  # fmt: skip
        return z3.And(*facts)


def _pending(view: Any) -> Any:
    return z3.Or(view["place"] == Place.QUEUED.value, view["place"] == Place.CURRENT.value)


def _before(one: Any, two: Any) -> Any:
    rank_one = z3.If(one["place"] == Place.CURRENT.value, 0, 1)
    rank_two = z3.If(two["place"] == Place.CURRENT.value, 0, 1)
    return z3.Or(
        rank_one < rank_two, z3.And(rank_one == rank_two, one["position"] < two["position"])
    )


class LiteralState(SymState):
    """A symbolic state that is made of a concrete one."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.knowledge = Literal(self)
        self.literal: list[int] = []

    def load(self, concrete: State) -> None:
        """Become the concrete state."""
        self.era += 1
        self.universal.clear()
        for name, kind in DEVICE_KINDS.items():
            value = getattr(concrete.device, name)
            self.device.terms[name] = z3.BoolVal(value) if kind is bool else z3.IntVal(value or 0)
        for table, rows in zip(self.tables, _tables(concrete), strict=True):
            version: Version = Empty(table.schema)
            positions = _positions(concrete)
            for row in rows:
                terms = _row_terms(table, row)
                if "position" in table.schema.sorts:
                    terms["position"] = z3.IntVal(positions.get(row.handle, 0))
                version = Point(version, z3.IntVal(row.handle), terms, z3.BoolVal(val=True), self)
            table.version = version
            order = getattr(rows, "_next_order", 1)
            table.counters = {
                "handle": z3.IntVal(rows._next_handle),
                "order": z3.IntVal(order),
                "position": z3.IntVal(len(positions) + 1),
                "taken": z3.IntVal(1),
            }
        for port, facts in concrete.ports.items():
            literal = SymPort(z3.IntVal(port))
            self.path.add(
                bool_term(literal.announces_writability) == facts.announces_writability,
                bool_term(literal.attached_elsewhere) == facts.attached_elsewhere,
            )
        # Also handles that are not there, and those that the next step may give.
        self.literal = list(range(1, max(rows._next_handle for rows in _tables(concrete)) + 2))

    def settle(self) -> None:
        """Say what is known of every row, of every row."""
        for _, fact, done in self.universal:
            for handle in self.literal:
                if handle not in done:
                    done.add(handle)
                    self.know(fact(z3.IntVal(handle)))


def _tables(concrete: State) -> tuple[Any, Any, Any]:
    return concrete.clients, concrete.buffers, concrete.send_queue


def _positions(concrete: State) -> dict[int, int]:
    places = (Place.CURRENT, Place.QUEUED, Place.WRITTEN)
    ordered = [row.handle for place in places for row in concrete.buffers.rows(place)]
    return {handle: index for index, handle in enumerate(ordered, 1)}


def _row_terms(table: SymTable, row: Any) -> dict[str, Any]:
    terms: dict[str, Any] = {}
    for each in fields(row):
        value = getattr(row, each.name)
        if each.type is bool:
            terms[each.name] = z3.BoolVal(value)
        elif each.name in table.schema.sizes:
            terms[each.name] = z3.IntVal(len(value))
        else:
            terms[each.name] = z3.IntVal(int(value or 0))
    return terms


def differences(state: LiteralState, concrete: State) -> Iterator[tuple[str, z3.BoolRef, bool]]:
    """What must be equal: its name, the equation, and whether the contracts determine it."""
    for name, kind in DEVICE_KINDS.items():
        value = getattr(concrete.device, name)
        literal: Any = z3.BoolVal(value) if kind is bool else z3.IntVal(value or 0)
        # How many bytes a dropped buffer leaves is left open by the contracts.
        yield name, state.device.terms[name] == literal, name != "spare_bytes"
    for table, rows in zip(state.tables, _tables(concrete), strict=True):
        there = {row.handle: row for row in rows}
        for handle in range(1, rows._next_handle):
            term = z3.IntVal(handle)
            name = f"{table.schema.name}[{handle}]"
            yield name, table.version.alive(term) == z3.BoolVal(handle in there), True
            if handle in there:
                for field_name, literal in _row_terms(table, there[handle]).items():
                    # A message is opaque; the engine makes up a new name for each.
                    if field_name not in {"message", "handle"}:
                        equal = table.version.field(field_name, term) == literal
                        yield f"{name}.{field_name}", equal, True
        limit = table.counters["handle"] == z3.IntVal(rows._next_handle)
        yield f"{table.schema.name} next handle", limit, True
    version = state.buffers.version
    for place in (Place.QUEUED, Place.WRITTEN):
        handles = [z3.IntVal(row.handle) for row in concrete.buffers.rows(place)]
        for one, two in pairwise(handles):
            rises = version.field("position", one) < version.field("position", two)
            yield f"order of {place.name}", rises, True


@dataclass
class Tally:
    """What was compared."""

    segments: int = 0
    loose: int = 0
    clauses: int = 0
    calls: int = 0
    functions: dict[str, int] = field(default_factory=dict)


class Shadow:
    """One call on the lifted machine, beside the same call on the concrete one."""

    def __init__(self, check: "CrossCheck", function: str, arguments: tuple[Any, ...]) -> None:
        self.check, self.function = check, function
        self.path = Path([], Explorer())
        self.state = LiteralState(self.path)
        self.path.before_check = self.state.settle
        made = lifted(check.machine, function, check.refused, inline=True)
        # The codec's text is not run on symbolic values: the message is what it is.
        self.machine: Any = type("Shadowed", (made,), {"read_message": check.machine.read_message})
        self.arguments = [_symbolic(each) for each in arguments]
        self.generator: Any = None
        self.event: Any = None
        self.result: Any = None
        self.error: type[BaseException] | None = None
        self.choices: list[Any] = []

    def begin(self, frame: Frame) -> None:
        """Run to the first callback."""
        self.state.frame = frame
        machine: Any = self.machine(self.state)
        self._guarded(lambda: self._first(machine, frame))

    def _first(self, machine: Any, frame: Any) -> None:
        result = getattr(machine, self.function)(frame, *self.arguments)
        if hasattr(result, "send"):
            self.generator = result
            self._send(None)
        else:
            self.result = result

    def go_on(self, value: Any) -> None:
        """Run from a callback to the next one."""
        self._guarded(lambda: self._send(value))

    def _guarded(self, run: Callable[[], None]) -> None:
        self.event = None
        deciders.append(self.path)
        try:
            run()
        except (ContractError, BadMigrationDataError) as error:
            self.error = type(error)
        finally:
            deciders.pop()

    def _send(self, value: Any) -> None:
        try:
            while True:
                event = self.generator.send(value)
                if isinstance(event, Loop):
                    value = True
                elif isinstance(event, (ChooseGoOn, ChooseOffer)):
                    value = self.choices.pop(0)
                else:
                    self.event = event
                    return
        except StopIteration as end:
            self.result = end.value


def _symbolic(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return SymInt(z3.IntVal(value))
    return value


class CrossCheck:
    """Random calls on both machines.

    `limit` is how many segments are compared.
    """

    def __init__(self, seed: int, limit: int, machine: type[Contract] = Contract) -> None:
        self.random = Random(seed)
        self.limit = limit
        self.machine = machine
        self.tally = Tally()
        self.refused: set[str] = set()
        path = Path([], Explorer())
        plain: Any = lifted(machine, "", set())
        with lifted_builtins(namespaces(machine)):
            self.templates: list[tuple[Any, Template]] = [
                (each, template(each.holds, plain, RecordedState(path), ROW.get(each.scope)))
                for each in INVARIANTS
                if each.scope != Scope.EVENT
            ]
        self.messages = 0
        self.steps = 0

    def run(self) -> Tally:
        """Compare until the limit; raises `MismatchError`."""
        with lifted_builtins(namespaces(self.machine)):
            while self.tally.segments < self.limit:
                self._life()
        return self.tally

    def _life(self) -> None:
        """One device, from its creation to its end."""
        restart_names(0)
        environment: Any = self
        self.runner = Runner(environment, invariants=False)
        self.runner.machine = self.machine(self.runner.state)
        self.pending_choices: list[list[Any]] = []
        self.held: list[int] = []
        for port in (1, 2):
            self.runner.add_port(port, announces_writability=self.random.random() < 0.5)
        self._call("create", 1, self.random.choice([0, 1, 2, 3]), self.random.choice([0, 1, 2]))
        self.steps = 60
        while self.steps > 0 and self.tally.segments < self.limit:
            self._step()

    def choose(self, event: Any) -> Any:
        """Settle a choice, and remember it for the other machine."""
        answer: Any = self.random.random() < 0.8
        if isinstance(event, ChooseOffer):
            answer = self.random.randint(1, event.available)
        self.pending_choices[-1].append(answer)
        return answer

    def answer(self, event: Any) -> Any:
        """Perform a callback: perhaps with calls inside."""
        random = self.random
        if len(self.runner.stack) <= DEPTH:
            while random.random() < 0.25 and self.steps > 0:
                self._step()
        if random.random() < 0.02:
            raise _Raised
        if isinstance(event, PortWrite):
            size = len(event.data)
            return random.choice([0, size, size, random.randint(0, size), -1, size + 1])
        if isinstance(event, ReadOneMsgFromDevice) and random.random() < 0.5:
            self.messages += 1
            return self.messages
        return None

    def _call(self, function: str, *arguments: Any) -> Any:
        """One call on both."""
        concrete = self.runner.state
        shadow = Shadow(self, function, arguments)
        self.tally.calls += 1
        self.tally.functions[function] = self.tally.functions.get(function, 0) + 1
        concrete.device.frames += 1
        shadow.state.load(concrete)
        concrete.device.frames -= 1
        self.pending_choices.append([])
        error: type[BaseException] | None = None
        call: Call | None = None
        try:
            call = self.runner.begin(function, *arguments)
        except (ContractError, BadMigrationDataError) as refused:
            error = type(refused)
        shadow.choices = self.pending_choices[-1]
        shadow.begin(Frame())
        self._compare(shadow, call, error)
        while call is not None and call.event is not None:
            value, raised = None, None
            try:
                value = self.answer(call.event)
            except _Raised as thrown:
                raised = thrown
            symbolic = None if value is None else SymInt(z3.IntVal(value))
            if raised is not None:
                shadow.state.frame.raised = True
                symbolic = SymInt(z3.IntVal(0)) if isinstance(call.event, PortWrite) else None
            shadow.state.load(concrete)
            self.pending_choices[-1].clear()
            call.answer(value, raised)
            shadow.go_on(symbolic)
            self._compare(shadow, call, None)
        self.pending_choices.pop()
        if error is not None:
            raise error
        return call.result if call else None

    def _compare(
        self, shadow: Shadow, call: Call | None, error: type[BaseException] | None
    ) -> None:
        self.tally.segments += 1
        where = f"{shadow.function}, segment {self.tally.segments}"
        if shadow.error is not error:
            raise MismatchError(f"{where}: {error} against {shadow.error}")
        if call is None:
            return
        self._same_event(where, shadow, call)
        self._same_state(where, shadow, ended=call.event is None)
        self._same_verdicts(where, shadow)

    def _same_event(self, where: str, shadow: Shadow, call: Call) -> None:
        event: Any = call.event
        other = shadow.event
        if type(event) is not type(other):
            raise MismatchError(f"{where}: {event} against {type(other).__name__}")
        facts = [z3.BoolVal(val=True)]
        if isinstance(event, PortWrite):
            facts.append(size_term(other.data) == len(event.data))
        if isinstance(event, SendTokensToClient):
            facts += [
                int_term(other.tokens) == event.tokens,
                int_term(other.client) == event.client,
            ]
        if event is None and isinstance(call.result, bool):
            other_result = shadow.result
            holds = (
                other_result.term if isinstance(other_result, SymBool) else z3.BoolVal(other_result)
            )
            facts.append(holds == call.result)
        elif event is None and isinstance(call.result, int):
            facts.append(int_term(shadow.result) == call.result)
        if not shadow.path.valid(z3.And(*facts)):
            raise MismatchError(f"{where}: {event} or the result differs")

    def _same_state(self, where: str, shadow: Shadow, *, ended: bool) -> None:
        concrete = self.runner.state
        if ended:
            concrete.device.frames += 1
        found = list(differences(shadow.state, concrete))
        if ended:
            concrete.device.frames -= 1
        known = [equal for _, equal, determined in found if determined]
        if shadow.path.check(*[equal for _, equal, _ in found]) != z3.sat:
            self._blame(where, "impossible", shadow, [(name, equal) for name, equal, _ in found])
        if not shadow.path.valid(z3.simplify(z3.And(*known))):
            self.tally.loose += 1

    def _blame(
        self, where: str, what: str, shadow: Shadow, found: list[tuple[str, z3.BoolRef]]
    ) -> None:
        names = [name for name, equal in found if not shadow.path.valid(z3.simplify(equal))]
        raise MismatchError(f"{where}: the concrete state is {what}: {names[:8]}")

    def _same_verdicts(self, where: str, shadow: Shadow) -> None:
        """Every invariant, on the concrete state as it is."""
        concrete, machine = self.runner.state, self.runner.machine
        state = LiteralState(shadow.path)
        state.load(concrete)
        for invariant, each in self.templates:
            subjects: list[tuple[Any, ...]] = [()]
            index = 0
            if invariant.scope in ROW:
                index = 0 if invariant.scope == Scope.CLIENT else 1
                subjects = [(row,) for row in _tables(concrete)[index]]
            for subject in subjects:
                self.tally.clauses += 1
                view = (
                    state.tables[index].version.view(z3.IntVal(subject[0].handle))
                    if subject
                    else None
                )
                term = each.of(state, view)
                holds = invariant.holds(machine, *subject)
                if not shadow.path.valid(z3.simplify(term == z3.BoolVal(bool(holds)))):
                    raise MismatchError(f"{where}: {invariant.name} is {holds} for {subject}")

    def _step(self) -> None:
        self.steps -= 1
        random = self.random
        function = random.choice([*CALLS, *FREQUENT])
        arguments = CALLS[function](self)
        if arguments is None:
            return
        try:
            result = self._call(function, *arguments)
        except (ContractError, BadMigrationDataError):
            return
        if function.startswith("write_buffer_get") and result is not None:
            self.held.append(result)


def _message(check: CrossCheck) -> tuple[Any, ...]:
    size = check.random.randint(0, 4)
    random = check.random
    record = Record(
        1,
        1,
        random.randint(0, 5),
        random.randint(0, 3),
        size,
        random.randint(0, 2),
        33 if size else 0,
    )
    return (bytes(HEADER_SIZE) + encode(record) + bytes(size),)


def _some_held(check: CrossCheck) -> int | None:
    return check.random.choice(check.held) if check.held else None


def _added(check: CrossCheck) -> tuple[Any, ...] | None:
    handle = _some_held(check)
    if handle is None:
        return None
    buffers = check.runner.state.buffers
    capacity = buffers[handle].capacity if handle in buffers else 3
    return handle, bytes(check.random.randint(0, capacity))


def _released(check: CrossCheck) -> tuple[Any, ...] | None:
    handle = _some_held(check)
    return None if handle is None else (handle,)


def _peer(check: CrossCheck) -> int:
    return check.random.choice(PEERS)


CALLS: Final[dict[str, Callable[[CrossCheck], tuple[Any, ...] | None]]] = {
    "write_buffer_get": lambda c: (c.random.choice([*PEERS, None]), c.random.randint(0, 6)),
    "write_buffer_get_server_no_token": lambda _: (3,),
    "write_buffer_add": _added,
    "write_buffer_release": _released,
    "write_buffer_release_without_device": _released,
    "marshaller_unref": lambda c: (c.random.randint(1, 6),),
    "client_add": lambda c: (
        _peer(c), c.random.random() < 0.85, c.random.randint(0, 3), c.random.choice([0, 2, 3, 4, 5]),
        c.random.randint(0, 3), c.random.random() < 0.3,
    ),
    "client_remove": lambda c: (_peer(c),),
    "client_exists": lambda c: (_peer(c),),
    "start": lambda _: (),
    "stop": lambda _: (),
    "wakeup": lambda _: (),
    "retry_timer_fired": lambda _: (),
    "wait_timer_fired": lambda c: (_peer(c),),
    "send_to_client_tokens_add": lambda c: (_peer(c), c.random.randint(0, 3)),
    "send_to_client_tokens_set": lambda c: (_peer(c), c.random.randint(0, 3)),
    "reset": lambda c: () if c.random.random() < 0.3 else None,
    "reset_dev_instance": lambda c: (c.random.choice([None, 1, 2]),),
    "migrate_data_marshall": lambda _: (),
    "migrate_data_marshall_empty": lambda _: (),
    "restore": _message,
    "destroy": lambda c: () if c.random.random() < 0.03 else None,
    "opaque_get": lambda _: (),
}  # fmt: skip
"""The calls, each with arguments at random; None for not now."""

FREQUENT: Final = ("write_buffer_get", "write_buffer_add", "client_add", "start", "wakeup") * 6
"""Made more often, so that buffers and messages flow."""
