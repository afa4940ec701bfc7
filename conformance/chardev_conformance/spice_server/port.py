"""The port below a device, as the host plays it: the same for the library and for the specification.

What it answers depends on nothing but what it was told before, so two of them that are asked the same say the same.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

READ_MOST: Final = {"port": 256, "usb": 256}
"""How many bytes a port gives in one read at most, by kind; an agent's gives all it has."""


@dataclass(slots=True)
class HostPort:
    """A port with room for some bytes, and bytes of its own to be read.

    `room` is how many bytes it takes from now on; None for any number.
    """

    announces: bool = False
    most: int | None = None
    """How many bytes it gives in one read at most, as a virtio port gives one buffer."""
    room: int | None = None
    waiting: bytearray = field(default_factory=bytearray)
    """What it has to be read."""
    answers: list[int] = field(default_factory=list)
    """What the next writes return, whatever the room: negative, or so many more than was offered."""
    writes: list[tuple[bytes, int]] = field(default_factory=list)
    """Each write since the last look: what was offered, and what was answered."""
    told: list[str] = field(default_factory=list)
    """State changes and events that it was told since the last look."""
    plans: list[tuple[Literal["write", "read"], str]] = field(default_factory=list)
    """What is done inside the next calls."""
    perform: Callable[[str], None] = lambda _: None
    """Does what is planned."""

    def write(self, data: bytes) -> int:
        """The port's write: how many bytes it took."""
        self._do_planned("write")
        if self.answers:
            answer = self.answers.pop(0)
            taken = answer if answer < 0 else len(data) + answer
        else:
            taken = len(data) if self.room is None else min(self.room, len(data))
            if self.room is not None:
                self.room -= taken
        self.writes.append((data, taken))
        return taken

    def read(self, size: int) -> bytes:
        """The port's read: at most `size` bytes."""
        self._do_planned("read")
        if self.most is not None:
            size = min(size, self.most)
        data = bytes(self.waiting[:size])
        del self.waiting[:size]
        return data

    def _do_planned(self, call: str) -> None:
        if self.plans and self.plans[0][0] == call:
            _, action = self.plans.pop(0)
            self.perform(action)
