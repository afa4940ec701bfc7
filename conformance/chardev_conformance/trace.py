"""The trace format: scenarios as JSON Lines, to be replayed, judged, shrunk, read, or made by anybody.

A trace begins with its header::

    {"format": "chardev-trace", "version": 2, "ports": {"p1": false}, "moves_per_call": null, ...}

`ports` says of each port whether it announces writability.
With `observed` the steps hold what an implementation was seen to do, not only what was done to it.
Further keys of the header (`target`, `profile`, `seed`, `finding`, `name`, `rules`) tell what the trace is; a reader
may leave them aside.
Each line after it is one step, as `scenario_json.step_to_json` writes it.
A file may hold several traces: each header begins another.
"""

import gzip
import json
import lzma
from collections.abc import Callable
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path
from typing import Any, Final

from chardev_conformance.lockstep import Finding
from chardev_conformance.scenario import (
    NAME_RULE,
    Answer,
    Observed,
    Scenario,
    ScenarioError,
    Step,
    is_name,
)
from chardev_conformance.scenario_json import step_from_json, step_to_json
from chardev_conformance.target import OPTIONAL_CALLBACKS

FORMAT: Final = "chardev-trace"
VERSION: Final = 2
READABLE: Final = (1, 2)
"""Version 1 had no observations, and one trace a file."""

DECOMPRESS: Final[dict[str, Callable[[bytes], bytes]]] = {
    ".gz": gzip.decompress,
    ".xz": lzma.decompress,
}
"""How a compressed file is read, by the end of its name."""

LEGEND: Final = (
    "legend: N. call(arguments) = name   one call of the API on device d1, or on the one named before it\n"
    "        < callback -> answer        what the device called back, and how that was answered\n"
    "        N.M. call(...)              a call made inside the callback above it"
)


@dataclass(frozen=True, slots=True)
class Trace:
    """One trace of a file: where it begins, what its header says, and the scenario."""

    where: str
    header: dict[str, Any]
    scenario: Scenario


def dumps(scenario: Scenario, **origin: Any) -> str:
    """The trace as text; `origin` are further keys of the header."""
    header: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "ports": scenario.ports,
        "moves_per_call": scenario.moves_per_call,
    }
    if scenario.observed is not None:
        header["observed"] = {
            "moves_per_call": scenario.observed.moves_per_call,
            "lacks": sorted(scenario.observed.lacks),
        }
    ports = [*scenario.ports]
    lines = [header | origin, *(step_to_json(step, ports) for step in scenario.steps)]
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
    """The scenario of a text with one trace; raises `ScenarioError` naming the line of file `name` that is wrong."""
    traces = loads_all(text, name)
    if len(traces) > 1:
        raise ScenarioError(
            f"{traces[1].where}: {name} holds {len(traces)} traces; this takes one (cut out its lines)"
        )
    return traces[0].scenario


def loads_all(text: str, name: str) -> list[Trace]:
    """The traces of a text, one at least; raises `ScenarioError` naming the line of file `name` that is wrong."""
    # Not `splitlines`: JSON strings may hold what else it takes for the end of a line.
    lines = [(i, line) for i, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        raise ScenarioError(f"{name}: the trace is empty")
    traces: list[Trace] = []
    for i, line in lines:
        where = f"{name}:{i}"
        data = from_json(line, where)
        if not traces or (isinstance(data, dict) and "format" in data):
            traces.append(Trace(where, data, _header(data, where)))
        else:
            scenario = traces[-1].scenario
            ports = None if scenario.observed is None else [*scenario.ports]
            scenario.steps.append(step_from_json(data, where, ports=ports))
    return traces


def _header(header: Any, where: str) -> Scenario:
    """The scenario, without steps yet, that a header announces."""
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ScenarioError(f'{where}: not a trace: the first line must have "format": "{FORMAT}"')
    version = header.get("version")
    if version not in READABLE or not isinstance(version, int) or isinstance(version, bool):
        raise ScenarioError(
            f"{where}: trace version {version!r}; this program reads version {VERSION} and older"
        )
    ports = header.get("ports", {"p1": False})
    if not isinstance(ports, dict) or not ports:
        raise ScenarioError(f"{where}: ports must name at least one port")
    for port, announces in ports.items():
        if not is_name(port):
            raise ScenarioError(f"{where}: a port cannot be called {port!r}; {NAME_RULE}")
        if not isinstance(announces, bool):
            raise ScenarioError(
                f"{where}: port {port} must be true (it announces writability) or false, not {announces!r}"
            )
    limit = _limit(header, where)
    return Scenario(ports, limit, [], _observed(header.get("observed"), where))


def _limit(data: dict[str, Any], where: str) -> int | None:
    limit = data.get("moves_per_call")
    if limit is None or (type(limit) is int and limit > 0):
        return limit
    raise ScenarioError(f"{where}: moves_per_call must be null or a number above 0, not {limit!r}")


def _observed(data: Any, where: str) -> Observed | None:
    if data is None:
        return None
    if not isinstance(data, dict):
        raise ScenarioError(f"{where}: observed must be an object, not {data!r}")
    lacks = data.get("lacks", [])
    if not isinstance(lacks, list) or not set(map(str, lacks)) <= OPTIONAL_CALLBACKS:
        known = ", ".join(sorted(OPTIONAL_CALLBACKS))
        raise ScenarioError(f"{where}: observed lacks must be a list of {known}, not {lacks!r}")
    return Observed(_limit(data, where), frozenset(lacks))


def from_json(text: str, where: str) -> Any:
    """The data that JSON text says; raises `ScenarioError` naming `where`."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise ScenarioError(f"{where}: not JSON: {error}") from None
    except RecursionError:
        raise ScenarioError(f"{where}: not JSON that a trace can hold: nested too deep") from None


def load(path: Path) -> Scenario:
    """The scenario of a file with one trace; raises `ScenarioError` when it cannot be read or understood."""
    return loads(read(path), str(path))


def load_all(path: Path) -> list[Trace]:
    """The traces of a file; raises `ScenarioError` when it cannot be read or understood."""
    return loads_all(read(path), str(path))


def read(path: Path) -> str:
    """The text of a file, which may be compressed (``.gz``, ``.xz``); raises `ScenarioError`."""
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError:
        raise ScenarioError(f"{path}: cannot be read: it is not UTF-8 text") from None


def read_bytes(path: Path) -> bytes:
    """What is in a file, which may be compressed (``.gz``, ``.xz``); raises `ScenarioError`."""
    try:
        return DECOMPRESS.get(path.suffix, bytes)(path.read_bytes())
    except (OSError, EOFError, LZMAError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ScenarioError(f"{path}: cannot be read: {reason}") from None


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
