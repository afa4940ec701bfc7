"""Scenarios that reach a given goal: a rule, a state, or a quirk.

They are searched for on the specification alone, before an implementation runs: first in the small scopes, where the
shortest way is known, then at random.

A *rule* is reached when a function that is about it ran, or a call was refused by it.
A *state* is words of `coverage.Mode`, as ``running,sealed``: it is reached when a device is in a mode with all of them.
A *quirk* is reached where the contract with that quirk does something that the contract forbids.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from chardev_conformance.adapters.specification import SpecificationTarget
from chardev_conformance.coverage import Mode, Statistics
from chardev_conformance.drivers import RandomDriver, ReplayDriver
from chardev_conformance.explore import Exploration
from chardev_conformance.lockstep import Finding, Lockstep
from chardev_conformance.scenario import Scenario
from chardev_conformance.scope import SCOPES, quiet
from chardev_conformance.scripts import Replay
from chardev_conformance.shrink import shrink
from chardev_spec.contract import Contract
from chardev_spec.profiles import QUIRKS
from chardev_spec.registry import ERRORS, FUNCTIONS, INVARIANTS_BY_NAME
from chardev_spec.rules import RULES

SCENARIOS: Final = 10
"""How many different ways to a goal are run; one may pass where another fails."""

ATTEMPTS: Final = 3000
"""How many random scenarios are tried: half a minute of the specification's time."""

STATES: Final = frozenset(
    "running stopped destroyed attached detached owing awaiting sealed settled idle pending torn off at-once later "
    "alone one several credit waiting none leaving stay spent left".split()
)
"""The words for a state; `coverage.Mode` says what they mean."""


class GoalError(Exception):
    """A goal that does not exist, or that nothing reaches; the message says which there are."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be reached: by `kind` the id of a rule, words for a state, or the name of a quirk."""

    kind: str
    value: str

    @property
    def words(self) -> frozenset[str]:
        """The words for a state."""
        return frozenset(self.value.split(","))


def goal(text: str) -> Goal:
    """The goal that is written ``RULE``, ``state:WORD,...`` or ``quirk:NAME``; raises `GoalError`."""
    kind, colon, value = text.partition(":")
    if not colon:
        kind, value = "rule", text
    known: dict[str, list[str]] = {
        "rule": [rule.id for rule in RULES.values() if not rule.planned],
        "state": sorted(STATES),
        "quirk": [quirk.__name__ for quirk in QUIRKS],
    }
    if kind not in known:
        raise GoalError(f"{text}: a goal is a rule's id, state:WORD,... or quirk:NAME")
    words = value.split(",") if kind == "state" else [value]
    unknown = [word for word in words if word not in known[kind]]
    if unknown:
        raise GoalError(f"{text}: no {kind} {unknown[0]!r}; known are {', '.join(known[kind])}")
    return Goal(kind, value)


def directed_driver(aim: Goal, seed: int = 0) -> ReplayDriver:
    """Scenarios that reach the goal, short ones first; raises `GoalError` when none is found."""
    search = _quirk(aim.value, seed) if aim.kind == "quirk" else _reaching(aim, seed)
    scenarios = []
    for scenario in search:
        if scenario not in scenarios:
            scenarios.append(scenario)
        if len(scenarios) == SCENARIOS:
            break
    if not scenarios:
        raise GoalError(
            f"{aim.kind} {aim.value}: nothing that was tried reaches it ({ATTEMPTS} random scenarios of seed {seed})"
        )
    return ReplayDriver(scenarios, f"directed to {aim.kind} {aim.value}")


def run_on_specification(
    scenario: Scenario, machine: type[Contract] = Contract
) -> tuple[Finding | None, Scenario, Statistics]:
    """Run a scenario on a machine beside the contract: the finding, what was performed, and what was reached."""
    statistics = Statistics()
    target = partial(SpecificationTarget, machine=machine)
    lockstep = Lockstep(target, Replay(scenario), scenario, statistics=statistics)
    return lockstep.run(), lockstep.performed, statistics


def reaches(aim: Goal, statistics: Statistics, refused: frozenset[str]) -> bool:
    """Whether a run reached a rule or a state; `refused` has the rules by which calls were refused."""
    if aim.kind == "state":
        return any(_has(after, aim) for _, _, after in statistics.transitions)
    functions = carriers(aim.value)
    if any(statistics.functions.get(name) for name in functions) or aim.value in refused:
        return True
    stated = any(aim.value in each.rules for each in INVARIANTS_BY_NAME.values())
    errors = any(each.rule == aim.value for each in ERRORS.values())
    return stated and not functions and not errors and statistics.calls > 1


def carriers(rule: str) -> list[str]:
    """The functions that are about a rule: of those that cite it, the ones that cite the fewest rules."""
    citing = [each for each in FUNCTIONS.values() if rule in each.rules]
    fewest = min([len(each.rules) for each in citing], default=0)
    return [each.name for each in citing if len(each.rules) == fewest]


def _has(mode: Mode, aim: Goal) -> bool:
    return aim.words <= set(mode)


def _reaching(aim: Goal, seed: int) -> Iterator[Scenario]:
    for scope in SCOPES.values():
        exploration = Exploration(quiet(scope))
        exploration.explore()
        for (_, _, after), (number, step) in exploration.known().items():
            scenario = exploration.scenario([*exploration.path(number), step])
            if _has(after, aim) if aim.kind == "state" else _does_reach(aim, scenario):
                yield scenario
    for number in range(ATTEMPTS):
        lockstep = _random(seed, number, Contract)
        lockstep.run()
        scenario = lockstep.performed
        if _does_reach(aim, scenario):
            yield _shortest_beginning(aim, scenario)


def _does_reach(aim: Goal, scenario: Scenario) -> bool:
    _, performed, statistics = run_on_specification(scenario)
    refused = {
        str(step.outcome.value)
        for step in performed.steps
        if step.outcome is not None and step.outcome.kind == "refused"
    }
    return reaches(aim, statistics, frozenset(refused))


def _shortest_beginning(aim: Goal, scenario: Scenario) -> Scenario:
    """The scenario up to the step that reaches the goal."""
    low, high = 1, len(scenario.steps)
    while low < high:
        middle = (low + high) // 2
        part = Scenario(scenario.ports, scenario.moves_per_call, scenario.steps[:middle])
        low, high = (low, middle) if _does_reach(aim, part) else (middle + 1, high)
    return Scenario(scenario.ports, scenario.moves_per_call, scenario.steps[:low])


def _quirk(name: str, seed: int) -> Iterator[Scenario]:
    """Scenarios in which the contract with a quirk shows that it is not the contract, shrunk."""
    machine = next(quirk for quirk in QUIRKS if quirk.__name__ == name)
    for number in range(ATTEMPTS):
        lockstep = _random(seed, number, machine)
        finding = lockstep.run()
        if finding is not None:
            small, _ = shrink(
                lockstep.performed,
                finding,
                lambda each: run_on_specification(each, machine)[:2],
                runs=300,
            )
            yield small


def _random(seed: int, number: int, machine: type[Contract]) -> Lockstep:
    scenario, script = RandomDriver(seed).scenario(number, 100)
    return Lockstep(partial(SpecificationTarget, machine=machine), script, scenario)
