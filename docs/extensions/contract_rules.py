"""The directive `contract-rules`: the rules of the contract, printed from the specification itself.

No rule is written down twice: the page prints `chardev_spec.rules.RULES`, and `chardev_spec.registry` says what carries
each rule; rules of devices that are built on the specified one are carried by modules of `chardev`.
A rule's id becomes a link to that rule, on this page and in every docstring of the reference.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from itertools import groupby

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.ext.napoleon.docstring import GoogleDocstring
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

import chardev
from chardev_spec.contract import Contract
from chardev_spec.registry import CARRIERS
from chardev_spec.rules import RULES, WORDS, Rule

RULE_ID = re.compile(rf"\b(?:{'|'.join(RULES)})\b")
LITERAL = re.compile(r"(``[^`]+``|`[^`]+`)")


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
            yield from entry(rule)
    yield from heading("Words", "=")
    for word, meaning in WORDS.items():
        yield word
        yield from (f"   {linked(line)}" for line in meaning.splitlines())
        yield ""


def entry(rule: Rule) -> Iterator[str]:
    """One rule: its label, heading and text, where it comes from, and what carries it."""
    yield from (f".. _{label(rule.id)}:", "")
    yield from heading(f"{rule.id}: {rule.title}", "-")
    yield from (linked(line) for line in rule.text.splitlines())
    yield from ("", f":In the header: {rule.source}")
    carriers = ", ".join(map(reference, CARRIERS[rule.id]))
    yield f":Carried by: {carriers or beyond_the_specification(rule.id)}"
    yield ""


def beyond_the_specification(rule_id: str) -> str:
    """What carries a rule of a device that is built on the specified one: the modules whose head cites it."""
    names = sorted(
        found.name
        for found in pkgutil.walk_packages(chardev.__path__, "chardev.")
        if rule_id in (importlib.import_module(found.name).__doc__ or "")
    )
    modules = ", ".join(f":py:mod:`{name}`" for name in names)
    return (
        f"{modules}, outside the specification"
        if modules
        else "nothing yet; the rule is stated and planned"
    )


def reference(carrier: str) -> str:
    """A link to what the registry calls "function NAME", "invariant NAME", "event NAME" or "error NAME"."""
    kind, _, name = carrier.partition(" ")
    match kind:
        case "function":
            method = getattr(Contract, name)
            return f":py:meth:`{name} <{method.__module__}.{method.__qualname__}>`"
        case "invariant":
            return f":py:func:`{name} <chardev_spec.invariants.{name}>`"
        case "event":
            return f":py:class:`{name} <chardev_spec.events.{name}>`"
        case _:
            return f":py:class:`{name} <chardev_spec.errors.{name}>`"


def heading(title: str, underline: str) -> tuple[str, str, str]:
    """A section title."""
    return (title, underline * len(title), "")


def label(rule_id: str) -> str:
    """The name under which any page can refer to a rule."""
    return f"rule-{rule_id.lower()}"


def linked(text: str) -> str:
    """The text with its rule ids as links; code in it is left alone."""
    return "".join(
        part
        if LITERAL.fullmatch(part)
        else RULE_ID.sub(lambda found: f":ref:`{found[0]} <{label(found[0])}>`", part)
        for part in LITERAL.split(text)
    )


def link_docstring(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Turn the rule ids of a docstring into links, and its section on errors, where it has one, into fields.

    The napoleon extension as a whole would take the first words of an attribute's text ("Ghost: ...") for its type.
    """
    if "Raises:" in lines:
        lines[:] = GoogleDocstring(lines).lines()
    lines[:] = map(linked, lines)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Sphinx's entry point."""
    app.connect("autodoc-process-docstring", link_docstring)
    app.add_directive("contract-rules", ContractRules)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
