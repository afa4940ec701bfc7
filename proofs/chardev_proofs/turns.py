"""What a turn of a loop must do: come nearer to the end of the loop, and serve whom it takes from a list.

Theory of operation
===================
A *turn* is what happens between two visits to one loop head.
`RANKS` has, for the loops that always end, what each turn makes less and what is above zero while they go on: no
callback can keep them going.
A pass goes on as long as something moves: a turn that moved something must come nearer to WR-5's limit (`progress`),
and one that moved nothing must be the first such turn.
A push goes on as long as the client grants: each turn must send it a message for one of its tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import z3

from chardev_proofs.lists import SymHandles, SymMessages
from chardev_proofs.progress import Counts, moved_more, nearer, no_farther
from chardev_proofs.state import SymState
from chardev_proofs.values import SymInt, bool_term, int_term
from chardev_spec.writing import Outcome


@dataclass
class Turn:
    """What is known at a loop head.

    `left` has the number of what a list holds, and every local that is a number, by name.
    `pushed` is the client that is being pushed.
    """

    function: str
    left: dict[str, z3.ArithRef]
    counts: Counts
    repeated: Any
    pushed: "Pushed | None" = None


class Pushed(NamedTuple):
    """A client whose queue is being pushed: whether it is there, what was sent to it, and what may still be."""

    client: z3.ArithRef
    there: z3.BoolRef
    sent: z3.ArithRef
    credit: z3.ArithRef


def turn(function: str, names: dict[str, Any], state: SymState) -> Turn:
    """The turn that begins or ends here."""
    left = {
        name: value.left if isinstance(value, (SymHandles, SymMessages)) else int_term(value)
        for name, value in names.items()
        if isinstance(value, (SymHandles, SymMessages, SymInt))
        or (isinstance(value, int) and not isinstance(value, bool))
    }
    counts = Counts.of(state)
    if function != PUSH:
        return Turn(function, left, counts, names.get("repeated"))
    version, client = state.clients.version, left["client"]
    row = version.view(client)
    pushed = Pushed(client, version.alive(client), row["sent"], row["send_tokens"])
    return Turn(function, left, counts, None, pushed)


def _left(name: str) -> Callable[[Turn], z3.ArithRef]:
    return lambda now: now.left[name]


RANKS: Final[dict[str, Callable[[Turn], z3.ArithRef]]] = {
    "complete": lambda now: now.counts.written,
    "fan_out": _left("recipients"),
    "free_self_tokens": _left("returned"),
    "drop_messages": _left("messages"),
    "reset_announce": _left("todo"),
    "destroy": _left("messages"),
}
"""The loops that end whatever callbacks do, and what each turn of them makes less."""

PASSES: Final = ("write_pass", "read_pass")
"""The loops that end because of WR-5's limit."""

PUSH: Final = "push"
"""The loop that ends when the client grants no more (RD-7)."""

TURNS: Final = "start"
"""The loop whose turns are passes: what it moves is counted as theirs is, but parts of buffers are not."""


def comes_to_an_end(before: Turn, now: Turn, gone: z3.BoolRef) -> z3.BoolRef | None:
    """That a turn brings its loop nearer to its end, unless the device is `gone`; None when it need not."""
    if now.function in RANKS:
        rank = RANKS[now.function]
        return z3.Or(gone, z3.And(rank(before) > 0, rank(now) < rank(before)))
    if now.function in PASSES:
        return _pass_ends(before, now, gone)
    if before.pushed is not None and now.pushed is not None:
        one, two = before.pushed, now.pushed
        sent = z3.And(one.client == two.client, one.credit > 0, two.sent > one.sent)
        return z3.Or(gone, z3.Not(two.there), sent)
    return None


def _pass_ends(before: Turn, now: Turn, gone: z3.BoolRef) -> z3.BoolRef:
    outcome, counts = now.left["outcome"], (before.counts, now.counts)
    again = z3.And(bool_term(now.repeated), z3.Not(bool_term(before.repeated)))
    if now.function == "write_pass":
        moved, same = nearer(*counts, gone), no_farther(*counts, gone)
    else:
        moved = z3.Or(gone, moved_more(*counts))
        same = now.counts.moved == before.counts.moved
    return z3.And(
        z3.Implies(outcome == Outcome.MOVED.value, moved),
        z3.Implies(outcome == Outcome.ASKED.value, z3.And(again, same)),
    )


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
