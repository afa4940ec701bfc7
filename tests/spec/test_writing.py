"""Writing to the port (WR)."""

import pytest

from chardev_spec.state import Origin, Place
from tests.spec.owner import BoomError, Owner, buffer


def running(*, announces_writability: bool = False, self_tokens: int = 9) -> Owner:
    """A running device with client "a", which has 9 tokens."""
    owner = Owner(self_tokens=self_tokens, announces_writability=announces_writability)
    owner.add_client(window=9)
    owner.call("start")
    owner.take_events()
    return owner


def stopped(*data: bytes, announces_writability: bool = False) -> Owner:
    """A stopped device where client "a" queued these buffers; a write offers up to 10."""
    owner = Owner(announces_writability=announces_writability)
    owner.add_client(window=9)
    for content in data:
        owner.add("a", content)
    owner.offers = 10
    return owner


def test_bytes_keep_their_order_across_partial_writes_and_stops() -> None:
    """Bytes would be lost, repeated or reordered (WR-1)."""
    owner = running()
    owner.takes.extend([2, 0])
    owner.add("a", b"abcd")
    owner.takes.append(0)
    owner.add(None, b"ef")
    owner.call("stop")
    owner.add("a", b"gh")
    owner.call("start")
    assert owner.events == [
        "write abcd -> 2", "write cd -> 0",
        "write cd -> 0",
        "write cd -> 2", "tokens 1 to a", "write ef -> 2", "self-token", "write gh -> 2", "tokens 1 to a",
        "read None", "read None",
    ]  # fmt: skip


@pytest.mark.parametrize("why", ["stopped", "detached", "awaiting", "sealed"])
def test_nothing_is_written_unless_it_may_be(why: str) -> None:
    """The port would be used while it must not be (WR-2)."""
    owner = Owner()
    owner.add_client(wait=why == "awaiting")
    owner.add(None, b"x")
    if why == "detached":
        owner.call("reset_dev_instance", None)
    if why == "sealed":
        owner.call("migrate_data_marshall")
    if why != "stopped":
        owner.call("start")
    owner.call("wakeup")
    assert owner.events == []
    assert owner.retry is None


def test_a_write_of_several_buffers_completes_them_at_once_and_pays_in_order() -> None:
    """A callback would see some buffers of one write still queued (WR-3)."""
    owner = stopped(b"ab", b"cd", b"ef")
    owner.takes.extend([5, 0, 0])
    places: list[list[bytes]] = []
    rows = owner.runner.state.buffers
    owner.inside("tokens", lambda: places.append([row.data for row in rows.rows(Place.WRITTEN)]))
    owner.inside("tokens", lambda: places.append([row.data for row in rows.rows(Place.WRITTEN)]))
    owner.call("start")
    assert owner.events == [
        "write abcdef -> 5", "tokens 1 to a", "tokens 1 to a", "write f -> 0",
        "read None",
        "write f -> 0",
        "read None",
    ]  # fmt: skip
    assert places == [[b"cd"], []]
    assert owner.pending() == b"f"


def test_a_client_that_goes_inside_a_price_loses_the_other_prices() -> None:
    """Tokens of a client that is gone would be announced, or its written buffers leak (WR-3)."""
    owner = stopped(b"ab", b"cd", b"ef")
    owner.inside("tokens", owner.later("client_remove", "a"))
    owner.call("start")
    assert owner.events == [
        "write abcdef -> 6",
        "tokens 1 to a",
        "read None",
        "read None",
        "read None",
    ]
    assert owner.runner.state.buffers.count() == 0


def test_a_reset_inside_a_price_returns_the_others() -> None:
    """A reset would forget what the port had completed (WR-3, LC-3)."""
    owner = stopped(b"ab", b"cd", b"ef")
    owner.inside("tokens", owner.later("reset"))
    owner.call("start")
    assert owner.events == ["write abcdef -> 6", "tokens 1 to a", "tokens 2 to a"]
    assert owner.tokens() == (9, 0, 0)


