"""Clients that do not read: nothing is lost, nothing piles up, and what is wrong is found."""

from dataclasses import replace

from chardev_conformance.spice_server.isolation import Isolated, Outcome
from chardev_conformance.spice_server.judge import HOARD_MOST, WRONG, Finding, judge
from chardev_conformance.spice_server.known import release, specified
from chardev_conformance.spice_server.observation import Observation, total
from chardev_conformance.spice_server.steps import Scenario
from tests.conformance.spice_server.peers import chunk, clipboard, step

FLOOD = chunk(clipboard(7, 2020)) * 40
SILENCE = Scenario(
    "agent",
    (
        step("start", client="c1", tokens=100),
        step("deaf", client="c1"),
        step("feed", port="agentA", bytes=FLOOD),
        step("wakeup", port="agentA"),
        step("hear", client="c1"),
    ),
)


def test_the_library_reads_what_it_can_hold_and_loses_nothing(isolated: Isolated) -> None:
    """A slow client would cost messages, or the server its memory."""
    outcome = isolated.run(SILENCE)
    read = len(FLOOD) // 2 - outcome.observations[3].unread["agentA"]
    assert 5 * 2048 <= read <= HOARD_MOST
    assert outcome.observations[3].received == {}
    assert len(outcome.observations[4].received["c1"]) == 40
    assert judge(SILENCE, outcome, release()) is None


def test_a_lost_message_is_found() -> None:
    """A server that drops what a slow client does not take would hold."""
    seen = specified(release(), SILENCE)
    received = {"c1": seen[3].received["c1"][1:]}
    seen = [*seen[:3], replace(seen[3], received={}), replace(seen[4], received=received)]
    finding = judge(SILENCE, Outcome(seen, "", []), release())
    assert finding is not None
    assert (finding.kind, finding.rules, finding.symptom, finding.where) == (
        WRONG,
        ("RD-2", "TOK-3"),
        "received at hear",
        "step 5: hear",
    )


def test_reading_without_bound_is_found() -> None:
    """A client could fill the memory of the virtual machine's process by doing nothing."""
    outcome = Outcome(specified(release(), SILENCE), "", [])
    assert judge(SILENCE, outcome, release()) == Finding(
        WRONG,
        ("DEV-2",),
        "reads without bound for a client that does not read",
        "step 4: wakeup",
        "at most 32,768 bytes are read from agentA",
        "81,920 bytes",
    )


def test_totals_do_not_go_by_attempts() -> None:
    """A server that tries a write twice would be told to write something else."""
    first = Observation(
        writes={"p": [("0102", 0), ("0102", 1)]}, received={"c": [("b", "1"), ("a", "2")]}
    )
    last = Observation(writes={"p": [("02", 1)]}, unread={"p": 3}, retry={"A": [100]})
    assert total([first, last]) == Observation(
        writes={"p": [("0102", 2)]}, unread={"p": 3}, received={"c": [("a", "2"), ("b", "1")]}
    )
