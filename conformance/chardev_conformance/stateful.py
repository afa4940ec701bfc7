"""A Hypothesis state machine: the spec against any implementation, with runs that Hypothesis draws and shrinks.

Theory of operation
===================
Subclass `DeviceMachine`, set `target`, and give its `TestCase` to a test runner, or call `run`::

    class MyDevice(DeviceMachine):
        target = MyTarget


    TestMyDevice = MyDevice.TestCase

One rule, `call`, draws one call of the scenario language.
While it is performed, the answers of its callbacks and the calls inside them are drawn from the same data.
So Hypothesis sees one tree of small choices, whose simplest values are the dull ones: the port takes all, nothing to
read, no nested call; what is left in a shrunk example is what matters.

Things are drawn by name, from the names that mean something at that moment; data is never drawn, only its length.

Each run has a mixture of its own (swarm testing): some calls are left out, some are made more often.
`weights` says how often a call is made otherwise.

What plain rule-based testing leaves open, and what is offered here:

- Whether everything was tried: `coverage` counts calls over all runs of a class, and names those never made and the
  rules of the contract never exercised.
- Whether two failures are one: findings of different rule or symptom are exceptions of different classes, so that
  Hypothesis does not slip from one to another while it shrinks, and reports each.
- What to do with a failure: the exception's text is the readable scenario and the trace, which any checker replays.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any, ClassVar, Final, Protocol, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from chardev_conformance.campaign import replay
from chardev_conformance.coverage import Statistics
from chardev_conformance.lockstep import Finding, FindingError, Lockstep, Pair
from chardev_conformance.results import exercised
from chardev_conformance.scenario import (
    EVENT_NAMES,
    PARAMETERS,
    Answer,
    Scenario,
    Step,
    WriteAnswer,
    walk,
)
from chardev_conformance.shrink import shrink
from chardev_conformance.target import Host, Target
from chardev_conformance.trace import LEGEND, dumps, finding_to_json, readable
from chardev_spec.contract import Contract
from chardev_spec.events import Callback, PortWrite, ReadOneMsgFromDevice
from chardev_spec.state import UINT32_MAX, Client, Place

DrawnT = TypeVar("DrawnT")

QUICK: Final = settings(
    max_examples=150,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
    # No explanations: they vary every draw of a failing run, which takes minutes, and say nothing of scenarios.
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
"""A few seconds, the same runs every time: for continuous integration."""

LONG: Final = settings(
    QUICK, max_examples=3000, stateful_step_count=60, derandomize=False, print_blob=True
)
"""Minutes, other runs every time."""

WEIGHTS: Final[Mapping[str, int]] = {
    "start": 8,
    "wakeup": 4,
    "stop": 1,
    "client_add": 10,
    "write_buffer_get": 8,
    "write_buffer_add": 14,
    "write_buffer_release": 3,
    "write_buffer_get_server_no_token": 1,
    "write_buffer_release_without_device": 1,
    "send_to_client_tokens_add": 10,
    "send_to_client_tokens_set": 1,
    "client_remove": 3,
    "client_exists": 1,
    "opaque_get": 1,
    "retry_timer_fired": 5,
    "wait_timer_fired": 1,
    "advance": 1,
    "reset_dev_instance": 1,
    "migrate_data_marshall_empty": 1,
    "reset": 1,
    "migrate_data_marshall": 2,
    "migrate_data_release": 1,
    "create": 1,
    "restore": 3,
    "destroy": 1,
}
"""How often each call is drawn, relative to the others; the first is the simplest one, which shrinking tends to."""


DEVICES: Final = 4
"""How many devices there are at most in a run: enough for a chain of three moves."""


class DifferenceError(AssertionError):
    """Implementation and spec differ; `scenario` gives the finding again.

    Each rule and symptom has a class of its own derived from this one, so that Hypothesis tells them apart.
    """

    def __init__(self, finding: Finding, scenario: Scenario) -> None:
        self.finding = finding
        self.scenario = scenario
        super().__init__(
            f"{', '.join(finding.rules)}: in {finding.where or 'the end of a call'}\n"
            f"  allowed: {finding.allowed}\n"
            f"  seen:    {finding.seen}\n"
            f"\n{readable(scenario)}\n\n{LEGEND}\n"
            f"\nthe trace, for `chardev check --replay FILE`:\n{self.trace()}"
        )

    def trace(self) -> str:
        """The scenario as a trace."""
        return dumps(self.scenario, finding=finding_to_json(self.finding))


class MakesTarget(Protocol):
    """A `TargetFactory`, said in a way that types allow in a class: one that is no method."""

    def __call__(self, host: Host, ports: dict[str, bool], moves_per_call: int | None, /) -> Target:
        """An implementation on these ports."""


@cache
def _difference(rule: str, symptom: str) -> type[DifferenceError]:
    return type(f"DifferenceError[{rule}, {symptom}]", (DifferenceError,), {})


@dataclass(slots=True)
class Coverage:
    """What the runs of a machine have done so far.

    `made` counts the calls of the scenario language, `inside` those of them that were made inside a callback.
    """

    runs: int = 0
    made: Counter[str] = field(default_factory=Counter)
    inside: Counter[str] = field(default_factory=Counter)
    statistics: Statistics = field(default_factory=Statistics)

    def add(self, performed: Scenario) -> None:
        """Count what a run did."""
        self.runs += 1
        for step in performed.steps:
            inside = [each.call for answer in step.answers for each in walk(answer.calls)]
            self.made.update([step.call, *inside])
            self.inside.update(inside)

    def never_made(self) -> list[str]:
        """The calls that were never made."""
        return [call for call in PARAMETERS if not self.made[call]]

    def never_exercised(self) -> list[str]:
        """The rules of the contract that nothing has exercised."""
        return [rule for rule, done in exercised(self.statistics).items() if not done]

    def __str__(self) -> str:
        rules = exercised(self.statistics)
        lines = [
            f"{self.runs} runs, {self.statistics.callbacks} callbacks",
            f"{self.made.total()} calls, {self.inside.total()} of them inside callbacks",
            f"{sum(rules.values())} of {len(rules)} rules exercised",
        ]
        if self.never_exercised():
            lines.append(f"never exercised: {', '.join(self.never_exercised())}")
        if self.never_made():
            lines.append(f"never called: {', '.join(self.never_made())}")
        width = max(map(len, PARAMETERS))
        lines.extend(
            f"{call:{width}} {self.made[call]:7} {self.inside[call]:7} inside"
            for call in PARAMETERS
        )
        return "\n".join(lines)


class _Drawn:
    """The script of a `DeviceMachine`: answers and nested calls are the machine's draws."""

    def __init__(self, machine: "DeviceMachine") -> None:
        self._machine = machine

    def step(self, lockstep: Lockstep) -> Step | None:
        """The rules perform the calls outside."""
        return None

    def nested_step(self, lockstep: Lockstep) -> Step | None:
        """With some luck a call inside the callback."""
        return self._machine.nested_step()

    def answer(self, lockstep: Lockstep, unused: list[Answer], event: Callback) -> Answer:
        """The answer that is drawn."""
        return self._machine.answer(event)


