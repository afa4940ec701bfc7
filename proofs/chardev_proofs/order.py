"""In which order bytes and messages leave: the write queue (WR-1) and the send queues (RD-3).

Theory of operation
===================
The bytes of the write queue have *positions*, counted from the first byte that was ever taken off it: `taken` is the
position of the next one, which is where the current buffer goes on, or the first queued one begins.
A port write must give the port what begins at `taken`, all that is offered, and when the port has answered, just as
many bytes as it took must have left the queue; so each write begins where the one before ended.
What waits in the queue stays as it is, and who joins it joins behind.

A message waits in a send queue under a handle, and handles rise; what leaves a queue must be older than all that stays,
and be what is sent; who is sent a message directly has an empty queue.
One message at a time is fanned out, so what joins a queue, or is sent, is younger than all that was read before.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

import z3

from chardev_proofs.buffers import pending
from chardev_proofs.progress import offered
from chardev_proofs.tables import Version, View, fresh
from chardev_proofs.values import SymBytes, int_term
from chardev_spec.events import PortWrite, ReadOneMsgFromDevice, SendMsgToClient
from chardev_spec.state import Place

if TYPE_CHECKING:
    from chardev_proofs.cuts import Cuts

Facts: TypeAlias = list[tuple[str, tuple[str, ...], z3.BoolRef]]
"""What must hold, with a name and the rules that say so."""


def event_facts(cuts: "Cuts", event: Any) -> Facts:
    """What must hold when something is written, read or sent."""
    if type(event) is PortWrite:
        return _written(cuts, event)
    if type(event) is ReadOneMsgFromDevice:
        first = z3.Not(cuts.entry.terms["reading"])
        return [("no message is read while another is fanned out", ("RD-3", "RD-8"), first)]
    if type(event) is SendMsgToClient:
        return _sent(cuts, event)
    return []


def _written(cuts: "Cuts", event: PortWrite) -> Facts:
    data: Any = event.data
    buffers = cuts.state.buffers
    here = isinstance(data, SymBytes) and data.begin is not None
    begins = data.begin == buffers.counters["taken"] if here else z3.BoolVal(val=False)
    whole = data.size == offered(buffers.version) if here else z3.BoolVal(val=False)
    return [
        ("the port is given what comes next", ("WR-1",), begins),
        ("the port is given all that is offered", ("WR-1", "WR-3"), whole),
    ]


def taken_by(cuts: "Cuts", event: PortWrite, answer: z3.ArithRef) -> z3.ArithRef:
    """How many bytes a port's answer takes off the queue, in the state that the answer finds (WR-7, WR-8)."""
    data: Any = event.data
    terms = cuts.state.device.terms
    size = data.size if isinstance(data, SymBytes) else z3.IntVal(0)
    ignored = z3.Or(terms["destroyed"], terms["answer_ignored"])
    return z3.If(z3.Or(ignored, answer < 0, answer > size), z3.IntVal(0), answer)


def queue_facts(there: z3.BoolRef, old: View, limit: z3.ArithRef, new: View) -> Facts:
    """What a segment does to the order of the write queue; `limit` is the order number that comes next before it.

    That these compose is plain: one queue's order is never changed, and numbers rise.
    """
    waited = z3.And(there, pending(old))
    current = Place.CURRENT.value
    stays = z3.And(
        new["order"] == old["order"], new["data"] == old["data"], new["written"] >= old["written"],
        z3.Implies(old["place"] == current, new["place"] == current),
    )  # fmt: skip
    restored = z3.And(new["place"] == current, new["order"] == 0)
    joins = z3.Or(new["order"] >= limit, restored)
    return [
        ("what waits to be written stays as it is", ("WR-1",), z3.Implies(z3.And(waited, pending(new)), stays)),
        ("who joins the write queue joins behind", ("WR-1",), z3.Implies(z3.And(pending(new), z3.Not(waited)), joins)),
    ]  # fmt: skip


def _sent(cuts: "Cuts", event: SendMsgToClient) -> Facts:
    old, new = cuts.moment.versions[2], cuts.state.send_queue.version
    client, message = (
        cuts.state.clients.version.attached(int_term(event.client)),
        int_term(event.message),
    )
    goes, waits = fresh("goes"), fresh("waits")

    def queued(version: Version, entry: z3.ArithRef) -> z3.BoolRef:
        return z3.And(version.alive(entry), version.field("client", entry) == client)

    def length(version: Version) -> z3.ArithRef:
        return version.fold(
            lambda view: z3.If(view["client"] == client, z3.IntVal(1), z3.IntVal(0))
        )

    left = z3.And(queued(old, goes), z3.Not(new.alive(goes)))
    before, now = length(old), length(new)
    facts = [
        (
            "the oldest message goes first",
            z3.Implies(z3.And(left, queued(new, waits)), goes < waits),
        ),
        (
            "what leaves a send queue is sent",
            z3.Implies(left, old.field("message", goes) == message),
        ),
        ("a queue is not overtaken", z3.Or(now < before, now == 0)),
        ("one message leaves at a time", z3.And(now <= before, now >= before - 1)),
    ]
    if cuts.delivers():
        whom, what = [int_term(each) for each in cuts.arguments]
        facts.append(("what is read is sent", z3.And(client == whom, message == what)))
    return [(name, ("RD-3",), fact) for name, fact in facts]


def joining_facts(cuts: "Cuts", there: z3.BoolRef, new: View) -> Facts:
    """What a segment puts in a send queue."""
    if not cuts.delivers():
        return [("only what is read is queued", ("RD-3",), there)]
    whom, what = [int_term(each) for each in cuts.arguments]
    read = z3.And(new["client"] == whom, new["message"] == what)
    return [("only what is read is queued", ("RD-3",), z3.Or(there, read))]
