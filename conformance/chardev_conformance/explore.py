"""Every state of a small scope, every transition between them, and walks that take all of them.

Theory of operation
===================
The specification is run from every state with every call of the scope (`scope.Scope`), and with every way to answer the
callbacks of that call: `_Choices` replays the call, each time with the next combination of answers, until all are done.
A state that was there before is not gone into again; states are equal when nothing that the specification reads tells
them apart (`key`).
Bytes do not: no function looks into them.

On the specification's side states are copied (`State.copy`).
An implementation cannot be copied, so for it the transitions are joined to walks from the beginning, each transition in
one of them at least; walk 17 is the same in every run, so a check can go on from there.
"""

import gc
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, NamedTuple, get_args

from chardev_conformance.coverage import Mode, Pair, Transition, mode
from chardev_conformance.scenario import EVENT_NAMES, Answer, Scenario, Step
from chardev_conformance.scope import PORT, Scope
from chardev_conformance.target import CallbackError
from chardev_spec.contract import Contract
from chardev_spec.errors import BadMigrationDataError
from chardev_spec.events import Callback, Choice, ChooseGoOn, PortWrite
from chardev_spec.record import MigrateData
from chardev_spec.runner import Runner
from chardev_spec.state import Place, State

WALK_CALLS: Final = 150
"""How long walks are at most: long ones share their beginning, short ones are easy to shrink."""

DEVICE: Final = attrgetter(
    "destroyed",
    "running",
    "active",
    "port",
    "port_owes_wakeup",
    "self_tokens",
    "sealed",
    "write_limited",
    "read_wanted",
    "retry_armed",
    "retry_due_ms",
)
CLIENT: Final = attrgetter(
    "peer",
    "flow_control",
    "tokens",
    "freed",
    "send_tokens",
    "queue_length",
    "wait_armed",
    "leaving",
)
BUFFER: Final = attrgetter(
    "origin", "price", "place", "capacity", "written", "references", "marshalled"
)
"""What tells states apart outside a call: no ghosts, no numbers that only grow, no names."""

ANSWERED: Final = {kind: EVENT_NAMES[kind.__name__] for kind in get_args(Callback)}
"""What callbacks are called in answers."""


def key(state: State, names: dict[str, Any]) -> tuple[Any, ...]:
    """What the specification reads of a state, outside; `names` are those of buffers and migration data."""
    device = state.device
    clients: dict[int | None, int] = {row.handle: i for i, row in enumerate(state.clients)}
    called = {handle: name for name, handle in names.items() if name[0] == "b"}
    pending = {row.handle: i for i, row in enumerate(state.buffers.pending_rows())}
    rows = [
        (
            called.get(row.handle) if row.place == Place.HELD else None,
            clients.get(row.client),
            len(row.data),
            pending.get(row.handle),
            BUFFER(row),
        )
        for row in state.buffers
    ]
    awaiting = None if device.awaiting is None else clients[device.awaiting]
    marshalled = "x1" in names
    return (
        DEVICE(device),
        awaiting,
        marshalled,
        tuple([CLIENT(row) for row in state.clients]),
        tuple(rows),
    )


class Option(NamedTuple):
    """One way to answer a callback; a call inside it and an exception are *disturbances*, one a call at most."""

    answer: Answer
    returned: Any = None
    inner: Step | None = None


class _Choices:
    """Replays one call with every combination of choices, the dull ones first.

    What was offered at a choice is kept: the run up to there is the same each time.
    """

    def __init__(self) -> None:
        self._taken: list[int] = []
        self._offered: list[list[Option]] = []
        self._place = 0

    def choose(self) -> Option | None:
        """The option whose turn it is; None when nothing was offered here yet."""
        place = self._place
        self._place = place + 1
        return self._offered[place][self._taken[place]] if place < len(self._taken) else None

    def offer(self, options: list[Option]) -> Option:
        """Offer options where nothing was offered yet, and take the first."""
        self._taken.append(0)
        self._offered.append(options)
        return options[0]

    def next(self) -> bool:
        """Go on to the next combination; False when all have been taken."""
        self._place = 0
        while self._taken:
            if self._taken[-1] + 1 < len(self._offered[-1]):
                self._taken[-1] += 1
                return True
            self._taken.pop()
            self._offered.pop()
        return False


@dataclass(slots=True)
class Node:
    """A state of the scope; `state` is there until it has been gone into."""

    state: State | None
    names: dict[str, Any]
    depth: int
    before: int
    step: Step | None
    edges: list[tuple[Step, int]] = field(default_factory=list)


