"""Write buffers: given, added or released, and their memory (BUF)."""

from chardev_spec.state import POOL_LIMIT, Place
from tests.spec.owner import Owner, buffer


def test_buffers_work_while_stopped_detached_and_awaiting() -> None:
    """An owner could not prepare data before the device runs (BUF-1)."""
    owner = Owner()
    owner.call("reset_dev_instance", None)
    owner.add_client(wait=True)
    owner.call("write_buffer_release", owner.hold("a"))
    owner.add("a", b"one")
    owner.add(None, b"two")
    assert owner.events == ["tokens 1 to a"]
    assert owner.pending() == b"onetwo"


def test_nobody_that_is_not_attached_is_given_a_buffer() -> None:
    """An owner that still hears from a client just removed would fail (BUF-4)."""
    owner = Owner()
    assert owner.call("write_buffer_get", "a", 1) is None
    assert owner.events == []


def test_buffers_of_a_client_that_is_gone() -> None:
    """A peer that left would be charged or paid in its next attachment (BUF-4)."""
    owner = Owner()
    owner.add_client()
    added, released = owner.hold("a"), owner.hold("a")
    owner.call("client_remove", "a")
    owner.add_client()
    owner.call("write_buffer_add", added, b"x")
    owner.call("write_buffer_release", released)
    assert owner.events == []
    assert owner.tokens() == (3, 0, 0)
    assert owner.runner.state.buffers.count() == 0


def test_adding_a_buffer_that_is_dropped_still_writes() -> None:
    """Data that waits for its next chance would miss one (LC-2, BUF-4)."""
    owner = Owner()
    owner.add_client()
    orphan = owner.hold("a")
    owner.call("client_remove", "a")
    owner.call("start")
    owner.takes.append(0)
    owner.add(None, b"x")
    owner.take_events()
    owner.call("write_buffer_add", orphan, b"y")
    assert owner.events == ["write x -> 1", "self-token"]


def test_release_without_device() -> None:
    """What a destroyed device left with its owner could not be freed (BUF-3, LC-5)."""
    owner = Owner()
    owner.add_client()
    handles = [owner.hold("a"), owner.hold(None), owner.call("write_buffer_get_server_no_token", 3)]
    owner.call("destroy")
    for handle in handles:
        assert buffer(owner, handle).place == Place.HELD
        owner.call("write_buffer_release_without_device", handle)
    assert owner.events == []
    assert owner.runner.state.buffers.count() == 0


def test_an_outstanding_write_refers_to_what_it_offered() -> None:
    """Memory would be used again while the port still reads from it (BUF-2, WR-7)."""
    owner = Owner()
    owner.add_client()
    owner.offers = 2
    first, second = owner.add("a", b"1"), owner.add(None, b"2")
    seen: list[tuple[int, Place]] = []

    def look() -> None:
        owner.call("reset")
        seen.extend(
            [
                (buffer(owner, handle).references, buffer(owner, handle).place)
                for handle in (first, second)
            ]
        )

    owner.inside("write", look)
    owner.call("start")
    assert seen == [(1, Place.FREE), (1, Place.FREE)]
    assert owner.runner.state.buffers.count() == 0


def test_memory_for_reuse_is_bounded_and_freed_with_the_last_client() -> None:
    """A device would keep memory without bound, or for nobody (BUF-5)."""
    owner = Owner(self_tokens=0)
    for _ in range(2):
        owner.call("write_buffer_release", owner.call("write_buffer_get_server_no_token", 100))
    assert owner.device.spare_bytes == 0
    owner.add_client()
    for size in (100, POOL_LIMIT, 100):
        owner.call("write_buffer_release", owner.call("write_buffer_get_server_no_token", size))
    assert owner.device.spare_bytes == POOL_LIMIT
    handle = owner.call("write_buffer_get_server_no_token", 1000)
    assert owner.device.spare_bytes == POOL_LIMIT - 1000
    owner.call("client_remove", "a")
    owner.call("write_buffer_release", handle)
    assert owner.device.spare_bytes == 0


def test_empty_buffers_are_consumed_without_a_port_write() -> None:
    """A buffer without content would stay for ever, or the port be called with nothing (BUF-6)."""
    owner = Owner()
    owner.add_client()
    owner.add("a", b"")
    owner.add(None, b"")
    owner.call("start")
    assert owner.events == ["tokens 1 to a", "self-token", "read None", "read None"]
    assert not owner.device.active


def test_empty_buffers_behind_a_completed_one_complete_with_it() -> None:
    """Tokens of empty buffers would come back only with the next write (BUF-6, WR-3)."""
    owner = Owner()
    owner.add_client()
    owner.add(None, b"xy")
    owner.add("a", b"")
    owner.add(None, b"z")
    owner.takes.extend([2, 0])
    owner.call("start")
    assert owner.events == [
        "write xy -> 2", "self-token", "tokens 1 to a",
        "write z -> 0",
        "read None",
        "write z -> 1", "self-token",
        "read None",
        "read None",
    ]  # fmt: skip


def test_an_empty_buffer_waits_for_its_turn() -> None:
    """An empty buffer would overtake what was added before it (BUF-6, WR-1)."""
    owner = Owner()
    owner.add_client()
    owner.call("start")
    owner.takes.extend([1, 0, 0])
    owner.add(None, b"xy")
    owner.take_events()
    owner.add("a", b"")
    assert owner.events == ["write y -> 0"]
    owner.call("wakeup")
    assert owner.events == [
        "write y -> 0",
        "write y -> 1",
        "self-token",
        "tokens 1 to a",
        "read None",
    ]


def test_marshaller_references_outlive_release_and_destroy() -> None:
    """A migration in progress would send memory that is used again (BUF-2, MIG-2)."""
    owner = Owner()
    owner.add_client()
    handle = owner.add("a", b"data")
    data = owner.call("migrate_data_marshall")
    assert data.write_data == b"data"
    assert data.buffers == (handle,)
    owner.call("destroy")
    assert buffer(owner, handle).data == b"data"
    owner.call("marshaller_unref", handle)
    assert handle not in owner.runner.state.buffers
