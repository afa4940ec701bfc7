"""Pieces of reStructuredText that the pages are made of."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from chardev_conformance.sphinx.links import linked


def heading(title: str, underline: str) -> Iterator[str]:
    """A section title."""
    yield from ("", title, underline * len(title), "")


def prose(text: str) -> Iterator[str]:
    """A docstring as it stands, its names as links."""
    yield from ("", *linked(text).splitlines(), "")


def bullets(items: Iterable[str], indent: str = "") -> Iterator[str]:
    """A list; an item may have several lines."""
    yield ""
    for item in items:
        first, *rest = item.splitlines()
        yield f"{indent}- {first}"
        yield from (f"{indent}  {line}" for line in rest)
    yield ""


def table(header: Sequence[str], rows: Iterable[Sequence[str]], widths: str) -> Iterator[str]:
    """A table; `widths` are percentages."""
    yield from ("", ".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", "")
    for row in (header, *rows):
        for number, text in enumerate(row):
            yield f"     - {text}" if number else f"   * - {text}"
    yield ""


def code(source: str, language: str = "python") -> Iterator[str]:
    """A block of code."""
    yield from ("", f".. code-block:: {language}", "")
    yield from textwrap.indent(source, "   ").splitlines()
    yield ""


def inside(directive: str, lines: Iterable[str]) -> Iterator[str]:
    """The lines as the content of a directive."""
    yield from ("", directive, "")
    yield from textwrap.indent("\n".join(lines), "   ").splitlines()
    yield ""


def beside(left: Iterable[str], right: Iterable[str]) -> Iterator[str]:
    """Two things side by side, or one above the other where there is no room."""
    yield from inside(
        ".. container:: side-by-side",
        (*inside(".. container:: side", left), *inside(".. container:: side", right)),
    )


def folded(summary: str, lines: Iterable[str]) -> Iterator[str]:
    """What is shown when the reader asks for it."""
    yield from inside(".. raw:: html", [f"<details><summary>{summary}</summary>"])
    yield from lines
    yield from inside(".. raw:: html", ["</details>"])
