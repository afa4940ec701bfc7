"""Makes a failing scenario small: whatever can be left out while the same finding remains is left out.

Steps go first, in large pieces and then one by one; then nested calls, which are left out or moved outside, answers,
and the size of numbers and data.
Every candidate is run; what remains is what the last failing run performed, so it replays as it stands.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any, Final

from chardev_conformance.lockstep import Finding
from chardev_conformance.scenario import Answer, Scenario, Step, walk

RUNS: Final = 3000
"""How many candidates are tried at most: a few seconds' work."""

Run = Callable[[Scenario], tuple[Finding | None, Scenario]]
"""Runs a scenario; its finding, and the scenario as it was performed."""

Edit = Callable[[], object]
"""Makes the scenario that it was made for simpler, in one place."""

COUNTED_DOWN: Final = 64
"""Numbers up to this one are also tried one smaller; larger ones are only halved."""


DEFAULT_VALUES: Final = (None, False, "all")
"""What is answered when a scenario says nothing."""


def shrink(
    scenario: Scenario, finding: Finding, run: Run, runs: int = RUNS
) -> tuple[Scenario, Finding]:
    """The smallest scenario that was found to give a finding of equal rule and symptom, and that finding.

    A scenario that does not give it again is returned as it is: there is nothing to go by.
    """
    shrinking = _Shrinking(scenario, finding, run, runs)
    if shrinking.fails(deepcopy(scenario)):
        shrinking.run()
    return shrinking.best, shrinking.finding


class _Shrinking:
    def __init__(self, scenario: Scenario, finding: Finding, run: Run, runs: int) -> None:
        self.best = scenario
        self.finding = finding
        self._run = run
        self._left = runs

    def fails(self, candidate: Scenario) -> bool:
        """Whether the candidate gives the finding; the best one then is what was performed of it."""
        self._left -= 1
        found, performed = self._run(candidate)
        if found is None or (found.rule, found.symptom) != (
            self.finding.rule,
            self.finding.symptom,
        ):
            return False
        self.best, self.finding = performed, found
        return True

    def run(self) -> None:
        """Make it smaller in every way, as long as any way helps."""
        progress = True
        while progress and self._left > 0:
            progress = self._drop_steps()
            for edits in (_drop_calls, _move_out, _drop_answers, _simplify):
                progress |= self._edit(edits)

    def _drop_steps(self) -> bool:
        progress = False
        size = max(len(self.best.steps) // 2, 1)
        while size >= 1:
            begin = 1  # the first step creates the device
            while begin < len(self.best.steps) and self._left > 0:
                candidate = deepcopy(self.best)
                del candidate.steps[begin : begin + size]
                if self.fails(candidate):
                    progress = True
                else:
                    begin += size
            size //= 2
        return progress

    def _edit(self, edits: Callable[[Scenario], Iterator[Edit]]) -> bool:
        """Try every edit, each on what the ones before it left."""
        progress = False
        position = 0
        while self._left > 0:
            candidate = deepcopy(self.best)
            edit = next((each for i, each in enumerate(edits(candidate)) if i == position), None)
            if edit is None:
                break
            edit()
            if self.fails(candidate):
                progress = True
            else:
                position += 1
        return progress


def _answers(scenario: Scenario) -> Iterator[tuple[list[Answer], int]]:
    for step in walk(scenario.steps):
        for i in range(len(step.answers)):
            yield step.answers, i


def _drop_calls(scenario: Scenario) -> Iterator[Edit]:
    """Leave out one nested call."""
    for answers, i in _answers(scenario):
        calls = answers[i].calls
        for j in range(len(calls)):
            yield partial(calls.pop, j)


def _move_out(scenario: Scenario) -> Iterator[Edit]:
    """Make one nested call after the call that it is in; then either of the two may turn out not to be needed."""
    for position, outer in enumerate(scenario.steps):
        for step in walk([outer]):
            for answer in step.answers:
                for j in range(len(answer.calls)):
                    yield partial(_move, answer.calls, j, scenario.steps, position + 1)


def _move(calls: list[Step], j: int, steps: list[Step], position: int) -> None:
    steps.insert(position, calls.pop(j))


def _drop_answers(scenario: Scenario) -> Iterator[Edit]:
    """Leave one answer to its default; what is the default already would only be performed again."""
    for answers, i in _answers(scenario):
        if answers[i].raises or answers[i].calls or answers[i].value not in DEFAULT_VALUES:
            yield partial(answers.pop, i)


def _simplify(scenario: Scenario) -> Iterator[Edit]:
    """Make one setting, number, flag or piece of data simpler."""
    if scenario.moves_per_call is not None:
        yield partial(setattr, scenario, "moves_per_call", None)
    named = {step.arguments.get("port") for step in walk(scenario.steps)}
    for port, announces in scenario.ports.items():
        if port not in named:
            yield partial(scenario.ports.pop, port)
        elif announces:
            yield partial(scenario.ports.update, {port: False})
    for answers, i in _answers(scenario):
        if answers[i].raises:
            yield partial(setattr, answers[i], "raises", False)  # noqa: FBT003 - the value
        for value in _smaller(answers[i].value):
            yield partial(setattr, answers[i], "value", value)
    for step in walk(scenario.steps):
        for name, old in step.arguments.items():
            data = (step.call, name) == ("write_buffer_add", "data")
            for new in _shorter(old) if data else _smaller(old):
                yield partial(step.arguments.update, {name: new})


def _smaller(value: Any) -> list[int]:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 1:
        return []
    candidates = [1, value // 2, value - 1] if value <= COUNTED_DOWN else [1, value // 2]
    return [*dict.fromkeys(candidates)]


def _shorter(data: str) -> list[str]:
    return [data[: 2 * count] for count in _smaller(len(data) // 2)]
