"""Random calls, also inside callbacks, against the rules that can be read off the device's state."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Any

import pytest

from chardev import BadMigrationDataError, ContractError, Device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chardev import WriteBuffer
    from tests.impl.conftest import World

CLIENTS = ("a", "b", "c")
CALLBACKS = (
    "write", "read", "ref", "unref", "send", "tokens", "self-token", "remove", "port-failed",
)  # fmt: skip
ANY_CALLS = (
    ("write",) * 6 + ("many",) * 3 + ("get",) * 2 + ("add",) * 3 + ("grant",) * 4
    + ("client_add",) * 3 + ("start",) * 3 + ("wakeup",) * 2 + ("attach",) * 2
    + ("release", "client_remove", "stop", "reset", "retry", "wait", "marshall", "restore")
)  # fmt: skip
MOSTLY_WRITES = (
    ("write",) * 10 + ("many",) * 10 + ("add",) * 5 + ("recover",) * 20 + ("client_add",) * 4
    + ("client_remove",) * 2 + ("wakeup", "grant", "stop", "reset", "attach")
)  # fmt: skip


class BoomError(Exception):
    """Raised by callbacks, on purpose."""


class Monkey:
    """Calls anything at any time, and looks at the rules after each step."""

    def __init__(self, world: World, seed: int, calls: Sequence[str] = ANY_CALLS) -> None:
        self.calls = calls
        self.world = world
        self.device = world.dev
        self.random = random.Random(seed)
        self.held: list[WriteBuffer] = []
        self.serial = 0
        self.dropped = False
        self.depth = 0
        self.log: list[str] = []

    def prepare(self) -> None:
        """Choose what the port and the callbacks will do."""
        choose = self.random.choice
        self.world.answers.extend(
            choose((0, 1, 4, 6, 8, 12, -1, 99, 10)) for _ in range(choose((0, 0, 1, 2)))
        )
        if self.random.random() < 0.05:
            self.world.answers.append(BoomError("write"))
        for _ in range(choose((0, 1, 2))):
            self.serial += 1
            self.world.messages.append(f"m{self.serial}")
        if self.depth < 3:
            for _ in range(choose((0, 0, 1, 2))):
                self.world.when(choose(CALLBACKS), self.nested)

    def nested(self) -> None:
        """Do something inside a callback."""
        if self.random.random() < 0.1:
            raise BoomError("callback")
        self.depth += 1
        try:
            self.step()
        finally:
            self.depth -= 1

    def step(self) -> None:
        """Make one call, legal or not."""
        name = self.random.choice(self.calls)
        self.log.append("  " * self.depth + name)
        self.prepare()
        try:
            getattr(self, "do_" + name)()
        except ContractError:
            return
        except BoomError:
            if self.depth and self.random.random() < 0.3:
                raise

    def data(self) -> bytes:
        """Return the bytes of the next buffer: 4 or 8, with its number; sometimes none."""
        self.serial += 1
        number = b"<%04d>" % self.serial
        return self.random.choice((number, number.replace(b">", b"---->"), number, b""))

    def do_write(self) -> None:
        data = self.data()
        self.device.write(self.random.choice((*CLIENTS, None)), data)

    def do_many(self) -> None:
        data = [self.data() for _ in range(self.random.randrange(5))]
        self.device.write_many(self.random.choice(CLIENTS), data)

    def do_get(self) -> None:
        buffer = (
            self.device.write_buffer_get_server_no_token(16)
            if self.random.random() < 0.2
            else self.device.write_buffer_get(self.random.choice((*CLIENTS, None)), 16)
        )
        if buffer is not None:
            self.held.append(buffer)

    def do_add(self) -> None:
        if not self.held:
            self.do_get()
        if self.held:
            buffer = self.held.pop(self.random.randrange(len(self.held)))
            data = self.data()
            buffer.buf[: len(data)] = data
            buffer.buf_used = len(data)
            self.device.write_buffer_add(buffer)

    def do_release(self) -> None:
        if self.held:
            self.device.write_buffer_release(self.held.pop())

    def do_grant(self) -> None:
        grant = self.random.choice(
            (self.device.send_to_client_tokens_add, self.device.send_to_client_tokens_set)
        )
        grant(self.random.choice(CLIENTS), self.random.randrange(4))

    def do_client_add(self) -> None:
        self.device.client_add(
            self.random.choice(CLIENTS),
            self.random.random() < 0.8,
            self.random.randrange(3),
            self.random.choice((0, 3, 5)),
            self.random.randrange(3),
            self.random.random() < 0.2,
        )

    def do_client_remove(self) -> None:
        self.device.client_remove(self.random.choice(CLIENTS))

    def do_start(self) -> None:
        self.device.start()

    def do_stop(self) -> None:
        self.device.stop()

    def do_wakeup(self) -> None:
        self.device.wakeup()

    def do_retry(self) -> None:
        self.device.retry_timer_fired()

    def do_wait(self) -> None:
        self.device.wait_timer_fired(self.random.choice(CLIENTS))

    def do_attach(self) -> None:
        self.world.announces_writability = self.random.random() < 0.5
        self.device.reset_dev_instance(None if self.random.random() < 0.3 else self.world)

    def do_recover(self) -> None:
        self.world.answers.clear()
        self.device.reset_dev_instance(self.world)
        self.device.start()

    def do_reset(self) -> None:
        self.dropped = True
        self.device.reset()

    def do_marshall(self) -> None:
        self.device.migrate_data_marshall()
        self.dropped = True

    def do_restore(self) -> None:
        self.dropped = True
        given = self.random.randrange(4)
        record = b"\x01\0\0\0\x01" + b"".join(
            n.to_bytes(4, "little") for n in (given, 1, 4, self.random.randrange(3), 33)
        )
        try:
            self.device.restore(b"headersz" + record + b"%04d" % 0)
        except BadMigrationDataError:
            return

    def check(self) -> None:
        """Compare the device, with no frame on the stack, with the rules."""
        device: Any = self.device
        queue = device._queue
        payers = queue.pending_payers()
        for attachment in device._clients.values():
            if attachment.flow_control:
                in_flight = attachment.held + sum(
                    getattr(p, "price", 1)
                    for p in payers
                    if p is attachment or getattr(p, "attachment", None) is attachment
                )
                assert attachment.tokens + attachment.freed + in_flight == attachment.window, (
                    "TOK-1"
                )
                assert attachment.tokens >= 0
                assert attachment.freed >= 0
                if not attachment.leaving:
                    assert attachment.freed < max(device._interval, 1), "TOK-3"
            if not attachment.leaving:
                assert not attachment.send_queue or not attachment.send_tokens, "RD-3"
                assert attachment.wait_timer_armed == bool(attachment.send_queue), "RD-5"
            assert len(attachment.send_queue) <= attachment.max_send_queue_size, "RD-4"
            assert not attachment.pushing
        assert not device._frames
        assert not device._writing
        assert not device._reading
        server = [b for b in self.held if b.origin.value == "server"]
        from chardev.buffers import SERVER  # noqa: PLC0415 - white box

        assert device.self_tokens + len(server) + payers.count(SERVER) == 2, "SELF-1"
        assert len(queue.data) == len(queue.payers)
        assert queue.head <= len(queue._ends) <= len(queue.payers)
        if device._may_write and payers:
            assert device.retry_timer_armed or device.port_owes_wakeup, "WR-6"
        if device._wanted and device.wants_to_read():
            assert device.retry_timer_armed, "RD-8"
        if device.retry_timer_armed:
            assert device.running
            assert device.port is not None
        if device.port_owes_wakeup:
            assert device.port is not None
        if device._awaiting is not None:
            assert tuple(device._clients.values()) == (device._awaiting,)
            assert not queue.current
        if not self.dropped:
            self.check_stream()

    def check_stream(self) -> None:
        """Whole buffers in the order they were added, but for the last one (WR-1, WR-7)."""
        assert re.fullmatch(rb"(<\d{4}-*>)*(<\d{0,4}-*)?", self.world.written), "WR-7"
        numbers = re.findall(rb"\d{4}", self.world.written)
        assert numbers == sorted(set(numbers)), "WR-1"


@pytest.mark.parametrize("moves_per_call", [1, 3, 1024])
@pytest.mark.parametrize("interval", [0, 1, 3])
def test_random_reentrant_calls_leave_every_rule_satisfied(
    make_world: Callable[..., World], interval: int, moves_per_call: int
) -> None:
    """Some sequence of calls, nested in callbacks or not, would break tokens, order or quiescence."""
    for seed in range(60):
        world = make_world(interval=interval, moves_per_call=moves_per_call)
        monkey = Monkey(world, seed)
        for _ in range(60):
            monkey.step()
            try:
                monkey.check()
            except AssertionError as error:
                error.add_note(
                    f"seed {seed}\n" + "\n".join(monkey.log) + "\n" + "\n".join(world.events)
                )
                raise


def busy_events(make_world: Callable[..., World], seed: int) -> list[str]:
    """What happens when clients mostly write, and the port takes all, some or nothing."""
    world = make_world(interval=seed % 4, moves_per_call=(2, 3, 1024)[seed % 3])
    monkey = Monkey(world, seed, MOSTLY_WRITES)
    world.dev.client_add("a", True, 1, 5, 1)
    world.dev.start()
    for _ in range(60):
        monkey.step()
        world.note(f"armed {world.dev.retry_timer_armed} {world.dev.active}")
    return world.events


def write_pass_instead(device: Any, attachment: Any, buffers: Any, *_: object) -> None:
    """Queue the buffers, then write."""
    device._queue.extend(buffers, attachment)
    frame = device._enter()
    device._write_pass(frame)
    device._leave(frame)


def get_and_add_instead(device: Any, client: str | None, data: bytes) -> bool:
    """What the header has for it."""
    buffer = device.write_buffer_get(client, len(data))
    if buffer is None:
        return False
    buffer.buf[:] = data
    buffer.buf_used = len(data)
    device.write_buffer_add(buffer)
    return True


@pytest.mark.parametrize(
    ("name", "instead"), [("_write_express", write_pass_instead), ("write", get_and_add_instead)]
)
def test_the_short_way_is_the_long_way(
    make_world: Callable[..., World],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    instead: Callable[..., object],
) -> None:
    """An uncongested write, of one buffer or of many, or one without a buffer object, would do something else."""
    short = [busy_events(make_world, seed) for seed in range(300)]
    monkeypatch.setattr(Device, name, instead)
    assert [busy_events(make_world, seed) for seed in range(300)] == short
