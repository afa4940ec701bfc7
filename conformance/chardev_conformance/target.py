"""What the checker asks of an implementation under test.

A `Target` performs calls and reports callbacks to its `Host`, which answers them; that is all.
The driver stays on the checker's side.
"""

from dataclasses import dataclass
from typing import Any, Final, Protocol

from chardev_spec.events import Callback


class RefusedError(Exception):
    """The implementation refused a call as a contract error, or data as bad; `rule` is the rule it named."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


class CallbackError(Exception):
    """The exception that the checker's callbacks raise (CB-5)."""


class BrokenError(Exception):
    """The implementation came to an end in the middle of a run: it died, hangs, leaks, or talks nonsense.

    `symptom` says which, in a few words; findings of equal rule and symptom are one.
    `rules` are those that it breaks, if that is known.
    """

    def __init__(self, symptom: str, message: str, rules: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.symptom = symptom
        self.rules = rules


class TargetError(BaseException):
    """An implementation that cannot be checked; the message says why, and what to do.

    No callback of an implementation may swallow it, so it is no `Exception`.
    """


class UnknownTargetError(TargetError):
    """What was written on the command line names no target; the message says what does."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a target can do; what it cannot is not tested, and the report says so."""

    lacks: frozenset[str] = frozenset()
    """Calls that are never made, and callbacks that are never expected."""
    contract_errors: bool = True
    """Whether calls that the contract forbids are refused by name; else the checker makes none."""
    exceptions: bool = True
    """Whether callbacks may raise (CB-5)."""


EVERYTHING: Final = Capabilities()
"""What a target without `capabilities` can do."""

OPTIONAL_CALLBACKS: Final = frozenset({"on_free_self_token", "port_failed"})
"""Callbacks that a target may lack: the header calls the one optional, and does not have the other."""


@dataclass(frozen=True, slots=True)
class Timers:
    """When the armed timers are due, in milliseconds of the virtual clock.

    `retry_ms` is None while the retry timer is not armed; `wait_ms` has the clients whose wait timer is armed.
    """

    retry_ms: int | None
    wait_ms: dict[str, int]


class Host(Protocol):
    """The checker's side."""

    def callback(self, device: str, event: Callback) -> Any:
        """Perform a callback of this device; its answer, or its exception."""

    def now_ms(self) -> int:
        """The virtual clock."""

    def report(self, rule: str, allowed: str, seen: str) -> None:
        """Report what shows in no callback: memory that changed while the port was reading it (BUF-2)."""


class Target(Protocol):
    """An implementation under test.

    Things are named by the checker: devices and ports by their names, clients and messages by strings that the
    implementation passes back as they are.
    What the implementation hands out (buffers, migration data) comes back as it was returned.
    """

    @property
    def name(self) -> str:
        """What it is called in reports."""

    @property
    def moves_per_call(self) -> int | None:
        """The limit that it stops a pass at, where it is known (WR-5)."""

    # Three more are optional: `capabilities` (without it, a target can do everything), `offered` (how many buffers make
    # up the port write that is being made, None where that is not known), and `finish()`, which is called at the end of
    # a scenario, takes away all that is left, and raises `BrokenError` for what should not be left.

    def perform(self, device: str, call: str, arguments: dict[str, Any]) -> Any:
        """Perform one call of the scenario language.

        Returns a buffer or None for the calls that get one, a bool for `client_add` and `client_exists`,
        `Marshalled` for `migrate_data_marshall`, bytes for `migrate_data_marshall_empty`, else None.
        Raises `RefusedError`, or what a callback raised; anything else is a crash.
        """

    def timers(self, device: str) -> Timers:
        """The timers that are armed now."""


@dataclass(frozen=True, slots=True)
class Marshalled:
    """What `migrate_data_marshall` returned.

    `message` is the 8-byte header (zeros), the record and the data; `handle` is what `migrate_data_release` takes.
    """

    message: bytes
    handle: Any
