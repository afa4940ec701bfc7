"""Weights of the random driver, learned from what the specification ran.

Theory of operation
===================
Each random scenario has a mixture of its own: some calls are made more often in it, others less (swarm choice).
Here scenarios run on the specification alone, and each is scored by what it ran that the others seldom did: functions,
so rules, and transitions.
The mixtures of the best then shift the weights, by the geometric mean of what they made of each call, and the next
round begins from there (the cross-entropy method).
A weight never shifts so far that its call all but disappears, or crowds out the others.
"""

from collections import Counter
from collections.abc import Mapping
from math import exp, log
from typing import Final

from chardev_conformance.adapters.specification import SpecificationTarget
from chardev_conformance.coverage import Statistics
from chardev_conformance.drivers import CALLS_PER_SCENARIO, RandomDriver
from chardev_conformance.lockstep import Lockstep
from chardev_conformance.scripts import WEIGHTS, RandomScript

SCENARIOS_PER_ROUND: Final = 40
BEST: Final = 8
"""How many of a round shift the weights: the best fifth."""

STEP: Final = 0.5
"""How far a round goes towards the mixtures of its best."""

FARTHEST: Final = 4.0
"""How many times more or less often a call is made at most than it was before learning."""


def learn(seed: int, rounds: int) -> dict[str, float]:
    """Weights after so many rounds; the same for the same seed."""
    weights = dict(WEIGHTS)
    number = 0
    for _ in range(rounds):
        runs = []
        for _ in range(SCENARIOS_PER_ROUND):
            runs.append(_run(seed, number, weights))
            number += 1
        seen = Counter[object]()
        for reached, _ in runs:
            seen.update(reached)
        # What all of them reach tells nothing; what one alone reaches tells most.
        best = sorted(runs, key=lambda run: -sum(1 / seen[each] for each in run[0]))[:BEST]
        weights = _shifted(weights, [mixture for _, mixture in best])
    return weights


def _run(
    seed: int, number: int, weights: Mapping[str, float]
) -> tuple[set[object], dict[str, float]]:
    """What one scenario reached, and what it made of each weight."""
    scenario, script = RandomDriver(seed, weights).scenario(number, CALLS_PER_SCENARIO)
    assert isinstance(script, RandomScript)
    statistics = Statistics()
    finding = Lockstep(SpecificationTarget, script, scenario, statistics=statistics).run()
    assert finding is None, f"the specification differs from itself: {finding}"
    reached: set[object] = {name for name, count in statistics.functions.items() if count}
    return reached | statistics.transitions.keys(), script.mixture


def _shifted(weights: Mapping[str, float], best: list[dict[str, float]]) -> dict[str, float]:
    result = {}
    for call, weight in weights.items():
        mean = exp(sum(log(each[call]) for each in best) / len(best))
        original = WEIGHTS[call]
        moved = weight * mean**STEP
        result[call] = min(max(moved, original / FARTHEST), original * FARTHEST)
    # The sum stays, so that nothing but the proportions changes.
    factor = sum(WEIGHTS.values()) / sum(result.values())
    return {call: weight * factor for call, weight in result.items()}
