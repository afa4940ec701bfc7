"""The directives `trace-calls`, `trace-callbacks` and `trace-readable`: the scenario language, printed from itself.

What a trace may hold is written down once, in `chardev_conformance.scenario`; the page on traces prints it.
"""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from chardev_conformance.scenario import EVENT_NAMES, PARAMETERS, RESULTS, Kind, kind
from chardev_conformance.sphinx.links import linked
from chardev_conformance.trace import load, readable
from chardev_spec import events
from chardev_spec.contract import Contract
from chardev_spec.registry import FUNCTIONS

BEYOND_THE_HEADER = {
    "advance": "Moves the clock of all devices; nothing fires by itself.",
    "migrate_data_release": "Drops what migration data refers to (BUF-2); what is named must be migration data.",
}
"""What calls do that are no function of the machine."""

ANSWERS = {
    "write": '``value``: a number of bytes, ``"all"``, ``"fail"`` or ``"over"``; ``"all"`` without it',
    "read_one_msg_from_device": "``value``: ``true`` for a message, ``false`` for nothing; ``false`` without it",
}
"""What a callback can be answered with; the others return nothing."""


class TraceCalls(SphinxDirective):
    """Print every call with its arguments."""

    def run(self) -> list[nodes.Node]:
        """Parse the list as if it had been written by hand."""
        return self.parse_text_to_nodes("\n".join(calls()))


class TraceCallbacks(SphinxDirective):
    """Print every callback and how it can be answered."""

    def run(self) -> list[nodes.Node]:
        """Parse the list as if it had been written by hand."""
        return self.parse_text_to_nodes("\n".join(callbacks()))


class TraceReadable(SphinxDirective):
    """Print the trace in a file as the checker shows it."""

    required_arguments = 1
    option_spec = {"class": directives.class_option}  # noqa: RUF012 - docutils reads it like this

    def run(self) -> list[nodes.Node]:
        """Read the file, which stands beside the page."""
        name, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(name)
        text = readable(load(Path(path)))
        return [nodes.literal_block(text, text, language="text")]


def calls() -> Iterator[str]:
    """One entry a call: arguments, what it hands out, what it does."""
    for call, parameters in PARAMETERS.items():
        yield f"``{call}``"
        if call in FUNCTIONS:
            method = getattr(Contract, call)
            yield f"   {summary(method)}"
            yield f"   In the specification: :py:meth:`~{method.__module__}.{method.__qualname__}`."
        else:
            yield f"   {linked(BEYOND_THE_HEADER[call])}"
        if call in RESULTS:
            yield f"   ``as`` names {RESULTS[call]}."
        yield ""
        for parameter in parameters:
            yield f"   - ``{parameter}``: {kind_text(kind(call, parameter))}"
        yield ""


def callbacks() -> Iterator[str]:
    """One entry a callback: what it is, how it is answered."""
    for event, name in EVENT_NAMES.items():
        yield f"``{name}``"
        yield f"   {summary(getattr(events, event))}"
        yield f"   In the specification: :py:class:`~chardev_spec.events.{event}`."
        yield ""
        yield f"   - {ANSWERS.get(name, 'no ``value``')}"
        yield ""


def summary(what: object) -> str:
    """The first sentence of what the specification says of a function or an event, without its name in the header."""
    sentence = (inspect.getdoc(what) or "").splitlines()[0]
    text = re.sub(r"^(`\w+`|spice_char_device_\w+[^:]*): ", "", sentence)
    return linked(f"{text[0].upper()}{text[1:]}{'' if text.endswith('.') else '.'}")


def kind_text(of: Kind) -> str:
    """What an argument may be, its JSON words as code."""
    words = ("true", "false", "null")
    return " ".join(f"``{word}``" if word in words else word for word in of.value.split())


def setup(app: Sphinx) -> ExtensionMetadata:
    """Sphinx's entry point."""
    app.add_directive("trace-calls", TraceCalls)
    app.add_directive("trace-callbacks", TraceCallbacks)
    app.add_directive("trace-readable", TraceReadable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
