"""Symbolic values beside Python's own: every operator, on every pair of a few values."""

import operator
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, Final

import z3

from chardev_proofs.values import SymBool, SymInt, lifted_max, lifted_min

NUMBERS: Final = (-3, -1, 0, 1, 2, 7, 2**32 - 1, 2**40)
TRUTHS: Final = (False, True)

BINARY: Final[dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]]] = {
    "+": (operator.add, operator.add),
    "-": (operator.sub, operator.sub),
    "<": (operator.lt, operator.lt),
    "<=": (operator.le, operator.le),
    ">": (operator.gt, operator.gt),
    ">=": (operator.ge, operator.ge),
    "==": (operator.eq, operator.eq),
    "!=": (operator.ne, operator.ne),
    "min": (lifted_min, min),
    "max": (lifted_max, max),
}
"""The operator on symbolic values, and on Python's."""

UNARY: Final[dict[str, Callable[[Any], Any]]] = {"-": operator.neg, "+": operator.pos}


def symbol(value: int) -> Any:
    """A value of which z3 knows what it is, and the lifting does not."""
    if isinstance(value, bool):
        return SymBool(z3.Or(z3.BoolVal(value), z3.BoolVal(val=False)))
    return SymInt(z3.IntVal(value) + z3.IntVal(0))


def plain(value: Any) -> Any:
    """What a symbolic value is."""
    if not isinstance(value, (SymInt, SymBool)):
        return value
    term = z3.simplify(value.term)
    return term.as_long() if isinstance(value, SymInt) else z3.is_true(term)


def disagreements() -> Iterator[str]:
    """Where a symbolic operator gives something else than Python's."""
    values = (*NUMBERS, *TRUTHS)
    for (name, (lifted, python)), one, two in product(BINARY.items(), values, values):
        expected = python(one, two)
        for left, right in ((symbol(one), symbol(two)), (symbol(one), two), (one, symbol(two))):
            found = plain(lifted(left, right))
            if found != expected:
                yield f"{one} {name} {two} is {expected}, not {found}"
    for (name, apply), one in product(UNARY.items(), values):
        if plain(apply(symbol(one))) != apply(one):
            yield f"{name}{one}"
    for one, factor in product(values, (0, 1, 3)):
        if (
            plain(symbol(one) * factor) != one * factor
            or plain(factor * symbol(one)) != one * factor
        ):
            yield f"{one} * {factor}"
    for one, modulus in product(NUMBERS, (1, 3, 2**32)):
        if plain(symbol(one) % modulus) != one % modulus:
            yield f"{one} % {modulus}"
