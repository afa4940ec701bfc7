"""Writing to the port: order, partial writes, retries, limits, failures (WR, BUF)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chardev import (
    BufferNotHeldError,
    BufferOrigin,
    BufferOverfullError,
    DestroyedDeviceError,
    DeviceStillAliveError,
    NegativeSizeError,
    write_buffer_release_without_device,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.impl.conftest import World


def test_uncongested_write_goes_straight_to_the_port(world: World) -> None:
    """A single message would be delayed, or its token lost."""
    world.dev.start()
    world.take_events()
    assert world.dev.write("a", b"hello") is True
    assert world.take_events() == ["write hello -> 5", "tokens 1 to a"]
    assert world.written == b"hello"
    assert world.dev.active


def test_get_fill_add_is_the_same_as_write(world: World) -> None:
    """The header's three calls and the short one would behave differently."""
    world.dev.start()
    world.take_events()
    world.add("a", b"hello")
    assert world.take_events() == ["write hello -> 5", "tokens 1 to a"]


def test_stopped_device_queues_and_start_writes_one_batch(world: World) -> None:
    """Data added while stopped would be lost, or written too early (WR-2, WR-3)."""
    for data in (b"one", b"two", b"three"):
        assert world.dev.write("a", data)
    assert world.take_events() == []
    assert (world.dev.pending_buffers, world.dev.pending_bytes) == (3, 11)
    world.dev.start()
    assert world.take_events() == [
        "write onetwothree -> 11",
        "tokens 1 to a",
        "tokens 1 to a",
        "tokens 1 to a",
        "read nothing",
        "read nothing",
    ]


def test_partial_write_continues_with_the_rest(world: World) -> None:
    """Bytes would be written twice or not at all when the port takes a prefix (WR-1, WR-3)."""
    world.answers.extend([4, 3, 0])
    for data in (b"one", b"two", b"three"):
        world.dev.write("a", data)
    world.dev.start()
    assert world.take_events() == [
        "write onetwothree -> 4",
        "tokens 1 to a",
        "write wothree -> 3",
        "tokens 1 to a",
        "write hree -> 0",
        "retry 100",
        "read nothing",
        "retry 100",
        "write hree -> 4",
        "tokens 1 to a",
        "retry off",
        "read nothing",
        "read nothing",
    ]
    assert world.written == b"onetwothree"


def test_refused_write_is_retried_by_the_timer(world: World) -> None:
    """Data would be stuck behind a port that does not announce writability (WR-4, WR-6)."""
    world.dev.start()
    world.take_events()
    world.answers.append(0)
    world.dev.write("a", b"x")
    assert world.take_events() == ["write x -> 0", "retry 100"]
    assert world.dev.retry_timer_armed
    world.dev.retry_timer_fired()
    assert world.take_events() == ["write x -> 1", "tokens 1 to a", "read nothing"]
    world.dev.retry_timer_fired()
    assert world.take_events() == []


def test_announcing_port_owes_a_wakeup_instead_of_the_timer(world: World) -> None:
    """A port that says when it is writable would be polled nevertheless (WR-4)."""
    world.announces_writability = True
    world.dev.start()
    world.take_events()
    world.answers.append(0)
    world.dev.write("a", b"x")
    assert world.take_events() == ["write x -> 0"]
    assert world.dev.port_owes_wakeup
    assert not world.dev.retry_timer_armed
    world.dev.wakeup()
    assert world.take_events() == ["write x -> 1", "tokens 1 to a", "read nothing"]
    assert not world.dev.port_owes_wakeup


def test_congested_port_is_probed_with_one_buffer_then_given_a_batch(world: World) -> None:
    """Every write to a full port would offer the whole queue again."""
    world.announces_writability = True
    world.dev.start()
    world.take_events()
    world.answers.extend([0, 0])
    world.dev.write("a", b"one")
    world.dev.write("a", b"two")
    world.dev.write("a", b"three")
    assert world.take_events() == [
        "write one -> 0",
        "write one -> 0",
        "write one -> 3",
        "tokens 1 to a",
        "write twothree -> 8",
        "tokens 1 to a",
        "tokens 1 to a",
    ]


def test_batches_are_limited_in_bytes(make_world: Callable[..., World]) -> None:
    """One huge batch would be offered to a port that takes a few KiB."""
    world = make_world(interval=100)
    world.dev.client_add("a", True, 0, 100, 0)
    for letter in (b"a", b"b", b"c"):
        world.dev.write("a", letter * 10_000)
    world.dev.write("a", b"d" * 40_000)
    world.dev.start()
    sizes = [event.count("a") + event.count("b") for event in world.take_events()[:4]]
    assert sizes[0] == 10_000
    assert world.written == b"a" * 10_000 + b"b" * 10_000 + b"c" * 10_000 + b"d" * 40_000


