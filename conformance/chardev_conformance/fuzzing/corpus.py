"""The scenarios that are worth going on from, and how much each is."""

import zlib
from base64 import b85decode, b85encode
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from chardev_conformance.fuzzing.features import FEATURES

MOST_ENTRIES: Final = 4000
"""Entries that are kept: some 40 MB on disk and in memory."""

TOURNAMENT: Final = 12
"""So many entries are drawn, and the one with the most energy is taken: no sum over all of them is needed."""


@dataclass(slots=True)
class Entry:
    """A scenario that showed something new, as a trace.

    `novelty` is how many features it was the first to show; `chosen` how often it was gone on from, `found` how often
    that showed something new again.
    """

    number: int
    trace: str
    novelty: int
    calls: int
    chosen: int = 0
    found: int = 0

    def energy(self) -> float:
        """How often to go on from it: more for much that was new, less for what is long or was tried in vain."""
        worth = 1.0 + min(self.novelty, 20) + 10 * self.found
        return worth / ((1 + self.chosen) * (20 + self.calls))


class Corpus:
    """What has been seen, and the entries that showed it first, by the number of their scenario."""

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self.features = 0
        self._seen = bytearray(FEATURES // 8)
        self._numbers: list[int] = []

    def novel(self, features: Iterable[int]) -> list[int]:
        """Those features that nothing has shown yet, in order."""
        seen = self._seen
        return sorted(each for each in features if not seen[each >> 3] & 1 << (each & 7))

    def see(self, novel: Iterable[int]) -> None:
        """Note features that were new."""
        for each in novel:
            self._seen[each >> 3] |= 1 << (each & 7)
            self.features += 1

    def add(self, entry: Entry) -> list[int]:
        """Take an entry in; the numbers of those that had to go for it."""
        self.entries[entry.number] = entry
        self._numbers.append(entry.number)
        if len(self.entries) <= MOST_ENTRIES:
            return []
        poorest = sorted(self.entries.values(), key=lambda each: (each.energy(), each.number))
        gone = [each.number for each in poorest[: MOST_ENTRIES // 10]]
        for number in gone:
            del self.entries[number]
        self._numbers = [*self.entries]
        return gone

    def choose(self, random: Random) -> Entry:
        """An entry, by energy; there must be one."""
        numbers = random.choices(self._numbers, k=min(TOURNAMENT, len(self._numbers)))
        return max((self.entries[number] for number in numbers), key=Entry.energy)

    def any(self, random: Random) -> Entry:
        """An entry, whatever its energy; there must be one."""
        return self.entries[random.choice(self._numbers)]

    # What is kept of it on disk, and sent to workers

    def packed(self) -> str:
        """What has been seen, as text."""
        return b85encode(zlib.compress(bytes(self._seen), 1)).decode()

    def unpack(self, packed: str) -> None:
        """Take over what has been seen; raises `ValueError` when it is not what `packed` made."""
        try:
            seen = zlib.decompress(b85decode(packed))
        except zlib.error as error:
            raise ValueError(str(error)) from None
        if len(seen) != FEATURES // 8:
            raise ValueError(f"{len(seen)} bytes of features")
        self._seen = bytearray(seen)
        self.features = sum(byte.bit_count() for byte in seen)

    def to_json(self) -> list[list[int]]:
        """The entries without their traces."""
        return [
            [each.number, each.novelty, each.calls, each.chosen, each.found]
            for each in self.entries.values()
        ]

    def take(self, entry: Entry) -> None:
        """Take over an entry that was kept."""
        self.entries[entry.number] = entry
        self._numbers.append(entry.number)


def entry_from_json(data: Any, trace: str) -> Entry:
    """An entry that was kept; raises `ValueError` when it is none."""
    number, novelty, calls, chosen, found = map(int, data)
    return Entry(number, trace, novelty, calls, chosen, found)
