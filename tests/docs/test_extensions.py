"""What the site's own extensions look at: links within the site, and the evidence for rules."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from house_evidence import vectors
from local_links import check

from chardev_conformance.vectors import files
from chardev_spec.registry import FUNCTIONS
from chardev_spec.rules import RULES


def site(folder: Path, builder: str = "html") -> Any:
    """What the check asks of Sphinx."""
    return SimpleNamespace(builder=SimpleNamespace(name=builder), outdir=folder)


def test_links_that_lead_nowhere_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader would follow a link to a page, or to a place in it, that is not there."""
    warnings: list[str] = []
    monkeypatch.setattr(
        "local_links.logger.warning", lambda text, *parts: warnings.append(text % parts)
    )
    (tmp_path / "a.html").write_text(
        '<h1 id="here">A</h1><a href="b.html">b</a> <a href="b.html#there">b</a> <a href="#here">a</a>'
        '<a href="c.html">c</a> <a href="b.html#nowhere">b</a> <a href="https://example.org/x">x</a>'
        '<a href="b.html#trace=abc">an opened trace</a> <img src="picture.svg">',
        encoding="utf-8",
    )
    (tmp_path / "b.html").write_text('<p id="there">B</p>', encoding="utf-8")
    check(site(tmp_path), None)
    assert sorted(warnings) == [
        "a.html: the link b.html#nowhere leads nowhere",
        "a.html: the link c.html leads nowhere",
        "a.html: the link picture.svg leads nowhere",
    ]


def test_links_are_left_alone_where_there_are_no_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build that failed, or one of a single page, would end in warnings about links."""
    monkeypatch.setattr("local_links.logger.warning", lambda *_: pytest.fail("a warning"))
    (tmp_path / "a.html").write_text('<a href="c.html">c</a>', encoding="utf-8")
    check(site(tmp_path, "singlehtml"), None)
    check(site(tmp_path), RuntimeError("the build failed"))


def test_every_specified_rule_and_function_has_vectors() -> None:
    """The pages would show no vector, or one of something else."""
    found = [*vectors(files.FOLDER)]
    assert {rule for each in found for rule in each.rules} == {
        rule.id for rule in RULES.values() if not rule.planned
    }
    assert {*FUNCTIONS} <= {name for each in found for name in each.functions}
    first = found[0]
    assert (first.kind, first.name, first.where, first.rules, first.functions) == (
        "vector",
        "rule CB-1, 1",
        "set-1/rules.jsonl.gz",
        ("CB-1",),
        (),
    )
    assert first.text.startswith("create, ")
