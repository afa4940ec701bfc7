"""Every state of a small scope, every transition between them, and walks that take all of them.

Theory of operation
===================
The specification is run from every state with every call of the scope (`scope.Scope`), and with every way to answer the
callbacks of that call.
A state that was there before is not gone into again; states are equal when nothing that the specification reads tells
them apart (`key`).
Bytes do not: no function looks into them.

At a callback a call can go on in several ways, but a suspended call cannot be copied: for the next way it is run again
from its beginning.
So what can follow a callback is kept by all that it can depend on: where the call stands, its variables, the state.
A call that comes to such a point again is not run on; all that can follow is known.
Nothing else is hidden in a suspended call, because the subset in which the specification is written leaves nothing on
the interpreter's stack (`chardev_spec.lint`).

On the specification's side states are copied (`State.copy`).
An implementation cannot be copied, so for it the transitions are joined to walks from the beginning, each transition in
one of them at least; walk 17 is the same in every run, so a check can go on from there.
"""

import gc
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter
from types import GeneratorType
from typing import Any, Final, NamedTuple, TypeAlias, get_args

from chardev_conformance.coverage import Mode, Pair, Transition, mode
from chardev_conformance.scenario import EVENT_NAMES, Answer, Scenario, Step
from chardev_conformance.scope import PORT, Scope
from chardev_conformance.target import CallbackError
from chardev_spec.conditions import Frame
from chardev_spec.contract import Contract
from chardev_spec.errors import BadMigrationDataError
from chardev_spec.events import Callback, Choice, ChooseGoOn, PortWrite
from chardev_spec.record import MigrateData
from chardev_spec.runner import Call, Runner
from chardev_spec.state import FIELDS, Buffer, Client, Device, Place, QueuedMessage, State

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


def renumbered(state: State, names: dict[str, Any]) -> tuple[State, dict[str, Any]]:
    """A state with the same key, its handles and numbers those of a short way, and its names.

    Long and short ways to a state lead to the same points then.
    """
    result = State(replace(state.device, port_generation=0, spare_bytes=0), state.ports)
    clients: dict[int | None, int] = {}
    for client in state.clients:
        clients[client.handle] = number = result.clients.next_handle()
        result.clients.insert(
            replace(client, handle=number, granted=0, sent=0, announced=0, taken=0)
        )
    buffers: dict[int, int] = {}
    for buffer in state.buffers:
        buffers[buffer.handle] = number = result.buffers.next_handle()
        payer = clients.get(buffer.client)
        result.buffers.insert(replace(buffer, handle=number, client=payer, order=0))
    for buffer in state.buffers.pending_rows():
        result.buffers.move(buffers[buffer.handle], buffer.place)
    for queued in state.send_queue:
        number = result.send_queue.next_handle()
        result.send_queue.insert(QueuedMessage(number, clients[queued.client], queued.message))
    result.device.awaiting = clients.get(state.device.awaiting)
    # A name whose buffer is gone keeps its place among the names, which orders the calls; no buffer is number 0.
    called = {
        name: tuple([buffers[each] for each in handle]) if name == "x1" else buffers.get(handle, 0)
        for name, handle in names.items()
    }
    return result, called


MESSAGE: Final = "m"
"""What the port gives to read; no function looks into it."""


class Option(NamedTuple):
    """One way to answer a callback."""

    answer: Answer
    returned: Any = None
    inner: Step | None = None

    @property
    def disturbs(self) -> bool:
        """Whether it holds a call or an exception: one of these a call at most."""
        return self.inner is not None or self.answer.raises


@dataclass(slots=True)
class Node:
    """A state of the scope; `state` is there until it has been gone into."""

    state: State | None = field(compare=False)
    names: dict[str, Any]
    depth: int
    before: int
    step: Step | None = None
    edges: list[tuple[Step, int]] = field(default_factory=list)


