"""Who decides what is done next: a recorded scenario, or chance."""

from collections.abc import Mapping
from random import Random
from typing import Final

from chardev_conformance.lockstep import Lockstep, Pair
from chardev_conformance.scenario import EVENT_NAMES, Answer, Scenario, Step, walk
from chardev_conformance.situations import SITUATIONS, Cast
from chardev_spec.events import Callback, PortWrite, ReadOneMsgFromDevice
from chardev_spec.record import HEADER_SIZE, MESSAGE_SIZE, Record, encode
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
        return take(unused, name) or Answer(name)


def take(unused: list[Answer], name: str) -> Answer | None:
    """The first answer with a callback's name, which is then used."""
    for i, answer in enumerate(unused):
        if answer.on == name:
            return unused.pop(i)
    return None


CLIENTS: Final = ("c1", "c2", "c3")
PORTS: Final = ("p1", "p2", "p3")
MOST_DEVICES: Final = 4

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
    "reset": 1.0,
    "reset_dev_instance": 1.5,
    "migrate": 1.5,
    "migrate_data_release": 0.5,
    "migrate_data_marshall_empty": 0.1,
    "destroy": 0.3,
}
"""How often each call is made, relative to the others; ``migrate`` is the next step of a migration."""

DISTURBING: Final = {
    "stop": 4.0,
    "reset": 4.0,
    "reset_dev_instance": 4.0,
    "client_remove": 4.0,
    "client_add": 2.0,
    "destroy": 2.0,
    "send_to_client_tokens_add": 2.0,
}
"""How much more often inside a callback: what takes something away from the frame below (CB-1)."""

MIXTURE: Final = (0.1, 0.3, 1.0, 1.0, 3.0)
"""What a scenario makes of each weight: much of some calls, little of others (swarm choice)."""

HOSTILE: Final = {
    "version": (0, 2, UINT32_MAX),
    "connected": (0, 2),
    "client_tokens": (0, 5, UINT32_MAX),
    "write_size": (1, 4, 8, UINT32_MAX),
    "write_client_tokens": (4, UINT32_MAX),
    "write_data_offset": (0, 8, 31, MESSAGE_SIZE - 1, MESSAGE_SIZE + 1, UINT32_MAX),
}
"""What a damaged record may say (MIG-5)."""

LACKING: Final = 5.0
"""How much more often a call is made that brings what the device lacks: running, a port, clients, room."""


def random_scenario(random: Random) -> Scenario:
    """A scenario without steps: its ports, and where a pass is to stop."""
    ports = {name: random.random() < 0.5 for name in PORTS}
    return Scenario(ports, moves_per_call=random.choice([None, None, 1, 2, 3]))


