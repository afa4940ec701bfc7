"""Create, start, stop, reset, attach, destroy, clients (LC)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from chardev import (
    ClientAlreadyAttachedError,
    DestroyedDeviceError,
    Device,
    PortAttachedElsewhereError,
    StarvingWindowError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.impl.conftest import World


def test_new_device_is_stopped_attached_and_empty(make_world: Callable[..., World]) -> None:
    """A new device would run before its owner is ready (LC-1)."""
    world = make_world()
    device = world.dev
    assert (device.running, device.active, device.port, device.clients()) == (
        False, False, world, (),
    )  # fmt: skip
    assert world.device is device
    assert device.opaque_get() is world
    assert world.events == []


def test_stop_loses_nothing(world: World) -> None:
    """Queued data would vanish, or the retry timer fire into a stopped device (LC-2)."""
    world.dev.start()
    world.answers.append(0)
    world.dev.write("a", b"x")
    world.take_events()
    world.dev.stop()
    assert world.take_events() == ["retry off"]
    world.dev.retry_timer_fired()
    world.dev.wakeup()
    assert world.take_events() == []
    world.dev.start()
    assert world.written == b"x"


def test_start_alternates_until_nothing_moves(world: World) -> None:
    """What a read callback queues would wait for the next event (LC-2)."""
    world.messages.append("m")
    world.when("send", lambda: world.dev.write("a", b"answer"))
    world.answers.append(0)
    world.dev.start()
    assert world.written == b"answer"
    assert not world.dev.retry_timer_armed


def test_wakeup_writes_once_then_reads_once(world: World) -> None:
    """A wakeup would read but leave pending data to the timer (LC-2)."""
    world.dev.start()
    world.answers.extend([0])
    world.dev.write("a", b"x")
    world.take_events()
    world.dev.wakeup()
    assert world.take_events() == ["write x -> 1", "tokens 1 to a", "retry off", "read nothing"]


def test_reset_returns_every_price(world: World) -> None:
    """After a reset the client would have fewer tokens than its window (LC-3)."""
    held = world.dev.write_buffer_get("a", 1)
    server = world.dev.write_buffer_get(None, 1)
    assert held is not None
    assert server is not None
    world.dev.write("a", b"x")
    world.dev.write(None, b"y")
    world.dev.start()
    world.take_events()
    world.dev.stop()
    world.dev.write("a", b"z")
    world.dev.write(None, b"y")
    world.dev.reset()
    assert world.take_events() == ["self-token", "tokens 2 to a"]
    assert world.dev.client_state("a").tokens == 3
    assert world.dev.self_tokens == 1
    assert (world.dev.running, world.dev.port, world.device) == (False, None, None)
    world.dev.write_buffer_add(held)
    world.dev.write_buffer_release(server)
    assert world.take_events() == ["self-token"]
    assert world.dev.client_state("a").tokens == 3
    assert world.dev.pending_buffers == 0


def test_reset_drops_queued_messages_and_keeps_send_tokens(
    make_world: Callable[..., World],
) -> None:
    """Old messages would be sent after a reset, or a wait timer go on (LC-3)."""
    world = make_world()
    world.dev.client_add("slow", True, 9, 0, 0)
    world.dev.client_add("fast", True, 9, 0, 5)
    world.messages.extend(["m1", "m2"])
    world.dev.start()
    world.take_events()
    world.dev.reset()
    assert world.take_events() == ["wait slow off", "unref m1", "unref m2"]
    assert world.dev.client_state("fast").send_tokens == 3


def test_reset_stops_at_its_end_unless_a_callback_attached_a_port(world: World) -> None:
    """A device without a port would run, or one with a new port be stopped (LC-3)."""
    world.dev.write("a", b"x")
    world.when("tokens", world.dev.start)
    world.dev.reset()
    assert world.dev.running is False
    world.dev.reset_dev_instance(world)
    world.dev.write("a", b"x")

    def restart() -> None:
        world.dev.reset_dev_instance(world)
        world.dev.start()

    world.when("tokens", restart)
    world.dev.reset()
    assert world.dev.running


def test_reset_destroyed_inside_drops_references_and_nothing_else(
    make_world: Callable[..., World],
) -> None:
    """The reset would call back for a device that is gone (LC-5)."""
    world = make_world()
    world.dev.client_add("slow", True, 9, 9, 0)
    world.dev.client_add("fast", True, 9, 9, 5)
    world.messages.append("m")
    world.dev.start()
    world.dev.stop()
    world.dev.write(None, b"x")
    world.dev.write(None, b"x")
    world.dev.write("fast", b"x")
    world.take_events()
    world.when("self-token", world.dev.destroy)
    world.dev.reset()
    assert world.take_events() == ["wait slow off", "self-token", "unref m"]


def test_detach_keeps_data_for_the_next_port(
    world: World, make_world: Callable[..., World]
) -> None:
    """The rest of a partly written buffer would be lost with its port (LC-4)."""
    world.dev.start()
    world.answers.extend([2, 0])
    world.dev.write("a", b"hello")
    world.take_events()
    world.dev.reset_dev_instance(None)
    assert world.take_events() == ["retry off"]
    other = make_world()
    other.dev.reset_dev_instance(None)
    world.dev.reset_dev_instance(other)
    assert (world.written, other.written) == (b"he", b"llo")
    world.dev.reset_dev_instance(None)


def test_port_serves_one_device(world: World, make_world: Callable[..., World]) -> None:
    """Two devices would write to one port (LC-4)."""
    other = make_world()
    with pytest.raises(PortAttachedElsewhereError) as caught:
        world.dev.reset_dev_instance(other)
    assert str(caught.value) == (
        f"reset_dev_instance: the port {other!r} is attached to another device; "
        "detach it there first"
    )
    assert world.dev.port is world
    with pytest.raises(PortAttachedElsewhereError):
        Device(other, 1, 1, other, other)


def test_destroy_drops_queued_references_and_timers(make_world: Callable[..., World]) -> None:
    """A destroyed device would leak messages or leave timers armed (LC-5)."""
    world = make_world()
    world.dev.client_add("slow", True, 9, 1, 0)
    world.dev.client_add("fast", True, 9, 1, 5)
    world.messages.append("m")
    world.dev.start()
    world.answers.append(0)
    world.dev.write("slow", b"x")
    world.take_events()
    world.dev.destroy()
    assert world.take_events() == ["retry off", "wait slow off", "unref m"]
    assert world.device is None


def test_destroyed_device_refuses_every_call(world: World) -> None:
    """A destroyed device would be used (LC-5)."""
    device = world.dev
    buffer = device.write_buffer_get("a", 1)
    assert buffer is not None
    device.destroy()
    calls: dict[str, tuple[object, ...]] = {
        "opaque_get": (),
        "reset_dev_instance": (None,),
        "destroy": (),
        "reset": (),
        "start": (),
        "stop": (),
        "wakeup": (),
        "client_add": ("b", True, 0, 1, 0),
        "client_remove": ("a",),
        "client_exists": ("a",),
        "send_to_client_tokens_add": ("a", 1),
        "send_to_client_tokens_set": ("a", 1),
        "write_buffer_get": ("a", 1),
        "write_buffer_get_server_no_token": (1,),
        "write_buffer_add": (buffer,),
        "write_buffer_release": (buffer,),
        "write": ("a", b""),
        "migrate_data_marshall": (),
        "restore": (b"",),
    }
    for name, arguments in calls.items():
        with pytest.raises(DestroyedDeviceError) as caught:
            getattr(device, name)(*arguments)
        assert str(caught.value) == f"{name}: the device was destroyed; forget it"
    device.retry_timer_fired()
    device.wait_timer_fired("a")
    assert world.take_events() == []


def test_client_add_errors_change_nothing(world: World) -> None:
    """A client would be attached twice, or starve (LC-6)."""
    with pytest.raises(ClientAlreadyAttachedError) as twice:
        world.dev.client_add("a", True, 1, 1, 1)
    assert str(twice.value) == (
        "client_add: client 'a' is attached already; call client_remove first"
    )
    nobody: Any = None
    with pytest.raises(TypeError) as none:
        world.dev.client_add(nobody, True, 1, 1, 1)
    assert str(none.value) == (
        "client_add: None stands for the server; give the client another name"
    )
    assert world.dev.clients() == ("a",)


def test_window_below_the_interval_starves(make_world: Callable[..., World]) -> None:
    """A client would wait for ever for tokens that never reach the interval (LC-6)."""
    world = make_world(interval=5)
    with pytest.raises(StarvingWindowError) as caught:
        world.dev.client_add("a", True, 0, 4, 0)
    assert str(caught.value) == (
        "client_add: the window of 4 is smaller than the interval of 5, so client 'a' would never "
        "hear of freed tokens; give a window of at least the interval"
    )
    assert world.dev.client_add("a", True, 0, 0, 0)
    assert world.dev.client_add("b", False, 0, 4, 0)


def test_client_state_is_that_of_an_attached_client(world: World) -> None:
    """Clients would be listed in the wrong order."""
    world.dev.client_add("b", True, 0, 1, 0)
    assert world.dev.clients() == ("b", "a")
    assert world.dev.client_exists("a")
    assert not world.dev.client_exists("c")


def test_failing_callbacks_of_client_remove_leave_its_passes_to_the_timer(world: World) -> None:
    """Work that a removal owes would be forgotten when a callback raises (CB-5)."""
    world.dev.client_add("fast", True, 9, 1, 9)
    world.dev.send_to_client_tokens_set("a", 0)
    world.messages.append("m1")
    world.dev.start()
    world.take_events()

    def fail() -> None:
        raise KeyError("boom")

    world.when("unref", fail)
    with pytest.raises(KeyError, match="boom"):
        world.dev.client_remove("a")
    assert world.take_events() == ["wait a off", "unref m1", "retry 0"]


def test_moves_per_call_must_move_something(make_world: Callable[..., World]) -> None:
    """A device would be made that can do nothing."""
    with pytest.raises(ValueError, match="a call must be able to move something"):
        make_world(moves_per_call=0)
