"""The checker finds every seeded defect, and nothing in the device without one."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import chardev
from chardev_spec.rules import RULES
from tests.mutants import loader
from tests.mutants.defects import DEFECTS, Defect
from tests.mutants.loader import StaleDefectError, load, patched
from tests.mutants.memory import breaks_the_bound, kept
from tests.mutants.run import CALLS, HEAD, SEED, Outcome, cells, check, hunt, page

ROOT: Final = Path(__file__).parents[2]
SOMETHING: Final = Defect("a name", "WR-1", "Something bad.", "-nowhere\n+here\n")


def documented() -> dict[str, tuple[str, str]]:
    """The rule broken and the rule named, by defect, as the page of the docs says."""
    rows = (ROOT / "docs/defects.rst").read_text(encoding="utf-8").split("   * - ")[2:]
    cells_of_rows = [[line.strip().removeprefix("- ") for line in row.splitlines()] for row in rows]
    return {first.split("**")[1]: (broken, named) for first, broken, named, *_ in cells_of_rows}


@pytest.fixture(scope="module")
def table() -> dict[str, tuple[str, str]]:
    """The page, read once."""
    return documented()


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_every_defect_is_found(defect: Defect, table: dict[str, tuple[str, str]]) -> None:
    """A mistake of this kind could be made in the device, or in any other, and the check would pass.

    The page of the docs says what is found; ``make mutants`` writes it anew.
    """
    outcome = hunt(defect)
    assert outcome.rule is not None, f"{defect.name}: not found within {CALLS} calls"
    assert outcome.calls <= CALLS
    assert table[defect.name] == (defect.rule, outcome.rule)


def test_the_device_without_a_defect_passes() -> None:
    """The checker would find differences where there are none."""
    report = check(None, seed=SEED, calls=CALLS)
    assert report.finding is None
    assert report.statistics.calls >= CALLS
    assert not breaks_the_bound(load(None))


def test_every_rule_has_a_defect() -> None:
    """A rule could be broken without anybody noticing that nothing looks after it."""
    assert {each.rule for each in DEFECTS} == {
        rule.id for rule in RULES.values() if not rule.planned
    }


def test_defects_are_told_apart() -> None:
    """Two rows of the table would be one defect, or have one name."""
    assert len({each.name for each in DEFECTS}) == len(DEFECTS)
    assert len({patched(each)[1] for each in DEFECTS}) == len(DEFECTS)


def test_the_page_lists_the_defects() -> None:
    """The page would tell of defects that are not there, or leave some out."""
    assert [*documented()] == [each.name for each in DEFECTS]


def test_a_copy_leaves_the_original_alone() -> None:
    """One defect would be in the device of every other test."""
    copy = load(DEFECTS[0])
    assert copy.Device is not chardev.Device
    assert copy.ContractError is not chardev.ContractError
    assert copy.Device.__module__ == f"{copy.__name__}.device"
    assert load(DEFECTS[0]).Device is not copy.Device


@pytest.mark.parametrize(
    ("patch", "where"),
    [("-nowhere\n+here\n", "nowhere"), ("-import struct\n-\n+import\n", "nowhere")],
)
def test_stale_defects_are_refused(patch: str, where: str) -> None:
    """A patch that no longer changes anything would count as a defect that was not found."""
    defect = Defect("a name", "WR-1", "Something bad.", patch)
    with pytest.raises(StaleDefectError) as error:
        load(defect)
    assert str(error.value) == (
        f"a name: the text to change must occur once in the package chardev, but occurs {where}; "
        f"bring tests/mutants/defects up to date:\n{defect.old}"
    )


def test_ambiguous_defects_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A patch could change another place than the one that it was written for."""
    (tmp_path / "a.py").write_text("nowhere\n", encoding="utf-8")
    (tmp_path / "b.py").write_text("nowhere\n", encoding="utf-8")
    monkeypatch.setattr(loader, "ROOT", tmp_path)
    with pytest.raises(StaleDefectError, match=r"^a name: .* but occurs (a.py, b.py|b.py, a.py);"):
        patched(SOMETHING)


def test_memory_is_measured() -> None:
    """A device that keeps all memory for ever would pass (BUF-5)."""
    hoarder = next(each for each in DEFECTS if each.rule == "BUF-5")
    with_client, without_client = kept(load(hoarder))
    assert with_client > 2_000_000
    assert without_client > 2_000_000


def test_a_survivor_is_listed() -> None:
    """A defect that is not found would be missing from the table instead of standing in it."""
    survivor = Outcome(SOMETHING)
    assert cells(survivor) == ("a name", "WR-1", "not found", "", "")
    text = page([survivor], SEED)
    assert "0 of 1 defects are found, 0 of them under the rule that the table gives." in text
    assert text.endswith(
        "   * - **a name**. Something bad.\n     - WR-1\n     - not found\n     -\n     -\n"
    )
    assert HEAD[2] == "Rule named"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, as a user would run it."""
    command = [sys.executable, "-m", "tests.mutants", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command_prints_the_table() -> None:
    """``make mutants`` would not say what it found."""
    ran = run("--only", "double write after stop")
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    assert lines[0].split("  ")[0] == "Defect"
    assert lines[1].startswith("double write after stop  WR-1 ")
    assert lines[-1].startswith("1 of 1 defects found, ")


def test_the_command_tells_of_survivors() -> None:
    """A defect that survived would look like success."""
    ran = run("--only", "count wraps at 32 bits", "--calls", "1")
    assert ran.returncode == 1
    assert ran.stdout.splitlines()[-1] == "survived: count wraps at 32 bits"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--only", "no such"), "no defect has 'no such' in its name"),
        (("--calls", "0"), "--calls must be above 0"),
        (
            ("--only", "stop", "--output", "defects.rst"),
            "--output writes the whole table; leave --only out",
        ),
    ],
)
def test_the_command_refuses_nonsense(arguments: tuple[str, ...], message: str) -> None:
    """A mistake on the command line would look like a result."""
    ran = run(*arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.splitlines()[-1] == f"python -m tests.mutants: error: {message}"
