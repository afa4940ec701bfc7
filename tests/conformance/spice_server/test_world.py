"""The real library: it links, tokens flow both ways, state moves from server to server."""

from chardev_conformance.spice_server.isolation import Isolated, Outcome
from chardev_conformance.spice_server.observation import Observation
from chardev_conformance.spice_server.stages import STAGES
from chardev_conformance.spice_server.steps import Scenario, Step
from tests.conformance.spice_server.peers import chunk, clipboard, step


def run(isolated: Isolated, stage: str, *steps: Step) -> Outcome:
    """What becomes of steps that go through to the end."""
    outcome = isolated.run(Scenario(stage, steps))
    assert (outcome.end, outcome.said) == ("", [])
    return outcome


HANDSHAKE = (
    step("connect", server="A"),
    step("seamless", client="c1B", version=1),
    step("connected", client="c1"),
)


def test_every_stage_links(isolated: Isolated) -> None:
    """Scenarios of a stage would all begin with a client that is not there."""
    for stage, plan in STAGES.items():
        outcome = isolated.run(Scenario(stage, (step("advance", milliseconds=1),)))
        assert (outcome.end, outcome.observations) == ("", [Observation()])
        assert len(plan.clients) >= 1


def test_client_tokens_return_after_five(isolated: Isolated) -> None:
    """A client of the agent would be stopped by its window, or told of tokens that it does not have."""
    data = [step("data", client="c1", bytes=clipboard(i)) for i in range(5)]
    outcome = run(isolated, "agent", step("start", client="c1", tokens=1), *data)
    assert [each.writes for each in outcome.observations[1:]] == [
        {"agentA": [(chunk(clipboard(i)), 32)]} for i in range(5)
    ]
    assert [each.received for each in outcome.observations] == [{}] * 5 + [
        {"c1": [("agent-token", "5")]}
    ]


def test_send_tokens_are_spent(isolated: Isolated) -> None:
    """Messages would reach a client that has not granted them, or none would."""
    both = chunk(clipboard(1)) + chunk(clipboard(2))
    outcome = run(
        isolated,
        "agent",
        step("start", client="c1", tokens=1),
        step("feed", port="agentA", bytes=both),
        step("wakeup", port="agentA"),
        step("tokens", client="c1", tokens=1),
    )
    assert outcome.observations[2:] == [
        Observation(received={"c1": [("agent-data", clipboard(1))]}, unread={"agentA": 32}),
        Observation(received={"c1": [("agent-data", clipboard(2))]}),
    ]


def test_a_stalled_port_is_tried_again(isolated: Isolated) -> None:
    """The virtual clock would not reach the library's timers."""
    message = chunk(clipboard(1))
    outcome = run(
        isolated,
        "agent",
        step("start", client="c1", tokens=1),
        step("room", port="agentA", bytes=20),
        step("data", client="c1", bytes=clipboard(1)),
        step("room", port="agentA", bytes=-1),
        step("advance", milliseconds=99),
        step("advance", milliseconds=1),
    )
    due = {"A": [100]}
    assert outcome.observations[2:] == [
        Observation(writes={"agentA": [(message, 20), (message[40:], 0)]}, retry=due),
        Observation(retry=due),
        Observation(retry=due),
        Observation(writes={"agentA": [(message[40:], 12)]}),
    ]


def test_a_violation_ends_the_connection(isolated: Isolated) -> None:
    """A client that overruns its window would be served."""
    data = [step("data", client="c1", bytes=clipboard(i)) for i in range(11)]
    outcome = isolated.run(
        Scenario(
            "agent",
            (
                step("start", client="c1", tokens=1),
                step("room", port="agentA", bytes=0),
                *data,
            ),
        )
    )
    assert outcome.end == ""
    assert [each.closed for each in outcome.observations] == [[]] * 12 + [["c1"]]


def test_state_moves_from_server_to_server(isolated: Isolated) -> None:
    """A migration would lose what was queued, or write it twice."""
    data = [step("data", client="c1", bytes=clipboard(i)) for i in range(3)]
    outcome = run(
        isolated,
        "migration",
        step("start", client="c1", tokens=5),
        step("room", port="agentA", bytes=20),
        *data,
        *HANDSHAKE,
        step("migrate", server="A"),
        step("flush", client="c1"),
        step("attach", port="agentB"),
        step("restore", client="c1B", source="c1", patches=[], size=-1),
    )
    pending = "".join(chunk(clipboard(i)) for i in range(3))[40:]
    record = "01000000 01 07000000 05000000 4c000000 03000000 41000000".replace(" ", "")
    assert outcome.observations[-3].received == {
        "c1": [("migrate-data", "4d4e4d4401000000" + record + "01" + "00" * 31 + pending)]
    }
    assert outcome.observations[-2:] == [
        Observation(told={"agentB": ["state 1"]}),
        Observation(writes={"agentB": [(pending, len(pending) // 2)]}),
    ]


def test_a_port_moves_from_server_to_server(isolated: Isolated) -> None:
    """The channel of a port would not be migrated at all."""
    outcome = run(
        isolated,
        "port-migration",
        step("room", port="portA", bytes=1),
        step("data", client="c1port", bytes="aabb"),
        *HANDSHAKE,
        step("migrate", server="A"),
        step("flush", client="c1port"),
        step("restore", client="c1portB", source="c1port", patches=[], size=-1),
    )
    assert outcome.observations[-1] == Observation(writes={"portB": [("bb", 1)]})
