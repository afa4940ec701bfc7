"""The order of the scenarios that campaigns begin with."""

import importlib.util
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[2]


@pytest.fixture
def tool() -> Any:
    """The program that puts them in order."""
    spec = importlib.util.spec_from_file_location(
        "rank_fuzz_seeds", ROOT / "tools/rank_fuzz_seeds.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_finds_most_for_its_length_comes_first(tool: Any) -> None:
    """A campaign would begin with long scenarios, with two that find the same, or with some that find nothing."""
    found_by = [{0, 1}, {0, 2}]
    costs = [5, 2, 2, 1]
    assert tool.ranked(costs, found_by) == [1, 2, 0]


def test_a_mutant_that_nothing_finds_is_waited_for_in_vain(tool: Any) -> None:
    """The ranking would not end."""
    assert tool.ranked([1, 1], [set(), {1}]) == [1]