class Exploration:
    """The states of a scope up to a depth, and the transitions between them.

    `machine` is the contract, or one with quirks; `depth` is how many calls lead to a state at most, None for all.
    """

    def __init__(
        self, scope: Scope, machine: type[Contract] = Contract, depth: int | None = None
    ) -> None:
        self.scope = scope
        self.nodes: list[Node] = []
        self.modes: list[Mode] = []
        self.transitions = 0
        """How many calls were tried so far, each with its answers, those that were refused included."""
        self._machine = machine
        self._depth = depth
        self._known: dict[tuple[Any, ...], int] = {}
        self._queue: deque[int] = deque()
        self._run = _Run(scope, machine)
        self._begin()

    @property
    def steps(self) -> int:
        """How many steps of the machine were tried: from outside or a callback to the next one, replays not counted."""
        return self.transitions + self._run.callbacks

    @property
    def complete(self) -> bool:
        """Whether all states of the scope were gone into."""
        return not self._queue and self._depth is None

    def _begin(self) -> None:
        runner = Runner(self._run, machine=self._machine)
        runner.add_port(1, announces_writability=self.scope.announces)
        begin = self.scope.begin()
        runner.call("create", 1, *[*begin.arguments.values()][1:])
        self._enter(runner.state, {}, 0, 0, None)

    def explore(self, progress: Callable[["Exploration"], None] = lambda _: None) -> None:
        """Go into all states."""
        collects = gc.isenabled()
        gc.disable()  # everything that is made here is kept, and looking for garbage in it takes half the time
        try:
            while self._queue:
                self._expand(self._queue.popleft())
                progress(self)
        finally:
            if collects:
                gc.enable()

    def _enter(
        self, state: State, names: dict[str, Any], depth: int, before: int, step: Step | None
    ) -> int:
        identity = key(state, names)
        number = self._known.get(identity)
        if number is None:
            number = self._known[identity] = len(self.nodes)
            self.modes.append(mode(state))
            self.nodes.append(Node(state, names, depth, before, step))
            if self._depth is None or depth < self._depth:
                self._queue.append(number)
        return number

    def _expand(self, number: int) -> None:
        node = self.nodes[number]
        assert node.state is not None
        for step in self.scope.steps(node.state, node.names):
            for taken, state, names in self._run.every_way(node.state, node.names, step):
                self.transitions += 1
                after = self._enter(state, names, node.depth + 1, number, taken)
                node.edges.append((taken, after))
        node.state = None

    # Walks

    def path(self, number: int) -> list[Step]:
        """The shortest way to a state."""
        steps: list[Step] = []
        while (step := self.nodes[number].step) is not None:
            steps.append(step)
            number = self.nodes[number].before
        return steps[::-1]

    def scenario(self, steps: list[Step]) -> Scenario:
        """A scenario of this scope, from the beginning."""
        return Scenario({PORT: self.scope.announces}, None, [self.scope.begin(), *steps])

    def walks(self) -> Iterator[list[Step]]:
        """Walks from the beginning, in which every transition is taken once at least."""
        left = [[*reversed(node.edges)] for node in self.nodes]
        nearest = _Nearest(self.nodes, left)
        first = 0
        while first < len(self.nodes):
            if not left[first]:
                first += 1
                continue
            walk, number = self.path(first), first
            while len(walk) < WALK_CALLS:
                if not left[number]:
                    way = nearest.way(number)
                    if not way or len(walk) + len(way) >= WALK_CALLS:
                        break
                    walk += [step for step, _ in way]
                    number = way[-1][1]
                step, number = left[number].pop()
                walk.append(step)
            yield walk

    def transition(self, before: int, step: Step, after: int) -> Transition:
        """The transition that a step makes, as coverage counts it."""
        return self.modes[before], step.call, self.modes[after]

    def known(self) -> dict[Transition, tuple[int, Step]]:
        """The transitions that there are, each with the first state and step that make it."""
        result: dict[Transition, tuple[int, Step]] = {}
        for number, node in enumerate(self.nodes):
            for step, after in node.edges:
                result.setdefault(self.transition(number, step, after), (number, step))
        return result

    def pairs(self) -> set[Pair]:
        """The pairs of transitions that there are."""
        into: list[set[Transition]] = [set() for _ in self.nodes]
        out: list[set[Transition]] = [set() for _ in self.nodes]
        for number, node in enumerate(self.nodes):
            for step, after in node.edges:
                transition = self.transition(number, step, after)
                out[number].add(transition)
                into[after].add(transition)
        return {
            (first, second)
            for number in range(len(self.nodes))
            for first in into[number]
            for second in out[number]
        }


