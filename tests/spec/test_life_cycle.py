"""Life cycle: create, start, stop, ports, clients, reset, destroy (LC)."""

import pytest

from chardev_spec.state import Place
from tests.spec.owner import BoomError, Owner, buffer, snapshot


def test_a_new_device() -> None:
    """A new device would move data before its owner said so (LC-1)."""
    owner = Owner(self_tokens=3)
    device = owner.device
    assert (device.running, device.active, device.port, device.self_tokens) == (False, False, 1, 3)
    assert (device.sealed, device.awaiting, device.retry_armed) == (False, None, False)
    assert owner.runner.state.clients.empty()
    assert owner.events == []


def test_opaque_get_and_client_exists_change_nothing() -> None:
    """A question would change the device (LC-5)."""
    owner = Owner()
    owner.add_client()
    before = snapshot(owner.runner.state)
    assert owner.call("opaque_get") is None
    assert owner.call("client_exists", "a")
    assert not owner.call("client_exists", "b")
    assert snapshot(owner.runner.state) == before


def test_start_takes_turns_until_nothing_moves() -> None:
    """What a message makes the owner write, or a write lets the port say, would wait (LC-2)."""
    owner = Owner()
    owner.add_client()
    owner.inside("write", lambda: owner.messages.append("reply"))
    owner.inside("send", lambda: owner.add("a", b"answer"))
    owner.add("a", b"question")
    owner.call("start")
    assert owner.events == [
        "write question -> 8", "tokens 1 to a",
        "read reply", "ref reply", "send reply to a", "write answer -> 6", "tokens 1 to a",
        "unref reply", "unref reply", "read None",
        "read None",
    ]  # fmt: skip
    assert owner.device.active


def test_start_when_running_is_a_kick() -> None:
    """A second start would fail or do nothing (LC-2)."""
    owner = Owner()
    owner.call("start")
    owner.messages.append("m")
    owner.call("start")
    assert owner.events == ["read None", "read m", "unref m", "read None", "read None"]


def test_stop_keeps_what_is_queued() -> None:
    """A stop would lose data, or leave the device active or its timer armed (LC-2, LC-8)."""
    owner = Owner()
    owner.add_client()
    owner.takes.extend([1, 0, 0])
    owner.add("a", b"xy")
    owner.call("start")
    assert (owner.device.active, owner.retry) == (True, 100)
    owner.call("stop")
    assert (owner.device.active, owner.retry, owner.pending()) == (False, None, b"y")


def test_a_stop_inside_a_write_ends_start() -> None:
    """A stopped device would go on using its port (LC-2, WR-2, LC-8)."""
    owner = Owner()
    owner.add(None, b"x")
    owner.add(None, b"y")
    owner.inside("write", owner.later("stop"))
    owner.call("start")
    assert owner.events == ["write x -> 1", "self-token"]
    assert not owner.device.active


def test_a_stop_and_start_inside_a_write_makes_active() -> None:
    """Bytes taken would not count for a device that runs when the port call returns (LC-8)."""
    owner = Owner()
    owner.add(None, b"x")

    def restart() -> None:
        owner.call("stop")
        owner.call("start")

    owner.inside("write", restart)
    owner.call("start")
    assert owner.device.active


def test_wakeup_when_stopped_does_nothing() -> None:
    """A stopped device would use its port (LC-2)."""
    owner = Owner()
    owner.add(None, b"x")
    owner.call("wakeup")
    assert owner.events == []


def test_a_timer_that_is_not_armed_does_nothing() -> None:
    """A timer that fires late would move data or remove a client (LC-9)."""
    owner = Owner()
    owner.add_client()
    owner.call("start")
    owner.messages.append("m")
    owner.take_events()
    owner.call("retry_timer_fired")
    owner.call("wait_timer_fired", "a")
    owner.call("wait_timer_fired", "nobody")
    assert owner.events == []


def test_timers_of_a_destroyed_device_do_nothing() -> None:
    """A timer that fires while its device goes would crash its owner (LC-5, LC-9)."""
    owner = Owner()
    owner.add_client()
    owner.call("destroy")
    owner.call("retry_timer_fired")
    owner.call("wait_timer_fired", "a")
    assert owner.events == []


def test_a_timer_may_fire_inside_a_callback() -> None:
    """A timer that fires in the middle of a frame would be lost or start a second writer (CB-1, WR-5)."""
    owner = Owner()
    owner.call("start")
    owner.takes.append(0)
    owner.add(None, b"x")
    owner.take_events()
    owner.inside("read", owner.later("retry_timer_fired"))
    owner.add_client()
    assert owner.events == ["write x -> 1", "self-token", "read None"]


# Clients


