"""Reading from the port, fan-out and push (RD, CB-2 to CB-5)."""

import pytest

from tests.spec.owner import BoomError, Owner


def running(*messages: str, send_tokens: int = 2, queue: int = 2) -> Owner:
    """A running device with client "a"; these messages can be read."""
    owner = Owner()
    owner.add_client(send_tokens=send_tokens, queue=queue)
    owner.call("start")
    owner.take_events()
    owner.messages.extend(messages)
    return owner


@pytest.mark.parametrize(
    "why", ["stopped", "detached", "awaiting", "sealed", "no credit", "leaving"]
)
def test_nothing_is_read_unless_it_may_be(why: str) -> None:
    """The port would be read although nobody can be sent to, or while it must not be used (RD-1)."""
    owner = Owner()
    owner.add_client(window=0, send_tokens=0 if why == "no credit" else 1, wait=why == "awaiting")
    owner.messages.append("m")
    if why == "detached":
        owner.call("reset_dev_instance", None)
    if why == "sealed":
        owner.call("migrate_data_marshall")
    if why == "leaving":
        owner.call("write_buffer_get", "a", 1)
        owner.take_events()
    if why != "stopped":
        owner.call("start")
    owner.call("wakeup")
    assert owner.events == []


def test_without_clients_messages_are_dropped() -> None:
    """A port without listeners would block, or leak messages (RD-1, CB-4)."""
    owner = Owner()
    owner.messages.append("m")
    owner.call("start")
    assert owner.events == ["read m", "unref m", "read None", "read None"]
    assert owner.device.active


def test_fan_out_sends_queues_and_costs() -> None:
    """Messages would miss a client, overtake a queue or exceed the grant (RD-2, RD-6)."""
    owner = running(send_tokens=1)
    owner.add_client("b", send_tokens=2)
    owner.take_events()
    owner.messages.extend(["m1", "m2"])
    owner.call("wakeup")
    assert owner.events == [
        "read m1", "ref m1", "send m1 to b", "unref m1", "ref m1", "send m1 to a", "unref m1", "unref m1",
        "read m2", "ref m2", "send m2 to b", "unref m2", "ref m2", "unref m2",
    ]  # fmt: skip
    assert owner.queued("a") == ["m2"]
    assert (owner.row("a").sent, owner.row("b").sent) == (1, 2)


def test_a_client_added_in_a_fan_out_does_not_get_the_message() -> None:
    """A message would go to a client that joined after it was read, even the same peer anew (CB-2)."""
    owner = running("m1")

    def rejoin() -> None:
        owner.call("client_remove", "a")
        owner.add_client("a")
        owner.add_client("b")

    owner.inside("ref", rejoin)
    owner.call("wakeup")
    assert owner.events == ["read m1", "ref m1", "unref m1", "unref m1", "read None"]


def test_any_client_may_be_removed_in_a_fan_out() -> None:
    """A removal of another client would break the walk over the clients (CB-3)."""
    owner = running()
    owner.add_client("b")
    owner.add_client("c")
    owner.take_events()
    owner.messages.append("m")
    owner.inside("send", owner.later("client_remove", "b"))
    owner.call("wakeup")
    assert owner.events == [
        "read m", "ref m", "send m to c", "unref m", "ref m", "send m to a", "unref m", "unref m",
        "read None",
    ]  # fmt: skip


def test_credit_granted_inside_ref_is_used() -> None:
    """A message would wait although its client has a token and nothing before it (RD-3)."""
    owner = running(send_tokens=0)
    owner.add_client("b")
    owner.take_events()
    owner.messages.append("m")
    owner.inside("ref", owner.later("send_to_client_tokens_add", "b", 1), owner.later(
        "send_to_client_tokens_add", "a", 1
    ))  # fmt: skip
    owner.call("wakeup")
    assert owner.events == [
        "read m", "ref m", "send m to b", "unref m", "ref m", "send m to a", "unref m", "unref m",
        "read None",
    ]  # fmt: skip
    assert owner.wait("a") is None


def test_an_exception_does_not_stop_a_fan_out() -> None:
    """Clients behind the one whose callback raised would miss the message; its references would leak (CB-5, CB-4)."""
    owner = running()
    owner.add_client("b")
    owner.take_events()
    owner.messages.extend(["m", "next"])
    owner.inside("send", owner.fails(BoomError("send")))
    with pytest.raises(BoomError, match=r"^send$"):
        owner.call("wakeup")
    assert owner.events == [
        "read m", "ref m", "send m to b", "unref m", "ref m", "send m to a", "unref m", "unref m",
    ]  # fmt: skip
    assert owner.retry == 0


