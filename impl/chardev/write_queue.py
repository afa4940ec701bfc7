"""The write queue: bytes in order, who paid for them, and how far the port has got.

Theory of operation
-------------------
Three parallel lists hold the pending buffers, first in first out: their bytes, their payers, and
the position in the byte stream at which each ends.
Positions only grow, so neither appending nor taking ever changes another entry, and the place that
a partly taken batch reached is found by bisection.
Entries before `head` are gone; the lists are cut now and then, so that taking costs the same for
any length, and cleared when nothing is pending: `payers` is true exactly if something is.

The first entry is *current* (WR-7) if its first byte was taken; then its bytes are what is left.
During a port write the first `offered` entries belong to the port: they are neither dropped nor
reordered until its answer is known, and nobody's once their client is gone.
A client's buffers become nobody's by themselves: their payer is then `detached`.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .buffers import Payer
    from .interfaces import Bytes

__all__ = ["WriteQueue"]

# Taken entries that the lists may carry before they are cut: large enough to make cutting cheap.
_COMPACT_AT = 1024


class WriteQueue:
    """The pending buffers of one device."""

    __slots__ = ("_ends", "_head", "_taken", "current", "data", "has_orphans", "offered", "payers")

    def __init__(self) -> None:
        self.data: list[Bytes] = []
        self.payers: list[Payer] = []
        self._ends: list[int] = []
        self._head = 0
        # The position up to which the port took everything.
        self._taken = 0
        # The first entry is partly written, or restored (WR-7).
        self.current = False
        # Entries that an outstanding port write was given.
        self.offered = 0
        # The client of an offered entry was removed: untouched ones are to be dropped.
        self.has_orphans = False

    def __len__(self) -> int:
        """Count the pending buffers."""
        return len(self.payers) - self._head

    @property
    def pending_bytes(self) -> int:
        """Bytes that the port has still to take."""
        return self._ends[-1] - self._taken if self._ends else 0

    def pending_data(self) -> list[Bytes]:
        """The bytes that are left, in order, by reference."""
        return self.data[self._head :]

    def pending_payers(self) -> list[Payer]:
        """The payers of the pending buffers, in order."""
        return self.payers[self._head :]

    def append(self, data: Bytes, payer: Payer) -> None:
        """Queue one buffer behind all others."""
        ends = self._ends
        ends.append((ends[-1] if ends else self._taken) + len(data))
        self.data.append(data)
        self.payers.append(payer)

    def restore_current(self, data: Bytes, payer: Payer) -> None:
        """Put one buffer before all others; it is current at once (MIG-4)."""
        self._taken -= len(data)
        self.data.insert(self._head, data)
        self.payers.insert(self._head, payer)
        self._ends.insert(self._head, self._taken + len(data))
        self.current = True

    def insert_offered(self, data: Bytes, payer: Payer) -> None:
        """Put one buffer before all others, which an outstanding port write was given."""
        self._taken -= len(data)
        self.data.insert(self._head, data)
        self.payers.insert(self._head, payer)
        self._ends.insert(self._head, self._taken + len(data))
        self.offered = 1
        self.has_orphans = payer.detached

    def offer(self, most_entries: int, most_bytes: int) -> tuple[list[Bytes], int]:
        """Choose whole buffers from the first on: at least one, within both limits.

        Returns them and their length in bytes.
        """
        head = self._head
        ends = self._ends
        if most_entries == 1:
            self.offered = 1
            return self.data[head : head + 1], ends[head] - self._taken
        last = bisect_right(
            ends, self._taken + most_bytes, head, min(head + most_entries, len(ends))
        )
        last = max(last, head + 1)
        self.offered = last - head
        return self.data[head:last], ends[last - 1] - self._taken

    def take(self, count: int) -> list[Payer]:
        """Account for the port's answer: it took `count` bytes of what was offered (WR-3).

        Offered buffers whose client is gone are dropped if untouched (WR-7).
        Returns the payers of the completed buffers, empty buffers behind them included (BUF-6).
        """
        if not count and not self.has_orphans:
            self.offered = 0
            return []
        head = self._head
        ends = self._ends
        taken = self._taken + count
        last = bisect_right(ends, taken, head)
        if last > head:
            completed = self.payers[head:last]
            start = ends[last - 1]
            self.current = False
        else:
            completed = []
            start = self._taken
        self._taken = taken
        offered_rest = self.offered - len(completed)
        self.offered = 0
        if last == len(ends):
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
        head = self._head
        if self._ends[head] > self._taken:
            return []
        last = bisect_right(self._ends, self._taken, head)
        completed = self.payers[head:last]
        if last == len(self._ends):
            self.clear()
        else:
            self._advance(last)
        return completed

    def drop_first(self, count: int) -> list[Payer]:
        """Drop the first `count` buffers, the current one included; returns their payers."""
        head = self._head
        dropped = self.payers[head : head + count]
        if count:
            self._taken = self._ends[head + count - 1]
            self.current = False
            if head + count == len(self._ends):
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
        self._head = 0
        self.data.clear()
        self.payers.clear()
        self._ends.clear()
        self.current = False
        self.offered = 0
        self.has_orphans = False

    def _drop_orphans(self, offered: int) -> None:
        touched = 1 if self.current else 0
        self._keep(lambda index, payer: index < touched or index >= offered or not payer.detached)

    def _keep(self, condition: Callable[[int, Payer], bool]) -> None:
        """Keep the entries that fulfil the condition of their place in the queue and payer."""
        head = self._head
        payers = self.payers
        entries = [
            (data, payer, end)
            for index, (data, payer, end) in enumerate(
                zip(self.data[head:], payers[head:], self._ends[head:], strict=True)
            )
            if condition(index, payer)
        ]
        if len(entries) == len(payers) - head:
            return
        self._head = 0
        self.data[:] = [data for data, _, _ in entries]
        payers[:] = [payer for _, payer, _ in entries]
        self._ends.clear()
        end = self._taken
        for data in self.data:
            end += len(data)
            self._ends.append(end)
        if not payers:
            self.current = False

    def _advance(self, head: int) -> None:
        if head >= _COMPACT_AT and 2 * head >= len(self._ends):
            del self.data[:head]
            del self.payers[:head]
            del self._ends[:head]
            head = 0
        self._head = head
