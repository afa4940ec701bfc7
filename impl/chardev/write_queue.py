"""The write queue: bytes in order, who paid for them, and how far the port has got.

Theory of operation
-------------------
Three parallel lists hold the pending buffers, first in first out: their bytes, their payers, and
the position in the byte stream at which each ends.
Positions only grow, so neither appending nor taking ever changes another entry, and the place that
a partly taken batch reached is found by bisection.
They are worked out when a buffer is first offered, many at a time: whoever queues only appends to
`data` and `payers`.
Entries before `head` are gone; the lists are cut now and then, so that taking costs the same for
any length, and cleared when nothing is pending: `payers` is true exactly if something is.

The first entry is *current* (WR-7) if its first byte was taken; then its bytes are what is left.
During a port write the first `offered` entries belong to the port: they are neither dropped nor
reordered until its answer is known, and nobody's once their client is gone.
A client's buffers become nobody's by themselves: their payer is then `detached`.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .buffers import Payer
    from .interfaces import Bytes

__all__ = ["WriteQueue"]

# Bytes of the first buffer of a batch, mostly of one kind, from which on a piece of its own is cheaper than a copy.
_JOINED_BELOW: Final = 1024

# Taken entries that the lists may carry before they are cut: large enough to make cutting cheap.
_COMPACT_AT: Final = 1024


def gathered(buffers: Sequence[Bytes]) -> tuple[Sequence[Bytes], int]:
    """The bytes of the buffers in as few pieces as is cheap, and how many bytes they are.

    Small buffers are joined: to a port each piece costs more than its copy does.
    """
    if len(buffers[0]) < _JOINED_BELOW and len(buffers) > 1:
        joined = b"".join(buffers)
        return (joined,), len(joined)
    return buffers, sum(map(len, buffers))


class WriteQueue:
    """The pending buffers of one device."""

    __slots__ = (
        "_ends",
        "_taken",
        "_whole",
        "current",
        "data",
        "has_orphans",
        "head",
        "offered",
        "payers",
    )

    def __init__(self) -> None:
        self.data: list[Bytes] = []
        self.payers: list[Payer] = []
        self._ends: list[int] = []
        self.head = 0
        # The position up to which the port took everything.
        self._taken = 0
        # The first entry is partly written, or restored (WR-7).
        self.current = False
        # Entries that an outstanding port write was given, and their bytes if they are all and were not measured.
        self.offered = 0
        self._whole = 0
        # The client of an offered entry was removed: untouched ones are to be dropped.
        self.has_orphans = False

    def __len__(self) -> int:
        """Count the pending buffers."""
        return len(self.payers) - self.head

    @property
    def pending_bytes(self) -> int:
        """Bytes that the port has still to take."""
        self._measure(len(self.data))
        return self._ends[-1] - self._taken if self._ends else 0

    def pending_data(self) -> list[Bytes]:
        """The bytes that are left, in order, by reference."""
        return self.data[self.head :]

    def pending_payers(self) -> list[Payer]:
        """The payers of the pending buffers, in order."""
        return self.payers[self.head :]

    def append(self, data: Bytes, payer: Payer) -> None:
        """Queue one buffer behind all others."""
        self.data.append(data)
        self.payers.append(payer)

    def extend(self, data: Sequence[Bytes], payer: Payer) -> None:
        """Queue several buffers of one payer behind all others."""
        self.data += data
        self.payers += [payer] * len(data)

    def restore_current(self, data: Bytes, payer: Payer) -> None:
        """Put one buffer before all others; it is current at once (MIG-4)."""
        self._taken -= len(data)
        self.data.insert(self.head, data)
        self.payers.insert(self.head, payer)
        self._ends.insert(self.head, self._taken + len(data))
        self.current = True

    def insert_offered(self, data: Sequence[Bytes], payer: Payer) -> None:
        """Put the buffers of one payer before all others: an outstanding port write was given them."""
        head = self.head
        ends = self._ends
        if len(ends) > head:
            lengths = [*map(len, data)]
            self._taken -= sum(lengths)
            lengths[0] += self._taken
            ends[head:head] = accumulate(lengths)
        self.data[head:head] = data
        self.payers[head:head] = [payer] * len(data)
        self.offered = len(data)
        self.has_orphans = payer.detached

    def offer(self, most_entries: int, most_bytes: int) -> tuple[Sequence[Bytes], int]:
        """Choose whole buffers from the first on: at least one, within both limits.

        Returns the bytes in pieces, and how many there are.
        """
        head = self.head
        data = self.data
        if most_entries == 1:
            self.offered = 1
            return data[head : head + 1], len(data[head])
        last = min(head + most_entries, len(data))
        if last == len(data) and len(self._ends) == head:
            # All of it, perhaps; if the port takes all of that, nobody needs to know where each ends.
            pieces, size = gathered(data[head:])
            if size <= most_bytes:
                self.offered = last - head
                self._whole = size
                return pieces, size
        if last == head + 1:
            self.offered = 1
            return data[head:last], len(data[head])
        self._measure(last)
        ends = self._ends
        last = max(bisect_right(ends, self._taken + most_bytes, head, last), head + 1)
        self.offered = last - head
        return gathered(data[head:last])

    def take(self, count: int) -> list[Payer]:
        """Account for the port's answer: it took `count` bytes of what was offered (WR-3).

        Offered buffers whose client is gone are dropped if untouched (WR-7).
        Returns the payers of the completed buffers, empty buffers behind them included (BUF-6).
        """
        if not count and not self.has_orphans:
            self.offered = self._whole = 0
            return []
        head = self.head
        if (
            count == self._whole
            and self.offered == len(self.payers) - head
            and not self.has_orphans
        ):
            completed = self.payers[head:]
            self.clear()
            return completed
        self._whole = 0
        self._measure(head + self.offered)
        taken = self._taken + count
        last = self._reached(taken)
        if last > head:
            completed = self.payers[head:last]
            start = self._ends[last - 1]
            self.current = False
        else:
            completed = []
            start = self._taken
        self._taken = taken
        offered_rest = self.offered - len(completed)
        self.offered = 0
        if last == len(self.payers):
            self.clear()
            return completed
        if taken > start:
            self.data[last] = memoryview(self.data[last])[taken - start :]
            self.current = True
        self._advance(last)
        if self.has_orphans:
            self.has_orphans = False
            self._drop_orphans(offered_rest)
            if completed and not self.current and self.payers:
                completed += self.take_empty()
        return completed

    def take_empty(self) -> list[Payer]:
        """Take the empty buffers at the front (BUF-6); returns their payers."""
        head = self.head
        if len(self.data[head]):
            return []
        last = self._reached(self._taken)
        completed = self.payers[head:last]
        if last == len(self.payers):
            self.clear()
        else:
            self._advance(last)
        return completed

    def drop_first(self, count: int) -> list[Payer]:
        """Drop the first `count` buffers, the current one included; returns their payers."""
        head = self.head
        dropped = self.payers[head : head + count]
        if count:
            self._measure(head + count)
            self._taken = self._ends[head + count - 1]
            self.current = False
            if head + count == len(self.payers):
                self.clear()
            else:
                self._advance(head + count)
        return dropped

    def drop_detached(self) -> None:
        """Drop the queued buffers of clients that are gone (WR-7).

        The current buffer stays, and so does what is offered to the port: it waits for the answer.
        """
        kept = max(self.offered, 1 if self.current else 0)
        if self.offered:
            self.has_orphans = True
        self._keep(lambda index, payer: index < kept or not payer.detached)

    def clear(self) -> None:
        """Forget everything."""
        self.head = 0
        self.data.clear()
        self.payers.clear()
        self._ends.clear()
        self.current = False
        self.offered = 0
        self._whole = 0
        self.has_orphans = False

    def _drop_orphans(self, offered: int) -> None:
        touched = 1 if self.current else 0
        self._keep(lambda index, payer: index < touched or index >= offered or not payer.detached)

    def _keep(self, condition: Callable[[int, Payer], bool]) -> None:
        """Keep the entries that fulfil the condition of their place in the queue and payer."""
        head = self.head
        payers = self.payers
        pending = enumerate(zip(self.data[head:], payers[head:], strict=True))
        entries = [entry for index, entry in pending if condition(index, entry[1])]
        if len(entries) == len(payers) - head:
            return
        self.head = 0
        self.data[:] = [data for data, _ in entries]
        payers[:] = [payer for _, payer in entries]
        self._ends.clear()
        if not payers:
            self.current = False

    def _measure(self, last: int) -> None:
        """Work out where the entries before `last` end."""
        ends = self._ends
        first = len(ends)
        if first < last:
            lengths = [*map(len, self.data[first:last])]
            lengths[0] += ends[-1] if ends else self._taken
            ends += accumulate(lengths)

    def _reached(self, position: int) -> int:
        """Find the first entry that ends behind a position of the stream, at most the last offered one."""
        ends = self._ends
        data = self.data
        last = bisect_right(ends, position, self.head)
        # Whatever is behind the last offered buffer was not measured; empty ones go with it (BUF-6).
        while last == len(ends) and last < len(data) and not len(data[last]):
            ends.append(position)
            last += 1
        return last

    def _advance(self, head: int) -> None:
        """Let the first entries go: their bytes at once, their places now and then."""
        data = self.data
        if head >= _COMPACT_AT and 2 * head >= len(data):
            del data[:head]
            del self.payers[:head]
            del self._ends[:head]
            head = 0
        else:
            data[self.head : head] = [b""] * (head - self.head)
        self.head = head
