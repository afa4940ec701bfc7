"""What `pip install` gives: four typed packages, one version, and only the dependencies that are explained."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PYPROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT: Final[dict[str, Any]] = PYPROJECT["project"]

FOLDERS: Final[list[str]] = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
PACKAGES: Final = {Path(folder).name: ROOT / folder for folder in FOLDERS}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The plain wheel, built without a network by the build backend that is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "CHARDEV_COMPILED"},
        check=True,
        capture_output=True,
    )
    (path,) = folder.iterdir()
    return zipfile.ZipFile(path)


def test_the_wheel_holds_all_packages(wheel: zipfile.ZipFile) -> None:
    """An installed copy would lack a module, or carry a file that nobody meant to publish."""
    expected = {
        f"{package}/{file.relative_to(folder)}"
        for package, folder in PACKAGES.items()
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == expected
    assert {name.partition("/")[0] for name in packed} == set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_typed(package: str, wheel: zipfile.ZipFile) -> None:
    """Type checkers of users would ignore all annotations of the package."""
    assert f"{package}/py.typed" in wheel.namelist()


def test_one_version(wheel: zipfile.ZipFile) -> None:
    """The wheel, the installed copy and pyproject.toml would name different versions."""
    (metadata,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    assert re.findall(r"(?m)^Version: (.*)$", wheel.read(metadata).decode()) == [PROJECT["version"]]
    assert importlib.metadata.version("chardev") == PROJECT["version"]


def test_the_command_is_installed(wheel: zipfile.ZipFile) -> None:
    """`chardev` would be no command, or pytest would not know `--chardev-target`."""
    (entry_points,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
    assert wheel.read(entry_points).decode() == (
        "[console_scripts]\nchardev = chardev_conformance.command_line:main\n\n"
        "[pytest11]\nchardev = chardev_conformance.pytest_plugin\n"
    )


def test_a_plain_installation_needs_nothing() -> None:
    """Who wants only the specification or the device would have to install something else."""
    assert PROJECT["dependencies"] == []


def requirements() -> list[str]:
    """The names of all packages that some extra asks for."""
    return [
        re.split(r"[^A-Za-z0-9-]", requirement)[0]
        for extra in PROJECT["optional-dependencies"].values()
        for requirement in extra
        if not requirement.startswith("chardev[")
    ]


@pytest.mark.parametrize("name", requirements())
def test_every_dependency_is_explained(name: str) -> None:
    """A dependency would be there without a reason that a reader can weigh."""
    page = (ROOT / "docs/dependencies.rst").read_text(encoding="utf-8")
    assert re.search(rf"^{name}$", page, re.MULTILINE)


def test_ci_pins_every_version() -> None:
    """A new release of a dependency could break the tests of an old commit."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9a-z.]+", pin)] == []
    pinned = {pin.partition("==")[0].lower() for pin in pins}
    assert set(requirements()) - pinned == set()
