"""The hunt finds, counts, makes small, and goes on after an interruption."""

from pathlib import Path

from chardev_conformance.spice_server.hunt import Campaign, Found, hunt
from chardev_conformance.spice_server.isolation import Isolated
from chardev_conformance.spice_server.judge import CRASH, WRONG, Finding
from chardev_conformance.spice_server.known import QUIRK, predictable
from chardev_conformance.spice_server.record import load_campaign, save
from chardev_conformance.spice_server.steps import Scenario
from tests.conformance.spice_server.peers import step


def test_a_short_hunt_finds_something(isolated: Isolated) -> None:
    """The hunt would run for hours and find nothing."""
    seen: list[int] = []

    def progress(campaign: Campaign) -> None:
        seen.append(sum(campaign.steps.values()))

    campaign = Campaign(1)
    hunt(campaign, steps=400, progress=progress)
    assert seen == sorted(seen)
    assert sum(campaign.steps.values()) >= 400
    assert abs(campaign.scenarios["well-behaved"] - campaign.scenarios["wild"]) <= 1
    assert {CRASH, QUIRK} <= {each.finding.kind for each in campaign.found.values()}
    assert all(key == each.finding.key for key, each in campaign.found.items())


def test_a_hunt_goes_on_where_it_was(isolated: Isolated, tmp_path: Path) -> None:
    """An interruption would lose findings, or make scenarios twice."""

    def interrupt(campaign: Campaign) -> None:
        if sum(campaign.scenarios.values()) == 15:
            raise KeyboardInterrupt

    whole, first = Campaign(1), Campaign(1)
    hunt(whole, steps=500)
    hunt(first, steps=500, progress=interrupt)
    assert first.interrupted
    save(first, tmp_path / "state.json")
    second = load_campaign(tmp_path / "state.json")
    hunt(second, steps=500)
    assert (second.scenarios, second.steps, second.deaths) == (
        whole.scenarios,
        whole.steps,
        whole.deaths,
    )
    assert [(each.finding, each.scenario) for each in second.found.values()] == [
        (each.finding, each.scenario) for each in whole.found.values()
    ]


def test_half_a_message_is_not_well_behaved() -> None:
    """A crash by a wild peer would be reported as one that needs no wild peer."""
    begin = step("begin", client="c1", size=4, bytes="00")
    start = step("start", client="c1", tokens=1)
    assert predictable(Scenario("agent", (start, begin)))
    assert not predictable(Scenario("agent", (step("more", client="c1", bytes="00" * 6),)))


def found(kind: str, where: str, *, wild: bool) -> Found:
    """A finding at one of two steps."""
    scenario = Scenario(
        "agent", (step("wakeup", port="agentA"), step("start", client="c1", tokens=1))
    )
    return Found(Finding(kind, ("CB-1",), "s", where, "e", "s"), scenario, wild, 0.0)


def test_severity_says_who_does_what() -> None:
    """A guest that ends its host would look like a client that ends itself."""
    assert found(CRASH, "step 1: wakeup", wild=True).severity == "crash by the guest, wild"
    assert found(CRASH, "step 2: start", wild=False).severity == "crash by a client, well-behaved"
    assert found(WRONG, "step 2: start", wild=False).severity == "wrong behaviour"
    assert found(QUIRK, "step 2: start", wild=True).severity == "deviation"
