"""Random calls of the releases: a profile survives whatever is called, and keeps the books that its release keeps."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from chardev_spec.contract import Contract
from chardev_spec.events import Callback
from chardev_spec.invariants import INVARIANTS, Scope
from chardev_spec.profiles import PROFILES
from tests.spec.conftest import LONG
from tests.spec.random_calls import RandomCalls, Witness

SEEDS: Final = 20_000 if LONG else 150
STEPS: Final = 50

KEPT: Final = (
    "counts_are_not_negative",
    "peers_are_attached_once",
    "dues_are_not_negative",
    "self_tokens_are_conserved",
    "payer_is_attached",
    "queued_buffers_have_a_number",
    "sizes_and_prices_are_sound",
    "spare_memory_is_bounded",
    "retry_timer_is_soon_due",
    "only_announcing_ports_owe",
    "wait_timer_is_soon_due",
    "send_queue_is_bounded",
    "send_queue_is_counted",
    "queued_messages_have_a_client",
    "queued_messages_are_referenced",
    "only_running_devices_are_active",
    "destroyed_devices_are_empty",
    "destroyed_devices_own_no_buffer",
    "nothing_is_left_on_the_stack",
)
"""The invariants that no quirk of a release refutes, also where callbacks call the API again."""


def kept(scope: Scope) -> list[Callable[..., bool]]:
    """The predicates of one scope that releases keep."""
    return [each.holds for each in INVARIANTS if each.name in KEPT and each.scope == scope]


class Unjudged(Witness):
    """A witness that judges nothing: what it would miss is what the quirks are."""

    def take(self, data: bytes) -> None:
        """Whatever is written is."""

    def ref(self, message: str) -> None:
        """Whatever is referenced is."""

    def unref(self, message: str) -> None:
        """Whatever is dropped is."""

    def send(self, message: str, peer: str) -> None:
        """Whatever is sent is."""

    def announce(self, peer: str, tokens: int) -> None:
        """Whatever is told is."""

    def get(self, number: int | None, *, given: bool) -> None:
        """Whatever is given is."""

    def remove(self, peer: str) -> None:
        """Whoever is asked to leave is."""


class ReleaseCalls(RandomCalls):
    """Random calls of a release; what it keeps is checked at every callback, and after every call from outside."""

    def __init__(self, seed: int, machine: type[Contract], depth: int) -> None:
        super().__init__(seed, machine=machine, invariants=False, depth=depth, witness=Unjudged())

    def answer(self, event: Callback) -> int | str | None:
        """Check, then answer as ever."""
        self.check()
        return super().answer(event)

    def attempt(self, action: Callable[[], Any]) -> None:
        """Make a call; outside, check."""
        super().attempt(action)
        if not self.runner.stack:
            self.check()
            for holds in kept(Scope.OUTSIDE):
                assert holds(self.runner.judge), holds.__name__

    def check(self) -> None:
        """Evaluate what holds everywhere."""
        state = self.runner.state
        for scope, rows in ((Scope.CLIENT, state.clients), (Scope.BUFFER, state.buffers)):
            for holds in kept(scope):
                for row in rows:
                    assert holds(self.runner.judge, row), f"{holds.__name__}: {row}"
        for holds in kept(Scope.DEVICE):
            assert holds(self.runner.judge), f"{holds.__name__}: {state.device}"


@pytest.mark.parametrize("depth", [0, 4])
@pytest.mark.parametrize("release", ["spice-0.12.4", "spice-2015-11"])
def test_a_release_keeps_its_books_whatever_is_called(release: str, depth: int) -> None:
    """A profile would stop with an exception, hang, or lose a message or a token that its release does not lose."""
    machine = PROFILES[release].machine
    for seed in range(SEEDS):
        calls = ReleaseCalls(seed, machine, depth)
        try:
            calls.run(STEPS)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise


def test_the_kept_invariants_exist() -> None:
    """A misspelt invariant would be checked by nothing."""
    assert set(KEPT) <= {each.name for each in INVARIANTS}
