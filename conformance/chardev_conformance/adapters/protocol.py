"""The line protocol between the checker and an implementation in a process of its own.

docs/protocol.rst describes it.
"""

import json
from typing import Any, Final

from chardev_conformance.scenario import EVENT_NAMES, PARAMETERS, Kind, kind
from chardev_spec import events
from chardev_spec.events import Callback

VERSION: Final = 1

_EVENTS: Final[dict[str, type[Any]]] = {
    name: getattr(events, event) for event, name in EVENT_NAMES.items()
}

CALLBACK_ARGUMENTS: Final[dict[str, tuple[str, ...]]] = {
    name: event._fields for name, event in _EVENTS.items()
}
"""Every callback and its arguments."""

_FIELD_TYPES: Final[dict[str, type]] = {
    "port": str,
    "data": str,
    "message": str,
    "client": str,
    "tokens": int,
}

_BYTES_ARGUMENTS: Final = {
    call: frozenset(name for name in names if kind(call, name) == Kind.BYTES)
    for call, names in PARAMETERS.items()
}


class ProtocolError(Exception):
    """A line that the protocol does not allow; the message says why."""


_encode: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_decode: Final = json.JSONDecoder().decode


def encode(message: dict[str, Any]) -> bytes:
    """A message as a line."""
    return _encode(message).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The message of a line."""
    try:
        message = _decode(line.decode())
    except (ValueError, RecursionError):
        raise ProtocolError("a line is not JSON") from None
    if not isinstance(message, dict):
        raise ProtocolError("a line is JSON, but no object")
    return message


def arguments_to_json(call: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call, bytes in hexadecimal."""
    names = _BYTES_ARGUMENTS[call]
    if not names:
        return arguments
    return {name: value.hex() if name in names else value for name, value in arguments.items()}


def arguments_from_json(call: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call as an adapter takes them."""
    names = _BYTES_ARGUMENTS[call]
    if not names:
        return arguments
    return {
        name: bytes.fromhex(value) if name in names else value for name, value in arguments.items()
    }


def event_to_json(event: Callback, ports: dict[int, str]) -> tuple[str, dict[str, Any]]:
    """The name of a callback, and its arguments."""
    name = EVENT_NAMES[type(event).__name__]
    arguments: dict[str, Any] = dict(zip(CALLBACK_ARGUMENTS[name], event, strict=True))
    if "port" in arguments:
        arguments["port"] = ports.get(arguments["port"], "?")
    if "data" in arguments:
        arguments["data"] = arguments["data"].hex()
    return name, arguments


def event_from_json(name: Any, arguments: Any, ports: dict[str, int]) -> Callback:
    """The callback that a message tells of."""
    names = CALLBACK_ARGUMENTS.get(name) if isinstance(name, str) else None
    if names is None:
        raise ProtocolError(
            f"there is no callback {name!r}; there are {', '.join(CALLBACK_ARGUMENTS)}"
        )
    if not isinstance(arguments, dict) or set(arguments) != set(names):
        raise ProtocolError(f"the callback {name} has the arguments {', '.join(names) or 'none'}")
    values: list[Any] = []
    for field in names:
        value: Any = arguments[field]
        if not isinstance(value, _FIELD_TYPES[field]) or isinstance(value, bool):
            raise ProtocolError(f"{field} of the callback {name} cannot be {value!r}")
        if field == "port":
            # No port has the number 0: that is a finding, not a mistake of the adapter.
            value = ports.get(str(value), 0)
        elif field == "data":
            try:
                value = bytes.fromhex(str(value))
            except ValueError:
                raise ProtocolError(f"data of the callback {name} is not hexadecimal") from None
        values.append(value)
    event: Callback = _EVENTS[name](*values)
    return event
