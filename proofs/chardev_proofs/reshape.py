"""The locals of the generators that are suspended, and their replacement by unknowns at the head of a loop.

Theory of operation
===================
At a loop head what the locals were is forgotten (`cuts.Cuts.loop`).
Each becomes an unknown of its kind; concrete values stay, and so do the row views and the machine itself, which hold no
value of their own.
The *shape* is what is not forgotten: the kinds, the concrete values, and which unknowns are equal.
Two heads with the same shape are the same one.
"""

import ctypes
import sys
from types import GeneratorType
from typing import Any

import z3

from chardev_proofs.lists import SymHandles, SymMessages
from chardev_proofs.rows import SymRow
from chardev_proofs.state import SymState
from chardev_proofs.tables import fresh
from chardev_proofs.values import SymBool, SymBytes, SymInt, UnsupportedError
from chardev_spec.conditions import Frame


def write_local(frame: Any, name: str, value: Any) -> None:
    """Change a local variable of a generator that is suspended."""
    namespace = frame.f_locals
    namespace[name] = value
    if sys.version_info < (3, 13):
        ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))


class Reshaper:
    """Makes every local an unknown of its kind, and notes their shape.

    Equal terms become equal unknowns: which ones are equal is part of the shape.
    """

    def __init__(self, state: SymState) -> None:
        self.state = state
        self.numbers: dict[int, tuple[int, Any, Any]] = {}
        self.lists: dict[int, tuple[int, Any]] = {}
        self.left: list[z3.ArithRef] = []

    def term(self, term: Any) -> tuple[Any, Any]:
        """An unknown in place of a term, and its number."""
        known = self.numbers.get(term.get_id())
        if known is None:
            known = (len(self.numbers), term, fresh("local", term.sort()))
            self.numbers[term.get_id()] = known
        return known[2], known[0]

    def value(self, value: Any) -> tuple[Any, Any]:
        """An unknown in place of a value, and its shape."""
        if isinstance(value, SymInt):
            term, number = self.term(value.term)
            return SymInt(term), ("int", number)
        if isinstance(value, SymBool):
            term, number = self.term(value.term)
            return SymBool(term), ("bool", number)
        if isinstance(value, SymBytes):
            term, number = self.term(value.size)
            self.state.path.later_facts.append(term >= 0)
            return SymBytes(term), ("bytes", number)
        if isinstance(value, (SymHandles, SymMessages)):
            if id(value) not in self.lists:
                left = value.left if z3.is_int_value(value.left) else fresh("left")
                self.state.path.later_facts.append(left >= 0)
                new: Any
                if isinstance(value, SymMessages):
                    new = SymMessages(self.state, left)
                    self.left.append(left)
                else:
                    new = SymHandles(self.state, value.version, left, falling=value.falling)
                    new.exact = False
                self.lists[id(value)] = (len(self.lists), new)
            number, new = self.lists[id(value)]
            return new, (type(value).__name__, number, z3.is_int_value(new.left))
        if isinstance(value, Frame):
            shape = []
            for name in value.__slots__:
                new, part = self.value(getattr(value, name))
                setattr(value, name, new)
                shape.append(part)
            return value, ("frame", *shape)
        if isinstance(value, tuple):
            parts = [self.value(part) for part in value]
            new_parts = [new for new, _ in parts]
            made = type(value)(*new_parts) if hasattr(value, "_fields") else tuple(new_parts)
            return made, (type(value).__name__, *[part for _, part in parts])
        if isinstance(value, SymRow) or value is self.state.device:
            return value, type(value).__name__
        if value is None or isinstance(value, (bool, int, str, bytes, type)):
            return value, repr(value)
        if hasattr(value, "state") and value.state is self.state:
            return value, "machine"
        raise UnsupportedError(f"a local {type(value).__name__} at the head of a loop")


def generators(outer: Any) -> "list[GeneratorType[Any, Any, Any]]":
    """The generators that are suspended, outermost first."""
    chain = []
    while isinstance(outer, GeneratorType):
        chain.append(outer)
        outer = outer.gi_yieldfrom
    return chain


def innermost_locals(outer: Any) -> tuple[str, dict[str, Any]]:
    """The name of the function that is suspended innermost, and its locals."""
    innermost = generators(outer)[-1]
    frame: Any = innermost.gi_frame
    return innermost.gi_code.co_name, frame.f_locals
