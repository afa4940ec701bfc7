"""What speed added does what the plain way does: a blocked port, many buffers at once, many messages at once."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from chardev import PORT_BLOCKED, PORT_NOT_NOW, Device
from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.adapters.python_object import ObjectOwner
from chardev_conformance.campaign import run_campaign
from tests.impl.conftest import World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chardev import Bytes

CLIENTS = ("a", "b", "c")


class RefusingWorld(World):
    """An announcing port that takes nothing while `blocked`, and says with `answer` how it says so.

    Only the first time may anything happen inside: from then on one world is asked more often than the other.
    What happens inside a callback comes from the seed and the number of the callback, so that two worlds that do the
    same stay the same.
    """

    def __init__(self, seed: int, answer: int) -> None:
        self.blocked = self.silent = False
        self.refusal = answer
        self.asked_in_vain = 0
        self.seed = seed
        self.callbacks = 0
        super().__init__(interval=2, self_tokens=2, moves_per_call=5)
        self.announces_writability = True
        self.dev.stop()
        self.dev.reset_dev_instance(None)
        self.dev.reset_dev_instance(self)
        for client in CLIENTS:
            self.dev.client_add(client, True, 3, 6, 1)
        self.dev.start()

    def write(self, buffers: Sequence[Bytes], /) -> int:
        """Take everything, some, or nothing."""
        if self.blocked:
            self.asked_in_vain += 1
            if self.silent:
                return self.refusal
            self.silent = True
            self.note("refused")
            return self.refusal
        size = sum(len(buffer) for buffer in buffers)
        offered = b"".join(bytes(buffer) for buffer in buffers).decode()
        chance = random.Random(f"{self.seed} {len(self.written)} {size}").random()
        taken = min(size, 3) if chance < 0.3 else size
        # All that was offered: how it was cut into calls is the implementation's choice (WR-3).
        self.written += offered[:taken].encode()
        self.note(f"write {offered} {taken}")
        return taken

    def note(self, event: str) -> None:
        """Write it down, and in one of four call the device."""
        self.events.append(event)
        self.callbacks += 1
        if self.callbacks > 200:
            return
        chance = random.Random(f"{self.seed} {self.callbacks}")
        if chance.random() < 0.25:
            act(self, chance)


def act(world: RefusingWorld, chance: random.Random) -> None:
    """One call of the device."""
    device = world.dev
    client = chance.choice(CLIENTS)
    action = chance.random()
    if action < 0.35:
        device.write(client, chance.choice((b"", b"x", b"four", b"seven..")))
    elif action < 0.5:
        buffer = device.write_buffer_get(client, 2)
        if buffer is not None:
            buffer.buf[:] = b"bb"
            buffer.buf_used = chance.choice((0, 2))
            device.write_buffer_add(buffer)
    elif action < 0.55:
        device.write(None, b"server")
    elif action < 0.65:
        if device.client_exists(client):
            device.client_remove(client)
        else:
            device.client_add(client, chance.random() < 0.8, 3, 6, 1)
    elif action < 0.75 and device.client_exists(client):
        device.send_to_client_tokens_add(client, 2)
    elif action < 0.85:
        world.messages.append("m")
        device.wakeup()
    elif action < 0.88:
        device.stop()
    elif action < 0.95:
        device.start()
    elif action < 0.97:
        device.reset()
        device.reset_dev_instance(world)
        device.start()
    else:
        device.retry_timer_fired()


def seen(world: RefusingWorld) -> tuple[Any, ...]:
    """What the outside can know."""
    device = world.dev
    return (
        world.events,
        world.written,
        device.pending_bytes,
        device.pending_buffers,
        device.retry_timer_armed,
        device.port_owes_wakeup,
        device.active,
        [
            (each, device.client_state(each).tokens, device.client_state(each).freed)
            for each in device.clients()
        ],
    )


@pytest.mark.parametrize("seed", range(100))
def test_a_blocked_port_is_one_that_takes_nothing(seed: int) -> None:
    """A port that need not be asked would make the device do something else than one that is asked in vain."""
    asked, blocked = RefusingWorld(seed, PORT_NOT_NOW), RefusingWorld(seed, PORT_BLOCKED)
    chance = random.Random(seed)
    for _ in range(150):
        turn = chance.random()
        state = chance.getstate()
        for world in (asked, blocked):
            chance.setstate(state)
            if turn < 0.08:
                world.silent = world.blocked
                world.blocked = True
            elif turn < 0.2:
                world.blocked = False
                world.dev.wakeup()
            else:
                act(world, chance)
        assert seen(asked) == seen(blocked)
    assert blocked.asked_in_vain <= asked.asked_in_vain


def test_a_blocked_port_is_asked_once(make_world: Callable[..., World]) -> None:
    """Queuing behind a blocked port would cost a port call for every buffer."""
    world = make_world()
    world.announces_writability = True
    world.dev.client_add("a", True, 2, 10, 2)
    world.dev.start()
    world.answers.append(PORT_BLOCKED)
    world.take_events()
    for letter in (b"1", b"2", b"3"):
        world.dev.write("a", letter)
    assert world.take_events() == ["write 1 -> -2"]
    assert world.dev.port_owes_wakeup
    world.dev.wakeup()
    assert world.take_events() == [
        "write 123 -> 3",
        *["tokens 1 to a"] * 3,
        "read nothing",
    ]


@pytest.mark.parametrize("answer", [PORT_NOT_NOW, PORT_BLOCKED])
def test_an_empty_buffer_needs_no_port(make_world: Callable[..., World], answer: int) -> None:
    """An empty buffer that came first when its forerunner's client left would wait for a wakeup (BUF-6)."""
    world = make_world()
    world.announces_writability = True
    for client in ("a", "b"):
        world.dev.client_add(client, True, 2, 10, 2)
    world.dev.write("a", b"gone")
    world.dev.write("b", b"")
    world.answers += (PORT_NOT_NOW, answer, PORT_NOT_NOW)
    world.when("write", world.dev.wakeup, lambda: world.dev.client_remove("a"))
    world.dev.start()
    world.take_events()
    world.dev.write("b", b"more")
    assert world.take_events()[:2] == ["tokens 1 to b", "write more -> 0"]


