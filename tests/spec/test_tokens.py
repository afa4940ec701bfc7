"""Tokens: client to port (TOK) and server to port (SELF)."""

import pytest

from tests.spec.owner import BoomError, Owner

MAXIMUM = 2**32 - 1


def started(interval: int = 1) -> Owner:
    """A running device with client "a": window 3, 2 sends, queue 2."""
    owner = Owner(interval=interval)
    owner.add_client()
    owner.call("start")
    owner.take_events()
    return owner


def test_a_buffer_costs_one_token_until_it_is_written() -> None:
    """Clients would lose or invent tokens (TOK-1, TOK-2, TOK-3)."""
    owner = started(interval=2)
    handle = owner.hold("a")
    assert owner.tokens() == (2, 0, 1)
    owner.call("write_buffer_add", handle, b"x")
    assert owner.tokens() == (2, 1, 0)
    owner.add("a", b"y")
    assert owner.tokens() == (3, 0, 0)
    assert owner.events == ["write x -> 1", "write y -> 1", "tokens 2 to a"]


def test_a_release_returns_the_price() -> None:
    """A buffer that is not sent would cost its token for ever (TOK-3)."""
    owner = started()
    owner.call("write_buffer_release", owner.hold("a"))
    assert owner.tokens() == (3, 0, 0)
    assert owner.events == ["tokens 1 to a"]


def test_interval_zero_announces_every_return() -> None:
    """With interval 0 freed tokens would wait for a count that is never reached (TOK-3)."""
    owner = started(interval=0)
    owner.add("a", b"x")
    assert owner.events == ["write x -> 1", "tokens 1 to a"]


def test_a_price_that_returns_inside_an_announcement_is_announced_of_its_own() -> None:
    """Tokens that return while others are announced would be counted twice or forgotten (TOK-3)."""
    owner = started()
    handle = owner.hold("a")
    owner.inside("tokens", owner.later("write_buffer_release", handle))
    owner.add("a", b"x")
    assert owner.events == ["write x -> 1", "tokens 1 to a", "tokens 1 to a"]
    assert owner.tokens() == (3, 0, 0)


def test_token_violation() -> None:
    """A client could send more than its window, or the owner would not hear of it (TOK-2, RD-4)."""
    owner = started()
    handles = [owner.hold("a") for _ in range(3)]
    assert owner.call("write_buffer_get", "a", 1) is None
    assert owner.events == ["remove a"]
    assert owner.row().leaving
    assert owner.tokens() == (0, 0, 3)
    assert owner.call("write_buffer_get", "a", 1) is None
    for handle in handles:
        owner.call("write_buffer_add", handle, b"x")
    # What was paid for is written, but nothing is announced any more.
    assert owner.events == ["remove a", "write x -> 1", "write x -> 1", "write x -> 1"]
    assert owner.tokens() == (0, 3, 0)


def test_a_window_of_zero_is_a_violation_at_once() -> None:
    """A client without any token would be given a buffer (TOK-2)."""
    owner = Owner()
    owner.add_client(window=0)
    assert owner.call("write_buffer_get", "a", 1) is None
    assert owner.events == ["remove a"]


def test_remove_client_that_removes_inside_a_violation() -> None:
    """The frame of the violation would touch a client that is gone (CB-1, TOK-2)."""
    owner = Owner()
    owner.add_client(window=0)
    owner.inside("remove", owner.later("client_remove", "a"))
    assert owner.call("write_buffer_get", "a", 1) is None
    assert not owner.call("client_exists", "a")


def test_without_flow_control_nothing_is_counted() -> None:
    """A client without flow control would be limited or told of tokens (TOK-4)."""
    owner = Owner()
    owner.add_client(window=0, send_tokens=0, queue=0, flow_control=False)
    owner.messages.extend(["m1", "m2"])
    owner.call("start")
    for number in range(5):
        owner.add("a", b"%d" % number)
    owner.call("send_to_client_tokens_set", "a", 0)
    owner.call("send_to_client_tokens_add", "a", 7)
    assert owner.events == [
        "read m1", "ref m1", "send m1 to a", "unref m1", "unref m1",
        "read m2", "ref m2", "send m2 to a", "unref m2", "unref m2",
        "read None", "read None",
        "write 0 -> 1", "write 1 -> 1", "write 2 -> 1", "write 3 -> 1", "write 4 -> 1",
    ]  # fmt: skip
    assert owner.tokens() == (0, 0, 0)
    assert owner.row().send_tokens == 0


def test_counts_are_exact_beyond_32_bits() -> None:
    """A count would wrap or be cut after many additions (TOK-5)."""
    owner = Owner()
    owner.add_client(window=MAXIMUM, send_tokens=MAXIMUM)
    for _ in range(3):
        owner.call("send_to_client_tokens_add", "a", MAXIMUM)
    assert owner.row().send_tokens == 4 * MAXIMUM
    owner.add("a", b"x")
    assert owner.tokens() == (MAXIMUM - 1, 0, 1)


def test_self_tokens() -> None:
    """Server buffers would not be limited, or a token would not come back (SELF-1, SELF-2, SELF-3)."""
    owner = Owner(self_tokens=2)
    owner.call("start")
    first, second = owner.hold(None), owner.hold(None)
    assert owner.call("write_buffer_get", None, 1) is None
    owner.call("write_buffer_release", first)
    owner.call("write_buffer_add", second, b"x")
    assert owner.events == ["read None", "self-token", "write x -> 1", "self-token"]
    assert owner.device.self_tokens == 2


def test_a_self_token_is_back_before_the_owner_is_told() -> None:
    """An owner that gets its next buffer inside on_free_self_token would be given none (SELF-3)."""
    owner = Owner(self_tokens=1)
    got: list[object] = []
    owner.inside("self-token", lambda: got.append(owner.hold(None)))
    owner.call("write_buffer_release", owner.hold(None))
    assert got == [2]
    assert owner.device.self_tokens == 0


def test_buffers_without_token_touch_no_count() -> None:
    """A server-without-token buffer would use up or return self tokens (SELF-4)."""
    owner = Owner(self_tokens=0)
    owner.call("start")
    owner.call("write_buffer_add", owner.call("write_buffer_get_server_no_token", 1), b"x")
    owner.call("write_buffer_release", owner.call("write_buffer_get_server_no_token", 1))
    assert owner.events == ["read None", "write x -> 1"]
    assert owner.device.self_tokens == 0


def test_an_exception_does_not_keep_later_prices_from_returning() -> None:
    """A callback that raises would swallow the tokens of the buffers behind (CB-5, WR-3)."""
    owner = Owner(self_tokens=2)
    owner.add_client()
    owner.offers = 3
    for peer in ("a", None, "a"):
        owner.add(peer, b"x")
    owner.inside("tokens", owner.fails(BoomError("first")))
    owner.inside("self-token", owner.fails(BoomError("second")))
    with pytest.raises(BoomError, match=r"^first$"):
        owner.call("start")
    assert owner.events == ["write xxx -> 3", "tokens 1 to a", "self-token", "tokens 1 to a"]
    assert owner.tokens() == (3, 0, 0)
    assert owner.device.self_tokens == 2
    # The read pass was not started: it is left to the timer.
    assert owner.retry == 0
