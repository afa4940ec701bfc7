"""The directive `contract-rules`: all rules of the contract in a row, then the words they are written in."""

from collections.abc import Iterator
from itertools import groupby

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from chardev_conformance.sphinx.blocks import heading
from chardev_conformance.sphinx.links import linked, reference
from chardev_conformance.sphinx.rule_page import rule_text
from chardev_spec.rules import RULES, WORDS


class ContractRules(SphinxDirective):
    """Print all rules, section by section, then the words they are written in."""

    def run(self) -> list[nodes.Node]:
        """Parse the page as if it had been written by hand."""
        return self.parse_text_to_nodes("\n".join(page()), allow_section_headings=True)


def page() -> Iterator[str]:
    """The lines of the page, as reStructuredText."""
    for section, rules in groupby(RULES.values(), lambda rule: rule.section):
        yield from heading(section, "=")
        for rule in rules:
            yield from heading(f"{rule.id}: {rule.title}", "-")
            yield from rule_text(rule)
            yield f":Traceability: {reference('rule', rule.id)}"
            yield ""
    yield from heading("Words", "=")
    for word, meaning in WORDS.items():
        yield word
        yield from (f"   {linked(line)}" for line in meaning.splitlines())
        yield ""


def setup(app: Sphinx) -> ExtensionMetadata:
    """Sphinx's entry point."""
    app.add_directive("contract-rules", ContractRules)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
