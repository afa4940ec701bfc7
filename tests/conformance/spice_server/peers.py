"""Steps and messages that the tests of the target spice-server have in common."""

import struct
from typing import Any

from chardev_conformance.spice_server.steps import Step


def step(do: str, **arguments: Any) -> Step:
    """A step of a scenario."""
    return Step(do, arguments)


def clipboard(number: int, size: int = 4) -> str:
    """A whole message of the agent's protocol, in hexadecimal; `number` tells it from others."""
    return (struct.pack("<IIQI", 1, 4, 0, size) + bytes([number]) * size).hex()


def chunk(body: str, port: int = 1) -> str:
    """A chunk as the agent's port carries it, in hexadecimal."""
    return struct.pack("<II", port, len(body) // 2).hex() + body
