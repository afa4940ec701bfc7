"""The hunt finds, counts, and makes small."""

from chardev_conformance.spice_server.hunt import Campaign, Found, hunt
from chardev_conformance.spice_server.isolation import Isolated
from chardev_conformance.spice_server.judge import CRASH, WRONG, Finding
from chardev_conformance.spice_server.known import QUIRK
from chardev_conformance.spice_server.steps import Scenario
from tests.conformance.spice_server.peers import step


def test_a_short_hunt_finds_something(isolated: Isolated) -> None:
    """The hunt would run for hours and find nothing."""
    seen: list[int] = []

    def progress(campaign: Campaign) -> None:
        seen.append(sum(campaign.steps.values()))

    campaign = hunt(1, steps=400, progress=progress)
    assert seen == sorted(seen)
    assert sum(campaign.steps.values()) >= 400
    assert abs(campaign.scenarios["well-behaved"] - campaign.scenarios["wild"]) <= 1
    assert {CRASH, QUIRK} <= {each.finding.kind for each in campaign.found.values()}
    assert all(key == each.finding.key for key, each in campaign.found.items())


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
