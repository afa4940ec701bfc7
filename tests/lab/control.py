"""The guest's line to its host: asks for what only the host can do, and reports."""

import json
import os
from pathlib import Path
from typing import Any, Final

PORTS: Final = Path("/sys/class/virtio-ports")


def virtio_port(name: str) -> str:
    """The device file of a virtio port; without udev only sysfs knows the names.

    Raises `FileNotFoundError` when there is none.
    """
    for port in PORTS.glob("*"):
        if (port / "name").read_text(encoding="utf-8").strip() == name:
            return f"/dev/{port.name}"
    raise FileNotFoundError(f"no virtio port is called {name}")


class Control:
    """Asks the host, and waits for its answer; `seed` is that of all that is left to chance."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._file = os.open(virtio_port("lab.control"), os.O_RDWR | os.O_CLOEXEC)

    def ask(self, do: str, what: str = "", **details: Any) -> Any:
        """What the host answers.

        Raises `RuntimeError` with its words when it could not do it.
        """
        question = json.dumps({"do": do, "what": what, **details}).encode() + b"\n"
        while question:
            question = question[os.write(self._file, question) :]
        answer = b""
        while not answer.endswith(b"\n"):
            answer += os.read(self._file, 65536)
        decoded = json.loads(answer)
        if "error" in decoded:
            raise RuntimeError(f"{do} {what}: {decoded['error']}")
        return decoded