def test_an_exception_from_read_is_nothing() -> None:
    """A read that raises would be repeated for ever, or end the device's reading (CB-5)."""
    owner = running()
    owner.messages.append(BoomError("read"))
    with pytest.raises(BoomError, match=r"^read$"):
        owner.call("wakeup")
    assert owner.events == ["read BoomError('read')"]
    assert owner.retry is None
    assert not owner.device.active


def test_a_full_send_queue_makes_the_client_leave() -> None:
    """A slow client would hold memory without bound, or be asked to leave twice (RD-4)."""
    owner = running(send_tokens=0, queue=1)
    owner.add_client("b", send_tokens=9)
    owner.take_events()
    owner.messages.extend(["m1", "m2", "m3"])
    leaving: list[tuple[bool, int | None]] = []
    owner.inside("remove", lambda: leaving.append((owner.row("a").leaving, owner.wait("a"))))
    owner.call("wakeup")
    assert owner.events == [
        "read m1", "ref m1", "send m1 to b", "unref m1", "ref m1", "unref m1",
        "read m2", "ref m2", "send m2 to b", "unref m2", "ref m2", "unref m2", "remove a", "unref m2",
        "read m3", "ref m3", "send m3 to b", "unref m3", "unref m3",
        "read None",
    ]  # fmt: skip
    assert leaving == [(True, None)]
    assert owner.queued("a") == ["m1"]
    owner.take_events()
    owner.call("send_to_client_tokens_add", "a", 5)
    assert (owner.events, owner.row("a").send_tokens) == ([], 5)
    owner.call("client_remove", "a")
    assert owner.events == ["unref m1", "read None"]


def test_a_queue_of_size_zero_is_always_full() -> None:
    """A client that may queue nothing would be given a queue (RD-4)."""
    owner = Owner()
    owner.add_client("a", send_tokens=0, queue=0)
    owner.add_client("b", send_tokens=1)
    owner.messages.append("m")
    owner.call("start")
    assert "remove a" in owner.events


def test_a_client_removed_when_its_message_is_refused_is_not_asked_to_leave() -> None:
    """remove_client would be called for a client that is gone, or for its successor (RD-4, CB-1)."""
    owner = running(send_tokens=0, queue=0)
    owner.add_client("b")
    owner.take_events()
    owner.messages.append("m")

    def rejoin() -> None:
        owner.call("client_remove", "a")
        owner.add_client("a")

    owner.inside("unref", lambda: None, rejoin)
    owner.call("wakeup")
    assert owner.events == [
        "read m", "ref m", "send m to b", "unref m", "ref m", "unref m", "unref m", "read None",
    ]  # fmt: skip
    assert not owner.row("a").leaving


def test_leaving_lasts_through_a_reset() -> None:
    """A client asked to leave would be served again after a reset (RD-4, LC-3)."""
    owner = running()
    handles = [owner.hold("a") for _ in range(3)]
    owner.call("write_buffer_get", "a", 1)
    owner.call("write_buffer_add", handles.pop(), b"")
    owner.call("reset")
    assert owner.events == ["remove a"]
    assert owner.row().leaving
    assert owner.tokens() == (0, 3, 0)
    assert owner.call("client_exists", "a")


def waiting(*messages: str, queue: int = 4) -> Owner:
    """A running device where these messages wait for client "a", which has no send tokens."""
    owner = Owner()
    owner.add_client("a", send_tokens=0, queue=queue)
    owner.add_client("b", send_tokens=len(messages))
    owner.messages.extend(messages)
    owner.call("start")
    assert owner.queued("a") == list(messages)
    owner.take_events()
    return owner


def test_the_wait_timer() -> None:
    """A client that never grants tokens would hold its queue for ever (RD-5)."""
    owner = waiting("m1", "m2")
    assert owner.wait("a") == 30_000
    owner.runner.advance(29_000)
    owner.call("send_to_client_tokens_add", "a", 1)
    assert owner.wait("a") == 30_000
    owner.call("stop")
    owner.call("wait_timer_fired", "a")
    assert owner.events == ["send m1 to a", "unref m1", "remove a"]
    assert (owner.row("a").leaving, owner.wait("a")) == (True, None)
    owner.call("wait_timer_fired", "a")
    assert owner.events == ["send m1 to a", "unref m1", "remove a"]


def test_queuing_does_not_restart_the_wait_timer() -> None:
    """A port that keeps talking would keep a silent client for ever (RD-5)."""
    owner = waiting("m1")
    owner.runner.advance(1000)
    owner.messages.append("m2")
    owner.call("send_to_client_tokens_add", "b", 1)
    assert owner.queued("a") == ["m1", "m2"]
    assert owner.wait("a") == 29_000


