"""Verdicts about what a server did."""

from chardev_conformance.spice_server.isolation import Outcome
from chardev_conformance.spice_server.judge import CRASH, WRONG, Finding, judge
from chardev_conformance.spice_server.known import QUIRK, explain, release, specified
from chardev_conformance.spice_server.observation import Observation
from chardev_conformance.spice_server.owner_quirks import Implementation
from chardev_conformance.spice_server.steps import Scenario, readable
from chardev_spec.contract import Contract
from tests.conformance.spice_server.peers import clipboard, step

CONTRACT = Implementation(Contract)
RESET = Scenario(
    "agent",
    (
        step("start", client="c1", tokens=1),
        step("data", client="c1", bytes=clipboard(1)),
        step("detach", port="agentA"),
    ),
)


def as_released(scenario: Scenario, end: str = "", said: tuple[str, ...] = ()) -> Outcome:
    """What becomes of a scenario that goes as the release has it."""
    return Outcome(specified(release(), scenario), end, [*said])


def test_what_is_as_specified_is_no_finding() -> None:
    """Everything would be a finding."""
    assert judge(RESET, as_released(RESET), release()) is None


def test_a_difference_is_a_finding_and_its_quirk_is_named() -> None:
    """The verdict would not say what was broken."""
    outcome = as_released(RESET)
    finding = judge(RESET, outcome, CONTRACT)
    expected = "received {'c1': [('agent-token', '1'), ('agent-disconnected', '')]}"
    seen = "received {'c1': [('agent-disconnected', '')]}"
    where = "step 3: detach"
    assert finding == Finding(WRONG, ("RD-2", "TOK-3"), "received at detach", where, expected, seen)
    assert explain(RESET, outcome, finding) == Finding(
        QUIRK,
        ("LC-3", "TOK-6", "RD-2", "TOK-3"),
        "ResetFoldsFreedTokens: Freed tokens become client tokens at the end of a reset, and nobody is told.",
        where,
        expected,
        seen,
    )


def test_a_death_is_told_by_what_was_said() -> None:
    """Two assertions would be one finding, or one assertion two."""
    line = "Spice-ERROR **: ../server/char-device.cpp:831:restore: version 7 is bigger than self 1"
    outcome = Outcome(as_released(RESET).observations[:2], "SIGTRAP", ["a warning", line])
    finding = judge(RESET, outcome, release())
    symptom = (
        "SIGTRAP: Spice-ERROR **: char-device.cpp:831:restore: version N is bigger than self 1"
    )
    assert finding == Finding(
        CRASH, ("CB-1",), symptom, "step 3: detach", "the server goes on", symptom
    )
    assert finding.key == ("crash", symptom)
    assert judge(RESET, outcome, release(), deaths=False) is None


def test_more_messages_than_granted_are_seen_whoever_is_wild() -> None:
    """A server that overruns its client would hold as soon as a peer breaks the protocol."""
    scenario = Scenario(
        "agent",
        (
            step("start", client="c1", tokens=1),
            step("flush", client="c1"),
            step("wakeup", port="agentA"),
        ),
    )
    quiet = Observation()
    loud = Observation(received={"c1": [("agent-data", "00")] * 2})
    finding = judge(scenario, Outcome([quiet, quiet, loud], "", []), release())
    assert finding == Finding(
        WRONG,
        ("RD-6",),
        "more messages than granted",
        "step 3: wakeup",
        "at most 1 messages for c1",
        "2 messages",
    )


def test_a_scenario_can_be_read() -> None:
    """A finding would have to be read as JSON."""
    assert readable(Scenario("agent", (step("start", client="c1", tokens=1),))) == (
        "stage agent: one client, and an agent on a port that does not announce writability\n"
        "  1. start client=c1 tokens=1"
    )
