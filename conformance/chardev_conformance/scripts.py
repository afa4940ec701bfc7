"""Who decides what is done next: a recorded scenario, or chance."""

from random import Random
from typing import Any, Final

from chardev_conformance.lockstep import Lockstep, Pair
from chardev_conformance.scenario import EVENT_NAMES, Answer, Scenario, Step
from chardev_spec.events import Callback, PortWrite, ReadOneMsgFromDevice
from chardev_spec.record import HEADER_SIZE, MESSAGE_SIZE
from chardev_spec.state import UINT32_MAX, Client, Place


class Replay:
    """Performs a recorded scenario.

    A callback takes the first answer of its step that was not taken yet and has its name; without one the port takes
    all, there is nothing to read, and any other callback does nothing.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._steps = iter(scenario.steps)

    def step(self, lockstep: Lockstep) -> Step | None:
        """The next recorded step."""
        return next(self._steps, None)

    def nested_step(self, lockstep: Lockstep) -> Step | None:
        """Nothing but what the answers hold."""
        return None

    def answer(self, lockstep: Lockstep, unused: list[Answer], event: Callback) -> Answer:
        """The recorded answer."""
        name = EVENT_NAMES[type(event).__name__]
        for i, answer in enumerate(unused):
            if answer.on == name:
                return unused.pop(i)
        return Answer(name)


CLIENTS: Final = ("c1", "c2", "c3")

WEIGHTS: Final = {
    "write_buffer_get": 12.0,
    "write_buffer_add": 12.0,
    "write_buffer_release": 3.0,
    "write_buffer_get_server_no_token": 2.0,
    "client_add": 5.0,
    "client_remove": 2.0,
    "client_exists": 0.5,
    "opaque_get": 0.2,
    "start": 4.0,
    "stop": 1.5,
    "wakeup": 6.0,
    "send_to_client_tokens_add": 6.0,
    "send_to_client_tokens_set": 2.0,
    "retry_timer_fired": 4.0,
    "wait_timer_fired": 1.0,
    "advance": 2.0,
    "reset": 0.7,
    "reset_dev_instance": 1.5,
    "migrate": 1.0,
    "migrate_data_release": 0.5,
    "migrate_data_marshall_empty": 0.1,
    "destroy": 0.1,
}
"""How often each call is made, relative to the others; a scenario keeps all of some and little of others."""


def random_scenario(random: Random) -> Scenario:
    """A scenario without steps: its ports, and where a pass is to stop."""
    ports = {name: random.random() < 0.5 for name in ("p1", "p2", "p3")}
    return Scenario(ports, moves_per_call=random.choice([None, None, 1, 2, 3]))


class RandomScript:
    """Makes calls at random: each run its own mixture (swarm choice), guided by the spec's state.

    `calls` bounds the calls of the run, nested ones included; `depth` how deep calls are nested in callbacks.
    `errors` is the share of calls that break the contract on purpose.
    """

    def __init__(self, random: Random, *, calls: int = 60, depth: int = 3, errors: float = 0.03) -> None:
        self.random = random
        self._calls_left = calls
        self._depth = depth
        self._errors = errors
        self._planned: list[Step] = []
        self._names = 0
        self._bytes = 0
        kept = {call: w for call, w in WEIGHTS.items() if random.random() < 0.8}
        boosted = {call: w * random.choice([0.3, 1, 1, 3]) for call, w in kept.items()}
        self._calls = [*boosted] or ["wakeup"]
        self._weights = [*boosted.values()] or [1.0]
        self._nesting = random.choice([0.0, 0.1, 0.25, 0.4])
        self._raising = random.choice([0.0, 0.0, 0.03, 0.1])
        self._taking = random.choice([0.1, 0.4, 0.7])
        self._failing = random.choice([0.0, 0.03])
        self._reading = random.choice([0.2, 0.5, 0.8])
        self._interval = random.choice([0, 1, 2, 3])
        self._flow = random.choice([0.5, 0.9, 1.0])
        self._started = False
        self._settling: list[Step] | None = None

    # The protocol of scripts

    def step(self, lockstep: Lockstep) -> Step | None:
        """The next call outside."""
        if not self._started:
            self._started = True
            return self._create("d1", "p1")
        if self._calls_left > 0:
            return self._choose(lockstep)
        if self._settling is None:
            self._nesting = self._raising = self._failing = 0.0
            self._settling = self._settle(lockstep)
        return self._settling.pop(0) if self._settling else None

    def nested_step(self, lockstep: Lockstep) -> Step | None:
        """With some luck one more call inside the callback."""
        if len(lockstep.frames) > self._depth or self._calls_left <= 0:
            return None
        if self.random.random() >= self._nesting:
            return None
        return self._choose(lockstep)

    def answer(self, lockstep: Lockstep, unused: list[Answer], event: Callback) -> Answer:
        """An answer at random."""
        random, name = self.random, EVENT_NAMES[type(event).__name__]
        answer = Answer(name, raises=random.random() < self._raising)
        if isinstance(event, PortWrite):
            luck = random.random()
            if luck < self._taking:
                answer.value = "all"
            elif luck < 1 - self._failing:
                answer.value = random.choice([0, random.randint(0, len(event.data))])
            else:
                answer.value = random.choice(["fail", "over"])
        elif isinstance(event, ReadOneMsgFromDevice):
            answer.value = random.random() < self._reading
        return answer

    # Choosing

    def _settle(self, lockstep: Lockstep) -> list[Step]:
        """Calls after which nothing should be owed: every device goes on until its timers are quiet."""
        steps = []
        for name in lockstep.pairs:
            steps.append(Step("reset_dev_instance", {"port": "p3"}, device=name))
            steps.append(Step("start", device=name))
            steps.extend([Step("advance", {"milliseconds": 100}), Step("retry_timer_fired", device=name)])
            steps.append(Step("reset_dev_instance", {"port": None}, device=name))
        return steps

    def _choose(self, lockstep: Lockstep) -> Step:
        self._calls_left -= 1
        if self._planned and not lockstep.frames:
            return self._planned.pop(0)
        pair = self.random.choice([*lockstep.pairs.values()])
        if self.random.random() < self._errors:
            step = self._mistake(pair, lockstep)
        else:
            step = self._sensible(pair, lockstep)
        step.device = pair.name
        return step

    def _create(self, device: str, port: str) -> Step:
        return Step(
            "create",
            {
                "port": port,
                "client_tokens_interval": self._interval,
                "self_tokens": self.random.choice([0, 1, 2, 3]),
            },
            device=device,
        )

    def _new_name(self, prefix: str) -> str:
        self._names += 1
        return f"{prefix}{self._names}"

    def _data(self, size: int) -> str:
        """Bytes that tell their place in the stream, so that an exchange of two buffers shows."""
        self._bytes += size
        return bytes((self._bytes - size + i) % 251 for i in range(size)).hex()

    def _sensible(self, pair: Pair, lockstep: Lockstep) -> Step:
        """A call that the contract allows, as far as the state tells."""
        random = self.random
        call = random.choices(self._calls, self._weights)[0]
        clients = [*pair.runner.state.clients]
        match call:
            case "write_buffer_get":
                names = [row.peer for row in clients] or list(CLIENTS)
                client = random.choice([*names, *names, None, random.choice(CLIENTS)])
                size = random.choice([0, 1, 2, 5, 5, 9])
                return Step(call, {"client": client, "size": size}, result_name=self._new_name("b"))
            case "write_buffer_get_server_no_token":
                return Step(call, {"size": random.randint(0, 4)}, result_name=self._new_name("b"))
            case "write_buffer_add" | "write_buffer_release":
                return self._use_buffer(call, pair, lockstep)
            case "client_add":
                return self._add_client(clients)
            case "client_remove" | "wait_timer_fired" if clients:
                waiting = [row for row in clients if row.wait_armed]
                if call == "wait_timer_fired" and waiting:
                    return Step(call, {"client": random.choice(waiting).peer})
                return Step(call, {"client": random.choice(clients).peer})
            case "client_exists":
                return Step(call, {"client": random.choice(CLIENTS)})
            case "send_to_client_tokens_add" | "send_to_client_tokens_set" if clients:
                tokens = random.choice([0, 1, 1, 2, 3, UINT32_MAX])
                return Step(call, {"client": random.choice(clients).peer, "tokens": tokens})
            case "advance" if not lockstep.frames:
                return Step(call, {"milliseconds": random.choice([1, 50, 100])})
            case "reset_dev_instance":
                return Step(call, {"port": random.choice(["p1", "p2", None])})
            case "migrate":
                return self._migrate(pair, clients, lockstep)
            case "migrate_data_release":
                data = [name for name, named in lockstep.named.items() if named.message]
                return Step(call, {"data": random.choice(data)}) if data else Step("wakeup")
            case "reset" | "start" | "stop" | "wakeup" | "retry_timer_fired" | "destroy" | "opaque_get":
                return Step(call)
            case "migrate_data_marshall_empty":
                return Step(call)
        return Step("wakeup")

    def _use_buffer(self, call: str, pair: Pair, lockstep: Lockstep) -> Step:
        """Add or release a buffer that the owner holds."""
        state = pair.runner.state
        held = [
            (name, state.buffers[named.spec].capacity)
            for name, named in lockstep.named.items()
            if named.device == pair.name
            and not named.message
            and named.spec in state.buffers
            and state.buffers[named.spec].place == Place.HELD
        ]
        if not held:
            return Step("write_buffer_get_server_no_token", {"size": 3}, result_name=self._new_name("b"))
        name, capacity = self.random.choice(held)
        if call == "write_buffer_add":
            used = self.random.choice([capacity, capacity, self.random.randint(0, capacity)])
            return Step(call, {"buffer": name, "data": self._data(used)})
        if state.device.destroyed:
            return Step("write_buffer_release_without_device", {"buffer": name})
        return Step(call, {"buffer": name})

    def _add_client(self, clients: list[Client]) -> Step:
        random = self.random
        absent = [name for name in CLIENTS if name not in {row.peer for row in clients}]
        if not absent:
            return Step("wakeup")
        windows = [0, self._interval, self._interval + 1, self._interval + 3]
        return Step(
            "client_add",
            {
                "client": random.choice(absent),
                "do_flow_control": random.random() < self._flow,
                "max_send_queue_size": random.choice([0, 1, 2, 3]),
                "num_client_tokens": random.choice(windows),
                "num_send_tokens": random.choice([0, 0, 1, 2, 5]),
                "wait_for_migrate_data": random.random() < 0.1,
            },
        )

    def _mistake(self, pair: Pair, lockstep: Lockstep) -> Step:
        """A call that may break the contract."""
        random = self.random
        buffers = [n for n, named in lockstep.named.items() if named.device == pair.name and not named.message]
        steps = [
            Step("client_remove", {"client": random.choice(CLIENTS)}),
            Step("send_to_client_tokens_add", {"client": random.choice(CLIENTS), "tokens": 1}),
            Step("send_to_client_tokens_set", {"client": random.choice(CLIENTS), "tokens": -1}),
            Step("write_buffer_get", {"client": random.choice([*CLIENTS, None]), "size": -1}),
            Step("write_buffer_get_server_no_token", {"size": -2}),
            Step("migrate_data_marshall", result_name=self._new_name("x")),
            Step("restore", {"message": random.randbytes(random.choice([0, 20, 33, 40])).hex()}),
            Step("reset_dev_instance", {"port": random.choice(["p1", "p2"])}),
            Step("wait_timer_fired", {"client": random.choice(CLIENTS)}),
            Step(
                "client_add",
                {
                    "client": random.choice(CLIENTS),
                    "do_flow_control": True,
                    "max_send_queue_size": random.choice([1, -1]),
                    "num_client_tokens": random.choice([1, 3, UINT32_MAX + 1]),
                    "num_send_tokens": 1,
                    "wait_for_migrate_data": random.random() < 0.5,
                },
            ),
        ]
        if buffers:
            name = random.choice(buffers)
            steps.append(Step("write_buffer_release", {"buffer": name}))
            steps.append(Step("write_buffer_add", {"buffer": name, "data": self._data(random.choice([1, 20]))}))
            steps.append(Step("write_buffer_release_without_device", {"buffer": name}))
        return random.choice(steps)

    # Migration

    def _migrate(self, pair: Pair, clients: list[Client], lockstep: Lockstep) -> Step:
        """The next step of a migration: stop, marshall, a new device whose client waits, restore."""
        device = pair.runner.state.device
        if lockstep.frames:
            return Step("wakeup")
        if device.awaiting is not None:
            return self._restore(pair.runner.state.clients[device.awaiting], lockstep)
        if len(clients) != 1 or clients[0].queue_length or clients[0].leaving or device.destroyed:
            return Step("wakeup")
        if device.sealed:
            return self._arrive(pair, clients[0], lockstep)
        if device.running:
            self._planned.append(Step("migrate_data_marshall", device=pair.name, result_name=self._new_name("x")))
            return Step("stop")
        return Step("migrate_data_marshall", result_name=self._new_name("x"))

    def _arrive(self, pair: Pair, client: Client, lockstep: Lockstep) -> Step:
        """A destination: a new device on a free port, with a client like the source's that waits."""
        used = {other.runner.state.device.port for other in lockstep.pairs.values()}
        free = [name for i, name in enumerate(lockstep.performed.ports, start=1) if i not in used]
        if not free or len(lockstep.pairs) >= 4:
            return Step("client_remove", {"client": client.peer})
        name = f"d{len(lockstep.pairs) + 1}"
        create = self._create(name, free[0])
        arguments: dict[str, Any] = {
            "client": client.peer,
            "do_flow_control": client.flow_control,
            "max_send_queue_size": 2,
            "num_client_tokens": client.window,
            "num_send_tokens": UINT32_MAX,
            "wait_for_migrate_data": True,
        }
        # The source goes on being chosen too; `_choose` would give these steps its name.
        self._planned.append(create)
        self._planned.append(Step("client_add", arguments, device=name))
        if self.random.random() < 0.5:
            self._planned.append(Step("start", device=name))
        for _ in range(self.random.choice([0, 0, 1, 2])):
            buffer = self._new_name("b")
            get = {"client": client.peer, "size": 2}
            self._planned.append(Step("write_buffer_get", get, device=name, result_name=buffer))
            add = {"buffer": buffer, "data": self._data(2)}
            self._planned.append(Step("write_buffer_add", add, device=name))
        message = [named.message for named in lockstep.named.values() if named.message][-1:]
        if message:
            data = {"message": self._mutate(message[0]).hex()}
            self._planned.append(Step("restore", data, device=name))
        return Step("client_exists", {"client": client.peer})

    def _restore(self, client: Client, lockstep: Lockstep) -> Step:
        messages = [named.message for named in lockstep.named.values() if named.message]
        if messages:
            message = self._mutate(self.random.choice(messages))
        else:
            message = self.random.randbytes(HEADER_SIZE) + self._record(client)
        return Step("restore", {"message": message.hex()})

    def _record(self, client: Client) -> bytes:
        size = self.random.choice([0, 0, 3, 7])
        tokens = self.random.randint(0, max(client.window, 1))
        fields = (
            (1).to_bytes(4, "little"),
            b"\x01",
            min(client.window - min(tokens, client.window), UINT32_MAX).to_bytes(4, "little"),
            self.random.choice([0, 2, UINT32_MAX]).to_bytes(4, "little"),
            size.to_bytes(4, "little"),
            self.random.randint(0, tokens).to_bytes(4, "little"),
            (MESSAGE_SIZE if size else 0).to_bytes(4, "little"),
        )
        return b"".join(fields) + bytes.fromhex(self._data(size))

    def _mutate(self, message: bytes) -> bytes:
        """Mostly the message as it is, sometimes one of its bytes changed, or its end cut off."""
        luck = self.random.random()
        if luck < 0.85 or len(message) < MESSAGE_SIZE:
            return message
        if luck < 0.95:
            changed = bytearray(message)
            changed[self.random.randrange(HEADER_SIZE, len(message))] = self.random.choice([0, 1, 2, 34, 255])
            return bytes(changed)
        return message[: self.random.randrange(len(message))]
