"""What the optional compiler is told about the device's classes; without it, they are told nothing.

A compiled class can be the base of one that is not, if it says so (``tools/compile_device.py`` compiles).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

ClassT = TypeVar("ClassT")

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_extensions import mypyc_attr
else:

    def mypyc_attr(**_attributes: object) -> Callable[[ClassT], ClassT]:
        """Do nothing: only the compiler looks at the decorator."""
        return lambda decorated: decorated


__all__ = ["mypyc_attr"]
