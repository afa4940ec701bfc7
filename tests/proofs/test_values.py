"""Symbolic values: they are what Python's values are, or they refuse."""

import operator
from collections.abc import Callable
from typing import Any

import pytest
import z3

from chardev_proofs.explore import Explorer, Path
from chardev_proofs.values import (
    SymBool,
    SymBytes,
    SymInt,
    UnsupportedError,
    lifted_builtins,
    optional,
)
from tests.proofs.operators import disagreements


def test_every_operator_is_pythons() -> None:
    """A proof would be about another language."""
    assert list(disagreements()) == []


def test_none_is_no_number() -> None:
    """A handle that is None would be found equal to a number."""
    unknown = SymInt(z3.Int("x"))
    assert (unknown == None) is False  # noqa: E711 - the operator is what is tested
    assert (unknown != None) is True  # noqa: E711


@pytest.mark.parametrize(
    "use",
    [
        hash, int, len, iter, abs, list,
        lambda value: value // 2,
        lambda value: value % -2,
        lambda value: value * value,
        lambda value: [1, 2][value],
        lambda value: {value: 1},
        lambda value: value << 1,
        operator.invert,
        bool,
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_refused(use: Callable[[Any], Any]) -> None:
    """A value that answers anyway would hide paths from the proofs."""
    with pytest.raises((UnsupportedError, TypeError)):
        use(SymInt(z3.Int("x")))


def test_a_number_has_no_text() -> None:
    """A path could depend on the text of a number of which nothing is known."""
    assert f"{SymInt(z3.Int('x'))} {SymBool(z3.Bool('b'))!r}" == "<unknown> <unknown>"


def outcomes(run: Callable[[], Any]) -> list[Any]:
    """What a text gives on each of its paths."""
    found: list[Any] = []
    Explorer().run(lambda _: found.append(run()))
    return found


def test_a_truth_value_forks() -> None:
    """The other way would never be looked at."""
    condition = SymBool(z3.Bool("b"))
    assert outcomes(lambda: "yes" if condition else "no") == ["yes", "no"]


def test_what_is_decided_stays_decided() -> None:
    """A path could take both sides of one condition."""
    number = SymInt(z3.Int("x"))
    found = outcomes(lambda: (bool(number > 3), bool(number > 2)))
    assert sorted(found) == [(False, False), (False, True), (True, True)]


def test_chained_comparisons_and_connectives_fork_as_python_evaluates_them() -> None:
    """`and` could look at what Python does not look at."""
    low, high = SymInt(z3.Int("low")), SymInt(z3.Int("high"))

    def text() -> str:
        if 0 <= low < high and not high > 5:
            return "inside"
        return "outside"

    assert set(outcomes(text)) == {"inside", "outside"}


def test_an_optional_handle_is_none_or_above_zero() -> None:
    """None would be taken for handle 0."""

    def text() -> str:
        return "none" if optional(z3.Int("handle")) is None else "some"

    assert sorted(outcomes(text)) == ["none", "some"]


def test_functions_of_the_language_are_lifted_for_a_while() -> None:
    """`len` of bytes of unknown length would not be a number; outside the proofs it must be Python's."""
    namespace: dict[str, Any] = {}
    text = compile("len(data)", "text", "eval")
    with lifted_builtins([namespace]):
        size = eval(text, namespace, {"data": SymBytes(z3.Int("n"))})  # noqa: S307 - the text is ours
        assert isinstance(size, SymInt)
        assert eval(text, namespace, {"data": b"abc"}) == 3  # noqa: S307
    assert eval(text, namespace, {"data": b"abc"}) == 3  # noqa: S307
    assert "len" not in namespace


@pytest.mark.parametrize(
    "part", [slice(None), slice(1, None), slice(2), slice(1, 3), slice(-1), slice(1, -2)]
)
def test_a_part_of_bytes_is_pythons(part: slice) -> None:
    """A port could be given another part of the write queue than the one that is proved."""
    for size in range(5):
        cut = SymBytes(z3.IntVal(size), z3.IntVal(0))[part]
        expected = list(range(size))[part]
        assert z3.simplify(cut.size).as_long() == len(expected)
        assert cut.begin is not None
        assert not expected or z3.simplify(cut.begin).as_long() == expected[0]


def test_an_unknown_answer_of_the_solver_proves_nothing() -> None:
    """A time-out would count as proved."""
    path = Path([], Explorer())
    path.solver.set("timeout", 1)
    x, y, z = z3.Ints("x y z")
    hard = z3.Implies(z3.And(x > 2, y > 2, z > 2), x**3 + y**3 != z**3)
    assert path.valid(hard) is False
