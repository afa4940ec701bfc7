"""The directive `stepper`: the page that runs the specification in the reader's browser.

Python for the browser comes from npm, fetched by ``make docs`` (`docs/stepper/package.json`); the sources of the
specification are packed beside it.
Without npm the page says so, and everything else is there.
"""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

logger = logging.getLogger(__name__)

HERE: Final = Path(__file__).parents[1] / "stepper"
NPM: Final = Path(__file__).parents[1] / "_build/npm"
PYODIDE: Final = NPM / "node_modules/pyodide"
LIBRARY: Final = NPM / "python_stdlib.zip"
"""Python's library, compiled (`docs/stepper/compile.mjs`): Pyodide's own is compiled at every start, for seconds."""
NEEDED: Final = (
    "pyodide.mjs",
    "pyodide.asm.mjs",
    "pyodide.asm.wasm",
    "pyodide-lock.json",
)

MISSING: Final = """\
The stepper is missing from this build: Python for the browser was not there.
It comes from npm: install Node.js with npm (on Debian: ``apt-get install npm``), then run ``make docs`` again.
"""


class Stepper(SphinxDirective):
    """The page's controls, or why they are not there."""

    def run(self) -> list[nodes.Node]:
        """Put the controls in; the script finds them by their names."""
        if not LIBRARY.exists():
            return [nodes.warning("", *self.parse_text_to_nodes(MISSING))]
        controls = (HERE / "stepper.html").read_text(encoding="utf-8")
        script = '<script type="module" src="_static/stepper.js"></script>'
        return [nodes.raw("", f"{controls}\n{script}", format="html")]


def copy_files(app: Sphinx, exception: Exception | None) -> None:
    """Put the script, Python and the packed sources beside the pages."""
    if exception is not None or app.builder.format != "html" or not LIBRARY.exists():
        return
    static = Path(app.outdir) / "_static"
    shutil.copy(HERE / "stepper.js", static)
    target = static / "stepper"
    target.mkdir(exist_ok=True)
    for name in NEEDED:
        shutil.copy(PYODIDE / name, target)
    shutil.copy(LIBRARY, target)
    pack(target / "sources.zip")


LOADED: Final = """
import sys
import chardev_conformance.stepper
for name, module in sorted(sys.modules.items()):
    if name.partition(".")[0] in {"chardev_spec", "chardev_conformance"}:
        print(name, module.__file__)
"""
"""Names every module that the stepper needs, and its file."""


def pack(path: Path) -> None:
    """Pack what the page runs: exactly the modules that are loaded with it."""
    command = [sys.executable, "-c", LOADED]
    run = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own interpreter
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for line in run.stdout.splitlines():
            name, _, file = line.partition(" ")
            parts = name.split(".")
            if Path(file).stem == "__init__":
                parts.append("__init__")
            archive.write(file, f"{'/'.join(parts)}.py")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Sphinx's entry point."""
    app.add_directive("stepper", Stepper)
    app.connect("build-finished", copy_files)
    app.add_css_file("stepper.css")
    if not LIBRARY.exists():
        logger.info("npm was not there: the page with the stepper says so")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
