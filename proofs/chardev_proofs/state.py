"""The symbolic state: the very interface of `chardev_spec.state`, over the versions of `tables`.

Theory of operation
===================
The specification's machine is given this state instead of its own and does not notice.
Each operation has a *contract*, stated where it is defined: what is known of its result and of the tables after it.
Where the contract leaves something open, that is an unknown; so the symbolic state has every run that the concrete one
has, and perhaps more.
An operation whose precondition may fail raises what the concrete one would raise, an ordinary exception, and that is
a violation wherever it happens.
"""

from collections.abc import Callable
from typing import Any

import z3

from chardev_proofs.buffers import SymBuffers
from chardev_proofs.explore import (
    MergeRefused,
    Path,
    conditions,
    conjunction,
    run_branches,
)
from chardev_proofs.lists import SymHandles, SymMessages
from chardev_proofs.quirk_fields import QuirkFields
from chardev_proofs.rows import (
    DEVICE_KINDS,
    ONE,
    TRUE,
    Snapshot,
    SymDevice,
    SymTable,
    join_values,
    sort_of,
)
from chardev_proofs.tables import (
    BUFFER,
    CLIENT,
    MESSAGE,
    NUMBER,
    TRUTH,
    Base,
    Bulk,
    Fold,
    Merge,
    Version,
    View,
    choose,
    fresh,
)
from chardev_proofs.values import (
    SymInt,
    UnsupportedError,
    boolean,
    int_term,
    optional,
)
from chardev_spec.state import Origin


class SymClients(SymTable):
    """The clients."""

    def attached(self, peer: Any) -> Any:
        """Contract: the first attachment of the peer, None when it has none."""
        return optional(self.version.attached(int_term(peer)))

    def newest_first(self) -> SymHandles:
        """Contract: all handles, falling."""
        return SymHandles(self.state, self.version, self.number(lambda _: TRUE), falling=True)

    def oldest_first(self) -> SymHandles:
        """Contract: all handles, rising."""
        return SymHandles(self.state, self.version, self.number(lambda _: TRUE), falling=False)

    def most_send_tokens(self) -> Any:
        """Contract: no client has more, and some client has as many; 0 without clients."""
        version, most, who = self.version, fresh("most"), fresh("richest")
        some = self.number(lambda _: TRUE) > 0
        has_most = z3.And(version.alive(who), version.field("send_tokens", who) == most)
        self.state.assume(choose(some, has_most, most == 0))
        self.state.for_all(
            CLIENT.name,
            lambda other: z3.Implies(
                version.alive(other), version.field("send_tokens", other) <= most
            ),
        )
        return SymInt(most)


class SymSendQueue(SymTable):
    """The send queues."""

    def first(self, client: Any) -> Any:
        """Contract: IndexError unless the client's queue has an entry; the entry with the lowest handle."""
        client = int_term(client)
        version = self.version
        if not self.state.surely(self.number(lambda view: view["client"] == client) > 0):
            raise IndexError("the first entry of a queue that may be empty")
        entry = fresh("entry")
        self.state.assume(z3.And(version.alive(entry), version.field("client", entry) == client))
        self.state.for_all(
            MESSAGE.name,
            lambda other: z3.Implies(
                z3.And(version.alive(other), version.field("client", other) == client),
                entry <= other,
            ),
        )
        return SymInt(entry)

    def drain(self, client: Any) -> SymMessages:
        """Contract: the client's entries are gone; as many messages."""
        client = int_term(client)
        left = self.number(lambda view: view["client"] == client)
        self.version = Bulk(
            self.version,
            lambda view: view["client"] == client,
            lambda _: {},
            lambda _: z3.BoolVal(val=False),
        )
        return SymMessages(self.state, left)

    def drain_all(self, clients: SymHandles) -> SymMessages:
        """Contract: the entries of these clients are gone; as many messages.

        Only for all clients.
        """
        there = self.state.clients.version
        if not clients.exact or clients.last is not None or clients.version is not there:
            raise UnsupportedError("queues of other clients than all are drained")
        everything = self.version.fold(lambda _: ONE)
        self.version = Bulk(
            self.version,
            lambda view: there.alive(view["client"]),
            lambda _: {},
            lambda _: z3.BoolVal(val=False),
        )
        left = everything - self.version.fold(lambda _: ONE)
        return SymMessages(self.state, left)


class SymPort:
    """What a port is like."""

    def __init__(self, port: z3.ArithRef) -> None:
        self.announces_writability = boolean(z3.Function("port.announces", NUMBER, TRUTH)(port))
        self.attached_elsewhere = boolean(z3.Function("port.elsewhere", NUMBER, TRUTH)(port))


class SymPorts:
    """The ports that there are; any handle is one."""

    def __getitem__(self, port: Any) -> SymPort:
        return SymPort(int_term(port))


