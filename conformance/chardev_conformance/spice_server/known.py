"""What is known of the library: the profile of its release, and which quirk a difference is.

Theory of operation
===================
A quirk is *witnessed* by a scenario of which the release without that quirk would show something else than the library
does.
So whether the library has it is not read off what the contract would show, which many quirks change at once.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Any, Final

from chardev_conformance.spice_server.isolation import Outcome
from chardev_conformance.spice_server.judge import Finding, compare, judge
from chardev_conformance.spice_server.observation import Observation
from chardev_conformance.spice_server.owner_quirks import OWNER_QUIRKS, Implementation
from chardev_conformance.spice_server.specified import UnpredictableError
from chardev_conformance.spice_server.steps import Scenario
from chardev_spec.errors import ContractError
from chardev_spec.profiles import PROFILES
from chardev_spec.profiles.quirk import Quirk, summary
from chardev_spec.registry import cited

PROFILE: Final = "spice-0.15"
"""The profile of the library's release."""

QUIRK: Final = "quirk"
"""The third kind of finding: a deviation from the contract that the profile knows."""


@cache
def release() -> Implementation:
    """What is known of the library."""
    return Implementation(PROFILES[PROFILE].machine, OWNER_QUIRKS)


@cache
def quirks_and_releases() -> dict[type, Implementation]:
    """Each quirk of the device and of its owners, with the release that does not have it."""
    profile = PROFILES[PROFILE]
    known: dict[type, Implementation] = {
        quirk: Implementation(profile.without(quirk).machine, OWNER_QUIRKS)
        for quirk in profile.quirks
    }
    for quirk in OWNER_QUIRKS:
        rest = tuple(each for each in OWNER_QUIRKS if each is not quirk)
        known[quirk] = Implementation(profile.machine, rest)
    return known


def witness(
    quirk: type, without: Implementation, scenario: Scenario, outcome: Outcome
) -> Finding | None:
    """The finding that the library has a quirk, if this scenario shows it."""
    difference = compare(scenario, outcome, without)
    if difference is None:
        return None
    return replace(
        difference,
        kind=QUIRK,
        rules=cited(quirk.__doc__),
        symptom=f"{quirk.__name__}: {_summary(quirk)}",
    )


def _summary(quirk: type) -> str:
    if issubclass(quirk, Quirk):
        return summary(quirk)
    sentence = (quirk.__doc__ or "").partition("\n")[0].partition(": ")[2]
    return sentence[:1].upper() + sentence[1:]


def comes_again(said: Mapping[str, Any], scenario: Scenario, outcome: Outcome) -> Finding | None:
    """The finding that a file says its scenario shows, if this outcome shows it.

    Whatever else the contract would say of the scenario: a crash often comes after a deviation that is known.
    """
    if said.get("kind") != QUIRK:
        finding = judge(scenario, outcome, release())
    elif compare(scenario, outcome, release()) is None:
        name = str(said.get("symptom")).partition(":")[0]
        chosen = [item for item in quirks_and_releases().items() if item[0].__name__ == name]
        finding = witness(*chosen[0], scenario, outcome) if chosen else None
    else:
        finding = None
    return finding if finding is not None and finding.symptom == said.get("symptom") else None


def explain(scenario: Scenario, outcome: Outcome, difference: Finding) -> Finding:
    """The same difference from the contract, with the quirk that it comes from, where it is a known one."""
    unknown = compare(scenario, outcome, release())
    if unknown is not None and unknown.where == difference.where:
        return difference
    for quirk, without in quirks_and_releases().items():
        finding = witness(quirk, without, scenario, outcome)
        if finding is not None and finding.where == difference.where:
            rules = tuple(dict.fromkeys([*finding.rules, *difference.rules]))
            return replace(difference, kind=QUIRK, rules=rules, symptom=finding.symptom)
    return difference


def specified(implementation: Implementation, scenario: Scenario) -> list[Observation]:
    """What is to be seen of a scenario, as far as that is specified."""
    world = implementation.world(scenario.stage)
    seen: list[Observation] = []
    with suppress(UnpredictableError, ContractError):
        seen.extend(world.perform(step) for step in scenario.steps)
    return seen


def predictable(scenario: Scenario) -> bool:
    """Whether the specification says of every step what comes next: nobody breaks the protocol.

    What the release dies of is no state to go on from, and the last step of such a scenario may lead nowhere.
    """
    world = release().world(scenario.stage)
    try:
        for step in scenario.steps:
            world.perform(step)
    except UnpredictableError:
        return False
    except Exception:  # noqa: BLE001 - a specification that was led where the library dies
        return True
    return True
