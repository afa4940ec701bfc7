"""The site covers what there is."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def test_every_module_of_the_specification_is_printed() -> None:
    """A part of the specification would be missing from the reference, and with it links of the rules."""
    page = (ROOT / "docs/specification.rst").read_text(encoding="utf-8")
    modules = {
        ".".join(path.relative_to(ROOT / "spec").with_suffix("").parts)
        for path in (ROOT / "spec/chardev_spec").rglob("*.py")
        if path.stem != "__init__"
    }
    printed = {line.partition(":: ")[2] for line in page.splitlines() if "automodule::" in line}
    assert printed == modules
