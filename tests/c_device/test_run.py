"""The table of the defects in C would say what was not found."""

from pathlib import Path

import pytest

from chardev_conformance.results import Report
from tests.c_device.defects import DEFECTS
from tests.c_device.run import Outcome, main, page


def test_a_missed_defect_is_shown() -> None:
    """A defect that nothing finds would be counted as found."""
    report = Report(seed=1)
    outcome = Outcome(DEFECTS[0], report, 60.0)
    text = page([outcome])
    assert not outcome.found
    assert "0 of 1 defects are found" in text
    assert text.endswith(
        "   * - use after free in the fan-out (ASan)\n"
        "     - CB-1 CB-3\n"
        "     - none\n"
        "     - not found\n"
        "     - 0\n"
        "     - 60.0\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "no such thing"], "no defect has 'no such thing' in its name"),
        (["--only", "leak", "--output", "x"], "--output writes the whole table; leave --only out"),
    ],
)
def test_wrong_use(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A table of some defects could be taken for the table of all."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith(f"tests.c_device.run: error: {message}\n")
    assert [*tmp_path.iterdir()] == []
