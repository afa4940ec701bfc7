"""Loads a copy of the package `chardev`, under a name of its own, with one defect in it.

The copy is a package like the original: its relative imports find its own modules, so that the defect is in all of it
and the original is not touched.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Final

import chardev
from tests.mutants.defects import Defect

assert chardev.__file__ is not None
ROOT: Final = Path(chardev.__file__).parent

_numbers: Final = count(1)


class StaleDefectError(Exception):
    """The text that a defect changes does not stand in the device exactly once: the table is out of date."""


def patched(defect: Defect, source: str) -> str:
    """The source with the defect in it."""
    found = source.count(defect.old)
    if found != 1:
        raise StaleDefectError(
            f"{defect.name}: the text to change occurs {found} times in chardev/{defect.module}.py, not once; "
            f"bring tests/mutants/defects.py up to date:\n{defect.old}"
        )
    return source.replace(defect.old, defect.new)


class _Loader(SourceLoader):
    """Reads a module of the copy from the original's file; it says no time of change, so nothing is cached."""

    def __init__(self, path: Path, defect: Defect | None) -> None:
        self._path = path
        self._defect = defect

    def get_filename(self, fullname: str) -> str:
        """Where the source stands."""
        return str(self._path)

    def get_data(self, path: str | bytes) -> bytes:
        """The source, with the defect if it is in this module."""
        source = self._path.read_text(encoding="utf-8")
        if self._defect is not None and self._path.stem == self._defect.module:
            source = patched(self._defect, source)
        return source.encode()


class _Finder(MetaPathFinder):
    """Finds the modules of one copy."""

    def __init__(self, package: str, defect: Defect | None) -> None:
        self._package = package
        self._defect = defect

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a module of the copy comes from; None for all other modules."""
        package, *names = fullname.split(".")
        if package != self._package:
            return None
        file = ROOT.joinpath(*names)
        is_package = file.is_dir()
        file = file / "__init__.py" if is_package else file.with_suffix(".py")
        return spec_from_file_location(
            fullname,
            file,
            loader=_Loader(file, self._defect),
            submodule_search_locations=[str(file.parent)] if is_package else None,
        )


def load(defect: Defect | None) -> ModuleType:
    """A copy of the package `chardev` with this defect; a true copy with None.

    Raises `StaleDefectError` when the text that the defect changes is not there.
    """
    name = f"_chardev_copy_{next(_numbers)}"
    finder = _Finder(name, defect)
    sys.meta_path.insert(0, finder)
    try:
        return import_module(name)
    finally:
        sys.meta_path.remove(finder)