def test_empty_buffers_take_no_port_write(world: World) -> None:
    """An empty buffer would reach the port, or its token would never return (BUF-6)."""
    world.dev.start()
    world.take_events()
    world.dev.write("a", b"")
    assert world.take_events() == ["tokens 1 to a"]
    assert not world.dev.active


def test_empty_buffer_behind_a_completed_one_completes_with_it(world: World) -> None:
    """The empty buffer would wait for another pass (BUF-6)."""
    world.dev.write("a", b"one")
    world.dev.write("a", b"")
    world.dev.write("a", b"two")
    world.answers.extend([3, 0])
    world.dev.start()
    assert world.take_events()[:4] == [
        "write onetwo -> 3",
        "tokens 1 to a",
        "tokens 1 to a",
        "write two -> 0",
    ]


def test_nested_write_is_done_by_the_outer_writer(world: World) -> None:
    """A write inside a port write would be torn into another one, or lost (WR-5)."""
    world.dev.start()
    world.take_events()
    world.when("write", lambda: world.dev.write("a", b"inner"))
    world.dev.write("a", b"outer")
    assert world.take_events() == [
        "write outer -> 5",
        "tokens 1 to a",
        "write inner -> 5",
        "tokens 1 to a",
    ]


def test_request_during_a_refusing_port_call_counts_as_made_after_it(world: World) -> None:
    """A request made while the port was busy would be forgotten (WR-5)."""
    world.dev.start()
    world.take_events()
    world.answers.extend([0])
    world.when("write", world.dev.wakeup)
    world.dev.write("a", b"x")
    assert world.take_events() == [
        "write x -> 0",
        "read nothing",
        "write x -> 1",
        "tokens 1 to a",
    ]


def test_port_that_always_asks_again_is_left_to_the_timer(world: World) -> None:
    """A port that wakes the device inside each refused write would spin for ever (WR-5)."""
    world.announces_writability = True
    world.dev.start()
    world.take_events()
    world.answers.extend([0, 0, 0])
    world.when("write", world.dev.wakeup, world.dev.wakeup, world.dev.wakeup)
    world.dev.write("a", b"x")
    assert world.take_events() == [
        "write x -> 0",
        "read nothing",
        "write x -> 0",
        "read nothing",
        "retry 0",
    ]


def test_moves_per_call_limits_a_frame(make_world: Callable[..., World]) -> None:
    """One call could move any number of buffers and starve everybody else (WR-5)."""
    world = make_world(moves_per_call=2)
    world.dev.client_add("a", True, 0, 9, 0)
    for data in (b"1", b"2", b"3"):
        world.dev.write("a", data)
    world.dev.start()
    assert world.take_events() == [
        "write 12 -> 2",
        "tokens 1 to a",
        "tokens 1 to a",
        "retry 0",
        "retry 0",
    ]
    world.dev.retry_timer_fired()
    assert world.take_events() == ["write 3 -> 1", "tokens 1 to a"]


def test_empty_buffers_count_for_the_limit(make_world: Callable[..., World]) -> None:
    """A call could complete any number of buffers as long as they are empty (WR-5, BUF-6)."""
    world = make_world(moves_per_call=1)
    world.dev.client_add("a", True, 0, 9, 0)
    for data in (b"", b"1", b"2"):
        world.dev.write("a", data)
    world.dev.start()
    assert world.take_events() == ["tokens 1 to a", "retry 0", "retry 0"]
    world.dev.retry_timer_fired()
    assert world.take_events() == ["write 1 -> 1", "tokens 1 to a", "retry 0", "retry 0"]


def test_exception_while_the_port_asks_again_is_a_limit(world: World) -> None:
    """A request made inside a failing port write would wait for a wakeup that never comes (CB-5)."""
    world.announces_writability = True
    world.dev.start()
    world.take_events()
    world.answers.append(KeyError("boom"))
    world.when("write", lambda: world.dev.write("a", b"y"))
    with pytest.raises(KeyError, match="boom"):
        world.dev.write("a", b"x")
    assert world.take_events() == ["write x -> KeyError('boom')", "retry 0"]
    world.dev.retry_timer_fired()
    assert world.written == b"xy"


@pytest.mark.parametrize("answer", [-1, 2])
def test_failed_port_is_detached_once_and_data_stays(world: World, answer: int) -> None:
    """An unplugged port would be written for ever, or its data lost (WR-8)."""
    world.dev.start()
    world.take_events()
    world.answers.append(answer)
    world.dev.write("a", b"x")
    assert world.take_events() == [f"write x -> {answer}", "port-failed"]
    assert world.dev.port is None
    assert world.device is None
    assert world.dev.pending_buffers == 1
    assert not world.dev.retry_timer_armed
    world.dev.reset_dev_instance(world)
    assert world.take_events() == ["write x -> 1", "tokens 1 to a", "read nothing"]


