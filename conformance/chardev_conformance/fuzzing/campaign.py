"""A campaign: what comes next, and what is made of what came.

Decisions are made in the order of the numbers, and each follows from the plan and from what was decided before; so a
campaign on disk is rebuilt by making them again (`_apply`), from the last state that was kept.
"""

import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict
from random import Random
from typing import Any, Final

from chardev_conformance.fuzzing.batches import Batch
from chardev_conformance.fuzzing.corpus import Corpus, Entry, entry_from_json
from chardev_conformance.fuzzing.errors import CampaignError
from chardev_conformance.fuzzing.features import Kind, kind_of
from chardev_conformance.fuzzing.findings import (
    MOST_FINDINGS,
    Found,
    key_of,
    name_of,
    write_finding,
)
from chardev_conformance.fuzzing.orders import Order, Outcome, bare
from chardev_conformance.fuzzing.plan import Plan
from chardev_conformance.fuzzing.sharing import Shared
from chardev_conformance.fuzzing.store import Store

FRESH: Final = 0.5
"""The share of scenarios that are made at random: chance finds what nobody guides it to."""

SNAPSHOT_SECONDS: Final = 10.0
"""Time between two states that are kept: often enough that the journal stays short."""

MOST_POINTS: Final = 400
"""Points of the growth curve."""


