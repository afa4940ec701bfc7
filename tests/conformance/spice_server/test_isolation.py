"""Whatever becomes of a scenario, the next one begins from the same state."""

from pathlib import Path

import pytest

from chardev_conformance.spice_server import library
from chardev_conformance.spice_server.isolation import Isolated
from chardev_conformance.spice_server.observation import Observation
from chardev_conformance.spice_server.steps import Scenario
from chardev_conformance.target import TargetError
from tests.conformance.spice_server.peers import clipboard, step

START = step("start", client="c1", tokens=1)


def test_a_death_is_an_outcome(isolated: Isolated) -> None:
    """The first crash would end the hunt, or leave no word of what was said."""
    outcome = isolated.run(Scenario("agent", (START, step("flush", client="c1"))))
    assert outcome.end == "SIGTRAP"
    assert outcome.died
    assert outcome.observations == [Observation()]
    assert [line.rpartition(":")[2] for line in outcome.said] == [" unexpected flush mark"]


def test_scenarios_share_nothing(isolated: Isolated) -> None:
    """A scenario would see the bytes that another left in a socket when it died."""
    dying = Scenario(
        "agent",
        (
            START,
            step("begin", client="c1", size=100, bytes="00"),
            step("flush", client="c1"),
            step("close", client="c1"),
        ),
    )
    good = Scenario("agent", (START, step("data", client="c1", bytes=clipboard(1))))
    alone = isolated.run(good)
    assert [outcome for _, outcome in isolated.run_all([good, dying, good])][0::2] == [alone] * 2


def test_the_same_scenario_gives_the_same_outcome(isolated: Isolated) -> None:
    """A finding could not be replayed."""
    steps = [step("data", client="c1", bytes=clipboard(i)) for i in range(12)]
    scenario = Scenario("agent", (START, step("room", port="agentA", bytes=70), *steps))
    outcomes = [outcome for _, outcome in isolated.run_all([scenario] * 20)]
    assert outcomes == [outcomes[0]] * 20


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the library the user would see a traceback, not what to install."""
    monkeypatch.setattr(library, "SONAME", str(tmp_path / "libspice-server.so.1"))
    with pytest.raises(TargetError) as caught:
        library.load_library()
    assert str(caught.value) == (
        f"spice-server: {tmp_path}/libspice-server.so.1: cannot open shared object file: "
        "No such file or directory; install it with: "
        "apt-get install --no-install-recommends libspice-server1"
    )
