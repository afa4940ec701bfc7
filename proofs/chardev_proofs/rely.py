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
from typing import Any, Final, TypeAlias

import z3

from chardev_proofs.tables import BUFFER, CLIENT, MESSAGE, View

Terms: TypeAlias = Mapping[str, Any]
Facts: TypeAlias = list[tuple[str, z3.BoolRef]]

BALANCED_BOOLS: Final = ("writing", "write_outstanding", "reading")
BALANCED_COUNTS: Final = ("write_due", "read_due", "announcing")
"""What a call leaves as it was, unless the device is destroyed.

So are the references that frames hold, and who is being pushed; see `cuts`.
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
    same_port = z3.And(
        *[new[name] == old[name] for name in ("port", "announces_writability")]
    )
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


def row_rely(table: str, held: Terms, old: View, there: z3.BoolRef, limit: Any, new: View) -> Facts:
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
        ]  # fmt: skip
    elif table == BUFFER.name:
        facts += [
            ("constants of a buffer", z3.Implies(
                there, z3.And(new["capacity"] == old["capacity"], new["price"] == old["price"])
            )),
            ("only the writer offers", z3.Implies(
                z3.And(there, held["writing"]), new["offered"] == old["offered"]
            )),
            ("a buffer that nobody pays for stays so", z3.Implies(
                z3.And(there, old["client"] == 0), new["client"] == 0
            )),
        ]  # fmt: skip
    elif table == MESSAGE.name:
        facts += [
            ("constants of an entry", z3.Implies(there, new["client"] == old["client"])),
        ]
    return facts
