"""What a turn of a loop must do: come nearer to the end of the loop, and serve whom it takes from a list.

Theory of operation
===================
A *turn* is what happens between two visits to one loop head.
`RANKS` has, for the loops that always end, what each turn makes less and what is above zero while they go on: no
callback can keep them going.
A pass goes on as long as something moves (WR-5): there each turn that moved nothing must be the first such turn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import z3

from chardev_proofs.lists import SymHandles, SymMessages
from chardev_proofs.machine import written_count
from chardev_proofs.state import SymState
from chardev_proofs.values import SymInt, bool_term, int_term
from chardev_spec.writing import Outcome


@dataclass
class Turn:
    """What is known at a loop head.

    `left` has the number of what a list holds, and every local that is a number, by name; `written` is how many
    buffers wait for their price to return.
    """

    function: str
    left: dict[str, z3.ArithRef]
    written: z3.ArithRef
    repeated: Any


def turn(function: str, names: dict[str, Any], state: SymState) -> Turn:
    """The turn that begins or ends here."""
    left = {
        name: value.left if isinstance(value, (SymHandles, SymMessages)) else int_term(value)
        for name, value in names.items()
        if isinstance(value, (SymHandles, SymMessages, SymInt))
        or (isinstance(value, int) and not isinstance(value, bool))
    }
    return Turn(function, left, written_count(state.buffers.version), names.get("repeated"))


def _left(name: str) -> Callable[[Turn], z3.ArithRef]:
    return lambda now: now.left[name]


RANKS: Final[dict[str, Callable[[Turn], z3.ArithRef]]] = {
    "complete": lambda now: now.written,
    "fan_out": _left("recipients"),
    "free_self_tokens": _left("returned"),
    "drop_messages": _left("messages"),
    "reset_announce": _left("todo"),
    "destroy": _left("messages"),
}
"""The loops that end whatever callbacks do, and what each turn of them makes less."""

PASSES: Final = ("write_pass", "read_pass")


def comes_to_an_end(before: Turn, now: Turn, gone: z3.BoolRef) -> z3.BoolRef | None:
    """That a turn brings its loop nearer to its end, unless the device is `gone`; None when it need not."""
    if now.function in RANKS:
        rank = RANKS[now.function]
        return z3.Or(gone, z3.And(rank(before) > 0, rank(now) < rank(before)))
    if now.function in PASSES:
        outcome = now.left["outcome"]
        asked = outcome == Outcome.ASKED.value
        again = z3.And(bool_term(now.repeated), z3.Not(bool_term(before.repeated)))
        return z3.Implies(asked, again)
    return None


def everybody_is_served(
    state: SymState, popped: list[z3.ArithRef], served: list[tuple[Any, ...]], message: Any
) -> z3.BoolRef:
    """CB-2: who was taken from the list of recipients was delivered this message, once, or is gone or leaving."""
    if len(popped) != 1 or len(served) > 1:
        return z3.BoolVal(val=not popped and not served)
    [client] = popped
    if served:
        [(whom, what)] = served
        return z3.And(int_term(whom) == client, int_term(what) == int_term(message))
    version = state.clients.version
    return z3.Not(z3.And(version.alive(client), z3.Not(version.field("leaving", client))))
