"""Puts the scenarios that campaigns begin with in order: first what finds most for its length.

``python tools/rank_fuzz_seeds.py FILE`` writes them anew, the same every time.
What a scenario finds is measured on the quirks of the profiles, which real releases have, and on machine-made mutants
of the specification; the seeded defects of the devices, by which campaigns are judged, have no part in it.
For each of these, the first random scenario that finds it is made as small as it gets, and is a candidate as well.
Candidates that are not needed are left out, what the file had before is not.
It takes some fifteen minutes of processor time.
"""

import lzma
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from chardev_conformance.adapters.specification import SpecificationTarget
from chardev_conformance.fuzzing.distil import Short
from chardev_conformance.fuzzing.orders import Executor, Order, bare
from chardev_conformance.fuzzing.seeds import read_seeds
from chardev_conformance.lockstep import Finding
from chardev_conformance.scenario import Scenario
from chardev_conformance.shrink import shrink
from chardev_conformance.trace import loads
from chardev_proofs.mutation import sample
from chardev_spec.contract import Contract
from chardev_spec.profiles import QUIRKS
from chardev_spec.profiles.quirk import profile

PROBES: Final = 100
"""So many random scenarios are tried on each machine; what they do not find is looked for with what the file has."""

MUTANTS: Final = 700
"""So many are tried."""

SLOW: Final = 3
"""A machine that is endless in so many scenarios is in most: no more of them are tried."""

RUNS: Final = 500
"""How many scenarios are tried at most to make one small."""

OVERHEAD: Final = 4
"""What a scenario costs besides its calls, in calls."""

AGAIN: Final = 0.1
"""What it is worth to find a machine once more: a defect is like it, but not the same."""

TIMES: Final = 4
"""How often each is found by what comes first, if there are so many ways."""

SLOW_SECONDS: Final = 0.5
"""After which a call is endless."""


DIFFERENCE: Final = Finding(("any",), "", "the contract", "another machine", "difference")
"""Which difference it is does not matter."""


def _executor(machine: type[Contract]) -> Executor:
    target = partial(SpecificationTarget, machine=machine, lacks=frozenset())
    return Executor(target, seconds_per_step=SLOW_SECONDS)


def finds(machine: type[Contract], candidates: Sequence[str]) -> Iterator[int]:
    """Which candidates find that this machine is not the contract."""
    executor, slow = _executor(machine), 0
    for number, trace in enumerate(candidates):
        if slow == SLOW:
            break
        begin = time.process_time()
        if _difference(executor, loads(trace, "a candidate"))[0] is not None:
            yield number
        slow += time.process_time() - begin > SLOW_SECONDS / 2


def _difference(executor: Executor, scenario: Scenario) -> tuple[Finding | None, Scenario]:
    """Some difference from the contract, whichever; and what was performed."""
    try:
        outcome = executor.execute(Order(0, 0, bare(scenario)))
    except Exception:  # noqa: BLE001 - a mutant breaks as it likes
        return DIFFERENCE, scenario
    return outcome.finding and DIFFERENCE, outcome.performed


def smallest(machine: type[Contract], candidates: Sequence[str]) -> str | None:
    """The first of these that finds the machine, made as small as it gets."""
    for number in finds(machine, candidates):
        scenario = loads(candidates[number], "a candidate")
        small, _ = shrink(scenario, DIFFERENCE, partial(_difference, _executor(machine)), RUNS)
        return bare(small)
    return None


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
    probes = [bare(reference.execute(Short(i, 0)).performed) for i in range(PROBES)]
    machines = [profile(quirk.__name__, "", [quirk]).machine for quirk in QUIRKS]
    machines += [mutant.load() for mutant in sample(MUTANTS, 7)]
    small = [smallest(machine, [*probes, *seeds]) for machine in machines]
    candidates = [*dict.fromkeys([*seeds, *filter(None, small)])]
    costs = [reference.execute(Order(0, 0, each)).calls + OVERHEAD for each in candidates]
    found = [
        {*finds(machine, candidates)}
        for machine, trace in zip(machines, small, strict=True)
        if trace is not None
    ]
    first = ranked(costs, found)
    rest = [i for i in range(len(seeds)) if i not in first]
    file.write_bytes(lzma.compress("".join(candidates[i] for i in [*first, *rest]).encode()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
