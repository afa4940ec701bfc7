"""The figures of the README are counted, not typed."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[2]


@pytest.fixture
def figures() -> Any:
    """The program that counts."""
    spec = importlib.util.spec_from_file_location(
        "readme_figures", ROOT / "tools/readme_figures.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pages(root: Path) -> None:
    """What the long runs write."""
    (root / "docs/_build").mkdir(parents=True)
    (root / "docs/_build/proofs.json").write_text(
        json.dumps({"obligations": [{"proved": True}] * 1200 + [{"proved": False}]})
    )
    (root / "docs/defects.rst").write_text("5 of 6 defects are found, 3 of them\n")
    (root / "docs/c-defects.rst").write_text("2 of 2 defects are found, each within\n")
    (root / "docs/spice-server-findings.rst").write_text(
        "shows it:\n7 ways to end it, 1 other fault, and 2 known deviations.\n"
    )


def test_figures_are_counted_where_they_are_made(figures: Any, tmp_path: Path) -> None:
    """The README would say what nobody counted."""
    pages(tmp_path)
    rows = dict(figures.rows(tmp_path))
    assert rows["proof obligations"] == "1,200 of 1,201 proved"
    assert rows["seeded defects of the device"] == "5 of 6 found"
    assert rows["seeded defects of a device in C"] == "2 of 2 found"
    assert rows["findings in libspice-server 0.15.1"] == "10, 7 of them crashes"


def test_a_page_without_figures_is_told(figures: Any, tmp_path: Path) -> None:
    """A figure would be left as it was when its page has changed."""
    pages(tmp_path)
    (tmp_path / "docs/defects.rst").write_text("all defects are found\n")
    with pytest.raises(figures.FigureError) as refused:
        [*figures.rows(tmp_path)]
    assert str(refused.value) == "docs/defects.rst has no such figures; run make mutants"


def test_without_a_proof_nothing_is_said_of_proofs(figures: Any, tmp_path: Path) -> None:
    """The README would go on praising proofs that nobody ran."""
    pages(tmp_path)
    (tmp_path / "docs/_build/proofs.json").unlink()
    with pytest.raises(figures.FigureError) as refused:
        [*figures.rows(tmp_path)]
    assert str(refused.value) == "docs/_build/proofs.json is not there; run make proof-report"


def test_only_the_table_changes(figures: Any) -> None:
    """The text around the figures would be lost, or figures written where nobody wants them."""
    text = f"before\n{figures.BEGIN}\nold\n{figures.END}after\n"
    assert (
        figures.with_table(text, "new\n") == f"before\n{figures.BEGIN}\nnew\n\n{figures.END}after\n"
    )
    with pytest.raises(figures.FigureError) as refused:
        figures.with_table("before\nafter\n", "new\n")
    assert str(refused.value) == (
        "README.md has no place for the figures: <!-- figures: make readme -->"
    )


def test_the_picture_is_what_the_specification_does(figures: Any) -> None:
    """The README would show a run that is not one of the specification."""
    assert figures.PICTURE.read_text(encoding="utf-8") == figures.picture()
    words = re.findall(r">([^<>]+)</", figures.picture())
    assert [each for each in words if each not in {"Owner", "Device", "Port"}] == [
        "write_buffer_add(b1, 0a0b0c0d)",
        "write(0a0b0c0d)",
        "takes 3",
        "write(0d)",
        "takes all",
        "send_tokens_to_client(c1, 1)",
        "client_remove(c1)",
        "read_one_msg_from_device()",
        "nothing",
        "returns",
        "returns",
        "returns",
    ]
