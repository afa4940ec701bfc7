"""The page of one function of the API: everything that the project knows of it, from the text that runs."""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import resources
from typing import Final

from chardev_conformance.sphinx import text
from chardev_conformance.sphinx.blocks import (
    beside,
    bullets,
    code,
    folded,
    heading,
    prose,
    table,
)
from chardev_conformance.sphinx.evidence import KINDS, Evidence, Obligation, Proofs
from chardev_conformance.sphinx.examples import Example
from chardev_conformance.sphinx.links import HOLE, linked, reference, references
from chardev_spec.contract import Contract
from chardev_spec.invariants import INVARIANTS, Invariant
from chardev_spec.profiles import QUIRKS
from chardev_spec.profiles.quirk import Quirk, overrides, summary
from chardev_spec.registry import ERRORS, FUNCTIONS, HEADER_PREFIX
from chardev_spec.rules import RULES

HEADER: Final = "adapters/template_files/c/char_device.h"
"""The header's prototypes, as a template of the checker gives them to implementers in C."""

WORDS: Final = {"if": "if", "while": "as long as"}


@cache
def prototype(header: str) -> str:
    """The C prototype of a function of the header."""
    source = (resources.files("chardev_conformance") / HEADER).read_text(encoding="utf-8")
    found = re.search(rf"^[\w *]+\b{header}\([^;]*;", source, re.MULTILINE)
    assert found is not None, header
    return found[0]


def title(name: str) -> str:
    """The heading of the page."""
    return name.replace("_without_device", " without a device")


def signature(name: str) -> str:
    """The function's own signature, without what the runner passes: the machine and the frame."""
    node = text.definition(getattr(Contract, name))
    del node.args.args[:2]
    returns = "" if node.returns is None else f" -> {ast.unparse(node.returns)}"
    return f"{name}({ast.unparse(node.args)}){returns}"


def python_reference(name: str) -> str:
    """A link to a function of the machine in the reference."""
    method = getattr(Contract, name)
    return f":py:meth:`{method.__module__}.{method.__qualname__}`"


def function_page(
    name: str, examples: list[Example], evidence: list[Evidence], proofs: Proofs
) -> Iterator[str]:
    """The whole page but its title."""
    yield from _names(name)
    yield from prose(without_header(name))
    yield from _before(name)
    yield from heading("Seen in a run", "-")
    if not examples:
        yield HOLE
    for example in examples:
        yield from example.lines()
    yield from _callbacks(name)
    yield from _steps(name)
    yield from _changes(name)
    yield from _rules(name)
    yield from _protection(name, proofs)
    yield from _exercised(name, evidence)
    yield from _releases(name, examples)


def without_header(name: str) -> str:
    """The docstring of a function, without the name of the header's function before it."""
    sentence = re.sub(rf"^{HEADER_PREFIX}\w+( with no device)?: ", "", text.step(name).text)
    return sentence[0].upper() + sentence[1:]


def _names(name: str) -> Iterator[str]:
    header = FUNCTIONS[name].header
    if header is not None:
        yield from code(prototype(header), "c")
    yield f":Specification: {python_reference(name)}"
    yield f":Called with: ``{signature(name)}``"
    if header is None:
        yield ":In the header: nothing; the timer is the device's own"
    yield ""


def _before(name: str) -> Iterator[str]:
    yield from heading("What must hold before", "-")
    refusals = text.refusals(name)
    if not refusals:
        yield "Nothing: the call is legal in every state."
        return
    yield "Otherwise the call is refused with the first of these errors, before anything has changed."
    yield from table(
        ("Error", "Raised if", "Rule"),
        (
            (
                reference("error", each.error),
                f"``{each.condition}``",
                reference("rule", ERRORS[each.error].rule),
            )
            for each in refusals
        ),
        "35 50 15",
    )


def _callbacks(name: str) -> Iterator[str]:
    yield from heading("Callbacks, in order", "-")
    outline = text.outline(name)
    if not outline:
        yield "It makes none."
        return
    yield "At each of them the owner may call anything (:chardev:rule:`CB-1`)."
    yield from _outline(outline, "")


def _outline(parts: tuple[text.Outline, ...], indent: str) -> Iterator[str]:
    yield ""
    for part in parts:
        words = _words(part)
        inside = part.inside
        # What leads to one thing only is on one line with it.
        while len(inside) == 1:
            words = f"{words}: {_words(inside[0])}"
            inside = inside[0].inside
        yield f"{indent}- {words}{':' if inside else ''}"
        if inside:
            yield from _outline(inside, f"{indent}  ")
    yield ""


def _words(part: text.Outline) -> str:
    match part.kind:
        case "event":
            return f"{reference('event', part.text)} :chardev:mark:`callback`"
        case "step":
            return reference("function", part.text)
        case "otherwise":
            return "otherwise"
        case _:
            return f"{WORDS[part.kind]} ``{part.text}``"


