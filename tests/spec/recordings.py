"""Replays recordings of shipped releases on a machine, and says where the two differ first.

A recording is random calls of the API, made on the C code of a release, with everything that it did: callbacks, port
calls, timers, return values and state.
A file has one recording a line (JSON), compressed with xz or not; `tests/data/recordings/README.md` has the format.

What is compared, after each step:

- every callback and port call in order, with its arguments, what was answered, and the references to a message;
- every return value, the bytes of a migration record among them (the 8 bytes of its header are the owner's);
- the state: running, active, awaiting, self tokens, write queue, current buffer, clients and their counts, send queues,
  wait timer flags, whether there is a port;
- the timers: which are armed and when they are due.

What is not: whether a timer was cancelled that was not armed, or made, or removed; `live` (allocations), the pool of
free buffers, and log lines, which are no behaviour.

A comparison ends before the step in which the C code stopped (an assertion, an error, a memory error): what that step
did is undefined, or is a contract error.

Two things that the contract leaves to the implementation are settled as the C code settles them: one buffer a port
write, and no limit on what a call moves.
"""

import json
import lzma
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from chardev_spec.contract import Contract
from chardev_spec.errors import BadMigrationDataError, ContractError
from chardev_spec.events import (
    Callback,
    Choice,
    ChooseGoOn,
    OnFreeSelfToken,
    PortWrite,
    ReadOneMsgFromDevice,
    RefMsgToClient,
    RemoveClient,
    SendMsgToClient,
    SendTokensToClient,
    UnrefMsgToClient,
)
from chardev_spec.profiles.reading import WaitFlagOutlivesTimer
from chardev_spec.record import HEADER_SIZE, encode_message
from chardev_spec.runner import Runner
from chardev_spec.state import Buffer, Client, Origin, Place

BUNDLED: Final = Path(__file__).parent.parent / "data" / "recordings"

Recording: TypeAlias = Mapping[str, Any]
Seen: TypeAlias = dict[str, Any]

ORIGINS: Final = {
    Origin.CLIENT: "client",
    Origin.SERVER: "server",
    Origin.SERVER_NO_TOKEN: "no_token",
    Origin.NOBODY: "none",
}

PLAIN_CALLS: Final = ("start", "stop", "wakeup", "reset")


def recording_files(where: Path, profile: str) -> list[Path]:
    """The files with recordings of a profile: `where` itself, or those in that directory named after the profile."""
    if where.is_dir():
        return sorted([*where.glob(f"{profile}*.jsonl"), *where.glob(f"{profile}*.jsonl.xz")])
    return [where] if where.name.startswith(profile) else []


def read_recordings(file: Path) -> Iterator[Recording]:
    """The recordings in a file, in order."""
    compressed = file.suffix == ".xz"
    with lzma.open(file, "rt") if compressed else file.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def replay(recording: Recording, machine: type[Contract]) -> str | None:
    """Make the recorded calls on a machine; None when all is as recorded, else the first difference."""
    steps = recording["steps"]
    if "end" in recording:
        steps = steps[:-1]
    world = World(machine, sync_remove=bool(recording["params"].get("sync_remove")))
    clock = RecordedClock()
    state: Seen = {}
    for number, step in enumerate(steps):
        where = f"step {number}, {step['op']} {json.dumps(step['args'])}"
        try:
            returned = world.step(step)
        except (ContractError, BadMigrationDataError) as error:
            return f"{where}: {type(error).__name__}: {error}"
        clock.step(step)
        if step.get("state"):
            state = {name: _without_pool(device) for name, device in step["state"].items()}
        recorded_events = [event for event in step["events"] if _is_compared(event)]
        for what, recorded, seen in (
            ("events", recorded_events, world.events),
            ("result", None if step["op"] == "live" else step["ret"], returned),
            ("timers", clock.due, world.timers()),
            ("state", state, world.state()),
        ):
            if recorded != seen:
                return f"{where}: {what}\n recorded {recorded}\n    seen {seen}"
    return None


def _is_compared(event: Seen) -> bool:
    return not event["ev"].startswith("timer_") and event["ev"] != "log"


def _without_pool(device: Seen | None) -> Seen | None:
    return device and {key: value for key, value in device.items() if key != "pool"}


