"""How a pass comes nearer to its end (WR-5).

Theory of operation
===================
A frame moves at most N buffers and messages, for any N of an implementation's choice: that is `LIMIT`, of which nothing
is known but that it is 1 or more.
A turn of a pass that moves something does one of two things.
It completes buffers or reads a message, below the limit; or the port takes part of one buffer, which is the current one
then and has less left than before.
Nobody but the writer can change what is left of the current buffer, unless a callback attaches or detaches a port, as a
reset does; such a turn is not counted, because a new port begins anew.

So in lexicographic order these numbers become smaller: the limit less what the frame has moved, whether no buffer
is current, what the current one has left, and whether a turn that moved nothing may still be repeated.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import z3

from chardev_proofs.buffers import pending, rest
from chardev_proofs.tables import Version, choose
from chardev_proofs.values import int_term
from chardev_spec.state import Place

if TYPE_CHECKING:
    from chardev_proofs.state import SymState

LIMIT: Final = z3.Int("limit")
"""N of WR-5."""

ONE: Final = z3.IntVal(1)
ZERO: Final = z3.IntVal(0)


def below_limit(moved: z3.ArithRef) -> z3.BoolRef:
    """Whether a frame that has moved so much may go on; one that has moved nothing may, whatever the limit."""
    return z3.Or(moved <= 0, moved < LIMIT)


def counted(before: z3.ArithRef, now: z3.ArithRef) -> z3.BoolRef:
    """That nothing which a frame moved is forgotten, and nothing is moved that the limit forbids."""
    return z3.Or(now == before, z3.And(below_limit(before), now > before))


def written_count(version: Version) -> z3.ArithRef:
    """How many buffers wait for their price to return."""
    return version.fold(lambda view: choose(view["place"] == Place.WRITTEN.value, ONE, ZERO))


def left(version: Version) -> z3.ArithRef:
    """What the current buffer has left; nothing when no buffer is current.

    What is marshalled is not counted, here and below: a sealed device writes nothing (MIG-2).
    """
    return version.fold(
        lambda view: choose(
            z3.And(view["place"] == Place.CURRENT.value, z3.Not(view["marshalled"])),
            rest(view),
            ZERO,
        )
    )


def offered(version: Version) -> z3.ArithRef:
    """How many bytes the outstanding write offers."""
    return version.fold(
        lambda view: choose(
            z3.And(view["offered"], pending(view), z3.Not(view["marshalled"])), rest(view), ZERO
        )
    )


COUNTS: Final = {"written": written_count, "left": left, "offered": offered}
"""What a writer that waits relies on (`rely.writer_rely`)."""


@dataclass(frozen=True)
class Counts:
    """What shows whether a pass has come nearer to its end: `moved` is the frame's, `generation` the port's."""

    moved: z3.ArithRef
    generation: z3.ArithRef
    written: z3.ArithRef
    left: z3.ArithRef
    taken: z3.ArithRef

    @classmethod
    def of(cls, state: "SymState") -> "Counts":
        """What is now."""
        version = state.buffers.version
        return cls(
            int_term(state.frame.moved), state.device.terms["port_generation"],
            written_count(version), left(version), state.buffers.counters["taken"],
        )  # fmt: skip


def moved_more(before: Counts, now: Counts) -> z3.BoolRef:
    """That more was moved, as the limit allows."""
    return z3.And(below_limit(before.moved), now.moved > before.moved)


def nearer(before: Counts, now: Counts, gone: z3.BoolRef) -> z3.BoolRef:
    """That something was moved, and so that a pass came nearer to its end."""
    less = z3.And(now.left > 0, z3.Or(before.left == 0, now.left < before.left))
    another_port = now.generation != before.generation
    return z3.Or(
        gone, another_port, moved_more(before, now), z3.And(now.moved == before.moved, less)
    )


def no_farther(before: Counts, now: Counts, gone: z3.BoolRef) -> z3.BoolRef:
    """That a turn which moved nothing did not take a pass away from its end."""
    same = z3.And(now.moved == before.moved, now.left == before.left)
    return z3.Or(gone, now.generation != before.generation, same)
