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
from typing import Any, Final, NamedTuple

import z3

from chardev_proofs.explore import MergeRefused, conditions
from chardev_proofs.state import SymState
from chardev_proofs.tables import fresh
from chardev_proofs.values import SymBool, SymBytes, SymInt, UnsupportedError, int_term
from chardev_spec.contract import Contract
from chardev_spec.errors import BadMigrationDataError
from chardev_spec.record import MESSAGE_SIZE, VERSION, Record
from chardev_spec.state import UINT32_MAX

_UNSETTLED: Final = frozenset({"retry_timer_is_settled", "what_a_limit_left_is_due"})
PROCEDURES: Final[dict[str, frozenset[str]]] = {
    "write_pass": _UNSETTLED | {"no_data_is_stuck"},
    "read_pass": _UNSETTLED | {"no_read_is_lost"},
}
"""Inner actions that are proved by themselves; for each, the invariants that need not hold where it is called."""

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


def read_message(self: Any, _: Any) -> tuple[Record, SymBytes]:
    """Contract: either `BadMigrationDataError`, or any record that the codec can give, and that many bytes.

    The proofs of the codec (`codec`) show that it gives no other.
    """
    if conditions():
        raise MergeRefused("a message is read")
    if SymBool(fresh("malformed", z3.BoolSort())):
        raise BadMigrationDataError("malformed")
    state: SymState = self.state
    record = Record(*[SymInt(fresh(name)) for name in Record._fields])  # type: ignore[arg-type]
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


def _procedure(name: str) -> Callable[..., Any]:
    def run(self: Any, frame: Any) -> Generator[Any, Any, None]:
        if frame != self.state.frame:
            raise UnsupportedError(f"{name} is called for another frame")
        yield ProcedureCall(name)

    return run


def lifted(machine: type[Contract], function: str, refused: set[str]) -> type[Contract]:
    """The class whose `function` is proved.

    `refused` collects the helpers whose branches cannot be joined.
    """
    members: dict[str, Any] = {}
    for name, method in inspect.getmembers(machine, inspect.isfunction):
        if name.startswith("__"):
            continue
        if name == "read_message":
            members[name] = read_message
        elif inspect.isgeneratorfunction(method):
            if name in PROCEDURES and name != function:
                members[name] = _procedure(name)
        elif name != function:
            members[name] = _helper(name, method, refused)
    return type("Lifted", (machine,), members)
