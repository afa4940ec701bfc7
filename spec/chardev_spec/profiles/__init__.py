"""Profiles: what shipped releases do, as the contract with quirks.

A quirk is one named deviation of a release, a small class that overrides named hooks of the contract (`quirk`).
The modules here hold the quirks by the section of the contract that they deviate from; a quirk says itself in which
releases it is.
`PROFILES` has the contract and the releases by name, and `profile_named` finds one or says which there are.

How far a release is modelled
=============================
Calls from outside do what the release did, with every argument for which it neither asserted nor read memory that it
had freed.
So do calls inside callbacks, but for these, where the releases have half done what they are at:

- While a client is removed, it is still found by calls that the callbacks for its messages make.
- A reset and a removal take queued messages out one by one, so that a nested one drops what is left.
- `active` is set when a pass ends, and port and awaiting are looked at only when it begins.
- The length of a send queue follows after the callbacks of a push.
- In 0.12.4 a write inside the port's write moves the position of the outer one.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType, ModuleType
from typing import Final

from chardev_spec.profiles import life_cycle, migration, reading, reset, tokens, writing
from chardev_spec.profiles.quirk import (
    SPICE_0_12_4,
    SPICE_0_15,
    SPICE_2015_11,
    Profile,
    Quirk,
    QuirkError,
    profile,
)

__all__ = [
    "PROFILES",
    "QUIRKS",
    "Profile",
    "Quirk",
    "QuirkError",
    "UnknownProfileError",
    "profile_named",
]


class UnknownProfileError(LookupError):
    """There is no profile of that name; the message lists those there are."""


def _declared_in(module: ModuleType) -> Iterator[type[Quirk]]:
    for value in vars(module).values():
        if (
            isinstance(value, type)
            and issubclass(value, Quirk)
            and value.__module__ == module.__name__
        ):
            yield value


QUIRKS: Final[tuple[type[Quirk], ...]] = tuple(
    quirk
    for module in (tokens, reading, writing, life_cycle, reset, migration)
    for quirk in _declared_in(module)
)
"""Every quirk, in the order of the contract's sections."""


def _release(name: str, title: str) -> Profile:
    return profile(name, title, [quirk for quirk in QUIRKS if name in quirk.releases])


PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        each.name: each
        for each in (
            profile("contract", "The contract", []),
            _release(SPICE_0_12_4, "spice-server 0.12.4 (2013)"),
            _release(SPICE_2015_11, "spice-server as of November 2015"),
            _release(SPICE_0_15, "spice-server 0.15.1, as in Debian 12 (2022)"),
        )
    }
)
"""The contract and the releases, by name."""


def profile_named(name: str) -> Profile:
    """The profile of that name; raises `UnknownProfileError` if there is none."""
    if name not in PROFILES:
        raise UnknownProfileError(f"there is no profile {name!r}; known are {', '.join(PROFILES)}")
    return PROFILES[name]
