"""Smaller scenarios that show the same."""

from collections.abc import Callable, Iterator
from typing import Any

from chardev_conformance.spice_server.steps import Scenario, Step


def shrink(scenario: Scenario, shows: Callable[[Scenario], bool], attempts: int = 400) -> Scenario:
    """A scenario from which nothing can be left out, and no number made smaller, without showing something else.

    `shows` says whether a scenario still shows what it is about; it is asked at most `attempts` times.
    """
    left = attempts
    size = max(len(scenario.steps) // 2, 1)
    while size and left:
        for begin in range(len(scenario.steps) - size, -1, -1):
            if not left:
                break
            steps = scenario.steps[:begin] + scenario.steps[begin + size :]
            smaller = Scenario(scenario.stage, steps)
            if len(steps) == len(scenario.steps):
                continue
            left -= 1
            if shows(smaller):
                scenario = smaller
        size //= 2
    improved = True
    while improved and left:
        improved = False
        for simpler in _simpler(scenario):
            if not left:
                break
            left -= 1
            if shows(simpler):
                scenario, improved = simpler, True
                break
    return scenario


def _simpler(scenario: Scenario) -> Iterator[Scenario]:
    """Scenarios with one argument that is simpler, or one step less."""
    for i, step in enumerate(scenario.steps):
        yield Scenario(scenario.stage, scenario.steps[:i] + scenario.steps[i + 1 :])
        for name, value in step.arguments.items():
            for other in _simpler_values(step, name, value):
                changed = Step(step.do, {**step.arguments, name: other})
                yield Scenario(
                    scenario.stage, (*scenario.steps[:i], changed, *scenario.steps[i + 1 :])
                )


def _simpler_values(step: Step, name: str, value: Any) -> Iterator[Any]:
    if name == "patches":
        for i in range(len(value)):
            yield value[:i] + value[i + 1 :]
    elif isinstance(value, int) and step.do in {"start", "tokens", "advance", "room"} and value > 1:
        for other in (1, 100, 30_000):
            if other < value:
                yield other
    elif name == "bytes" and step.do == "feed" and len(value) > 2:
        yield value[: len(value) // 4 * 2]