def test_a_destroy_inside_a_price_ends_everything() -> None:
    """The frame would go on with a device that is gone (CB-1, WR-3)."""
    owner = stopped(b"ab", b"cd", b"ef")
    owner.inside("tokens", owner.later("destroy"))
    owner.call("start")
    assert owner.events == ["write abcdef -> 6", "tokens 1 to a"]
    assert owner.runner.state.buffers.count() == 0


def test_a_port_that_takes_nothing_is_tried_again_after_100_ms() -> None:
    """Data would wait for ever, or the port be called without pause (WR-4, WR-6)."""
    owner = running()
    owner.takes.append(0)
    owner.add("a", b"x")
    assert owner.retry == 100
    owner.runner.advance(100)
    owner.call("retry_timer_fired")
    assert owner.events == ["write x -> 0", "write x -> 1", "tokens 1 to a", "read None"]
    assert owner.retry is None


def test_an_exception_counts_as_nothing_taken() -> None:
    """A port error that means "not now" would lose data or stop the device (WR-4, CB-5)."""
    owner = running()
    owner.takes.append(BoomError("EAGAIN"))
    with pytest.raises(BoomError, match=r"^EAGAIN$"):
        owner.add("a", b"x")
    assert owner.events == ["write x -> BoomError('EAGAIN')"]
    assert owner.retry == 100
    assert owner.pending() == b"x"


def test_a_port_that_announces_writability_owes_a_wakeup() -> None:
    """The device would poll a port that says itself when it is ready (WR-4)."""
    owner = running(announces_writability=True)
    owner.takes.extend([1, 0])
    owner.add("a", b"xy")
    assert owner.retry is None
    assert owner.device.port_owes_wakeup
    owner.call("wakeup")
    assert owner.events == [
        "write xy -> 1", "write y -> 0", "write y -> 1", "tokens 1 to a", "read None",
    ]  # fmt: skip
    assert not owner.device.port_owes_wakeup


def test_a_wakeup_of_a_stopped_device_is_no_debt_any_more() -> None:
    """A device started later would wait for a wakeup that has been made (WR-4, LC-2)."""
    owner = running(announces_writability=True)
    owner.takes.append(0)
    owner.add("a", b"x")
    owner.call("stop")
    owner.call("wakeup")
    assert not owner.device.port_owes_wakeup
    assert owner.events == ["write x -> 0"]


def test_a_nested_request_is_made_by_the_outer_pass() -> None:
    """A buffer added inside a callback would wait for the next event, or be written out of turn (WR-5)."""
    owner = running()
    owner.inside("write", lambda: owner.add(None, b"second"))
    owner.add("a", b"first")
    assert owner.events == ["write first -> 5", "tokens 1 to a", "write second -> 6", "self-token"]


def test_a_request_during_a_port_call_counts_as_made_after_it() -> None:
    """A wakeup that races with a refusing port would be lost (WR-5)."""
    owner = running()
    owner.takes.append(0)
    owner.inside("write", owner.later("wakeup"))
    owner.add("a", b"x")
    assert owner.events == ["write x -> 0", "read None", "write x -> 1", "tokens 1 to a"]


@pytest.mark.parametrize("announces_writability", [False, True])
def test_a_port_that_always_asks_again(*, announces_writability: bool) -> None:
    """A port that calls wakeup in each write and takes nothing would keep the device busy for ever (WR-5)."""
    owner = running(announces_writability=announces_writability)
    owner.takes.extend([0] * 9)
    owner.always_inside("write", owner.later("wakeup"))
    owner.add("a", b"x")
    assert owner.events == ["write x -> 0", "read None", "write x -> 0", "read None"]
    # At once, whatever the port announces: its own wakeup came before its answer.
    assert owner.retry == 0
    owner.take_events()
    owner.call("retry_timer_fired")
    assert owner.events == ["write x -> 0", "read None", "write x -> 0", "read None", "read None"]
    assert owner.retry == 0


