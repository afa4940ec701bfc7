"""Scenarios at random: of peers that keep to the protocol, and of peers, ports and hosts that do not.

Theory of operation
===================
A generator performs what it chooses on the specification of the release, step by step, so that it knows what a peer may
do: who has tokens, who was asked for a flush mark, where a migration stands.
Each scenario draws its own weights (swarm testing): one has much data and no detaching, the next the reverse.

The wild generator makes the same steps, and among them some that no peer that keeps to the protocol would make.
"""

import struct
from collections.abc import Callable
from random import Random
from typing import Any, Final

from chardev_conformance.spice_server.agent import MIGRATION_SIZE, AgentOwner
from chardev_conformance.spice_server.owner_quirks import Implementation
from chardev_conformance.spice_server.specified import UnpredictableError
from chardev_conformance.spice_server.stages import AGENT
from chardev_conformance.spice_server.steps import Scenario, Step

LENGTHS: Final = (6, 12, 24, 40)
"""Steps of a scenario: short ones for much variety, long ones for deep states."""

WELL_BEHAVED_STAGES: Final = (
    *("agent", "agent", "agent-announcing", "agents", "agents"),
    *("ports", "migration", "migration", "port-migration"),
)
_CLIPBOARD: Final = 4
_CAPABILITIES: Final = 6
_WANTS_DISPLAYS: Final = struct.pack("<II", 0, 1 << 15)

Choice = tuple[float, Callable[[], "Step | None"]]


def agent_message(kind: int, content: bytes) -> bytes:
    """A message of the agent's protocol."""
    return struct.pack("<IIQI", 1, kind, 0, len(content)) + content


def chunk(body: bytes, port: int = 1) -> bytes:
    """A chunk of the agent's port."""
    return struct.pack("<II", port, len(body)) + body


