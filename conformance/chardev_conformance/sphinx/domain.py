"""The Sphinx domain `chardev`: the things of the contract as something to print and to refer to."""

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.parsers.rst.directives import flag
from sphinx.addnodes import only, pending_xref
from sphinx.builders import Builder
from sphinx.domains import Domain, ObjType
from sphinx.environment import BuildEnvironment
from sphinx.roles import XRefRole
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole
from sphinx.util.nodes import make_refnode

from chardev_conformance.scenario import EVENT_NAMES
from chardev_conformance.sphinx import text
from chardev_conformance.sphinx.diagrams import svg
from chardev_conformance.sphinx.evidence import Evidence, Proofs, load_proofs
from chardev_conformance.sphinx.examples import Example, load_examples
from chardev_conformance.sphinx.function_page import function_page, step_lines
from chardev_conformance.sphinx.links import DOMAIN, NAMES
from chardev_conformance.sphinx.lists import error_lines, event_lines, invariant_lines
from chardev_conformance.sphinx.profile_page import profile_page, quirk_lines
from chardev_conformance.sphinx.rule_page import rule_page, rule_text
from chardev_spec.profiles import QUIRKS
from chardev_spec.registry import INVARIANTS_BY_NAME
from chardev_spec.rules import RULES

logger = logging.getLogger(__name__)

WHAT: Final = {
    "rule": "rule",
    "function": "function of the machine",
    "invariant": "invariant",
    "event": "callback",
    "quirk": "quirk",
    "profile": "profile",
    "error": "contract error",
}
"""Each kind of thing in words."""


def anchor(kind: str, name: str) -> str:
    """The id in the page that a thing has."""
    return nodes.make_id(f"{DOMAIN}-{kind}-{name}")


class ContractDirective(SphinxDirective):
    """Prints one thing of the contract, and is where links to it lead; an unknown name is an error.

    With the option ``brief`` a rule is its text alone, and no link leads there.
    """

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"brief": flag}

    @property
    def kind(self) -> str:
        """The kind of thing: the directive's own name without the domain's."""
        return self.name.partition(":")[2]

    def run(self) -> list[nodes.Node]:
        """Print it as if its text had been written by hand."""
        name = self.arguments[0]
        if name not in NAMES[self.kind]:
            raise self.error(f"the contract has no {WHAT[self.kind]} {name!r}")
        if "brief" in self.options:
            return self.parse_text_to_nodes("\n".join(rule_text(RULES[name])))
        declared = [name]
        if self.kind == "function" and name in text.ENTRIES:
            declared += [
                each for each in text.reach(name) if text.home(each) == name and each != name
            ]
        targets = [self._declare(each) for each in declared]
        lines = "\n".join(self._lines(name))
        return [*targets, *self.parse_text_to_nodes(lines, allow_section_headings=True)]

    def _declare(self, name: str) -> nodes.Node:
        domain = self.env.domains[DOMAIN]
        assert isinstance(domain, ContractDomain)
        identity = anchor(self.kind, name)
        domain.note(self.kind, name, self.env.docname, identity, self.get_location())
        target = nodes.target("", "", ids=[identity])
        self.state.document.note_explicit_target(target)
        return target

    def _lines(self, name: str) -> Iterator[str]:
        config = self.config
        evidence: list[Evidence] = config.chardev_evidence
        match self.kind:
            case "rule":
                return rule_page(
                    RULES[name], evidence, proofs_of(self.env), config.chardev_packages
                )
            case "function" if name in text.ENTRIES:
                examples = [each for each in examples_of(self.env) if each.shows == name]
                return function_page(name, examples, evidence, proofs_of(self.env))
            case "function":
                return step_lines(name)
            case "invariant":
                return invariant_lines(INVARIANTS_BY_NAME[name], proofs_of(self.env))
            case "event":
                return event_lines(name)
            case "quirk":
                return quirk_lines(next(each for each in QUIRKS if each.__name__ == name))
            case "profile":
                return profile_page(name)
            case _:
                return error_lines(name)


def proofs_of(env: BuildEnvironment) -> Proofs:
    """The report that the project handed in; a change of it makes the page anew."""
    path = env.config.chardev_proof_report
    if path is not None:
        env.note_dependency(str(path))
    return load_proofs(path)


def examples_of(env: BuildEnvironment) -> list[Example]:
    """The project's worked examples; a change of one makes the page anew."""
    folder = env.config.chardev_examples
    if folder is None:
        return []
    for path in folder.glob("*.jsonl"):
        env.note_dependency(str(path))
    return load_examples(folder)


