"""A small site with the page that runs the specification, served on this machine, and a browser to read it with."""

import functools
import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

ROOT: Final = Path(__file__).parents[2]
CHROMIUM: Final = Path("/usr/bin/chromium")
NPM: Final = ROOT / "docs/_build/npm"

FLAGS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

INDEX: Final = """
Site
====

.. toctree::
   :caption: Pages

   stepper
   function

See :chardev:rule:`TOK-1`.

.. chardev:rule:: TOK-1
"""

FUNCTION: Final = """
start
=====

.. chardev:function:: start
"""


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing of it."""

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the site."""
    if not CHROMIUM.exists():
        pytest.skip("no Chromium; on Debian: apt-get install chromium")
    if shutil.which("npm") is None:
        pytest.skip("no npm; on Debian: apt-get install npm")
    subprocess.run(["make", "docs/_build/npm/ready"], cwd=ROOT, check=True, capture_output=True)
    folder = tmp_path_factory.mktemp("site")
    source = folder / "source"
    shutil.copytree(ROOT / "docs/_static", source / "_static")
    (source / "index.rst").write_text(INDEX, encoding="utf-8")
    (source / "function.rst").write_text(FUNCTION, encoding="utf-8")
    shutil.copy(ROOT / "docs/stepper.rst", source)
    with docutils_namespace():
        app = Sphinx(
            source,
            ROOT / "docs",
            folder / "html",
            folder / "doctrees",
            "html",
            confoverrides={
                "chardev_pages": None,
                "chardev_stepper": "stepper",
                "suppress_warnings": ["ref.*"],
                "nitpicky": False,
            },
            status=None,
            warning=None,
        )
        app.build()
    handler = functools.partial(Handler, directory=str(folder / "html"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser(site: str) -> Iterator[Browser]:
    """The system's Chromium, with a profile of its own."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page; an error in its script fails the test."""
    errors: list[str] = []
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened = context.new_page()
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.set_default_timeout(120_000)
    yield opened
    context.close()
    assert errors == []
