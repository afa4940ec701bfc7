"""Invariants, callbacks, errors and shared steps: many small things, each kind on one page."""

import inspect
from collections.abc import Iterator

from chardev_conformance.scenario import EVENT_NAMES
from chardev_conformance.sphinx import text
from chardev_conformance.sphinx.blocks import code, prose
from chardev_conformance.sphinx.evidence import Proofs
from chardev_conformance.sphinx.function_page import proof_lines, protecting
from chardev_conformance.sphinx.links import reference, references
from chardev_spec import errors, events
from chardev_spec.invariants import Invariant, Scope
from chardev_spec.profiles import QUIRKS
from chardev_spec.registry import ERRORS, EVENTS, FUNCTIONS

SCOPES = {
    Scope.DEVICE: "the device, at every callback point",
    Scope.CLIENT: "each client, at every callback point",
    Scope.BUFFER: "each buffer, at every callback point",
    Scope.EVENT: "one kind of callback, at the moment it is made",
    Scope.OUTSIDE: "the device, when no call is on the stack",
}
"""What an invariant is about, and when it holds."""


def invariant_lines(invariant: Invariant, proofs: Proofs) -> Iterator[str]:
    """One invariant: what it says, its text, whom it protects, how it is proved, what refutes it."""
    yield from prose(invariant.text)
    yield from code(text.source_without_docstring(invariant.holds))
    yield f":Holds of: {SCOPES[invariant.scope]}"
    yield f":Rules: {references('rule', invariant.rules)}"
    protected = [each for each in text.ENTRIES if invariant in protecting(each)]
    yield f":Protects: {references('function', protected)}"
    refuting = [each for each in QUIRKS if each.refuted_by == invariant.name]
    if refuting:
        yield f":Refuted by: {references('quirk', (each.__name__ for each in refuting))}"
    yield ""
    yield from proof_lines(
        [each for each in proofs.obligations if each.invariant == invariant.name],
        proofs,
        lambda each: each.function,
    )


def event_lines(name: str) -> Iterator[str]:
    """One callback: what it is, who makes it, which rules speak of it."""
    yield from prose(inspect.getdoc(getattr(events, name)) or "")
    yield f":In the specification: :py:class:`chardev_spec.events.{name}`"
    makers = [each for each in FUNCTIONS if name in text.step(each).events]
    yield f":Made by: {references('function', makers)}"
    entries = [entry for entry in text.ENTRIES if any(each in makers for each in text.reach(entry))]
    yield f":Can come in: {references('function', entries)}"
    if EVENTS[name].rules:
        yield f":Rules: {references('rule', EVENTS[name].rules)}"
    yield ""


def event_title(name: str) -> str:
    """The name that the header has for a callback."""
    return EVENT_NAMES[name]


def error_lines(name: str) -> Iterator[str]:
    """One contract error: what it reports, and where it is raised, under which condition."""
    yield from prose(inspect.getdoc(getattr(errors, name)) or "")
    yield f":Rule: {reference('rule', ERRORS[name].rule)}"
    raising = {
        entry: [each.condition for each in text.refusals(entry) if each.error == name]
        for entry in text.ENTRIES
    }
    yield f":Raised by: {references('function', (each for each, found in raising.items() if found))}"
    conditions = dict.fromkeys(each for found in raising.values() for each in found)
    yield f":If: {', or '.join(f'``{each}``' for each in conditions)}"
    yield ""
