"""Puts the scenarios that campaigns begin with in order: first what finds most for its length.

``python tools/rank_fuzz_seeds.py FILE`` writes them anew, the same every time.
What a scenario finds is measured on a sample of the machine-made mutants of the specification; the seeded defects of
the devices, by which campaigns are judged, have no part in it.
Short random scenarios are candidates as well: those that are not needed are left out, what the file had before is not.
"""

import lzma
import sys
import time
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from chardev_conformance.adapters.specification import SpecificationTarget
from chardev_conformance.fuzzing.orders import Executor, Order, Outcome, bare
from chardev_conformance.fuzzing.seeds import read_seeds
from chardev_conformance.lockstep import Script
from chardev_conformance.scenario import Scenario
from chardev_conformance.scripts import RandomScript, random_scenario
from chardev_proofs.mutation import Mutant, sample
from chardev_spec.contract import Contract

CANDIDATES: Final = 260
"""Random scenarios that are tried besides."""

LENGTHS: Final = (6, 10, 16, 24, 40)
"""Their calls."""

MUTANTS: Final = 157
"""So many of them: a minute or two of processor time."""

SLOW: Final = 3
"""A mutant that is endless in so many scenarios is in most: no more of them are tried."""

OVERHEAD: Final = 4
"""What a scenario costs besides its calls, in calls."""

AGAIN: Final = 0.3
"""What it is worth to find a mutant once more: a defect is like a mutant, but not the same."""

TIMES: Final = 4
"""How often each mutant is found by what comes first, if there are so many ways."""

SLOW_SECONDS: Final = 0.5
"""After which a call of a mutant is endless."""


class _Short(Order):
    """A short random scenario."""

    __slots__ = ()

    def script(self) -> tuple[Scenario, Script]:
        random = Random(f"rank:{self.number}")  # noqa: S311 - no secret
        scenario = random_scenario(random)
        return scenario, RandomScript(random, calls=random.choice(LENGTHS))


def _executor(machine: type[Contract]) -> Executor:
    target = partial(SpecificationTarget, machine=machine, lacks=frozenset())
    return Executor(target, seconds_per_step=SLOW_SECONDS)


def finds(mutant: Mutant, candidates: list[tuple[str, Outcome]]) -> set[int]:
    """Which candidates find this mutant, of those that run the function that it is in."""
    executor, found, slow = _executor(mutant.load()), set(), 0
    for number, (trace, outcome) in enumerate(candidates):
        if mutant.liftable and mutant.function not in outcome.functions:
            continue
        if slow == SLOW:
            break
        begin = time.process_time()
        try:
            if executor.execute(Order(number, 0, trace)).finding is not None:
                found.add(number)
        except Exception:  # noqa: BLE001 - a mutant breaks as it likes
            found.add(number)
        slow += time.process_time() - begin > SLOW_SECONDS / 2
    return found


def ranked(costs: list[int], found: list[set[int]]) -> list[int]:
    """The candidates in order, those first that find most for what they cost, until all is found often enough."""
    worth, missing = [1.0] * len(found), [min(len(each), TIMES) for each in found]
    left, order = set(range(len(costs))), []
    by_candidate = [
        {mutant for mutant, those in enumerate(found) if i in those} for i in range(len(costs))
    ]
    while any(each > 0 for each in missing):
        best = max(
            left, key=lambda i: (sum(worth[each] for each in by_candidate[i]) / costs[i], -i)
        )
        left.remove(best)
        order.append(best)
        for mutant in by_candidate[best]:
            worth[mutant] *= AGAIN
            missing[mutant] -= 1
    return order


def main(file: Path) -> None:
    """Write the file."""
    seeds, reference = read_seeds([str(file)]), _executor(Contract)
    shorts = [bare(reference.execute(_Short(i, 0)).performed) for i in range(CANDIDATES)]
    traces = [*seeds, *shorts]
    candidates = [(each, reference.execute(Order(i, 0, each))) for i, each in enumerate(traces)]
    mutants = [*sample(240, 7)]
    Random(3).shuffle(mutants)  # noqa: S311 - no secret
    found = [finds(mutant, candidates) for mutant in mutants[:MUTANTS]]
    first = ranked([outcome.calls + OVERHEAD for _, outcome in candidates], found)
    rest = [i for i in range(len(seeds)) if i not in first]
    file.write_bytes(lzma.compress("".join(traces[i] for i in [*first, *rest]).encode()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
