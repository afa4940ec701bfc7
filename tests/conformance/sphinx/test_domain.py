"""The Sphinx domain: links both ways, and an unknown name is a warning."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from chardev_conformance.sphinx.evidence import Evidence, ReportError, load_proofs
from chardev_conformance.sphinx.links import linked
from chardev_spec.rules import RULES


class Site:
    """A small site that uses the extension; `warnings` is what building it said."""

    def __init__(self, folder: Path, index: str, *, build: bool = True, **settings: Any) -> None:
        source = folder / "source"
        source.mkdir(exist_ok=True)
        (source / "index.rst").write_text(f"Site\n====\n\n{index}\n", encoding="utf-8")
        said = io.StringIO()
        with docutils_namespace():
            app = Sphinx(
                source,
                None,
                folder / "html",
                folder / "doctrees",
                "html",
                confoverrides={
                    "extensions": ["chardev_conformance.sphinx"],
                    "default_role": "literal",
                    "html_theme": "basic",
                    "suppress_warnings": ["toc.not_included"],
                    **settings,
                },
                status=None,
                warning=said,
                warningiserror=False,
            )
            if build:
                app.build()
        plain = re.sub(r"\x1b[^m]*m", "", said.getvalue())
        self.warnings = [line.partition("index.rst:")[2] or line for line in plain.splitlines()]
        self.folder = folder / "html"

    def page(self, name: str) -> str:
        """The HTML of a page."""
        return (self.folder / f"{name}.html").read_text(encoding="utf-8")


def test_a_link_leads_to_what_a_directive_prints(tmp_path: Path) -> None:
    """A role would lead nowhere, or a directive print nothing."""
    site = Site(tmp_path, "See :chardev:rule:`TOK-2`.\n\n.. chardev:rule:: TOK-2\n")
    assert [line for line in site.warnings if "TOK-2" in line] == []
    page = site.page("index")
    assert 'href="#chardev-rule-tok-2"' in page
    assert 'id="chardev-rule-tok-2"' in page
    assert "What carries it" in page


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("rule", "rule"),
        ("function", "function of the machine"),
        ("invariant", "invariant"),
        ("event", "callback"),
        ("quirk", "quirk"),
        ("profile", "profile"),
        ("error", "contract error"),
    ],
)
def test_an_unknown_name_is_a_warning(kind: str, words: str, tmp_path: Path) -> None:
    """A page could speak of a rule, function or callback that the contract does not have."""
    site = Site(tmp_path, f"See :chardev:{kind}:`nothing`.\n\n.. chardev:{kind}:: nothing\n")
    assert site.warnings == [
        f"6: ERROR: the contract has no {words} 'nothing' [docutils]",
        f"4: WARNING: no page has the {words} 'nothing', or the contract has none of that name [ref.{kind}]",
    ]  # fmt: skip


def test_pages_for_everything_without_a_warning(tmp_path: Path) -> None:
    """Something of the contract would have no page, or a page a link that leads nowhere."""
    proofs = tmp_path / "proofs.json"
    proofs.write_text(
        json.dumps({
            "when": "2026-01-02",
            "obligations": [
                {"id": "tokens_are_conserved @ start : entry", "proved": True, "rules": ["TOK-1"],
                 "function": "start", "seconds": 1.5},
                {"id": "priced_once @ wakeup : return", "proved": False, "rules": ["TOK-5"],
                 "function": "wakeup", "seconds": 2},
            ],
        }),
        encoding="utf-8",
    )  # fmt: skip
    test = Evidence(
        "test", "test_start", "It would not start (LC-2).", "test_x.py", ("LC-2",), ("start",)
    )
    site = Site(
        tmp_path,
        "Nothing here.",
        chardev_pages="contract",
        chardev_evidence=[test],
        chardev_proof_report=proofs,
        suppress_warnings=["toc.not_included", "ref.meth", "ref.class"],
    )
    assert site.warnings == []
    assert len([*(site.folder / "contract/rules").iterdir()]) == len(RULES)
    start = site.page("contract/functions/start")
    assert "void</span>" in start
    assert "1 of 1 proved (report of 2026-01-02), in 1.5 s" in start
    assert "test_start" in start
    assert '<span class="hole">none</span>' in start  # it has no vector, and no example
    rule = site.page("contract/rules/TOK-1")
    assert "1 of 1 proved" in rule
    assert '<span class="hole">none</span>' in rule  # it has no test here
    # What is not proved is no proof, anywhere.
    assert "<strong>not proved</strong>" in site.page("contract/functions/wakeup")
    assert '<span class="hole">0 of 1</span>' in site.page("contract/rules")


def test_what_is_gone_from_the_contract_goes_from_the_pages(tmp_path: Path) -> None:
    """The page of a function that was renamed would stay for ever."""
    old = tmp_path / "source/contract/functions/old.rst"
    old.parent.mkdir(parents=True)
    old.write_text("old", encoding="utf-8")
    Site(tmp_path, "Nothing.", build=False, chardev_pages="contract")
    assert not old.exists()
    assert old.with_name("start.rst").exists()


def test_a_report_that_is_none(tmp_path: Path) -> None:
    """A broken report would look like one without obligations."""
    path = tmp_path / "proofs.json"
    path.write_text('{"obligations": [{}]}', encoding="utf-8")
    with pytest.raises(ReportError) as error:
        load_proofs(path)
    assert str(error.value) == f"{path}: no report of chardev prove --json: KeyError('id')"


def test_links_in_docstrings() -> None:
    """Rule ids and names in the reference would lead nowhere, or code be torn apart."""
    assert linked("TOK-1: `start` calls `remove_client`, not ``start``, nor `x`.") == (
        ":chardev:rule:`TOK-1`: :chardev:function:`start` calls "
        ":chardev:event:`remove_client <RemoveClient>`, not ``start``, nor `x`."
    )