class SymState:
    """The state that the machine is given.

    `era` counts how often it was replaced.
    `pushes` are the clients whose queues the frame under proof is pushing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.era = 0
        self.device = SymDevice(
            {name: z3.Const(name, sort_of(kind)) for name, kind in DEVICE_KINDS.items()}
        )
        self.clients = SymClients(CLIENT, self)
        self.buffers = SymBuffers(BUFFER, self)
        self.send_queue = SymSendQueue(MESSAGE, self)
        self.ports = SymPorts()
        self.quirk_fields = QuirkFields(self)
        self.frame: Any = None
        self.pushes: list[z3.ArithRef] = []
        self.universal: list[tuple[str, Callable[[z3.ArithRef], z3.BoolRef], set[int]]] = []
        self.needs_order = False
        self.universe: Any = None
        self.knowledge: Any = None
        self.depth = 0
        self.lists: list[SymHandles] = []
        self.popped: list[z3.ArithRef] = []

    @property
    def tables(self) -> list[SymTable]:
        """All tables."""
        return [self.clients, self.buffers, self.send_queue]

    def save(self) -> Snapshot:
        """What is now."""
        frame = (
            {name: getattr(self.frame, name) for name in self.frame.__slots__} if self.frame else {}
        )
        return Snapshot(
            dict(self.device.terms),
            [each.version for each in self.tables],
            [each.counters for each in self.tables],
            frame,
            dict(self.quirk_fields.written),
        )

    def restore(self, snapshot: Snapshot) -> None:
        """What was then."""
        self.device.terms.clear()
        self.device.terms.update(snapshot.device)
        for table, version, counters in zip(
            self.tables, snapshot.versions, snapshot.counters, strict=True
        ):
            table.version, table.counters = version, counters
        for name, value in snapshot.frame.items():
            setattr(self.frame, name, value)
        self.quirk_fields.written = dict(snapshot.quirk_fields)

    def know(self, fact: z3.BoolRef) -> None:
        """See `tables.World`."""
        self.path.add(fact)

    def tie(self, fact: z3.BoolRef) -> None:
        """Assume a fact that ties one row to another."""
        self.path.tie(fact)

    def assume(self, fact: z3.BoolRef) -> None:
        """See `tables.World`."""
        self.path.add(z3.Implies(conjunction(conditions()), fact))

    def survivors(self, condition: z3.BoolRef, claims: list[z3.BoolRef]) -> list[bool]:
        """See `tables.World`."""
        return self.path.survivors(conjunction([*conditions(), condition]), claims, apart=True)

    def sample(self, condition: z3.BoolRef, terms: list[z3.ArithRef]) -> list[int] | None:
        """See `tables.World`."""
        return self.path.sample(conjunction([*conditions(), condition]), terms)

    def remembered(
        self, key: tuple[int, ...], find: Callable[[], list[z3.BoolRef]]
    ) -> list[z3.BoolRef]:
        """See `tables.World`."""
        return self.path.remembered(key, find)

    def dry(self) -> bool:
        """See `tables.World`."""
        return self.path.dry()

    def always(self, table: str, claims: list[tuple[str, tuple[Fold, ...]]]) -> list[bool]:
        """See `tables.World`."""
        return list(self.universe.always(table, claims))

    def row_facts(self, table: str, view: View, base: Base) -> list[z3.BoolRef]:
        """See `tables.World`."""
        return list(self.knowledge.row_facts(table, view, base))

    def in_order(self, version: Version) -> Any:
        """Whether the write queue of a version is in order."""
        return self.knowledge.in_order(version)

    def surely(self, fact: z3.BoolRef) -> bool:
        """Whether the fact follows on this branch."""
        fact = z3.simplify(fact)
        if z3.is_true(fact) or self.path.dry():
            # A path that was gone before has passed here.
            return True
        return not self.path.ask(*conditions(), z3.Not(fact))

    def for_all(self, table: str, fact: Callable[[z3.ArithRef], z3.BoolRef]) -> None:
        """Assume a fact for every handle of a table, on the branch that is being run."""
        condition = conjunction(conditions())
        self.universal.append((table, lambda handle: z3.Implies(condition, fact(handle)), set()))

    def note_push(self, client: z3.ArithRef, pushing: z3.BoolRef) -> None:
        """The frame begins or ends a push."""
        if conditions():
            raise UnsupportedError("a push begins or ends in a helper")
        if z3.is_true(pushing):
            self.pushes.append(client)
        elif z3.is_false(pushing):
            # Whoever ends a push that the frame did not begin is found at the next cut (`push_fact`).
            mine = [each for each in self.pushes if self.surely(each == client)]
            if mine:
                self.pushes.remove(mine[0])
        else:
            raise UnsupportedError("a push that may begin or end")

    def merge(self, run: Callable[[], Any]) -> Any:
        """Run all branches of a helper at once."""
        start = self.save()
        try:
            results = run_branches(lambda: (run(), self.save()), lambda: self.restore(start))
            value = join_values([(condition, result[0]) for condition, result in results])
        except MergeRefused:
            self.restore(start)
            raise
        self.restore(join_states([(condition, result[1]) for condition, result in results]))
        return value


def join_states(results: list[tuple[z3.BoolRef, Snapshot]]) -> Snapshot:
    """The states that a helper's branches leave, as one."""
    joined = results[-1][1]
    for condition, other in reversed(results[:-1]):
        joined = Snapshot(
            {
                name: choose(condition, term, joined.device[name])
                for name, term in other.device.items()
            },
            [
                no if yes is no else Merge(condition, yes, no)
                for yes, no in zip(other.versions, joined.versions, strict=True)
            ],
            [
                {name: choose(condition, yes[name], no[name]) for name in yes}
                for yes, no in zip(other.counters, joined.counters, strict=True)
            ],
            {
                name: value
                if value is joined.frame[name]
                else join_values([(condition, value), (TRUE, joined.frame[name])])
                for name, value in other.frame.items()
            },
            joined.quirk_fields,
        )
    return joined


def all_bases(version: Version) -> list[Base]:
    """The bases under a version."""
    if isinstance(version, Base):
        return [version]
    if isinstance(version, Merge):
        return all_bases(version.yes) + all_bases(version.no)
    parent = getattr(version, "parent", None)
    return [] if parent is None else all_bases(parent)


__all__ = ["NUMBER", "Origin", "SymState"]
