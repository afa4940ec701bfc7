"""The specification's machine, prepared to be run on symbolic values.

Theory of operation
===================
A machine is lifted by a class that derives from it; its text stays as it is.
Three kinds of methods are replaced:

- A *helper*, which is no generator, is run on all its branches at once where that is possible (`SymState.merge`).
- A *procedure*, an inner action that is proved once by itself, yields one event where it is called (`PROCEDURES`).
- A *primitive* reads what is not symbolic, bytes; it has a contract instead (`read_message`).
"""

import inspect
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias, get_args

import z3

from chardev_proofs.buffers import rest
from chardev_proofs.explore import MergeRefused, conditions
from chardev_proofs.progress import Counts, below_limit, nearer, no_farther, written_count
from chardev_proofs.state import SymState
from chardev_proofs.tables import fresh
from chardev_proofs.values import SymBool, SymBytes, SymInt, UnsupportedError, int_term, spec_line
from chardev_spec.contract import Contract
from chardev_spec.errors import BadMigrationDataError
from chardev_spec.invariants import INVARIANTS
from chardev_spec.record import MESSAGE_SIZE, VERSION, Record
from chardev_spec.state import UINT32_MAX
from chardev_spec.writing import Outcome

Terms: TypeAlias = list[z3.BoolRef]


class Call(NamedTuple):
    """A call of a procedure that has returned, the device perhaps `gone`; what it counted before and after."""

    state: SymState
    arguments: tuple[Any, ...]
    result: Any
    before: Counts
    now: Counts
    gone: z3.BoolRef


@dataclass(frozen=True)
class Procedure:
    """An inner step that is proved by itself; to its caller it is one step of the environment.

    `broken` are the invariants that need not hold where it is called.
    `holds` are the guards that its caller has taken; the device is alive then.
    `requires` is what its caller proves beside the others, given the arguments; that cites `rules`.
    `ensures` is what the caller may rely on beside the invariants and the rely.
    `moves` is by how much the frame's count of what it moved grows, given the arguments; without it, by nothing, or by
    what the limit allows (`progress.counted`).
    `releases` is how many references to messages it drops that its caller held.
    A `writer` does what only the writer does (`rely.WRITERS_OWN`), for the pass that calls it.
    A helper, which calls nothing back, has `changes`: the only scalars of the device that it may change.
    """

    broken: frozenset[str] = frozenset()
    holds: tuple[str, ...] = ()
    requires: Callable[[SymState, tuple[Any, ...]], Terms] = lambda _state, _arguments: []
    ensures: Callable[[Call], Terms] = lambda _call: []
    moves: Callable[[tuple[Any, ...]], z3.ArithRef] | None = None
    releases: int = 0
    changes: frozenset[str] | None = None
    writer: bool = False
    rules: tuple[str, ...] = ("CB-1",)


def _in_a_pass(state: SymState, _: tuple[Any, ...]) -> Terms:
    terms = state.device.terms
    return [z3.Not(terms["sealed"]), terms["awaiting"] == 0]


def _may_write(state: SymState, arguments: tuple[Any, ...]) -> Terms:
    terms = state.device.terms
    return [
        *_after_the_answer(state, arguments),
        terms["running"],
        terms["port"] != 0,
        written_count(state.buffers.version) == 0,
        int_term(state.buffers.pending_count()) > 0,
    ]


def _below_limit(state: SymState, *_: Any) -> Terms:
    return [below_limit(int_term(state.frame.moved))]


def _may_offer(state: SymState, arguments: tuple[Any, ...]) -> Terms:
    count, available = int_term(arguments[0]), int_term(state.buffers.pending_count())
    head = state.buffers.version.view(state.buffers.head())
    return [
        *_may_write(state, arguments),
        *_below_limit(state),
        count >= 1,
        count <= available,
        rest(head) > 0,
    ]


def _after_the_answer(state: SymState, arguments: tuple[Any, ...]) -> Terms:
    return [*_in_a_pass(state, arguments), z3.Not(state.device.terms["write_outstanding"])]


def _may_take(state: SymState, arguments: tuple[Any, ...]) -> Terms:
    taken, there = int_term(arguments[0]), int_term(state.buffers.pending_bytes())
    return [*_after_the_answer(state, arguments), z3.Or(taken <= 0, taken <= there)]


def _may_complete(state: SymState, arguments: tuple[Any, ...]) -> Terms:
    return [*_below_limit(state), int_term(arguments[0]) >= 0]


def _nothing_is_written(call: Call) -> Terms:
    return [z3.Or(call.gone, call.now.written == 0)]


def _comes_nearer(call: Call) -> Terms:
    moved = int_term(call.result) == Outcome.MOVED.value
    return [
        *_nothing_is_written(call),
        z3.Implies(moved, nearer(call.before, call.now, call.gone)),
        z3.Implies(z3.Not(moved), no_farther(call.before, call.now, call.gone)),
    ]


def _only_bytes_complete(call: Call) -> Terms:
    nothing, completed = int_term(call.arguments[0]) <= 0, int_term(call.result)
    before, now = call.before, call.now
    return [
        z3.Implies(
            nothing, z3.And(now.written <= before.written, completed == 0, now.left == before.left)
        ),
        z3.Implies(z3.Not(nothing), z3.Or(completed > 0, nearer(before, now, call.gone))),
        now.taken == before.taken + z3.If(nothing, 0, int_term(call.arguments[0])),
        completed >= 0,
    ]


