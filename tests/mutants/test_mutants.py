"""Every seeded defect of the device is found, and the device without one is not blamed."""

from pathlib import Path

import pytest

from chardev_spec.rules import RULES
from tests.mutants.defects import DEFECTS, Defect
from tests.mutants.loader import StaleDefectError, load
from tests.mutants.search import CALLS, search
from tests.mutants.table import SEED

PAGE = Path(__file__).parents[2] / "docs" / "defects.rst"


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_the_defect_is_found(defect: Defect) -> None:
    """An implementation with this mistake would pass the check."""
    result = search(defect, seed=SEED, shrinks=False)
    assert result.finding is not None
    assert result.calls <= CALLS + 60


def test_names_are_unique() -> None:
    """A line of the table could not be told from another."""
    names = [defect.name for defect in DEFECTS]
    assert len(names) == len(set(names))


def test_every_rule_in_force_has_a_defect() -> None:
    """A rule could be broken without anybody knowing whether the check notices."""
    in_force = {rule.id for rule in RULES.values() if not rule.planned}
    assert in_force - {defect.rule for defect in DEFECTS} == set()


def test_a_stale_patch_is_an_error() -> None:
    """A defect whose text the device no longer has would silently test nothing."""
    stale = Defect("stale", "WR-1", "nothing", "-no such line\n+another")
    with pytest.raises(StaleDefectError) as raised:
        load(stale)
    assert str(raised.value) == (
        "stale: the text to change must occur once in the package chardev, but occurs nowhere; "
        "bring tests/mutants/defects.py up to date:\nno such line\n"
    )


def test_the_page_has_every_defect() -> None:
    """The docs would show another table than the one that is tested."""
    text = PAGE.read_text(encoding="utf-8")
    assert [defect.name for defect in DEFECTS if f"- {defect.name}\n" not in text] == []