class _Nearest:
    """Finds the way to the nearest state with transitions that are left to be taken."""

    REACH: Final = 200
    """After so many states it is cheaper to begin anew."""

    def __init__(self, nodes: list["Node"], left: list[list[tuple[Step, int]]]) -> None:
        self._left = left
        self._after: list[dict[int, Step]] = []
        for node in nodes:
            # The first step to each state is the dullest.
            self._after.append({after: step for step, after in reversed(node.edges)})

    def way(self, number: int) -> list[tuple[Step, int]]:
        """The steps from a state, and the states that they lead to; none when nothing is near."""
        came: dict[int, tuple[int, Step]] = {}
        seen, queue = {number}, deque([number])
        while queue and len(seen) < self.REACH:
            here = queue.popleft()
            for after, step in self._after[here].items():
                if after in seen:
                    continue
                seen.add(after)
                came[after] = (here, step)
                if self._left[after]:
                    return self._back(came, number, after)
                queue.append(after)
        return []

    def _back(
        self, came: dict[int, tuple[int, Step]], first: int, last: int
    ) -> list[tuple[Step, int]]:
        way = []
        while last != first:
            before, step = came[last]
            way.append((step, last))
            last = before
        return way[::-1]


class _Run:
    """Runs the specification from copies of states; the environment of its runner."""

    def __init__(self, scope: Scope, machine: type[Contract]) -> None:
        self._scope = scope
        self._runner = Runner(self, machine=machine, invariants=False)
        self._machine = machine
        self._choices = _Choices()
        self._names: dict[str, Any] = {}
        self._answers: list[Answer] = []
        self._nested = False
        self.callbacks = 0
        """How many were answered in every way, replays not counted."""

    def every_way(
        self, state: State, names: dict[str, Any], step: Step
    ) -> Iterator[tuple[Step, State, dict[str, Any]]]:
        """The call with every combination of answers: the step, and the state and names after it."""
        runner = self._runner
        self._choices = _Choices()
        self._names = names
        arguments = self._arguments(step)
        while True:
            runner.state = state.copy()
            runner.machine = self._machine(runner.state)
            self._names = dict(names)
            self._answers = []
            self._perform(step, arguments)
            taken = Step(step.call, step.arguments, self._answers, "d1", step.result_name)
            yield taken, runner.state, self._names
            if not self._choices.next():
                return

    def _perform(self, step: Step, arguments: list[Any]) -> None:
        if step.call == "migrate_data_release":
            for handle in self._names.pop("x1"):
                self._runner.call("marshaller_unref", handle)
            return
        try:
            result = self._runner.call(step.call, *arguments)
        except (CallbackError, BadMigrationDataError):
            return
        if step.result_name is not None and result is not None:
            handles = result.buffers if type(result) is MigrateData else result
            self._names[step.result_name] = handles

    def _arguments(self, step: Step) -> list[Any]:
        return [self._value(step.call, name, value) for name, value in step.arguments.items()]

    def _value(self, call: str, name: str, value: Any) -> Any:
        if name == "buffer":
            return self._names[value]
        if name == "port":
            return None if value is None else 1
        if name == "message" or (name, call) == ("data", "write_buffer_add"):
            return bytes.fromhex(value)
        return value

    # The environment

    def choose(self, event: Choice) -> int | bool:
        """One buffer a write, and no limit: what an implementation chooses is no business of the walks."""
        return isinstance(event, ChooseGoOn) or 1

    def answer(self, event: Callback) -> Any:
        """Answer a callback as it is its turn; those of calls inside a callback the dull way."""
        if self._nested:
            return len(event.data) if type(event) is PortWrite else None
        option = self._choices.choose() or self._choices.offer(self._options(event))
        answer, returned, inner = option
        self._answers.append(answer)
        if answer.raises:
            raise CallbackError("raised in the exploration")
        if inner is not None:
            self._nested = True
            try:
                self._perform(inner, self._arguments(inner))
            finally:
                self._nested = False
        return returned

    def _options(self, event: Callback) -> list[Option]:
        self.callbacks += 1
        name = ANSWERED[type(event)]
        messages = sum(
            [
                answer.on == "read_one_msg_from_device" and answer.value is True
                for answer in self._answers
            ]
        )
        options = [
            Option(Answer(name, value), _returned(event, value, messages))
            for value in self._scope.values(event, messages)
        ]
        if not any(answer.raises or answer.calls for answer in self._answers):
            dull = _returned(event, None, messages)
            inner = self._scope.inside(self._runner.state, self._names)
            options += [Option(Answer(name, calls=[step]), dull, step) for step in inner]
            options += [Option(Answer(name, raises=True))] if self._scope.raises else []
        return options


def _returned(event: Callback, value: Any, messages: int) -> Any:
    """What a callback returns that is answered by `value`, after so many messages."""
    if type(event) is PortWrite:
        size = len(event.data)
        if type(value) is int:
            return min(value, size)
        return {"fail": -1, "over": size + 1}.get(value, size)
    return f"m{messages + 1}" if value else None
