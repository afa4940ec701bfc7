"""Makes the vectors: scenarios of all drivers, run on the specification and recorded.

Nothing is left to chance but the scenarios of one fixed seed, so the same specification makes the same set.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

from chardev_conformance.adapters.specification import SpecificationTarget
from chardev_conformance.coverage import Statistics
from chardev_conformance.directed import carriers
from chardev_conformance.drivers import RandomDriver
from chardev_conformance.explore import Exploration
from chardev_conformance.lockstep import Finding, Lockstep, Script
from chardev_conformance.scenario import PARAMETERS, Scenario, Step, count_calls, walk
from chardev_conformance.scope import SCOPES, good_record, message_of, quiet
from chardev_conformance.scripts import Replay
from chardev_conformance.shrink import shrink
from chardev_conformance.trace import dumps
from chardev_conformance.vectors.covering import pair_walks, transition_walks
from chardev_spec.record import MESSAGE_SIZE, Record
from chardev_spec.registry import ERRORS, FUNCTIONS
from chardev_spec.rules import RULES
from chardev_spec.state import UINT32_MAX

SEED: Final = 1
RANDOM_SCENARIOS: Final = 250
"""So many that every function and every error of the specification is reached."""

EXAMPLES: Final = 3
"""How many vectors a rule has at most: the shortest that reach it."""

SHORT: Final = 12
"""Calls of a scenario that is not made smaller: those of the small scopes are on the shortest way."""

SHRINK_RUNS: Final = 300


@dataclass(slots=True)
class Vector:
    """One vector: its name, the scenario as the specification performed it, and what it reached."""

    name: str
    scenario: Scenario
    functions: frozenset[str]
    errors: frozenset[str]
    choices: dict[str, int]
    about: tuple[str, ...] = ()
    """The rules that it is there for."""

    @property
    def text(self) -> str:
        """The trace."""
        about = {"rules": [*self.about]} if self.about else {}
        return dumps(self.scenario, name=self.name, choices=self.choices, **about)

    @property
    def calls(self) -> set[str]:
        """The calls that are made in it."""
        return {step.call for step in walk(self.scenario.steps)}


def record(scenario: Scenario, name: str = "", script: Script | None = None) -> Vector:
    """Run a scenario on the specification; raises `AssertionError` when that differs from itself."""
    statistics = Statistics()
    lockstep = Lockstep(
        SpecificationTarget, script or Replay(scenario), scenario, statistics=statistics
    )
    finding = lockstep.run()
    assert finding is None, f"{name}: the specification differs from itself: {finding}"
    target = lockstep.target
    assert isinstance(target, SpecificationTarget)
    ran = frozenset(each for each, count in statistics.functions.items() if count)
    return Vector(name, lockstep.performed, ran, frozenset(target.errors), target.choices)


Files = Iterator[tuple[str, str, list[Vector]]]
"""Name, title and vectors of each file."""


def make(progress: Callable[[str], None] = lambda _: None) -> Files:
    """The files of the set, in their order."""
    pool: list[Vector] = []
    pairs: list[tuple[str, str, list[Vector]]] = []
    for scope in SCOPES.values():
        for kind, each, walks in (
            ("transitions", scope, transition_walks),
            ("pairs", quiet(scope), pair_walks),
        ):
            progress(f"{kind} of {scope.name}")
            exploration = Exploration(each)
            exploration.explore()
            vectors = [
                record(exploration.scenario(steps), f"{kind} of {scope.name}, walk {number}")
                for number, steps in enumerate(walks(exploration), start=1)
            ]
            title = (
                f"every {'pair of transitions' if kind == 'pairs' else 'transition'}: {scope.title}"
            )
            pairs.append((f"{kind}-{scope.name}", title, vectors))
            pool += vectors if kind == "transitions" else ()
    progress("random scenarios")
    for number in range(RANDOM_SCENARIOS):
        pool.append(_beginning(RandomDriver(SEED), number))
    pool.sort(key=lambda vector: count_calls(vector.scenario.steps))
    progress("rules, functions, errors")
    yield "rules", "the shortest scenarios that reach each rule", [*_rules(pool)]
    yield (
        "functions",
        "each function of the header, and each step of the specification",
        [*_functions(pool)],
    )
    yield "errors", "each call that the contract forbids, refused by name", [*_errors(pool)]
    yield "records", "migration records byte by byte, good ones and bad ones", [*_records()]
    yield from pairs


def _beginning(driver: RandomDriver, number: int) -> Vector:
    scenario, script = driver.scenario(number, 100)
    return record(scenario, f"random {number}", script)


def _named(
    vector: Vector, name: str, reaches: Callable[[Vector], bool], about: tuple[str, ...]
) -> Vector:
    """The vector, made smaller while it reaches what it is there for if it is long."""
    sign = Finding(("",), "", "", "", name)

    def run(scenario: Scenario) -> tuple[Finding | None, Scenario]:
        candidate = record(scenario)
        return (sign if reaches(candidate) else None), candidate.scenario

    small = vector.scenario
    if count_calls(small.steps) > SHORT:
        small, _ = shrink(small, sign, run, SHRINK_RUNS)
    result = record(small, name)
    result.about = about
    return result


def _rules(pool: list[Vector]) -> Iterator[Vector]:
    for rule in RULES.values():
        if not rule.planned:
            reaches = partial(_has_rule, rule.id)
            for number, vector in enumerate(islice(filter(reaches, pool), EXAMPLES), start=1):
                yield _named(vector, f"rule {rule.id}, {number}", reaches, (rule.id,))


def _has_rule(rule: str, vector: Vector) -> bool:
    """Whether a function about the rule ran, or a call was refused by it; of CB-1, whether calls were nested."""
    functions = carriers(rule)
    errors = [each.name for each in ERRORS.values() if each.rule == rule]
    if not functions and not errors:
        return count_calls(vector.scenario.steps) > len(vector.scenario.steps)
    return not vector.functions.isdisjoint(functions) or not vector.errors.isdisjoint(errors)


def _functions(pool: list[Vector]) -> Iterator[Vector]:
    for name in sorted(FUNCTIONS.keys() | PARAMETERS.keys()):
        reaches = partial(_has_function, name)
        found = next(filter(reaches, pool), None)
        if found is not None:
            about = FUNCTIONS[name].rules if name in FUNCTIONS else ()
            yield _named(found, f"function {name}", reaches, about)


def _has_function(name: str, vector: Vector) -> bool:
    return name in vector.functions or name in vector.calls


def _errors(pool: list[Vector]) -> Iterator[Vector]:
    for each in ERRORS.values():
        reaches = partial(_has_error, each.name)
        found = next(filter(reaches, pool), None)
        if found is not None:
            yield _named(found, f"error {each.name}", reaches, (each.rule,))


def _has_error(name: str, vector: Vector) -> bool:
    return name in vector.errors


def _records() -> Iterator[Vector]:
    """A client with a window of 4 that took one buffer waits; a record arrives, good or bad."""
    for name, message in messages().items():
        scenario = Scenario(
            steps=[
                Step("create", {"port": "p1", "client_tokens_interval": 2, "self_tokens": 1}),
                Step(
                    "client_add",
                    {
                        "client": "c1",
                        "do_flow_control": True,
                        "max_send_queue_size": 1,
                        "num_client_tokens": 4,
                        "num_send_tokens": 0,
                        "wait_for_migrate_data": True,
                    },
                ),
                Step("write_buffer_get", {"client": "c1", "size": 1}, result_name="b1"),
                Step("restore", {"message": message.hex()}),
                Step("start"),
                # What the record made of the device shows in the record that it makes itself.
                Step("write_buffer_release", {"buffer": "b1"}),
                Step("stop"),
                Step("migrate_data_marshall", result_name="x1"),
                Step("migrate_data_release", {"data": "x1"}),
                Step("migrate_data_marshall_empty"),
            ]
        )
        vector = record(scenario, name)
        vector.about = ("MIG-1", "MIG-4", "MIG-5")
        yield vector


def messages() -> dict[str, bytes]:
    """Migration messages, good and bad, by name."""
    plain = good_record(1)
    data = good_record(1, size=3, price=2, credit=5)
    records: dict[str, Record] = {
        "good: no data": plain,
        "good: version 0": plain._replace(version=0),
        "good: connected 255": plain._replace(connected=255),
        "good: all client tokens": good_record(4),
        "good: the most send tokens": good_record(1, credit=UINT32_MAX),
        "good: data with tokens": data,
        "good: data without tokens": good_record(2, size=3),
        "good: tokens without data": good_record(2, price=2),
        "good: a pointer without data": plain._replace(write_data_offset=UINT32_MAX),
        "bad: version 2": plain._replace(version=2),
        "bad: the highest version": plain._replace(version=UINT32_MAX),
        "bad: nobody connected": plain._replace(connected=0),
        "bad: fewer client tokens than were taken here": good_record(0),
        "bad: more client tokens than the window": good_record(5),
        "bad: the most client tokens": good_record(UINT32_MAX),
        "bad: more tokens in the data than the window leaves": good_record(1, size=3, price=4),
        "bad: the most tokens in the data": good_record(1, size=3, price=UINT32_MAX),
        "bad: a pointer into the record": data._replace(write_data_offset=MESSAGE_SIZE - 1),
        "bad: a pointer to the header": data._replace(write_data_offset=0),
        "bad: a pointer behind the message": data._replace(write_data_offset=MESSAGE_SIZE + 1),
        "bad: the highest pointer": data._replace(write_data_offset=UINT32_MAX),
        "bad: the largest size": data._replace(write_size=UINT32_MAX),
        "bad: pointer and size wrap around": data._replace(
            write_size=UINT32_MAX - MESSAGE_SIZE + 1 + 3
        ),
    }
    result = {name: message_of(each) for name, each in records.items()}
    whole = result["good: data with tokens"]
    result["good: bytes behind the data"] = whole + b"\xff"
    for size in (0, 7, 8, MESSAGE_SIZE - 1, MESSAGE_SIZE, len(whole) - 1):
        result[f"bad: cut off after {size} bytes"] = whole[:size]
    return result
