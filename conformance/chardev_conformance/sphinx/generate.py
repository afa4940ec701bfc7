"""The pages for everything that the contract has: short texts of directives, which do the work.

They are written below the source folder before Sphinx looks for sources, and only when they change.
"""

from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx

from chardev_conformance.sphinx import text
from chardev_conformance.sphinx.blocks import bullets, heading, inside, table
from chardev_conformance.sphinx.diagrams import state_diagram
from chardev_conformance.sphinx.domain import anchor
from chardev_conformance.sphinx.evidence import load_proofs
from chardev_conformance.sphinx.function_page import title, without_header
from chardev_conformance.sphinx.links import DOMAIN, NAMES, linked, reference, references
from chardev_conformance.sphinx.lists import event_title
from chardev_conformance.sphinx.rule_page import matrix
from chardev_conformance.sphinx.states import ASPECTS, DEPTH, explore
from chardev_spec.profiles import PROFILES
from chardev_spec.registry import FUNCTIONS
from chardev_spec.rules import RULES


def write_pages(app: Sphinx) -> None:
    """Write all pages, and remove those of what is no more."""
    if app.config.chardev_pages is None:
        return
    folder = Path(app.srcdir) / app.config.chardev_pages
    pages = dict(_pages(app))
    for file in folder.rglob("*.rst"):
        if str(file.relative_to(folder)) not in pages:
            file.unlink()
    for name, lines in pages.items():
        content = "\n".join(lines) + "\n"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.write_text(content, encoding="utf-8")


def _pages(app: Sphinx) -> Iterator[tuple[str, list[str]]]:
    yield "functions.rst", [*_functions()]
    for name in text.ENTRIES:
        yield f"functions/{name}.rst", [*_page(title(name), [f".. {DOMAIN}:function:: {name}"])]
    yield "steps.rst", [*_steps()]
    yield "rules.rst", [*_rules(app)]
    for rule in RULES.values():
        label = f".. _rule-{rule.id.lower()}:"
        body = [f".. {DOMAIN}:rule:: {rule.id}"]
        yield f"rules/{rule.id}.rst", [label, *_page(f"{rule.id}: {rule.title}", body)]
    yield "profiles.rst", [*_profiles()]
    for name in PROFILES:
        yield f"profiles/{name}.rst", [*_page(name, [f".. {DOMAIN}:profile:: {name}"])]
    for kind, words, said in (
        ("invariant", "Invariants", "What always holds, and what each protects."),
        ("event", "Callbacks", "What a device calls, and when."),
        ("error", "Contract errors", "What is refused, and why; a refused call changes nothing."),
        ("quirk", "Quirks", "What releases do otherwise, each beside the contract."),
    ):
        yield f"{kind}s.rst", [*_list(kind, words, said)]
    yield "states.rst", [*_states()]


def _page(name: str, body: list[str]) -> Iterator[str]:
    yield from heading(name, "=")
    yield from body


def _toctree(folder: str, names: tuple[str, ...]) -> Iterator[str]:
    yield from ("", ".. toctree::", "   :hidden:", "")
    yield from (f"   {folder}/{each}" for each in names)
    yield ""


def _functions() -> Iterator[str]:
    yield from heading("Functions", "=")
    yield "Each page answers what happens when the function is called, in any state, from the text that runs."
    yield from table(
        ("Function", "What it does", "Rules"),
        (
            (
                reference("function", name),
                linked(without_header(name).splitlines()[0]),
                references("rule", FUNCTIONS[name].rules),
            )
            for name in text.ENTRIES
        ),
        "30 50 20",
    )
    yield from _toctree("functions", text.ENTRIES)


def _steps() -> Iterator[str]:
    yield from heading("Shared steps", "=")
    yield "What several functions have in common, each step beside the text that runs."
    for name in text.shared_steps():
        yield from heading(name, "-")
        yield f".. {DOMAIN}:function:: {name}"


def _rules(app: Sphinx) -> Iterator[str]:
    yield from heading("Traceability", "=")
    yield "What stands for each rule; :chardev:hole:`none` is a hole."
    yield "The numbers count functions, callbacks and errors that carry it; invariants that state it;"
    yield "proof obligations; and what would notice if it were broken."
    config = app.config
    yield from matrix(
        config.chardev_evidence, load_proofs(config.chardev_proof_report), config.chardev_packages
    )
    yield from _toctree("rules", tuple(RULES))


def _profiles() -> Iterator[str]:
    yield from heading("Releases", "=")
    yield "What shipped releases do, as the contract with quirks."
    yield from bullets(
        f"{reference('profile', each.name)}: {each.title}, {len(each.quirks)} quirks"
        for each in PROFILES.values()
    )
    yield from _toctree("profiles", tuple(PROFILES))


def _list(kind: str, words: str, said: str) -> Iterator[str]:
    yield from heading(words, "=")
    yield said
    for name in NAMES[kind]:
        yield from heading(event_title(name) if kind == "event" else name, "-")
        yield f".. {DOMAIN}:{kind}:: {name}"


def _states() -> Iterator[str]:
    yield from heading("States", "=")
    yield "These diagrams are found by running the specification: every call of a menu, with every way that the port"
    yield f"can answer, from every state that earlier calls have led to, up to {DEPTH} calls."
    yield "An edge has the name of the call that began, or of the callback that was answered, right before the change;"
    yield "what comes and goes between two callbacks does not show."
    edges = explore()
    for name, (words, look) in ASPECTS.items():
        yield from ("", f".. _{anchor('states', name)}:", "")
        yield from heading(words, "-")
        yield (look.__doc__ or "").strip()
        yield from inside(f".. {DOMAIN}:diagram:: {words}", state_diagram(edges[name]).splitlines())