@pytest.mark.parametrize("end", ["push", "reset"])
def test_the_wait_timer_is_disarmed_with_an_empty_queue(end: str) -> None:
    """A client that waits for nothing would be removed (RD-5)."""
    owner = waiting("m1")
    if end == "push":
        owner.call("send_to_client_tokens_add", "a", 1)
    else:
        owner.call("reset")
    assert owner.wait("a") is None


def test_a_push_sends_oldest_first_then_reads_on() -> None:
    """Queued messages would be reordered or overtaken (RD-3, RD-7)."""
    owner = waiting("m1", "m2", "m3")
    owner.messages.append("m4")
    owner.call("send_to_client_tokens_add", "a", 4)
    assert owner.events == [
        "send m1 to a", "unref m1", "send m2 to a", "unref m2", "send m3 to a", "unref m3",
        "read m4", "ref m4", "ref m4", "send m4 to a", "unref m4", "unref m4",
    ]  # fmt: skip
    assert owner.queued("b") == ["m4"]


def test_tokens_set_replaces() -> None:
    """A grant that is replaced would be added to (RD-7, RD-6)."""
    owner = running(send_tokens=7)
    owner.call("send_to_client_tokens_set", "a", 2)
    row = owner.row()
    assert (row.send_tokens, row.granted) == (2, 2)
    owner.call("send_to_client_tokens_set", "a", 0)
    assert (row.send_tokens, row.granted) == (0, 0)
    assert owner.events == ["read None"]


def test_adding_no_tokens_does_nothing() -> None:
    """A grant of nothing would make the device read (RD-7)."""
    owner = running("m")
    owner.call("send_to_client_tokens_add", "a", 0)
    assert owner.events == []


def test_a_nested_grant_is_pushed_by_the_outer_push() -> None:
    """Messages would be sent in the wrong order, or a grant inside a push be lost (RD-7, RD-3)."""
    owner = waiting("m1", "m2", "m3")
    owner.inside("send", owner.later("send_to_client_tokens_add", "a", 1))
    owner.call("send_to_client_tokens_add", "a", 1)
    assert owner.events == ["send m1 to a", "unref m1", "send m2 to a", "unref m2"]
    assert owner.queued("a") == ["m3"]


def test_a_message_read_inside_a_push_does_not_overtake() -> None:
    """A message read while the queue is being pushed would be sent before those that wait (RD-3)."""
    owner = waiting("m1", "m2")
    owner.messages.append("m3")
    owner.inside("send", owner.later("wakeup"))
    owner.call("send_to_client_tokens_add", "a", 3)
    assert owner.events == [
        "send m1 to a", "read m3", "ref m3", "ref m3", "unref m3", "read None", "unref m1",
        "send m2 to a", "unref m2", "send m3 to a", "unref m3",
    ]  # fmt: skip


def test_a_push_starts_at_once_inside_a_fan_out() -> None:
    """A grant inside a fan-out would wait for its end, and a later message overtake (RD-7)."""
    owner = waiting("m1", "m2")
    owner.call("send_to_client_tokens_add", "b", 1)
    owner.take_events()
    owner.messages.append("m3")
    owner.inside("ref", owner.later("send_to_client_tokens_add", "a", 5))
    owner.call("wakeup")
    assert owner.events == [
        "read m3", "ref m3", "send m1 to a", "unref m1", "send m2 to a", "unref m2",
        "send m3 to b", "unref m3", "ref m3", "send m3 to a", "unref m3", "unref m3",
        "read None",
    ]  # fmt: skip


def test_the_read_after_a_push_is_owed_even_if_the_client_is_gone() -> None:
    """Messages in the port would wait although other clients have tokens (RD-7, RD-8)."""
    owner = waiting("m1")
    owner.call("send_to_client_tokens_add", "b", 1)
    owner.take_events()
    owner.messages.append("m2")
    owner.inside("send", owner.later("client_remove", "a"))
    owner.call("send_to_client_tokens_add", "a", 1)
    assert owner.events == [
        "send m1 to a", "read m2", "ref m2", "send m2 to b", "unref m2", "unref m2", "unref m1",
    ]  # fmt: skip


def test_an_exception_does_not_stop_a_push() -> None:
    """Messages would stay queued although their client has tokens (CB-5, RD-3)."""
    owner = waiting("m1", "m2")
    owner.inside("send", owner.fails(BoomError("send")))
    with pytest.raises(BoomError, match=r"^send$"):
        owner.call("send_to_client_tokens_add", "a", 3)
    assert owner.events == ["send m1 to a", "unref m1", "send m2 to a", "unref m2"]
    assert owner.retry == 0
    owner.call("retry_timer_fired")
    assert owner.events[4:] == ["read None"]


