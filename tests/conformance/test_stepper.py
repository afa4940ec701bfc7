"""What the page that steps through the machine is told: JSON in, JSON out."""

import json
from pathlib import Path
from typing import Any

from chardev_conformance.stepper import opened, view

EXAMPLE = Path(__file__).parents[2] / "docs/example-trace.jsonl"


def shown(**request: Any) -> dict[str, Any]:
    """A view; what the request leaves out is as for a new scenario."""
    usual = {"ports": {"p1": False}, "profile": "contract", "decisions": [], "position": 0}
    answer: dict[str, Any] = json.loads(view(json.dumps(usual | request)))
    return answer


def test_a_trace_can_be_cut_anywhere_and_opened_again() -> None:
    """The address of a scenario would lead to another one, or to none."""
    text = EXAMPLE.read_text(encoding="utf-8")
    trace = json.loads(opened(text))
    decisions = trace["decisions"]
    for position in range(len(decisions) + 1):
        part = shown(ports=trace["ports"], decisions=decisions[:position], position=position)
        again = json.loads(opened(part["trace"]))
        assert again["decisions"][:position] == decisions[:position]


def test_what_makes_no_sense_changes_nothing() -> None:
    """A wrong argument would lose the scenario, or not be explained."""
    answer = shown(proposed={"step": {"call": "start"}})
    assert answer["error"] == "there is no device d1; create it first"
    assert answer["decisions"] == []


def test_a_new_decision_drops_those_that_were_undone() -> None:
    """After going back and doing something else, the list of steps would be of two scenarios."""
    create = {
        "step": {
            "call": "create",
            "arguments": {"port": "p1", "client_tokens_interval": 1, "self_tokens": 0},
        }
    }
    stop, reset = {"step": {"call": "stop"}}, {"step": {"call": "reset"}}
    answer = shown(decisions=[create, stop], position=1, proposed=reset)
    assert answer["decisions"] == [create, reset]
    assert answer["position"] == 2


def test_a_callback_without_arguments_waits() -> None:
    """A callback that says nothing would be taken for the end of the call."""
    trace = json.loads(opened(EXAMPLE.read_text(encoding="utf-8")))
    moments = shown(ports=trace["ports"], decisions=trace["decisions"], position=0)["moments"]
    (freed,) = [each for each in moments if each["led"] == "on_free_self_token()"]
    assert freed["led_kind"] == "callback"


def test_a_file_that_is_no_trace() -> None:
    """The page would stop working at a wrong file."""
    assert json.loads(opened("{}"))["error"].startswith("the file:1: not a trace")
