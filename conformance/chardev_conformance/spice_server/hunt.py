"""The hunt: scenarios at random against the real library, every distinct finding made as small as it gets.

Theory of operation
===================
Well-behaved scenarios and wild ones take turns, and are counted apart.
The seed and the number of a scenario decide it, so a hunt that was interrupted goes on where it was.
What the library does is compared with what is known of it, the profile of its release; each deviation that the profile
knows is a finding when a scenario is the first to show it (`known.witness`).
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Final

from chardev_conformance.spice_server.generate import generate
from chardev_conformance.spice_server.isolation import Isolated, Outcome
from chardev_conformance.spice_server.judge import CRASH, Finding, compare, judge
from chardev_conformance.spice_server.known import (
    QUIRK,
    predictable,
    quirks_and_releases,
    release,
    specified,
    witness,
)
from chardev_conformance.spice_server.owner_quirks import Implementation
from chardev_conformance.spice_server.shrink import shrink
from chardev_conformance.spice_server.steps import Scenario

HANDS: Final = {
    **dict.fromkeys(
        (
            "start",
            "tokens",
            "data",
            "begin",
            "more",
            "send",
            "close",
            "deaf",
            "hear",
            "link",
            "link_bytes",
        ),
        "a client",
    ),
    **dict.fromkeys(("seamless", "connected", "flush", "restore"), "a client"),
    **dict.fromkeys(("room", "feed", "wakeup", "event"), "the guest"),
    **dict.fromkeys(("answer", "inside", "attach", "detach", "stop", "run"), "the host"),
    **dict.fromkeys(("migrate", "cancel", "connect"), "the host"),
    "advance": "time",
}
"""Who makes a step."""


@dataclass(frozen=True, slots=True)
class Found:
    """A finding with the scenario that shows it."""

    finding: Finding
    scenario: Scenario
    wild: bool
    """Whether it was found among scenarios in which somebody breaks the protocol."""
    seconds: float
    """How long after the beginning."""

    @property
    def severity(self) -> str:
        """How bad it is, and who brings it about."""
        last = int(self.finding.where.partition(" ")[2].partition(":")[0])
        hand = HANDS[self.scenario.steps[min(last, len(self.scenario.steps)) - 1].do]
        if self.finding.kind != CRASH:
            return "deviation" if self.finding.kind == QUIRK else "wrong behaviour"
        manner = "wild" if self.wild else "well-behaved"
        return f"crash by {hand}, {manner}"


@dataclass(slots=True)
class Campaign:
    """What a hunt has done so far."""

    seed: int
    scenarios: dict[str, int] = field(default_factory=lambda: {"well-behaved": 0, "wild": 0})
    steps: dict[str, int] = field(default_factory=lambda: {"well-behaved": 0, "wild": 0})
    deaths: int = 0
    seconds: float = 0.0
    found: dict[tuple[str, str], Found] = field(default_factory=dict)
    interrupted: bool = False


def hunt(
    campaign: Campaign,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    progress: Callable[[Campaign], None] = lambda _: None,
) -> None:
    """Go on with a campaign until it has made so many steps, or so much time has passed since it began."""
    known = release()
    seen = {found.finding.symptom.partition(":")[0] for found in campaign.found.values()}
    unseen = {
        quirk: without
        for quirk, without in quirks_and_releases().items()
        if quirk.__name__ not in seen
    }
    first = sum(campaign.scenarios.values())
    begin = time.monotonic() - campaign.seconds
    campaign.interrupted = False

    def wanted() -> bool:
        campaign.seconds = time.monotonic() - begin
        made = sum(campaign.steps.values())
        return (steps is None or made < steps) and (seconds is None or campaign.seconds < seconds)

    def scenarios() -> Iterator[Scenario]:
        for number in count(first):
            if not wanted():
                return
            yield generate(Random(f"{campaign.seed}.{number}"), known, wild=number % 2 == 1)

    with Isolated() as process, Isolated() as other:
        try:
            for number, (scenario, outcome) in enumerate(process.run_all(scenarios()), first):
                wild = number % 2 == 1
                finding = judge(scenario, outcome, known)
                if finding is not None and _is_news(campaign, finding, wild=wild):
                    _keep(campaign, other, known, scenario, finding, wild=wild)
                elif finding is None or finding.kind == CRASH:
                    _look_for_quirks(campaign, other, unseen, scenario, outcome, wild=wild)
                name = "wild" if wild else "well-behaved"
                campaign.scenarios[name] += 1
                campaign.steps[name] += len(outcome.observations)
                campaign.deaths += outcome.died
                progress(campaign)
        except KeyboardInterrupt:
            campaign.interrupted = True
    wanted()


def _is_news(campaign: Campaign, finding: Finding, *, wild: bool) -> bool:
    """Whether a finding is the first of its kind, or the first that needs no wild peer: that is worse."""
    known = campaign.found.get(finding.key)
    return known is None or (known.wild and not wild)


def _keep(
    campaign: Campaign,
    process: Isolated,
    known: Implementation,
    scenario: Scenario,
    finding: Finding,
    *,
    wild: bool,
) -> None:
    """Enter a new finding, with its scenario made as small as it gets.

    What well-behaved peers showed well-behaved ones show in the end, too: half a message left out breaks the protocol.
    """
    keep_protocol = not wild and predictable(scenario)

    def shows(smaller: Scenario) -> bool:
        if keep_protocol and not predictable(smaller):
            return False
        again = judge(smaller, process.run(smaller), known)
        return again is not None and again.key == finding.key

    if not shows(scenario):
        return  # a machine that was busy elsewhere, for one: what does not come again is no finding
    small = shrink(scenario, shows, attempts=150)
    again = judge(small, process.run(small), known) or finding
    before = campaign.found.get(finding.key)
    seconds = campaign.seconds if before is None else before.seconds
    campaign.found[finding.key] = Found(again, small, wild, seconds)


def _look_for_quirks(
    campaign: Campaign,
    process: Isolated,
    unseen: dict[type, Implementation],
    scenario: Scenario,
    outcome: Outcome,
    *,
    wild: bool,
) -> None:
    """Enter the quirks that this scenario is the first to show."""
    known = release()
    for quirk, without in [*unseen.items()]:
        finding = witness(quirk, without, scenario, outcome)
        if finding is None:
            continue

        def differs(smaller: Scenario, without: Implementation = without) -> bool:
            """Whether the specification tells the two apart: that costs no process."""
            return compare(smaller, Outcome(specified(known, smaller), "", []), without) is not None

        small = shrink(scenario, differs, attempts=150)
        # The library has the last word.
        again = process.run(small)
        shown = witness(quirk, without, small, again)
        if shown is None or compare(small, again, known) is not None:
            shown, small = finding, scenario
        campaign.found[shown.key] = Found(shown, small, wild, campaign.seconds)
        del unseen[quirk]
