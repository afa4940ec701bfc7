"""Builds the device in C, as it is or with a defect."""

import subprocess
from pathlib import Path
from typing import Final

import chardev_conformance.adapters
from tests.c_device.defects import Defect

SOURCE: Final = Path(__file__).parent / "char_device.c"

HEADER_FOLDER: Final = Path(chardev_conformance.adapters.__file__).parent / "template_files/c"
"""The header that `chardev adapter new --language c` writes: the device in C is built with the same."""

SANITIZER: Final = ("-fsanitize=address", "-fno-omit-frame-pointer")


class StaleDefectError(Exception):
    """The text that a defect changes does not stand in the device exactly once."""


def patched(defect: Defect) -> str:
    """The source with the defect in it."""
    source = SOURCE.read_text(encoding="utf-8")
    for old, new in defect.changes:
        if source.count(old) != 1:
            raise StaleDefectError(
                f"{defect.name}: occurs {source.count(old)} times, not once:\n{old}"
            )
        source = source.replace(old, new)
    return source


def build(folder: Path, defect: Defect | None = None, *options: str, compiler: str = "cc") -> Path:
    """Compile the device; the shared library."""
    source = SOURCE
    if defect is not None:
        source = folder / "char_device.c"
        source.write_text(patched(defect), encoding="utf-8")
        if defect.sanitized:
            options = (*options, *SANITIZER)
    result = folder / "libdevice.so"
    warnings = ("-Wall", "-Wextra", "-Werror") if defect is None else ("-w",)
    command = (compiler, "-std=c11", "-O1", "-g", "-fPIC", "-shared", *warnings, *options)
    subprocess.run(
        [*command, f"-I{HEADER_FOLDER}", "-o", str(result), str(source)],
        check=True,
        capture_output=True,
    )
    return result
