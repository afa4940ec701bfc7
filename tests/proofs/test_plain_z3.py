"""Proofs save themselves checks of z3, but none that can fail."""

import gc

import pytest
import z3

from chardev_proofs import plain_z3


def test_a_term_that_cannot_be_made_is_still_refused() -> None:
    """A formula of the wrong sorts could be taken for another one, and be proved."""
    plain_z3.trim()
    number = z3.Int("number")
    with pytest.raises(z3.Z3Exception, match=r"[Ss]ort"):
        z3.z3.Z3_mk_not(number.ctx_ref(), number.as_ast())


def test_terms_are_read_as_before() -> None:
    """A term could be taken apart wrongly."""
    plain_z3.trim()
    one, two = z3.Int("one"), z3.Int("two")
    term = z3.And(one < two, two == 3)
    assert [str(each) for each in term.children()] == ["one < two", "two == 3"]
    assert (z3.is_and(term), term.sort() == z3.BoolSort(), term.arg(1).arg(1).as_long()) == (
        True,
        True,
        3,
    )
    assert z3.And(one < two, two == 3).eq(term)


def test_the_collector_is_left_as_it_was() -> None:
    """Whoever imports the proofs would have another collector from then on."""
    before = gc.get_threshold()
    with plain_z3.seldom_collected():
        assert gc.get_threshold() == plain_z3.SELDOM
    assert gc.get_threshold() == before