@pytest.mark.parametrize("why", ["clients", "active", "partly written", "writing", "reading"])
def test_a_client_that_would_wait_is_refused(why: str) -> None:
    """Restored data would meet data of this device (LC-6)."""
    owner = Owner()
    results: list[object] = []
    if why == "clients":
        owner.add_client("b")
    if why in {"active", "partly written"}:
        owner.takes.extend([1, 0, 0])
        owner.add(None, b"xy")
        owner.call("start")
    if why == "partly written":
        owner.call("stop")
        assert not owner.device.active
    if why in {"writing", "reading"}:
        owner.add(None, b"x")
        word = "write" if why == "writing" else "read"
        owner.inside(word, lambda: results.append(owner.add_client(wait=True)))
        owner.call("start")
    else:
        before = snapshot(owner.runner.state)
        results.append(owner.add_client(wait=True))
        assert snapshot(owner.runner.state) == before
    assert results == [False]
    assert not owner.call("client_exists", "a")


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize("why", ["sealed", "awaiting"])
def test_no_client_joins_a_sealed_or_awaiting_device(why: str, *, wait: bool) -> None:
    """A second client would take part in a move that knows one (LC-6, MIG-2, MIG-4)."""
    owner = Owner()
    owner.add_client("b", wait=why == "awaiting")
    if why == "sealed":
        owner.call("migrate_data_marshall")
    before = snapshot(owner.runner.state)
    assert owner.add_client("a", wait=wait) is False
    assert snapshot(owner.runner.state) == before


def test_a_client_that_joins_makes_the_device_read() -> None:
    """Messages in the port would wait although someone can be sent to now (LC-6, RD-8)."""
    owner = Owner()
    owner.add_client("a", send_tokens=0)
    owner.call("start")
    owner.messages.append("m")
    owner.call("wakeup")
    assert owner.events == []
    assert owner.add_client("b") is True
    assert owner.events[:3] == ["read m", "ref m", "send m to b"]


def test_a_client_that_waits_starts_without_send_tokens() -> None:
    """The tokens of the record would be added to a number that means nothing (MIG-4, LC-6)."""
    owner = Owner()
    assert owner.add_client(send_tokens=2**32 - 1, wait=True) is True
    assert (owner.row().send_tokens, owner.row().granted) == (0, 0)


def test_client_remove_delists_before_it_calls() -> None:
    """A callback would find a client that is half gone (LC-7, CB-1)."""
    owner = Owner()
    owner.add_client("a", send_tokens=0)
    owner.add_client("b", send_tokens=1)
    owner.messages.append("m1")
    owner.call("start")
    owner.add("a", b"x")
    owner.take_events()
    seen: list[object] = []
    owner.inside("unref", lambda: seen.append(owner.call("client_exists", "a")))
    owner.messages.append("m2")
    owner.call("client_remove", "a")
    assert seen == [False]
    assert owner.events == ["unref m1"]
    owner.call("client_remove", "b")
    assert owner.events == ["unref m1", "read m2", "unref m2", "read None"]


def test_an_exception_in_client_remove_leaves_its_passes_to_the_timer() -> None:
    """The read that a removal allows would be lost when a callback raises (CB-5, RD-8)."""
    owner = Owner()
    owner.add_client("a", send_tokens=0)
    owner.add_client("b", send_tokens=1)
    owner.messages.extend(["m1"])
    owner.call("start")
    owner.call("send_to_client_tokens_add", "b", 1)
    owner.take_events()
    owner.inside("unref", owner.fails(BoomError("unref")))
    with pytest.raises(BoomError, match=r"^unref$"):
        owner.call("client_remove", "a")
    assert owner.events == ["unref m1"]
    assert owner.retry == 0


def test_client_remove_ends_an_awaiting_and_writes() -> None:
    """Data queued while awaiting would be stuck when the client leaves (LC-7, WR-6)."""
    owner = Owner()
    owner.add_client(wait=True)
    owner.add(None, b"x")
    owner.call("start")
    assert owner.events == []
    owner.call("client_remove", "a")
    assert owner.events == ["write x -> 1", "self-token", "read None"]


# Reset


def test_reset() -> None:
    """A reset would keep data, lose tokens or leave something armed (LC-3)."""
    owner = Owner(interval=3)
    owner.add_client("a", window=9, send_tokens=0)
    owner.add_client("b", send_tokens=1)
    owner.messages.append("m")
    owner.takes.extend([1, 1, 0, 0])
    owner.add("a", b"w")
    owner.add(None, b"xy")
    owner.add("a", b"z")
    owner.call("start")
    held, held_server = owner.hold("a"), owner.hold(None)
    assert owner.tokens() == (6, 1, 2)
    owner.take_events()
    owner.call("reset")
    assert owner.events == ["self-token", "unref m", "tokens 3 to a"]
    device = owner.device
    assert (device.running, device.active, device.port, owner.retry) == (False, False, None, None)
    assert owner.pending() == b""
    assert (owner.tokens(), owner.wait()) == ((9, 0, 0), None)
    owner.call("write_buffer_add", held, b"dropped")
    owner.call("write_buffer_add", held_server, b"kept")
    assert owner.pending() == b"kept"
    owner.call("reset_dev_instance", 2)
    owner.call("start")
    assert owner.events[3:] == ["write kept -> 4", "self-token"]