class RecordedClock:
    """Which timers a recording leaves armed, and when they are due."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.due: dict[str, int] = {}

    def step(self, step: Seen) -> None:
        """Follow the timers through one step."""
        if step["op"] == "timer_fire" and step["ret"] != "skipped":
            self.now_ms = max(self.now_ms, self.due.pop(step["args"]["timer"]))
        for event in step["events"]:
            if event["ev"] == "timer_start":
                self.due[event["timer"]] = self.now_ms + event["ms"]
            elif event["ev"] in {"timer_cancel", "timer_remove"}:
                self.due.pop(event["timer"], None)


class World:
    """The harness of the recordings: several devices, one clock, one count of messages."""

    def __init__(self, machine: type[Contract], *, sync_remove: bool) -> None:
        self.machine = machine
        self.sync_remove = sync_remove
        """Whether `remove_client` removes the client at once."""
        self.devices: dict[str, RecordedDevice] = {}
        self.handles: dict[str, int] = {}
        self.events: list[Seen] = []
        self.references: Counter[str] = Counter()
        self.messages = 0
        self.now_ms = 0

    def step(self, step: Seen) -> object:
        """Make the call of one step; what it returned. `events` is then what it did."""
        self.events = []
        if step["ret"] == "skipped":
            return "skipped"
        operation, arguments = step["op"], step["args"]
        match operation:
            case "live":
                pass
            case "create":
                counts = [arguments[key] for key in ("interval", "self_tokens", "notify")]
                self.devices[arguments["dev"]] = RecordedDevice(self, arguments["dev"], *counts)
            case "timer_fire":
                self.fire(arguments["timer"])
            case _:
                return self.devices[arguments["dev"]].perform(operation, arguments, step["ret"])
        return None

    def fire(self, timer: str) -> None:
        """Let an armed timer fire, when it is due."""
        self.now_ms = max(self.now_ms, self.timers().get(timer, 0))
        for device in self.devices.values():
            device.runner.advance(self.now_ms - device.runner.state.device.now_ms)
        match timer.split("."):
            case name, "write":
                self.devices[name].runner.call("retry_timer_fired")
            case name, client, "wait":
                self.devices[name].runner.call("wait_timer_fired", client)

    def timers(self) -> dict[str, int]:
        """Which timers are armed, and when they are due."""
        return {
            timer: due for device in self.devices.values() for timer, due in device.timers().items()
        }

    def state(self) -> Seen:
        """The state of every device, as recorded."""
        return {name: device.state() for name, device in self.devices.items()}


class RecordedDevice:
    """One device with its port and its owner, as the harness of the recordings plays them."""

    def __init__(
        self, world: World, name: str, interval: int, self_tokens: int, notify: int
    ) -> None:
        self.world = world
        self.name = name
        self.capacity = 0
        """How many bytes the port will take."""
        self.readable = 0
        """How many messages can be read."""
        self.ports = 0
        self.runner = Runner(self, machine=world.machine, invariants=False)
        self.runner.advance(world.now_ms)
        self.runner.call("create", self.new_port(notify), interval, self_tokens)

    def new_port(self, notify: int) -> int:
        """Another port, which announces writability or not."""
        self.ports += 1
        self.runner.add_port(self.ports, announces_writability=bool(notify))
        return self.ports

    def perform(self, operation: str, arguments: Seen, recorded: object) -> object:
        """Make one call; what it returned, in the words of the recordings."""
        call = self.runner.call
        match operation, arguments:
            case "dev_cap", {"n": count}:
                self.capacity = count
            case "dev_msgs", {"n": count}:
                self.readable += count
            case "client_add", {"client": client}:
                counts = [arguments[key] for key in ("max_queue", "client_tokens", "send_tokens")]
                flow, wait = bool(arguments["flow"]), bool(arguments.get("wait"))
                return int(call("client_add", client, flow, *counts, wait))
            case (("client_remove" | "client_exists"), {"client": client}):
                found = call(operation, client)
                return None if found is None else int(found)
            case "reset_dev_instance", {"notify": notify}:
                call("reset_dev_instance", self.new_port(notify))
            case "destroy", {}:
                self.log("on_destroy")
                call("destroy")
            case "buf_get", {"client": client, "size": size, "as": buffer}:
                return self.keep(buffer, call("write_buffer_get", client, size))
            case "buf_get_no_token", {"size": size, "as": buffer}:
                return self.keep(buffer, call("write_buffer_get_server_no_token", size))
            case "buf_add", {"buf": buffer, "data": data}:
                call("write_buffer_add", self.world.handles[buffer], bytes.fromhex(data))
            case "buf_release", {"buf": buffer}:
                call("write_buffer_release", self.world.handles[buffer])
            case (("tokens_add" | "tokens_set"), {"client": client, "n": count}):
                call(f"send_to_client_{operation}", client, count)
            case "migrate", {}:
                return self.marshall(bytes.fromhex(str(recorded))[:HEADER_SIZE])
            case "restore", {"data": data}:
                call("restore", bytes.fromhex(data))
                return 1
            case plain, {} if plain in PLAIN_CALLS:
                call(operation)
            case _:
                raise ValueError(f"unknown call: {operation} {arguments}")
        return None

    def keep(self, buffer: str, handle: int | None) -> str | None:
        """Remember a buffer by its recorded name."""
        if handle is None:
            return None
        self.world.handles[buffer] = handle
        return buffer

    def marshall(self, header: bytes) -> str:
        """The whole message; its bytes are copied, so the marshaller's references go at once."""
        data = self.runner.call("migrate_data_marshall")
        for handle in data.buffers:
            self.runner.call("marshaller_unref", handle)
        return encode_message(header, data).hex()

    # The environment

    def choose(self, event: Choice) -> int | bool:
        """As the C code: no limit, and one buffer a port write."""
        return isinstance(event, ChooseGoOn) or 1

    def answer(self, event: Callback) -> int | str | None:
        """Write down a callback or a call of the port, and answer it."""
        match event:
            case PortWrite(_, data):
                taken = min(len(data), self.capacity)
                self.capacity -= taken
                self.log("write", offered=len(data), accepted=taken, data=data[:taken].hex())
                return taken
            case ReadOneMsgFromDevice():
                return self.read()
            case RefMsgToClient(message):
                self.world.references[message] += 1
                self.log("ref", msg=message, refs=self.world.references[message])
            case UnrefMsgToClient(message):
                self.world.references[message] -= 1
                self.log("unref", msg=message, refs=self.world.references[message])
            case SendMsgToClient(message, client):
                self.log("send_msg", msg=message, client=client)
            case SendTokensToClient(client, tokens):
                self.log("send_tokens", client=client, tokens=tokens)
            case OnFreeSelfToken():
                self.log("self_token")
            case RemoveClient(client):
                self.log("remove_client", client=client)
                if self.world.sync_remove:
                    self.runner.call("client_remove", client)
            case _:
                raise ValueError(f"unknown event: {event}")
        return None

    def read(self) -> str | None:
        """The next message, or nothing."""
        message = None
        if self.readable > 0:
            self.readable -= 1
            self.world.messages += 1
            message = f"m{self.world.messages}"
            self.world.references[message] = 1
        self.log("read", msg=message)
        return message

    def log(self, kind: str, **fields: object) -> None:
        """Write down what happened."""
        self.world.events.append({"ev": kind, "dev": self.name, **fields})

    # What is seen of it

    def timers(self) -> dict[str, int]:
        """The armed timers of this device and its clients, and when they are due."""
        device, clients = self.runner.state.device, self.runner.state.clients
        timers = {
            f"{self.name}.{row.peer}.wait": row.wait_due_ms for row in clients if row.wait_armed
        }
        if device.retry_armed:
            timers[f"{self.name}.write"] = device.retry_due_ms
        return timers

    def state(self) -> Seen | None:
        """The device as the recordings show it; None when it has been destroyed."""
        state = self.runner.state
        device, buffers = state.device, state.buffers
        if device.destroyed:
            return None
        current = [self.show_buffer(row) for row in buffers.rows(Place.CURRENT)]
        return {
            "running": int(device.running),
            "active": int(device.active),
            "wait_migrate": int(device.awaiting is not None),
            "self_tokens": device.self_tokens,
            "queue": [self.show_buffer(row) for row in buffers.rows(Place.QUEUED)],
            "cur": current[0] if current else None,
            "clients": [
                self.show_client(state.clients[handle]) for handle in state.clients.newest_first()
            ],
            "has_sin": int(device.port is not None),
        }

    def show_buffer(self, row: Buffer) -> list[object]:
        """Origin, bytes left, price, client."""
        client = None if row.client is None else self.runner.state.clients[row.client].peer
        return [ORIGINS[row.origin], len(row.data) - row.written, row.price, client]

    def show_client(self, row: Client) -> Seen:
        """A client's counts, and whether its wait timer is thought to be armed."""
        machine = self.runner.machine
        flag = row.wait_armed
        if isinstance(machine, WaitFlagOutlivesTimer):
            flag = machine.wait_started[row.handle]
        return {
            "client": row.peer,
            "flow": int(row.flow_control),
            "client_tokens": row.tokens,
            "client_tokens_free": row.freed,
            "send_tokens": row.send_tokens,
            "send_queue": row.queue_length,
            "wait_timer_flag": int(flag),
        }
