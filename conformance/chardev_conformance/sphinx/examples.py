"""Worked examples: traces that the specification runs while the page is made.

An example is a trace file with three more keys in its first line: ``title``, ``shows`` (the function whose page it is
for), and ``from`` (the number of the first step that is drawn; those before it only prepare).
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chardev_conformance.scenario import Scenario, ScenarioError
from chardev_conformance.sphinx.blocks import bullets, folded, inside, table
from chardev_conformance.sphinx.diagrams import sequence
from chardev_conformance.sphinx.links import reference
from chardev_conformance.trace import loads
from chardev_conformance.walk import Begin, Moment, Walk
from chardev_conformance.walk_text import call_text, decision_text, event_text
from chardev_spec.contract import Contract
from chardev_spec.profiles import PROFILES
from chardev_spec.registry import FUNCTIONS

OF_THE_RUN: Final = frozenset({"now_ms", "frames", "port_generation", "handle", "order"})
"""Fields whose changes say nothing: they count what happened."""


@dataclass(frozen=True, slots=True)
class Example:
    """A trace, and what it is to show."""

    name: str
    title: str
    shows: str
    first: int
    """The number of the first step that is drawn."""
    scenario: Scenario
    text: str
    """The trace file as it is."""

    def run(
        self, machine: type[Contract] = Contract
    ) -> tuple[list[Moment], list[Moment], Walk, dict[str, Any]]:
        """The moments of the preparation and of what is shown, the walk, and the state between the two."""
        walk = Walk(self.scenario.ports, self.scenario.moves_per_call, machine)
        for step in self.scenario.steps[: self.first - 1]:
            walk.perform(step)
        prepared = len(walk.moments)
        before = _snapshots(walk)
        for step in self.scenario.steps[self.first - 1 :]:
            walk.perform(step)
        return walk.moments[:prepared], walk.moments[prepared:], walk, before

    def lines(self) -> Iterator[str]:
        """The example as reStructuredText: what was before, the picture, what changed."""
        before, shown, walk, state = self.run()
        yield from ("", f".. rubric:: {self.title}", "   :heading-level: 3", "")
        given = [
            call_text(each.decision.step) for each in before if isinstance(each.decision, Begin)
        ]
        if given:
            yield from folded(
                f"Before it: {len(given)} calls", bullets(f"``{each}``" for each in given)
            )
        label = f"Sequence diagram: {self.title}"
        yield from inside(f".. chardev:diagram:: {label}", sequence(shown).splitlines())
        yield from folded("The same in words", bullets(map(decision_text, shown)))
        changed = list(_differences(state, _snapshots(walk)))
        if changed:
            yield from table(("State", "Before", "After"), changed, "50 25 25")
        else:
            yield from ("", "The state is the same after it.", "")
        yield from ("", f":chardev:stepper:`Walk through it <{encoded(self.text)}>`", "")

    def release_lines(self) -> Iterator[str]:
        """Where releases make other callbacks in this example, as reStructuredText."""
        expected = _observed(self.run()[1])
        lines = []
        for profile in PROFILES.values():
            if profile.machine is Contract:
                continue
            seen = _observed(self.run(profile.machine)[1])
            name = reference("profile", profile.name)
            if seen == expected:
                lines.append(f"{name}: what the contract does")
            else:
                at = next(
                    (i for i, (a, b) in enumerate(zip(expected, seen, strict=False)) if a != b),
                    min(len(expected), len(seen)),
                )
                wanted = expected[at] if at < len(expected) else "nothing more"
                got = seen[at] if at < len(seen) else "nothing more"
                lines.append(f"{name}: ``{got}`` where the contract has ``{wanted}``")
        yield from ("", f"What releases do in the run above ({self.title}):", "")
        yield from bullets(lines)


def _snapshots(walk: Walk) -> dict[str, Any]:
    several = len(walk.runners) > 1
    return {
        (f"{device} {thing}" if several else thing): row
        for device in walk.runners
        for thing, row in walk.snapshot(device).items()
    }


def _differences(before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for thing in dict.fromkeys([*before, *after]):
        old, new = before.get(thing), after.get(thing)
        if old is None or new is None:
            yield thing, "is there" if old else "is not there", "is there" if new else "is gone"
            continue
        for name, value in new.items():
            if old[name] != value and name not in OF_THE_RUN:
                yield f"{thing}: {name}", f"``{_shown(old[name])}``", f"``{_shown(value)}``"


def _shown(value: Any) -> str:
    return str(value) if value != "" else "empty"


def _observed(moments: list[Moment]) -> list[str]:
    """What can be seen of a run from outside."""
    seen = []
    for moment in moments:
        if moment.refusal is not None:
            seen.append(f"refused: {moment.refusal.error}")
        elif moment.waiting is not None:
            seen.append(event_text(moment.waiting))
        elif moment.result is not None:
            seen.append(f"returns {moment.result}")
        else:
            seen.append("the end of the call")
    return seen


def encoded(trace: str) -> str:
    """A trace as the address of the page that walks through it has it."""
    return base64.urlsafe_b64encode(trace.encode()).decode().rstrip("=")


def load_examples(folder: Path) -> list[Example]:
    """The examples of a folder, by the names of their files; raises `ScenarioError` for one that cannot be used."""
    return [load_example(path) for path in sorted(folder.glob("*.jsonl"))]


def load_example(path: Path) -> Example:
    """The example in a file; raises `ScenarioError` when it cannot be used."""
    text = path.read_text(encoding="utf-8")
    scenario = loads(text, str(path))
    header = json.loads(text.partition("\n")[0])
    title, shows, first = header.get("title"), header.get("shows"), header.get("from", 1)
    if not isinstance(title, str) or shows not in FUNCTIONS or not isinstance(first, int):
        raise ScenarioError(
            f"{path}:1: an example has a 'title', the function that it 'shows', and 'from' which step it is drawn"
        )
    return Example(path.stem, title, shows, first, scenario, text)
