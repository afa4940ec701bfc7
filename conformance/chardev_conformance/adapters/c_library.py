"""A shared library that exports the header's functions as a target: ``c:./libdevice.so``.

The library is loaded in a process of its own (`c_host`), after what it imports from its surroundings, which is built
here with the machine's C compiler.
docs/protocol.rst says which symbols it must export and which it may import.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from chardev_conformance.adapters.opened import Opened
from chardev_conformance.adapters.stdio import Command, open_process
from chardev_conformance.target import TargetError

SOURCE: Final = Path(__file__).parent / "c_surroundings/surroundings.c"

_SANITIZER: Final = re.compile(rb"\0(lib(?:asan\.so\.\d+|clang_rt\.asan[\w.-]*\.so))\0")

SANITIZER_OPTIONS: Final = (
    "exitcode=99:abort_on_error=0:detect_leaks=1:leak_check_at_exit=0:malloc_context_size=3:"
    "allocator_may_return_null=1"
)
"""Three frames say who allocated: malloc, the library's function, and its caller, or what the interpreter called."""

SUPPRESSIONS: Final = "leak:libpython3\nleak:bin/python\nleak:_ctypes.\nleak:lib-dynload\n"
"""What the interpreter keeps is no leak of the library."""


def compiler() -> str:
    """The machine's C compiler; raises `TargetError` when there is none."""
    name = os.environ.get("CC", "cc")
    if shutil.which(name) is None:
        raise TargetError(
            f"{name}: no C compiler; what the library imports is built with one "
            "(on Debian: apt-get install gcc libc6-dev)"
        )
    return name


def build_surroundings(folder: Path) -> Path:
    """Build what the library imports; the shared library."""
    result = folder / "libsurroundings.so"
    run = subprocess.run(  # noqa: S603 - our own source
        [compiler(), "-O2", "-shared", "-fPIC", "-o", str(result), str(SOURCE), "-ldl"],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != 0:
        raise TargetError(f"{SOURCE.name} cannot be compiled: {run.stderr.strip()}")
    return result


_COVERAGE: Final = b"__sanitizer_cov_trace_pc"

COVERAGE_BYTES: Final = 1 << 16
"""How many places in the code the surroundings tell apart."""


def _coverage_map(library: bytes, folder: Path) -> Path | None:
    """A file for what the library says of the code that runs, if it was built to say it."""
    if _COVERAGE not in library:
        return None
    result = folder / "coverage"
    result.write_bytes(bytes(COVERAGE_BYTES))
    return result


def _environment(library: bytes, folder: Path) -> dict[str, str]:
    """The environment of the process; a sanitizer has to be there before everything else."""
    environment = dict(os.environ)
    sanitizer = _SANITIZER.search(library)
    if sanitizer is not None:
        preload = [sanitizer[1].decode(), environment.get("LD_PRELOAD", "")]
        environment["LD_PRELOAD"] = ":".join(filter(None, preload))
        # The sanitizer must see every block of memory, Python's too, to know what refers to what.
        environment["PYTHONMALLOC"] = "malloc"
        options = [SANITIZER_OPTIONS, environment.get("ASAN_OPTIONS", "")]
        environment["ASAN_OPTIONS"] = ":".join(filter(None, options))
        suppressions = folder / "suppressions"
        suppressions.write_text(SUPPRESSIONS, encoding="utf-8")
        options = [
            f"suppressions={suppressions}:print_suppressions=0",
            environment.get("LSAN_OPTIONS", ""),
        ]
        environment["LSAN_OPTIONS"] = ":".join(filter(None, options))
    return environment


@contextmanager
def open_library(name: str, lacks: frozenset[str], seconds: float) -> Iterator[Opened]:
    """A library in a process of its own; raises `TargetError` when it cannot be checked."""
    path = Path(name)
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise TargetError(f"c:{name}: cannot be read: {error.strerror}") from None
    if not contents.startswith(b"\x7fELF"):
        raise TargetError(f"c:{name}: not a shared library (build it with cc -shared -fPIC)")
    with tempfile.TemporaryDirectory(prefix="chardev-") as folder:
        surroundings = build_surroundings(Path(folder))
        environment = _environment(contents, Path(folder))
        coverage_map = _coverage_map(contents, Path(folder))
        if coverage_map is not None:
            environment["CHARDEV_COVERAGE"] = str(coverage_map)
        arguments = [str(path.resolve()), str(surroundings), ",".join(sorted(lacks))]
        command = Command(
            f"c:{name}",
            [sys.executable, "-m", "chardev_conformance.adapters.c_host", *arguments],
            environment,
            seconds,
            lacks,
        )
        with open_process(command) as opened:
            yield replace(opened, name=f"c:{name}", coverage_map=coverage_map)
