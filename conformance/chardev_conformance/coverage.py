"""What of the specification was reached: transitions, and pairs of them that follow each other.

A *mode* is a state seen from far away: no counts, no names, only what decides which rules apply.
A *transition* is a mode, an outermost call, and the mode after it; calls inside its callbacks are part of it.
A *pair* is two transitions of one device, one right after the other.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

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


def transition_of(data: Sequence[Any]) -> Transition:
    """A transition that came through JSON."""
    before, call, after = data
    return Mode(*before), call, Mode(*after)


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