class Exploration:
    """The states of a scope up to a depth, and the transitions between them.

    `depth` is how many calls lead to a state at most, None for all.
    """

    def __init__(self, scope: Scope, depth: int | None = None) -> None:
        self.scope = scope
        self.nodes: list[Node] = []
        self.modes: list[Mode] = []
        self.transitions = 0
        """How many calls were tried so far, each with its answers, those that were refused included."""
        self._depth = depth
        self._known: dict[tuple[Any, ...], int] = {}
        self._queue: deque[int] = deque()
        self._run = _Run(scope)
        self._enter(self._run.begin(), {}, 0, 0)

    @property
    def complete(self) -> bool:
        """Whether all states of the scope were gone into."""
        return not self._queue and self._depth is None

    def explore(self, progress: Callable[["Exploration"], None] = lambda _: None) -> None:
        """Go into all states; interrupted at any moment, it goes on there when it is called again."""
        collects = gc.isenabled()
        gc.disable()  # everything that is made here is kept, and looking for garbage in it takes half the time
        try:
            while self._queue:
                self._expand(self._queue[0])
                progress(self)
            self._run.forget()
        finally:
            if collects:
                gc.enable()

    def _enter(self, state: State, names: dict[str, Any], depth: int, before: int) -> int:
        identity = key(state, names)
        number = self._known.get(identity)
        if number is None:
            number = self._known[identity] = len(self.nodes)
            self.modes.append(mode(state))
            self.nodes.append(Node(*renumbered(state, names), depth, before))
            if self._depth is None or depth < self._depth:
                self._queue.append(number)
        return number

    def _expand(self, number: int) -> None:
        node = self.nodes[number]
        assert node.state is not None
        enter = partial(self._enter, depth=node.depth + 1, before=number)
        edges = []
        for step in self.scope.steps(node.state, node.names):
            for answers, after in self._run.ways(node.state, node.names, step, enter):
                taken = Step(step.call, step.arguments, [*answers], "d1", step.result_name)
                edges.append((taken, after))
        # All at once at the end: until then an interruption leaves nothing but states that will be found again.
        for taken, after in edges:
            if after and self.nodes[after].step is None:
                self.nodes[after].step = taken
        node.edges = edges
        node.state = None
        self.transitions += len(edges)
        self._queue.popleft()

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


Way: TypeAlias = tuple[tuple[Answer, ...], int]
"""How a call can go on: the answers that are still to be given, and the number of the state after them."""

Enter: TypeAlias = Callable[[State, dict[str, Any]], int]
"""Numbers the state that a call ended in, with the names there."""

FRAME: Final = attrgetter(*Frame.__slots__)
CONTENT: Final[dict[type[Any], Callable[[Any], Any]]] = {
    **FIELDS,
    list: tuple,
    # There is one of each.
    Contract: type,
    Device: type,
    Frame: type,
}
"""What tells apart the local variables of a call that are not values themselves."""


