"""The report on the real library, in the form of every report; the library itself is not needed."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from chardev_conformance.comparison import read_report
from chardev_conformance.report_html import to_html
from chardev_conformance.report_junit import to_junit
from chardev_conformance.spice_server.judge import WRONG, Finding
from chardev_conformance.spice_server.report import Check, to_json, to_text
from chardev_conformance.spice_server.steps import Scenario, Step, dumps
from chardev_spec.profiles import profile_named

CONTRACT, RELEASE = profile_named("contract"), profile_named("spice-0.15")
FINDING = Finding(WRONG, ("LC-3", "TOK-3"), "received at <stop>", "step 1: stop", "a", "<b>")
SCENARIO = Scenario("agent", (Step("stop", {"server": "s1"}),))


def broken() -> Check:
    """A check with a finding in its second scenario."""
    return Check(7, scenarios=2, steps=30, seconds=1.5, finding=FINDING, scenario=SCENARIO)


def verdicts(data: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """What is said of each rule, and why."""
    return {each["rule"]: (each["verdict"], each["why"]) for each in data["rules"]}


def test_a_finding_breaks_its_rule() -> None:
    """A report on the library could not stand beside one on another target."""
    data = to_json(broken(), CONTRACT, "again")
    assert (data["format"], data["version"], data["verdict"]) == ("chardev-report", 2, "broken")
    assert (data["driver"], data["calls"], data["again"]) == ("random", 30, "again")
    assert verdicts(data)["LC-3"] == ("broken", "received at <stop>")
    assert data["findings"] == [
        {
            "rules": ["LC-3", "TOK-3"],
            "where": "step 1: stop",
            "allowed": "a",
            "seen": "<b>",
            "symptom": "received at <stop>",
            "name": None,
            "steps": 1,
            "trace": dumps(SCENARIO, profile="contract", finding=FINDING.to_json()),
        }
    ]


def test_a_rule_above_the_device_is_tested_with_its_port() -> None:
    """The machine has no function for DEV-1 and DEV-2: they would never be tested, or always."""
    check = Check(7, owners={"DEV-2"})
    said = verdicts(to_json(check, CONTRACT, ""))
    assert said["DEV-1"] == ("not tested", "not specified yet")
    assert said["DEV-2"] == ("holds", "")


def test_deviations_above_the_device() -> None:
    """What the release does otherwise above the device would be said to hold."""
    check = Check(None, owners={"DEV-1"})
    data = to_json(check, RELEASE, "")
    assert data["driver"] == "replay"
    assert verdicts(data)["DEV-1"] == ("deviation", "OneReadAWakeup")
    assert verdicts(data)["DEV-2"] == ("not tested", "not specified yet")


def test_rules_are_reached_by_the_specification() -> None:
    """Each rule would be said to hold, whatever was run; or CB-5, though no callback ends with an exception here."""
    check = Check(7)
    check.statistics.counting(CONTRACT.machine)
    before = verdicts(to_json(check, CONTRACT, ""))
    check.statistics.functions["stop"] = 1
    after = verdicts(to_json(check, CONTRACT, ""))
    assert before["LC-2"] == ("not tested", "nothing reached it")
    assert after["LC-2"] == ("holds", "")
    assert after["CB-5"] == ("not tested", "exceptions in callbacks")


def test_text() -> None:
    """What was found, on what, and how to see it again would not be told."""
    check = broken()
    check.deaths = Counter({"SIGTRAP": 2})
    lines = to_text(check, to_json(check, CONTRACT, "again")).split("\n")
    assert lines[1:8] == [
        "  1. stop server=s1",
        "",
        "rule         LC-3 (Reset); see also TOK-3",
        "where        step 1: stop",
        "allowed      a",
        "seen         <b>",
        "again        again",
    ]
    assert (
        "reached      deaths: 2 SIGTRAP (compared until then; --profile contract makes each a finding)"
        in lines
    )


def test_page_and_suite(tmp_path: Path) -> None:
    """The page would look for calls in steps, where there are none, and not be made."""
    data = to_json(broken(), CONTRACT, "again")
    path = tmp_path / "report.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    page = to_html(read_report(path))
    assert "  1. stop server=s1</pre>" in page
    assert "<b>" not in page
    assert 'aria-label="Sequence diagram of the 1 steps that break LC-3"' in page
    assert ">1. stop server=s1</text>" in page
    assert "What it changes in the state" not in page
    assert 'type="LC-3" message="received at &lt;stop&gt;"' in to_junit(data)
