"""What is seen of a server from outside, step by step: the form that library and specification both give."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Observation:
    """What one step led to, when everything had come to rest.

    Ports and clients that nothing happened to are left out.
    """

    writes: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    """By port: each write, what was offered (hexadecimal) and what was answered."""
    unread: dict[str, int] = field(default_factory=dict)
    """By port: how many bytes it still has to be read."""
    told: dict[str, list[str]] = field(default_factory=dict)
    """By port: the states and events that it was told."""
    received: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """By client: each message, its name and what is in it."""
    closed: list[str] = field(default_factory=list)
    """The clients whose connection the server has closed so far."""
    retry: dict[str, list[int]] = field(default_factory=dict)
    """By server: when its armed retry timers are due."""
    wait: dict[str, list[int]] = field(default_factory=dict)
    """By server: when its armed wait timers are due."""

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return {name: getattr(self, name) for name in self.__slots__}


def total(observations: Iterable[Observation]) -> Observation:
    """What several steps led to together, however it was cut and mixed; without timers, which go by single attempts.

    Of a port's writes the bytes that it took; of a client's messages those of each kind in their order.
    """
    whole = Observation()
    taken: dict[str, str] = {}
    for each in observations:
        for name, writes in each.writes.items():
            for data, size in writes:
                taken[name] = taken.get(name, "") + data[: 2 * max(size, 0)]
        for name, told in each.told.items():
            whole.told.setdefault(name, []).extend(told)
        for name, messages in each.received.items():
            whole.received.setdefault(name, []).extend(messages)
        whole.unread, whole.closed = each.unread, each.closed
    for messages in whole.received.values():
        messages.sort(key=lambda message: message[0])
    whole.writes = {name: [(data, len(data) // 2)] for name, data in taken.items() if data}
    return whole


def observation_from_json(data: dict[str, Any]) -> Observation:
    """What `Observation.to_json` gave."""
    data = dict(data)
    for name in ("writes", "received"):
        data[name] = {key: [tuple(each) for each in value] for key, value in data[name].items()}
    return Observation(**data)
