"""Whatever becomes of a scenario, the next one begins from the same state."""

import os
import sys
from pathlib import Path

import pytest

from chardev_conformance.spice_server import libspice
from chardev_conformance.spice_server.isolation import Isolated, Limits
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


@pytest.mark.parametrize(
    ("body", "limits", "end"),
    [
        ("while True: pass", Limits(0.1, 60), "used 0.1 s of processor time"),
        ("time.sleep(60)", Limits(60, 0.1), "waited for 0.1 s"),
        ("time.sleep(1.5)", Limits(1, 60), "exit 0"),
        ("os.kill(os.getpid(), 15)", Limits(60, 60), "SIGTERM"),
    ],
)
def test_what_hangs_is_stopped(body: str, limits: Limits, end: str) -> None:
    """A hang would stop the hunt for ever, or what only waits for a loaded machine would be taken for one."""
    program = f"import os, time\nfrom {Limits.__module__} import Limits\n{limits}.impose()\n{body}"
    process = os.posix_spawn(sys.executable, [sys.executable, "-c", program], os.environ)
    assert limits.end(os.waitpid(process, 0)[1]) == end


@pytest.mark.usefixtures("isolated")
@pytest.mark.parametrize(
    ("limits", "end"),
    [
        (Limits(0.001, 60), "used 0.001 s of processor time"),
        (Limits(60, 0.001), "waited for 0.001 s"),
    ],
)
def test_a_scenario_keeps_to_the_limits(limits: Limits, end: str) -> None:
    """The process that has the server would be held to no limit."""
    steps = [step("data", client="c1", bytes=clipboard(1))] * 500
    with Isolated(limits) as hurried:
        assert hurried.run(Scenario("agent", (START, *steps))).end == end


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the library the user would see a traceback, not what to install."""
    monkeypatch.setattr(libspice, "SONAME", str(tmp_path / "libspice-server.so.1"))
    with pytest.raises(TargetError) as caught:
        libspice.load_library()
    assert str(caught.value) == (
        f"spice-server: {tmp_path}/libspice-server.so.1: cannot open shared object file: "
        "No such file or directory; install it with: "
        "apt-get install --no-install-recommends libspice-server1"
    )
