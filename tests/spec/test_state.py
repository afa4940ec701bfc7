"""The tables: what the machine's text relies on."""

import pytest

from chardev_spec.state import (
    Buffer,
    Buffers,
    Client,
    Clients,
    Origin,
    Place,
    QueuedMessage,
    SendQueue,
)


def make_client(table: Clients, peer: str, send_tokens: int = 0) -> Client:
    """A client in the table."""
    row = Client(table.next_handle(), peer, True, 3, 3, 0, send_tokens, 2)
    table.insert(row)
    return row


def make_buffers(*contents: bytes) -> Buffers:
    """A table with these buffers in the write queue."""
    table = Buffers()
    for content in contents:
        row = Buffer(table.next_handle(), Origin.SERVER, None, len(content), 1, Place.HELD)
        table.insert(row)
        table.enqueue(row.handle, content)
    return table


def handles(table: Buffers) -> list[list[int]]:
    """The handles of the current, queued and written buffers."""
    places = (Place.CURRENT, Place.QUEUED, Place.WRITTEN)
    return [[row.handle for row in table.rows(place)] for place in places]


def test_handles_are_never_used_twice() -> None:
    """A frame would mistake a new attachment for the one that it knew (CB-1, BUF-4)."""
    table = Clients()
    first = make_client(table, "a")
    table.delete(first.handle)
    assert make_client(table, "a").handle == first.handle + 1
    assert first.handle not in table
    assert None not in table


def test_an_update_computes_every_value_from_the_old_row() -> None:
    """Fields that are exchanged would depend on the order in which they are named."""
    table = Clients()
    row = make_client(table, "a")
    row.tokens, row.freed = 1, 2
    table.update(lambda _: True, tokens=lambda row: row.freed, freed=lambda row: row.tokens)
    assert (row.tokens, row.freed) == (2, 1)


def test_clients_newest_first() -> None:
    """Callbacks to several clients would be made in another order (RD-2, LC-3)."""
    table = Clients()
    made = [make_client(table, peer).handle for peer in "abc"]
    table.delete(made[1])
    assert table.newest_first() == [made[2], made[0]]
    assert (table.attached("c"), table.attached("b")) == (made[2], None)
    assert table.total(lambda row: row.peer != "a", lambda row: row.window) == 3


def test_a_send_queue_is_the_entries_of_its_client() -> None:
    """Messages would be taken from another client, or in another order (RD-3)."""
    table = SendQueue()
    for client, message in ((1, "a"), (2, "b"), (1, "c"), (2, "d"), (3, "e")):
        table.insert(QueuedMessage(table.next_handle(), client, message))
    assert table.first(2) == 2
    assert table.drain(1) == ["a", "c"]
    assert table.drain_all([3, 2]) == ["e", "b", "d"]
    assert table.empty()


@pytest.mark.parametrize(
    ("taken", "completed", "places", "pending"),
    [
        (0, 0, [[], [1, 2, 3, 4], []], b"abcdef"),
        (1, 0, [[1], [2, 3, 4], []], b"bcdef"),
        (2, 2, [[], [3, 4], [1, 2]], b"cdef"),
        (4, 3, [[], [4], [1, 2, 3]], b"ef"),
        (5, 3, [[4], [], [1, 2, 3]], b"f"),
        (6, 4, [[], [], [1, 2, 3, 4]], b""),
    ],
)
def test_take(taken: int, completed: int, places: list[list[int]], pending: bytes) -> None:
    """The port's answer would complete other buffers than it took (WR-1, WR-3, WR-7, BUF-6)."""
    table = make_buffers(b"ab", b"", b"cd", b"ef")
    assert table.take(taken) == completed
    assert handles(table) == places
    rows = table.pending_rows()
    assert b"".join(row.data[row.written :] for row in rows) == pending
    assert table.pending_bytes() == len(pending)
    assert table.pending_count() == len(rows)
    assert table.pending() == bool(rows)


def test_empty_buffers_at_the_head_are_taken_with_nothing() -> None:
    """Buffers without bytes would wait for a port that takes something (BUF-6)."""
    table = make_buffers(b"", b"", b"x", b"")
    assert table.take(0) == 2
    assert handles(table) == [[], [3, 4], [1, 2]]


def test_an_offer_begins_with_the_rest_of_the_current_buffer() -> None:
    """Bytes would be written twice (WR-1), or offered memory be used again (BUF-2)."""
    table = make_buffers(b"abc", b"de", b"f")
    table.take(1)
    assert table.offer(2) == (b"bcde", 4)
    assert [(row.offered, row.references) for row in table] == [(True, 2), (True, 2), (False, 1)]
    assert table.drop(lambda row: row.handle == 1) == 0
    assert table.end_offer() == 3
    assert [(row.handle, row.offered, row.references) for row in table] == [
        (2, False, 1), (3, False, 1),
    ]  # fmt: skip


def test_dropping_frees_what_nothing_refers_to() -> None:
    """Memory would leak, or be used while a marshaller refers to it (BUF-2)."""
    table = make_buffers(b"abc", b"de")
    assert table.marshal() == (b"abcde", (1, 2))
    assert table.unref(2) == 0
    assert table.drop(lambda _: True) == 2
    assert [row.handle for row in table] == [1]
    assert handles(table) == [[], [], []]
    assert table.unref(1) == 3
    assert table.empty()
