"""Who may import whom: what makes comparing the device with the specification worth something."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest

ROOT: Final = Path(__file__).parents[2]

PACKAGES: Final = {
    "chardev_spec": ROOT / "spec/chardev_spec",
    "chardev": ROOT / "impl/chardev",
    "chardev_proofs": ROOT / "proofs/chardev_proofs",
    "chardev_conformance": ROOT / "conformance/chardev_conformance",
}

ALLOWED: Final[dict[str, set[str]]] = {
    "chardev_spec": set(),
    # The serial ports alone, and only when one is opened; and what only a type checker, and the compiler, look at.
    "chardev": {"serialx", "mypy_extensions"},
    "chardev_proofs": {"chardev_spec", "z3"},
    "chardev_conformance": {"chardev_spec"},
}
"""What each package may import besides itself and the standard library."""

ALLOWED_IN_ADAPTERS: Final = {"chardev"}
"""What `chardev_conformance.adapters` may import besides: what is compared."""

ALLOWED_IN_COMMAND_LINE: Final = {"chardev", "chardev_proofs"}
"""What `chardev_conformance.command_line` may import besides: the commands of others, `chardev serve` and `prove`."""


ALLOWED_IN_SPICE_CLIENT: Final = {"cryptography"}
"""What `chardev_conformance.spice_server.client` may import besides: only a check of that library authenticates."""

ALLOWED_IN_STATEFUL: Final = {"hypothesis"}
"""What `chardev_conformance.stateful` and `strategies` may import besides: the command line needs no Hypothesis."""

ALLOWED_IN_PYTEST_PLUGIN: Final = {"pytest"}
"""What `chardev_conformance.pytest_plugin` may import besides: pytest itself loads it."""

ALLOWED_IN_SPHINX: Final = {"sphinx", "docutils", "mermaid_render"}
"""What `chardev_conformance.sphinx` may import besides: it is an extension of Sphinx, which loads it by name.

Nothing else in the package imports it (`test_only_sphinx_loads_the_extension`), so that a check needs none of these.
"""


ALLOWED_IN_FUZZING: Final = {"cluster.py": {"distributed"}, "sharing.py": {"hypothesis", "redis"}}
"""What files of `chardev_conformance.fuzzing` may import besides, and only where a campaign is on many processes."""


def imported(source: str) -> Iterator[str]:
    """The top-level packages that a text imports: at its head, inside functions, or by a call.

    A relative import stays in its package and yields nothing; a name made at run time yields "?".
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (name.name.partition(".")[0] for name in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module.partition(".")[0]
            case ast.Call(func=ast.Name(id="__import__" | "import_module"), args=[name, *_]):
                yield _literal(name)
            case ast.Call(func=ast.Attribute(attr="__import__" | "import_module"), args=[name, *_]):
                yield _literal(name)


def _literal(name: ast.expr) -> str:
    if isinstance(name, ast.Constant) and isinstance(name.value, str):
        return name.value.partition(".")[0]
    return "?"


def third_party(file: Path) -> set[str]:
    """What a file imports that is not in the standard library."""
    return set(imported(file.read_text(encoding="utf-8"))) - sys.stdlib_module_names


def may_import(package: str, file: Path) -> set[str]:
    """What a file of a package may import."""
    own = {package} | ALLOWED[package]
    checker = PACKAGES["chardev_conformance"]
    if file.is_relative_to(checker / "adapters"):
        return own | ALLOWED_IN_ADAPTERS
    if file == checker / "spice_server/client.py":
        return own | ALLOWED_IN_SPICE_CLIENT
    if file.is_relative_to(checker / "sphinx"):
        return own | ALLOWED_IN_SPHINX
    if file in {checker / "stateful.py", checker / "strategies.py"}:
        return own | ALLOWED_IN_STATEFUL
    if file.parent == checker / "fuzzing":
        return own | ALLOWED_IN_FUZZING.get(file.name, set())
    if file == checker / "pytest_plugin.py":
        return own | ALLOWED_IN_PYTEST_PLUGIN
    return own | ALLOWED_IN_COMMAND_LINE if file == checker / "command_line.py" else own


def test_all_ways_of_importing_are_seen() -> None:
    """An import hidden in a function, a condition or a call would escape the rules below."""
    source = """
import alpha.one, json
from beta.two import three
from . import sibling
if True:
    import gamma
def late():
    from delta import thing
    importlib.import_module("epsilon.five")
    __import__("zeta")
    import_module(name)
"""
    assert list(imported(source)) == [
        *("alpha", "json", "beta", "gamma", "delta", "epsilon", "zeta", "?")
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_only_what_it_may(package: str) -> None:
    """The specification and the device could share a mistake, or a part could need all others."""
    files = sorted(PACKAGES[package].rglob("*.py"))
    assert files
    forbidden = {
        str(file.relative_to(ROOT)): names
        for file in files
        if (names := third_party(file) - may_import(package, file))
    }
    assert forbidden == {}


def test_only_sphinx_loads_the_extension() -> None:
    """A check of an implementation would need Sphinx."""
    package = PACKAGES["chardev_conformance"]
    importing = {
        str(file.relative_to(package))
        for file in package.rglob("*.py")
        if "chardev_conformance.sphinx" in file.read_text(encoding="utf-8")
    }
    assert {name for name in importing if not name.startswith("sphinx/")} == set()


@pytest.mark.parametrize("package", ["chardev_spec", "chardev"])
def test_imports_without_any_extra(package: str) -> None:
    """A plain installation, which has no dependencies, would not even import."""
    blocked = f"import sys; sys.modules['serialx'] = sys.modules['z3'] = None; import {package}"
    subprocess.run([sys.executable, "-W", "error", "-c", blocked], check=True)


def test_the_picture_shows_the_imports() -> None:
    """The picture of the house would tell newcomers something else than the sources do."""
    svg = ET.parse(ROOT / "docs/house.svg")
    drawn = {
        (path.attrib["data-from"], path.attrib["data-to"])
        for path in svg.iter()
        if "data-from" in path.attrib
    }
    real = {
        (package, other)
        for package, folder in PACKAGES.items()
        for file in folder.rglob("*.py")
        for other in third_party(file) & PACKAGES.keys() - {package}
    }
    assert drawn == real