class Generator:
    """Makes one scenario of well-behaved peers and of a host that does what hosts do."""

    def __init__(self, random: Random, stage: str, release: Implementation) -> None:
        self.random = random
        self.world = release.world(stage)
        self.stage = self.world.stage
        self.steps: list[Step] = []
        self.predictable = True
        self._serial = 0
        self._agent_bytes: dict[str, bytes] = {}
        """What an agent has begun to write, by port."""
        self._partial: dict[str, bytes] = {}
        """What a client has begun to send, by client."""
        self._moves = [*self.stage.servers]
        """The servers that the client moves along: at the first now, then to the next."""
        self._phase = 0
        self._queued: list[Step] = []
        """What is to be done next, whatever is drawn."""

    def scenario(self, stage: str, length: int) -> Scenario:
        """A scenario of at most so many steps."""
        weights: dict[str, float] = {}
        for _ in range(length):
            step = self._draw(weights)
            if step is None:
                break
            self.steps.append(step)
            if self.predictable:
                try:
                    self.world.perform(step)
                except UnpredictableError:
                    self.predictable = False
                except Exception:  # noqa: BLE001 - what the library dies of is no state that goes on
                    break
        return Scenario(stage, tuple(self.steps))

    def _draw(self, weights: dict[str, float]) -> Step | None:
        if self._queued:
            return self._queued.pop(0)
        choices = self.choices()
        for _ in range(50):
            names = [*choices]
            for name in names:
                # Each scenario has its own mixture; a quarter of it is left out altogether.
                weights.setdefault(
                    name, self.random.choice(_WEIGHTS) if name not in _ALWAYS else 2.0
                )
            total = [weights[name] * choices[name][0] for name in names]
            if sum(total) == 0:
                weights.clear()
                continue
            [name] = self.random.choices(names, total)
            step = choices[name][1]()
            if step is not None:
                return step
        return None

    def choices(self) -> dict[str, Choice]:
        """What may be done, with weights."""
        choices: dict[str, Choice] = {
            "room": (2, self._room),
            "wakeup": (2, self._wakeup),
            "advance": (1.5, self._advance),
            "data": (5, self._data),
            "begin": (0.7, self._begin),
            "more": (2, self._more),
            "feed": (3, self._feed),
            "inside": (0.4, self._inside),
            "stop": (0.5, self._stop_or_run),
            "close": (0.15, self._close),
            "situation": (0.6, self._situation),
        }
        if any(plan.kind == AGENT for plan in self.stage.ports.values()):
            choices |= {
                "start": (3, self._start),
                "tokens": (2, self._tokens),
                "detach": (0.6, self._detach_or_attach),
            }
        if any(plan.kind != AGENT for plan in self.stage.ports.values()):
            choices["event"] = (0.3, self._event)
        if len(self.stage.servers) > 1:
            choices["move"] = (6, self._move)
        return choices

    # What hosts do

    def _port(self) -> str:
        return self.random.choice([*self.stage.ports])

    def _room(self) -> Step:
        return Step(
            "room",
            {
                "port": self._port(),
                "bytes": self.random.choice([0, 0, 1, 8, 20, 33, 60, 100, -1, -1]),
            },
        )

    def _wakeup(self) -> Step:
        return Step("wakeup", {"port": self._port()})

    def _advance(self) -> Step:
        times = [1, 50, 100, 100] if self._phase else [1, 50, 100, 100, 29_950, 30_000]
        return Step("advance", {"milliseconds": self.random.choice(times)})

    def _stop_or_run(self) -> Step | None:
        name = self.random.choice(self.stage.servers)
        if self.random.random() < 0.4 and self.world.servers[name].running:
            return Step("stop", {"server": name})
        if name == self._moves[0] and self._phase < 4:
            return Step("run", {"server": name})
        return None

    def _inside(self) -> Step:
        return Step(
            "inside",
            {
                "port": self._port(),
                "on": self.random.choice(["write", "read"]),
                "action": self.random.choice(["wakeup", "wakeup", "stop", "run"]),
            },
        )

    def _situation(self) -> Step | None:
        """Several steps that lead somewhere together, and would seldom be drawn one after the other."""
        port = self._port()
        agent = self._agent(port)
        inside = Step("inside", {"port": port, "on": "write", "action": "wakeup"})
        full = Step("room", {"port": port, "bytes": 0})
        wakeup = Step("wakeup", {"port": port})
        situations = [[full, inside, inside, inside, wakeup]]
        if agent is not None and agent.plugged and self.stage.ports[port].server == self._moves[0]:
            feed = Step("feed", {"port": port, "bytes": self.agent_bytes().hex()})
            again = [Step("detach", {"port": port}), Step("attach", {"port": port})]
            stop = Step("inside", {"port": port, "on": "read", "action": "stop"})
            client = next((each.name for each in agent.clients if not each.closed), None)
            situations += [
                [again[0], feed, feed, stop, again[1]],
                [feed, wakeup, *again, feed, wakeup],
            ]
            if (
                client is not None
                and agent.has(self.world.clients[client])
                and client not in self._partial
            ):
                grant = Step("tokens", {"client": client, "tokens": 2**32 - 1})
                granted = Step("tokens", {"client": client, "tokens": 1})
                situations += [[grant, grant], [*again, granted, feed, wakeup]]
            if self._agent_bytes.get(port):
                return None
        self._queued = self.random.choice(situations)
        return self._queued.pop(0)

    def _event(self) -> Step | None:
        port = self._port()
        if self.stage.ports[port].kind == AGENT:
            return None
        return Step("event", {"port": port, "number": self.random.randrange(3)})

    def _agent(self, port: str) -> AgentOwner | None:
        plan = self.stage.ports[port]
        return self.world.servers[plan.server].agent if plan.kind == AGENT else None

    def _detach_or_attach(self) -> Step | None:
        port = self._port()
        agent = self._agent(port)
        if agent is None:
            return None
        # A destination gets its port while the client is moving there, not before.
        if self.stage.ports[port].server != self._moves[0] and not (
            self._phase >= 4 and self.stage.ports[port].server in self._moves[1:2]
        ):
            return None
        self._agent_bytes.pop(port, None)
        return Step("detach" if port in self.world.attached else "attach", {"port": port})

    def _feed(self) -> Step:
        port = self._port()
        if self.stage.ports[port].kind != AGENT:
            size = self.random.choice([1, 5, 300, 600])
            return Step("feed", {"port": port, "bytes": self._filling(size).hex()})
        waiting = self._agent_bytes.get(port) or self.agent_bytes()
        # What an agent writes comes in whatever pieces.
        cut = (
            len(waiting)
            if self.random.random() < 0.75
            else self.random.randrange(1, len(waiting) + 1)
        )
        self._agent_bytes[port] = waiting[cut:]
        return Step("feed", {"port": port, "bytes": waiting[:cut].hex()})

    def agent_bytes(self) -> bytes:
        """What an agent has to say: a message in one chunk, in several, for the server; several messages."""
        drawn = self.random.random()
        if drawn < 0.08:
            return chunk(agent_message(_CAPABILITIES, _WANTS_DISPLAYS))
        message = agent_message(_CLIPBOARD, self._filling(self.random.choice([1, 4, 40])))
        if drawn < 0.15:
            return chunk(message, 2)
        if drawn < 0.35:
            cut = self.random.randrange(21, len(message)) if len(message) > 21 else len(message)
            pieces = [message[:cut], message[cut:]] if cut < len(message) else [message]
            return b"".join([chunk(piece) for piece in pieces])
        return b"".join(
            [
                chunk(agent_message(_CLIPBOARD, self._filling(3)))
                for _ in range(self.random.choice([1, 1, 2, 3, 7]))
            ]
        )

    def _filling(self, size: int) -> bytes:
        """Bytes that tell one message from the others."""
        self._serial = self._serial % 250 + 1
        return bytes([self._serial]) * size

    # What clients do

    def _client(self) -> str:
        return self.random.choice([*self.stage.clients])

    def _main(self, name: str) -> bool:
        return self.world.kinds[name][1] == AGENT

    def _may_speak(self, name: str) -> bool:
        """Whether this client is there, and its server is the one that it is at."""
        client = self.world.clients[name]
        server, _ = self.world.kinds[name]
        return (
            not client.closed
            and server == self._moves[0]
            and not (self._phase >= 4 and len(self._moves) > 1)
            and name not in self._partial
        )

    def _owner(self, name: str) -> AgentOwner:
        return self.world.servers[self.world.kinds[name][0]].agent

    def _start(self) -> Step | None:
        name = self._client()
        if not self._main(name) or not self._may_speak(name) or not self._owner(name).plugged:
            return None
        started = self._owner(name).started and self._owner(name).has(self.world.clients[name])
        if started and self.random.random() < 0.8:
            return None
        return Step("start", {"client": name, "tokens": self.random.choice([0, 1, 2, 3, 10])})

    def _tokens(self) -> Step | None:
        name = self._client()
        if not self._main(name) or not self._may_speak(name):
            return None
        owner = self._owner(name)
        # Tokens may be on their way when the agent goes and comes back: the client has not heard of it.
        if not owner.has(self.world.clients[name]):
            return None
        tokens = self.random.choice([0, 1, 1, 2, 3, 10, 2**32 - 1])
        return Step("tokens", {"client": name, "tokens": tokens})

    def _has_token(self, name: str) -> bool:
        if not self._main(name):
            return True
        owner = self._owner(name)
        rows = [row for row in owner.runner.state.clients if row.peer == name]
        return not owner.started or bool(rows and rows[0].tokens)

    def _body(self, name: str) -> bytes:
        size = self.random.choice([1, 4, 4, 30])
        filling = self._filling(size)
        return agent_message(_CLIPBOARD, filling) if self._main(name) else filling

    def _data(self) -> Step | None:
        name = self._client()
        if not self._may_speak(name) or not self._has_token(name):
            return None
        return Step("data", {"client": name, "bytes": self._body(name).hex()})

    def _begin(self) -> Step | None:
        name = self._client()
        if not self._may_speak(name) or not self._has_token(name):
            return None
        body = self._body(name)
        cut = self.random.randrange(len(body))
        self._partial[name] = body[cut:]
        return Step("begin", {"client": name, "size": len(body), "bytes": body[:cut].hex()})

    def _more(self) -> Step | None:
        if not self._partial:
            return None
        name = self.random.choice([*self._partial])
        rest = self._partial.pop(name)
        if self.world.clients[name].closed:
            return None
        return Step("more", {"client": name, "bytes": rest.hex()})

    def _close(self) -> Step | None:
        name = self._client()
        if not self._may_speak(name) and name not in self._partial:
            return None
        self._partial.pop(name, None)
        return Step("close", {"client": name})

    # Migration

    def _move(self) -> Step | None:
        """The next step of a migration: there is an order, with some freedom at the end."""
        if len(self._moves) < 2 or self._partial:
            return None
        source, target = self._moves[0], self._moves[1]
        here = "c1" if source == "A" else f"c1{source}"
        there = f"c1{target}"
        if self.world.clients[here].closed or self.world.clients[there].closed:
            return None
        phases: list[Step] = [
            Step("connect", {"server": source}),
            Step("seamless", {"client": there, "version": 1}),
            Step("connected", {"client": here}),
            Step("migrate", {"server": source}),
        ]
        cancel = Step("cancel", {"server": source})
        if self._phase in {1, 2, 3} and self.random.random() < 0.07:
            self._moves = [source]
            return cancel
        if self._phase == 1 and self.random.random() < 0.1:
            # A destination that knows an older protocol than the source refuses.
            self._moves, self._queued = [source], [cancel]
            return Step("seamless", {"client": there, "version": 2})
        if self._phase < len(phases):
            self._phase += 1
            self._left = self._last_steps(source, target)
            return phases[self._phase - 1]
        step = self._left.pop(0)
        if not self._left:
            self._moves.pop(0)
            self._phase = 0
        return step

    def _last_steps(self, source: str, target: str) -> list[Step]:
        """Flush marks, then the data to the destination, and sooner or later the port to it, then the end here."""
        pairs = [
            (name, f"{name}{target}" if source == "A" else f"{name[: -len(source)]}{target}")
            for name in self.stage.clients
            if self.world.kinds[name][0] == source
        ]
        pairs = [pair for pair in pairs if not self.world.clients[pair[0]].closed]
        pairs = [pair for pair in pairs if pair[1] in self.stage.clients]
        steps = [Step("flush", {"client": name}) for name, _ in pairs]
        steps += [
            Step("restore", {"client": other, "source": name, "patches": [], "size": -1})
            for name, other in pairs
        ]
        for port, plan in self.stage.ports.items():
            if plan.server == target and not plan.attached and self.random.random() < 0.9:
                at = self.random.randrange(len(steps) + 1)
                attach = Step("attach", {"port": port})
                feed = Step(
                    "feed", {"port": port, "bytes": chunk(agent_message(_CLIPBOARD, b"!")).hex()}
                )
                again = [attach, Step("detach", {"port": port}), attach, feed]
                steps[at:at] = again if self.random.random() < 0.15 else [attach]
        for name, _ in reversed(pairs):
            steps.append(Step("close", {"client": name}))
        if self.random.random() < 0.05:
            steps.insert(0, Step("run", {"server": source}))
        if self.random.random() < 0.3:
            # A host that goes on with the source: the migration has failed for it.
            steps.append(Step("run", {"server": source}))
        return steps


