"""Tokens of clients: conservation, violation, announcements, no flow control (TOK)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chardev import CountOutOfRangeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.impl.conftest import World

UINT32_MAX = 2**32 - 1


def test_announcements_come_in_intervals(make_world: Callable[..., World]) -> None:
    """Each token would cost a message, or tokens would be kept back for ever (TOK-3)."""
    world = make_world(interval=2)
    world.dev.client_add("a", True, 0, 5, 0)
    for data in (b"1", b"2", b"3", b"4", b"5"):
        world.dev.write("a", data)
    world.dev.start()
    assert world.take_events()[:3] == ["write 12345 -> 5", "tokens 2 to a", "tokens 2 to a"]
    state = world.dev.client_state("a")
    assert (state.tokens, state.freed) == (4, 1)


def test_interval_0_announces_every_return(make_world: Callable[..., World]) -> None:
    """With interval 0 nothing, or zero tokens, would be announced (TOK-3)."""
    world = make_world(interval=0)
    world.dev.client_add("a", True, 0, 5, 0)
    world.dev.write("a", b"1")
    world.dev.write("a", b"2")
    world.dev.start()
    assert world.take_events()[:3] == ["write 12 -> 2", "tokens 1 to a", "tokens 1 to a"]


def test_token_violation_makes_the_client_leave(world: World) -> None:
    """A client that sends more than agreed would be served, or asked to leave again (TOK-2)."""
    for _ in range(3):
        assert world.dev.write("a", b"x")
    assert world.dev.write("a", b"x") is False
    assert world.dev.write("a", b"x") is False
    assert world.dev.write_buffer_get("a", 1) is None
    assert world.take_events() == ["remove a"]
    assert world.dev.client_exists("a")
    assert world.dev.client_state("a").leaving


def test_leaving_client_hears_of_no_tokens(world: World) -> None:
    """Tokens would be announced to a client that was told to go (RD-4)."""
    for _ in range(4):
        world.dev.write("a", b"x")
    world.dev.start()
    assert world.take_events() == ["remove a", "write xxx -> 3"]
    state = world.dev.client_state("a")
    assert (state.tokens, state.freed) == (0, 3)


def test_without_flow_control_nothing_is_counted(make_world: Callable[..., World]) -> None:
    """A client without flow control would be limited, or told of tokens (TOK-4)."""
    world = make_world()
    world.dev.client_add("a", False, 0, 0, 0)
    world.messages.extend(["m1", "m2"])
    world.dev.start()
    for _ in range(9):
        assert world.dev.write("a", b"x")
    world.dev.send_to_client_tokens_set("a", 0)
    world.dev.send_to_client_tokens_add("a", 1)
    assert [
        e for e in world.take_events() if not e.startswith(("write", "read", "ref", "unref"))
    ] == [
        "send m1 to a",
        "send m2 to a",
    ]


def test_counters_neither_wrap_nor_saturate(world: World) -> None:
    """Send tokens would be lost at 32 bits (TOK-5)."""
    for _ in range(3):
        world.dev.send_to_client_tokens_add("a", UINT32_MAX)
    assert world.dev.client_state("a").send_tokens == 2 + 3 * UINT32_MAX


@pytest.mark.parametrize("count", [-1, UINT32_MAX + 1])
def test_counts_outside_the_headers_types_are_refused(
    make_world: Callable[..., World], count: int
) -> None:
    """A count that no C caller could give would enter the state (TOK-5)."""
    world = make_world()
    advice = f"give a count from 0 to {UINT32_MAX} (uint32_t)"
    with pytest.raises(CountOutOfRangeError) as add:
        world.dev.client_add("a", True, 0, count, 0)
    assert str(add.value) == f"client_add: num_client_tokens is {count}; {advice}"
    assert world.dev.clients() == ()
    with pytest.raises(CountOutOfRangeError) as tokens:
        world.dev.send_to_client_tokens_add("a", count)
    assert str(tokens.value) == f"send_to_client_tokens_add: tokens is {count}; {advice}"
    with pytest.raises(CountOutOfRangeError) as create:
        make_world(interval=count)
    assert str(create.value) == f"create: client_tokens_interval is {count}; {advice}"


def test_client_removed_while_its_prices_return(world: World) -> None:
    """Tokens would be announced to a client that was removed a moment ago (WR-3, CB-1)."""
    for _ in range(3):
        world.dev.write("a", b"x")
    world.when("tokens", lambda: world.dev.client_remove("a"))
    world.dev.start()
    assert world.take_events()[:2] == ["write xxx -> 3", "tokens 1 to a"]
    assert "tokens 1 to a" not in world.take_events()[2:]


def test_reset_while_prices_return_announces_the_rest_at_once(world: World) -> None:
    """Prices of written buffers would be lost, or returned twice, by a reset (LC-3)."""
    for _ in range(3):
        world.dev.write("a", b"x")
    world.when("tokens", world.dev.reset)
    world.dev.start()
    assert world.take_events() == ["write xxx -> 3", "tokens 1 to a", "tokens 2 to a"]
    assert world.dev.client_state("a").tokens == 3
