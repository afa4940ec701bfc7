"""The specification in the place of the library: what is to be seen, without the library."""

import pytest

from chardev_conformance.spice_server.known import quirks_and_releases, release, specified
from chardev_conformance.spice_server.observation import Observation
from chardev_conformance.spice_server.owner_quirks import Implementation
from chardev_conformance.spice_server.specified import UnpredictableError
from chardev_conformance.spice_server.stages import STAGES
from chardev_conformance.spice_server.steps import Scenario
from chardev_spec.contract import Contract
from tests.conformance.spice_server.peers import chunk, clipboard, step

CONTRACT = Implementation(Contract)
START = step("start", client="c1", tokens=1)


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_happens_by_itself(stage: str) -> None:
    """A stage would begin with something that no step has brought about."""
    for implementation in (CONTRACT, release()):
        world = implementation.world(stage)
        assert world.perform(step("advance", milliseconds=1)) == Observation()


def test_a_reset_announces_by_the_contract_and_is_silent_in_the_release() -> None:
    """The two would not differ where they are known to."""
    scenario = Scenario(
        "agent",
        (START, step("data", client="c1", bytes=clipboard(1)), step("detach", port="agentA")),
    )
    state, gone = {"agentA": ["state 0"]}, ("agent-disconnected", "")
    assert specified(CONTRACT, scenario)[-1] == Observation(
        told=state, received={"c1": [("agent-token", "1"), gone]}
    )
    assert specified(release(), scenario)[-1] == Observation(told=state, received={"c1": [gone]})


def test_a_message_in_two_chunks_moves_with_the_source() -> None:
    """By the contract a migration inside a message would lose where the message ends."""
    whole = bytes.fromhex(clipboard(7, 40))
    first, second = chunk(whole[:30].hex()), chunk(whole[30:].hex())
    scenario = Scenario(
        "migration",
        (
            step("start", client="c1", tokens=9),
            step("feed", port="agentA", bytes=first),
            step("wakeup", port="agentA"),
            step("connect", server="A"),
            step("seamless", client="c1B", version=1),
            step("connected", client="c1"),
            step("migrate", server="A"),
            step("flush", client="c1"),
            step("attach", port="agentB"),
            step("restore", client="c1B", source="c1", patches=[], size=-1),
            step("feed", port="agentB", bytes=second),
            step("wakeup", port="agentB"),
        ),
    )
    seen = specified(CONTRACT, scenario)
    assert seen[2].received == {"c1": [("agent-data", whole[:30].hex())]}
    assert seen[-1] == Observation(received={"c1B": [("agent-data", whole[30:].hex())]})


@pytest.mark.parametrize("version", [1, 2])
def test_a_migration_that_is_refused_or_cancelled_changes_nothing(version: int) -> None:
    """A client would have to start over because its host changed its mind."""
    scenario = Scenario(
        "migration",
        (
            step("start", client="c1", tokens=1),
            step("connect", server="A"),
            step("seamless", client="c1B", version=version),
            *([step("connected", client="c1")] if version == 1 else []),
            step("cancel", server="A"),
            step("data", client="c1", bytes=clipboard(1)),
        ),
    )
    for implementation in (CONTRACT, release()):
        seen = specified(implementation, scenario)
        answer = {1: "seamless-ack", 2: "seamless-nack"}[version]
        assert seen[2] == Observation(received={"c1B": [(answer, "")]})
        assert seen[-2].received == ({"c1": [("migrate-cancel", "")]} if version == 1 else {})
        assert seen[-1] == Observation(writes={"agentA": [(chunk(clipboard(1)), 32)]})


def test_what_is_not_specified_is_said() -> None:
    """A comparison would go on with a state that nobody has specified."""
    world = CONTRACT.world("agent")
    with pytest.raises(UnpredictableError) as caught:
        world.perform(step("flush", client="c1"))
    assert str(caught.value) == "nobody asked for a flush mark"


def test_a_release_without_a_quirk_is_the_release_but_for_that() -> None:
    """A quirk would be witnessed by what another one does."""
    known = quirks_and_releases()
    assert len({each.machine for each in known.values()}) > 20
    for quirk, without in known.items():
        assert quirk not in without.owner_quirks
        assert not issubclass(without.machine, quirk)
