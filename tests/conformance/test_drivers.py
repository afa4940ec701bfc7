"""The drivers: chance, enumeration, search; each numbers its scenarios, so that a run can go on where it ended."""

import os
import subprocess
import sys
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import pytest

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.adapters.specification import SpecificationTarget
from chardev_conformance.campaign import run_campaign
from chardev_conformance.command_line import main
from chardev_conformance.coverage import Mode, mode
from chardev_conformance.directed import STATES, GoalError, carriers, directed_driver, goal
from chardev_conformance.drivers import ExhaustiveDriver, RandomDriver, ReplayDriver
from chardev_conformance.explore import Exploration, _Run, key
from chardev_conformance.learning import FARTHEST, learn
from chardev_conformance.lockstep import Lockstep
from chardev_conformance.scenario import Scenario
from chardev_conformance.scope import SCOPES, Scope, quiet
from chardev_conformance.scripts import WEIGHTS, RandomScript, Replay
from chardev_conformance.target import Timers
from chardev_spec.events import Callback
from chardev_spec.profiles import QUIRKS
from chardev_spec.registry import FUNCTIONS

TINY: Final = Scope(
    "tiny",
    "a device without clients",
    frozenset({"start", "stop", "wakeup", "reset_dev_instance"}),
)

SMALL: Final = quiet(SCOPES["announcing"])


def test_a_scope_is_explored_to_its_end() -> None:
    """A state would be missed, or the same one be gone into for ever."""
    exploration = Exploration(TINY)
    exploration.explore()
    assert exploration.complete
    modes = {(each.life, each.port) for each in exploration.modes}
    assert modes == {
        ("stopped", "attached"),
        ("stopped", "detached"),
        ("running", "attached"),
        ("running", "detached"),
    }
    calls = {step.call for node in exploration.nodes for step, _ in node.edges}
    assert calls == TINY.calls
    assert exploration.transitions == sum(len(node.edges) for node in exploration.nodes)


def test_a_depth_bounds_the_exploration() -> None:
    """A bound would be left aside, and an exploration meant to be short would take for ever."""
    exploration = Exploration(SCOPES["writing"], depth=2)
    exploration.explore()
    assert not exploration.complete
    assert max(node.depth for node in exploration.nodes) == 2
    assert {node.depth for node in exploration.nodes if node.edges} == {0, 1}


