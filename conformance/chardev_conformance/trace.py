"""The trace format: one scenario as JSON Lines, to be replayed, shrunk, read, or made by anybody.

The first line is the header::

    {"format": "chardev-trace", "version": 1, "ports": {"p1": false}, "moves_per_call": null, ...}

`ports` says of each port whether it announces writability.
Further keys of the header (`target`, `profile`, `seed`, `finding`) tell where the trace comes from; a reader may leave
them aside.
Each line after it is one step, as `scenario.step_to_json` writes it.
"""

import json
from pathlib import Path
from typing import Any, Final

from chardev_conformance.lockstep import Finding
from chardev_conformance.scenario import (
    NAME_RULE,
    Answer,
    Scenario,
    ScenarioError,
    Step,
    is_name,
    step_from_json,
    step_to_json,
)

FORMAT: Final = "chardev-trace"
VERSION: Final = 1

LEGEND: Final = (
    "legend: N. call(arguments) = name   one call of the API on device d1, or on the one named before it\n"
    "        < callback -> answer        what the device called back, and how that was answered\n"
    "        N.M. call(...)              a call made inside the callback above it"
)


def dumps(scenario: Scenario, **origin: Any) -> str:
    """The trace as text; `origin` are further keys of the header."""
    header = {
        "format": FORMAT,
        "version": VERSION,
        "ports": scenario.ports,
        "moves_per_call": scenario.moves_per_call,
        **origin,
    }
    lines = [header, *map(step_to_json, scenario.steps)]
    return "".join(json.dumps(line) + "\n" for line in lines)


def finding_to_json(finding: Finding) -> dict[str, Any]:
    """A finding as JSON data."""
    return {
        "rules": list(finding.rules),
        "where": finding.where,
        "allowed": finding.allowed,
        "seen": finding.seen,
        "symptom": finding.symptom,
    }


def loads(text: str, name: str) -> Scenario:
    """The scenario of a trace; raises `ScenarioError` naming the line of file `name` that is wrong."""
    # Not `splitlines`: JSON strings may hold what else it takes for the end of a line.
    lines = [(i, line) for i, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        raise ScenarioError(f"{name}: the trace is empty")
    values = [(f"{name}:{i}", _parse(line, f"{name}:{i}")) for i, line in lines]
    where, header = values[0]
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ScenarioError(f'{where}: not a trace: the first line must have "format": "{FORMAT}"')
    version = header.get("version")
    if version != VERSION or not isinstance(version, int) or isinstance(version, bool):
        raise ScenarioError(
            f"{where}: trace version {version!r}; this program reads version {VERSION}"
        )
    ports, limit = header.get("ports", {"p1": False}), header.get("moves_per_call")
    if not isinstance(ports, dict) or not ports:
        raise ScenarioError(f"{where}: ports must name at least one port")
    for port, announces in ports.items():
        if not is_name(port):
            raise ScenarioError(f"{where}: a port cannot be called {port!r}; {NAME_RULE}")
        if not isinstance(announces, bool):
            raise ScenarioError(
                f"{where}: port {port} must be true (it announces writability) or false, not {announces!r}"
            )
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise ScenarioError(
            f"{where}: moves_per_call must be null or a number above 0, not {limit!r}"
        )
    return Scenario(ports, limit, [step_from_json(data, place) for place, data in values[1:]])


def _parse(line: str, where: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise ScenarioError(f"{where}: not JSON: {error}") from None
    except RecursionError:
        raise ScenarioError(f"{where}: not JSON that a trace can hold: nested too deep") from None


def load(path: Path) -> Scenario:
    """The scenario in a file; raises `ScenarioError` when it cannot be read or understood."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ScenarioError(f"{path}: cannot be read: {reason}") from None
    return loads(text, str(path))


def readable(scenario: Scenario) -> str:
    """The scenario as a list of steps, one line a step."""
    return "\n".join(_step_lines(scenario.steps, "", 1))


def _step_lines(steps: list[Step], prefix: str, first: int) -> list[str]:
    lines = []
    indent = " " * 8 * prefix.count(".")
    for i, step in enumerate(steps, start=first):
        arguments = ", ".join(_argument_texts(step))
        device = "" if step.device == "d1" else f"{step.device}."
        name = f" = {step.result_name}" if step.result_name else ""
        lines.append(f"{indent}{prefix}{i}. {device}{step.call}({arguments}){name}")
        inside = 1
        for answer in step.answers:
            lines.append(f"{indent}    < {_answer_text(answer)}")
            lines.extend(_step_lines(answer.calls, f"{prefix}{i}.", inside))
            inside += len(answer.calls)
    return lines


def _argument_texts(step: Step) -> list[str]:
    """The arguments; named where there are too many to know them by their place."""
    texts = [
        value if isinstance(value, str) and value else json.dumps(value)
        for value in step.arguments.values()
    ]
    if len(texts) <= 2:
        return texts
    return [f"{name}={text}" for name, text in zip(step.arguments, texts, strict=True)]


def _answer_text(answer: Answer) -> str:
    if answer.raises:
        return f"{answer.on} -> raises"
    if answer.on == "read_one_msg_from_device":
        return f"{answer.on} -> {'a message' if answer.value else 'nothing'}"
    if answer.on == "write":
        words = {"fail": "fails", "over": "says that it took more than was offered"}
        taken = "all" if answer.value is None else answer.value
        return f"{answer.on} -> {words.get(str(taken), f'takes {taken}')}"
    return answer.on
