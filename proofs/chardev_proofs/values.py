"""Symbolic values: what the specification's text computes with while it is proved.

Theory of operation
===================
A symbolic value wraps a z3 term and behaves like the Python value that it stands for, as far as the liftable subset
goes (`chardev_spec.lint`).
Where Python asks for a truth value, `SymBool.__bool__` asks the path that is being explored (`explore.Path`), which
answers True or False and remembers the answer as an assumption.
So `and`, `or`, `not`, `if` and chained comparisons need no translation.

Whatever a symbolic value cannot do raises `UnsupportedError`, which says where in the specification that was.
Nothing is answered silently: a value has no hash, no `int()`, no text but in the message of an error.
The engine's own exceptions derive from BaseException, so that no `except Exception` swallows them.

An optional handle is one number, 0 for None, because handles begin at 1.
It is never seen as such: reading a field that may be None forks, and gives either None or a number (`optional`).

`len`, `min` and `max` are replaced in the specification's modules while they are run here (`lifted_builtins`):
`len` must return a Python int, and the other two would fork.
"""

import builtins
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn, Protocol

import z3

from chardev_proofs.plain_z3 import trim

trim()


class EngineSignal(BaseException):
    """What the engine raises through the specification's text; never an `Exception`."""


class UnsupportedError(EngineSignal):
    """The specification does what the engine cannot follow; the message names the file and the line."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{spec_line()}: {what}")


def spec_lines() -> list[str]:
    """Where the specification's text is being run, innermost first, as ``file:line function``."""
    lines = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if "chardev_spec" in code.co_filename:
            lines.append(f"{code.co_filename.rpartition('/')[2]}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return lines


def spec_line() -> str:
    """The innermost of these lines."""
    lines = spec_lines()
    return lines[0] if lines else "outside the specification"


class Decider(Protocol):
    """What answers for the truth of a term."""

    def decide(self, term: z3.BoolRef) -> bool:
        """Whether the term is true on this path."""


deciders: list[Decider] = []
"""Who decides now: the last one."""


def decide(term: z3.BoolRef) -> bool:
    """Whether the term is true on the path that is explored."""
    if z3.is_true(term):
        return True
    if z3.is_false(term):
        return False
    if not deciders:
        raise UnsupportedError("a symbolic truth value outside a path")
    return deciders[-1].decide(term)


def boolean(term: z3.BoolRef) -> Any:
    """A term as a value; a constant one as Python's."""
    if z3.is_true(term):
        return True
    return False if z3.is_false(term) else SymBool(term)


def integer(term: z3.ArithRef) -> Any:
    """A term as a value; a constant one as Python's."""
    return term.as_long() if z3.is_int_value(term) else SymInt(term)


def bool_term(value: Any) -> z3.BoolRef:
    """The term of a truth value."""
    if builtins.isinstance(value, SymBool):
        return value.term
    if value is True or value is False:
        return z3.BoolVal(value)
    raise UnsupportedError(f"{type(value).__name__} where a truth value is expected")


def int_term(value: Any) -> z3.ArithRef:
    """The term of a number; a truth value counts as 0 or 1, as in Python."""
    if builtins.isinstance(value, SymInt):
        return value.term
    if builtins.isinstance(value, SymBool):
        return z3.If(value.term, z3.IntVal(1), z3.IntVal(0))
    if builtins.isinstance(value, int):
        return z3.IntVal(int(value))
    raise UnsupportedError(f"{type(value).__name__} where a number is expected")


def optional_term(value: Any) -> z3.ArithRef:
    """The term of a handle or None."""
    return z3.IntVal(0) if value is None else int_term(value)


def optional(term: z3.ArithRef) -> Any:
    """A handle or None; forks."""
    return None if decide(z3.simplify(term == 0)) else integer(term)


def is_number(value: Any) -> bool:
    """Whether a value can be compared as a number."""
    return builtins.isinstance(value, (SymInt, SymBool, int))


class Symbolic:
    """What all symbolic values refuse."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment] # as the language says it, not as object does

    def _refuse(self, *_: Any) -> NoReturn:
        raise UnsupportedError(f"an operation that a {type(self).__name__} cannot do")

    __int__ = __index__ = __float__ = __len__ = __iter__ = __getitem__ = __call__ = _refuse
    __floordiv__ = __rfloordiv__ = __truediv__ = __rtruediv__ = __mod__ = __rmod__ = _refuse
    __pow__ = __rpow__ = __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = _refuse
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __invert__ = _refuse
    __divmod__ = __rdivmod__ = __round__ = __abs__ = __contains__ = __setitem__ = _refuse
    __matmul__ = __rmatmul__ = __trunc__ = __floor__ = __ceil__ = __complex__ = _refuse

    def __format__(self, _: str) -> str:
        return "<unknown>"

    def __repr__(self) -> str:
        return "<unknown>"

    __str__ = __repr__


class Number(Symbolic):
    """What numbers and truth values have in common, as in Python."""

    __slots__ = ()

    def __add__(self, other: Any) -> Any:
        return integer(int_term(self) + int_term(other))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return integer(int_term(self) - int_term(other))

    def __rsub__(self, other: Any) -> Any:
        return integer(int_term(other) - int_term(self))

    def __neg__(self) -> Any:
        return integer(-int_term(self))

    def __pos__(self) -> Any:
        return integer(int_term(self))

    def __mul__(self, other: Any) -> Any:
        if not builtins.isinstance(other, int):
            self._refuse()
        return integer(int_term(self) * int(other))

    __rmul__ = __mul__

    def __mod__(self, other: Any) -> Any:
        if not builtins.isinstance(other, int) or other <= 0:
            self._refuse()
        return integer(z3.simplify(int_term(self) % int(other)))

    def __lt__(self, other: Any) -> Any:
        return boolean(int_term(self) < int_term(other))

    def __le__(self, other: Any) -> Any:
        return boolean(int_term(self) <= int_term(other))

    def __gt__(self, other: Any) -> Any:
        return boolean(int_term(self) > int_term(other))

    def __ge__(self, other: Any) -> Any:
        return boolean(int_term(self) >= int_term(other))

    def __eq__(self, other: object) -> Any:
        if other is None:
            return False
        return boolean(z3.simplify(int_term(self) == int_term(other)))

    def __ne__(self, other: object) -> Any:
        if other is None:
            return True
        return boolean(z3.simplify(int_term(self) != int_term(other)))


class SymInt(Number):
    """A number, a handle, an enumeration's member, or something opaque that is only compared."""

    __slots__ = ("term",)

    def __init__(self, term: z3.ArithRef) -> None:
        self.term = term

    def __bool__(self) -> bool:
        return decide(self.term != 0)


class SymBool(Number):
    """A truth value."""

    __slots__ = ("term",)

    def __init__(self, term: z3.BoolRef) -> None:
        self.term = term

    def __bool__(self) -> bool:
        return decide(self.term)

    def __eq__(self, other: object) -> Any:
        if builtins.isinstance(other, (bool, SymBool)):
            return boolean(z3.simplify(self.term == bool_term(other)))
        return super().__eq__(other)

    def __ne__(self, other: object) -> Any:
        if builtins.isinstance(other, (bool, SymBool)):
            return boolean(z3.simplify(self.term != bool_term(other)))
        return super().__ne__(other)


class SymBytes(Symbolic):
    """Bytes, of which only the number is known, and, if they are of the write queue, where they `begin` there."""

    __slots__ = ("begin", "size")

    def __init__(self, size: z3.ArithRef, begin: z3.ArithRef | None = None) -> None:
        self.size, self.begin = size, begin

    def __getitem__(self, part: Any) -> "SymBytes":  # type: ignore[override] # not refused
        """A part, cut at the front or at the end by a number that is known."""
        if not builtins.isinstance(part, slice) or part.step is not None:
            self._refuse()
        first, end = part.start or 0, part.stop
        if not all(builtins.isinstance(each, int) for each in (first, end or 0)) or first < 0:
            self._refuse()
        size = self.size
        if end is not None:
            last = z3.IntVal(end) if end >= 0 else size + end
            size = z3.If(last < 0, z3.IntVal(0), z3.If(last < size, last, size))
        size = z3.If(size > first, size - first, z3.IntVal(0))
        return SymBytes(z3.simplify(size), None if self.begin is None else self.begin + first)

    def __bool__(self) -> bool:
        return decide(self.size != 0)


def size_term(value: Any) -> z3.ArithRef:
    """The length of bytes."""
    if builtins.isinstance(value, SymBytes):
        return value.size
    if builtins.isinstance(value, bytes):
        return z3.IntVal(len(value))
    raise UnsupportedError(f"{type(value).__name__} where bytes are expected")


def lifted_len(value: Any) -> Any:
    """`len`, also of symbolic bytes."""
    return integer(value.size) if builtins.isinstance(value, SymBytes) else len(value)


def lifted_min(left: Any, right: Any) -> Any:
    """`min` of two numbers."""
    first, second = int_term(left), int_term(right)
    return integer(z3.simplify(z3.If(first <= second, first, second)))


def lifted_max(left: Any, right: Any) -> Any:
    """`max` of two numbers."""
    first, second = int_term(left), int_term(right)
    return integer(z3.simplify(z3.If(first >= second, first, second)))


@contextmanager
def lifted_builtins(namespaces: Iterable[dict[str, Any]]) -> Iterator[None]:
    """Let the text of these namespaces use the functions above; concrete values give what they always give."""
    lifted = {"len": lifted_len, "min": lifted_min, "max": lifted_max}
    for namespace in namespaces:
        namespace.update(lifted)
    try:
        yield
    finally:
        for namespace in namespaces:
            for name in lifted:
                del namespace[name]
