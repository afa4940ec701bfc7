"""``python -m tests.mutants``: find every seeded defect of the device, and write the table of the docs.

Exit status: 0 all found, 1 some survived, 2 wrong use.
"""

import argparse
import sys
from pathlib import Path

from tests.mutants.defects import DEFECTS
from tests.mutants.loader import StaleDefectError
from tests.mutants.search import CALLS, Result, search_all
from tests.mutants.table import SEED, page


def main() -> int:
    """Run the command; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the table as reStructuredText")
    parser.add_argument("--seed", type=int, default=SEED, metavar="N", help=f"default {SEED}")
    parser.add_argument("--calls", type=int, default=CALLS, metavar="N", help=f"calls a defect, default {CALLS:,}")
    parser.add_argument("--only", metavar="TEXT", help="the defects whose name contains this")
    options = parser.parse_args()
    numbers = [
        number for number, defect in enumerate(DEFECTS) if (options.only or "") in defect.name
    ]
    if not numbers:
        parser.error(f"no defect has {options.only!r} in its name")
    if options.output is not None and len(numbers) < len(DEFECTS):
        parser.error("--output writes the whole table; leave --only out")
    try:
        results = search_all(numbers, seed=options.seed, calls=options.calls)
    except StaleDefectError as error:
        print(error, file=sys.stderr)
        return 2
    for result in results:
        print(_line(result))
    survivors = [result.defect.name for result in results if result.finding is None]
    print(f"{len(results) - len(survivors)} of {len(results)} defects found, seed {options.seed}")
    if survivors:
        print(f"survived: {', '.join(survivors)}")
    if options.output is not None:
        options.output.write_text(page(results), encoding="utf-8")
    return 1 if survivors else 0


def _line(result: Result) -> str:
    found = "SURVIVED" if result.finding is None else f"{result.finding.rule:<7}"
    return f"{result.defect.rule:<7} {result.defect.name:<50} {found} {result.calls:>7,} calls {result.steps:>3} steps"


if __name__ == "__main__":
    sys.exit(main())