def test_something_that_moved_lets_a_request_be_tried_again() -> None:
    """The count of fruitless tries would not begin anew when bytes moved (WR-5)."""
    owner = running()
    owner.takes.extend([0, 1, 0, 0])
    owner.always_inside("write", owner.later("wakeup"))
    owner.add("a", b"xy")
    assert [event for event in owner.events if event != "read None"] == [
        "write xy -> 0", "write xy -> 1", "write y -> 0", "write y -> 0",
    ]  # fmt: skip


def test_a_limit_leaves_the_rest_to_the_retry_timer() -> None:
    """A frame would move without bound, or a limit would strand data (WR-5, WR-6)."""
    owner = running(announces_writability=True)
    owner.limit = 2
    owner.call("stop")
    for content in (b"1", b"2", b"3"):
        owner.add("a", content)
    owner.take_events()
    owner.call("start")
    assert owner.events == ["write 1 -> 1", "tokens 1 to a", "write 2 -> 1", "tokens 1 to a"]
    assert owner.retry == 0
    owner.call("retry_timer_fired")
    assert owner.events[4:] == ["write 3 -> 1", "tokens 1 to a", "read None"]
    assert owner.retry is None


def test_reset_dev_instance_does_not_strand_data() -> None:
    """Data queued for a detached device would stay when a port comes (WR-6, LC-4)."""
    owner = running()
    owner.call("reset_dev_instance", None)
    owner.add("a", b"x")
    assert owner.events == []
    owner.call("reset_dev_instance", 2)
    assert owner.events == ["write x -> 1", "tokens 1 to a", "read None"]


def test_a_partly_written_buffer_is_finished_when_its_client_goes() -> None:
    """The port would see a torn message, or a gone client's queue (WR-7)."""
    owner = running()
    owner.takes.extend([2, 0])
    current = owner.add("a", b"abcd")
    owner.takes.append(0)
    owner.add("a", b"ef")
    owner.takes.append(0)
    owner.add(None, b"gh")
    owner.take_events()
    owner.takes.append(0)
    owner.call("client_remove", "a")
    assert (buffer(owner, current).origin, owner.pending()) == (Origin.NOBODY, b"cdgh")
    owner.call("wakeup")
    assert owner.events == [
        "write cd -> 0", "read None", "write cd -> 2", "write gh -> 2", "self-token", "read None",
    ]  # fmt: skip


def test_offered_buffers_of_a_client_that_goes_wait_for_the_answer() -> None:
    """A client removed inside a port write would tear a message, or leave one behind (WR-7)."""
    owner = stopped(b"ab", b"cd", b"ef")
    owner.takes.extend([3, 0, 0])
    owner.inside("write", owner.later("client_remove", "a"))
    owner.call("start")
    # "ab" is finished for nobody, "cd" was touched, "ef" was not.
    assert owner.events == [
        "write abcdef -> 3", "read None", "write d -> 0", "read None", "write d -> 0", "read None",
    ]  # fmt: skip
    assert owner.pending() == b"d"


def test_offered_buffers_of_a_client_that_goes_are_dropped_when_nothing_is_taken() -> None:
    """A gone client's untouched buffers would be written after all (WR-7)."""
    owner = stopped(b"ab", b"cd")
    owner.takes.append(0)
    owner.inside("write", owner.later("client_remove", "a"))
    owner.call("start")
    assert owner.events == ["write abcd -> 0", "read None", "read None"]
    assert owner.runner.state.buffers.count() == 0


@pytest.mark.parametrize("end", ["reset", "destroy"])
def test_an_answer_after_reset_or_destroy_is_ignored(end: str) -> None:
    """Bytes of a device that was reset would count for the next data, or make it active (WR-7)."""
    owner = stopped(b"ab")
    owner.inside("write", owner.later(end))
    owner.call("start")
    assert owner.events == ["write ab -> 2"] + ["tokens 1 to a"] * (end == "reset")
    assert not owner.device.active
    assert owner.pending() == b""


