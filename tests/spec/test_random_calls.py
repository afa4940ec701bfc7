"""Random calls of the whole API, re-entrant, with every invariant and the witness on."""

from collections import Counter

import pytest

from tests.spec.conftest import LONG
from tests.spec.random_calls import RandomCalls

SEEDS = 20_000 if LONG else 30
STEPS = 25


@pytest.mark.parametrize("first", range(10))
def test_every_rule_holds_whatever_is_called(first: int) -> None:
    """Some sequence of calls, nested anywhere, would break a rule; the seed replays it (CB-1)."""
    for seed in range(first * SEEDS, (first + 1) * SEEDS):
        calls = RandomCalls(seed)
        try:
            calls.run(STEPS)
            calls.come_to_rest()
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise


def test_one_seed_is_one_scenario() -> None:
    """A seed that is reported could not be replayed."""
    done = [RandomCalls(7), RandomCalls(7)]
    for calls in done:
        calls.run(200)
    assert done[0].done == done[1].done
    assert done[0].done.total() > 200


def test_random_calls_reach_everything() -> None:
    """Clean runs would mean nothing if the calls missed a part of the machine."""
    done: Counter[str] = Counter()
    for seed in range(300):
        calls = RandomCalls(seed, invariants=False)
        calls.run(STEPS)
        done += calls.done
    missed = {
        "write_buffer_get", "write_buffer_get_server_no_token", "write_buffer_add", "write_buffer_release",
        "client_add", "client_remove", "client_exists", "client_add of one that waits",
        "start", "stop", "wakeup", "retry_timer_fired", "wait_timer_fired",
        "send_to_client_tokens_add", "send_to_client_tokens_set",
        "reset", "reset_dev_instance", "destroy", "migrate_data_marshall", "restore",
        "PortWrite", "ReadOneMsgFromDevice", "RefMsgToClient", "UnrefMsgToClient", "SendMsgToClient",
        "SendTokensToClient", "OnFreeSelfToken", "RemoveClient", "PortFailed", "raised",
        "BufferNotHeldError", "BufferOverfullError", "ClientNotAttachedError", "ClientAlreadyAttachedError",
        "StarvingWindowError", "CannotMarshallError", "CannotRestoreError", "BadMigrationDataError",
    } - done.keys()  # fmt: skip
    assert missed == set()
