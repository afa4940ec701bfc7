"""What of the specification was reached: its functions, transitions, and pairs of them that follow each other.

A *mode* is a state seen from far away: no counts, no names, only what decides which rules apply.
A *transition* is a mode, an outermost call, and the mode after it; calls inside its callbacks are part of it.
A *pair* is two transitions of one device, one right after the other.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from chardev_spec.contract import Contract
from chardev_spec.registry import FUNCTIONS
from chardev_spec.state import Place, State


class Mode(NamedTuple):
    """A state of one device, seen from far away."""

    life: str
    """``running``, ``stopped`` or ``destroyed``."""
    port: str
    """``attached``, ``detached``, or ``owing`` a wakeup (WR-4)."""
    migration: str
    """``awaiting`` migration data, ``sealed``, or ``settled``: neither."""
    queue: str
    """The write queue: ``idle``, ``pending``, or ``torn`` when part of a buffer is written."""
    retry: str
    """The retry timer: ``off``, ``at-once`` or ``later``."""
    clients: str
    """``alone``, ``one`` or ``several``."""
    messages: str
    """What a client that stays has: ``credit`` for more messages, else ``waiting`` ones, else ``none``."""
    leaving: str
    """Whether a client is ``leaving``, or all ``stay``."""
    tokens: str
    """Whether a client with flow control is ``spent``: without client tokens; else ``left``."""


Transition: TypeAlias = tuple[Mode, str, Mode]
Pair: TypeAlias = tuple[Transition, Transition]

UNBORN = Mode("unborn", "", "", "", "", "", "", "", "")
"""Before a device is created."""

DESTROYED = Mode("destroyed", "", "", "", "", "", "", "", "")
"""Nothing else matters then."""


def mode(state: State) -> Mode:
    """The mode of a device outside: no call is on its stack."""
    device = state.device
    if device.destroyed:
        return DESTROYED
    retry = "off"
    if device.retry_armed:
        retry = "later" if device.retry_due_ms > device.now_ms else "at-once"
    queue = "idle"
    if state.buffers.any_in(Place.CURRENT):
        queue = "torn"
    elif state.buffers.any_in(Place.QUEUED):
        queue = "pending"
    port = "detached"
    if device.port is not None:
        port = "owing" if device.port_owes_wakeup else "attached"
    migration = "awaiting" if device.awaiting is not None else "settled"
    if device.sealed:
        migration = "sealed"
    messages, leaving, tokens = "none", "stay", "left"
    count = 0
    for row in state.clients:
        count += 1
        if row.leaving:
            leaving = "leaving"
        elif not row.flow_control or row.send_tokens > 0:
            messages = "credit"
        elif row.queue_length > 0 and messages == "none":
            messages = "waiting"
        if row.flow_control and row.tokens == 0:
            tokens = "spent"
    return Mode(
        "running" if device.running else "stopped",
        port,
        migration,
        queue,
        retry,
        "alone" if count == 0 else "one" if count == 1 else "several",
        messages,
        leaving,
        tokens,
    )


@dataclass(slots=True)
class Statistics:
    """What runs have done so far."""

    calls: int = 0
    nested_calls: int = 0
    callbacks: int = 0
    functions: dict[str, int] = field(default_factory=dict)
    """How often each function of the machine ran."""
    transitions: dict[Transition, int] = field(default_factory=dict)
    pairs: dict[Pair, int] = field(default_factory=dict)
    machines: dict[type[Contract], type[Contract]] = field(
        default_factory=dict, repr=False, compare=False
    )
    """The machines that count `functions`, made once for all runs."""

    def note(self, before: Transition | None, transition: Transition) -> None:
        """Count a transition, and the pair that it makes with the one before it."""
        self.transitions[transition] = self.transitions.get(transition, 0) + 1
        if before is not None:
            pair = (before, transition)
            self.pairs[pair] = self.pairs.get(pair, 0) + 1

    def counting(self, machine: type[Contract]) -> type[Contract]:
        """The machine, with every function that runs counted in `functions`."""
        if machine not in self.machines:
            self.functions |= {name: self.functions.get(name, 0) for name in FUNCTIONS}
            members = {name: self._counted(name, getattr(machine, name)) for name in FUNCTIONS}
            self.machines[machine] = type(machine.__name__, (machine,), members)
        return self.machines[machine]

    def _counted(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        functions = self.functions

        def call(*arguments: Any) -> Any:
            functions[name] += 1
            return method(*arguments)

        return call

    def to_json(self) -> dict[str, Any]:
        """What `add` takes, in numbers where it can: a mode is part of many transitions, and these of many pairs."""
        modes: dict[Mode, int] = {}
        numbers = {each: number for number, each in enumerate(self.transitions)}
        return {
            "calls": self.calls,
            "nested_calls": self.nested_calls,
            "callbacks": self.callbacks,
            "functions": {name: count for name, count in self.functions.items() if count},
            "transitions": [
                (modes.setdefault(old, len(modes)), call, modes.setdefault(new, len(modes)), count)
                for (old, call, new), count in self.transitions.items()
            ],
            "modes": [*modes],
            "pairs": [(numbers[a], numbers[b], count) for (a, b), count in self.pairs.items()],
        }

    def add(self, data: Mapping[str, Any]) -> None:
        """Count what other runs have done, as their `to_json` says it."""
        self.calls += data["calls"]
        self.nested_calls += data["nested_calls"]
        self.callbacks += data["callbacks"]
        modes = [Mode(*each) for each in data["modes"]]
        transitions = [(modes[old], call, modes[new]) for old, call, new, _ in data["transitions"]]
        several: list[tuple[dict[Any, int], Iterable[tuple[Any, int]]]] = [
            (self.functions, data["functions"].items()),
            (
                self.transitions,
                zip(transitions, [each[-1] for each in data["transitions"]], strict=True),
            ),
            (self.pairs, [((transitions[i], transitions[j]), n) for i, j, n in data["pairs"]]),
        ]
        for counts, counted in several:
            for key, count in counted:
                counts[key] = counts.get(key, 0) + count