def test_what_is_queued_after_a_reset_inside_a_write_is_not_counted_as_taken() -> None:
    """The ignored answer would complete buffers that the port has never seen (WR-7)."""
    owner = stopped(b"ab")

    def renew() -> None:
        owner.call("reset")
        owner.add("a", b"new")
        owner.call("reset_dev_instance", 2)
        owner.call("start")

    owner.inside("write", renew)
    owner.call("start")
    assert owner.events == [
        "write ab -> 2", "tokens 1 to a", "read None", "write new -> 3", "tokens 1 to a",
        "read None", "read None",
    ]  # fmt: skip


@pytest.mark.parametrize("answer", [-1, 3])
def test_a_failed_port_is_detached(answer: int) -> None:
    """A port that failed for good would be called again and again, or its data be dropped (WR-8)."""
    owner = running()
    owner.takes.append(answer)
    owner.add("a", b"ab")
    assert owner.events == [f"write ab -> {answer}", "port-failed"]
    assert (owner.device.port, owner.retry, owner.pending()) == (None, None, b"ab")
    assert not owner.device.active
    owner.call("reset_dev_instance", 2)
    assert owner.events[2:] == ["write ab -> 2", "tokens 1 to a", "read None"]


def test_a_new_port_given_inside_port_failed_is_used_at_once() -> None:
    """An owner that replaces a port when it fails would find the data stuck (WR-8, WR-6)."""
    owner = running()
    owner.takes.append(-1)
    owner.inside("port-failed", owner.later("reset_dev_instance", 2))
    owner.add("a", b"ab")
    assert owner.events == [
        "write ab -> -1", "port-failed", "read None", "write ab -> 2", "tokens 1 to a",
    ]  # fmt: skip


@pytest.mark.parametrize("port", [1, 2, None])
def test_a_replaced_port_is_not_blamed_for_the_old_one(port: int | None) -> None:
    """The error of the port that was would detach the port that is, even the same one attached anew (WR-8)."""
    owner = running()
    owner.takes.append(-1)
    owner.inside("write", owner.later("reset_dev_instance", port))
    owner.add("a", b"ab")
    if port is None:
        assert owner.events == ["write ab -> -1"]
    else:
        assert owner.events == ["write ab -> -1", "read None", "write ab -> 2", "tokens 1 to a"]
    assert owner.device.port == port


def test_the_answer_of_a_replaced_port_counts() -> None:
    """What the old port took would be written again to the new one (LC-4, WR-1)."""
    owner = running()
    owner.takes.append(1)
    owner.inside("write", owner.later("reset_dev_instance", 2))
    owner.add("a", b"ab")
    assert owner.events == ["write ab -> 1", "read None", "write b -> 1", "tokens 1 to a"]


def test_a_replaced_port_owes_nothing() -> None:
    """The new port would owe the wakeup of the old one (WR-4, LC-4)."""
    owner = running(announces_writability=True)
    owner.takes.extend([1, 0])
    owner.add("a", b"ab")
    assert owner.device.port_owes_wakeup
    owner.call("stop")
    owner.call("reset_dev_instance", 2)
    assert not owner.device.port_owes_wakeup


def test_an_exception_during_a_request_leaves_the_try_to_the_timer() -> None:
    """A request made inside a write that raises would be lost until the port's wakeup (CB-5, WR-5)."""
    owner = running(announces_writability=True)
    owner.takes.append(0)

    def ask_and_raise() -> None:
        owner.call("wakeup")
        raise BoomError("inside")

    owner.inside("write", ask_and_raise)
    with pytest.raises(BoomError, match=r"^inside$"):
        owner.add("a", b"x")
    assert owner.events == ["write x -> 0", "read None"]
    assert owner.retry == 0


def test_no_second_restore_inside_a_port_write() -> None:
    """A restore inside a port write would leave two partly written buffers (LC-6, MIG-4, WR-7)."""
    owner = stopped(b"ab", b"cd")
    results: list[object] = []

    def replace_client() -> None:
        owner.call("client_remove", "a")
        results.append(owner.add_client(wait=True))

    owner.takes.extend([3, 0, 0])
    owner.inside("write", replace_client)
    owner.call("start")
    assert results == [False]
    assert owner.runner.state.buffers.current_count() == 1
