"""Lets the checker look for every defect of the device in C: ``python -m tests.c_device.run`` prints a table.

Exit status 0 when all were found under a rule that they break, 1 when any was not, 2 when there was nothing to run.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chardev_conformance.campaign import run_campaign
from chardev_conformance.results import Report
from chardev_conformance.targets import open_target
from tests.c_device.build import build
from tests.c_device.defects import DEFECTS, Defect

SECONDS: Final = 60.0
CALLS: Final = 200_000
SEED: Final = 1

PAGE: Final = """\
Seeded defects of a device in C
===============================

The checker is held against a device in C, too: ``tests/c_device/char_device.c``, written from the contract alone.
Each row is a defect that was put into a copy of it, and how ``chardev check c:./libdevice.so`` found it: the rules that
it breaks (which of them shows first is chance), the rules that the verdict named, the most likely first, what was seen,
the calls of the API in random scenarios (seed {seed}), and the seconds on the machine that wrote this page.
A defect counts as found when the verdict names one of the rules that it breaks.
Defects marked *ASan* are built with AddressSanitizer.
The changes are in ``tests/c_device/defects.py``; ``make c-defects`` finds them all again and writes this page.

{found} of {all} defects are found, each within {slowest:.1f} seconds.

.. list-table::
   :header-rows: 1
   :widths: 28 14 20 20 9 9

   * - Defect
     - Rules broken
     - Rules named
     - Symptom
     - Calls
     - Seconds
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one defect was looked for."""

    defect: Defect
    report: Report
    seconds: float

    @property
    def found(self) -> bool:
        """Whether the report names a rule that the defect breaks."""
        return found(self.defect, self.report)

    def cells(self) -> tuple[str, ...]:
        """A row of the table."""
        finding = self.report.finding
        return (
            self.defect.name + (" (ASan)" if self.defect.sanitized else ""),
            " ".join(sorted(self.defect.rules)),
            " ".join(finding.rules) if finding else "none",
            finding.symptom if finding else "not found",
            f"{self.report.statistics.calls:,}",
            f"{self.seconds:.1f}",
        )


def look_for(defect: Defect, seed: int = SEED, *, shrinks: bool = False) -> Report:
    """Check the device with the defect until something is found."""
    with tempfile.TemporaryDirectory(prefix="chardev-") as folder:
        library = build(Path(folder), defect)
        with open_target(f"c:{library}", seconds=5.0 if defect.sanitized else 1.0) as opened:
            return run_campaign(
                opened.factory, seed=seed, calls=CALLS, seconds=SECONDS, shrinks=shrinks
            )


def found(defect: Defect, report: Report) -> bool:
    """Whether the report names a rule that the defect breaks."""
    return report.finding is not None and not defect.rules.isdisjoint(report.finding.rules)


def page(outcomes: Sequence[Outcome]) -> str:
    """The page of the docs."""
    lines = [
        PAGE.format(
            seed=SEED,
            found=sum(each.found for each in outcomes),
            all=len(outcomes),
            slowest=max(each.seconds for each in outcomes),
        ).rstrip()
    ]
    for each in outcomes:
        first, *rest = each.cells()
        lines += [f"   * - {first}", *[f"     - {cell}" for cell in rest]]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.c_device.run", description=__doc__)
    parser.add_argument("--only", metavar="NAME", help="the defects whose name contains this")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write the page of the docs here"
    )
    options = parser.parse_args(arguments)
    defects = [each for each in DEFECTS if options.only is None or options.only in each.name]
    if not defects:
        parser.error(f"no defect has {options.only!r} in its name")
    if options.only is not None and options.output is not None:
        parser.error("--output writes the whole table; leave --only out")
    outcomes = []
    for defect in defects:
        began = time.monotonic()
        report = look_for(defect)
        outcomes.append(Outcome(defect, report, time.monotonic() - began))
        print(" | ".join(outcomes[-1].cells()), flush=True)
    if options.output is not None:
        options.output.write_text(page(outcomes), encoding="utf-8")
    return int(not all(each.found for each in outcomes))


if __name__ == "__main__":
    sys.exit(main())
