"""A shared library that exports the header's functions as a target: ``c:./libdevice.so``."""

from collections.abc import Iterator
from contextlib import contextmanager

from chardev_conformance.adapters.opened import Opened
from chardev_conformance.target import TargetError


@contextmanager
def open_library(path: str, lacks: frozenset[str], seconds: float) -> Iterator[Opened]:
    """A library in a process of its own."""
    raise TargetError(f"c:{path}: shared libraries cannot be checked yet")
    yield Opened(path, lambda *_: None)  # type: ignore[unreachable]
