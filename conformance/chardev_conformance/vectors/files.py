"""The files of a set of vectors: traces in compressed JSON Lines, and a manifest that says what is in them.

A set has a number and lies in a folder of that name.
A released set is never changed: another specification makes another set.
"""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from chardev_conformance.scenario import ScenarioError
from chardev_conformance.trace import Trace, loads_all, read
from chardev_conformance.vectors.make import Vector, make
from chardev_spec.registry import ERRORS, FUNCTIONS
from chardev_spec.rules import RULES

FORMAT: Final = "chardev-vectors"
VERSION: Final = 1
SET: Final = 1
"""The number of the set that this specification makes."""

FOLDER: Final = Path(__file__).parent / f"set-{SET}"
"""The set that comes with the program."""

MANIFEST: Final = "manifest.json"


@dataclass(frozen=True, slots=True)
class File:
    """One file of a set that was just made."""

    name: str
    title: str
    vectors: int
    calls: int
    text: str

    def entry(self) -> dict[str, Any]:
        """What the manifest says of it; the sum is that of the text, however it is compressed."""
        return {
            "file": f"{self.name}.jsonl.gz",
            "title": self.title,
            "vectors": self.vectors,
            "calls": self.calls,
            "sha256": sha256(self.text.encode()).hexdigest(),
        }


def make_files(
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[dict[str, Any], list[File]]:
    """The manifest and the files of the set that this specification makes."""
    files = []
    covers: dict[str, dict[str, list[str]]] = {"rules": {}, "functions": {}, "errors": {}}
    for name, title, vectors in make(progress):
        files.append(_file(name, title, vectors))
        if name in covers:
            for vector in vectors:
                subject = vector.name.split()[1].rstrip(",")
                covers[name].setdefault(subject, []).append(vector.name)
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "set": SET,
        "files": [file.entry() for file in files],
        "covers": covers,
        "not_covered": [
            *(rule for rule in RULES if rule not in covers["rules"]),
            *(name for name in FUNCTIONS if name not in covers["functions"]),
            *(name for name in ERRORS if name not in covers["errors"]),
        ],
    }
    return manifest, files


def _file(name: str, title: str, vectors: list[Vector]) -> File:
    calls = sum(len(vector.scenario.steps) for vector in vectors)
    return File(name, title, len(vectors), calls, "".join(vector.text for vector in vectors))


def write(folder: Path, manifest: dict[str, Any], files: list[File]) -> None:
    """Write a set; raises `OSError` when it cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, entry in zip(files, manifest["files"], strict=True):
        # Without the time, so that equal sets are equal files.
        (folder / entry["file"]).write_bytes(gzip.compress(file.text.encode(), 9, mtime=0))
    text = json.dumps(manifest, indent=1) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """What is in a set; raises `ScenarioError` when there is none."""
    path = folder / MANIFEST
    text = read(path)
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise ScenarioError(f"{path}: not JSON: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ScenarioError(f'{path}: not a set of vectors: it must have "format": "{FORMAT}"')
    if manifest.get("version") != VERSION:
        raise ScenarioError(
            f"{path}: version {manifest.get('version')!r}; this program reads version {VERSION}"
        )
    return manifest


def read_file(folder: Path, entry: dict[str, Any]) -> list[Trace]:
    """The vectors of one file; raises `ScenarioError` when it is not what the manifest says."""
    path = folder / entry["file"]
    text = read(path)
    if sha256(text.encode()).hexdigest() != entry["sha256"]:
        raise ScenarioError(f"{path}: it is not the file that {MANIFEST} speaks of: sha256 differs")
    return loads_all(text, str(path))
