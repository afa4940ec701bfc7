"""Recorded traces are judged as the implementation that they were recorded of."""

from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import pytest

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.adapters.specification import SpecificationTarget
from chardev_conformance.campaign import judge
from chardev_conformance.command_line import main
from chardev_conformance.lockstep import Lockstep, TargetFactory
from chardev_conformance.scenario import Outcome, Scenario, ScenarioError, Step
from chardev_conformance.scripts import RandomScript, Replay, random_scenario
from chardev_conformance.trace import dumps, loads
from chardev_spec.profiles import PROFILES

MAKERS: Final[dict[str, TargetFactory]] = {
    "specification": SpecificationTarget,
    "specification, several buffers a write": partial(SpecificationTarget, gathers=True),
    "bundled device": DeviceTarget,
    "release": partial(SpecificationTarget, machine=PROFILES["spice-0.12.4"].machine),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_record_is_judged_as_what_it_was_recorded_of(name: str) -> None:
    """A verdict after the fact would be another than the one beside the running implementation."""
    findings = 0
    for seed in range(40):
        random = Random(f"judge:{seed}")
        scenario = random_scenario(random)
        lockstep = Lockstep(MAKERS[name], RandomScript(random, calls=100), scenario)
        finding = lockstep.run()
        back = loads(dumps(lockstep.performed), "t")
        assert back == lockstep.performed
        assert dumps(back) == dumps(lockstep.performed)
        assert judge(back)[0] == finding
        findings += finding is not None
    assert (findings > 0) == (name == "release")


def recorded(*steps: Step) -> Scenario:
    """What the specification does in these steps, after a create."""
    create = Step("create", {"port": "p1", "client_tokens_interval": 1, "self_tokens": 1})
    scenario = Scenario(steps=[create, *steps])
    lockstep = Lockstep(SpecificationTarget, Replay(scenario), scenario)
    assert lockstep.run() is None
    return lockstep.performed


def test_a_record_that_was_tampered_with_is_found() -> None:
    """The record would not be looked at, and every trace would hold."""
    scenario = recorded(Step("start"), Step("stop"))
    scenario.steps[1].answers.pop()
    finding, _ = judge(scenario)
    assert finding is not None
    assert (finding.rule, finding.seen) == ("RD-1", "the end of the call")

    scenario = recorded(Step("client_exists", {"client": "c1"}))
    scenario.steps[1].outcome = Outcome("returned", value=True)
    finding, _ = judge(scenario)
    assert finding is not None
    assert (finding.rule, finding.allowed, finding.seen) == ("LC-7", "False", "True")


def test_a_trace_without_observations_cannot_be_judged() -> None:
    """A trace that says nothing of what came out would hold."""
    with pytest.raises(ScenarioError, match="the trace has no observations"):
        judge(Scenario())


def test_a_record_that_ends_inside_an_allowed_callback_holds() -> None:
    """A record whose end is no finding under this profile would end in a traceback."""
    scenario = recorded(Step("start"))
    start = scenario.steps[1]
    start.outcome = Outcome("callback", start.answers.pop().event)
    assert judge(scenario)[0] is None


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever has only a record would have no verdict."""
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_text(dumps(recorded(Step("start"))) + dumps(recorded(Step("stop"))))
    assert main(["judge", str(good)]) == 0
    assert f"target       what {good} records" in capsys.readouterr().out
    scenario = recorded(Step("start"))
    scenario.steps[1].answers.pop()
    bad.write_text(dumps(scenario, name="a start without a read"))
    assert main(["judge", str(good), str(bad)]) == 1
    assert "vector       a start without a read" in capsys.readouterr().out
    bad.write_text('{"format": "chardev-trace", "version": 2}')
    assert main(["judge", str(bad)]) == 2
    assert capsys.readouterr().err == (
        f"chardev: {bad}:1: the trace has no observations (no 'observed' in its header): there is "
        "nothing to judge; `chardev check TARGET --replay FILE` runs it\n"
    )
