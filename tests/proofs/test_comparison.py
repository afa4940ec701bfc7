"""The lifting is not trusted: random calls on the lifted machine and on the one that runs, step by step."""

import os

import pytest

from chardev_spec.profiles.life_cycle import PeerOwnsItsOldBuffers
from chardev_spec.profiles.quirk import Quirk
from chardev_spec.profiles.reading import NestedPushes, WaitFlagOutlivesTimer
from chardev_spec.profiles.writing import CurrentWhenOffered, EmptyBufferBlocks
from tests.proofs.comparison import CrossCheck

SEGMENTS = 600 if "CHARDEV_WHOLE_PROOFS" in os.environ else 60
"""Segments that are compared, each with some forty invariants: the whole is more than 20,000 comparisons."""


def test_the_lifted_machine_does_what_the_machine_does() -> None:
    """The proofs would be about another machine."""
    tally = CrossCheck(seed=1, limit=SEGMENTS).run()
    assert tally.segments >= SEGMENTS
    # Nearly everywhere the contracts of the tables leave one state possible.
    assert tally.loose <= SEGMENTS // 50
    # Every invariant is compared, on the device and on each row, at each cut.
    assert tally.clauses > 40 * SEGMENTS


@pytest.mark.parametrize(
    "quirk",
    [
        CurrentWhenOffered,
        EmptyBufferBlocks,
        NestedPushes,
        PeerOwnsItsOldBuffers,
        WaitFlagOutlivesTimer,
    ],
)
def test_what_only_quirks_use_is_lifted_as_well(quirk: type[Quirk]) -> None:
    """A quirk would be refuted, or accepted, for what it does not do."""
    assert CrossCheck(seed=1, limit=SEGMENTS, machine=quirk).run().segments >= SEGMENTS