_UNSETTLED: Final = frozenset({"retry_timer_is_settled", "what_a_limit_left_is_due"})
PROCEDURES: Final[dict[str, Procedure]] = {
    "write_pass": Procedure(_UNSETTLED | {"no_data_is_stuck"}),
    "read_pass": Procedure(_UNSETTLED | {"no_read_is_lost"}),
    "write_once": Procedure(
        holds=("writing",), requires=_may_write, ensures=_comes_nearer, writer=True
    ),
    "write_to_port": Procedure(
        holds=("writing",),
        requires=_may_offer,
        ensures=_comes_nearer,
        writer=True,
        rules=("CB-1", "WR-2", "WR-3", "BUF-6"),
    ),
    "complete": Procedure(
        holds=("writing",),
        requires=_may_complete,
        ensures=_nothing_is_written,
        moves=lambda arguments: int_term(arguments[0]),
    ),
    "take_answer": Procedure(
        frozenset({"orphans_wait_for_an_answer"}),
        holds=("writing",),
        requires=_may_take,
        ensures=_only_bytes_complete,
        changes=frozenset({"active", "spare_bytes"}),
        writer=True,
    ),
    "fan_out": Procedure(holds=("reading",), requires=_in_a_pass, releases=1),
    "deliver": Procedure(holds=("reading",), requires=_in_a_pass),
}
"""What is proved by itself though no environment calls it."""

PUBLIC: Final = (
    "create", "opaque_get", "reset_dev_instance", "start", "stop", "wakeup", "retry_timer_fired",
    "client_exists", "client_add", "client_remove", "reset", "destroy",
    "write_buffer_get", "write_buffer_get_server_no_token", "write_buffer_add",
    "write_buffer_release", "write_buffer_release_without_device", "marshaller_unref",
    "send_to_client_tokens_add", "send_to_client_tokens_set", "wait_timer_fired",
    "migrate_data_marshall", "migrate_data_marshall_empty", "restore",
)  # fmt: skip
"""What an environment can call: the header's functions, the timers, and what goes beyond the header."""


class ProcedureCall(NamedTuple):
    """The event that stands for a procedure."""

    name: str
    result: Any
    arguments: tuple[Any, ...]


def read_message(self: Any, _: Any) -> tuple[Record, SymBytes]:
    """Contract: either `BadMigrationDataError`, or any record that the codec can give, and that many bytes.

    The proofs of the codec (`codec`) show that it gives no other.
    """
    if conditions():
        raise MergeRefused("a message is read")
    if SymBool(fresh("malformed", z3.BoolSort())):
        raise BadMigrationDataError("malformed")
    state: SymState = self.state
    record = Record._make([SymInt(fresh(name)) for name in Record._fields])
    for field in record:
        term = int_term(field)
        state.know(z3.And(term >= 0, term <= UINT32_MAX))
    state.know(int_term(record.version) <= VERSION)
    state.know(int_term(record.connected) >= 1)
    size = int_term(record.write_size)
    state.know(z3.Implies(size > 0, int_term(record.write_data_offset) >= MESSAGE_SIZE))
    return record, SymBytes(size)


def _helper(name: str, function: Callable[..., Any], refused: set[str]) -> Callable[..., Any]:
    def run(self: Any, *arguments: Any, **named: Any) -> Any:
        if name not in refused:
            try:
                return self.state.merge(lambda: function(self, *arguments, **named))
            except MergeRefused:
                if conditions():
                    raise
                refused.add(name)
        return function(self, *arguments, **named)

    return run


def _procedure(name: str, method: Any) -> Callable[..., Any]:
    calls_back = inspect.isgeneratorfunction(method)
    result = inspect.signature(method).return_annotation
    if calls_back:
        result = get_args(result)[2]

    def ask(self: Any, frame: Any, *arguments: Any) -> Generator[Any, Any, Any]:
        if frame is not self.state.frame:
            raise UnsupportedError(f"{name} is called for another frame")
        return (yield ProcedureCall(name, result, arguments))

    def step(self: Any, *arguments: Any) -> Any:
        if conditions():
            raise MergeRefused(f"{name} is called")
        return self.state.knowledge.procedure(
            f"{spec_line().rpartition(' ')[2]} {name}", ProcedureCall(name, result, arguments)
        )

    return ask if calls_back else step


def lifted(
    machine: type[Contract], function: str, refused: set[str], *, inline: bool = False
) -> type[Contract]:
    """The class whose `function` is proved.

    `refused` collects the helpers whose branches cannot be joined; `inline` runs procedures where they are called.
    """
    members: dict[str, Any] = {}
    for name, method in inspect.getmembers(machine, inspect.isfunction):
        if name.startswith("__"):
            continue
        if name == "read_message":
            members[name] = read_message
        elif name in PROCEDURES and name != function and not inline:
            members[name] = _procedure(name, method)
        elif not inspect.isgeneratorfunction(method) and name != function:
            members[name] = _helper(name, method, refused)
    return type("Lifted", (machine,), members)


def namespaces(*machines: type[Contract]) -> list[dict[str, Any]]:
    """Where the text of these machines and of the invariants looks up its names."""
    texts: list[Any] = [each.holds for each in INVARIANTS]
    for machine in machines:
        texts += [method for _, method in inspect.getmembers(machine, inspect.isfunction)]
    found = {id(each.__globals__): each.__globals__ for each in texts}
    for namespace in list(found.values()):
        for value in list(namespace.values()):
            if inspect.isfunction(value) and value.__module__.startswith("chardev_spec."):
                found[id(value.__globals__)] = value.__globals__
    return list(found.values())
