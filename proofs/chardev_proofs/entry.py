"""A state that stays as it is, and what a function found when it began.

Theory of operation
===================
The symbolic state changes while a path is run; a *moment* is the state at one point of it, to be spoken of later: what
a segment began with, for the rely, and what the last cut gave, for the templates of the invariants (`BaseState`).

The *entry* is what the function must give back: guards, counters, references, pushes and announcements.
They are unknowns, because a function may be called while others are in the midst of something.
Behind the head of a loop there is another entry, of which the same is known (`cuts.Cuts.loop`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import z3

from chardev_proofs.machine import Procedure
from chardev_proofs.progress import COUNTS
from chardev_proofs.rely import BALANCED_BOOLS, BALANCED_COUNTS
from chardev_proofs.rows import DEVICE_KINDS, sort_of
from chardev_proofs.state import SymState
from chardev_proofs.tables import NUMBER, TRUTH, Version, fresh


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

    def counted(self) -> dict[str, Any]:
        """The scalars, and what is counted of the write queue."""
        counts = {name: count(self.versions[1]) for name, count in COUNTS.items()}
        return self.device | counts | {"taken": self.counters[1]["taken"]}


class Terms:
    """The scalars of the device, as templates ask for them."""

    def __init__(self, terms: dict[str, Any]) -> None:
        self.terms = terms


class _Table:
    """A table, as templates ask for it."""

    def __init__(self, version: Version) -> None:
        self.version = version


class BaseState:
    """The state right after a cut, for the templates of what is assumed there."""

    def __init__(self, moment: Moment, ordered: z3.BoolRef) -> None:
        self.device = Terms(moment.device)
        self.tables = [_Table(version) for version in moment.versions]
        self._ordered = ordered

    def in_order(self, _: Version) -> z3.BoolRef:
        """An unknown of which `knowledge.Knowledge.flush` says what it implies."""
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
