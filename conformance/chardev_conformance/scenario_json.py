"""Steps and answers as JSON data: what a line of a trace holds.

What an implementation was seen to do stands beside what was done to it: ``with`` and ``buffers`` in an answer,
``outcome`` and ``timers`` in a step.
"""

from collections.abc import Sequence
from typing import Any, Final

from chardev_conformance.adapters.protocol import ProtocolError, event_from_json, event_to_json
from chardev_conformance.scenario import (
    EVENT_NAMES,
    NAME_RULE,
    NESTING_LIMIT,
    PARAMETERS,
    RESULTS,
    SIZE_LIMIT,
    Answer,
    Kind,
    Outcome,
    ScenarioError,
    Step,
    is_name,
    kind,
)
from chardev_conformance.target import Timers
from chardev_spec.events import Callback

OUTCOMES: Final = ("returned", "refused", "raised", "broken", "callback")
"""How a call can be seen to end."""

STEP_KEYS: Final = frozenset({"call", "arguments", "answers", "device", "as", "outcome", "timers"})
ANSWER_KEYS: Final = frozenset({"on", "value", "raises", "calls", "with", "buffers"})


def step_to_json(step: Step, ports: Sequence[str] = ()) -> dict[str, Any]:
    """The step as JSON data; what is as usual is left out.

    `ports` names the ports in their order, for what was seen.
    """
    data: dict[str, Any] = {"call": step.call}
    if step.device != "d1":
        data["device"] = step.device
    if step.arguments:
        data["arguments"] = step.arguments
    if step.result_name is not None:
        data["as"] = step.result_name
    if step.answers:
        data["answers"] = [answer_to_json(answer, ports) for answer in step.answers]
    if step.outcome is not None and step.outcome != Outcome():
        data["outcome"] = _outcome_to_json(step.outcome, ports)
    if step.timers:
        data["timers"] = {device: _timers_to_json(each) for device, each in step.timers.items()}
    return data


def _outcome_to_json(outcome: Outcome, ports: Sequence[str]) -> dict[str, Any]:
    if outcome.kind != "callback":
        return {outcome.kind: outcome.value}
    name, arguments = event_to_json(outcome.value, dict(enumerate(ports, start=1)))
    return {"callback": {"on": name, "with": arguments}}


def _timers_to_json(timers: Timers) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if timers.retry_ms is not None:
        data["retry"] = timers.retry_ms
    if timers.wait_ms:
        data["wait"] = timers.wait_ms
    return data


def answer_to_json(answer: Answer, ports: Sequence[str] = ()) -> dict[str, Any]:
    """The answer as JSON data; what is as usual is left out."""
    data: dict[str, Any] = {"on": answer.on}
    if answer.event is not None:
        _, arguments = event_to_json(answer.event, dict(enumerate(ports, start=1)))
        data |= {"with": arguments} if arguments else {}
    if answer.buffers is not None:
        data["buffers"] = answer.buffers
    if answer.value is not None:
        data["value"] = answer.value
    if answer.raises:
        data["raises"] = True
    if answer.calls:
        data["calls"] = [step_to_json(step, ports) for step in answer.calls]
    return data


def step_from_json(
    data: Any, where: str, depth: int = 0, ports: Sequence[str] | None = None
) -> Step:
    """The step that JSON data says; raises `ScenarioError` naming what is wrong `where`.

    With `ports`, their names in order, it is read with what was seen.
    """
    if not isinstance(data, dict):
        raise ScenarioError(f"{where}: a step must be an object, not {_json_type(data)}")
    call = data.get("call")
    if not isinstance(call, str) or call not in PARAMETERS:
        raise ScenarioError(f"{where}: unknown call {call!r}; known are {', '.join(PARAMETERS)}")
    if call == "advance" and depth:
        raise ScenarioError(
            f"{where}: no time passes inside a callback; put advance before or after the step"
        )
    _check_keys(data, STEP_KEYS, f"{where}: a step")
    arguments = data.get("arguments", {})
    if not isinstance(arguments, dict) or set(arguments) != set(PARAMETERS[call]):
        expected = ", ".join(PARAMETERS[call]) or "none"
        raise ScenarioError(f"{where}: {call} takes the arguments {expected}")
    for name, value in arguments.items():
        _check_argument(kind(call, name), value, f"{where}: argument {name} of {call}")
    answers = data.get("answers", [])
    if not isinstance(answers, list):
        raise ScenarioError(
            f"{where}: the answers of {call} must be a list, not {_json_type(answers)}"
        )
    device, result_name = data.get("device", "d1"), data.get("as")
    if not is_name(device):
        raise ScenarioError(f"{where}: device must be a name, not {device!r}; {NAME_RULE}")
    if result_name is not None and not is_name(result_name):
        raise ScenarioError(f"{where}: as must be a name, not {result_name!r}; {NAME_RULE}")
    if result_name is not None and call not in RESULTS:
        raise ScenarioError(f"{where}: {call} hands nothing out that 'as' could name")
    # In the order of the parameters, whatever the order of the keys: implementations are called by position.
    return Step(
        call,
        {name: arguments[name] for name in PARAMETERS[call]},
        [
            answer_from_json(each, f"{where}: answer {i}", depth, ports)
            for i, each in enumerate(answers, start=1)
        ],
        device,
        result_name,
        None if ports is None else _outcome_from_json(data.get("outcome"), where, ports),
        {} if ports is None else _timers_from_json(data.get("timers", {}), where),
    )


