"""What a call may not do to the frames below it.

Theory of operation
===================
While a callback is on, any number of API calls are made and return; whoever waits for the callback relies on what none
of them does.
That is the *rely*: facts about the state before (`old`) and after (`new`).
Some hold only because of what a waiting frame holds, the writer's guard for one: that is looked up in `held`.

The same facts are proved of every call, segment by segment.
There, `held` is the state at the call's own entry, because only what was held then is held by a frame below.
Composition: a segment keeps the facts for the guards of the entry; a callback inside keeps them for its guards, which
are those of the entry and the call's own.
So from entry to return they hold for the guards of the entry, given that they are reflexive and transitive
(`rely_obligations` proves that too).

Counts and guards that a call takes and gives back (`BALANCED`) are no part of this: they are compared with the entry
directly, at every cut, and must be what they were at the return.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final, TypeAlias

import z3

from chardev_proofs.progress import COUNTS
from chardev_proofs.tables import BUFFER, CLIENT, MESSAGE, View
from chardev_spec.state import Device

Terms: TypeAlias = Mapping[str, Any]
Facts: TypeAlias = list[tuple[str, z3.BoolRef]]

BALANCED_BOOLS: Final = ("writing", "write_outstanding", "reading")
BALANCED_COUNTS: Final = ("write_due", "read_due", "announcing")
"""What a call leaves as it was, unless the device is destroyed.

So are the references that frames hold, and who is being pushed; see `cuts`.
"""

WRITERS_OWN: Final = frozenset({"an ignored answer stays ignored", "a request stays"})
"""Facts that the writer's guard keeps others from breaking; the writer itself does what they forbid.

