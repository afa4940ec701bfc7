"""The directive `release-quirks`: what shipped releases do otherwise, printed from the quirks themselves."""

from collections.abc import Iterator

from contract_rules import linked
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from chardev_spec.profiles.table import QuirkRow, quirk_table


class ReleaseQuirks(SphinxDirective):
    """Print the table of quirks."""

    def run(self) -> list[nodes.Node]:
        """Parse the table as if it had been written by hand."""
        return self.parse_text_to_nodes("\n".join(table()))


def table() -> Iterator[str]:
    """The lines of the table, as reStructuredText."""
    yield from (".. list-table::", "   :header-rows: 1", "")
    yield from entry(("Quirk", "What the releases do", "Breaks", "In", "Refutes"))
    for row in quirk_table():
        yield from entry(cells(row))


def cells(row: QuirkRow) -> tuple[str, ...]:
    """The cells of one quirk."""
    quirk = f":class:`~chardev_spec.profiles.{row.section}.{row.name}`"
    return (
        quirk,
        row.summary,
        linked(", ".join(row.rules)),
        ", ".join(row.releases),
        row.refuted_by,
    )


def entry(texts: tuple[str, ...]) -> Iterator[str]:
    """One row of the table."""
    for number, text in enumerate(texts):
        yield f"     - {text}" if number else f"   * - {text}"


def setup(app: Sphinx) -> ExtensionMetadata:
    """Sphinx's entry point."""
    app.add_directive("release-quirks", ReleaseQuirks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