def test_a_port_that_announces_nothing_is_never_blocked(make_world: Callable[..., World]) -> None:
    """The device would wait for a wakeup that nobody promised."""
    world = make_world()
    world.dev.client_add("a", True, 2, 10, 2)
    world.dev.start()
    world.answers += (PORT_BLOCKED, PORT_NOT_NOW)
    world.take_events()
    world.dev.write("a", b"1")
    world.dev.write("a", b"2")
    assert world.take_events() == ["write 1 -> -2", "retry 100", "write 1 -> 0", "retry 100"]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 9])
def test_many_buffers_are_those_buffers(make_world: Callable[..., World], count: int) -> None:
    """What is sent at once would arrive otherwise than what is sent one by one, or cost other tokens."""
    data = [str(number).encode() * number for number in range(count)]
    one, many = make_world(interval=2), make_world(interval=2)
    for world in (one, many):
        world.dev.client_add("a", True, 2, 4, 2)
        world.dev.start()
        world.take_events()
    written = many.dev.write_many("a", data)
    assert written == count
    for each in data:
        one.dev.write("a", each)
    assert one.written == many.written
    assert sorted(one.take_events())[:1] == sorted(many.take_events())[:1]
    assert one.dev.client_state("a").tokens == many.dev.client_state("a").tokens
    assert one.dev.client_state("a").freed == many.dev.client_state("a").freed


def test_many_buffers_stop_where_the_tokens_end(make_world: Callable[..., World]) -> None:
    """A client could send more at once than it may send one by one (TOK-2)."""
    world = make_world()
    world.dev.client_add("a", True, 2, 3, 2)
    assert world.dev.write_many("a", [b"1", b"2", b"3", b"4", b"5"]) == 3
    assert world.take_events() == ["remove a"]
    assert world.dev.client_state("a").leaving
    assert world.dev.pending_buffers == 3
    assert world.dev.write_many("a", [b"6"]) == 0
    assert world.dev.write_many("nobody", [b"7"]) == 0
    assert world.take_events() == []


class CountingOwner:
    """An owner that reads in batches of the sizes given, and takes batches."""

    def __init__(self, batches: Sequence[int]) -> None:
        self.announces_writability = False
        self.device: Device[int, str] | None = None
        self.batches = list(batches)
        self.limits: list[int] = []
        self.read = 0
        self.got: dict[str, list[int]] = {"a": [], "b": []}
        self.pieces = Counter[str]()
        self.removed: list[str] = []
        self.inside: Callable[[], object] | None = None

    def write(self, buffers: Sequence[Bytes], /) -> int:
        return sum(map(len, buffers))

    def read_msgs_from_device(self, port: Any, limit: int, /) -> Sequence[int]:
        self.limits.append(limit)
        count = min(self.batches.pop(0), limit) if self.batches else 0
        self.read += count
        return range(self.read - count, self.read)

    def send_msgs_to_client(self, messages: Sequence[int], client: str, /) -> None:
        self.pieces[client] += 1
        self.got[client] += messages
        if self.inside is not None:
            inside, self.inside = self.inside, None
            inside()

    def send_tokens_to_client(self, client: str, tokens: int, /) -> None:
        """Nothing is sent by clients here."""

    def remove_client(self, client: str, /) -> None:
        self.removed.append(client)

    def start_retry_timer(self, delay_ms: int, /) -> None:
        """Nobody waits here."""

    def cancel_retry_timer(self) -> None:
        """Likewise."""

    def start_wait_timer(self, client: str, delay_ms: int, /) -> None:
        """Likewise."""

    def cancel_wait_timer(self, client: str, /) -> None:
        """Likewise."""


