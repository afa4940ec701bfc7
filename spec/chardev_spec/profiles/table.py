"""The quirks as a table: what deviates where, and what notices it."""

from dataclasses import dataclass
from typing import Final

from chardev_spec.profiles import QUIRKS
from chardev_spec.profiles.quirk import summary

OBSERVABLE_ONLY: Final = "observable only"
"""What notices a quirk that refutes no invariant: a comparison of what the two machines do."""


@dataclass(frozen=True, slots=True)
class QuirkRow:
    """One quirk."""

    name: str
    section: str
    """The module of `chardev_spec.profiles` that declares it."""
    summary: str
    """What the releases do, in one sentence."""
    rules: tuple[str, ...]
    """The rules that it breaks."""
    releases: tuple[str, ...]
    """The profiles that have it."""
    refuted_by: str
    """An invariant that random calls refute on the contract with this quirk, or `OBSERVABLE_ONLY`."""


def quirk_table() -> list[QuirkRow]:
    """Every quirk, in the order of the contract's sections."""
    return [
        QuirkRow(
            name=quirk.__name__,
            section=quirk.__module__.rpartition(".")[2],
            summary=summary(quirk),
            rules=quirk.rules,
            releases=quirk.releases,
            refuted_by=quirk.refuted_by or OBSERVABLE_ONLY,
        )
        for quirk in QUIRKS
    ]
