"""What a device of the specification is at one moment, as people read it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from chardev_spec.state import State

HIDDEN: Final = frozenset({"handle", "order"})
"""Fields that a reader has no use for: they only tell rows apart."""


def snapshot(state: State, names: Mapping[int, str], port: str | None) -> dict[str, dict[str, Any]]:
    """Every field of the state, by the thing that has it: the device, clients, buffers.

    `names` are those of buffers, by handle; `port` is the name of the device's.
    A client's row has its queue as well.
    """
    queues: dict[int, list[Any]] = {}
    for entry in state.send_queue:
        queues.setdefault(entry.client, []).append(entry.message)
    rows = {"device": asdict(state.device) | {"port": port}}
    for client in state.clients:
        rows[f"client {client.peer}"] = asdict(client) | {"queue": queues.get(client.handle, [])}
    for buffer in state.buffers:
        name = names.get(buffer.handle, f"number {buffer.handle}")
        rows[f"buffer {name}"] = asdict(buffer) | {
            "data": buffer.data.hex(),
            "place": buffer.place.name.lower(),
            "origin": buffer.origin.name.lower().replace("_", " "),
        }
    return rows


def plain(value: Any) -> str:
    """The value of a field, in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "empty"
    return "none" if value is None else str(value)
