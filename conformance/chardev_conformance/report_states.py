"""What the specification's state was at every step of a failure, as a table beside its sequence diagram.

Theory of operation
===================
A trace holds what the implementation did, so the lockstep can judge it again without the implementation.
That is done here, and the specification's state is looked at whenever the implementation leaves a device: in a
callback, and at the end of a call.
The rows have the numbers of those arrows in the diagram; the last is the state that the failure was found in.
"""

from functools import partial
from typing import Any, Final, NamedTuple

from chardev_conformance.adapters.recorded import RecordedTarget, RecordEndError
from chardev_conformance.lockstep import Lockstep
from chardev_conformance.report_diagram import OUTSIDE
from chardev_conformance.scenario import Answer, Scenario, ScenarioError, Step
from chardev_conformance.scripts import Replay
from chardev_conformance.snapshots import HIDDEN, plain, snapshot
from chardev_conformance.walk_text import event_text
from chardev_spec.contract import Contract
from chardev_spec.events import Callback


class Standing(NamedTuple):
    """The state at one arrow of the diagram: what is different from the one before it."""

    at: str
    changes: list[str]


def states(scenario: Scenario, machine: type[Contract]) -> list[Standing]:
    """What changed in the specification's state from arrow to arrow; empty when the scenario records nothing."""
    if scenario.observed is None:
        return []
    recorded = partial(RecordedTarget, observed=scenario.observed, scenario=scenario)
    watched = _Watched(recorded, _Script(scenario), scenario, machine=machine)
    try:
        finding = watched.run()
    except (RecordEndError, ScenarioError):
        return watched.standings
    if finding is not None:
        watched.note("the failure")
    return watched.standings


class _Watched(Lockstep):
    """A lockstep that looks at the specification whenever the implementation leaves a device."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.standings: list[Standing] = []
        self._known: dict[str, dict[str, Any]] = {}

    def perform(self, step: Step, performed: list[Step]) -> None:
        """Perform a call, then look."""
        before = len(performed)
        super().perform(step, performed)
        if len(performed) > before and step.call not in OUTSIDE:
            self.note(f"{step.call} ends")

    def note(self, at: str) -> None:
        """Keep what has changed."""
        now = self._things()
        changes = [
            text
            for thing in [*now, *(self._known.keys() - now.keys())]
            if (text := _change(thing, self._known.get(thing), now.get(thing))) is not None
        ]
        self.standings.append(Standing(at, changes))
        self._known = now

    def _things(self) -> dict[str, dict[str, Any]]:
        """Everything there is, on all devices; with more than one, the device's name is before it."""
        things = {}
        for device, pair in self.pairs.items():
            names = {
                known.spec: name
                for name, known in self.named.items()
                if known.device == device and isinstance(known.spec, int)
            }
            port = next(
                (
                    name
                    for name, i in self._port_numbers.items()
                    if i == pair.runner.state.device.port
                ),
                None,
            )
            prefix = f"{device} " if len(self.pairs) > 1 else ""
            for thing, fields in snapshot(pair.runner.state, names, port).items():
                shown = {name: plain(each) for name, each in fields.items() if name not in HIDDEN}
                things[prefix + thing] = shown
        return things


class _Script(Replay):
    """Replays, and looks at every callback."""

    def answer(self, lockstep: Lockstep, unused: list[Answer], event: Callback) -> Answer:
        """The recorded answer."""
        assert isinstance(lockstep, _Watched)
        lockstep.note(event_text(event))
        return super().answer(lockstep, unused, event)


def _change(thing: str, before: dict[str, str] | None, now: dict[str, str] | None) -> str | None:
    """How a thing has changed, in words; None when it has not."""
    if now is None:
        return f"{thing} is gone"
    if before is None:
        told = ", ".join(f"{name} {each}" for name, each in now.items() if each not in DULL)
        return f"{thing} is new: {told}"
    told = ", ".join(
        f"{name} {before[name]} → {each}" for name, each in now.items() if before[name] != each
    )
    return f"{thing}: {told}" if told else None


DULL: Final = frozenset({"no", "none", "0", "empty", ""})
"""What is not told of a new thing."""
