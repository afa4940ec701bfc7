"""The lifting is not trusted: random calls on the lifted machine and on the one that runs, step by step."""

import os

from tests.proofs.comparison import CrossCheck

SEGMENTS = int(os.environ.get("CHARDEV_COMPARED_SEGMENTS", "120"))
"""Segments that are compared; `make prove-tests` compares more."""


def test_the_lifted_machine_does_what_the_machine_does() -> None:
    """The proofs would be about another machine."""
    tally = CrossCheck(seed=1, limit=SEGMENTS).run()
    assert tally.segments >= SEGMENTS
    # Every invariant is compared, on the device and on each row, at each cut.
    assert tally.clauses > 40 * SEGMENTS
