"""Checks made of many random scenarios."""

import os
import subprocess
import sys
from typing import Any

import pytest

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.campaign import replay, run_campaign
from chardev_conformance.coverage import Statistics
from chardev_conformance.results import Report, exercised
from chardev_conformance.scenario import count_calls
from chardev_conformance.target import Timers
from chardev_spec.registry import FUNCTIONS
from chardev_spec.rules import RULES


class ForgetsStop(DeviceTarget):
    """Leaves the retry timer armed when it is stopped."""

    def perform(self, device: str, call: str, arguments: dict[str, Any]) -> Any:
        if call == "stop":
            armed = self.owners[device].retry_ms
            super().perform(device, call, arguments)
            self.owners[device].retry_ms = armed
            return None
        return super().perform(device, call, arguments)


def test_the_bundled_device_passes() -> None:
    """The device would differ from the specification in some random scenario."""
    report = run_campaign(DeviceTarget, seed=1, calls=3000)
    assert (report.finding, report.scenario, report.interrupted) == (None, None, False)
    assert 3000 <= report.statistics.calls < 3100
    assert report.scenarios >= 10
    assert report.statistics.nested_calls > 300
    assert report.statistics.callbacks > 1000
    assert report.seconds > 0
    assert report.seed == 1


def test_the_same_seed_gives_the_same_run() -> None:
    """A seed in a report would not repeat the run."""
    first, second, other = (run_campaign(DeviceTarget, seed=seed, calls=1000) for seed in (5, 5, 6))
    assert first.statistics == second.statistics
    assert first.scenarios == second.scenarios
    assert first.statistics != other.statistics


def test_the_same_seed_gives_the_same_run_in_another_process() -> None:
    """A seed from a report would not repeat the run, because sets have another order in every process."""
    program = (
        "from chardev_conformance.campaign import run_campaign\n"
        "from chardev_conformance.adapters.device import DeviceTarget\n"
        "print(run_campaign(DeviceTarget, seed=1, calls=1000).statistics)\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(outputs) == 1


def test_a_failure_is_the_same_for_the_same_seed() -> None:
    """A seed in a report would not lead to its failure."""
    first, second = (run_campaign(ForgetsStop, seed=2, calls=20_000) for _ in range(2))
    assert first.finding is not None
    assert (first.finding, first.scenario) == (second.finding, second.scenario)


def test_a_failure_ends_the_run_and_is_shrunk() -> None:
    """A failure would be followed by others, or be too long to read."""
    sizes = []
    for seed in range(5):
        report = run_campaign(ForgetsStop, seed=seed, calls=20_000)
        assert report.finding is not None
        assert report.scenario is not None
        assert report.finding.symptom == "retry timer"
        assert report.finding.seen.startswith("retry timer due at ")
        assert report.statistics.calls < 20_000
        assert replay(ForgetsStop, report.scenario) == (report.finding, report.scenario)
        assert replay(DeviceTarget, report.scenario) == (None, report.scenario)
        sizes.append(count_calls(report.scenario.steps))
    assert sorted(sizes)[2] <= 7, sizes


def test_a_run_ends_when_its_time_is_over() -> None:
    """A check that has a minute would take an hour."""
    report = run_campaign(DeviceTarget, seed=1, calls=10**9, seconds=0.3)
    assert 0.3 <= report.seconds < 3
    assert report.scenarios >= 1


def test_progress_is_reported_after_every_scenario() -> None:
    """A long check would look like one that hangs."""
    seen: list[int] = []

    def progress(report: Report) -> None:
        seen.append(report.statistics.calls)

    report = run_campaign(DeviceTarget, seed=1, calls=500, progress=progress)
    assert len(seen) == report.scenarios
    assert seen == sorted(seen)
    assert seen[-1] == report.statistics.calls


def test_an_interrupt_ends_the_run_with_a_report() -> None:
    """Ctrl-C would throw away what was done so far."""

    def interrupt(report: Report) -> None:
        if report.scenarios == 3:
            raise KeyboardInterrupt

    report = run_campaign(DeviceTarget, seed=1, calls=10_000, progress=interrupt)
    assert (report.interrupted, report.scenarios, report.finding) == (True, 3, None)
    assert report.seconds > 0


def test_an_interrupt_inside_a_callback_ends_the_run() -> None:
    """The implementation would take Ctrl-C for an exception of a callback, and the run would go on."""

    class Interrupted(DeviceTarget):
        def timers(self, device: str) -> Timers:
            raise KeyboardInterrupt

    report = run_campaign(Interrupted, seed=1, calls=100)
    assert (report.interrupted, report.finding) == (True, None)


def test_an_interrupt_while_shrinking_keeps_the_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has no patience with shrinking would lose the failure itself."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("chardev_conformance.campaign.shrink", interrupted)
    report = run_campaign(ForgetsStop, seed=3, calls=20_000)
    assert report.interrupted
    assert report.finding is not None
    assert report.scenario is not None
    assert replay(ForgetsStop, report.scenario)[0] == report.finding


# Rules exercised

IN_FORCE = [rule.id for rule in RULES.values() if not rule.planned]


def test_a_run_that_did_nothing_exercised_nothing() -> None:
    """An empty run would claim to have checked rules."""
    nothing = Statistics(functions=dict.fromkeys(FUNCTIONS, 0))
    assert exercised(nothing) == dict.fromkeys(IN_FORCE, False)
    assert exercised(Statistics()) == dict.fromkeys(IN_FORCE, False)


def test_a_call_exercises_the_rules_that_it_carries() -> None:
    """A rule that was never exercised would not be shown."""
    table = exercised(Statistics(functions=dict.fromkeys(FUNCTIONS, 0) | {"stop": 1}))
    carried = {rule for rule in FUNCTIONS["stop"].rules if rule in table}
    assert carried
    assert all(table[rule] for rule in carried)
    assert not table["MIG-1"]


def test_everything_exercises_every_rule() -> None:
    """A rule could never be exercised, by any run."""
    assert exercised(Statistics(functions=dict.fromkeys(FUNCTIONS, 1))) == dict.fromkeys(
        IN_FORCE, True
    )


def test_a_check_exercises_every_rule() -> None:
    """A rule would not be checked, though its implementation is said to hold."""
    report = run_campaign(DeviceTarget, seed=11, calls=10_000)
    assert [rule for rule, done in exercised(report.statistics).items() if not done] == []
