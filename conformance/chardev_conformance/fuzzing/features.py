"""What a run showed, as numbers: the feedback that guides a campaign.

A *feature* is one of these, hashed into a number below `FEATURES`:

- a *transition* of the specification, and a *pair* of them (`chardev_conformance.coverage`);
- a *move*: from one place in the specification's text where it waits for a callback's answer, by a kind of answer, to
  the next place; and two moves in a row;
- a *disturbance*: which calls were made inside a callback, and the places before and after it; and a place inside
  another;
- a *trace*: which callbacks an outermost call was seen to make;
- *code* of the target itself that ran, where that can be had (`own_code`).

All but the last are had with any target, since it is the specification that is watched.
"""

from collections.abc import Iterable, Iterator
from enum import IntEnum
from functools import cache
from types import GeneratorType
from typing import Any, Final, TypeAlias
from zlib import crc32

from chardev_conformance.coverage import Mode, Pair, Transition
from chardev_conformance.lockstep import Lockstep, Script
from chardev_conformance.scenario import Answer, Scenario, Step
from chardev_spec.events import Callback
from chardev_spec.runner import Call

FEATURES: Final = 1 << 20
"""How many features are told apart: a set of all of them takes 128 KiB, and few of those that occur share a number."""

LONGEST_TRACE: Final = 12
"""Callbacks of a call that count for its trace: long ones differ in too many ways that mean nothing."""


class Kind(IntEnum):
    """What a feature is about; it stands in the lowest bits of its number."""

    PAIR = 0
    TRANSITION = 1
    TRACE = 2
    MOVE = 3
    MOVES = 4
    DISTURBANCE = 5
    INSIDE = 6
    CODE = 7


_Key: TypeAlias = tuple[int, ...]

_words: dict[str, int] = {}


def word(text: str) -> int:
    """A number for a word, the same in every process."""
    number = _words.get(text)
    if number is None:
        number = _words[text] = crc32(text.encode())
    return number


def feature(kind: Kind, *key: int | _Key) -> int:
    """The number of a feature; a tuple of integers hashes alike in every process."""
    return hash(key) % (FEATURES // len(Kind)) * len(Kind) + kind


def kind_of(number: int) -> Kind:
    """What a feature is about."""
    return Kind(number % len(Kind))


def _place(call: Call) -> int:
    """Where in its text the specification waits: the lines of the generators on this call's stack."""
    lines = [word(call.function)]
    generator: Any = call.generator
    while type(generator) is GeneratorType:
        frame = generator.gi_frame
        if frame is not None:
            lines.append(frame.f_lineno)
        generator = generator.gi_yieldfrom
    return hash(tuple(lines))


@cache
def _words_of(mode: Mode) -> _Key:
    return tuple(map(word, mode))


def _transition(transition: Transition) -> int:
    before, call, after = transition
    return hash((*_words_of(before), word(call), *_words_of(after)))


def _answer_kind(answer: Answer) -> int:
    """An answer without its count."""
    value = answer.value
    if answer.raises:
        return 1
    if value is None or isinstance(value, bool):
        return 2 + bool(value)
    return word(value) if isinstance(value, str) else 4 + (value > 0)


class Watched:
    """A script that notes where in its text the specification waited, for every callback."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.places: list[int] = []

    def step(self, lockstep: Lockstep) -> Step | None:
        """The script's."""
        return self._script.step(lockstep)

    def nested_step(self, lockstep: Lockstep) -> Step | None:
        """The script's."""
        return self._script.nested_step(lockstep)

    def answer(self, lockstep: Lockstep, unused: list[Answer], event: Callback) -> Answer:
        """The script's."""
        call = lockstep.frames[-1].call
        self.places.append(0 if call is None else _place(call))
        return self._script.answer(lockstep, unused, event)


def features(
    performed: Scenario,
    places: Iterable[int],
    transitions: Iterable[Transition],
    pairs: Iterable[Pair],
) -> set[int]:
    """The features that a run showed.

    `pairs` are of its `transitions`.
    `performed` is its scenario as it was performed, `places` what `Watched` noted; the answers in the one stand in the
    order of the other.
    """
    numbers = {each: _transition(each) for each in transitions}
    found = {feature(Kind.TRANSITION, number) for number in numbers.values()}
    found |= {feature(Kind.PAIR, numbers[one], numbers[two]) for one, two in pairs}
    noted = iter(places)
    for step in performed.steps:
        _moves(step, noted, found, 0)
        kinds = tuple(word(answer.on) for answer in step.answers[:LONGEST_TRACE])
        found.add(feature(Kind.TRACE, word(step.call), kinds))
    return found


def _moves(step: Step, places: Iterator[int], found: set[int], outer: int) -> None:
    """Add the moves of a call and of those inside it; `outer` is where the call around it waits."""
    call = word(step.call)
    earlier, before, kind = 0, call, 0
    inside: _Key = ()
    if outer:
        found.add(feature(Kind.INSIDE, outer, call))
    for answer in step.answers:
        place = next(places, 0)
        found.add(feature(Kind.MOVE, before, kind, place))
        found.add(feature(Kind.MOVES, earlier, before, place))
        if inside:
            found.add(feature(Kind.DISTURBANCE, before, place, inside))
        if outer:
            found.add(feature(Kind.INSIDE, outer, place))
        for nested in answer.calls:
            _moves(nested, places, found, place)
        inside = tuple(word(nested.call) for nested in answer.calls[:2])
        earlier, before, kind = before, place, _answer_kind(answer)
    found.add(feature(Kind.MOVE, before, kind, 0))
    if inside:
        found.add(feature(Kind.DISTURBANCE, before, 0, inside))
