"""Looks with the proofs for every quirk of the profiles, and for a sample of the machine-made mutants.

Exit status: 0 done, 2 a wrong argument.
"""

# What a command prints is its result.
# ruff: noqa: T201

import argparse
import json
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

from chardev_proofs.mutation import TABLES, mutants
from chardev_spec.profiles import QUIRKS
from tests.proof_strength.judge import Line, mutant_line, quirk_line
from tests.proof_strength.report import page, summary


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof_strength", description=__doc__)
    parser.add_argument(
        "--mutants", type=int, default=210, metavar="N", help="how many of the mutants"
    )
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the page of the docs")
    parser.add_argument(
        "--results",
        type=Path,
        metavar="FILE",
        help="keep results here, and go on from those that are there",
    )
    arguments = parser.parse_args()
    if arguments.mutants < 1 or arguments.jobs < 1:
        parser.error("--mutants and --jobs must be above 0")
    kept = _load(arguments.results)
    quirks = [each.__name__ for each in QUIRKS]
    # Evenly over the whole text, so that every function has its share.
    liftable = [each.id for each in mutants() if each.module != TABLES]
    step = max(len(liftable) // arguments.mutants, 1)
    chosen = liftable[::step][: arguments.mutants]
    with ProcessPoolExecutor(max_workers=arguments.jobs) as pool:
        for work, names in ((quirk_line, quirks), (mutant_line, chosen)):
            _run(pool, work, [name for name in names if name not in kept], kept, arguments.results)
    found = [kept[name] for name in quirks], [kept[name] for name in chosen]
    for text in summary(*found):
        print(text)
    if arguments.output is not None:
        arguments.output.write_text(page(*found, of=len(liftable)), encoding="utf-8")
    return 0


def _run(
    pool: ProcessPoolExecutor,
    work: Callable[[str], Line],
    names: list[str],
    kept: dict[str, Line],
    results: Path | None,
) -> None:
    for number, line in enumerate(pool.map(work, names), start=1):
        kept[line.name] = line
        print(
            f"{number} of {len(names)}: {line.name} {line.obligation or '-'}",
            file=sys.stderr,
            flush=True,
        )
        if results is not None:
            results.write_text(
                json.dumps([asdict(each) for each in kept.values()], indent=1), encoding="utf-8"
            )


def _load(results: Path | None) -> dict[str, Line]:
    if results is None or not results.exists():
        return {}
    stored = json.loads(results.read_text(encoding="utf-8"))
    return {each["name"]: Line(**each | {"rules": tuple(each["rules"])}) for each in stored}


if __name__ == "__main__":
    sys.exit(main())
