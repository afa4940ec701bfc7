"""Reading and fan-out: credit, order, send queues, references (RD, CB)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chardev import ClientNotAttachedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.impl.conftest import World


def fail() -> None:
    """Raise, in a callback."""
    raise KeyError("boom")


def test_message_goes_to_all_clients_newest_first(make_world: Callable[..., World]) -> None:
    """A client would miss a message, or a reference leak (RD-2, CB-4)."""
    world = make_world()
    for client in "ab":
        world.dev.client_add(client, True, 2, 0, 2)
    world.messages.append("m")
    world.dev.start()
    assert world.take_events() == [
        "read m", "ref m", "send m to b", "unref m", "ref m", "send m to a", "unref m", "unref m",
        "read nothing", "read nothing",
    ]  # fmt: skip
    assert world.dev.active


def test_without_clients_what_is_read_is_dropped(make_world: Callable[..., World]) -> None:
    """A port nobody listens to would fill up (RD-1)."""
    world = make_world()
    world.messages.append("m")
    world.dev.start()
    assert world.take_events() == ["read m", "unref m", "read nothing", "read nothing"]


def test_nothing_is_read_without_credit(world: World) -> None:
    """Messages would be read that nobody may be sent (RD-1, RD-6)."""
    world.messages.extend(["m1", "m2", "m3"])
    world.dev.start()
    assert [e for e in world.take_events() if e[:4] in {"read", "send"}] == [
        "read m1", "send m1 to a", "read m2", "send m2 to a",
    ]  # fmt: skip
    assert not world.dev.wants_to_read()
    assert not world.dev.retry_timer_armed
    world.dev.send_to_client_tokens_add("a", 2)
    assert [e for e in world.take_events() if e[:4] in {"read", "send"}] == [
        "read m3", "send m3 to a", "read nothing",
    ]  # fmt: skip


def test_slow_client_is_queued_for_then_must_leave(make_world: Callable[..., World]) -> None:
    """A slow client would block the others, or its queue grow without limit (RD-2, RD-4, RD-5)."""
    world = make_world()
    world.dev.client_add("slow", True, 1, 0, 0)
    world.dev.client_add("fast", True, 1, 0, 9)
    world.messages.extend(["m1", "m2"])
    world.dev.start()
    assert world.take_events() == [
        "read m1", "ref m1", "send m1 to fast", "unref m1", "ref m1", "wait slow 30000", "unref m1",
        "read m2", "ref m2", "send m2 to fast", "unref m2", "ref m2", "wait slow off", "unref m2",
        "remove slow", "unref m2", "read nothing", "read nothing",
    ]  # fmt: skip
    world.dev.client_remove("slow")
    assert world.take_events() == ["unref m1", "read nothing"]


def test_wait_timer_makes_the_client_leave(make_world: Callable[..., World]) -> None:
    """A client that never grants tokens would keep its messages for ever (RD-5)."""
    world = make_world()
    world.dev.client_add("slow", True, 1, 0, 0)
    world.dev.client_add("fast", True, 1, 0, 9)
    world.messages.append("m")
    world.dev.start()
    world.take_events()
    world.dev.wait_timer_fired("fast")
    world.dev.wait_timer_fired("nobody")
    assert world.take_events() == []
    world.dev.wait_timer_fired("slow")
    world.dev.wait_timer_fired("slow")
    assert world.take_events() == ["remove slow"]


def test_grant_pushes_the_queue_in_order_then_reads(make_world: Callable[..., World]) -> None:
    """A queued message would be overtaken, or the read after it forgotten (RD-3, RD-7)."""
    world = make_world()
    world.dev.client_add("slow", True, 9, 0, 0)
    world.dev.client_add("fast", True, 9, 0, 3)
    world.messages.extend(["m1", "m2", "m3", "m4"])
    world.dev.start()
    world.take_events()
    world.dev.send_to_client_tokens_add("slow", 2)
    assert world.take_events() == [
        "wait slow 30000", "send m1 to slow", "unref m1",
        "wait slow 30000", "send m2 to slow", "unref m2",
    ]  # fmt: skip
    world.dev.send_to_client_tokens_set("slow", 2)
    assert world.take_events() == [
        "wait slow off", "send m3 to slow", "unref m3",
        "read m4", "ref m4", "wait fast 30000", "ref m4", "send m4 to slow", "unref m4", "unref m4",
    ]  # fmt: skip


def test_nested_grant_defers_to_the_push_on_the_stack(make_world: Callable[..., World]) -> None:
    """Nested pushes would reorder messages or send more than granted (RD-7)."""
    world = make_world()
    world.dev.client_add("slow", True, 9, 0, 0)
    world.dev.client_add("fast", True, 9, 0, 2)
    world.messages.extend(["m1", "m2"])
    world.dev.start()
    world.take_events()
    world.when("send", lambda: world.dev.send_to_client_tokens_add("slow", 1))
    world.dev.send_to_client_tokens_add("slow", 1)
    assert [e for e in world.take_events() if e.startswith("send")] == [
        "send m1 to slow", "send m2 to slow",
    ]  # fmt: skip


def test_grant_of_nothing_does_nothing(world: World) -> None:
    """Adding 0 would cause a read (RD-7)."""
    world.dev.start()
    world.take_events()
    world.dev.send_to_client_tokens_add("a", 0)
    assert world.take_events() == []
    world.dev.send_to_client_tokens_set("a", 0)
    assert world.take_events() == []
    assert world.dev.client_state("a").send_tokens == 0


def test_credit_granted_inside_ref_is_used(make_world: Callable[..., World]) -> None:
    """The message would be queued or refused though the client just granted credit (RD-3)."""
    world = make_world()
    world.dev.client_add("slow", True, 0, 0, 0)
    world.dev.client_add("fast", True, 0, 0, 1)
    world.messages.append("m")
    world.when("ref", lambda: None, lambda: world.dev.send_to_client_tokens_add("slow", 1))
    world.dev.start()
    assert [e for e in world.take_events() if e.startswith(("send", "remove"))] == [
        "send m to fast", "send m to slow",
    ]  # fmt: skip


def test_clients_removed_and_added_during_a_fan_out(make_world: Callable[..., World]) -> None:
    """A removed client would be sent to, or a new one get an old message (CB-2, CB-3)."""
    world = make_world()
    for client in "abc":
        world.dev.client_add(client, True, 1, 0, 5)

    def change() -> None:
        world.dev.client_remove("a")
        world.dev.client_remove("c")
        world.dev.client_add("a", True, 1, 0, 5)

    world.messages.append("m")
    world.when("send", change)
    world.dev.start()
    assert [e for e in world.take_events() if e.startswith("send")] == [
        "send m to c", "send m to b",
    ]  # fmt: skip


@pytest.mark.parametrize("event", ["read", "ref", "send", "unref"])
def test_destroy_during_a_fan_out_drops_every_reference_once(
    make_world: Callable[..., World], event: str
) -> None:
    """A reference would leak, or be dropped twice, when the device ends inside (LC-5, CB-4)."""
    world = make_world()
    for client in "ab":
        world.dev.client_add(client, True, 1, 0, 5)
    world.messages.append("m")
    world.when(event, world.dev.destroy)
    world.dev.start()
    assert world.references["m"] == 0
    assert [e for e in world.take_events() if e.startswith("send")] == (
        ["send m to b"] if event in {"send", "unref"} else []
    )


def test_read_overtaken_by_stop_is_fanned_out_all_the_same(world: World) -> None:
    """A message read just before a stop would be lost (RD-8)."""
    world.messages.extend(["m1", "m2"])
    world.when("read", world.dev.stop)
    world.dev.start()
    assert [e for e in world.take_events() if e[:4] in {"read", "send"}] == [
        "read m1", "send m1 to a",
    ]  # fmt: skip
    assert not world.dev.active


def test_nested_read_is_not_lost(world: World) -> None:
    """A wakeup that comes while the port says "nothing" would be forgotten (RD-8, WR-5)."""
    world.dev.start()
    world.take_events()
    world.when("read", world.dev.wakeup)
    world.dev.wakeup()
    assert world.take_events() == ["read nothing", "read nothing"]


def test_port_that_always_asks_to_be_read_is_left_to_the_timer(world: World) -> None:
    """A port that wakes the device inside each empty read would spin for ever (WR-5)."""
    world.dev.start()
    world.take_events()
    world.when("read", world.dev.wakeup, world.dev.wakeup, world.dev.wakeup)
    world.dev.wakeup()
    assert world.take_events() == ["read nothing", "read nothing", "retry 0"]


def test_exception_from_read_is_nothing(world: World) -> None:
    """A failing read callback would leave the reader locked (CB-5)."""
    world.messages.append(KeyError("boom"))
    with pytest.raises(KeyError, match="boom"):
        world.dev.start()
    world.take_events()
    world.messages.append("m")
    world.dev.wakeup()
    assert "send m to a" in world.take_events()


def test_exception_in_a_fan_out_serves_the_others(make_world: Callable[..., World]) -> None:
    """One failing client would cost the others their message, and somebody a reference (CB-5)."""
    world = make_world()
    for client in "ab":
        world.dev.client_add(client, True, 1, 0, 5)
    world.messages.extend(["m1", "m2"])
    world.when("send", fail)
    with pytest.raises(KeyError, match="boom"):
        world.dev.start()
    assert world.take_events() == [
        "read m1", "ref m1", "send m1 to b", "unref m1", "ref m1", "send m1 to a", "unref m1",
        "unref m1", "retry 0",
    ]  # fmt: skip
    world.dev.retry_timer_fired()
    assert "send m2 to a" in world.take_events()


def test_exception_in_a_push_does_not_end_it(make_world: Callable[..., World]) -> None:
    """Messages that the client has credit for would stay queued (CB-5, RD-3)."""
    world = make_world()
    world.dev.client_add("slow", True, 9, 0, 0)
    world.dev.client_add("fast", True, 9, 0, 2)
    world.messages.extend(["m1", "m2"])
    world.dev.start()
    world.take_events()
    world.when("send", fail)
    with pytest.raises(KeyError, match="boom"):
        world.dev.send_to_client_tokens_add("slow", 5)
    assert [e for e in world.take_events() if e.startswith(("send", "read", "retry"))] == [
        "send m1 to slow", "send m2 to slow", "retry 0",
    ]  # fmt: skip


def test_leaving_client_gets_nothing_more(make_world: Callable[..., World]) -> None:
    """A client told to go would be sent messages, or asked to go twice (RD-4)."""
    world = make_world()
    world.dev.client_add("slow", True, 0, 0, 0)
    world.dev.client_add("fast", True, 0, 0, 9)
    world.messages.extend(["m1", "m2"])
    world.dev.start()
    world.dev.send_to_client_tokens_set("slow", 5)
    events = world.take_events()
    assert events.count("remove slow") == 1
    assert "send m2 to slow" not in events
    assert world.dev.client_state("slow").send_tokens == 5


@pytest.mark.parametrize("call", ["client_remove", "send_to_client_tokens_add"])
def test_unknown_clients_are_refused(world: World, call: str) -> None:
    """A call for a client that is not there would be ignored (RD-9)."""
    arguments = ("b",) if call == "client_remove" else ("b", 1)
    with pytest.raises(ClientNotAttachedError) as caught:
        getattr(world.dev, call)(*arguments)
    assert str(caught.value) == f"{call}: client 'b' is not attached; call client_add first"
    assert caught.value.rule == "RD-9"
