"""Which code of the target ran."""

import shutil
import sys
from pathlib import Path

import pytest

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.adapters.opened import Opened
from chardev_conformance.fuzzing.features import Kind, kind_of
from chardev_conformance.fuzzing.findings import key_of
from chardev_conformance.fuzzing.orders import Executor, NoCode, Order
from chardev_conformance.fuzzing.own_code import watching
from chardev_conformance.targets import open_target
from tests.c_device.build import build
from tests.c_device.defects import DEFECTS


def code(features: set[int]) -> set[int]:
    """The features that are about the target's code."""
    return {each for each in features if kind_of(each) == Kind.CODE}


def ran(library: Path, numbers: range) -> list[set[int]]:
    """The code of a library that ran, scenario by scenario."""
    with (
        open_target(f"c:{library}") as opened,
        watching(f"c:{library}", opened) as own_code,
    ):
        executor = Executor(opened.factory, own_code=own_code)
        return [code(executor.execute(Order(number, 1)).features) for number in numbers]


@pytest.mark.parametrize(
    ("compiler", "option"),
    [("gcc", "trace-pc"), ("clang", "trace-pc"), ("clang", "trace-pc-guard")],
)
def test_a_library_tells_which_code_ran(tmp_path: Path, compiler: str, option: str) -> None:
    """Campaigns against C would not see the branches that the specification does not have."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed: apt-get install {compiler}")
    library = build(tmp_path, None, f"-fsanitize-coverage={option}", compiler=compiler)
    first = ran(library, range(3))
    assert all(len(each) > 50 for each in first)
    assert first[0] != first[1]
    assert ran(library, range(3)) == first  # wherever the library was loaded


def test_a_library_that_was_not_built_for_it_tells_nothing(tmp_path: Path) -> None:
    """Chance would be taken for coverage."""
    assert ran(build(tmp_path), range(1)) == [set()]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="needs the monitoring of Python 3.12")
def test_lines_of_python_are_told_once() -> None:
    """Every run would count as progress."""
    with watching(None, Opened("the bundled device", DeviceTarget)) as own_code:
        executor = Executor(DeviceTarget, own_code=own_code)
        first, again = (code(executor.execute(Order(2, 1)).features) for _ in range(2))
    assert len(first) > 100
    assert again == set()


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="there is monitoring from Python 3.12 on")
def test_before_there_is_monitoring_nothing_is_told() -> None:
    """Tracing would make every run several times slower."""
    with watching(None, Opened("the bundled device", DeviceTarget)) as own_code:
        assert type(own_code) is NoCode


def test_a_crash_tells_where_it_was(tmp_path: Path) -> None:
    """Crashes of one kind at different places would be one finding."""
    defect = next(each for each in DEFECTS if each.name == "use after free in the fan-out")
    library = build(tmp_path, defect)
    with open_target(f"c:{library}") as opened:
        executor = Executor(opened.factory)
        outcomes = (executor.execute(Order(number, 1)) for number in range(200))
        finding = next(each.finding for each in outcomes if each.finding is not None)
    assert finding.symptom == "crash, heap-use-after-free"
    assert key_of(finding).startswith(f"{finding.rule}: crash, heap-use-after-free, ")
    assert "; in fan_out" in finding.seen or "; in deliver" in finding.seen
