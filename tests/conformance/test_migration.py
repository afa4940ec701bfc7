"""Migration between bundled devices: three that are one, and records that are wrong."""

import os
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final

import pytest

import chardev
from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.campaign import replay
from chardev_conformance.lockstep import Lockstep
from chardev_conformance.scenario import Answer, Scenario, Step
from chardev_spec.errors import BadMigrationDataError
from chardev_spec.events import (
    Callback,
    PortWrite,
    ReadOneMsgFromDevice,
    SendMsgToClient,
    SendTokensToClient,
)
from chardev_spec.record import HEADER_SIZE, MESSAGE_SIZE, Record, encode, encode_message
from chardev_spec.runner import Runner
from chardev_spec.state import UINT32_MAX

FACTOR: Final = 20 if os.environ.get("CHARDEV_LONG") else 1
"""`CHARDEV_LONG=1` tries twenty times as much."""

MOVES: Final = 3
JOURNEYS: Final = 150 * FACTOR
RECORDS: Final = 100_000 * FACTOR


# Source, wire and destination are one device


class Journey:
    """A client's traffic over a chain of devices, at whose cut points it moves on.

    The script of a lockstep, which compares each device with the specification; what the peer and the ports see is
    written down here, and must be what one device would have made of it (MIG-6).
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        random = self.random
        self.flow_control = random.random() < 0.9
        self.interval = random.choice([0, 1, 2, 3])
        self.window = self.interval + random.choice([0, 1, 2, 5]) or 1
        self.send_tokens = random.choice([0, 1, 3])
        self.taking = random.choice([0.1, 0.3, 0.6])
        self.reading = random.choice([0.1, 0.5])
        self.queued: list[int] = []
        """The bytes that were added, by their numbers, in order."""
        self.written: list[int] = []
        """The bytes that some port took."""
        self.peer_tokens = self.window
        """How many buffers the peer may still send, as far as it knows."""
        self.granted = self.send_tokens
        self.sent = 0
        self.messages: list[str] = []
        self.buffers = 0
        self.pending: list[Step] = []
        self.plan: Iterator[Step] = self._plan()

    # What is done

    def _plan(self) -> Iterator[Step]:
        random = self.random
        yield from self._arrive(1)
        for number in range(1, MOVES + 2):
            for _ in range(random.randint(0, 12)):
                yield from self._traffic(f"d{number}")
            if number <= MOVES:
                yield from self._move(number)
        last = f"d{MOVES + 1}"
        self.taking, self.reading = 1.0, 0.0
        yield Step("start", device=last)
        yield Step("wakeup", device=last)
        yield Step("advance", {"milliseconds": 100})
        yield Step("retry_timer_fired", device=last)

    def _arrive(self, number: int) -> Iterator[Step]:
        device = f"d{number}"
        yield Step(
            "create",
            {"port": f"p{number}", "client_tokens_interval": self.interval, "self_tokens": 1},
            device=device,
        )
        yield Step(
            "client_add",
            {
                "client": "c1",
                "do_flow_control": self.flow_control,
                "max_send_queue_size": 4,
                "num_client_tokens": self.window,
                "num_send_tokens": self.send_tokens if number == 1 else UINT32_MAX,
                "wait_for_migrate_data": number > 1,
            },
            device=device,
        )
        if self.random.random() < 0.7:
            yield Step("start", device=device)

    def _traffic(self, device: str) -> Iterator[Step]:
        random = self.random
        match random.choice(
            ["send", "send", "send", "server", "grant", "start", "wakeup", "stop", "timer"]
        ):
            case "send" if self.peer_tokens > 0 or not self.flow_control:
                yield from self._send(device)
            case "server":
                yield from self._add("write_buffer_get_server_no_token", {}, device)
            case "grant":
                tokens = random.choice([1, 1, 2])
                self.granted += tokens
                yield Step(
                    "send_to_client_tokens_add", {"client": "c1", "tokens": tokens}, device=device
                )
            case "timer":
                yield Step("advance", {"milliseconds": 100})
                yield Step("retry_timer_fired", device=device)
            case "start" | "wakeup" | "stop" as call:
                yield Step(call, device=device)

    def _send(self, device: str) -> Iterator[Step]:
        """The peer sends a buffer: it costs a token of those that it knows of."""
        self.peer_tokens -= 1
        yield from self._add("write_buffer_get", {"client": "c1"}, device)

    def _add(self, get: str, arguments: dict[str, Any], device: str) -> Iterator[Step]:
        self.buffers += 1
        name, size = f"b{self.buffers}", self.random.choice([0, 1, 2, 5])
        yield Step(get, arguments | {"size": size}, device=device, result_name=name)
        data = bytes((len(self.queued) + i) % 251 for i in range(size))
        self.queued.extend(data)
        yield Step("write_buffer_add", {"buffer": name, "data": data.hex()}, device=device)

    def _move(self, number: int) -> Iterator[Step]:
        """Cut here: stop, marshall; meanwhile the peer may already send to the destination."""
        source, destination = f"d{number}", f"d{number + 1}"
        if self.granted - self.sent < len(self.messages) - self.sent:
            # Messages wait in the client's queue, which cannot be marshalled: let them go.
            waiting = len(self.messages) - self.granted
            self.granted += waiting
            yield Step(
                "send_to_client_tokens_add", {"client": "c1", "tokens": waiting}, device=source
            )
        self.reading, reading = 0.0, self.reading
        yield Step("stop", device=source)
        yield Step("migrate_data_marshall", device=source, result_name=f"x{number}")
        self.reading = reading
        if self.random.random() < 0.3:
            # What happens at a sealed source must not come out anywhere.
            yield Step("start", device=source)
            yield Step("wakeup", device=source)
            yield Step("stop", device=source)
        yield from self._arrive(number + 1)
        while self.random.random() < 0.3 and (self.peer_tokens > 0 or not self.flow_control):
            yield from self._send(destination)
        yield Step("restore", {"message": f"x{number}"}, device=destination)
        if self.random.random() < 0.5:
            yield Step("migrate_data_release", {"data": f"x{number}"}, device=source)
            yield Step("client_remove", {"client": "c1"}, device=source)
        else:
            yield Step("destroy", device=source)
            yield Step("migrate_data_release", {"data": f"x{number}"}, device=source)

    # The protocol of scripts

    def step(self, lockstep: Lockstep) -> Step | None:
        """The next call; a name of migration data becomes its bytes."""
        step = next(self.plan, None)
        if step is not None and step.call == "restore":
            step.arguments["message"] = lockstep.named[step.arguments["message"]].message.hex()
        return step

    def nested_step(self, lockstep: Lockstep) -> Step | None:
        """Nothing happens inside callbacks here."""
        return None

    def answer(self, lockstep: Lockstep, unused: list[Answer], event: Callback) -> Answer:
        """What the port takes and gives; what the peer hears."""
        random = self.random
        if isinstance(event, PortWrite):
            size = len(event.data)
            taken = size if random.random() < self.taking else random.randint(0, size)
            self.written.extend(event.data[:taken])
            return Answer("write", taken)
        if isinstance(event, ReadOneMsgFromDevice):
            message = random.random() < self.reading
            if message:
                self.messages.append(f"m{lockstep.messages + 1}")
            return Answer("read_one_msg_from_device", message)
        if isinstance(event, SendMsgToClient):
            assert event.message == self.messages[self.sent], "messages out of order"
            self.sent += 1
        if isinstance(event, SendTokensToClient):
            self.peer_tokens += event.tokens
        return Answer(EVENT[type(event).__name__])


EVENT: Final = {
    "RefMsgToClient": "ref_msg_to_client",
    "UnrefMsgToClient": "unref_msg_to_client",
    "SendMsgToClient": "send_msg_to_client",
    "SendTokensToClient": "send_tokens_to_client",
}


def test_three_moves_are_one_device() -> None:
    """Bytes, tokens or messages would be lost or doubled when a guest migrates (MIG-6, TOK-1, RD-6)."""
    moved = 0
    for seed in range(JOURNEYS):
        journey = Journey(seed)
        ports = {f"p{number}": journey.random.random() < 0.5 for number in range(1, MOVES + 2)}
        lockstep = Lockstep(DeviceTarget, journey, Scenario(ports))
        finding = lockstep.run()
        where = f"seed {seed}"
        assert finding is None, f"{where}: {finding}"
        restores = sum(step.call == "restore" for step in lockstep.performed.steps)
        assert restores == MOVES, where
        assert journey.written == journey.queued, where
        last = lockstep.pairs[f"d{MOVES + 1}"].runner.state
        if journey.flow_control:
            assert 0 <= journey.peer_tokens <= journey.window, where
            unannounced = journey.window - journey.peer_tokens
            assert unannounced < max(journey.interval, 1), where
            assert last.clients.newest_first() != []
            assert journey.sent <= journey.granted, where
        moved += len(journey.written)
    assert moved > 10 * JOURNEYS


def test_a_journey_is_performed_alike_again() -> None:
    """A failing journey could not be replayed, or shrunk."""
    journey = Journey(3)
    lockstep = Lockstep(
        DeviceTarget, journey, Scenario({f"p{n}": False for n in range(1, MOVES + 2)})
    )
    assert lockstep.run() is None
    assert replay(DeviceTarget, lockstep.performed) == (None, lockstep.performed)


class LosesTokens(DeviceTarget):
    """A destination that takes the data to have cost one token less."""

    def perform(self, device: str, call: str, arguments: dict[str, Any]) -> Any:
        if call == "restore":
            message = bytearray(arguments["message"])
            data_tokens = int.from_bytes(message[HEADER_SIZE + 17 : HEADER_SIZE + 21], "little")
            message[HEADER_SIZE + 17] = max(data_tokens - 1, 0)
            arguments = {"message": bytes(message)}
        return super().perform(device, call, arguments)


def test_a_journey_notices_a_defect() -> None:
    """The journeys would pass whatever the device does."""
    findings = []
    for seed in range(40):
        journey = Journey(seed)
        ports = {f"p{number}": False for number in range(1, MOVES + 2)}
        findings.append(Lockstep(LosesTokens, journey, Scenario(ports)).run())
    assert sum(finding is not None for finding in findings) > 5


# Wrong records


class World:
    """A bundled device and the specification, each with a client that awaits migration data.

    `tries` are calls made before the data arrives; both then are in one state, which `agree` compares.
    """

    def __init__(self, random: Random) -> None:
        self.announced = 0
        self.retry_ms: int | None = None
        self.device_written = b""
        self.spec_written = b""
        self.announces_writability = False
        self.device: chardev.Device[str, str] | None = None
        interval = random.choice([0, 1, 2])
        self.window = interval + random.choice([0, 2, 3])
        self.flow_control = random.random() < 0.8
        self.running = random.random() < 0.5
        self.dev: chardev.Device[str, str] = chardev.Device(self, interval, 1, self, self)
        # The invariants take most of the time; other tests check them at every step.
        self.runner = Runner(self, invariants=random.random() < 0.1)
        self.runner.add_port(1)
        self.runner.call("create", 1, interval, 1)
        self.both("client_add", "c", self.flow_control, 2, self.window, 0, True)
        if self.running:
            self.both("start")
        for _ in range(random.choice([0, 0, 1, 2])):
            self.take(random.random() < 0.7)
        if random.random() < 0.3:
            self.both("send_to_client_tokens_add", "c", random.choice([1, UINT32_MAX]))

    def both(self, call: str, *arguments: Any) -> None:
        getattr(self.dev, call)(*arguments)
        self.runner.call(call, *arguments)

    def take(self, add: bool) -> None:
        """The client takes a buffer of two bytes, and adds or releases it."""
        if self.flow_control and self.dev.client_state("c").tokens == 0:
            return
        buffer = self.dev.write_buffer_get("c", 2)
        handle = self.runner.call("write_buffer_get", "c", 2)
        assert buffer is not None
        if add:
            buffer.buf[:] = b"zz"
            buffer.buf_used = 2
            self.dev.write_buffer_add(buffer)
            self.runner.call("write_buffer_add", handle, b"zz")
        else:
            self.dev.write_buffer_release(buffer)
            self.runner.call("write_buffer_release", handle)

    # The device's port, callbacks and timers; the port takes at most three bytes at once.

    def write(self, buffers: Any, /) -> int:
        taken = b"".join(bytes(buffer) for buffer in buffers)[:3]
        self.device_written += taken
        return len(taken)

    def read_one_msg_from_device(self, port: Any, /) -> None:
        return None

    def ref_msg_to_client(self, message: str, /) -> None:
        raise AssertionError("there is no message")

    unref_msg_to_client = ref_msg_to_client

    def send_msg_to_client(self, message: str, client: str, /) -> None:
        raise AssertionError("there is no message")

    def send_tokens_to_client(self, client: str, tokens: int, /) -> None:
        self.announced += tokens

    def remove_client(self, client: str, /) -> None:
        raise AssertionError("nobody has done anything wrong")

    def start_retry_timer(self, delay_ms: int, /) -> None:
        self.retry_ms = delay_ms

    def cancel_retry_timer(self) -> None:
        self.retry_ms = None

    def start_wait_timer(self, client: str, delay_ms: int, /) -> None:
        raise AssertionError("there is no message")

    cancel_wait_timer = remove_client

    # The specification's environment

    def answer(self, event: Callback) -> Any:
        if isinstance(event, PortWrite):
            taken = event.data[:3]
            self.spec_written += taken
            return len(taken)
        if isinstance(event, SendTokensToClient):
            self.announced -= event.tokens
        return None

    def choose(self, event: Any) -> Any:
        """Go on without limit, and offer all buffers at once."""
        return getattr(event, "available", True)

    # What can be observed

    def of_device(self) -> tuple[Any, ...]:
        dev, client = self.dev, self.dev.client_state("c")
        return (
            (dev.running, dev.active, dev.port is self, dev.sealed, dev.awaiting_migration_data),
            (dev.self_tokens, dev.pending_bytes, dev.retry_timer_armed, dev.wants_to_read()),
            (client.tokens, client.freed, client.send_tokens, client.leaving, self.device_written),
        )

    def of_spec(self) -> tuple[Any, ...]:
        state, machine = self.runner.state, self.runner.machine
        device, client = state.device, next(iter(state.clients))
        pending = sum(len(row.data) - row.written for row in state.buffers.pending_rows())
        return (
            (
                device.running,
                device.active,
                device.port == 1,
                device.sealed,
                device.awaiting is not None,
            ),
            (device.self_tokens, pending, device.retry_armed, machine.may_read()),
            (client.tokens, client.freed, client.send_tokens, client.leaving, self.spec_written),
        )

    def agree(self) -> None:
        assert self.of_device() == self.of_spec()
        assert self.announced == 0, "announced to the peer by one and not by the other"


EDGES: Final = (
    0,
    1,
    2,
    3,
    32,
    33,
    34,
    40,
    41,
    2**31 - 1,
    2**31,
    2**32 - 34,
    2**32 - 33,
    UINT32_MAX,
)


def good_record(random: Random, window: int) -> bytes:
    """A message that a source with this window may have sent."""
    data = random.randbytes(random.choice([0, 0, 1, 7]))
    in_data = random.randint(0, window)
    tokens = random.randint(0, window - in_data) if random.random() < 0.5 else window - in_data
    record = Record(
        1,
        1,
        tokens,
        random.choice([0, 1, UINT32_MAX]),
        len(data),
        in_data,
        MESSAGE_SIZE if data else 0,
    )
    return random.randbytes(HEADER_SIZE) + encode(record) + data


def mutated(random: Random, message: bytes) -> bytes:
    """The message, changed in one to three ways; now and then left as it is."""
    changed = bytearray(message)
    for _ in range(random.choice([0, 1, 1, 1, 2, 3])):
        match random.choice(["byte", "bit", "field", "field", "cut", "grow", "noise"]):
            case "byte" if changed:
                changed[random.randrange(len(changed))] = random.choice([0, 1, 2, 127, 128, 255])
            case "bit" if changed:
                changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
            case "field" if len(changed) >= MESSAGE_SIZE:
                offset = HEADER_SIZE + random.choice([0, 5, 9, 13, 17, 21])
                value = random.choice([*EDGES, len(changed), len(changed) - MESSAGE_SIZE])
                changed[offset : offset + 4] = (value % 2**32).to_bytes(4, "little")
            case "cut":
                del changed[random.randrange(len(changed) + 1) :]
            case "grow":
                changed += random.randbytes(random.choice([1, 4, 40]))
            case "noise":
                changed = bytearray(random.randbytes(random.choice([0, 7, 8, 33, 34, 60])))
    return bytes(changed)


def test_no_record_crashes_hangs_or_is_half_applied() -> None:
    """A hostile or damaged source would bring down the destination, or leave it in a state that is nobody's (MIG-5)."""
    seed = int(os.environ.get("CHARDEV_SEED", "20131203"))
    random = Random(seed)
    accepted = refused = 0
    world = World(random)
    before = world.of_device()
    for number in range(RECORDS):
        message = mutated(random, good_record(random, world.window))
        where = f"CHARDEV_SEED={seed}, record {number}: {message.hex()}"
        given = random.choice([bytes, bytearray, memoryview])(message)
        try:
            world.dev.restore(given)
        except chardev.BadMigrationDataError as error:
            device_says = str(error)
        else:
            device_says = ""
        try:
            world.runner.call("restore", message)
        except BadMigrationDataError as error:
            spec_says = str(error)
        else:
            spec_says = ""
        assert bool(device_says) == bool(spec_says), (
            f"{where}: device {device_says!r}, spec {spec_says!r}"
        )
        if device_says:
            refused += 1
            assert world.of_device() == before, where
            assert "\n" not in device_says
            continue
        accepted += 1
        world.agree()
        finish(world)
        world = World(random)
        world.agree()
        before = world.of_device()
    assert accepted > RECORDS / 20
    assert refused > RECORDS / 2


