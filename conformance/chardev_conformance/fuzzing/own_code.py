"""Which code of the target itself ran: more feedback, where it can be had.

Of a Python target the lines, by the interpreter's monitoring, from Python 3.12 on: each line says once that it ran and
costs nothing afterwards.
Before 3.12 there is only tracing, which makes every line slower for good; nothing is taken then.

Of a library in C the blocks and how often they ran, when it was built with clang's
``-fsanitize-coverage=trace-pc-guard`` or gcc's ``-fsanitize-coverage=trace-pc`` (`c_surroundings`).
"""

import mmap
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any, Final

from chardev_conformance.adapters.c_library import COVERAGE_BYTES
from chardev_conformance.adapters.opened import Opened
from chardev_conformance.fuzzing.features import Kind, feature, word
from chardev_conformance.fuzzing.orders import NoCode, OwnCode

COUNTED: Final = (1, 2, 3, 4, 8, 32)
"""Counts of a block that are told apart: each stands for itself and those up to the next."""


class _Lines:
    """The lines of Python files that ran for the first time."""

    def __init__(self, root: Path, monitoring: Any) -> None:
        self._root = str(root)
        self._disable = monitoring.DISABLE
        self._new: set[int] = set()

    def line(self, code: CodeType, line: int) -> Any:
        """A line is about to run."""
        if code.co_filename.startswith(self._root):
            name = word(code.co_filename.removeprefix(self._root) + code.co_qualname)
            self._new.add(feature(Kind.CODE, name, line))
        return self._disable

    def features(self) -> set[int]:
        """The lines that ran first since this was asked last."""
        new, self._new = self._new, set()
        return new


class _Blocks:
    """The blocks of a library that ran."""

    def __init__(self, file: Path) -> None:
        with file.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), COVERAGE_BYTES)

    def features(self) -> set[int]:
        """The blocks that ran since this was asked last, and how often each did."""
        counts = self._map[:]
        self._map[:] = bytes(COVERAGE_BYTES)
        return {
            feature(Kind.CODE, place, sum(count >= most for most in COUNTED))
            for place, count in enumerate(counts)
            if count
        }


@contextmanager
def watching(target: str | None, opened: Opened) -> Iterator[OwnCode]:
    """What tells which code of a target runs, until the context ends."""
    monitoring = getattr(sys, "monitoring", None)
    if opened.coverage_map is not None:
        yield _Blocks(opened.coverage_map)
    elif monitoring is not None and (root := _root(target)) is not None:
        tool = next(each for each in (3, 4) if monitoring.get_tool(each) is None)
        lines = _Lines(root, monitoring)
        monitoring.use_tool_id(tool, "chardev fuzz")
        monitoring.register_callback(tool, monitoring.events.LINE, lines.line)
        monitoring.set_events(tool, monitoring.events.LINE)
        try:
            yield lines
        finally:
            monitoring.free_tool_id(tool)
    else:
        yield NoCode()


def _root(target: str | None) -> Path | None:
    """The folder, or the file, that the code of a target in Python stands in; None for other targets."""
    if target is None:
        name = "chardev"
    elif target.startswith("python:"):
        name = target.split(":")[1].partition(".")[0]
    else:
        return None
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        return None
    return Path(file).parent if Path(file).name == "__init__.py" else Path(file)
