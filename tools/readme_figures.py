"""Writes the table of figures in the README and the picture of a run, or says what is out of date: ``--check``.

Each figure is counted where it is made: in the registry of the specification, in the report of the last proof, and on
the pages that the long runs have written.
The picture is what the specification does with the trace in `RUN`.
Exit status: 0 written, or as it should be; 1 not as it should be; 3 a source of figures is missing.
"""

# What a command prints is its result.
# ruff: noqa: T201

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mermaid_render import mermaid_to_svg

from chardev_conformance.sphinx.diagrams import sequence
from chardev_conformance.sphinx.examples import load_example
from chardev_conformance.vectors.files import FOLDER, read_manifest
from chardev_spec.invariants import INVARIANTS
from chardev_spec.profiles import QUIRKS
from chardev_spec.rules import RULES

ROOT: Final = Path(__file__).parents[1]
RUN: Final = ROOT / "docs/examples/run.jsonl"
PICTURE: Final = ROOT / "docs/run.svg"
BEGIN: Final = "<!-- figures: make readme -->\n"
END: Final = "<!-- end of figures -->\n"


class FigureError(Exception):
    """A figure that cannot be counted; the message says what to run."""


def on_page(root: Path, page: str, pattern: str, target: str) -> tuple[str, ...]:
    """What a page that `make TARGET` writes says; raises `FigureError` if it says no such thing."""
    path = root / "docs" / page
    found = re.search(pattern, path.read_text(encoding="utf-8")) if path.exists() else None
    if found is None:
        raise FigureError(f"docs/{page} has no such figures; run make {target}")
    return found.groups()


def rows(root: Path) -> Iterator[tuple[str, str]]:
    """The table: what is counted, and how many there are."""
    planned = sum(rule.planned for rule in RULES.values())
    yield "rules of the contract", f"{len(RULES)}, all but {planned} of them specified"
    yield "invariants", f"{len(INVARIANTS)}"
    report = root / "docs/_build/proofs.json"
    if not report.exists():
        raise FigureError(f"{report.relative_to(root)} is not there; run make proof-report")
    obligations = json.loads(report.read_text(encoding="utf-8"))["obligations"]
    proved = sum(each["proved"] for each in obligations)
    yield "proof obligations", f"{proved:,} of {len(obligations):,} proved"
    found, defects = on_page(root, "defects.rst", r"(\d+) of (\d+) defects are found", "mutants")
    yield "seeded defects of the device", f"{found} of {defects} found"
    found, defects = on_page(
        root, "c-defects.rst", r"(\d+) of (\d+) defects are found", "c-defects"
    )
    yield "seeded defects of a device in C", f"{found} of {defects} found"
    vectors = sum(each["vectors"] for each in read_manifest(FOLDER)["files"])
    yield "test vectors", f"{vectors:,}"
    yield "deviations of releases, as quirks", f"{len(QUIRKS)}"
    crashes, faults, known = on_page(
        root,
        "spice-server-findings.rst",
        r"(\d+) ways to end it, (\d+) other faults?, and (\d+) known deviations",
        "hunt",
    )
    total = int(crashes) + int(faults) + int(known)
    yield "findings in libspice-server 0.15.1", f"{total}, {crashes} of them crashes"


def table(root: Path) -> str:
    """The table in Markdown."""
    lines = ["| counted | |", "|---|---|", *[f"| {what} | {count} |" for what, count in rows(root)]]
    return "\n".join(lines) + "\n"


def with_table(text: str, figures: str) -> str:
    """The README with other figures; raises `FigureError` when it has no place for them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise FigureError(f"README.md has no place for the figures: {BEGIN.strip()}")
    return before + BEGIN + "\n" + figures + "\n" + END + after


def picture() -> str:
    """The run as a sequence diagram, on white: a README has no style sheet that a dark theme could change."""
    _, shown, _, _ = load_example(RUN).run()
    drawn = mermaid_to_svg(sequence(shown)).decode()
    return drawn.replace(">", '><rect width="100%" height="100%" fill="#FFFFFF" />', 1) + "\n"


def main() -> int:
    """Run the command; its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    readme = ROOT / "README.md"
    try:
        made = {readme: with_table(readme.read_text("utf-8"), table(ROOT)), PICTURE: picture()}
    except FigureError as error:
        print(f"figures: {error}", file=sys.stderr)
        return 3
    for path, text in made.items():
        if not options.check:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text("utf-8") != text:
            print(
                f"figures: {path.relative_to(ROOT)} is out of date; run make readme",
                file=sys.stderr,
            )
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
