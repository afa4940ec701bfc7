"""Where scenarios come from: one interface for chance, enumeration, search and replay.

A driver numbers its scenarios.
Each depends on its number and on what the driver was made with, never on what happened before: so every run can be
interrupted, and goes on from the number that it had reached (``--from``).
"""

from collections.abc import Sequence
from random import Random
from typing import Final, Protocol

from chardev_conformance.lockstep import Script
from chardev_conformance.scenario import Scenario
from chardev_conformance.scripts import RandomScript, Replay, random_scenario

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
    """Random scenarios of a seed, each with a mixture of calls of its own (swarm choice)."""

    name = "random"
    total = None

    def __init__(self, seed: int) -> None:
        self.seed: int | None = seed

    def scenario(self, number: int, calls: int) -> tuple[Scenario, Script]:
        """The random scenario of this number, of `CALLS_PER_SCENARIO` at most."""
        random = Random(f"{self.seed}:{number}")
        scenario = random_scenario(random)
        return scenario, RandomScript(random, calls=min(CALLS_PER_SCENARIO, max(calls, 10)))

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
