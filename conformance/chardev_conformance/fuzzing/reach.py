"""What of the contract a campaign has reached, what it has not, and what that would need."""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from chardev_conformance.coverage import Statistics
from chardev_conformance.fuzzing.campaign import Campaign
from chardev_conformance.fuzzing.features import Kind
from chardev_conformance.results import exercised
from chardev_conformance.scenario import EVENT_NAMES, PARAMETERS
from chardev_spec.registry import EVENTS, FUNCTIONS
from chardev_spec.rules import RULES

CALLBACKS: Final = tuple(EVENT_NAMES.values())

INSIDE: Final = tuple(call for call in PARAMETERS if call != "advance")
"""The calls that may be made inside a callback: time passes outside."""


@dataclass(frozen=True, slots=True)
class Reach:
    """For each rule in force, whether it was reached; for each call inside a callback, likewise."""

    rule_table: dict[str, bool]
    inside: frozenset[tuple[str, str]]

    @property
    def rules(self) -> int:
        """How many rules were reached."""
        return sum(self.rule_table.values())

    @property
    def places(self) -> int:
        """How many pairs of a callback and a call inside it there are."""
        return len(CALLBACKS) * len(INSIDE)

    def figures(self, kinds: Counter[int]) -> str:
        """What was reached besides rules; `kinds` counts features."""
        return (
            f"{kinds[Kind.TRANSITION]:,} transitions, {kinds[Kind.PAIR]:,} pairs, "
            f"{len(self.inside)} of {self.places} calls inside callbacks"
        )


def reach(campaign: Campaign) -> Reach:
    """What a campaign has reached."""
    statistics = Statistics(functions=dict.fromkeys(campaign.functions, 1))
    return Reach(exercised(statistics), frozenset(campaign.inside))


def never(reached: Reach) -> list[tuple[str, str]]:
    """What was never reached, and what it would need."""
    missing = []
    for rule, ran in reached.rule_table.items():
        if not ran:
            carriers = [each.name for each in FUNCTIONS.values() if rule in each.rules]
            missing.append(
                (f"{rule} ({RULES[rule].title})", f"a run of {' or '.join(sorted(carriers))}")
            )
    kinds = {name: kind for kind, name in EVENT_NAMES.items()}
    for callback in CALLBACKS:
        made = {call for on, call in reached.inside if on == callback}
        lacking = [call for call in INSIDE if call not in made]
        if not lacking:
            continue
        rules = ", ".join(EVENTS[kinds[callback]].rules)
        need = f"the callback itself, with any call inside it: see {rules}"
        if made:
            need = f"another call inside it: {len(made)} others were made there"
        missing.append((f"inside {callback}: {', '.join(lacking)}", need))
    return missing