_WEIGHTS: Final = (0.0, 1.0, 1.0, 4.0)
_ALWAYS: Final = {"start", "move"}
"""Without these nothing happens."""


class WildGenerator(Generator):
    """Makes a scenario in which somebody does not keep to the protocol."""

    def choices(self) -> dict[str, Choice]:
        """The well-behaved ones, and others."""
        choices = super().choices()
        return {name: (weight * 0.7, make) for name, (weight, make) in choices.items()} | {
            "any-message": (0.5, self._any_message),
            "early-tokens": (0.1, self._any_tokens),
            "any-data": (0.7, self._any_data),
            "any-body": (0.5, self._any_body),
            "violation": (0.3, self._violation),
            "any-flush": (0.08, self._any_flush),
            "bad-answer": (0.5, self._bad_answer),
            "inside-detach": (0.3, self._inside_detach),
            "any-close": (0.5, self._any_close),
            "bad-restore": (4, self._bad_restore),
            "link-bytes": (0.2, self._link_bytes),
        }

    def agent_bytes(self) -> bytes:
        """Sometimes not what an agent says."""
        drawn = self.random.random()
        if drawn < 0.06:
            return chunk(b"") + super().agent_bytes()
        if drawn < 0.1:
            return chunk(self._filling(30), self.random.choice([0, 1, 3]))
        if drawn < 0.14:
            return struct.pack("<II", 1, self.random.choice([2049, 2**31, 2**32 - 1])) + bytes(100)
        return super().agent_bytes()

    def _any_message(self) -> Step:
        name = self._client()
        kinds = [*range(1, 8), *range(100, 116), 201, 202]
        size = self.random.choice([0, 1, 4, 8, 12, 25, 65, 200])
        body = bytes(self.random.choice([0, 1, 255, 2]) for _ in range(size))
        return Step(
            "send", {"client": name, "type": self.random.choice(kinds), "bytes": body.hex()}
        )

    def _any_tokens(self) -> Step:
        return Step(
            "tokens", {"client": self._client(), "tokens": self.random.choice([0, 1, 2**32 - 1])}
        )

    def _any_data(self) -> Step:
        name = self._client()
        return Step("data", {"client": name, "bytes": self._body(name).hex()})

    def _any_body(self) -> Step:
        name = self._client()
        sizes = [0, 1, 19, 2048, 2049, 5000]
        head = self.random.choice(
            [b"", struct.pack("<IIQI", 1, self.random.randrange(20), 0, 2**32 - 1)]
        )
        body = (head + self._filling(self.random.choice(sizes)))[: self.random.choice(sizes)]
        return Step("data", {"client": name, "bytes": body.hex()})

    def _violation(self) -> Step:
        """Any begin, whoever has begun what."""
        name = self._client()
        size = self.random.choice([0, 1, 24, 2048, 2**31, 2**32 - 1])
        return Step("begin", {"client": name, "size": size, "bytes": self._body(name).hex()})

    def _any_flush(self) -> Step:
        return Step("flush", {"client": self._client()})

    def _bad_answer(self) -> Step:
        return Step(
            "answer", {"port": self._port(), "value": self.random.choice([-1, -1, 1, 5, 4096])}
        )

    def _inside_detach(self) -> Step:
        on = self.random.choice(["write", "read"])
        return Step("inside", {"port": self._port(), "on": on, "action": "detach"})

    def _any_close(self) -> Step:
        return Step("close", {"client": self._client()})

    def _link_bytes(self) -> Step:
        server = self.random.choice(self.stage.servers)
        words = [self.random.choice([0, 1, 18, 2**31, 2**32 - 1]) for _ in range(8)]
        body = struct.pack("<IBBIII", words[0], words[1] % 256, 0, words[2], words[3], words[4])
        size = self.random.choice([0, len(body), 2**31, 2**32 - 1])
        head = struct.pack("<4sIII", b"REDQ", 2, 2, size)
        return Step("link_bytes", {"server": server, "bytes": (head + body).hex()})

    def _bad_restore(self) -> Step | None:
        """Migration data that somebody has changed on its way."""
        sources = [*self.world.migration_data]
        targets = [name for name, client in self.world.clients.items() if client.awaiting]
        if not sources or not targets:
            return None
        source = self.random.choice(sources)
        size = len(self.world.migration_data[source])
        patches = [self._patch(size) for _ in range(self.random.choice([1, 1, 1, 2]))]
        cut = self.random.choice([-1] * 8 + [0, 8, 20, 33, 40, 64, size - 1])
        arguments: dict[str, Any] = {
            "client": self.random.choice(targets),
            "source": source,
            "patches": patches,
            "size": cut,
        }
        return Step("restore", arguments)

    def _last_steps(self, source: str, target: str) -> list[Step]:
        """Half of the time with migration data that is not what the source gave."""
        steps = super()._last_steps(source, target)
        for i, step in enumerate(steps):
            if step.do == "restore" and self.random.random() < 0.5:
                patches = [self._patch(MIGRATION_SIZE)]
                steps[i] = Step("restore", {**step.arguments, "patches": patches})
        return steps

    def _patch(self, size: int) -> list[Any]:
        record = [8, 12, 13, 17, 21, 25, 29]
        rest = [0, 4, 33, 34, 38, 42, 46, 47, 51, 55, 59, 60, 64]
        anywhere = self.random.randrange(max(size, MIGRATION_SIZE))
        offset = self.random.choice(self.random.choice([record, rest, [anywhere]]))
        value = self.random.choice(
            [0, 1, 2, 5, 8, 9, 10, 11, 33, 64, 65, 255, 4096, 2**31, 2**32 - 1]
        )
        return [offset, struct.pack("<I", value)[: self.random.choice([1, 4, 4])].hex()]


def generate(random: Random, release: Implementation, *, wild: bool) -> Scenario:
    """A scenario; what is drawn decides all of it."""
    stage = random.choice(WELL_BEHAVED_STAGES)
    generator = (WildGenerator if wild else Generator)(random, stage, release)
    return generator.scenario(stage, random.choice(LENGTHS))
