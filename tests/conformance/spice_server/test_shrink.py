"""Scenarios are made small, and still show the same."""

from chardev_conformance.spice_server.shrink import shrink
from chardev_conformance.spice_server.steps import Scenario
from tests.conformance.spice_server.peers import step

NOISE = tuple(step("advance", milliseconds=i) for i in range(20))


def test_only_what_is_needed_is_left() -> None:
    """A finding would be buried in steps that have nothing to do with it."""
    stop, run = step("stop", server="A"), step("run", server="A")

    def shows(scenario: Scenario) -> bool:
        return stop in scenario.steps and run in scenario.steps

    scenario = Scenario("agent", (*NOISE, stop, *NOISE, run, *NOISE))
    assert shrink(scenario, shows) == Scenario("agent", (stop, run))


def test_arguments_become_simple() -> None:
    """Numbers that mean nothing would look as if they did."""
    granted = step("tokens", client="c1", tokens=2**32 - 1)
    patched = step("restore", client="c", source="c", patches=[[1, "00"], [2, "00"]], size=-1)

    def shows(scenario: Scenario) -> bool:
        dos = [each.do for each in scenario.steps]
        return dos == ["tokens", "restore"] and [2, "00"] in scenario.steps[1]["patches"]

    assert shrink(Scenario("agent", (granted, patched)), shows) == Scenario(
        "agent",
        (
            step("tokens", client="c1", tokens=1),
            step("restore", client="c", source="c", patches=[[2, "00"]], size=-1),
        ),
    )


def test_attempts_are_bounded() -> None:
    """A scenario that takes long would be shrunk for hours."""
    asked = 0

    def shows(scenario: Scenario) -> bool:
        nonlocal asked
        asked += 1
        return False

    scenario = Scenario("agent", NOISE)
    assert shrink(scenario, shows, attempts=7) == scenario
    assert asked == 7