class DeviceMachine(RuleBasedStateMachine):
    """An implementation against the spec; see the module's text.

    Every method named ``draw_`` may be overridden, to draw otherwise.
    """

    target: ClassVar[MakesTarget]
    """Makes the implementation under test, as for `Lockstep`."""
    machine: ClassVar[type[Contract]] = Contract
    """What it is held against: the contract, or the machine of a profile."""
    weights: ClassVar[Mapping[str, int]] = WEIGHTS
    """How often each call is made; without a weight it is never made."""
    depth: ClassVar[int] = 3
    """How deep calls are nested inside callbacks."""
    mistakes: ClassVar[bool] = True
    """Whether calls are made that the contract forbids; not, for an implementation that aborts there."""
    coverage: ClassVar[Coverage] = Coverage()
    """What all runs of this class did; every subclass has its own."""

    lockstep: Lockstep

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.coverage = Coverage()

    def __init__(self) -> None:
        super().__init__()
        self._failed = False
        self._names = 0
        self._bytes = 0
        self._data: Any = None
        self._stopped: BaseException | None = None

    # The world

    @initialize(
        announces=st.booleans(),
        limit=st.sampled_from([None, 1, 2]),
        interval=st.sampled_from([1, 0, 2]),
        self_tokens=st.sampled_from([1, 0, 2]),
        mixture=st.data(),
    )
    def begin(
        self, announces: bool, limit: int | None, interval: int, self_tokens: int, mixture: Any
    ) -> None:
        """Make the ports, a device, and this run's mixture of calls."""
        self.lockstep = Lockstep(
            type(self).target,
            _Drawn(self),
            Scenario({"p1": announces, "p2": False, "p3": not announces}, limit),
            machine=self.machine,
            statistics=self.coverage.statistics,
        )
        self._interval, self._self_tokens = interval, self_tokens
        self.calls = self.draw_mixture(mixture)
        self._nesting = mixture.draw(
            st.sampled_from([3, 0, 6]), label="nested calls in ten callbacks"
        )
        self._raising = mixture.draw(st.sampled_from([False, True]), label="callbacks may raise")
        head_start = mixture.draw(st.booleans(), label="head start")
        self.perform(self._create("d1", "p1"))
        if head_start:
            self._data = mixture
            for call in ("client_add", "start"):
                step = self.draw_arguments(call, self.lockstep.pairs["d1"])
                if step is not None:
                    self.perform(step)

    def draw_mixture(self, mixture: Any) -> list[str]:
        """The calls of this run, each as often as its weight says; some are left out, some are more frequent.

        It is one draw, of which 0 is the plain mixture: many would only be in the way of shrinking.
        """
        number = mixture.draw(st.integers(0, 999), label="mixture")
        random = Random(number)
        factors = (0, 1, 1, 1, 3) if number else (1,)
        calls = [
            call
            for call, weight in self.weights.items()
            for _ in range(weight * random.choice(factors))
        ]
        return calls or ["start"]

    @rule(data=st.data())
    def call(self, data: Any) -> None:
        """One call outside, with everything that happens in it."""
        self._data = data
        step = self.draw_step()
        if step is not None:
            self.perform(step)

    def perform(self, step: Step) -> None:
        """Perform a call on both; raises `DifferenceError`."""
        try:
            self.lockstep.run_step(step)
        except FindingError as error:
            self._failed = True
            finding = error.finding
            raise _difference(finding.rule, finding.symptom)(
                finding, self.lockstep.performed
            ) from None
        if self._stopped is not None:
            raise self._stopped

    def teardown(self) -> None:
        """Let every device go on until nothing is left to do: what is owed and forgotten shows now."""
        if not hasattr(self, "lockstep"):
            return
        if not self._failed and self._stopped is None:
            self._data = None
            for name, pair in self.lockstep.pairs.items():
                if pair.runner.state.device.destroyed:
                    continue
                self.perform(Step("start", device=name))
                self.perform(Step("advance", {"milliseconds": 100}))
                self.perform(Step("retry_timer_fired", device=name))
        self.coverage.add(self.lockstep.performed)

    # Draws

    def draw(self, strategy: st.SearchStrategy[DrawnT], label: str | None = None) -> DrawnT:
        """A value for the call that is being performed."""
        value: DrawnT = self._data.draw(strategy, label=label)
        return value

    def one_of(self, values: list[DrawnT], label: str | None = None) -> DrawnT:
        """One of these values; the first is the simplest."""
        return values[0] if len(values) == 1 else self.draw(st.sampled_from(values), label)

    def _draw_inside(self, draw: Callable[[], DrawnT], otherwise: DrawnT) -> DrawnT:
        """What is drawn inside a callback; `otherwise` when there are no more draws.

        Hypothesis ends a run by an exception from a draw.
        The implementation between here and there would take it for the callback's answer (CB-5): so it waits until
        the call has returned.
        """
        if self._data is None:
            return otherwise
        try:
            return draw()
        except BaseException as error:  # noqa: BLE001 - `perform` raises it
            self._data, self._stopped = None, error
            return otherwise

    def answer(self, event: Callback) -> Answer:
        """The answer to a callback that is being made."""
        answer = Answer(EVENT_NAMES[type(event).__name__])
        return self._draw_inside(lambda: self.draw_answer(event), answer)

    def nested_step(self) -> Step | None:
        """A call inside the callback that is being made, or None."""
        if not self._nesting or len(self.lockstep.frames) > self.depth:
            return None
        return self._draw_inside(self.draw_nested_step, None)

    def draw_answer(self, event: Callback) -> Answer:
        """The answer to a callback."""
        answer = Answer(EVENT_NAMES[type(event).__name__])
        if isinstance(event, PortWrite):
            failures: list[WriteAnswer] = ["fail", "over"] if self._raising else []
            part = self.draw(st.integers(0, max(len(event.data) - 1, 0)), "bytes")
            answer.value = self.one_of(["all", part, *failures], "write takes")
        elif isinstance(event, ReadOneMsgFromDevice):
            answer.value = self.draw(st.booleans(), "a message")
        if self._raising:
            answer.raises = self._luck(8, "raises")
        return answer

    def draw_nested_step(self) -> Step | None:
        """A call inside the callback, more or less often by the run's mixture."""
        luck = [False] * (10 - self._nesting) + [True] * self._nesting
        return self.draw_step() if self.one_of(luck, "call inside") else None

    def draw_step(self) -> Step | None:
        """A call on one of the devices, on one that was destroyed now and then; None when nothing can be called."""
        call = self.one_of(self.calls, "call")
        pairs = self.lockstep.pairs
        alive = [name for name, pair in pairs.items() if not pair.runner.state.device.destroyed]
        if not alive:
            return self._draw_create()
        dead = [name for name in pairs if name not in alive]
        pair = pairs[self.one_of(alive * 5 + dead if self.mistakes else alive, "device")]
        if call == "restore":
            pair = self._destination() or pair
        step = self.draw_arguments(call, pair) or Step("start")
        if step.call != "create":
            step.device = pair.name
        return step

    def draw_arguments(self, call: str, pair: Pair) -> Step | None:
        """The call with arguments that mean something now; None when there are none."""
        clients = [*pair.runner.state.clients]
        match call:
            case "create" if not self._sealed_client(pair) and not self._luck(5, "without need"):
                return Step("start")
            case "create":
                return self._draw_create()
            case "advance":
                return Step(call, {"milliseconds": self.one_of([100, 50])})
            case "reset_dev_instance":
                return self._draw_port(pair)
            case "client_add":
                return self._draw_client_add(pair, clients)
            case (
                "client_remove"
                | "client_exists"
                | "wait_timer_fired"
                | "send_to_client_tokens_add"
                | "send_to_client_tokens_set"
            ):
                if not clients and not (self.mistakes and self._luck(4, "nobody there")):
                    return self._draw_client_add(pair, clients)
                return self._draw_client_call(call, clients)
            case "write_buffer_get" | "write_buffer_get_server_no_token":
                return self._draw_get(call, clients)
            case (
                "write_buffer_add" | "write_buffer_release" | "write_buffer_release_without_device"
            ):
                return self._draw_buffer_call(call, pair, clients)
            case "migrate_data_marshall":
                return self._draw_marshall(pair, clients)
            case "migrate_data_release":
                data = self._names_of(pair, data=True)
                return (
                    Step(call, {"data": self.one_of(data)})
                    if data
                    else self._draw_marshall(pair, clients)
                )
            case "restore":
                return self._draw_restore(pair, clients)
        return Step(call)

    def _luck(self, one_in: int, label: str) -> bool:
        """True once in a while; False is the simple case."""
        return self.one_of([False] * (one_in - 1) + [True], label)

    def _new_name(self, prefix: str) -> str:
        self._names += 1
        return f"{prefix}{self._names}"

    def _names_of(self, pair: Pair, *, data: bool) -> list[str]:
        """The names of the device's migration data, or of its buffers."""
        named = self.lockstep.named.items()
        return [
            name for name, each in named if each.device == pair.name and bool(each.message) == data
        ]

    def _bytes_of(self, size: int) -> str:
        """Bytes that tell their place in the stream, so that an exchange of two buffers shows."""
        self._bytes += size
        return bytes((self._bytes - size + i) % 251 for i in range(size)).hex()

    def _create(self, device: str, port: str) -> Step:
        arguments = {
            "port": port,
            "client_tokens_interval": self._interval,
            "self_tokens": self._self_tokens,
        }
        return Step("create", arguments, device=device)

    def _draw_create(self) -> Step | None:
        """A device for migration to arrive at, on a free port; with a mistake on one that is not."""
        taken = {pair.runner.state.device.port for pair in self.lockstep.pairs.values()}
        free = [
            name for i, name in enumerate(self.lockstep.performed.ports, start=1) if i not in taken
        ]
        if len(self.lockstep.pairs) >= DEVICES:
            return None
        ports = free or (["p1"] if self.mistakes else [])
        return (
            self._create(f"d{len(self.lockstep.pairs) + 1}", self.one_of(ports)) if ports else None
        )

    def _draw_port(self, pair: Pair) -> Step:
        """Another port, or none; a port that another device has only with a mistake."""
        taken = {
            other.runner.state.device.port
            for other in self.lockstep.pairs.values()
            if other is not pair and not self.mistakes
        }
        ports = self.lockstep.performed.ports
        free = [name for i, name in enumerate(ports, start=1) if i not in taken]
        return Step(
            "reset_dev_instance", {"port": self.one_of([*free[:1], None, *free[1:]], "port")}
        )

    def _draw_client_add(self, pair: Pair, clients: list[Client]) -> Step | None:
        present = {row.peer for row in clients}
        peers = [peer for peer in ("c1", "c2", "c3") if peer not in present or self.mistakes]
        if not peers:
            return None
        sealed = self._sealed_client(pair)
        interval = pair.runner.state.device.interval
        windows = [interval + 1, interval, interval + 3, interval + 3]
        if sealed is not None and not clients:
            # A migration is on its way: the client arrives here.
            flow_control, window, wait = sealed.flow_control, sealed.window, True
        else:
            flow_control = self.one_of([True, True, True, False], "flow control")
            window = self.one_of(windows, "window")
            if self._luck(8, "other window"):
                window = 1 if self.mistakes else 0
            wait = self._luck(10, "wait for migration data")
        return Step(
            "client_add",
            {
                "client": self.one_of(peers, "client"),
                "do_flow_control": flow_control,
                "max_send_queue_size": self.one_of([1, 0, 2], "queue"),
                "num_client_tokens": window,
                "num_send_tokens": UINT32_MAX if wait else self.one_of([1, 0, 5], "send tokens"),
                "wait_for_migrate_data": wait,
            },
        )

    def _sealed_client(self, pair: Pair) -> Client | None:
        """The client of another device that was marshalled."""
        for other in self.lockstep.pairs.values():
            clients: list[Client] = [*other.runner.state.clients]
            if other is not pair and other.runner.state.device.sealed and clients:
                return clients[0]
        return None

    def _draw_client_call(self, call: str, clients: list[Client]) -> Step | None:
        peers = [row.peer for row in clients]
        if not peers or (self.mistakes and self._luck(10, "any client")):
            peers = ["c1", "c2"]
        arguments: dict[str, Any] = {"client": self.one_of(peers, "client")}
        if "tokens" in PARAMETERS[call]:
            counts = [1, 0, 2, UINT32_MAX, *([-1] if self.mistakes else [])]
            arguments["tokens"] = self.one_of(counts, "tokens")
        return Step(call, arguments)

    def _draw_get(self, call: str, clients: list[Client]) -> Step:
        sizes = [1, 0, 2, 4, *([-1] if self.mistakes else [])]
        arguments: dict[str, Any] = {}
        if "client" in PARAMETERS[call]:
            arguments["client"] = self.one_of(
                [None, *(row.peer for row in clients), "c1"], "client"
            )
        arguments["size"] = self.one_of(sizes, "size")
        return Step(call, arguments, result_name=self._new_name("b"))

    def _draw_buffer_call(self, call: str, pair: Pair, clients: list[Client]) -> Step | None:
        buffers = self.lockstep.named
        rows = pair.runner.state.buffers
        names = self._names_of(pair, data=False)
        held = [
            n
            for n in names
            if buffers[n].spec in rows and rows[buffers[n].spec].place == Place.HELD
        ]
        if not self.mistakes or (held and not self._luck(10, "any buffer")):
            names = held
        destroyed = pair.runner.state.device.destroyed
        if not names or (
            not self.mistakes and destroyed != (call == "write_buffer_release_without_device")
        ):
            return None if destroyed else self._draw_get("write_buffer_get", clients)
        name = self.one_of(names, "buffer")
        if call != "write_buffer_add":
            return Step(call, {"buffer": name})
        handle = buffers[name].spec
        capacity = rows[handle].capacity if handle in rows else 1
        size = self.draw(st.integers(0, capacity + self.mistakes), "bytes used")
        return Step(call, {"buffer": name, "data": self._bytes_of(size)})

    def _draw_marshall(self, pair: Pair, clients: list[Client]) -> Step | None:
        """Marshall (MIG-2); before that, what makes the device ready for it."""
        state = pair.runner.state
        if not (self.mistakes and self._luck(6, "not ready")):
            if self.lockstep.frames or state.device.sealed:
                return None
            if state.device.awaiting is not None and clients:
                return Step("client_remove", {"client": clients[0].peer})
            if state.device.running:
                return Step("stop")
            if not clients:
                return self._draw_client_add(pair, clients)
            if len(clients) > 1 or clients[0].leaving:
                return Step("client_remove", {"client": clients[0].peer})
            if clients[0].queue_length:
                tokens = {"client": clients[0].peer, "tokens": clients[0].queue_length}
                return Step("send_to_client_tokens_set", tokens)
            if any(row.client is not None and row.place == Place.HELD for row in state.buffers):
                return self._draw_buffer_call("write_buffer_add", pair, clients)
        return Step("migrate_data_marshall", result_name=self._new_name("x"))

    def _destination(self) -> Pair | None:
        """Where migration data can arrive, now or soon."""
        pairs = [
            pair for pair in self.lockstep.pairs.values() if not pair.runner.state.device.destroyed
        ]
        if not any(pair.runner.state.device.sealed for pair in pairs):
            return None
        awaiting = [pair for pair in pairs if pair.runner.state.device.awaiting is not None]
        fresh = [pair for pair in pairs if pair.runner.state.clients.empty()]
        return next(iter(awaiting + fresh), None)

    def _draw_restore(self, pair: Pair, clients: list[Client]) -> Step | None:
        """Restore (MIG-4) what was marshalled last; before that, what makes the device ready for it."""
        messages = [each.message for each in self.lockstep.named.values() if each.message]
        if not messages:
            return self._draw_marshall(pair, clients)
        if not (self.mistakes and self._luck(6, "not ready")):
            if self._destination() is None:
                return self._draw_create()
            if not clients:
                return self._draw_client_add(pair, clients)
            if pair.runner.state.device.awaiting is None or clients[0].leaving:
                return None
        message = bytearray(self.one_of(messages[::-1], "message"))
        if self.mistakes and self._luck(6, "changed"):
            place = self.draw(st.integers(8, len(message) - 1), "place")
            message[place] = self.one_of([0, 1, 2, 34, 255], "byte")
        return Step("restore", {"message": message.hex()})


def run(machine: type[DeviceMachine], profile: settings = QUICK) -> Coverage:
    """Run a machine with these settings; what all its runs covered.

    Ends at the first difference: raises `DifferenceError`.
    It is shrunk as a scenario, in a second or two: a step can be left out without any draw being made otherwise.
    A machine's `TestCase` has it shrunk by Hypothesis, which can take minutes, and goes on to find others.
    """
    phases = [phase for phase in profile.phases if phase is not Phase.shrink]
    try:
        run_state_machine_as_test(machine, settings=settings(profile, phases=phases))
    except DifferenceError as error:
        raise _shrunk(machine, error) from None
    return machine.coverage


def _shrunk(machine: type[DeviceMachine], error: DifferenceError) -> DifferenceError:
    scenario, finding = shrink(
        error.scenario, error.finding, lambda each: replay(machine.target, each, machine.machine)
    )
    return type(error)(finding, scenario)