@pytest.mark.parametrize("scope", SCOPES.values(), ids=lambda scope: scope.name)
def test_what_is_known_of_a_point_is_what_a_run_would_find(
    scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call would be said to go on as another did that stood elsewhere, or a way on would be lost."""
    known = Exploration(scope, depth=4)
    known.explore()
    monkeypatch.setattr(_Run, "_point", lambda *_: (object(),))
    run = Exploration(scope, depth=4)
    run.explore()
    assert (known.nodes, known.modes) == (run.nodes, run.modes)


def test_an_exploration_goes_on_where_it_was_interrupted() -> None:
    """A transition would be lost or counted twice, or states would have other numbers, so that walks are others."""

    class Interrupts(Scope):
        """Interrupts in the middle of a call, at every hundredth callback."""

        asked = 0

        def values(self, event: Callback, messages: int) -> tuple[Any, ...]:
            Interrupts.asked += 1
            if Interrupts.asked % 100 == 0:
                raise KeyboardInterrupt
            return super().values(event, messages)

    scope = SCOPES["announcing"]
    whole = Exploration(scope, depth=4)
    whole.explore()
    parts = Exploration(Interrupts(*attrgetter(*Scope.__slots__)(scope)), depth=4)
    interruptions = 0
    while parts.transitions < whole.transitions:
        try:
            parts.explore()
        except KeyboardInterrupt:
            interruptions += 1
    assert interruptions > 5
    assert (parts.nodes, parts.modes) == (whole.nodes, whole.modes)
    assert parts.transitions == whole.transitions


def test_another_process_makes_the_same_walks() -> None:
    """A check that was killed would go on with walks of other numbers than those that it had made."""
    program = (
        "from chardev_conformance.drivers import ExhaustiveDriver\n"
        "from chardev_conformance.scope import SCOPES, quiet\n"
        "driver = ExhaustiveDriver([quiet(SCOPES['announcing'])])\n"
        "print([driver.scenario(number, 0)[0] for number in range(driver.total)])\n"
    )
    walks = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert walks[0] == walks[1]
    assert walks[0].startswith("[Scenario(")


def test_walks_take_every_transition_and_lead_where_they_say() -> None:
    """A transition would never be tried on an implementation, though it is counted as tried."""
    exploration = Exploration(SMALL)
    exploration.explore()
    left = {
        (number, id(step))
        for number, node in enumerate(exploration.nodes)
        for step, _ in node.edges
    }
    for walk in exploration.walks():
        number = 0
        for step in walk:
            [after] = [after for each, after in exploration.nodes[number].edges if each is step]
            left.discard((number, id(step)))
            number = after
        scenario = exploration.scenario(walk)
        lockstep = Lockstep(SpecificationTarget, Replay(scenario), scenario)
        assert lockstep.run() is None
        assert mode(lockstep.pairs["d1"].runner.state) == exploration.modes[number]
    assert not left


def test_states_that_differ_in_ghosts_alone_are_one() -> None:
    """Counters that nothing reads would make every scope endless."""
    exploration = Exploration(TINY)
    state = exploration.nodes[0].state
    assert state is not None
    other = state.copy()
    other.device.initial_self_tokens += 1
    other.device.port_generation += 5
    assert key(state, {}) == key(other, {})
    other.device.running = True
    assert key(state, {}) != key(other, {})


def test_every_scope_closes_when_quiet() -> None:
    """A scope would grow without end after a change of the specification."""
    sizes = {}
    for scope in SCOPES.values():
        exploration = Exploration(replace(quiet(scope), answers=("all",)))
        exploration.explore()
        sizes[scope.name] = len(exploration.nodes)
        assert exploration.complete
    assert all(100 < size < 6000 for size in sizes.values()), sizes


def test_the_bundled_device_holds_in_every_state_of_a_scope() -> None:
    """The device would be wrong in a state that chance seldom reaches."""
    driver = ExhaustiveDriver([SMALL])
    report = run_campaign(DeviceTarget, driver=driver, calls=10**9)
    assert (report.finding, report.scenarios) == (None, driver.total)
    known = driver.explorations[0].known()
    assert known.keys() <= report.statistics.transitions.keys()
    notes = driver.notes(report.statistics, 0, report.scenarios)
    assert notes[1] == f"{driver.total:,} of {driver.total:,} walks"
    assert notes[2] == f"{len(known):,} of {len(known):,} transitions of the scopes"


class ForgetsStop(DeviceTarget):
    """Leaves the retry timer armed when it is stopped."""

    def perform(self, device: str, call: str, arguments: dict[str, Any]) -> Any:
        if call == "stop":
            armed = self.owners[device].retry_ms
            super().perform(device, call, arguments)
            self.owners[device].retry_ms = armed
            return None
        return super().perform(device, call, arguments)


def test_enumeration_finds_a_defect() -> None:
    """An exhaustive check would hold whatever the implementation does."""
    driver = ExhaustiveDriver([quiet(SCOPES["writing"])])
    report = run_campaign(ForgetsStop, driver=driver, calls=10**9)
    assert report.finding is not None
    assert report.finding.symptom == "retry timer"
    assert report.found[0].name is not None
    assert report.found[0].name.startswith("writing, walk ")


@pytest.mark.parametrize("make", [lambda: RandomDriver(3), lambda: ExhaustiveDriver([SMALL])])
def test_a_run_goes_on_where_it_ended(make: Any) -> None:
    """An interrupted run would have to begin anew, or would leave something out."""
    whole = run_campaign(SpecificationTarget, driver=make(), calls=1000)
    parts = [
        run_campaign(SpecificationTarget, driver=make(), calls=10**9, progress=_stop_after(2)),
        run_campaign(
            SpecificationTarget, driver=make(), calls=10**9, first=2, progress=_stop_after(1)
        ),
    ]
    assert [part.scenarios for part in parts] == [2, 1]
    first_three = run_campaign(
        SpecificationTarget, driver=make(), calls=10**9, progress=_stop_after(3)
    )
    for name in FUNCTIONS:
        assert first_three.statistics.functions.get(name, 0) == sum(
            part.statistics.functions.get(name, 0) for part in parts
        )
    assert whole.finding is None


def _stop_after(scenarios: int) -> Any:
    def progress(report: Any) -> None:
        if report.scenarios == scenarios:
            raise KeyboardInterrupt

    return progress


def test_all_findings_of_a_run_are_collected_once() -> None:
    """A run would end at its first finding though it was told not to, or list one finding a hundred times."""

    class Twice(ForgetsStop):
        def timers(self, device: str) -> Timers:
            seen = super().timers(device)
            return Timers(seen.retry_ms, {**seen.wait_ms, "c9": 1}) if seen.wait_ms else seen

    report = run_campaign(Twice, seed=1, calls=4000, keeps_going=True)
    symptoms = [(each.finding.rule, each.finding.symptom) for each in report.found]
    assert {"retry timer", "wait timer"} <= {symptom for _, symptom in symptoms}
    assert len(symptoms) == len(set(symptoms))
    assert report.statistics.calls >= 4000


# Directed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("XY-1", "XY-1: no rule 'XY-1'; known are CB-1"),
        ("state:asleep", "state:asleep: no state 'asleep'; known are alone"),
        ("quirk:None", "quirk:None: no quirk 'None'; known are "),
        ("tea:1", "tea:1: a goal is a rule's id, state:WORD,... or quirk:NAME"),
    ],
)
def test_goals_that_do_not_exist(text: str, message: str) -> None:
    """A mistyped goal would be searched for in vain."""
    with pytest.raises(GoalError) as refused:
        goal(text)
    assert str(refused.value).startswith(message)


def _scenarios(driver: ReplayDriver) -> list[Scenario]:
    return [driver.scenario(number, 10**9)[0] for number in range(driver.total or 0)]


def test_a_state_is_reached_on_the_shortest_way() -> None:
    """A state would not be reached, or only by a detour that nobody can follow."""
    driver = directed_driver(goal("state:sealed,pending"))
    assert driver.name == "directed to state sealed,pending"
    [shortest, *_] = _scenarios(driver)
    assert [step.call for step in shortest.steps] == [
        "create",
        "client_add",
        "write_buffer_get",
        "write_buffer_add",
        "migrate_data_marshall",
    ]


def test_a_rule_is_reached() -> None:
    """A rule would be called reached because some function mentions it among many."""
    assert carriers("TOK-2") == ["take_token"]
    report = run_campaign(DeviceTarget, driver=directed_driver(goal("TOK-2")), calls=10**9)
    assert report.finding is None
    assert report.statistics.functions["take_token"] >= 10


def test_a_quirk_is_shown_by_those_that_have_it_and_by_no_others() -> None:
    """A quirk of a release could not be looked for in an implementation."""
    quirk = QUIRKS[0]
    driver = directed_driver(goal(f"quirk:{quirk.__name__}"))

    def with_quirk(host: Any, ports: dict[str, bool], limit: int | None) -> SpecificationTarget:
        return SpecificationTarget(host, ports, limit, quirk)

    assert run_campaign(with_quirk, driver=driver, calls=10**9).finding is not None
    assert run_campaign(DeviceTarget, driver=driver, calls=10**9).finding is None


def test_a_mode_has_words_for_everything_that_can_be_a_goal() -> None:
    """A word of a mode could not be asked for."""
    exploration = Exploration(quiet(SCOPES["moving"]))
    exploration.explore()
    words = {word for each in exploration.modes for word in each if word}
    assert words <= STATES
    assert len(Mode._fields) == 9


# Learned weights


def test_learning_is_repeatable_and_keeps_within_bounds() -> None:
    """A seed would not repeat a run with learned weights, or a call would never be made again."""
    weights = learn(3, 2)
    assert weights == learn(3, 2)
    assert weights.keys() == WEIGHTS.keys()
    assert learn(3, 0) == WEIGHTS
    assert weights != WEIGHTS
    assert sum(weights.values()) == pytest.approx(sum(WEIGHTS.values()))
    assert all(1 / 2 / FARTHEST < weights[call] / WEIGHTS[call] < 2 * FARTHEST for call in weights)


def test_weights_decide_what_is_done() -> None:
    """Whatever is learned would change nothing."""
    few, many = ({**WEIGHTS, "opaque_get": weight} for weight in (0.01, 50.0))
    counts = []
    for weights in (few, many):
        report = run_campaign(SpecificationTarget, driver=RandomDriver(1, weights), calls=1000)
        counts.append(report.statistics.functions["opaque_get"])
    assert counts[0] * 5 < counts[1]


# The command


def test_the_command_explores_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    """The drivers could not be asked for, or would not say what they reached."""
    arguments = ["check", "--driver", "exhaustive", "--scope", "announcing", "--steps", "300"]
    assert main([*arguments, "--from", "3"]) == 0
    out = capsys.readouterr().out
    assert "driver       exhaustive" in out
    assert " walks, from 3\n" in out
    assert main(["check", "--driver", "directed"]) == 2
    assert capsys.readouterr().err == (
        "chardev: --driver directed needs a --goal: a rule's id, state:WORD,... or quirk:NAME\n"
    )
    assert main(["check", "--learn", "1", "--steps", "300", "--seed", "1"]) == 0
    capsys.readouterr()


def test_random_scenarios_do_not_depend_on_each_other() -> None:
    """The scenario that fails would be another when it is run alone."""
    driver = RandomDriver(5)
    _, first = driver.scenario(7, 100)
    driver.scenario(3, 100)
    _, second = driver.scenario(7, 100)
    assert isinstance(first, RandomScript)
    assert isinstance(second, RandomScript)
    assert first.mixture == second.mixture


def test_the_documentation_has_the_scopes_as_they_are() -> None:
    """The page on drivers would tell of scopes that are not there, or of other sizes."""
    page = (Path(__file__).parents[2] / "docs/drivers.rst").read_text(encoding="utf-8")
    for scope in SCOPES.values():
        exploration = Exploration(scope)
        exploration.explore()
        sizes = f"     - {len(exploration.nodes):,}\n     - {exploration.transitions:,}\n"
        assert f"   * - ``{scope.name}``\n     - {scope.title}\n{sizes}" in page
