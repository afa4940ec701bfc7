"""Docstrings of the reference: their rule ids and names become links."""

from sphinx.application import Sphinx
from sphinx.ext.napoleon.docstring import GoogleDocstring

from chardev_conformance.sphinx.links import linked


def link_docstring(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Turn the names in a docstring into links, and its section on errors, where it has one, into fields.

    The napoleon extension as a whole would take the first words of an attribute's text ("Ghost: ...") for its type.
    """
    if "Raises:" in lines:
        lines[:] = GoogleDocstring(lines).lines()
    lines[:] = map(linked, lines)
