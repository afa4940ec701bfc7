"""What a page shows that steps through the machine: JSON in, JSON out, and nothing kept in between.

The page has a list of decisions and a position in it.
For every view it hands over both; the decisions before the position are walked anew, so going back is nothing special.
Nothing here needs more than the standard library: the page runs it in the reader's browser.
"""

import json
from typing import Any, Final

from chardev_conformance.scenario import (
    EVENT_NAMES,
    PARAMETERS,
    RESULTS,
    Answer,
    Kind,
    Scenario,
    ScenarioError,
    Step,
    kind,
)
from chardev_conformance.scenario_json import (
    answer_from_json,
    answer_to_json,
    step_from_json,
    step_to_json,
)
from chardev_conformance.snapshots import HIDDEN, plain
from chardev_conformance.trace import dumps, loads_all
from chardev_conformance.walk import Begin, Decision, Moment, Reply, Walk, WalkError, walk
from chardev_conformance.walk_text import answer_text, call_text, end_text, event_text
from chardev_spec.events import Callback, PortWrite, ReadOneMsgFromDevice
from chardev_spec.invariants import INVARIANTS
from chardev_spec.profiles import PROFILES
from chardev_spec.record import MigrateData, encode_message

USUAL: Final[dict[str, Any]] = {
    "client_tokens_interval": 1,
    "self_tokens": 1,
    "do_flow_control": True,
    "max_send_queue_size": 2,
    "num_client_tokens": 2,
    "num_send_tokens": 1,
    "wait_for_migrate_data": False,
    "tokens": 1,
    "size": 4,
    "data": "0a0b0c0d",
    "milliseconds": 100,
    "message": "",
}
"""What the form for a call proposes."""


def view(request: str) -> str:
    """What the page shows at a position.

    `request` has ``ports``, ``profile``, ``decisions``, ``position``, and perhaps a ``proposed`` decision, which is
    taken at the position if it makes sense there; then those behind the position are dropped.
    The answer has everything that the page shows, or ``error`` beside the view without the proposed decision.
    """
    data = json.loads(request)
    taken = [_decision(each) for each in data["decisions"]]
    position = data["position"]
    error = None
    if data.get("proposed") is not None:
        try:
            proposed = _decision(data["proposed"])
            _walked(data, [*taken[:position], proposed])
        except (WalkError, ScenarioError) as raised:
            error = str(raised)
        else:
            taken = [*taken[:position], proposed]
            position += 1
    here = _walked(data, taken[:position])
    before = _walked(data, taken[: max(position - 1, 0)])
    everything = _walked(data, taken)
    return json.dumps({
        "decisions": [_to_json(each) for each in taken],
        "position": position,
        "moments": [_moment(each) for each in everything.moments],
        "waiting": _waiting(here),
        "stack": [open_call.step.call for open_call in here.stack],
        "refusal": _refusal(here),
        "calls": _calls(here),
        "states": _states(here, before),
        "invariants": _invariants(here),
        "trace": _trace(data, taken),
        "error": error,
    })  # fmt: skip


def opened(text: str) -> str:
    """A trace file as the decisions that it leads to, with what its header says of a finding; or ``error``."""
    try:
        trace = loads_all(text, "the file")[0]
    except ScenarioError as error:
        return json.dumps({"error": str(error)})
    scenario = trace.scenario
    profile = trace.header.get("profile", "contract")
    finding = trace.header.get("finding")
    done = walk(
        scenario, PROFILES[profile].machine if profile in PROFILES else PROFILES["contract"].machine
    )
    return json.dumps({
        "ports": scenario.ports,
        "moves_per_call": scenario.moves_per_call,
        "profile": profile if profile in PROFILES else "contract",
        "title": trace.header.get("title") or trace.header.get("name"),
        "decisions": [_to_json(each.decision) for each in done.moments],
        "finding": finding if isinstance(finding, dict) else None,
        "error": None,
    })  # fmt: skip


def profiles() -> str:
    """The profiles by name, with their titles."""
    return json.dumps({name: each.title for name, each in PROFILES.items()})


def _walked(data: dict[str, Any], decisions: list[Decision]) -> Walk:
    done = Walk(data["ports"], data.get("moves_per_call"), PROFILES[data["profile"]].machine)
    for each in decisions:
        done.take(each)
    return done


def _decision(data: dict[str, Any]) -> Decision:
    if "answer" in data:
        return Reply(answer_from_json(data["answer"], "the answer"))
    return Begin(step_from_json(data["step"], "the call"))


def _to_json(decision: Decision) -> dict[str, Any]:
    if isinstance(decision, Reply):
        plain = Answer(decision.answer.on, decision.answer.value, decision.answer.raises)
        return {"answer": answer_to_json(plain)}
    step = decision.step
    plain_step = Step(step.call, step.arguments, [], step.device, step.result_name)
    return {"step": step_to_json(plain_step)}


def _moment(moment: Moment) -> dict[str, Any]:
    """One line of what happened."""
    decision = moment.decision
    begins = isinstance(decision, Begin)
    text = call_text(decision.step) if isinstance(decision, Begin) else answer_text(decision.answer)
    if moment.refusal is not None:
        led = f"refused: {moment.refusal.message}"
    elif moment.waiting is not None:
        led = event_text(moment.waiting)
    else:
        led = end_text(moment)
    return {
        "kind": "call" if begins else "answer",
        "depth": len(moment.calls) if begins else len(moment.calls) - 1,
        "on": None if isinstance(decision, Begin) else decision.answer.on,
        "device": moment.device,
        "text": text,
        "led": led,
        "led_kind": _led_kind(moment),
    }