def test_a_nested_read_request_is_made_by_the_outer_pass() -> None:
    """Two readers would reorder messages, or a request inside a fan-out be lost (RD-8)."""
    owner = running("m1")
    owner.inside("send", lambda: owner.messages.append("m2"), lambda: None)
    owner.inside("ref", owner.later("wakeup"))
    owner.call("wakeup")
    assert owner.events == [
        "read m1", "ref m1", "send m1 to a", "unref m1", "unref m1",
        "read m2", "ref m2", "send m2 to a", "unref m2", "unref m2",
    ]  # fmt: skip


def test_a_port_that_always_asks_to_be_read_again() -> None:
    """A port that calls wakeup in each fruitless read would keep the device busy for ever (WR-5, RD-8)."""
    owner = running()
    owner.always_inside("read", owner.later("wakeup"))
    owner.call("wakeup")
    assert owner.events == ["read None", "read None"]
    assert owner.retry == 0


def test_a_limit_leaves_reading_to_the_retry_timer() -> None:
    """A frame would read without bound, or a limit would lose the request (WR-5, RD-8)."""
    owner = running("m1", "m2", send_tokens=5)
    owner.limit = 1
    owner.call("wakeup")
    assert owner.events == ["read m1", "ref m1", "send m1 to a", "unref m1", "unref m1"]
    assert owner.retry == 0


@pytest.mark.parametrize("overtaking", ["stop", "reset", "reset_dev_instance"])
def test_a_message_of_an_overtaken_read_is_fanned_out(overtaking: str) -> None:
    """A message that the port has given away would be lost (RD-8); stopped, it does not make active (LC-8)."""
    owner = running("m")
    owner.inside("read", owner.later(overtaking, *[None] * (overtaking == "reset_dev_instance")))
    owner.call("wakeup")
    assert owner.events == ["read m", "ref m", "send m to a", "unref m", "unref m"]
    assert owner.device.active == (overtaking == "reset_dev_instance")


def test_a_message_of_a_read_overtaken_by_destroy_is_unreferenced() -> None:
    """A destroyed device would leak the message, or call more than unref (RD-8, LC-5)."""
    owner = running("m")
    owner.inside("read", owner.later("destroy"))
    owner.call("wakeup")
    assert owner.events == ["read m", "unref m"]


@pytest.mark.parametrize(
    ("word", "events"),
    [
        ("ref", ["read m", "ref m", "unref m", "unref m"]),
        ("send", ["read m", "ref m", "send m to b", "unref m", "unref m"]),
        ("unref", ["read m", "ref m", "send m to b", "unref m", "unref m"]),
    ],
)
def test_destroy_inside_a_fan_out_drops_what_the_frame_holds(word: str, events: list[str]) -> None:
    """References would leak, or a client be called after destroy (LC-5, CB-4)."""
    owner = running()
    owner.add_client("b")
    owner.take_events()
    owner.messages.append("m")
    owner.inside(word, owner.later("destroy"))
    owner.call("wakeup")
    assert owner.events == events


def test_destroy_inside_a_push_drops_the_queue_and_the_borrowed_message() -> None:
    """The message being pushed would leak or be dropped twice (LC-5, CB-4)."""
    owner = waiting("m1", "m2")
    owner.inside("send", owner.later("destroy"))
    owner.call("send_to_client_tokens_add", "a", 1)
    assert owner.events == ["send m1 to a", "unref m2", "unref m1"]


def test_credit_is_what_clients_have_now() -> None:
    """A pass would read for a client whose tokens were used up or withdrawn meanwhile (RD-1)."""
    owner = running("m1", "m2", send_tokens=5)
    owner.inside("send", owner.later("send_to_client_tokens_set", "a", 0))
    owner.call("wakeup")
    assert owner.events == ["read m1", "ref m1", "send m1 to a", "unref m1", "unref m1"]
    assert owner.retry is None


def test_a_client_that_becomes_leaving_ends_the_read_that_was_owed_for_it() -> None:
    """The retry timer would stay armed for a read that may not be made (WR-4, RD-4)."""
    owner = Owner()
    owner.add_client(window=0)
    owner.call("start")
    owner.messages.extend(["m1", "m2"])
    owner.limit = 1
    owner.call("wakeup")
    assert owner.retry == 0
    owner.call("write_buffer_get", "a", 1)
    assert owner.retry is None
