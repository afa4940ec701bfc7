"""Shrinking a failing scenario."""

from copy import deepcopy
from typing import Any

import pytest

from chardev_conformance.lockstep import Finding
from chardev_conformance.scenario import Answer, Scenario, Step, count_calls, walk
from chardev_conformance.shrink import shrink

FINDING = Finding(("WR-2", "WR-1"), "start", "nothing", "write(1, )", "write / end")
OTHER = Finding(("RD-1",), "start", "nothing", "read", "read / end")

CREATE = Step("create", {"port": "p1", "client_tokens_interval": 1, "self_tokens": 2})


class Run:
    """Runs scenarios: those that have what `needs` asks for fail."""

    def __init__(self, *needs: Any) -> None:
        self.needs = needs
        self.runs = 0

    def __call__(self, scenario: Scenario) -> tuple[Finding | None, Scenario]:
        self.runs += 1
        steps = [*walk(scenario.steps)]
        fails = all(need(scenario, steps) for need in self.needs)
        return (FINDING if fails else None), scenario


def has(call: str, **arguments: Any) -> Any:
    """The scenario makes this call, with arguments at least so large."""

    def need(scenario: Scenario, steps: list[Step]) -> bool:
        return any(
            step.call == call
            and all(step.arguments[name] >= value for name, value in arguments.items())
            for step in steps
        )

    return need


def answered(on: str, **settings: Any) -> Any:
    """Some callback is answered like this."""

    def need(scenario: Scenario, steps: list[Step]) -> bool:
        return any(
            answer.on == on
            and all(getattr(answer, name) == value for name, value in settings.items())
            for step in steps
            for answer in step.answers
        )

    return need


def long_scenario() -> Scenario:
    """Much that has nothing to do with anything."""
    steps = [deepcopy(CREATE)]
    for i in range(30):
        inner = Step("send_to_client_tokens_add", {"client": "c1", "tokens": i})
        steps.append(
            Step(
                "wakeup",
                {},
                [Answer("write", i), Answer("read_one_msg_from_device", calls=[inner])],
            )
        )
    steps.append(Step("stop"))
    return Scenario({"p1": True, "p2": True}, 2, steps)


def test_what_is_not_needed_is_left_out() -> None:
    """A failure would be reported with steps, answers and settings that have nothing to do with it."""
    run = Run(has("stop"))
    scenario, finding = shrink(long_scenario(), FINDING, run)
    assert scenario == Scenario(
        {"p1": False}, None, [Step("create", CREATE.arguments | {"self_tokens": 1}), Step("stop")]
    )
    assert finding == FINDING
    assert run.runs < 60


def test_what_need_not_be_inside_a_callback_is_moved_out() -> None:
    """A plain failure would look like one of re-entrancy."""
    scenario, _ = shrink(long_scenario(), FINDING, Run(has("send_to_client_tokens_add", tokens=7)))
    assert scenario.steps[1:] == [Step("send_to_client_tokens_add", {"client": "c1", "tokens": 7})]


def test_what_is_needed_inside_a_callback_stays_there() -> None:
    """A failure that needs a nested call would not be shrunk, or would be lost."""

    def nested(scenario: Scenario, steps: list[Step]) -> bool:
        return len(steps) > len(scenario.steps)

    scenario, _ = shrink(
        long_scenario(), FINDING, Run(nested, has("send_to_client_tokens_add", tokens=7))
    )
    inner = Step("send_to_client_tokens_add", {"client": "c1", "tokens": 7})
    answer = Answer("read_one_msg_from_device", calls=[inner])
    assert scenario.steps[1:] == [Step("wakeup", {}, [answer])]


def test_answers_become_simple() -> None:
    """The reader would look for a meaning in every number."""
    scenario, _ = shrink(long_scenario(), FINDING, Run(answered("write")))
    assert scenario.steps[1:] == [
        Step("wakeup", {}, [Answer("write", 1), Answer("read_one_msg_from_device")])
    ]
    raising = Scenario(steps=[CREATE, Step("start", {}, [Answer("write", 9, raises=True)])])
    assert shrink(raising, FINDING, Run(answered("write")))[0].steps[1].answers == [
        Answer("write", 1)
    ]
    assert shrink(raising, FINDING, Run(answered("write", raises=True)))[0].steps[1].answers == [
        Answer("write", 1, raises=True)
    ]


