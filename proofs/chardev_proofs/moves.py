"""MIG-6: what a marshall gives is all there is, and the restore of it is not refused.

The other half is the proof of `restore`: from any record, the invariants hold after it, TOK-1 and RD-6 among them.
So the window is whole at the source before, and at the destination after; and the record carries what is pending, as
the codec carries the record.
"""

from functools import partial
from typing import Any

import z3

from chardev_proofs.buffers import pending, rest
from chardev_proofs.cuts import Claim, Cuts
from chardev_proofs.tables import View, choose, fresh
from chardev_proofs.values import SymInt, int_term
from chardev_spec.record import MESSAGE_SIZE, VERSION
from chardev_spec.state import UINT32_MAX, Place


def _price_elsewhere(client: z3.ArithRef, view: View) -> z3.ArithRef:
    """The price of a client's buffer that is held or written."""
    there = z3.Or(*[view["place"] == place.value for place in (Place.HELD, Place.WRITTEN)])
    return choose(
        z3.And(view["client"] != 0, view["client"] == client, there), view["price"], z3.IntVal(0)
    )


def marshalled_claims(cuts: Cuts, result: Any) -> list[Claim]:
    """What holds of a record, beside the client that it is made of: the only one."""
    record = result.record
    given, data = int_term(record.client_tokens), int_term(record.write_client_tokens)
    size, begin = int_term(record.write_size), int_term(record.write_data_offset)
    version = cuts.state.clients.version
    client = fresh("some.clients")
    row = version.view(client)
    counted = z3.And(version.alive(client), row["flow_control"])
    # Looked at, so that what is known of every client is known of it.
    tokens, credit = row["tokens"], row["send_tokens"]
    buffers = cuts.state.buffers.version
    waiting = buffers.fold(lambda view: choose(pending(view), rest(view), z3.IntVal(0)))
    # In flight is what is pending and what is not: said, so that the solver has both.
    handle = SymInt(client)
    cuts.state.buffers.total(
        lambda row: (
            row.client == handle and (row.place == Place.QUEUED or row.place == Place.CURRENT)  # noqa: PLR1714 - the very weight of marshall
        ),
        lambda row: row.price,
    )
    buffers.fold(partial(_price_elsewhere, client), composed=True)
    fits = [z3.And(int_term(field) >= 0, int_term(field) <= UINT32_MAX) for field in record]
    known = z3.And(int_term(record.version) == VERSION, int_term(record.connected) == 1)
    whole = z3.And(given == tokens, given + row["freed"] + data == row["window"])
    return [
        Claim("the record fits its fields", ("MIG-1", "MIG-2"), z3.And(*fits)),
        Claim("the record says that there is a client", ("MIG-1",), known),
        Claim("the window is whole", ("MIG-6", "TOK-1"), z3.Implies(counted, whole)),
        Claim(
            "the destination accepts the tokens", ("MIG-5", "MIG-6"),
            z3.Implies(counted, given + data <= row["window"]),
        ),
        Claim(
            "the credit goes along", ("MIG-6", "RD-6"),
            z3.Implies(
                counted,
                int_term(record.send_tokens) == z3.If(credit <= UINT32_MAX, credit, UINT32_MAX),
            ),
        ),
        Claim("all that is pending goes along", ("MIG-6", "WR-1"), size == waiting),
        Claim(
            "the data is said to lie right behind the record", ("MIG-1",),
            begin == z3.If(size > 0, MESSAGE_SIZE, 0),
        ),
    ]  # fmt: skip
