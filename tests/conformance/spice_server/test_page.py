"""Findings as files and as a page."""

from pathlib import Path

from chardev_conformance.spice_server.hunt import Campaign, Found
from chardev_conformance.spice_server.judge import CRASH, Finding
from chardev_conformance.spice_server.page import file_name, page, summary, write_all, write_record
from chardev_conformance.spice_server.steps import Scenario
from tests.conformance.spice_server.peers import step

SYMPTOM = "SIGTRAP: Spice-ERROR **: reds.cpp:7: assertion `a->b' failed"
FINDING = Finding(CRASH, ("MIG-2",), SYMPTOM, "step 1: stop", "the server goes on", SYMPTOM)
STOP = step("stop", server="A")


def test_a_longer_scenario_replaces_no_shorter_one(tmp_path: Path) -> None:
    """Each hunt would make the page worse or better by chance."""
    short = Found(FINDING, Scenario("agent", (STOP,)), wild=True, seconds=1.0)
    long = Found(FINDING, Scenario("agent", (STOP, STOP)), wild=True, seconds=1.0)
    file = tmp_path / file_name(FINDING)
    for found in (long, short, long):
        write_all(tmp_path, [found])
    assert file.name == "crash-reds.cpp-7-a-b-failed.jsonl"
    assert len(file.read_text(encoding="utf-8").splitlines()) == 2


def test_well_behaved_peers_replace_wild_ones(tmp_path: Path) -> None:
    """A crash that needs no wild peer would be told as one that does."""
    wild = Found(FINDING, Scenario("agent", (STOP,)), wild=True, seconds=1.0)
    well = Found(FINDING, Scenario("agent", (STOP, STOP)), wild=False, seconds=1.0)
    for found in (wild, well, wild):
        write_all(tmp_path, [found])
    assert '"peers": "well-behaved"' in (tmp_path / file_name(FINDING)).read_text(encoding="utf-8")


def test_the_page_shows_stimulus_and_command(tmp_path: Path) -> None:
    """A reader could not replay what the page tells."""
    write_all(tmp_path, [Found(FINDING, Scenario("agent", (STOP,)), wild=True, seconds=1.0)])
    assert page(tmp_path).endswith(
        """
The server comes to an end
--------------------------

An assertion, a memory fault or an allocation that cannot be met ends the process:
in use that is the virtual machine.
*Well-behaved* means that nobody broke the protocol.

.. _spice-server-crash-reds.cpp-7-a-b-failed:

SIGTRAP: reds.cpp:7: assertion a-b' failed
~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~

Severity: crash by the host, wild; rules: MIG-2.

.. code-block:: text

   stage agent: one client, and an agent on a port that does not announce writability
     1. stop server=A
   expected: the server goes on
   seen:     SIGTRAP: Spice-ERROR **: reds.cpp:7: assertion `a->b' failed

.. code-block:: sh

   chardev check spice-server --replay docs/spice-server/crash-reds.cpp-7-a-b-failed.jsonl
"""
    )


def campaign_of(seconds: float) -> Campaign:
    """A campaign with a finding within the first minute, and one later than ten."""
    early = Found(FINDING, Scenario("agent", (STOP,)), wild=True, seconds=59.0)
    late = Found(FINDING, Scenario("agent", (STOP,)), wild=True, seconds=601.0)
    campaign = Campaign(7, found={("a", "b"): early, ("c", "d"): late}, seconds=seconds)
    campaign.scenarios = {"well-behaved": 2, "wild": 1}
    campaign.steps = {"well-behaved": 1500, "wild": 30}
    return campaign


def test_a_hunt_says_how_it_grew() -> None:
    """The figure of ten minutes would be that of the whole hunt."""
    assert summary(campaign_of(700.0)).splitlines()[:3] == [
        "distinct     2 findings in 700 s from an empty start: 2 crashes, 0 wrong, 0 known deviations",
        "             1 after 60 s, 1 after 600 s, 2 after 700 s",
        "steps        1,530: 1,500 in 2 well-behaved scenarios, 30 in 1 wild scenarios",
    ]


def test_the_page_tells_of_the_longest_hunt(tmp_path: Path) -> None:
    """A hunt of a minute would make the page forget that of an hour."""
    write_record(tmp_path, campaign_of(3600.0))
    write_record(tmp_path, campaign_of(3000.0))
    assert """
One process, from an empty start, with seed 7:
1,530 steps (1,500 in 2 well-behaved scenarios, 30 in 1 wild scenarios); 0 scenarios ended with the process.
The machine was shared with other work.

.. list-table::
   :header-rows: 1

   * - After
     - Crashes
     - Other faults
     - Known deviations
     - All
   * - 1 minute
     - 1
     - 0
     - 0
     - 1
   * - 10 minutes
     - 1
     - 0
     - 0
     - 1
   * - 60 minutes
     - 2
     - 0
     - 0
     - 2
""" in page(tmp_path)