def finish(world: World) -> None:
    """What was accepted is written to the end, and nothing else."""
    if not world.running:
        world.both("start")
    while world.dev.pending_bytes:
        world.both("wakeup")
    world.both("stop")
    world.agree()
    data = world.dev.migrate_data_marshall()
    assert data.message(bytes(8)) == encode_message(
        bytes(8), world.runner.call("migrate_data_marshall")
    )


def test_a_refused_record_leaves_the_way_for_a_good_one() -> None:
    """After a refusal the destination could not be restored any more (MIG-5)."""
    random = Random(5)
    for _ in range(200 * FACTOR):
        world = World(random)
        for _ in range(5):
            with pytest.raises(chardev.BadMigrationDataError):
                world.dev.restore(random.randbytes(random.choice([0, 8, 32])))
        tokens = world.window if world.flow_control else UINT32_MAX
        message = bytes(HEADER_SIZE) + encode(Record(1, 1, tokens, 1, 2, 0, MESSAGE_SIZE)) + b"ab"
        world.dev.restore(message)
        world.runner.call("restore", message)
        world.agree()
        finish(world)
        assert b"ab" in world.device_written


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda good: b"",
            "restore: the message has 0 bytes; header and record need 33: it is truncated",
        ),
        (
            lambda good: good[:32],
            "restore: the message has 32 bytes; header and record need 33: it is truncated",
        ),
        (
            lambda good: good[:8] + b"\x02" + good[9:],
            "restore: the record has version 2; this device reads versions up to 1: the source is too new",
        ),
        (
            lambda good: good[:12] + b"\x00" + good[13:],
            "restore: the record says that the source had no client connected",
        ),
        (
            lambda good: good[:29] + b"\x20" + good[30:],
            "restore: the write data is said to stand at 32, inside header or record; it can stand at 33 or later",
        ),
        (
            lambda good: good[:-1],
            "restore: 2 bytes of write data at 33 reach past the message, which has 34 bytes: it is truncated",
        ),
        (
            lambda good: good[:25] + b"\x01" + good[26:],
            "restore: 3 client tokens and 1 in the write data are more than the window of 3 of client 'c'",
        ),
    ],
)
def test_a_refusal_says_what_is_wrong(change: Callable[[bytes], bytes], message: str) -> None:
    """Whoever looks into a failed migration would not learn which side is to blame."""
    random = Random(0)
    world = next(w for w in iter(lambda: World(random), None) if w.flow_control and w.window == 3)
    good = bytes(HEADER_SIZE) + encode(Record(1, 1, 3, 0, 2, 0, MESSAGE_SIZE)) + b"ab"
    with pytest.raises(chardev.BadMigrationDataError) as refused:
        world.dev.restore(change(good))
    assert str(refused.value) == message


def test_offsets_of_the_record_are_those_of_the_format() -> None:
    """The mutations above would not hit the fields that they are meant for (MIG-1)."""
    message = bytes(HEADER_SIZE) + encode(Record(1, 1, 2, 3, 4, 5, 6))
    fields = [
        int.from_bytes(message[HEADER_SIZE + n :][:4], "little") for n in (0, 5, 9, 13, 17, 21)
    ]
    assert (fields, message[HEADER_SIZE + 4], len(message)) == ([1, 2, 3, 4, 5, 6], 1, MESSAGE_SIZE)