def test_reset_changes_all_state_before_it_calls() -> None:
    """A callback of a reset would see half of it, and TOK-1 or SELF-1 not hold (LC-3, CB-1)."""
    owner = Owner(interval=9, self_tokens=2)
    owner.add_client("a", window=9)
    for peer in ("a", None, None, "a"):
        owner.add(peer, b"x")
    seen: list[object] = []
    owner.inside(
        "self-token",
        lambda: seen.append((owner.device.self_tokens, owner.tokens(), owner.pending())),
    )
    owner.call("reset")
    assert seen == [(2, (7, 2, 0), b"")]
    assert owner.events == ["self-token", "self-token", "tokens 2 to a"]


def test_what_callbacks_queue_in_a_reset_stays() -> None:
    """Data added by a callback of a reset would be dropped with the old (LC-3)."""
    owner = Owner()
    owner.add(None, b"old")
    owner.inside("self-token", lambda: owner.add(None, b"new"))
    owner.call("reset")
    assert owner.pending() == b"new"


def test_a_reset_whose_callback_starts_without_a_port_ends_stopped() -> None:
    """A device without a port would run after a reset (LC-3)."""
    owner = Owner()
    owner.add(None, b"x")
    owner.inside("self-token", owner.later("start"))
    owner.call("reset")
    assert not owner.device.running


def test_a_reset_whose_callback_attaches_a_port_and_starts_goes_on() -> None:
    """An owner that restarts inside a reset would be stopped by its end (LC-3)."""
    owner = Owner()
    owner.add(None, b"x")

    def restart() -> None:
        owner.call("reset_dev_instance", 2)
        owner.call("start")

    owner.inside("self-token", restart)
    owner.call("reset")
    assert (owner.device.running, owner.device.port) == (True, 2)


def test_a_reset_announces_once_newest_first_to_those_that_are_still_there() -> None:
    """A client would be told its tokens twice, or one that is gone be told at all (LC-3)."""
    owner = Owner()
    for peer in ("a", "b", "c", "d"):
        owner.add_client(peer)
        owner.add(peer, b"x")

    def rejoin() -> None:
        owner.call("client_remove", "b")
        owner.add_client("b")

    owner.inside("tokens", rejoin)
    owner.call("reset")
    assert owner.events == ["tokens 1 to d", "tokens 1 to c", "tokens 1 to a"]


def test_a_reset_of_an_awaiting_device_voids_the_send_tokens() -> None:
    """Grants for a move that does not happen would count (LC-3)."""
    owner = Owner()
    owner.add_client(wait=True)
    owner.call("send_to_client_tokens_add", "a", 3)
    owner.call("reset")
    assert (owner.device.awaiting, owner.row().send_tokens) == (None, 0)


def test_a_destroy_inside_a_reset() -> None:
    """A reset would go on calling for a device that is gone (LC-5, CB-1)."""
    owner = Owner()
    owner.add_client("a", send_tokens=0)
    owner.add_client("b", send_tokens=1)
    owner.messages.append("m")
    owner.call("start")
    owner.call("stop")
    owner.add("a", b"x")
    owner.add(None, b"x")
    owner.add(None, b"x")
    owner.take_events()
    owner.inside("self-token", owner.later("destroy"))
    owner.call("reset")
    assert owner.events == ["self-token", "unref m"]


# Ports and the end


def test_detaching_keeps_data_and_disarms_the_timer() -> None:
    """A device without a port would run a timer or lose data (LC-4)."""
    owner = Owner()
    owner.call("start")
    owner.takes.append(0)
    owner.add(None, b"x")
    timers = [owner.retry]
    owner.call("reset_dev_instance", None)
    timers.append(owner.retry)
    assert (timers, owner.pending(), owner.device.running) == ([100, None], b"x", True)


def test_the_rest_of_a_partly_written_buffer_goes_to_the_new_port() -> None:
    """Bytes would be lost or repeated when a port is replaced (LC-4, WR-1)."""
    owner = Owner()
    owner.call("start")
    owner.takes.extend([1, 0])
    owner.add(None, b"xyz")
    owner.take_events()
    owner.call("reset_dev_instance", 2)
    assert owner.events == ["write yz -> 2", "self-token", "read None"]


def test_attaching_to_a_stopped_device_does_nothing_yet() -> None:
    """A stopped device would use a new port (LC-4)."""
    owner = Owner()
    owner.add(None, b"x")
    owner.call("reset_dev_instance", 2)
    assert owner.events == []


def test_destroy_drops_references_and_nothing_else() -> None:
    """A destroyed device would leak messages or call its owner (LC-5, CB-4)."""
    owner = Owner()
    owner.add_client("a", send_tokens=0)
    owner.add_client("b", send_tokens=0)
    owner.add_client("c", send_tokens=2)
    owner.messages.extend(["m1", "m2"])
    owner.call("start")
    owner.call("stop")
    owner.add("a", b"x")
    owner.add(None, b"x")
    held = owner.hold("a")
    owner.take_events()
    owner.inside("unref", owner.fails(BoomError("unref")))
    with pytest.raises(BoomError, match=r"^unref$"):
        owner.call("destroy")
    assert owner.events == ["unref m1", "unref m2", "unref m1", "unref m2"]
    assert [row.handle for row in owner.runner.state.buffers] == [held]
    assert buffer(owner, held).place == Place.HELD