def test_replaced_port_is_not_blamed(world: World) -> None:
    """The new port would be detached for the old one's error (WR-8)."""
    world.dev.start()
    world.take_events()
    world.answers.append(-1)
    world.when("write", lambda: world.dev.reset_dev_instance(world))
    world.dev.write("a", b"x")
    assert world.take_events() == [
        "write x -> -1",
        "read nothing",
        "write x -> 1",
        "tokens 1 to a",
    ]
    assert world.dev.port is world


def test_answer_after_a_reset_is_ignored(world: World) -> None:
    """Bytes taken by a port that was reset away would be counted (WR-7)."""
    world.dev.start()
    world.take_events()
    world.when("write", world.dev.reset)
    world.dev.write("a", b"x")
    assert world.take_events() == ["write x -> 1", "tokens 1 to a"]
    assert not world.dev.active
    assert world.dev.pending_buffers == 0


def test_client_gone_while_its_buffers_are_offered(make_world: Callable[..., World]) -> None:
    """Offered buffers of a client that leaves would be torn, or untouched ones written (WR-7)."""
    world = make_world()
    for client in "ab":
        world.dev.client_add(client, True, 0, 3, 0)
    world.dev.write("a", b"one")
    world.dev.write("a", b"two")
    world.dev.write("a", b"three")
    world.dev.write("b", b"four")
    world.answers.append(4)
    world.when("write", lambda: world.dev.client_remove("a"))
    world.dev.start()
    assert world.take_events() == [
        "write onetwothreefour -> 4",
        "write wofour -> 6",
        "tokens 1 to b",
    ]
    assert world.written == b"onetwofour"


def test_removed_client_takes_its_queue_but_not_its_current_buffer(
    make_world: Callable[..., World],
) -> None:
    """The port would see a torn message, or data of a client that is gone (WR-7)."""
    world = make_world()
    for client in "ab":
        world.dev.client_add(client, True, 0, 3, 0)
    world.dev.start()
    world.answers.extend([1, 0])
    world.dev.write("a", b"one")
    world.dev.stop()
    world.dev.write("b", b"four")
    world.dev.write("a", b"two")
    world.dev.client_remove("a")
    world.dev.start()
    assert world.written == b"onefour"


def test_destroy_inside_a_port_write(world: World) -> None:
    """The device would go on after its end (CB-1, LC-5)."""
    world.dev.start()
    world.take_events()
    world.when("write", world.dev.destroy)
    world.dev.write("a", b"x")
    assert world.take_events() == ["write x -> 1"]
    assert world.dev.destroyed
    assert world.device is None


def test_server_buffers_return_their_token_then_say_so(world: World) -> None:
    """The server's tokens would leak, or be announced too early (SELF-1 to SELF-3)."""
    world.when("self-token", lambda: world.note(f"has {world.dev.self_tokens}"))
    world.dev.start()
    world.take_events()
    assert world.dev.write(None, b"x")
    assert world.take_events() == ["write x -> 1", "self-token", "has 2"]


def test_no_self_token_no_buffer(world: World) -> None:
    """More server buffers than agreed would be in flight (SELF-2)."""
    first = world.dev.write_buffer_get(None, 1)
    assert world.dev.write(None, b"x") is True
    assert world.dev.write(None, b"y") is False
    assert world.dev.write_buffer_get(None, 1) is None
    assert world.dev.self_tokens == 0
    assert first is not None
    world.dev.write_buffer_release(first)
    assert world.take_events() == ["self-token"]
    assert world.dev.self_tokens == 1


def test_server_without_token_touches_no_count(world: World) -> None:
    """A buffer that nobody pays for would change somebody's tokens (SELF-4)."""
    buffer = world.dev.write_buffer_get_server_no_token(2)
    assert (buffer.origin, buffer.client) == (BufferOrigin.SERVER_NO_TOKEN, None)
    buffer.buf[:] = b"hi"
    buffer.buf_used = 2
    world.dev.start()
    world.take_events()
    world.dev.write_buffer_add(buffer)
    assert world.take_events() == ["write hi -> 2"]
    assert world.dev.self_tokens == 2


def test_buffer_is_added_or_released_once(world: World) -> None:
    """A buffer would be written twice, or its token returned twice (BUF-1)."""
    buffer = world.dev.write_buffer_get("a", 4)
    assert buffer is not None
    world.dev.write_buffer_add(buffer)
    for name, call in (
        ("write_buffer_add", world.dev.write_buffer_add),
        ("write_buffer_release", world.dev.write_buffer_release),
    ):
        with pytest.raises(BufferNotHeldError) as caught:
            call(buffer)
        assert str(caught.value) == (
            f"{name}: the buffer is not held by its owner; add or release each buffer exactly once"
        )
        assert caught.value.rule == "BUF-1"