class Campaign:
    """The deciding part of a campaign; `store` is where it is kept, None for nowhere."""

    def __init__(
        self,
        plan: Plan,
        seeds: Sequence[str] = (),
        store: Store | None = None,
        shared: Shared | None = None,
    ) -> None:
        self.plan = plan
        self.corpus = Corpus()
        self.executed = 0
        self.calls = 0
        self.callbacks = 0
        self.seconds = 0.0
        self.kinds: Counter[int] = Counter()
        """How many features of each kind were shown."""
        self.functions: set[str] = set()
        """The functions of the specification that ran."""
        self.inside: set[tuple[str, str]] = set()
        """Which calls were made inside which callbacks."""
        self.found: dict[str, Found] = {}
        self.newest = ""
        """What was reached last, in words."""
        self.growth: list[tuple[float, int, int, int]] = []
        """Points of the growth curve: seconds, calls, features, findings."""
        self._every = 1
        self._seeds = seeds
        self._store = store
        self._shared = shared
        self._imported: deque[str] = deque()
        self._gone: list[int] = []
        self._issued = 0
        self._kept = 0.0
        self._begin = time.monotonic()
        if store is not None:
            self._load(store)

    # What comes next

    def next_order(self) -> Order:
        """The next scenario to be run."""
        number = self._issued
        self._issued += 1
        seed = self.plan.seed
        if number < len(self._seeds):
            return Order(number, seed, self._seeds[number])
        if self._shared is not None:
            self._imported += self._shared.fetch()
            if self._imported:
                return Order(number, seed, self._imported.popleft())
        random = Random(f"order:{seed}:{number}")
        if not self.corpus.entries or random.random() < FRESH:
            return Order(number, seed)
        parent, other = self.corpus.choose(random), self.corpus.any(random)
        return Order(number, seed, parent.trace, other.trace, parent.number)

    def next_batch(self, count: int) -> Batch:
        """So many next ones, to be run somewhere else."""
        orders = tuple(self.next_order() for _ in range(count))
        return Batch(self.plan, orders, self.corpus.packed())

    # What is made of it

    def commit(self, outcome: Outcome) -> str | None:
        """Decide about an outcome, the next one by number; the key of its finding, if that is a new one."""
        order, finding = outcome.order, outcome.finding
        novel = self.corpus.novel(outcome.features)
        inside = outcome.inside - self.inside
        functions = outcome.functions.keys() - self.functions
        line: dict[str, Any] = {
            "n": order.number,
            "c": outcome.calls,
            "b": outcome.callbacks,
            "t": round(self.seconds_so_far(), 3),
        }
        if order.origin is not None:
            line["p"] = order.origin
        if novel:
            line["f"] = novel
        if inside:
            line["i"] = sorted(inside)
        if functions:
            line["s"] = sorted(functions)
        new = None
        trace = ""
        if finding is not None:
            line["x"] = key_of(finding)
            new = line["x"] if line["x"] not in self.found else None
            if new is not None and self._store is not None and len(self.found) < MOST_FINDINGS:
                folder = self._store.folder / "findings" / name_of(new)
                write_finding(
                    folder, self.plan, order.number, finding, outcome.performed, small=False
                )
            if new is not None and self._shared is not None:
                self._shared.publish(bare(outcome.performed))
        elif any(kind_of(each) != Kind.PAIR for each in novel):
            line["e"] = True
            trace = outcome.trace or bare(outcome.performed)
            if self._store is not None:
                self._store.write_entry(order.number, trace)
            if self._shared is not None:
                self._shared.publish(trace)
        if self._store is not None:
            self._store.append(line)
        self._apply(line, trace)
        if self._store is not None and self.seconds_so_far() - self._kept > SNAPSHOT_SECONDS:
            self.keep()
        return new

    def _apply(self, line: dict[str, Any], trace: str) -> None:
        """Do what was decided; `trace` is that of the entry, if there is one."""
        number, novel = line["n"], line.get("f", [])
        if number != self.executed:
            raise CampaignError(
                f"the journal goes on with scenario {number}, not {self.executed}: the campaign's folder is damaged"
            )
        self.executed = number + 1
        self.calls += line["c"]
        self.callbacks += line["b"]
        self.seconds = max(self.seconds, line["t"])
        self.corpus.see(novel)
        self.kinds.update(each % len(Kind) for each in novel)
        self.functions.update(line.get("s", ()))
        inside = [(callback, call) for callback, call in line.get("i", ())]
        self.inside.update(inside)
        if inside:
            self.newest = "{1} inside {0}".format(*inside[-1])
        parent = self.corpus.entries.get(line.get("p", -1))
        if parent is not None:
            parent.chosen += 1
        if key := line.get("x"):
            if key in self.found:
                self.found[key].times += 1
            elif len(self.found) < MOST_FINDINGS:
                self.found[key] = Found(number)
        if "e" in line:
            worth = sum(kind_of(each) != Kind.PAIR for each in novel)
            self._gone += self.corpus.add(Entry(number, trace, worth, line["c"]))
            if parent is not None:
                parent.found += 1
        if number % self._every == 0:
            self._point()

    def _point(self) -> None:
        """Add a point to the growth curve, of which every second one goes when there are too many."""
        self.growth.append((self.seconds, self.calls, self.corpus.features, len(self.found)))
        if len(self.growth) > MOST_POINTS:
            self.growth = self.growth[::2]
            self._every *= 2

    def seconds_so_far(self) -> float:
        """How long the campaign has run, in all its sessions."""
        return self._before + time.monotonic() - self._begin

    _before = 0.0

    # What is kept

    def keep(self) -> None:
        """Keep the whole state, so that the journal begins anew."""
        if self._store is None:
            return
        self._kept = self.seconds_so_far()
        state = {
            "executed": self.executed,
            "calls": self.calls,
            "callbacks": self.callbacks,
            "seconds": self.seconds,
            "kinds": {str(int(kind)): count for kind, count in sorted(self.kinds.items())},
            "functions": sorted(self.functions),
            "inside": sorted(self.inside),
            "found": {key: asdict(each) for key, each in self.found.items()},
            "newest": self.newest,
            "growth": self.growth,
            "every": self._every,
            "seen": self.corpus.packed(),
            "entries": self.corpus.to_json(),
        }
        self._store.snapshot(state, self._gone)
        self._gone = []

    def _load(self, store: Store) -> None:
        state, lines = store.load()
        try:
            if state is not None:
                self._take(state, store)
            for line in lines:
                if line["n"] >= self.executed:
                    self._apply(line, store.read_entry(line["n"]) if "e" in line else "")
        except (KeyError, TypeError, ValueError) as error:
            raise CampaignError(
                f"{store.folder}: state.json or journal.jsonl do not belong to this campaign: {error}"
            ) from None
        self._issued = self.executed
        self._before = self._kept = self.seconds

    def _take(self, state: dict[str, Any], store: Store) -> None:
        self.executed = int(state["executed"])
        self.calls, self.callbacks = int(state["calls"]), int(state["callbacks"])
        self.seconds = float(state["seconds"])
        self.kinds = Counter({int(kind): count for kind, count in state["kinds"].items()})
        self.functions = set(state["functions"])
        self.inside = {(callback, call) for callback, call in state["inside"]}
        self.found = {key: Found(**each) for key, each in state["found"].items()}
        self.newest = state["newest"]
        self.growth = [tuple(point) for point in state["growth"]]
        self._every = int(state["every"])
        self.corpus.unpack(state["seen"])
        for data in state["entries"]:
            self.corpus.take(entry_from_json(data, store.read_entry(data[0])))
