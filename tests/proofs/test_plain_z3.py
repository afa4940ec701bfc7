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


def test_terms_have_the_classes_that_z3_gives_them() -> None:
    """A number, a real one or a quantifier could be taken for something else."""
    plain_z3.trim()
    number, real, bits = z3.Int("number"), z3.Real("real"), z3.BitVec("bits", 8)
    terms = [
        number + 1, z3.simplify(number * 0 + 3), real + 1, bits + 1, number < 2,
        z3.ForAll([number], number < 2), z3.And(number < 2, number > 0),
    ]  # fmt: skip
    assert [type(each).__name__ for each in terms] == [
        "ArithRef", "IntNumRef", "ArithRef", "BitVecRef", "BoolRef", "QuantifierRef", "BoolRef",
    ]  # fmt: skip
    assert [str(z3.simplify(number * 0 + 3)), str(z3.And(True, number < 2).arg(0))] == ["3", "True"]


def test_only_the_constants_are_true_and_false() -> None:
    """A claim could be taken for a true one without being asked about."""
    plain_z3.trim()
    other = z3.Context()
    terms = [
        z3.BoolVal(True), z3.BoolVal(False), z3.Bool("some"), z3.IntVal(1), z3.BoolVal(True, other), True,
    ]  # fmt: skip
    assert [z3.is_true(each) for each in terms] == [True, False, False, False, True, False]
    assert [z3.is_false(each) for each in terms] == [False, True, False, False, False, False]
    one, two = z3.Int("one"), z3.Int("two")
    assert [(one + two).eq(one + two), (one + two).eq(two + one)] == [True, False]


def test_terms_are_joined_as_before() -> None:
    """A formula could be joined wrongly, or of parts that do not go together."""
    plain_z3.trim()
    one, two, number = z3.Bool("one"), z3.Bool("two"), z3.Int("number")
    joined = [
        z3.And(one, two), z3.Or(one, two), z3.Implies(one, two), z3.And([one, True]), z3.And(), z3.Or(one),
        number == 3, number < number + 1, number + 1 == number,
    ]  # fmt: skip
    assert [each.sexpr() for each in joined] == [
        "(and one two)", "(or one two)", "(=> one two)", "(and one true)", "and", "(or one)",
        "(= number 3)", "(< number (+ number 1))", "(= (+ number 1) number)",
    ]  # fmt: skip
    with pytest.raises(z3.Z3Exception, match="Sort mismatch"):
        z3.And(one, number)


def test_the_collector_is_left_as_it_was() -> None:
    """Whoever imports the proofs would have another collector from then on."""
    before = gc.get_threshold()
    with plain_z3.seldom_collected():
        assert gc.get_threshold() == plain_z3.SELDOM
    assert gc.get_threshold() == before
