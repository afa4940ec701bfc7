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


def patched(defect: Defect) -> tuple[Path, str]:
    """The module that a defect is in, and its source with the defect.

    Raises `StaleDefectError` when the text that the defect changes does not occur exactly once in the package.
    """
    sources = {path: path.read_text(encoding="utf-8") for path in ROOT.rglob("*.py")}
    found = [path for path, source in sources.items() for _ in range(source.count(defect.old))]
    if len(found) != 1:
        where = ", ".join(path.name for path in found) or "nowhere"
        raise StaleDefectError(
            f"{defect.name}: the text to change must occur once in the package chardev, but occurs {where}; "
            f"bring tests/mutants/defects up to date:\n{defect.old}"
        )
    return found[0], sources[found[0]].replace(defect.old, defect.new)


class _Loader(SourceLoader):
    """Loads a module of the copy from the original's file, or from `source`.

    It says no time of change, so nothing is cached.
    """

    def __init__(self, path: Path, source: str | None) -> None:
        self._path = path
        self._source = source

    def get_filename(self, _fullname: str) -> str:
        """Where the source stands."""
        return str(self._path)

    def get_data(self, _path: str | bytes) -> bytes:
        """The source."""
        return self._path.read_bytes() if self._source is None else self._source.encode()


class _Finder(MetaPathFinder):
    """Finds the modules of one copy; `sources` has those that differ from the original."""

    def __init__(self, package: str, sources: dict[Path, str]) -> None:
        self._package = package
        self._sources = sources

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
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
            loader=_Loader(file, self._sources.get(file)),
            submodule_search_locations=[str(file.parent)] if is_package else None,
        )


def load(defect: Defect | None) -> ModuleType:
    """A copy of the package `chardev` with this defect; a true copy with None.

    Raises `StaleDefectError` when the text that the defect changes is not there.
    """
    name = f"_chardev_copy_{next(_numbers)}"
    finder = _Finder(name, {} if defect is None else dict([patched(defect)]))
    sys.meta_path.insert(0, finder)
    try:
        return import_module(name)
    finally:
        sys.meta_path.remove(finder)
