"""Callbacks: one disturbance at each callback of a long scenario, of each kind (CB-1 to CB-5)."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest

from chardev_spec.errors import ContractError
from chardev_spec.events import Callback
from tests.spec.owner import BoomError, Owner

DISTURBANCES: dict[str, tuple[str, ...]] = {
    "raise": (),
    "stop": ("stop",),
    "start": ("start",),
    "restart": ("stop", "start"),
    "wakeup": ("wakeup",),
    "reset": ("reset",),
    "destroy": ("destroy",),
    "remove the oldest": ("client_remove a",),
    "remove the newest": ("client_remove c",),
    "remove all": ("client_remove b", "client_remove c", "client_remove a"),
    "rejoin": ("client_remove b", "client_add b"),
    "join": ("client_add d",),
    "grant": ("send_to_client_tokens_add a", "send_to_client_tokens_add b"),
    "withdraw": ("send_to_client_tokens_set a", "send_to_client_tokens_set b"),
    "violate": ("violate a", "violate b"),
    "time out": ("wait_timer_fired a", "wait_timer_fired b", "retry_timer_fired"),
    "detach": ("reset_dev_instance",),
    "replace": ("reset_dev_instance 2",),
    "write": ("add a", "add server", "add empty"),
    "renew": ("reset", "reset_dev_instance 2", "start"),
    "raise after reset": ("reset", "raise"),
}


class Disturbed(Owner):
    """An owner that does something else inside one callback; all references are counted (CB-4)."""

    def __init__(self, disturbance: tuple[str, ...], at: int) -> None:
        self.references: Counter[str] = Counter()
        self.callbacks = 0
        self._disturbance = disturbance or ("raise",)
        self._at = at
        super().__init__(interval=2, announces_writability=True)

    def answer(self, event: Callback) -> int | str | None:
        """Disturb at the chosen callback."""
        self.callbacks += 1
        disturbs = self.callbacks == self._at
        answer = super().answer(event)
        line = self.events[-1]
        # A message that a read has not returned yet is nobody's, and stays the port's if the read raises.
        if not line.startswith("read"):
            self._count(line)
        if disturbs:
            for call in self._disturbance:
                self.perform(call)
        if line.startswith("read"):
            self._count(line)
        return answer

    def _count(self, line: str) -> None:
        word, message = line.split()[:2] if " " in line else (line, "")
        if word in {"ref", "send", "unref"}:
            assert self.references[message] > 0, f"{line}: without a reference"
        self.references[message] += {"read": message != "None", "ref": 1, "unref": -1}.get(word, 0)

    def perform(self, line: str) -> None:
        """One call, as a line; what is forbidden by now does not happen."""
        function, _, argument = line.partition(" ")
        special: dict[str, Callable[[], object]] = {
            "raise": self.fails(BoomError("disturbed")),
            "client_add": lambda: self.add_client(argument, window=4),
            "send_to_client_tokens_add": self.later(function, argument, 2),
            "send_to_client_tokens_set": self.later(function, argument, 0),
            "violate": lambda: [self.call("write_buffer_get", argument, 1) for _ in range(9)],
            "reset_dev_instance": self.later(
                function, int(argument) if argument.isdigit() else None
            ),
            "add": lambda: self._add(argument),
        }
        with suppress(ContractError):
            special.get(function, self.later(function, *[argument] * bool(argument)))()

    def _add(self, what: str) -> None:
        handle = self.call("write_buffer_get", what if what == "a" else None, 3)
        if handle is not None:
            self.call("write_buffer_add", handle, b"" if what == "empty" else b"new")


SCENARIO = (
    "client_add a", "client_add b", "start", "say", "add a", "client_add c", "add server",
    "take 1 0", "add a", "wakeup", "take -1", "add server", "add empty", "reset_dev_instance 2", "say",
    "send_to_client_tokens_add a", "take 2 0", "add a", "add server", "stop", "add a", "say", "start",
    "wait_timer_fired b", "client_remove b", "take 0", "add server", "reset", "client_remove c",
    "reset_dev_instance 1", "start", "add a", "say", "wakeup", "destroy",
)  # fmt: skip


def play(disturbance: tuple[str, ...], at: int) -> Disturbed:
    """The scenario, with this disturbance inside the callback of this number (0: nowhere)."""
    owner = Disturbed(disturbance, at)
    owner.offers = 3
    for line in SCENARIO:
        word, *numbers = line.split()
        if word == "say":
            owner.messages.extend([f"m{owner.callbacks}-{number}" for number in range(3)])
        elif word == "take":
            owner.takes.clear()
            owner.takes.extend(map(int, numbers))
        else:
            try:
                owner.perform(line)
            except BoomError:
                assert at > 0
    return owner


CALLBACKS = play((), 0).callbacks


def test_the_scenario_has_every_callback() -> None:
    """A callback that does not occur would not be disturbed."""
    owner = play((), 0)
    assert {line.split()[0] for line in owner.events} == {
        "write", "read", "ref", "unref", "send", "tokens", "self-token", "remove", "port-failed",
    }  # fmt: skip
    assert CALLBACKS > 60


@pytest.mark.parametrize("name", DISTURBANCES)
def test_a_disturbance_at_each_callback_breaks_no_rule(name: str) -> None:
    """A frame would go on with what is gone, or leave something behind (CB-1, CB-3, CB-4, CB-5)."""
    for at in range(1, CALLBACKS + 1):
        owner = play(DISTURBANCES[name], at)
        left = +owner.references
        assert not left, f"disturbed at callback {at}: references to {left} are left"
        assert owner.runner.stack == []