def batched(*batches: int, limit: int = 1024) -> tuple[CountingOwner, Device[int, str]]:
    """A started device that reads in batches."""
    owner = CountingOwner(batches)
    device: Device[int, str] = Device(owner, 1, 0, owner, owner, moves_per_call=limit)
    return owner, device


def test_a_batch_is_as_large_as_the_credit() -> None:
    """More messages would be read than one by one, and the rest would not stay in the port (RD-1)."""
    owner, device = batched(100, 100, 100, 100)
    device.client_add("a", True, 5, 1, 7)
    device.client_add("b", True, 5, 1, 4)
    device.start()
    assert owner.limits == [7]
    assert owner.got == {"a": [*range(7)], "b": [*range(4)]}
    assert [*device.client_state("b").send_queue] == [4, 5, 6]
    assert owner.pieces == {"a": 1, "b": 1}
    device.send_to_client_tokens_add("b", 5)
    assert owner.limits == [7, 2]
    assert owner.got == {"a": [*range(7)], "b": [*range(9)]}
    assert owner.removed == []


def test_a_push_is_one_batch() -> None:
    """Queued messages would go out one by one, or more of them than were granted (RD-7)."""
    owner, device = batched(6)
    device.client_add("a", True, 5, 1, 6)
    device.client_add("b", True, 6, 1, 0)
    device.start()
    device.send_to_client_tokens_add("b", 4)
    assert owner.got["b"] == [0, 1, 2, 3]
    assert owner.pieces["b"] == 1
    assert [*device.client_state("b").send_queue] == [4, 5]
    assert device.client_state("b").wait_timer_armed


def test_a_client_that_cannot_take_its_part_of_a_batch_must_leave() -> None:
    """A batch could overfill a send queue (RD-4)."""
    owner, device = batched(100)
    device.client_add("a", True, 5, 1, 7)
    device.client_add("b", True, 5, 1, 1)
    device.start()
    assert owner.removed == ["b"]
    assert owner.got == {"a": [*range(7)], "b": [0]}
    assert device.client_state("b").leaving


def test_batches_keep_to_the_limit_of_a_call() -> None:
    """One call could move more than it may (WR-5)."""
    owner, device = batched(3, 100, limit=8)
    device.client_add("a", False, 5, 1, 0)
    device.start()
    assert owner.limits == [8, 5]
    assert device.retry_timer_armed


def test_without_clients_batches_are_dropped() -> None:
    """What nobody wants would stay in the port, or in memory (RD-1)."""
    owner, device = batched(3)
    device.start()
    assert owner.limits == [1024, 1021, 1021]
    assert owner.read == 3


@pytest.mark.parametrize(
    ("call", "got"),
    [
        (lambda device: device.client_remove("a"), {"a": [], "b": [0, 1]}),
        (lambda device: device.stop(), {"a": [0, 1, 2, 3], "b": [0, 1]}),
        (lambda device: device.destroy(), {"a": [], "b": [0, 1]}),
        (
            lambda device: device.send_to_client_tokens_add("b", 1),
            {"a": [0, 1, 2, 3], "b": [0, 1, 2]},
        ),
    ],
)
def test_a_callback_inside_a_batch_is_heeded(
    call: Callable[[Device[int, str]], object], got: dict[str, list[int]]
) -> None:
    """A batch would go on after what one by one would have stopped it (CB-1)."""
    owner, device = batched(4)
    device.client_add("a", False, 5, 1, 0)
    device.client_add("b", True, 5, 1, 2)
    owner.inside = lambda: call(device)
    device.start()
    assert owner.got == got


@pytest.mark.parametrize("missing", ["read_msgs_from_device", "send_msgs_to_client"])
def test_half_a_batch_owner_is_refused(missing: str) -> None:
    """Messages would be read that nobody can be sent."""
    names = {"read_msgs_from_device", "send_msgs_to_client"} - {missing}
    callbacks: Any = type("Callbacks", (), dict.fromkeys(names, lambda *_: None))()
    port = CountingOwner(())
    with pytest.raises(TypeError) as error:
        Device(port, 1, 0, callbacks, port)
    assert str(error.value) == (
        "create: callbacks have one of read_msgs_from_device and send_msgs_to_client; "
        "give both or neither"
    )


class BatchOwner(ObjectOwner):
    """The checker's owner, asked for batches; as it counts references, they are batches of one."""

    def read_msgs_from_device(self, port: Any, limit: int, /) -> Sequence[Any]:
        assert limit == 1
        message = self.read_one_msg_from_device(port)
        return [] if message is None else [message]

    def send_msgs_to_client(self, messages: Sequence[Any], client: str, /) -> None:
        (message,) = messages
        self.send_msg_to_client(message, client)


def test_batches_of_one_are_what_the_specification_says() -> None:
    """The way of batches would not keep the contract that the plain way keeps, call by call."""

    class BatchTarget(DeviceTarget):
        owner_class = BatchOwner

    report = run_campaign(BatchTarget, seed=7, calls=10_000)
    assert report.finding is None
    assert report.statistics.calls >= 10_000