def test_buffer_of_another_device_is_refused(make_world: Callable[..., World]) -> None:
    """A token would move from one device to another (BUF-1)."""
    one, two = make_world(), make_world()
    buffer = one.dev.write_buffer_get(None, 4)
    assert buffer is not None
    with pytest.raises(BufferNotHeldError) as caught:
        two.dev.write_buffer_add(buffer)
    assert str(caught.value) == (
        "write_buffer_add: the buffer was got from another device; use that one"
    )
    one.dev.write_buffer_release(buffer)


def test_wrong_sizes_are_refused_and_change_nothing(world: World) -> None:
    """Memory outside the buffer would be written (BUF-1)."""
    with pytest.raises(NegativeSizeError) as negative:
        world.dev.write_buffer_get("a", -1)
    assert str(negative.value) == (
        "write_buffer_get: the size is -1; give the number of bytes needed, 0 or more"
    )
    buffer = world.dev.write_buffer_get("a", 2)
    assert buffer is not None
    buffer.buf_used = 3
    with pytest.raises(BufferOverfullError) as overfull:
        world.dev.write_buffer_add(buffer)
    assert str(overfull.value) == (
        "write_buffer_add: buf_used is 3, but the buffer holds 2 bytes; get a larger buffer"
    )
    buffer.buf_used = -1
    with pytest.raises(NegativeSizeError) as used:
        world.dev.write_buffer_add(buffer)
    assert str(used.value) == (
        "write_buffer_add: buf_used is -1; say how many bytes of the buffer to write"
    )
    assert world.dev.client_state("a").tokens == 2
    world.dev.write_buffer_release(buffer)
    assert world.dev.client_state("a").tokens == 3


def test_buffer_of_a_client_that_left_is_dropped(world: World) -> None:
    """A client that came back would get, or pay for, what its predecessor did (BUF-4)."""
    added = world.dev.write_buffer_get("a", 1)
    released = world.dev.write_buffer_get("a", 1)
    assert added is not None
    assert released is not None
    assert (added.origin, added.client) == (BufferOrigin.CLIENT, "a")
    world.dev.client_remove("a")
    assert world.dev.write_buffer_get("a", 1) is None
    world.dev.client_add("a", True, 2, 3, 2)
    assert (added.origin, added.client) == (BufferOrigin.NOBODY, None)
    world.dev.start()
    world.take_events()
    added.buf_used = 1
    world.dev.write_buffer_add(added)
    world.dev.write_buffer_release(released)
    assert world.take_events() == []
    assert world.dev.client_state("a").tokens == 3


def test_release_without_device(world: World) -> None:
    """A held buffer would be lost with its device, or freed twice (BUF-3)."""
    buffer = world.dev.write_buffer_get("a", 1)
    assert buffer is not None
    with pytest.raises(DeviceStillAliveError) as alive:
        write_buffer_release_without_device(buffer)
    assert str(alive.value) == (
        "write_buffer_release_without_device: the buffer's device is alive and waits for its "
        "token; call the device's write_buffer_release"
    )
    world.dev.destroy()
    with pytest.raises(DestroyedDeviceError):
        world.dev.write_buffer_release(buffer)
    write_buffer_release_without_device(buffer)
    with pytest.raises(BufferNotHeldError):
        write_buffer_release_without_device(buffer)


def test_exception_from_the_port_counts_as_took_nothing(world: World) -> None:
    """A failing port object would corrupt the queue, or its error be swallowed (CB-5)."""
    world.dev.start()
    world.take_events()
    world.answers.append(OSError("boom"))
    with pytest.raises(OSError, match="boom"):
        world.dev.write("a", b"x")
    assert world.take_events() == ["write x -> OSError('boom')", "retry 100"]
    world.dev.retry_timer_fired()
    assert world.written == b"x"


def test_exception_while_returning_prices_returns_the_others(world: World) -> None:
    """Tokens of a batch would be lost with the first exception (CB-5)."""
    for data in (b"1", b"2", b"3"):
        world.dev.write("a", data)

    def fail() -> None:
        raise KeyError("boom")

    world.when("tokens", fail)
    with pytest.raises(KeyError, match="boom"):
        world.dev.start()
    assert world.take_events() == [
        "write 123 -> 3",
        "tokens 1 to a",
        "tokens 1 to a",
        "tokens 1 to a",
        "retry 0",
    ]
    assert world.dev.client_state("a").tokens == 3
