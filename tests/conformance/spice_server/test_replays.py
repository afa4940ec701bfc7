"""Findings are replayed, and what does not come again is told."""

from pathlib import Path

import pytest

from chardev_conformance.spice_server.__main__ import main
from chardev_conformance.spice_server.isolation import Isolated

FINDINGS = Path(__file__).parents[3] / "docs" / "spice-server"


def test_what_does_not_come_again_is_told(
    isolated: Isolated,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The documentation would keep findings that nobody sees."""
    text = (FINDINGS / "quirk-AddZeroIsAGrant.jsonl").read_text(encoding="utf-8")
    (tmp_path / "good.jsonl").write_text(text, encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["hunt", "--again", str(tmp_path), "--times", "2"])
    assert main() == 0
    assert capsys.readouterr().out == "again        1 of 1 findings, each 2 times of 2\n"
    (tmp_path / "other.jsonl").write_text(
        text.replace("AddZeroIsAGrant", "NoLeaving"), encoding="utf-8"
    )
    assert main() == 1
    assert capsys.readouterr().out == (
        "0 of 2       other.jsonl\nagain        1 of 2 findings, each 2 times of 2\n"
    )


def test_a_folder_without_findings_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with a misspelt name would hold."""
    monkeypatch.setattr("sys.argv", ["hunt", "--again", str(tmp_path)])
    assert main() == 3
    assert capsys.readouterr().err == f"chardev: {tmp_path}: there are no findings\n"