def _outcome_from_json(data: Any, where: str, ports: Sequence[str]) -> Outcome:
    if data is None:
        return Outcome()
    if not isinstance(data, dict) or len(data) != 1 or not set(data) <= set(OUTCOMES):
        raise ScenarioError(
            f"{where}: outcome must be an object with one of {', '.join(OUTCOMES)}, not {data!r}"
        )
    [(outcome, value)] = data.items()
    if outcome in {"refused", "broken"} and not isinstance(value, str):
        raise ScenarioError(f"{where}: outcome {outcome} must be a text, not {value!r}")
    if outcome == "returned" and not isinstance(value, bool | str | None):
        raise ScenarioError(
            f"{where}: what was returned must be true, false, null or bytes in hexadecimal, not {value!r}"
        )
    if outcome == "callback":
        if not isinstance(value, dict):
            raise ScenarioError(f"{where}: outcome callback must be an object, not {value!r}")
        value = _event(value.get("on"), value.get("with", {}), where, ports)
    return Outcome(outcome, value)


def _timers_from_json(data: Any, where: str) -> dict[str, Timers]:
    form = '{"d1": {"retry": 100, "wait": {"c1": 30000}}}'
    if not isinstance(data, dict) or not all(isinstance(each, dict) for each in data.values()):
        raise ScenarioError(f"{where}: timers must be an object like {form}, not {data!r}")
    result = {}
    for device, each in data.items():
        retry, waits = each.get("retry"), each.get("wait", {})
        right = set(each) <= {"retry", "wait"} and isinstance(waits, dict)
        due = [*(waits.values() if right else ()), *(() if retry is None else (retry,))]
        if not right or not all(type(time) is int for time in due):
            raise ScenarioError(f"{where}: timers must be an object like {form}, not {data!r}")
        result[device] = Timers(retry, waits)
    return result


def _event(name: Any, arguments: Any, where: str, ports: Sequence[str]) -> Callback:
    try:
        return event_from_json(name, arguments, {port: i for i, port in enumerate(ports, start=1)})
    except ProtocolError as error:
        raise ScenarioError(f"{where}: {error}") from None


def _json_type(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a string",
        bool: "true or false",
        type(None): "null",
    }
    return names.get(type(value), "a number")


def _check_keys(data: dict[str, Any], known: frozenset[str], what: str) -> None:
    unknown = sorted(set(data) - known)
    if unknown:
        raise ScenarioError(f"{what} has no {unknown[0]!r}; it may have {', '.join(sorted(known))}")


def _check_argument(expected: Kind, value: Any, where: str) -> None:
    number = isinstance(value, int) and not isinstance(value, bool)
    right = False
    match expected:
        case Kind.NAME:
            right = is_name(value)
        case Kind.NAME_OR_NULL:
            right = value is None or is_name(value)
        case Kind.FLAG:
            right = isinstance(value, bool)
        case Kind.NUMBER:
            right = number
        case Kind.SIZE:
            right = number and value <= SIZE_LIMIT
        case Kind.DURATION:
            right = number and value >= 0
        case Kind.BYTES:
            right = isinstance(value, str) and _is_hexadecimal(value)
    if not right:
        rule = f"; {NAME_RULE}" if expected in {Kind.NAME, Kind.NAME_OR_NULL} else ""
        raise ScenarioError(f"{where} must be {expected.value}, not {value!r}{rule}")


def _is_hexadecimal(text: str) -> bool:
    try:
        bytes.fromhex(text)
    except ValueError:
        return False
    return True


def answer_from_json(
    data: Any, where: str, depth: int = 0, ports: Sequence[str] | None = None
) -> Answer:
    """The answer that JSON data says; raises `ScenarioError` naming what is wrong `where`."""
    if not isinstance(data, dict):
        raise ScenarioError(f"{where}: an answer must be an object, not {_json_type(data)}")
    on, value, raises = data.get("on"), data.get("value"), data.get("raises", False)
    if not isinstance(on, str) or on not in EVENT_NAMES.values():
        raise ScenarioError(
            f"{where}: 'on' must be one of {', '.join(EVENT_NAMES.values())}, not {on!r}"
        )
    _check_keys(data, ANSWER_KEYS, f"{where}: an answer")
    if on == "write":
        number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        if not number and value not in ("all", "fail", "over", None):
            raise ScenarioError(
                f"{where}: a write is answered with a number of bytes, 'all', 'fail' or 'over', not {value!r}"
            )
    elif on == "read_one_msg_from_device":
        if not isinstance(value, bool | None):
            raise ScenarioError(
                f"{where}: a read is answered with true (a message) or false, not {value!r}"
            )
    elif value is not None:
        raise ScenarioError(f"{where}: {on} is answered with nothing, not {value!r}")
    if not isinstance(raises, bool):
        raise ScenarioError(f"{where}: raises must be true or false, not {raises!r}")
    calls = data.get("calls", [])
    if not isinstance(calls, list):
        raise ScenarioError(f"{where}: calls must be a list of steps, not {_json_type(calls)}")
    if calls and depth == NESTING_LIMIT:
        raise ScenarioError(f"{where}: calls are nested more than {NESTING_LIMIT} deep")
    steps = [
        step_from_json(each, f"{where}, call {i}", depth + 1, ports)
        for i, each in enumerate(calls, start=1)
    ]
    event, buffers = None, data.get("buffers")
    if buffers is not None and (type(buffers) is not int or buffers < 1):
        raise ScenarioError(f"{where}: buffers must be a number above 0, not {buffers!r}")
    if ports is not None:
        event = _event(on, data.get("with", {}), where, ports)
    return Answer(on, value, raises, steps, event, buffers)
