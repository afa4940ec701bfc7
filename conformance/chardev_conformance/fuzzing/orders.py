"""One scenario of a campaign: what is to be done, doing it, and what came of it."""

from dataclasses import dataclass
from random import Random
from typing import Any, Final, Protocol

from chardev_conformance.coverage import Statistics
from chardev_conformance.fuzzing.features import Watched, features
from chardev_conformance.fuzzing.mutate import GuidedScript, Mutation
from chardev_conformance.lockstep import SECONDS_PER_STEP, Finding, Lockstep, Script, TargetFactory
from chardev_conformance.scenario import Scenario, walk
from chardev_conformance.scripts import RandomScript, random_scenario
from chardev_conformance.trace import dumps, loads
from chardev_spec.contract import Contract

RANDOM_CALLS: Final = 100
"""Calls of a scenario that is made at random: long enough for a migration with traffic."""

TAILS: Final = (0, 0, 5, 15, 40)
"""Calls at random after a changed scenario: often none, so that most runs are short."""


@dataclass(frozen=True, slots=True)
class Order:
    """How the scenario of a number is made; `parent` and `other` are traces.

    Without a parent it is made at random; with one and nothing to splice from, it is the parent as it is; else it is
    the parent, changed.
    At the end of what is made or changed, the devices go on until nothing should be owed any more.
    """

    number: int
    seed: int
    parent: str | None = None
    other: str | None = None
    origin: int | None = None
    """The number of the entry that the parent is."""

    def script(self) -> tuple[Scenario, Script]:
        """The scenario's ports and limit, and what makes its steps."""
        random = Random(f"{self.seed}:{self.number}")
        if self.parent is None:
            scenario = random_scenario(random)
            return scenario, RandomScript(random, calls=RANDOM_CALLS)
        scenario = loads(self.parent, "a scenario of the corpus")
        if self.other is None:
            return scenario, GuidedScript(random, scenario, calls=0, exact=True, settles=False)
        other = loads(self.other, "a scenario of the corpus")
        Mutation(random, scenario, other).apply(random.choice([1, 1, 2, 3, 5]))
        return scenario, GuidedScript(random, scenario, calls=random.choice(TAILS))


@dataclass(slots=True)
class Outcome:
    """What came of an order; `performed` replays as it stands."""

    order: Order
    performed: Scenario
    features: set[int]
    finding: Finding | None
    calls: int
    callbacks: int
    functions: dict[str, int]
    """How often each function of the specification ran."""
    inside: set[tuple[str, str]]
    """Which calls were made inside which callbacks."""
    trace: str = ""
    """What was performed, as a trace without observations, where a worker has made it already."""


class OwnCode(Protocol):
    """What tells which code of the target ran."""

    def features(self) -> set[int]:
        """What ran since it was asked last."""


class NoCode:
    """Nothing is known of the target's code."""

    def features(self) -> set[int]:
        """Nothing."""
        return set()


class _QuickLockstep(Lockstep):
    """Checks no invariants of the specification: they are proved of it, and take two fifths of the time."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._invariants = False


class Executor:
    """Performs orders on one target, held against one machine."""

    def __init__(
        self,
        target: TargetFactory,
        machine: type[Contract] = Contract,
        *,
        own_code: OwnCode | None = None,
        seconds_per_step: float = SECONDS_PER_STEP,
    ) -> None:
        self._statistics = Statistics()
        self._target = target
        self._machine = machine
        self._own_code = own_code or NoCode()
        self._seconds_per_step = seconds_per_step

    def execute(self, order: Order) -> Outcome:
        """Perform an order."""
        statistics = self._statistics
        calls, callbacks = statistics.calls, statistics.callbacks
        statistics.transitions.clear()
        statistics.pairs.clear()
        statistics.functions.update(dict.fromkeys(statistics.functions, 0))
        scenario, script = order.script()
        watched = Watched(script)
        lockstep = _QuickLockstep(
            self._target,
            watched,
            scenario,
            machine=self._machine,
            statistics=statistics,
            seconds_per_step=self._seconds_per_step,
        )
        finding = lockstep.run()
        performed = lockstep.performed
        seen = features(performed, watched.places, statistics.transitions, statistics.pairs)
        return Outcome(
            order,
            performed,
            seen | self._own_code.features(),
            finding,
            statistics.calls - calls,
            statistics.callbacks - callbacks,
            {name: count for name, count in statistics.functions.items() if count},
            _inside(performed),
        )


def _inside(performed: Scenario) -> set[tuple[str, str]]:
    return {
        (answer.on, nested.call)
        for step in walk(performed.steps)
        for answer in step.answers
        for nested in answer.calls
    }


def bare(scenario: Scenario) -> str:
    """The trace of a scenario without what was observed: what is done, and nothing else."""
    for step in walk(scenario.steps):
        step.outcome, step.timers = None, {}
        for answer in step.answers:
            answer.event = answer.buffers = None
    return dumps(Scenario(scenario.ports, scenario.moves_per_call, scenario.steps))
