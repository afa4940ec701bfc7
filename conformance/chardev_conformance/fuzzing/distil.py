"""Makes the scenarios that campaigns begin with, from the specification alone, run against itself.

``python -m chardev_conformance.fuzzing.distil FILE`` writes them; the same every time.

First comes each situation that was thought of (`situations`), then random scenarios, of which always that one is taken
next which reaches most that is new for its length; what does not help to reach that is taken out of it.
"""

import heapq
import lzma
import sys
from copy import deepcopy
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from chardev_conformance.adapters.specification import SpecificationTarget
from chardev_conformance.fuzzing.features import Kind, kind_of
from chardev_conformance.fuzzing.mutate import GuidedScript
from chardev_conformance.fuzzing.orders import Executor, Order, bare
from chardev_conformance.lockstep import Script
from chardev_conformance.scenario import Scenario, Step, count_calls
from chardev_conformance.scripts import CLIENTS, PORTS, RandomScript, random_scenario
from chardev_conformance.situations import SITUATIONS, Cast
from chardev_spec.contract import Contract

POOL: Final = 6000
"""Random scenarios to choose from."""

LENGTHS: Final = (4, 8, 16, 40)
"""Their calls: short ones show what they show with less beside it."""

CALLS: Final = 3000
"""Calls of all that are taken: a second or less in most implementations."""

OVERHEAD: Final = 4
"""What a scenario costs besides its calls, in calls."""

WORTH: Final = {
    Kind.TRANSITION: 0.2,
    Kind.TRACE: 1.0,
    Kind.MOVE: 3.0,
    Kind.MOVES: 3.0,
    Kind.DISTURBANCE: 2.0,
    Kind.INSIDE: 2.0,
}
"""What a feature is worth: those that tell of the inside of a call more than those of which there are many."""


class Short(Order):
    """A short random scenario."""

    __slots__ = ()

    def script(self) -> tuple[Scenario, Script]:
        """Random calls; the number says which."""
        random = Random(f"distil:{self.number}")
        scenario = random_scenario(random)
        return scenario, RandomScript(random, calls=random.choice(LENGTHS))


class _Situation(Order):
    """A situation that was thought of, and nothing else."""

    __slots__ = ()

    def script(self) -> tuple[Scenario, Script]:
        random = Random(f"situation:{self.number}")
        port, other_port, _ = random.sample(PORTS, k=3)
        names = iter(range(1, 1000))
        cast = Cast(
            CLIENTS[0],
            CLIENTS[1],
            port,
            other_port,
            lambda prefix: f"{prefix}{next(names)}",
            lambda size: random.randbytes(size).hex(),
        )
        create = {
            "port": port,
            "client_tokens_interval": random.choice([0, 1, 2]),
            "self_tokens": 2,
        }
        scenario = random_scenario(random)
        scenario.steps = [Step("create", create), *SITUATIONS[self.number](cast)]
        return scenario, GuidedScript(random, scenario, calls=0, exact=True)


def _worth(features: set[int] | frozenset[int]) -> float:
    return sum(WORTH.get(kind_of(each), 0.0) for each in features)


class _Distillery:
    def __init__(self) -> None:
        self._executor = Executor(partial(SpecificationTarget, machine=Contract, lacks=frozenset()))
        self._seen: set[int] = set()
        self.traces: list[str] = []

    def run(self) -> None:
        """Make the traces."""
        for number in range(len(SITUATIONS)):
            outcome = self._executor.execute(_Situation(number, 0))
            self._take(outcome.performed, outcome.features)
        pool = [self._executor.execute(Short(number, 0)) for number in range(POOL)]
        features = [frozenset(each.features) for each in pool]
        heap = [
            (-_worth(shown) / (outcome.calls + OVERHEAD), i)
            for i, (shown, outcome) in enumerate(zip(features, pool, strict=True))
        ]
        heapq.heapify(heap)
        calls = 0
        while heap and calls < CALLS:
            _, i = heapq.heappop(heap)
            new = features[i] - self._seen
            rank = -_worth(new) / (pool[i].calls + OVERHEAD)
            if heap and rank > heap[0][0]:
                heapq.heappush(heap, (rank, i))  # worth less than when it was put in
                continue
            needed = {each for each in new if kind_of(each) in WORTH}
            calls += self._take(*self._shortened(pool[i].performed, needed))

    def _take(self, performed: Scenario, features: set[int]) -> int:
        self._seen |= features
        self.traces.append(bare(performed))
        return count_calls(performed.steps)

    def _shortened(self, scenario: Scenario, needed: set[int]) -> tuple[Scenario, set[int]]:
        """The scenario without the steps that are not needed to show these features."""
        best, features = scenario, needed
        size = max(len(best.steps) // 2, 1)
        while size >= 1:
            begin = 1
            while begin < len(best.steps):
                candidate = deepcopy(best)
                del candidate.steps[begin : begin + size]
                outcome = self._executor.execute(Order(0, 0, bare(candidate)))
                if outcome.features >= needed:
                    best, features = outcome.performed, outcome.features
                else:
                    begin += size
            size //= 2
        return best, features


def main(file: Path) -> None:
    """Write the file."""
    distillery = _Distillery()
    distillery.run()
    file.write_bytes(lzma.compress("".join(distillery.traces).encode()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
