"""What is done to a server: the scenarios of the target `spice-server`, and the files that hold them.

A file is JSON Lines.
The first line is the header::

    {"format": "chardev-spice-server", "version": 1, "stage": "agent", ...}

`stage` names the servers, ports and linked clients that the scenario begins with (`world.STAGES`).
Further keys (`finding`, `seed`) tell where the scenario comes from; a reader may leave them aside.
Each line after it is one step: ``{"do": "data", "client": "c1", "bytes": "00ff"}``.
Bytes are hexadecimal, times are milliseconds.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chardev_conformance.scenario import ScenarioError
from chardev_conformance.spice_server.stages import STAGES
from chardev_conformance.trace import from_json, read

FORMAT: Final = "chardev-spice-server"
VERSION: Final = 1

PARAMETERS: Final[dict[str, dict[str, type]]] = {
    # What the host does.
    "room": {"port": str, "bytes": int},
    "feed": {"port": str, "bytes": str},
    "wakeup": {"port": str},
    "answer": {"port": str, "value": int},
    "inside": {"port": str, "on": str, "action": str},
    "attach": {"port": str},
    "detach": {"port": str},
    "event": {"port": str, "number": int},
    "stop": {"server": str},
    "run": {"server": str},
    "advance": {"milliseconds": int},
    "migrate": {"server": str},
    "cancel": {"server": str},
    "connect": {"server": str},
    # What a peer does.
    "start": {"client": str, "tokens": int},
    "tokens": {"client": str, "tokens": int},
    "data": {"client": str, "bytes": str},
    "begin": {"client": str, "size": int, "bytes": str},
    "more": {"client": str, "bytes": str},
    "send": {"client": str, "type": int, "bytes": str},
    "close": {"client": str},
    "deaf": {"client": str},
    "hear": {"client": str},
    "seamless": {"client": str, "version": int},
    "connected": {"client": str},
    "flush": {"client": str},
    "restore": {"client": str, "source": str, "patches": list, "size": int},
    "link": {"client": str, "server": str},
    "link_bytes": {"server": str, "bytes": str},
}
"""Every step and its arguments.

``room``: the port takes so many bytes from now on; -1 for any number.
``feed``: the port has so much more to be read; nobody is told.
``answer``: the next write returns -1 (negative), or as many bytes more than it was offered.
``inside``: inside the next call of the port (``write`` or ``read``) do ``wakeup``, ``stop``, ``run`` or ``detach``.
``attach``, ``detach``: the interface is added to its server, or removed.
``migrate``: the server is stopped, and the migration that was begun with ``connect`` is completed; ``cancel`` ends it.
``data``: a message of data; ``begin`` is the head of one of `size` bytes, which ``more`` goes on with.
``send``: any message.
``deaf``: the client stops reading its socket, which holds little from now on; ``hear``: it reads again.
``seamless``: the client asks the destination for a seamless migration; ``connected``: it tells the source that it is
there.
``flush``: the client asks the source for its migration data; ``restore``: it hands what `source` got to the
destination, cut to `size` bytes (-1: all of it) and changed by `patches`, each an offset and bytes.
``link``: one more client; ``link_bytes``: a connection on which these bytes come and nothing else.
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is done."""

    do: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is done, from a stage on."""

    stage: str
    steps: tuple[Step, ...] = ()


def to_json(step: Step) -> dict[str, Any]:
    """The step as JSON data."""
    return {"do": step.do, **step.arguments}


def dumps(scenario: Scenario, **origin: Any) -> str:
    """The scenario as the text of a file; `origin` are further keys of the header."""
    header = {"format": FORMAT, "version": VERSION, "stage": scenario.stage, **origin}
    lines = [header, *map(to_json, scenario.steps)]
    return "".join(json.dumps(line) + "\n" for line in lines)


def is_trace(text: str) -> bool:
    """Whether a text is a file of these scenarios, and not a trace of calls."""
    return f'"format": "{FORMAT}"' in text.partition("\n")[0]


def loads(text: str, name: str) -> Scenario:
    """The scenario in the text of a file `name`; raises `ScenarioError` naming the line that is wrong."""
    lines = [(i, line) for i, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        raise ScenarioError(f"{name}: the scenario is empty")
    header, *rest = [(f"{name}:{i}", from_json(line, f"{name}:{i}")) for i, line in lines]
    where, first = header
    if not isinstance(first, dict) or first.get("format") != FORMAT:
        raise ScenarioError(
            f'{where}: not a scenario for spice-server: the first line must have "format": "{FORMAT}"'
        )
    if first.get("version") != VERSION:
        raise ScenarioError(
            f"{where}: version {first.get('version')!r}; this program reads version {VERSION}"
        )
    stage = first.get("stage")
    if not isinstance(stage, str):
        raise ScenarioError(f"{where}: stage must be a name, not {stage!r}")
    return Scenario(stage, tuple([step_from_json(data, place) for place, data in rest]))


def load(path: Path) -> Scenario:
    """The scenario in a file; raises `ScenarioError` when it cannot be read or understood."""
    return loads(read(path), str(path))


def finding_of(path: Path) -> dict[str, Any]:
    """What the header of a scenario's file says of its finding; empty where it says nothing."""
    header = from_json(read(path).partition("\n")[0], f"{path}:1")
    finding = header.get("finding", {})
    return finding if isinstance(finding, dict) else {}


def step_from_json(data: Any, where: str) -> Step:
    """The step that JSON data says; raises `ScenarioError` naming what is wrong `where`."""
    if not isinstance(data, dict) or data.get("do") not in PARAMETERS:
        raise ScenarioError(
            f"{where}: a step must be an object whose 'do' is one of {', '.join(PARAMETERS)}"
        )
    do = data["do"]
    parameters = PARAMETERS[do]
    given = {name: value for name, value in data.items() if name != "do"}
    if set(given) != set(parameters):
        raise ScenarioError(f"{where}: {do} takes the arguments {', '.join(parameters)}")
    for name, value in given.items():
        if not isinstance(value, parameters[name]) or isinstance(value, bool):
            raise ScenarioError(
                f"{where}: argument {name} of {do} must be of type {parameters[name].__name__}, not {value!r}"
            )
    if isinstance(given.get("bytes"), str):
        _check_bytes(given["bytes"], f"{where}: argument bytes of {do}")
    for patch in given.get("patches", []):
        if not isinstance(patch, list) or len(patch) != 2 or not isinstance(patch[0], int):
            raise ScenarioError(f"{where}: a patch is an offset and bytes, not {patch!r}")
        _check_bytes(patch[1], f"{where}: a patch")
    return Step(do, {name: given[name] for name in parameters})


def _check_bytes(text: Any, where: str) -> None:
    try:
        bytes.fromhex(text)
    except (TypeError, ValueError):
        raise ScenarioError(f"{where}: not bytes in hexadecimal: {text!r}") from None


def readable(scenario: Scenario) -> str:
    """The scenario, one line a step."""
    stage = STAGES.get(scenario.stage)
    lines = [f"stage {scenario.stage}: {stage.title if stage else 'not known here'}"]
    lines += [f"{i:>3}. {step_text(step)}" for i, step in enumerate(scenario.steps, start=1)]
    return "\n".join(lines)


def step_text(step: Step) -> str:
    """A step as it is written: what is done, and its arguments by name."""
    words = [
        f"{name}={value if value != '' else '(none)'}" for name, value in step.arguments.items()
    ]
    return " ".join([step.do, *words])