@pytest.mark.parametrize("least", [0, 1, 2, 5, 64, 2**31])
def test_numbers_become_small(least: int) -> None:
    """The reader would wonder why it must be 4294967295."""
    steps = [CREATE, Step("send_to_client_tokens_add", {"client": "c1", "tokens": 2**32 - 1})]
    scenario, _ = shrink(
        Scenario(steps=steps), FINDING, Run(has("send_to_client_tokens_add", tokens=least))
    )
    tokens = scenario.steps[1].arguments["tokens"]
    assert max(least, 1) <= tokens <= max(least, 1) * 2


def test_data_becomes_short() -> None:
    """The report would be full of bytes."""
    add = Step("write_buffer_add", {"buffer": "buffer-1", "data": "00010203040506070809"})

    def five_bytes(scenario: Scenario, steps: list[Step]) -> bool:
        return any(len(step.arguments.get("data", "")) >= 10 for step in steps)

    scenario, _ = shrink(Scenario(steps=[CREATE, add]), FINDING, Run(five_bytes))
    assert scenario.steps[1].arguments == {"buffer": "buffer-1", "data": "0001020304"}


def test_names_are_left_alone() -> None:
    """A step would speak of something else, or of nothing."""
    release = Step("migrate_data_release", {"data": "x1234"})
    scenario, _ = shrink(
        Scenario(steps=[CREATE, release]), FINDING, Run(has("migrate_data_release"))
    )
    assert scenario.steps[1] == release


def test_another_finding_is_no_success() -> None:
    """Shrinking would end with the scenario of another defect."""

    def run(scenario: Scenario) -> tuple[Finding | None, Scenario]:
        return (FINDING if len(scenario.steps) > 3 else OTHER), scenario

    scenario, finding = shrink(long_scenario(), FINDING, run)
    assert (finding, len(scenario.steps)) == (FINDING, 4)


def test_the_finding_is_that_of_the_small_scenario() -> None:
    """The report would quote what was seen in a scenario that it does not show."""

    def run(scenario: Scenario) -> tuple[Finding | None, Scenario]:
        seen = f"{count_calls(scenario.steps)} calls"
        return Finding(("WR-2",), "start", "nothing", seen, "write / end"), scenario

    _, finding = shrink(long_scenario(), FINDING, run)
    assert finding.seen == "1 calls"


def test_what_was_performed_goes_on() -> None:
    """Steps that are left out when the scenario is run would stay in the report."""

    def run(scenario: Scenario) -> tuple[Finding | None, Scenario]:
        steps = [step for step in scenario.steps if step.call != "wakeup"]
        return FINDING, Scenario(scenario.ports, scenario.moves_per_call, steps)

    scenario, _ = shrink(long_scenario(), FINDING, run, runs=1)
    assert [step.call for step in scenario.steps] == ["create", "stop"]


def test_a_scenario_that_does_not_fail_again_is_left_as_it_is() -> None:
    """Time would be wasted on a failure that comes and goes, or its scenario be lost."""
    run = Run(lambda scenario, steps: False)
    scenario = long_scenario()
    assert shrink(scenario, FINDING, run) == (long_scenario(), FINDING)
    assert run.runs == 1


@pytest.mark.parametrize("runs", [1, 2, 10])
def test_the_number_of_runs_is_limited(runs: int) -> None:
    """Shrinking a failure of a slow implementation would not end."""
    run = Run(has("stop"))
    scenario, finding = shrink(long_scenario(), FINDING, run, runs=runs)
    assert run.runs <= runs
    assert finding == FINDING
    assert has("stop")(scenario, [*walk(scenario.steps)])


def test_the_scenario_that_was_given_is_not_changed() -> None:
    """The caller's scenario, which is the proof of the failure, would be destroyed."""
    scenario = long_scenario()
    shrink(scenario, FINDING, Run(has("stop")))
    assert scenario == long_scenario()


def test_answers_that_say_nothing_new_cost_no_runs() -> None:
    """All runs would be spent on taking out answers that are performed again, the same, each time."""

    class Performs(Run):
        def __call__(self, scenario: Scenario) -> tuple[Finding | None, Scenario]:
            for step in scenario.steps[1:]:
                step.answers = [*step.answers, Answer("read_one_msg_from_device", value=False)][:1]
            return super().__call__(scenario)

    run = Performs(has("stop"))
    shrink(long_scenario(), FINDING, run)
    assert run.runs < 60
