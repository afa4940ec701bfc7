"""What this project has for each rule: its tests, its vectors, and the seeded defects that the checker finds.

Tests are read off their text: a test is about the rules that it cites, and the functions that it calls by name.
The manifest of the vectors says which of them were made for a rule or a function.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from chardev_conformance.sphinx.evidence import Evidence
from chardev_conformance.sphinx.text import ENTRIES
from chardev_conformance.vectors import files
from chardev_spec.registry import cited


def tests(folder: Path) -> Iterator[Evidence]:
    """Every test of a folder that cites a rule."""
    for path in sorted(folder.rglob("test_*.py")):
        source = path.read_text(encoding="utf-8")
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                text = ast.get_source_segment(source, node) or ""
                rules = cited(text)
                if rules:
                    said = (ast.get_docstring(node) or node.name).splitlines()[0]
                    where = str(path.relative_to(folder.parent))
                    yield Evidence("test", node.name, said, where, rules, called(node))


def called(node: ast.FunctionDef) -> tuple[str, ...]:
    """The functions of the API that a test names: as a method, or as the text that the runner takes."""
    names = set()
    for each in ast.walk(node):
        match each:
            case ast.Attribute(attr=name) | ast.Constant(value=str(name)):
                names.add(name)
    return tuple(name for name in ENTRIES if name in names)


def defects(folder: Path, page: str) -> Iterator[Evidence]:
    """Every seeded defect in the tables of a folder: a call with a name, a rule, and the consequence."""
    for path in sorted(folder.glob("*.py")):
        yield from _defects_of(ast.parse(path.read_text(encoding="utf-8")), page)


def _defects_of(table: ast.Module, page: str) -> Iterator[Evidence]:
    for node in ast.walk(table):
        match node:
            case ast.Call(
                func=ast.Name("Defect"),
                args=[
                    ast.Constant(value=str(name)),
                    ast.Constant(value=str(rule)),
                    ast.Constant(value=str(consequence)),
                    *_,
                ],
            ):
                yield Evidence("mutant", name, re.sub(r"\s+", " ", consequence), page, (rule,))


def vectors(folder: Path) -> Iterator[Evidence]:
    """Every vector of a set that was made for a rule or a function, with the calls that it makes."""
    manifest = files.read_manifest(folder)
    for entry in manifest["files"]:
        subject = entry["file"].partition(".")[0]
        made_for: dict[str, list[str]] = {}
        for name, vectors_of in manifest["covers"].get(subject, {}).items():
            for vector in vectors_of:
                made_for.setdefault(vector, []).append(name)
        if subject not in {"rules", "functions"}:
            continue
        for trace in files.read_file(folder, entry):
            name = trace.header["name"]
            yield Evidence(
                "vector",
                name,
                ", ".join(step.call for step in trace.scenario.steps),
                f"{folder.name}/{entry['file']}",
                tuple(made_for.get(name, ())) if subject == "rules" else (),
                tuple(made_for.get(name, ())) if subject == "functions" else (),
            )


def evidence(root: Path) -> list[Evidence]:
    """All of it."""
    return [
        *tests(root / "tests/spec"),
        *tests(root / "tests/impl"),
        *tests(root / "tests/conformance"),
        *vectors(files.FOLDER),
        *defects(root / "tests/mutants/defects", "seeded defects"),
    ]
