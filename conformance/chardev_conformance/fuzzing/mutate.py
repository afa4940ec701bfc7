"""Structure-aware changes of scenarios, and the script that performs a changed one and goes on from its end."""

from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Final

from chardev_conformance.lockstep import Lockstep
from chardev_conformance.scenario import (
    EVENT_NAMES,
    Answer,
    Kind,
    Scenario,
    Step,
    WriteAnswer,
    kind,
    walk,
)
from chardev_conformance.scripts import CLIENTS, PORTS, RandomScript, take
from chardev_conformance.situations import SITUATIONS, Cast
from chardev_spec.events import Callback
from chardev_spec.state import UINT32_MAX

MOST_STEPS: Final = 120
"""Steps of a changed scenario: splicing and repeating must not make them grow without end."""

DEEPEST: Final = 5
"""How deep calls are nested at most: what is beyond hardly ever means something else."""

EDGES: Final = (0, 1, 2, 3, 5, UINT32_MAX)
"""Counts at which rules change their mind."""

TAKEN: Final[tuple[WriteAnswer, ...]] = ("all", 0, 1, "fail", "over")
"""What a write may be answered."""


class Mutation:
    """Changes a scenario; `other` is where spliced parts come from."""

    def __init__(self, random: Random, scenario: Scenario, other: Scenario) -> None:
        self.scenario = scenario
        self._random = random
        self._other = other
        self._fresh = 0

    def apply(self, count: int) -> None:
        """Make so many changes."""
        for _ in range(count):
            self._random.choice(CHANGES)(self)
        del self.scenario.steps[MOST_STEPS:]
        _flatten(self.scenario.steps, DEEPEST)

    # Where

    def _position(self) -> int:
        """A step after the first, which creates the device; later ones more often."""
        steps = len(self.scenario.steps)
        return max(self._random.randint(1, steps), self._random.randint(1, steps))

    def _range(self, steps: list[Step]) -> list[Step]:
        """A short run of steps."""
        if len(steps) < 2:
            return []
        begin = self._random.randrange(1, len(steps))
        return steps[begin : begin + self._random.choice([1, 1, 2, 3, 5, 8])]

    def _any_step(self) -> Step:
        return self._random.choice([*walk(self.scenario.steps)])

    def _answers(self) -> list[Answer]:
        return [answer for step in walk(self.scenario.steps) for answer in step.answers]

    def _renamed(self, steps: list[Step]) -> list[Step]:
        """A copy whose results have names of their own, so that they mean what they meant where they came from."""
        steps = deepcopy(steps)
        names: dict[str, str] = {}
        for step in walk(steps):
            for name, value in step.arguments.items():
                if name in {"buffer", "data"} and value in names:
                    step.arguments[name] = names[value]
            if step.result_name is not None:
                self._fresh += 1
                names[step.result_name] = f"n{self._fresh}{step.result_name[:24]}"
                step.result_name = names[step.result_name]
        return steps

    # What

    def splice(self) -> None:
        """Put steps of the other scenario in."""
        position = self._position()
        self.scenario.steps[position:position] = self._renamed(self._range(self._other.steps))

    def go_on_as_other(self) -> None:
        """Go on as the other scenario does, from some point on."""
        steps = self._other.steps
        if len(steps) > 1:
            tail = steps[self._random.randrange(1, len(steps)) :]
            self.scenario.steps[self._position() :] = self._renamed(tail)

    def repeat(self) -> None:
        """Do a few steps again, up to three times."""
        steps = self._range(self.scenario.steps)
        position = self._position()
        for _ in range(self._random.choice([1, 1, 2, 3])):
            self.scenario.steps[position:position] = self._renamed(steps)

    def leave_out(self) -> None:
        """Leave a few steps out."""
        for step in self._range(self.scenario.steps):
            if step in self.scenario.steps:
                self.scenario.steps.remove(step)

    def exchange(self) -> None:
        """Do two neighbouring steps the other way round."""
        steps = self.scenario.steps
        if len(steps) > 2:
            i = self._random.randrange(1, len(steps) - 1)
            steps[i], steps[i + 1] = steps[i + 1], steps[i]

    def move_inside(self) -> None:
        """Move a step, and sometimes those after it, into a callback of an earlier one."""
        steps = self.scenario.steps
        answers = self._answers()
        if len(steps) < 2 or not answers:
            return
        answer = self._random.choice(answers)
        begin = self._random.randrange(1, len(steps))
        moved = steps[begin : begin + self._random.choice([1, 1, 1, 2, 3])]
        if any(each is answer for step in walk(moved) for each in step.answers):
            return  # nothing can be moved into itself
        del steps[begin : begin + len(moved)]
        answer.calls += moved

    def copy_inside(self) -> None:
        """Do a step of the other scenario inside a callback."""
        answers = self._answers()
        if answers:
            calls = self._renamed(self._range(self._other.steps))
            self._random.choice(answers).calls += calls[:3]

    def move_out(self) -> None:
        """Move what a callback does to after its call."""
        for i, step in enumerate(self.scenario.steps):
            nested = [answer for answer in step.answers if answer.calls]
            if nested and self._random.random() < 0.5:
                answer = self._random.choice(nested)
                self.scenario.steps[i + 1 : i + 1] = answer.calls
                answer.calls = []
                return

    def shift_fault(self) -> None:
        """Take a fault, or a short write, from one callback to another."""
        answers = self._answers()
        writes = [answer for answer in answers if answer.on == "write"]
        raising = [answer for answer in answers if answer.raises]
        if raising and self._random.random() < 0.5:
            self._random.choice(raising).raises = False
            self._random.choice(answers).raises = True
        elif len(writes) > 1:
            one, two = self._random.sample(writes, k=2)
            one.value, two.value = two.value, one.value

    def vary_answer(self) -> None:
        """Answer a callback otherwise."""
        answers = self._answers()
        if not answers:
            return
        answer = self._random.choice(answers)
        if answer.on == "write":
            answer.value = self._random.choice(TAKEN)
        elif answer.on == "read_one_msg_from_device":
            answer.value = not answer.value
        elif self._random.random() < 0.3:
            answer.raises = not answer.raises

    def vary_argument(self) -> None:
        """Give an argument another value: a count its edge, a name another one."""
        step, random = self._any_step(), self._random
        if not step.arguments or step.call == "create":
            return
        name = random.choice([*step.arguments])
        old = step.arguments[name]
        match kind(step.call, name):
            case Kind.FLAG:
                step.arguments[name] = not old
            case Kind.NUMBER:
                step.arguments[name] = random.choice([*EDGES, old + 1, max(old - 1, 0)])
            case Kind.SIZE:
                step.arguments[name] = random.choice([0, 1, 2, old + 1])
            case Kind.DURATION:
                step.arguments[name] = random.choice([1, 50, 99, 100, 30_000])
            case Kind.NAME | Kind.NAME_OR_NULL if name == "client":
                step.arguments[name] = random.choice(CLIENTS)
            case Kind.NAME | Kind.NAME_OR_NULL if name == "port":
                step.arguments[name] = random.choice([*PORTS, None])
            case Kind.BYTES if old and step.call == "restore":
                step.arguments[name] = self._damaged(bytes.fromhex(old)).hex()
            case Kind.BYTES:
                step.arguments[name] = old[: 2 * random.randint(0, len(old) // 2)]

    def _damaged(self, message: bytes) -> bytes:
        """A migration message with one byte changed, or cut short."""
        random = self._random
        if random.random() < 0.2:
            return message[: random.randrange(len(message))]
        changed = bytearray(message)
        changed[random.randrange(len(changed))] = random.choice([0, 1, 2, 33, 127, 255])
        return bytes(changed)

    def vary_create(self) -> None:
        """Another announcement interval, or other self tokens."""
        for step in self.scenario.steps[:1]:
            if step.call == "create":
                name = self._random.choice(["client_tokens_interval", "self_tokens"])
                step.arguments[name] = self._random.choice([0, 1, 2, 3])

    def vary_ports(self) -> None:
        """A port that announces writability does no more, or the other way round; or another limit (WR-5)."""
        ports = self.scenario.ports
        if self._random.random() < 0.5:
            self.scenario.moves_per_call = self._random.choice([None, 1, 2, 3])
        else:
            port = self._random.choice([*ports])
            ports[port] = not ports[port]

    def put_situation_in(self) -> None:
        """Put in a run of calls that was thought of beforehand."""
        random = self._random
        client, other = random.sample(CLIENTS, k=2)
        port, other_port, _ = random.sample(PORTS, k=3)

        def name(prefix: str) -> str:
            self._fresh += 1
            return f"{prefix}s{self._fresh}"

        cast = Cast(client, other, port, other_port, name, lambda size: "5a" * size)
        position = self._position()
        self.scenario.steps[position:position] = random.choice(SITUATIONS)(cast)


CHANGES: Final[tuple[Callable[[Mutation], None], ...]] = (
    Mutation.splice,
    Mutation.splice,
    Mutation.go_on_as_other,
    Mutation.repeat,
    Mutation.leave_out,
    Mutation.exchange,
    Mutation.move_inside,
    Mutation.move_inside,
    Mutation.copy_inside,
    Mutation.copy_inside,
    Mutation.move_out,
    Mutation.shift_fault,
    Mutation.vary_answer,
    Mutation.vary_answer,
    Mutation.vary_argument,
    Mutation.vary_argument,
    Mutation.vary_create,
    Mutation.vary_ports,
    Mutation.put_situation_in,
)
"""Every kind of change; what is worth more stands here twice."""


def _flatten(steps: list[Step], deepest: int) -> None:
    """Take out the calls that are nested too deep, and the passing of time, which is no call inside another."""
    for step in steps:
        for answer in step.answers:
            if deepest == 0:
                answer.calls = []
            answer.calls = [call for call in answer.calls if call.call != "advance"]
            _flatten(answer.calls, deepest - 1)


class GuidedScript(RandomScript):
    """Performs a scenario, with some luck makes further calls inside its callbacks, then goes on at random.

    `calls` is how many calls it makes of its own; what has no answer in the scenario is answered at random.
    With `exact` nothing is added to the scenario but, when it `settles`, the calls after which nothing should be owed.
    """

    def __init__(
        self,
        random: Random,
        scenario: Scenario,
        *,
        calls: int,
        exact: bool = False,
        settles: bool = True,
    ) -> None:
        super().__init__(random, calls=calls)
        self._planned = []
        self._steps = list(scenario.steps)
        self._next = 0
        self._guided = True
        if not settles:
            self._settling = []
        # Names of its own: those of the scenario may be in use already.
        self._names = 1000
        self._tail_nesting = self._nesting
        self._nesting = 0.0 if exact else random.choice([0.0, 0.0, 0.03, 0.15])
        self._quiet = exact or random.random() < 0.5

    def step(self, lockstep: Lockstep) -> Step | None:
        """The scenario's next step, then steps at random."""
        if self._guided:
            if self._next < len(self._steps):
                self._next += 1
                return self._steps[self._next - 1]
            self._guided = False
            self._nesting = self._tail_nesting
        return super().step(lockstep) if lockstep.pairs else None

    def answer(self, lockstep: Lockstep, unused: list[Answer], event: Callback) -> Answer:
        """The scenario's answer, else one at random, or in half of all runs the dull one."""
        if self._guided and self._quiet:
            name = EVENT_NAMES[type(event).__name__]
            return take(unused, name) or Answer(name)
        return super().answer(lockstep, unused, event)