class RandomScript:
    """Makes calls at random: each run its own mixture, guided by the spec's state.

    `calls` bounds the calls of the run, nested ones included; `depth` how deep calls are nested in callbacks.
    `errors` is the share of calls that break the contract on purpose, `weights` how often each call is made.
    """

    def __init__(
        self,
        random: Random,
        *,
        calls: int = 60,
        depth: int = 3,
        errors: float = 0.03,
        weights: Mapping[str, float] = WEIGHTS,
    ) -> None:
        self.random = random
        self._calls_left = calls
        self._depth = depth
        self._errors = errors
        self._names = 0
        self._bytes = 0
        self.mixture = {call: random.choice(MIXTURE) for call in weights}
        """What this run makes of each weight."""
        self._outside = {call: weight * self.mixture[call] for call, weight in weights.items()}
        self._inside = {
            call: weight * DISTURBING.get(call, 1.0) for call, weight in self._outside.items()
        }
        for call in DISTURBING:  # in this order: a set's would be another in each process
            if call != "client_add":
                self._outside[call] *= random.random() < 0.5
        self._migrating = random.random() < 0.3
        if self._migrating:
            self._outside["migrate"] *= 8
        self._nesting = random.choice([0.0, 0.2, 0.4, 0.6])
        self._raising = random.choice([0.0, 0.0, 0.03, 0.2])
        self._taking = random.choice([0.1, 0.4, 0.7])
        self._failing = random.choice([0.0, 0.05])
        self._reading = random.choice([0.2, 0.5, 0.8])
        self._interval = random.choice([0, 1, 2, 3])
        self._flow = random.choice([0.3, 0.7, 1.0])
        self._soon: list[Step] = []
        self._planned = [self._create("d1", "p1")]
        if random.random() < 0.7:
            self._planned += self._situation("d1", "c1")
        self._settling: list[Step] | None = None

    # The protocol of scripts

    def step(self, lockstep: Lockstep) -> Step | None:
        """The next call outside."""
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
        """The answer that the step brings with it, else one at random."""
        random, name = self.random, EVENT_NAMES[type(event).__name__]
        if (planned := take(unused, name)) is not None:
            return planned
        answer = Answer(name)
        if random.random() < self._raising:
            answer.raises = True
        elif isinstance(event, PortWrite):
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
        """Calls after which nothing should be owed: every device, with a port, goes on until its timer is quiet."""
        steps = []
        for name in lockstep.pairs:
            steps.append(Step("reset_dev_instance", {"port": "p3"}, device=name))
            steps.append(Step("start", device=name))
            steps.append(Step("advance", {"milliseconds": 100}))
            steps.append(Step("retry_timer_fired", device=name))
            steps.append(Step("reset_dev_instance", {"port": None}, device=name))
        steps.extend(Step("migrate_data_release", {"data": name}) for name in _marshalled(lockstep))
        return steps

    def _choose(self, lockstep: Lockstep) -> Step:
        """What was planned, or a call that the contract allows, as far as the state tells, or a mistake."""
        random = self.random
        self._calls_left -= 1
        if not lockstep.pairs:
            return self._planned.pop(0)
        for planned in ([], self._soon) if lockstep.frames else (self._planned, self._soon):
            if planned and random.random() < 0.95:
                return planned.pop(0)
        pair = random.choice([*lockstep.pairs.values()])
        if lockstep.frames and random.random() < 0.7:
            pair = lockstep.frames[-1].pair
        if random.random() < 0.03 and not lockstep.frames:
            self._planned += self._situation(pair.name, self._client(pair, lockstep))
        if random.random() < self._errors:
            step = self._mistake(pair, lockstep)
        elif pair.runner.state.device.destroyed:
            step = self._outlive(pair, lockstep)
        else:
            step = self._sensible(pair, lockstep)
        if step.call != "create":
            step.device = pair.name
        return step

    def _sensible(self, pair: Pair, lockstep: Lockstep) -> Step:
        """A call that the contract allows, as far as the state tells."""
        random, clients = self.random, [*pair.runner.state.clients]
        weights = self._weights(pair, lockstep)
        call = random.choices([*weights], [*weights.values()])[0]
        match call:
            case "write_buffer_get":
                client = random.choice([self._client(pair, lockstep), None, random.choice(CLIENTS)])
                return self._get(call, {"client": client}, pair)
            case "write_buffer_get_server_no_token":
                return self._get(call, {}, pair)
            case "write_buffer_add" | "write_buffer_release":
                return self._use_buffer(call, pair, lockstep)
            case "client_add":
                return self._add_client(clients)
            case "wait_timer_fired":
                waiting = [row.peer for row in clients if row.wait_armed]
                return Step(call, {"client": random.choice(waiting or CLIENTS)})
            case "client_exists":
                return Step(call, {"client": random.choice(CLIENTS)})
            case "client_remove" if clients:
                leaving = [row.peer for row in clients if row.leaving]
                client = random.choice([*leaving, self._client(pair, lockstep)])
                return Step(call, {"client": client})
            case "send_to_client_tokens_add" | "send_to_client_tokens_set" if clients:
                tokens = random.choice([0, 1, 1, 2, 3, UINT32_MAX])
                return Step(call, {"client": self._client(pair, lockstep), "tokens": tokens})
            case "advance" if not lockstep.frames:
                return Step(call, {"milliseconds": random.choice([1, 50, 100])})
            case "reset_dev_instance":
                return Step(call, {"port": random.choice([*PORTS, None])})
            case "migrate":
                return self._migrate(pair, clients, lockstep)
            case "migrate_data_release" if data := _marshalled(lockstep):
                return Step(call, {"data": random.choice(data)})
            case "client_remove" | "advance" | "migrate_data_release":
                return Step("wakeup")
            case "send_to_client_tokens_add" | "send_to_client_tokens_set":
                return Step("wakeup")
        return Step(call)

    def _weights(self, pair: Pair, lockstep: Lockstep) -> dict[str, float]:
        """The mixture, with more of what the device lacks, so that calls find something to do."""
        state = pair.runner.state
        weights = dict(self._inside if lockstep.frames else self._outside)
        if state.device.destroyed:
            return dict.fromkeys(weights, 1.0)
        lacking = {
            "start": not state.device.running,
            "reset_dev_instance": state.device.port is None,
            "client_add": state.clients.count() < (1 if self._migrating else 2),
            "client_remove": state.clients.exists(lambda row: row.leaving),
            "send_to_client_tokens_add": not state.send_queue.empty(),
            "migrate": state.device.sealed or state.device.awaiting is not None,
        }
        for call, lacks in lacking.items():
            if lacks:
                weights[call] = LACKING * max(weights[call], 1.0)
        return weights

    def _client(self, pair: Pair, lockstep: Lockstep) -> str:
        """An attached client, if there is one; inside a callback often the one that it is about."""
        state = pair.runner.state
        names = [row.peer for row in state.clients]
        if lockstep.frames and lockstep.frames[-1].call is not None and self.random.random() < 0.5:
            about = getattr(lockstep.frames[-1].call.event, "client", None)
            if about in names:
                return str(about)
        return str(self.random.choice(names or CLIENTS))

    def _situation(self, device: str, client: str) -> list[Step]:
        """A run of calls that were thought of beforehand."""
        other = self.random.choice([name for name in CLIENTS if name != client])
        port, other_port, _ = self.random.sample(PORTS, k=3)
        cast = Cast(client, other, port, other_port, self._new_name, self._data)
        steps = self.random.choice(SITUATIONS)(cast)
        for step in walk(steps):
            step.device = device
        return steps

    def _create(self, device: str, port: str) -> Step:
        arguments = {
            "port": port,
            "client_tokens_interval": self._interval,
            "self_tokens": self.random.choice([0, 1, 2, 3]),
        }
        return Step("create", arguments, device=device)

    def _new_name(self, prefix: str) -> str:
        self._names += 1
        return f"{prefix}{self._names}"

    def _data(self, size: int) -> str:
        """Bytes that tell their place in the stream, so that an exchange of two buffers shows."""
        self._bytes += size
        return bytes((self._bytes - size + i) % 251 for i in range(size)).hex()

    def _get(self, call: str, arguments: dict[str, str | None], pair: Pair) -> Step:
        """Get a buffer, often to add it next."""
        name, size = self._new_name("b"), self.random.choice([0, 1, 2, 5, 9])
        if self.random.random() < 0.6:
            add = {"buffer": name, "data": self._data(size)}
            self._soon.append(Step("write_buffer_add", add, device=pair.name))
        return Step(call, {**arguments, "size": size}, result_name=name)

    def _use_buffer(self, call: str, pair: Pair, lockstep: Lockstep) -> Step:
        """Add or release a buffer that the owner holds."""
        held = _held(pair, lockstep)
        if not held:
            return self._get("write_buffer_get", {"client": self._client(pair, lockstep)}, pair)
        name, capacity = self.random.choice([*held.items()])
        if call == "write_buffer_add":
            used = self.random.choice([capacity, capacity, self.random.randint(0, capacity)])
            return Step(call, {"buffer": name, "data": self._data(used)})
        return Step(call, {"buffer": name})

    def _outlive(self, pair: Pair, lockstep: Lockstep) -> Step:
        """What is left to do after a destroy (BUF-3), and another device."""
        held = _held(pair, lockstep)
        if held and self.random.random() < 0.5:
            name = self.random.choice([*held])
            return Step("write_buffer_release_without_device", {"buffer": name})
        free = _free_ports(lockstep)
        if free and len(lockstep.pairs) < MOST_DEVICES and self.random.random() < 0.8:
            return self._create(f"d{len(lockstep.pairs) + 1}", free[0])
        return self._sensible(pair, lockstep)

    def _add_client(self, clients: list[Client]) -> Step:
        random = self.random
        attached = {row.peer for row in clients}
        windows = [0, self._interval, self._interval + 1, self._interval + 3]
        arguments = {
            "client": random.choice([name for name in CLIENTS if name not in attached] or CLIENTS),
            "do_flow_control": random.random() < self._flow,
            "max_send_queue_size": random.choice([0, 1, 2, 3, 9]),
            "num_client_tokens": random.choice(windows),
            "num_send_tokens": random.choice([0, 0, 1, 2, UINT32_MAX]),
            "wait_for_migrate_data": random.random() < (0.6 if self._migrating else 0.05),
        }
        return Step("client_add", arguments)

    def _mistake(self, pair: Pair, lockstep: Lockstep) -> Step:
        """A call that may break the contract."""
        random, client = self.random, self.random.choice(CLIENTS)
        steps = [
            Step("client_remove", {"client": client}),
            Step("send_to_client_tokens_add", {"client": client, "tokens": 1}),
            Step("send_to_client_tokens_set", {"client": client, "tokens": -1}),
            Step("write_buffer_get", {"client": random.choice([client, None]), "size": -1}),
            Step("write_buffer_get_server_no_token", {"size": -2}),
            Step("migrate_data_marshall", result_name=self._new_name("x")),
            Step("restore", {"message": random.randbytes(random.choice([0, 20, 33, 40])).hex()}),
            Step("reset_dev_instance", {"port": random.choice(["p1", "p2"])}),
            Step("opaque_get"),
            Step("client_exists", {"client": client}),
        ]
        add = self._add_client([])
        add.arguments["max_send_queue_size"] = random.choice([1, -1])
        add.arguments["num_client_tokens"] = random.choice([1, 2, UINT32_MAX + 1])
        starving = self._add_client([])
        starving.arguments["do_flow_control"] = True
        starving.arguments["num_client_tokens"] = max(self._interval - 1, 0)
        steps += [add, starving]
        others = [name for name, named in lockstep.named.items() if not named.message]
        for name in random.choices([*_held(pair, lockstep), *others], k=2) if others else ():
            steps.append(Step("write_buffer_release", {"buffer": name}))
            steps.append(
                Step(
                    "write_buffer_add", {"buffer": name, "data": self._data(random.choice([1, 20]))}
                )
            )
            steps.append(Step("write_buffer_release_without_device", {"buffer": name}))
        return random.choice(steps)

    # Migration

    def _migrate(self, pair: Pair, clients: list[Client], lockstep: Lockstep) -> Step:
        """The next step of a migration: stop, marshall, a new device whose client waits, restore."""
        device = pair.runner.state.device
        if device.awaiting is not None:
            message = self._message(pair.runner.state.clients[device.awaiting], lockstep)
            return Step("restore", {"message": message.hex()})
        if device.sealed:
            return self._arrive(clients[0], lockstep)
        if not clients:
            return self._add_client(clients)
        if len(clients) > 1:
            return Step("client_remove", {"client": clients[0].peer})
        if device.running and not lockstep.frames:
            return Step("stop")
        return Step("migrate_data_marshall", result_name=self._new_name("x"))

    def _arrive(self, client: Client, lockstep: Lockstep) -> Step:
        """A destination: a new device on a free port, with a client like the source's that waits."""
        free = _free_ports(lockstep)
        if lockstep.frames or not free or len(lockstep.pairs) >= MOST_DEVICES:
            return Step("client_remove", {"client": client.peer})
        name = f"d{len(lockstep.pairs) + 1}"
        arguments = {
            "client": client.peer,
            "do_flow_control": client.flow_control,
            "max_send_queue_size": 2,
            "num_client_tokens": client.window,
            "num_send_tokens": UINT32_MAX,
            "wait_for_migrate_data": True,
        }
        message = self._message(client, lockstep).hex()
        self._planned.append(Step("client_add", arguments, device=name))
        if self.random.random() < 0.5:
            self._planned.append(Step("start", device=name))
        self._planned.append(Step("restore", {"message": message}, device=name))
        return self._create(name, free[0])

    def _message(self, client: Client, lockstep: Lockstep) -> bytes:
        """A migration message for this client: mostly the last one that was marshalled, sometimes damaged."""
        random = self.random
        known = [named.message for named in lockstep.named.values() if named.message]
        message = known[-1] if known and random.random() < 0.8 else self._made_up(client)
        luck = random.random()
        if luck < 0.85:
            return message
        if luck < 0.95:
            changed = bytearray(message)
            changed[random.randrange(HEADER_SIZE, len(message))] = random.choice([0, 1, 2, 34, 255])
            return bytes(changed)
        return message[: random.randrange(len(message))]

    def _made_up(self, client: Client) -> bytes:
        """A migration message that no source of this run made."""
        random = self.random
        data = bytes.fromhex(self._data(random.choice([0, 0, 3, 7])))
        in_data = random.randint(0, min(client.window, 3))
        record = Record(
            version=1,
            connected=1,
            client_tokens=random.randint(0, client.window - in_data),
            send_tokens=random.choice([0, 2, UINT32_MAX]),
            write_size=len(data),
            write_client_tokens=in_data,
            write_data_offset=MESSAGE_SIZE if data else 0,
        )
        if random.random() < 0.4:
            field, values = random.choice([*HOSTILE.items()])
            record = record._replace(**{field: random.choice(values)})
        return bytes(HEADER_SIZE) + encode(record) + data


def _held(pair: Pair, lockstep: Lockstep) -> dict[str, int]:
    """The buffers of this device that the owner holds: the capacity of each by name."""
    buffers = pair.runner.state.buffers
    return {
        name: buffers[named.spec].capacity
        for name, named in lockstep.named.items()
        if named.device == pair.name
        and not named.message
        and named.spec in buffers
        and buffers[named.spec].place == Place.HELD
    }


def _marshalled(lockstep: Lockstep) -> list[str]:
    """The names of migration data that a marshaller still refers to."""
    return [name for name, named in lockstep.named.items() if named.message]


def _free_ports(lockstep: Lockstep) -> list[str]:
    """The ports that no device has."""
    used = {pair.runner.state.device.port for pair in lockstep.pairs.values()}
    ports = enumerate(lockstep.performed.ports, start=1)
    return [name for number, name in ports if number not in used]