So it does what `writer_rely` forbids: no other writer waits then.
"""

FROZEN: Final = (
    "running", "active", "port", "port_generation", "announces_writability", "port_owes_wakeup",
    "self_tokens", "awaiting", "sealed", "retry_armed", "answer_ignored",
)  # fmt: skip
"""What nobody changes once the device is destroyed (CB-1, LC-5)."""


def device_rely(held: Terms, old: Terms, new: Terms) -> Facts:
    """What holds of the device."""
    alive = z3.Not(new["destroyed"])
    in_pass = z3.Or(held["writing"], held["reading"])
    same_port = z3.And(*[new[name] == old[name] for name in ("port", "announces_writability")])
    return [
        ("destroyed for good", z3.Implies(old["destroyed"], new["destroyed"])),
        ("constants", z3.And(
            new["interval"] == old["interval"],
            new["initial_self_tokens"] == old["initial_self_tokens"],
        )),
        ("the clock goes forward", new["now_ms"] >= old["now_ms"]),
        ("the dead are left alone", z3.Implies(
            old["destroyed"], z3.And(*[new[name] == old[name] for name in FROZEN])
        )),
        ("attachments are counted", new["port_generation"] >= old["port_generation"]),
        ("an equal generation is the same port", z3.Implies(
            z3.And(alive, new["port_generation"] == old["port_generation"]), same_port
        )),
        ("no seal inside a call", z3.Implies(
            z3.And(alive, held["frames"] > 0, z3.Not(old["sealed"])), z3.Not(new["sealed"])
        )),
        ("no awaiting begins inside a pass", z3.Implies(
            z3.And(alive, in_pass), z3.Or(new["awaiting"] == 0, new["awaiting"] == old["awaiting"])
        )),
        ("an ignored answer stays ignored", z3.Implies(
            z3.And(alive, held["writing"], old["answer_ignored"]), new["answer_ignored"]
        )),
        ("a request stays", z3.Implies(
            z3.And(alive, held["writing"], old["write_asked"]), new["write_asked"]
        )),
    ]  # fmt: skip


def writer_rely(held: Terms, old: Terms, new: Terms) -> Facts:
    """What holds of the write queue while a writer waits; the states have `progress.COUNTS` beside their scalars."""
    alive = z3.Not(new["destroyed"])
    same_port = new["port_generation"] == old["port_generation"]
    in_pass = z3.And(z3.Not(old["sealed"]), old["awaiting"] == 0)
    return [
        ("only the writer completes", z3.Implies(
            z3.Or(held["writing"], held["destroyed"]), new["written"] <= old["written"]
        )),
        ("only the writer writes the current buffer", z3.Implies(
            z3.And(alive, held["writing"], in_pass, same_port), new["left"] == old["left"]
        )),
        ("only the writer takes bytes off the queue", z3.Implies(
            z3.Or(held["writing"], held["destroyed"]), new["taken"] == old["taken"]
        )),
        ("what is offered waits for the answer", z3.Implies(
            z3.And(alive, held["write_outstanding"], z3.Not(new["answer_ignored"])),
            new["offered"] == old["offered"],
        )),
    ]  # fmt: skip


def row_rely(table: str, old: View, there: z3.BoolRef, limit: Any, new: View) -> Facts:
    """What holds of each row that is there in the end.

    `there` is whether it was before, `limit` the first handle that was not used before.
    """
    facts = [("handles are not used again", z3.Or(there, new["handle"] >= limit))]
    if table == CLIENT.name:
        constant = ("peer", "flow_control", "window", "max_send_queue_size")
        facts += [
            ("constants of a client", z3.Implies(
                there, z3.And(*[new[name] == old[name] for name in constant])
            )),
            ("leaving for good", z3.Implies(z3.And(there, old["leaving"]), new["leaving"])),
            ("what was sent stays sent", z3.Implies(there, new["sent"] >= old["sent"])),
        ]  # fmt: skip
    elif table == BUFFER.name:
        facts += [
            ("constants of a buffer", z3.Implies(
                there, z3.And(new["capacity"] == old["capacity"], new["price"] == old["price"])
            )),
            ("a buffer that nobody pays for stays so", z3.Implies(
                z3.And(there, old["client"] == 0), new["client"] == 0
            )),
        ]  # fmt: skip
    elif table == MESSAGE.name:
        facts += [
            (
                "constants of an entry",
                z3.Implies(
                    there, z3.And(new["client"] == old["client"], new["message"] == old["message"])
                ),
            ),
        ]
    return facts


def rely_obligations() -> list[tuple[str, bool]]:
    """That the rely composes: each fact is kept by doing nothing, and by two steps when by each of them.

    The first of two steps is a call's own or a nested call's; so is the second, where guards held at the entry are
    still held.
    """
    device = [_device(name) for name in "eabc"]
    results = [
        (f"{name} is reflexive", _follows([], fact))
        for name, fact in device_rely(device[1], device[1], device[1])
    ]
    results += [
        (f"{name} is reflexive", _follows([], fact))
        for name, fact in writer_rely(device[1], device[1], device[1])
    ]
    results += _composed("the device", _device_steps(device))
    for table in (CLIENT, BUFFER, MESSAGE):
        rows = [table.constants(name) for name in "abc"]
        same = [row["handle"] == rows[0]["handle"] for row in rows]
        there = [z3.Bool(f"there.{name}") for name in "abc"]
        limits = [z3.Int(f"limit.{name}") for name in "abc"]
        order = [limits[0] <= limits[1], limits[1] <= limits[2]]
        used = [
            z3.Implies(here, row["handle"] < limit)
            for here, row, limit in zip(there, rows, limits, strict=True)
        ]
        given = [*same, *order, *used, there[2], *_guards(device)]

        def step(
            _: int,
            one: int,
            two: int,
            *,
            table: Any = table,
            rows: Any = rows,
            there: Any = there,
            limits: Any = limits,
        ) -> Facts:
            facts = row_rely(table.name, rows[one], there[one], limits[one], rows[two])
            return [(name, z3.Implies(there[two], fact)) for name, fact in facts]

        results += [
            (f"{table.name}: {name} is reflexive", _follows([*used, there[0]], fact))
            for name, fact in row_rely(table.name, rows[0], there[0], limits[0], rows[0])
        ]
        for held in (0, 2):
            premises = [fact for _, fact in (*step(0, 0, 1), *step(held, 1, 2))]
            results += [
                (f"{table.name}: {name} is transitive", _follows([*premises, *given], fact))
                for name, fact in step(0, 0, 2)
            ]
    return results


def _device(name: str) -> dict[str, Any]:
    kinds = {each.name: each.type for each in fields(Device)}
    kinds |= dict.fromkeys((*COUNTS, "taken"), int)
    return {
        each: z3.Bool(f"{each}.{name}") if kind is bool else z3.Int(f"{each}.{name}")
        for each, kind in kinds.items()
    }


def _guards(device: list[dict[str, Any]]) -> list[z3.BoolRef]:
    """What was held at the entry is held in the middle, and inside a call there is a frame.

    So the entry's writer has one, and who waits for the port is a writer.
    """
    entry, middle = device[0], device[2]
    return [
        z3.Or(
            middle["destroyed"],
            z3.And(*[z3.Implies(entry[name], middle[name]) for name in BALANCED_BOOLS]),
        ),
        middle["frames"] >= entry["frames"],
        z3.Implies(entry["destroyed"], middle["destroyed"]),
        z3.Implies(entry["writing"], z3.Or(entry["frames"] > 0, entry["destroyed"])),
        z3.Implies(entry["write_outstanding"], entry["writing"]),
    ]


def _device_steps(device: list[dict[str, Any]]) -> Any:
    def step(held: int, one: int, two: int) -> Facts:
        states = device[held], device[one], device[two]
        return [*device_rely(*states), *writer_rely(*states)]

    return step, _guards(device)


def _composed(subject: str, steps: Any) -> list[tuple[str, bool]]:
    step, given = steps
    results = []
    for held in (0, 2):
        premises = [fact for _, fact in (*step(0, 1, 2), *step(held, 2, 3))]
        results += [
            (f"{subject}: {name} is transitive", _follows([*premises, *given], fact))
            for name, fact in step(0, 1, 3)
        ]
    return results


def _follows(premises: list[z3.BoolRef], fact: z3.BoolRef) -> bool:
    solver = z3.Solver()
    solver.add(*premises, z3.Not(fact))
    return bool(solver.check() == z3.unsat)