def _steps(name: str) -> Iterator[str]:
    yield from heading("Step by step", "-")
    yield "Beside each sentence stands the text that runs."
    reached = text.reach(name)
    yield from _side_by_side(name)
    for each in reached:
        if each != name and text.home(each) == name:
            yield from (f".. rubric:: {each}", "   :heading-level: 3", "")
            yield from _side_by_side(each)
    shared = [each for each in reached if each not in text.ENTRIES and text.home(each) is None]
    entries = [each for each in reached if each != name and each in text.ENTRIES]
    if entries:
        yield from (
            "",
            f"It goes on as {references('function', entries)}.",
            "",
        )
    if shared:
        others = references("function", shared)
        yield from ("", f"Steps that it shares with other functions: {others}.", "")


def _side_by_side(name: str) -> Iterator[str]:
    yield from beside(prose(without_header(name)), code(text.step(name).source))


def step_lines(name: str) -> Iterator[str]:
    """One step that several functions share: its text, its source, and who uses it."""
    yield from _side_by_side(name)
    users = [each for each in text.ENTRIES if name in text.reach(each)]
    yield f":Runs in: {references('function', users)}"
    overriding = [each for each in QUIRKS if name in overrides(each)]
    if overriding:
        yield f":Otherwise in: {references('quirk', (each.__name__ for each in overriding))}"
    yield ""


def _changes(name: str) -> Iterator[str]:
    yield from heading("What can change in the state", "-")
    fields = text.changes(name)
    if not fields:
        yield "Nothing."
        return
    yield from table(
        ("Field", "What it is"),
        ((f"``{each.table}.{each.name}``", linked(each.text) or " ") for each in fields),
        "35 65",
    )


def _rules(name: str) -> Iterator[str]:
    yield from heading("Rules", "-")
    ids = dict.fromkeys(
        rule for each in text.reach(name) for rule in FUNCTIONS[each].rules
    )  # its own first
    yield from bullets(f"{reference('rule', each)}: {RULES[each].title}" for each in ids)


def protecting(name: str) -> list[Invariant]:
    """The invariants that speak of a field that the function can change."""
    changed = {each.name for each in text.changes(name)}
    return [each for each in INVARIANTS if text.reads(each) & changed]


def _protection(name: str, proofs: Proofs) -> Iterator[str]:
    yield from heading("Invariants that protect it", "-")
    obligations = proofs.of_function(name)
    invariants = protecting(name)
    if invariants:
        yield "They speak of fields that it can change."
        yield from table(
            ("Invariant", "What it says", "Rules"),
            (
                (
                    reference("invariant", each.name),
                    linked(each.text.splitlines()[0]),
                    references("rule", each.rules),
                )
                for each in invariants
            ),
            "35 45 20",
        )
    else:
        yield "It changes nothing that an invariant speaks of."
    yield ""
    yield from proof_lines(obligations, proofs, lambda each: each.invariant)


def proof_lines(
    obligations: list[Obligation], proofs: Proofs, group: Callable[[Obligation], str]
) -> Iterator[str]:
    """What was proved, with the time that it took, in groups; what was not, one by one; or that nothing was."""
    if not obligations:
        yield f"Proof obligations: {HOLE}."
        yield ""
        return
    proved = sum(each.proved for each in obligations)
    seconds = sum(each.seconds for each in obligations)
    when = f" (report of {proofs.when})" if proofs.when else ""
    yield f"Proof obligations: {proved} of {len(obligations)} proved{when}, in {seconds:.1f} s."
    yield from bullets(f"**not proved**: ``{each.id}``" for each in obligations if not each.proved)
    groups: dict[str, list[Obligation]] = {}
    for each in obligations:
        groups.setdefault(group(each), []).append(each)
    yield from folded(
        "By what they are about",
        table(
            ("About", "Proved", "Seconds"),
            (
                (
                    f"``{name}``",
                    f"{sum(each.proved for each in found)} of {len(found)}",
                    f"{sum(each.seconds for each in found):.2f}",
                )
                for name, found in groups.items()
            ),
            "70 15 15",
        ),
    )


def _exercised(name: str, evidence: list[Evidence]) -> Iterator[str]:
    yield from heading("What exercises it", "-")
    for kind, words in KINDS.items():
        if kind != "mutant":
            yield from evidence_lines(
                words, [each for each in evidence if each.kind == kind and name in each.functions]
            )


def evidence_lines(words: str, found: list[Evidence]) -> Iterator[str]:
    """A fold with all pieces of one kind, or the mark of a hole."""
    if not found:
        yield from ("", f"{words}: {HOLE}", "")
        return
    yield from folded(
        f"{words}: {len(found)}",
        bullets(f"``{each.name}`` ({each.where}): {linked(each.text)}" for each in found),
    )


def deviating(name: str) -> list[type[Quirk]]:
    """The quirks that change the function, or a step that it comes to."""
    return [each for each in QUIRKS if set(overrides(each)) & set(text.reach(name))]


def _releases(name: str, examples: list[Example]) -> Iterator[str]:
    yield from heading("What releases do differently", "-")
    quirks = deviating(name)
    if not quirks:
        yield "Nothing that is known: no quirk touches it."
        return
    yield from table(
        ("Quirk", "What the releases do", "In"),
        (
            (
                reference("quirk", each.__name__),
                linked(summary(each)),
                references("profile", each.releases),
            )
            for each in quirks
        ),
        "25 50 25",
    )
    for example in examples:
        yield from example.release_lines()