def _led_kind(moment: Moment) -> str:
    if moment.refusal is not None:
        return "refused"
    return "end" if moment.ended else "callback"


def _waiting(here: Walk) -> dict[str, Any] | None:
    """The callback that waits, and the ways to answer it."""
    event = here.waiting
    if event is None:
        return None
    name = EVENT_NAMES[type(event).__name__]
    return {
        "name": name,
        "event": type(event).__name__,
        "text": event_text(event),
        "answers": [
            {"label": label, "answer": {"on": name, **answer}} for label, answer in _answers(event)
        ],
        "most": len(event.data) if isinstance(event, PortWrite) else None,
    }


def _answers(event: Callback) -> list[tuple[str, dict[str, Any]]]:
    if isinstance(event, PortWrite):
        size = len(event.data)
        some = [(f"takes {size // 2} of {size}", {"value": size // 2})] if size > 1 else []
        return [
            (f"takes all {size}", {"value": "all"}),
            *some,
            ("takes nothing: not now", {"value": 0}),
            ("fails for good", {"value": "fail"}),
            ("says more than was offered", {"value": "over"}),
            ("raises", {"raises": True}),
        ]
    if isinstance(event, ReadOneMsgFromDevice):
        return [
            ("a message", {"value": True}),
            ("nothing", {"value": False}),
            ("raises", {"raises": True}),
        ]
    return [("returns", {}), ("raises", {"raises": True})]


def _refusal(here: Walk) -> dict[str, str] | None:
    """Why the last call was refused."""
    if not here.moments or (why := here.moments[-1].refusal) is None:
        return None
    return {
        "error": why.error,
        "rule": why.rule,
        "message": why.message,
        "condition": why.condition,
    }


def _calls(here: Walk) -> list[dict[str, Any]]:
    """Every call that can be tried, with its arguments and what they may be."""
    return [
        {
            "name": call,
            "result": _new_name(here, call) if call in RESULTS else None,
            "parameters": [
                {
                    "name": each,
                    "kind": kind(call, each).name,
                    "choices": _choices(here, call, each),
                    "usual": _usual(here, call, each),
                }
                for each in parameters
            ],
        }
        for call, parameters in PARAMETERS.items()
    ]


def _new_name(here: Walk, call: str) -> str:
    prefix = "x" if "marshall" in call else "b"
    number = 1
    while f"{prefix}{number}" in here.named:
        number += 1
    return f"{prefix}{number}"


def _choices(here: Walk, call: str, parameter: str) -> list[str]:
    """The names that an argument can be."""
    if parameter == "port":
        return [*here.ports]
    if parameter == "client":
        known = {row.peer for runner in here.runners.values() for row in runner.state.clients}
        return sorted({"c1", "c2"} | {str(each) for each in known})
    if parameter == "buffer":
        return [
            name for name, each in here.named.items() if not isinstance(each.value, MigrateData)
        ]
    if kind(call, parameter) is Kind.NAME:
        return [name for name, each in here.named.items() if isinstance(each.value, MigrateData)]
    return []


def _usual(here: Walk, call: str, parameter: str) -> Any:
    """What the form proposes for an argument."""
    choices = _choices(here, call, parameter)
    if choices:
        return choices[0]
    if call == "restore":
        for known in here.named.values():
            if isinstance(known.value, MigrateData):
                return encode_message(bytes(8), known.value).hex()
    return USUAL.get(parameter, "")


def _states(here: Walk, before: Walk) -> dict[str, list[dict[str, Any]]]:
    """Every device's state, its fields with a mark where the last decision changed them."""
    shown = {}
    for device in here.runners:
        old = before.snapshot(device) if device in before.runners else {}
        rows = []
        for thing, fields in here.snapshot(device).items():
            known = old.get(thing, {})
            rows.append({
                "thing": thing,
                "fields": [
                    {"name": name, "value": plain(value), "changed": name not in known or known[name] != value}
                    for name, value in fields.items()
                    if name not in HIDDEN
                ],
            })  # fmt: skip
        shown[device] = rows
    return shown


def _invariants(here: Walk) -> list[dict[str, Any]]:
    """Every invariant, and whether it holds of all devices."""
    return [
        {
            "name": each.name,
            "rules": each.rules,
            "text": each.text.splitlines()[0],
            "holds": all(here.holds(device, each) for device in here.runners),
        }
        for each in INVARIANTS
    ]


def _trace(data: dict[str, Any], decisions: list[Decision]) -> str:
    """The decisions as a trace file; callbacks that still wait are answered as usual when it is opened."""
    scenario = Scenario(data["ports"], data.get("moves_per_call"))
    inside: list[tuple[Step, list[Step]]] = []
    done = Walk(data["ports"], data.get("moves_per_call"), PROFILES[data["profile"]].machine)
    for each in decisions:
        moment = done.take(each)
        if isinstance(each, Begin):
            plain = Step(
                each.step.call, each.step.arguments, [], each.step.device, each.step.result_name
            )
            (inside[-1][1] if inside else scenario.steps).append(plain)
            if not moment.ended:
                inside.append((plain, []))
        else:
            step, calls = inside.pop()
            step.answers.append(
                Answer(each.answer.on, each.answer.value, each.answer.raises, calls)
            )
            if not moment.ended:
                inside.append((step, []))
    # What was called inside a callback that still waits belongs to its answer all the same.
    for (step, calls), open_call in zip(inside, done.stack, strict=True):
        if calls and open_call.call.event is not None:
            step.answers.append(
                Answer(EVENT_NAMES[type(open_call.call.event).__name__], calls=calls)
            )
    return dumps(scenario, profile=data["profile"])
