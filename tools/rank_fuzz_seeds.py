"""Puts the scenarios that campaigns begin with in order: first what finds most for its length.

``python tools/rank_fuzz_seeds.py FILE`` writes them anew, the same every time.
What a scenario finds is measured on the quirks of the profiles, which real releases have, and on machine-made mutants
of the specification, of which those count that a few random scenarios do not find; the seeded defects of the devices,
by which campaigns are judged, have no part in it.
Short random scenarios are candidates as well: those that are not needed are left out, what the file had before is not.
It takes some twenty minutes of processor time.
"""

import lzma
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from chardev_conformance.adapters.specification import SpecificationTarget
from chardev_conformance.fuzzing.orders import Executor, Order, bare
from chardev_conformance.fuzzing.seeds import read_seeds
from chardev_conformance.lockstep import Script
from chardev_conformance.scenario import Scenario
from chardev_conformance.scripts import RandomScript, random_scenario
from chardev_proofs.mutation import sample
from chardev_spec.contract import Contract
from chardev_spec.profiles import QUIRKS
from chardev_spec.profiles.quirk import profile

CANDIDATES: Final = 1000
"""Random scenarios that are tried besides."""

LENGTHS: Final = (6, 10, 16, 24, 40)
"""Their calls."""

PROBES: Final = 20
"""So many of these are tried first: what they find is found by any."""

MUTANTS: Final = 700
"""So many are tried; a tenth is left."""

SLOW: Final = 3
"""A machine that is endless in so many scenarios is in most: no more of them are tried."""

OVERHEAD: Final = 4
"""What a scenario costs besides its calls, in calls."""

AGAIN: Final = 0.3
"""What it is worth to find a machine once more: a defect is like it, but not the same."""

TIMES: Final = 4
"""How often each is found by what comes first, if there are so many ways."""

SLOW_SECONDS: Final = 0.5
"""After which a call is endless."""


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


def finds(machine: type[Contract], candidates: Sequence[str]) -> set[int]:
    """Which candidates find that this machine is not the contract."""
    executor, found, slow = _executor(machine), set(), 0
    for number, trace in enumerate(candidates):
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
    machines = [profile(quirk.__name__, "", [quirk]).machine for quirk in QUIRKS]
    mutants = [mutant.load() for mutant in sample(MUTANTS, 7)]
    machines += [each for each in mutants if not finds(each, shorts[:PROBES])]
    candidates = [*seeds, *shorts]
    costs = [reference.execute(Order(0, 0, each)).calls + OVERHEAD for each in candidates]
    first = ranked(costs, [finds(machine, candidates) for machine in machines])
    rest = [i for i in range(len(seeds)) if i not in first]
    file.write_bytes(lzma.compress("".join(candidates[i] for i in [*first, *rest]).encode()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
