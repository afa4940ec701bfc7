"""Scenarios at random: what well-behaved peers never do, and that the wild ones do it."""

from random import Random

from chardev_conformance.spice_server.generate import generate
from chardev_conformance.spice_server.known import release, specified
from chardev_conformance.spice_server.steps import Scenario, dumps, loads


def drawn(count: int, *, wild: bool) -> list[Scenario]:
    """That many scenarios."""
    return [generate(Random(seed), release(), wild=wild) for seed in range(count)]


def test_a_seed_decides_everything() -> None:
    """A hunt could not be repeated."""
    assert drawn(20, wild=True) == drawn(20, wild=True)


def test_scenarios_are_files() -> None:
    """A finding could not be written down."""
    for scenario in drawn(20, wild=True):
        assert loads(dumps(scenario), "f") == scenario


def test_well_behaved_peers_break_no_protocol() -> None:
    """A crash that a peer has to break the protocol for would be said to need none."""
    scenarios = drawn(200, wild=False)
    steps = {step.do for scenario in scenarios for step in scenario.steps}
    assert {
        "start",
        "data",
        "begin",
        "more",
        "feed",
        "detach",
        "migrate",
        "restore",
        "cancel",
    } <= steps
    assert not {"send", "answer", "link_bytes"} & steps
    # The release is specified all the way, up to what it does not survive.
    ends = set()
    for scenario in scenarios:
        seen = specified(release(), scenario)
        if len(seen) < len(scenario.steps):
            ends.add(scenario.steps[len(seen)].do)
    assert ends <= {"flush"}


def test_wild_peers_do_what_they_may_not() -> None:
    """The hunt would find only what well-behaved peers bring about."""
    scenarios = drawn(200, wild=True)
    steps = {step.do for scenario in scenarios for step in scenario.steps}
    assert {"send", "answer", "link_bytes", "flush", "restore"} <= steps
    patches = [step["patches"] for each in scenarios for step in each.steps if step.do == "restore"]
    assert any(patches)
