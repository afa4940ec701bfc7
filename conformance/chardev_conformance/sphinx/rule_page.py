"""The page of one rule, from its text to its tests, and the matrix of all of them."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from chardev_conformance.scenario import EVENT_NAMES
from chardev_conformance.sphinx import text
from chardev_conformance.sphinx.blocks import heading, prose, table
from chardev_conformance.sphinx.evidence import KINDS, Evidence, Obligation, Proofs
from chardev_conformance.sphinx.function_page import evidence_lines, proof_lines
from chardev_conformance.sphinx.links import HOLE, reference, references
from chardev_spec.profiles import QUIRKS
from chardev_spec.registry import ERRORS, EVENTS, FUNCTIONS, INVARIANTS_BY_NAME
from chardev_spec.rules import RULES, Rule


def modules_citing(rule: str, packages: Iterable[Path]) -> list[str]:
    """The modules of packages that are built on the specified device, whose head cites the rule."""
    found = []
    for package in packages:
        for file in sorted(package.rglob("*.py")):
            head = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
            if rule in head.replace(",", " ").replace(".", " ").replace(")", " ").split():
                name = ".".join((package.name, *file.relative_to(package).with_suffix("").parts))
                found.append(name.removesuffix(".__init__"))
    return found


def carriers(rule: str) -> dict[str, list[str]]:
    """What of the specification carries a rule, by kind, as links."""
    return {
        "Functions": [
            reference("function", each.name) for each in FUNCTIONS.values() if rule in each.rules
        ],
        "Invariants": [
            reference("invariant", each.name)
            for each in INVARIANTS_BY_NAME.values()
            if rule in each.rules
        ],
        "Callbacks": [
            reference("event", each.name)
            for each in EVENTS.values()
            if rule in each.rules and each.name in EVENT_NAMES
        ],
        "Errors": [reference("error", each.name) for each in ERRORS.values() if rule == each.rule],
    }


def breaking(rule: str) -> list[str]:
    """The quirks that break a rule, as links: ready mutants of the specification."""
    return [reference("quirk", each.__name__) for each in QUIRKS if rule in each.rules]


def rule_text(rule: Rule) -> Iterator[str]:
    """The rule itself."""
    yield from prose(rule.text)
    yield f":In the header: {rule.source}"
    yield ""


def rule_page(
    rule: Rule, evidence: list[Evidence], proofs: Proofs, packages: list[Path]
) -> Iterator[str]:
    """The whole page but its title."""
    yield from rule_text(rule)
    yield from heading("What carries it", "-")
    carried = carriers(rule.id)
    modules = modules_citing(rule.id, packages)
    if rule.planned and modules:
        others = ", ".join(f":py:mod:`{name}`" for name in modules)
        yield f"Outside the specification: {others}."
    elif rule.planned:
        yield f"{HOLE}: the rule is stated, and carried by nothing yet."
    else:
        # Not every rule needs a callback or an error of its own; one without text or invariant has a hole.
        for words, links in carried.items():
            if links or words in {"Functions", "Invariants"}:
                yield f":{words}: {', '.join(links) or HOLE}"
    yield from heading("What was proved", "-")
    yield from proof_lines(proofs.of_rule(rule.id), proofs, lambda each: each.function)
    yield from heading("What would notice if it were broken", "-")
    quirks = breaking(rule.id)
    yield f":Releases that break it: {', '.join(quirks) or 'none that is known'}"
    yield ""
    for kind, words in KINDS.items():
        found = [each for each in evidence if each.kind == kind and rule.id in each.rules]
        yield from evidence_lines(words, found)
    exercising = [name for name in text.ENTRIES if _carries(name, rule.id)]
    yield from heading("Functions that come to it", "-")
    yield references("function", exercising)


def _carries(entry: str, rule: str) -> bool:
    return any(rule in FUNCTIONS[each].rules for each in text.reach(entry))


def matrix(evidence: list[Evidence], proofs: Proofs, packages: list[Path]) -> Iterator[str]:
    """Rules against what carries and checks them; a hole shows."""

    def count(items: Iterable[object]) -> str:
        number = len(list(items))
        return str(number) if number else HOLE

    def proved(obligations: list[Obligation]) -> str:
        holding = sum(each.proved for each in obligations)
        if holding < len(obligations):
            return f":chardev:hole:`{holding} of {len(obligations)}`"
        return count(obligations)

    def row(rule: Rule) -> tuple[str, ...]:
        carried = carriers(rule.id)
        outside = modules_citing(rule.id, packages) if rule.planned else []
        return (
            f"{reference('rule', rule.id)}: {rule.title}",
            count([*carried["Functions"], *carried["Callbacks"], *carried["Errors"], *outside]),
            count(carried["Invariants"]),
            proved(proofs.of_rule(rule.id)),
            *(
                count(each for each in evidence if each.kind == kind and rule.id in each.rules)
                for kind in KINDS
            ),
        )

    yield from table(
        ("Rule", "Text", "Invariants", "Proof", *KINDS.values()),
        map(row, RULES.values()),
        "40 10 10 10 10 10 10",
    )
