"""Where scenarios come from: one interface for chance, enumeration, search and replay.

A driver numbers its scenarios.
Each depends on its number and on what the driver was made with, never on what happened before: so every run can be
interrupted, and goes on from the number that it had reached (``--from``).
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final, Protocol

from chardev_conformance.coverage import Pair, Statistics, Transition
from chardev_conformance.explore import Exploration
from chardev_conformance.lockstep import Script
from chardev_conformance.scenario import Scenario, Step
from chardev_conformance.scope import Scope
from chardev_conformance.scripts import WEIGHTS, RandomScript, Replay, random_scenario

CALLS_PER_SCENARIO: Final = 100
"""Long enough for a migration with traffic, short enough for many mixtures of calls."""


class Driver(Protocol):
    """A numbered source of scenarios."""

    @property
    def name(self) -> str:
        """What it is called in reports."""

    @property
    def seed(self) -> int | None:
        """What its chances come from, None where nothing is left to chance."""

    @property
    def total(self) -> int | None:
        """How many scenarios there are, None without end."""

    def scenario(self, number: int, calls: int) -> tuple[Scenario, Script]:
        """The scenario of a number below `total`, without its steps, and what makes them.

        `calls` is how many calls are left to be made; a driver that can be shorter may.
        """

    def title(self, number: int) -> str | None:
        """What the scenario of a number is called, None where it has no name."""


class RandomDriver:
    """Random scenarios of a seed, each with a mixture of calls of its own (swarm choice).

    `weights` says how often each call is made before the mixture; they may be learned (`learning`).
    """

    name = "random"
    total = None

    def __init__(self, seed: int, weights: Mapping[str, float] = WEIGHTS) -> None:
        self.seed: int | None = seed
        self.weights = weights

    def scenario(self, number: int, calls: int) -> tuple[Scenario, Script]:
        """The random scenario of this number, of `CALLS_PER_SCENARIO` at most."""
        random = Random(f"{self.seed}:{number}")
        scenario = random_scenario(random)
        calls = min(CALLS_PER_SCENARIO, max(calls, 10))
        return scenario, RandomScript(random, calls=calls, weights=self.weights)

    def title(self, number: int) -> str | None:
        """Chance has no names."""
        return None


class ReplayDriver:
    """Scenarios that are there already: of a trace, of a set of vectors, or found by a search.

    `titles` names them, one for each.
    """

    seed = None

    def __init__(
        self, scenarios: Sequence[Scenario], name: str = "replay", titles: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.total: int | None = len(scenarios)
        self._scenarios = scenarios
        self._titles = titles

    def scenario(self, number: int, calls: int) -> tuple[Scenario, Script]:
        """The recorded scenario of this number, whole."""
        scenario = self._scenarios[number]
        return scenario, Replay(scenario)

    def title(self, number: int) -> str | None:
        """The name that it was given."""
        return self._titles[number] if self._titles else None


class ExhaustiveDriver:
    """Every transition of small scopes, joined to walks (`explore`)."""

    name = "exhaustive"
    seed = None

    def __init__(
        self,
        scopes: Sequence[Scope],
        progress: Callable[[Exploration], None] = lambda _: None,
    ) -> None:
        self.explorations = [Exploration(scope) for scope in scopes]
        self._walks: list[tuple[Exploration, int, list[Step]]] = []
        for exploration in self.explorations:
            exploration.explore(progress)
            for number, walk in enumerate(exploration.walks(), start=1):
                self._walks.append((exploration, number, walk))
        self.total: int | None = len(self._walks)

    def scenario(self, number: int, calls: int) -> tuple[Scenario, Script]:
        """The walk of this number, whole."""
        exploration, _, walk = self._walks[number]
        scenario = exploration.scenario(walk)
        return scenario, Replay(scenario)

    def title(self, number: int) -> str | None:
        """The scope, and which of its walks it is."""
        exploration, walk, _ = self._walks[number]
        return f"{exploration.scope.name}, walk {walk}"

    def notes(self, statistics: Statistics, first: int, count: int) -> list[str]:
        """What `count` walks from the `first` on reached, in figures."""
        known: set[Transition] = set()
        pairs: set[Pair] = set()
        lines = []
        for each in self.explorations:
            known |= each.known().keys()
            pairs |= each.pairs()
            lines.append(
                f"{each.scope.name}: {len(each.nodes):,} states, {each.transitions:,} ways to go on, "
                f"each taken in one of the walks"
            )
        lines.append(f"{count:,} of {self.total:,} walks" + (f", from {first}" if first else ""))
        for name, seen, there in (
            ("transitions", statistics.transitions.keys(), known),
            ("pairs of transitions", statistics.pairs.keys(), pairs),
        ):
            lines.append(f"{len(seen & there):,} of {len(there):,} {name} of the scopes")
        return lines
