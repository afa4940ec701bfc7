"""What the documentation says of the library is what the library does."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from chardev_conformance.command_line import main
from chardev_conformance.spice_server.isolation import Isolated
from chardev_conformance.spice_server.judge import CRASH, Finding
from chardev_conformance.spice_server.known import QUIRK, comes_again, quirks_and_releases
from chardev_conformance.spice_server.page import file_name, page
from chardev_conformance.spice_server.steps import load

DOCS: Final = Path(__file__).parents[3] / "docs"
FILES: Final = sorted((DOCS / "spice-server").glob("*.jsonl"))


def header(file: Path) -> dict[str, Any]:
    """What a file says of its finding."""
    finding: dict[str, Any] = json.loads(file.read_text(encoding="utf-8").partition("\n")[0])[
        "finding"
    ]
    return finding


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_finding_comes_again(file: Path, isolated: Isolated) -> None:
    """The documentation would accuse the library of what it does not do."""
    scenario, said = load(file), header(file)
    finding = comes_again(said, scenario, isolated.run(scenario))
    assert finding is not None
    assert finding.to_json() == said


def test_a_file_replays_to_what_it_says(
    isolated: Isolated, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that the documentation gives would show something else."""
    after_a_quirk = "crash-reds.cpp-1238"
    for kind in ("crash", after_a_quirk, "quirk", "wrong"):
        file = next(each for each in FILES if each.name.startswith(kind))
        assert main(["check", "spice-server", "--replay", str(file)]) == 1
        assert f"where        {header(file)['where']}\n" in capsys.readouterr().out


def test_every_quirk_has_a_witness() -> None:
    """The profile would say of the library what nobody has seen it do."""
    shown = {
        header(file)["symptom"].partition(":")[0] for file in FILES if header(file)["kind"] == QUIRK
    }
    assert shown == {quirk.__name__ for quirk in quirks_and_releases()}


def test_crashes_are_among_them() -> None:
    """The page would be empty of what matters most."""
    assert sum(header(file)["kind"] == CRASH for file in FILES) >= 12


def test_the_page_is_made_from_the_files() -> None:
    """The page would tell of findings that nobody can replay."""
    assert (DOCS / "spice-server-findings.rst").read_text(encoding="utf-8") == page(
        DOCS / "spice-server"
    )


def test_files_are_named_after_their_findings() -> None:
    """Two findings would write the same file."""
    assert len(FILES) == len({file.name for file in FILES})
    for file in FILES:
        assert file_name(Finding(**header(file))) == file.name