class Diagram(SphinxDirective):
    """A Mermaid text, drawn; the argument is what is read out instead of the picture."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Draw it for pages, and leave the text for everything else."""
        source = "\n".join(self.content)
        drawn = f'<div class="diagram">{svg(source, self.arguments[0])}</div>'
        other = only("", nodes.literal_block(source, source, language="none"), expr="not html")
        return [nodes.raw("", drawn, format="html"), other]


class Mark(SphinxRole):
    """A word with a style of its own, named as the role: a hole, a mark."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The word in its style."""
        return [nodes.inline("", self.text, classes=[self.name.rpartition(":")[2]])], []


class ContractRole(XRefRole):
    """A link to a thing of the contract; one that there is not is a warning."""

    def __init__(self) -> None:
        super().__init__(warn_dangling=True)

    def process_link(
        self,
        env: BuildEnvironment,
        refnode: nodes.Element,
        has_explicit_title: bool,
        title: str,
        target: str,
    ) -> tuple[str, str]:
        """Callbacks may be called by the header's name as well as the specification's."""
        header = {name: event for event, name in EVENT_NAMES.items()}
        if refnode["reftype"] == "event":
            return title, header.get(target, target)
        return title, target


class ContractDomain(Domain):
    """What there is to refer to, and where its page is."""

    name = DOMAIN
    label = "SPICE character device contract"
    object_types: ClassVar[dict[str, ObjType]] = {kind: ObjType(kind, kind) for kind in WHAT}
    directives: ClassVar[dict[str, type[Directive]]] = {
        **dict.fromkeys(WHAT, ContractDirective),
        "diagram": Diagram,
    }
    roles: ClassVar[dict[str, Any]] = {
        **{kind: ContractRole() for kind in WHAT},
        "stepper": XRefRole(),
        "hole": Mark(),
        "mark": Mark(),
    }
    dangling_warnings: ClassVar[dict[str, str]] = {
        kind: f"no page has the {words} %(target)r, or the contract has none of that name"
        for kind, words in WHAT.items()
    }
    initial_data: ClassVar[dict[str, Any]] = {"objects": {}}
    data_version = 1

    @property
    def objects(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Of each thing that has a place, by kind and name: the page and the id in it."""
        objects: dict[tuple[str, str], tuple[str, str]] = self.data["objects"]
        return objects

    def note(self, kind: str, name: str, docname: str, identity: str, location: Any) -> None:
        """Note where a thing is; two places are a warning."""
        known = self.objects.get((kind, name))
        if known is not None and known[0] != docname:
            logger.warning(
                "the %s %s has a place already, in %s",
                WHAT[kind],
                name,
                known[0],
                location=location,
            )
        self.objects[kind, name] = (docname, identity)

    def clear_doc(self, docname: str) -> None:
        """Forget what a page had."""
        for key, (page, _) in [*self.objects.items()]:
            if page == docname:
                del self.objects[key]

    def merge_domaindata(self, docnames: Any, otherdata: dict[str, Any]) -> None:
        """Take over what another process has read."""
        for key, place in otherdata["objects"].items():
            if place[0] in docnames:
                self.objects[key] = place

    def check_consistency(self) -> None:
        """Warn of what has no place, of every kind that has one at all: nothing may be missing from a reference."""
        for kind in {kind for kind, _ in self.objects}:
            for name in NAMES[kind]:
                if (kind, name) not in self.objects and self.env.config.chardev_pages:
                    logger.warning("no page has the %s %s", WHAT[kind], name)

    def resolve_xref(
        self,
        env: BuildEnvironment,
        fromdocname: str,
        builder: Builder,
        typ: str,
        target: str,
        node: pending_xref,
        contnode: nodes.Element,
    ) -> nodes.reference | None:
        """The link, None when there is nothing to link to."""
        if typ == "stepper":
            stepper = env.config.chardev_stepper
            if stepper is None:
                return None
            address = f"{builder.get_relative_uri(fromdocname, stepper)}#trace={target}"
            return nodes.reference("", "", contnode, internal=True, refuri=address)
        place = self.objects.get((typ, target))
        if place is None:
            return None
        return make_refnode(builder, fromdocname, place[0], place[1], contnode, f"{typ} {target}")

    def get_objects(self) -> Iterator[tuple[str, str, str, str, str, int]]:
        """Everything that has a place, for the search and the inventory."""
        for (kind, name), (docname, identity) in self.objects.items():
            yield name, EVENT_NAMES.get(name, name), kind, docname, identity, 1
