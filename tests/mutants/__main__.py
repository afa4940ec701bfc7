"""``python -m tests.mutants``: find every seeded defect, print the table, and write it for the docs.

Exit status 0 when all were found, 1 when any survived, 2 when there was nothing to run.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from tests.mutants.defects import DEFECTS, Defect
from tests.mutants.loader import StaleDefectError, patched
from tests.mutants.run import CALLS, SEED, Outcome, hunt, page, table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write the page of the docs here"
    )
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the scenarios (default {SEED})")
    parser.add_argument("--calls", type=int, default=CALLS, help=f"at most (default {CALLS})")
    parser.add_argument("--only", metavar="NAME", help="the defects whose name contains this")
    options = parser.parse_args(arguments)
    defects = [each for each in DEFECTS if options.only is None or options.only in each.name]
    if not defects:
        parser.error(f"no defect has {options.only!r} in its name")
    if options.calls < 1:
        parser.error("--calls must be above 0")
    if options.only is not None and options.output is not None:
        parser.error("--output writes the whole table; leave --only out")
    try:
        outcomes = hunt_all(defects, options.seed, options.calls)
        report(outcomes)
        if options.output is not None:
            options.output.write_text(page(outcomes, options.seed), encoding="utf-8")
    except (StaleDefectError, OSError) as error:
        parser.error(str(error))
    return 0 if all(each.rule for each in outcomes) else 1


def hunt_all(defects: Sequence[Defect], seed: int, calls: int) -> list[Outcome]:
    """Look for each defect, on all processors; says how far it is where somebody watches."""
    for defect in defects:
        patched(defect)  # raises early when the table is out of date
    outcomes = []
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        for outcome in processes.map(partial(hunt, seed=seed, calls=calls, shrinks=True), defects):
            outcomes.append(outcome)
            if sys.stderr.isatty():
                print(f"\r{len(outcomes)}/{len(defects)} ", end="", file=sys.stderr, flush=True)
    return outcomes


def report(outcomes: Sequence[Outcome]) -> None:
    """Print the table, then what it comes to."""
    rows = table(outcomes)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    survivors = [each.defect.name for each in outcomes if each.rule is None]
    right = sum(each.rule == each.defect.rule for each in outcomes)
    found = len(outcomes) - len(survivors)
    print(f"\n{found} of {len(outcomes)} defects found, {right} under the rule that they break")
    if survivors:
        print(f"survived: {', '.join(survivors)}")


if __name__ == "__main__":
    sys.exit(main())