class _Run:
    """Runs the specification from copies of states; the environment of its runner."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._quiet = not scope.disturbances and not scope.raises
        self._runner = Runner(self, invariants=False)
        self._known: dict[tuple[Any, ...], list[Way]] = {}
        self._names: dict[str, Any] = {}

    def begin(self) -> State:
        """The state of the device that was just created."""
        self._runner.add_port(1, announces_writability=self._scope.announces)
        step = self._scope.begin()
        self._runner.call("create", *self._values(step))
        return self._runner.state

    def ways(
        self,
        state: State,
        names: dict[str, Any],
        step: Step,
        enter: Enter,
    ) -> list[Way]:
        """How the call can go on from its beginning, the dull ways first; `enter` numbers the states after it."""
        self._before = state, names
        self._step = step
        self._names = names
        self._arguments = self._values(step)
        return self._on(self._replay(()), (), enter)

    def forget(self) -> None:
        """Let go of what is known of calls; it would be found anew."""
        self._known.clear()

    def _replay(self, taken: tuple[Option, ...]) -> Call | None:
        """The call, from its beginning up to the callback that these options lead to; None when there is none."""
        runner = self._runner
        state, names = self._before
        runner.state = state.copy()
        runner.machine = Contract(runner.state)
        runner.stack.clear()
        self._names = dict(names)
        if self._step.call == "migrate_data_release":
            self._release()
            return None
        try:
            call = runner.begin(self._step.call, *self._arguments)
        except BadMigrationDataError:
            return None
        for option in taken:
            self._take(call, option)
        return call

    def _on(self, call: Call | None, taken: tuple[Option, ...], enter: Enter) -> list[Way]:
        """How a call can go on that was led here by these options."""
        if call is None or call.event is None:
            if call is not None and call.raised is None:
                self._name(self._step, call.result)
            return [((), enter(self._runner.state, self._names))]
        disturbed = self._quiet or any(option.disturbs for option in taken)
        messages = sum([option.returned == MESSAGE for option in taken])
        if disturbed and len(self._scope.values(call.event, messages)) == 1:
            [option] = self._options(call.event, disturbed, messages)
            return self._on_by(option, call, taken, enter)
        point = self._point(call, disturbed, messages)
        ways = self._known.get(point)
        if ways is None:
            ways = []
            for option in self._options(call.event, disturbed, messages):
                if ways:
                    call = self._replay(taken)
                ways += self._on_by(option, call, taken, enter)
            self._known[point] = ways
        return ways

    def _on_by(
        self, option: Option, call: Call | None, taken: tuple[Option, ...], enter: Enter
    ) -> list[Way]:
        assert call is not None
        self._take(call, option)
        return [
            ((option.answer, *answers), after)
            for answers, after in self._on(call, (*taken, option), enter)
        ]

    def _point(self, call: Call, disturbed: bool, messages: int) -> tuple[Any, ...]:
        """All that decides how a call goes on from the callback that it is at, the options at it included."""
        content: list[Any] = [
            disturbed,
            messages,
            self._step.result_name,
            type(call.event),
            FRAME(call.frame),
        ]
        generator: Any = call.generator
        while type(generator) is GeneratorType:
            frame: Any = generator.gi_frame
            variables = frame.f_locals
            content += (frame.f_code, frame.f_lasti, *variables)
            for each in variables.values():
                of = CONTENT.get(type(each))
                content.append(each if of is None else of(each))
            generator = generator.gi_yieldfrom
        state = self._runner.state
        buffers = state.buffers
        content += (
            FIELDS[Device](state.device),
            *[FIELDS[Client](row) for row in state.clients],
            None,
            *[FIELDS[Buffer](row) for row in buffers],
            *[row.handle for row in buffers.pending_rows()],
            None,
            *[row.handle for row in buffers.rows(Place.WRITTEN)],
            None,
            *[FIELDS[QueuedMessage](row) for row in state.send_queue],
            *self._names.items(),
        )
        return tuple(content)

    def _name(self, step: Step, result: Any) -> None:
        if step.result_name is not None and result is not None:
            handles = result.buffers if type(result) is MigrateData else result
            self._names[step.result_name] = handles

    def _release(self) -> None:
        for handle in self._names.pop("x1"):
            self._runner.call("marshaller_unref", handle)

    def _values(self, step: Step) -> list[Any]:
        return [self._value(step.call, name, value) for name, value in step.arguments.items()]

    def _value(self, call: str, name: str, value: Any) -> Any:
        if name == "buffer":
            return self._names[value]
        if name == "port":
            return None if value is None else 1
        if name == "message" or (name, call) == ("data", "write_buffer_add"):
            return bytes.fromhex(value)
        return value

    # What is answered

    def _options(self, event: Callback, disturbed: bool, messages: int) -> list[Option]:
        name = ANSWERED[type(event)]
        options = [
            Option(Answer(name, value), _returned(event, value))
            for value in self._scope.values(event, messages)
        ]
        if not disturbed:
            dull = self.answer(event)
            inner = self._scope.inside(self._runner.state, self._names)
            options += [Option(Answer(name, calls=[step]), dull, step) for step in inner]
            options += [Option(Answer(name, raises=True))] if self._scope.raises else []
        return options

    def _take(self, call: Call, option: Option) -> None:
        """Answer the callback that the call is at."""
        if option.answer.raises:
            call.answer(raised=CallbackError("raised in the exploration"))
            return
        if option.inner is not None:
            self._perform(option.inner)
        call.answer(option.returned)

    def _perform(self, step: Step) -> None:
        """A call inside a callback."""
        if step.call == "migrate_data_release":
            self._release()
            return
        try:
            result = self._runner.call(step.call, *self._values(step))
        except BadMigrationDataError:
            return
        self._name(step, result)

    # The environment

    def choose(self, event: Choice) -> int | bool:
        """One buffer a write, and no limit: what an implementation chooses is no business of the walks."""
        return isinstance(event, ChooseGoOn) or 1

    def answer(self, event: Callback) -> Any:
        """The callbacks of calls inside a callback are answered the dull way."""
        return _returned(event, None)


def _returned(event: Callback, value: Any) -> Any:
    """What a callback returns that is answered by `value`."""
    if type(event) is PortWrite:
        size = len(event.data)
        if type(value) is int:
            return min(value, size)
        return {"fail": -1, "over": size + 1}.get(value, size)
    return MESSAGE if value else None
