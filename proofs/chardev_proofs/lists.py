"""Lists that the specification takes from its tables: of handles, and of messages.

Theory of operation
===================
A list is known by how many elements are left and by what was taken from it; it is popped at its head only.
At the head of a loop it becomes any list of its kind (`cuts.Reshaper`).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import z3

from chardev_proofs.explore import (
    conditions,
)
from chardev_proofs.rows import NONE
from chardev_proofs.tables import (
    NUMBER,
    TRUTH,
    Version,
    fresh,
)
from chardev_proofs.values import (
    Symbolic,
    SymInt,
    UnsupportedError,
    decide,
)

if TYPE_CHECKING:
    from chardev_proofs.state import SymState


class SymHandles(Symbolic):
    """A list of handles, taken from a table at one moment.

    `left` is how many are left.
    As long as the list is `exact`, what is popped was there at that moment, in falling order when `falling`, else
    rising; after a cut of a loop it is any list of handles.
    """

    __slots__ = ("exact", "falling", "last", "left", "members", "popped", "state", "version")

    def __init__(
        self, state: "SymState", version: Version, left: z3.ArithRef, *, falling: bool
    ) -> None:
        self.state, self.version, self.left, self.falling = state, version, left, falling
        self.exact = True
        self.last: z3.ArithRef | None = None
        self.popped: list[z3.ArithRef] = []
        self.members = z3.Function(f"members{fresh('list')}", NUMBER, TRUTH)
        state.lists.append(self)

    def naming(self) -> Callable[[z3.ArithRef], z3.BoolRef]:
        """Whether a client is in the list, as it is now."""
        there: Callable[[z3.ArithRef], Any] = self.version.alive if self.exact else self.members
        popped = list(self.popped)
        return lambda client: z3.And(there(client), *[client != each for each in popped])

    def same_as(self, other: "SymHandles") -> z3.BoolRef:
        """Whether this is the same list of a table at one moment, as far as that is plain."""
        whole = self.exact and self.last is None and self.falling == other.falling
        return z3.BoolVal(val=whole and self.version is other.version)

    def names_nobody(self) -> Callable[[z3.ArithRef], z3.BoolRef]:
        """Contract: a list of which nothing is left names no client."""
        left, named = self.left, self.naming()
        return lambda client: z3.Implies(left <= 0, z3.Not(named(client)))

    def __bool__(self) -> bool:
        """Contract: whether one is left; there are never fewer than none."""
        if decide(self.left > 0):
            return True
        if not conditions():
            self.left = NONE
        return False

    def pop(self, index: int) -> Any:
        """Contract: IndexError unless one is left; the first one."""
        if index != 0 or conditions():
            raise UnsupportedError("a list is popped elsewhere than at its head, or in a helper")
        if not self.state.surely(self.left > 0):
            raise IndexError("pop from a list that may be empty")
        handle = fresh("listed")
        self.state.know(handle > 0)
        if self.exact:
            version, last, falling = self.version, self.last, self.falling
            self.state.know(version.alive(handle))
            if last is not None:
                self.state.know(handle < last if falling else handle > last)

            def no_other_first(other: z3.ArithRef) -> z3.BoolRef:
                left = [] if last is None else [other < last if falling else other > last]
                first = other <= handle if falling else other >= handle
                return z3.Implies(z3.And(version.alive(other), *left), first)

            self.state.for_all(self.version.schema.name, no_other_first)
        else:
            self.state.know(self.members(handle))
        self.popped.append(handle)
        self.state.popped.append(handle)
        self.left, self.last = self.left - 1, handle
        return SymInt(handle)


class SymMessages(Symbolic):
    """A list of messages; each is a reference that the frame holds."""

    __slots__ = ("left", "state")

    def __init__(self, state: "SymState", left: z3.ArithRef) -> None:
        self.state, self.left = state, left

    def __bool__(self) -> bool:
        """Contract: whether one is left; there are never fewer than none."""
        if decide(self.left > 0):
            return True
        if not conditions():
            self.left = NONE
        return False

    def pop(self, index: int) -> Any:
        """Contract: IndexError unless one is left; the first one."""
        if index != 0 or conditions():
            raise UnsupportedError("a list is popped elsewhere than at its head, or in a helper")
        if not self.state.surely(self.left > 0):
            raise IndexError("pop from a list that may be empty")
        self.left = self.left - 1
        return SymInt(fresh("message"))
