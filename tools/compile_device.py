"""A build hook: with CHARDEV_COMPILED=1 the wheel holds the device compiled by mypyc, from the same source.

Only the core is compiled.
Ports, event loop and errors stay as they are: they would gain nothing, and callers may subclass them.
The sources are in the wheel too; the interpreter prefers what is compiled.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VARIABLE: Final = "CHARDEV_COMPILED"
MODULES: Final = (
    "buffering",
    "buffers",
    "device",
    "migrating",
    "reading",
    "state",
    "write_queue",
    "writing",
)


class CompileDevice(BuildHookInterface[Any]):
    """Compiles in a folder of its own, so that nothing is left beside the sources."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What the build needs: nothing, unless it compiles."""
        return ["mypy>=1.15", "setuptools>=77"] if self._asked() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and add what comes of it to the wheel.

        Raises `SystemExit` with the compiler's words where it fails.
        """
        if not self._asked() or version == "editable":
            return
        self._folder = TemporaryDirectory()
        folder = Path(self._folder.name)
        shutil.copytree(Path(self.root) / "impl/chardev", folder / "chardev")
        sources = [f"chardev/{module}.py" for module in MODULES]
        command = [sys.executable, "-m", "mypyc", "--ignore-missing-imports", *sources]
        ran = subprocess.run(  # noqa: S603 - our own sources
            command, cwd=folder, capture_output=True, text=True, check=False
        )
        if ran.returncode:
            sys.exit(f"{VARIABLE}: the device cannot be compiled\n{ran.stdout}{ran.stderr}")
        for library in (*folder.glob("*.so"), *folder.glob("chardev/*.so")):
            build_data["force_include"][str(library)] = str(library.relative_to(folder))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the folder."""
        del version, build_data, artifact_path
        if self._asked():
            self._folder.cleanup()

    @staticmethod
    def _asked() -> bool:
        return os.environ.get(VARIABLE, "0") not in {"", "0"}
