"""Every link within the site leads somewhere: looked at when all pages are written, those made by hand included."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.typing import ExtensionMetadata

logger = logging.getLogger(__name__)

LINK: Final = re.compile(r'<(?:a|link|img|script)\b[^>]*?\b(?:href|src)="([^"]+)"')
PLACE: Final = re.compile(r'\b(?:id|name)="([^"]+)"')
OPENED: Final = "trace="
"""An address of the stepper holds a scenario, not a place in the page."""


def check(app: Sphinx, exception: Exception | None) -> None:
    """Warn of each link whose file, or whose place in it, is not there."""
    if exception is not None or app.builder.name != "html":
        return
    root = Path(app.outdir)
    pages = {path: path.read_text(encoding="utf-8") for path in root.rglob("*.html")}
    places = {path: {*PLACE.findall(text)} for path, text in pages.items()}
    for path, text in pages.items():
        if "_modules" in path.parts:
            continue  # the index of sources names modules of Python itself
        for link in set(LINK.findall(text)):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = unquote(parts.fragment)
            missing = not target.exists()
            if not missing and place and not place.startswith(OPENED) and target in places:
                missing = place not in places[target]
            if missing:
                logger.warning("%s: the link %s leads nowhere", path.relative_to(root), link)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Sphinx's entry point."""
    app.connect("build-finished", check, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
