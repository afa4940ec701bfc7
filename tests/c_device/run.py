"""Lets the checker look for a defect of the device in C: ``python -m tests.c_device.run [NAME]`` prints a table."""

import sys
import tempfile
import time
from pathlib import Path

from chardev_conformance.campaign import run_campaign
from chardev_conformance.results import Report
from chardev_conformance.targets import open_target
from tests.c_device.build import build
from tests.c_device.defects import DEFECTS, Defect

SECONDS = 60.0
CALLS = 200_000


def look_for(defect: Defect, seed: int = 1, *, shrinks: bool = False) -> Report:
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


def main(names: list[str]) -> int:
    """Look for all defects, or for those that are named."""
    missed = 0
    for defect in DEFECTS:
        if names and not any(name in defect.name for name in names):
            continue
        begin = time.monotonic()
        report = look_for(defect)
        finding = report.finding
        right = found(defect, report)
        missed += not right
        what = (
            f"{', '.join(finding.rules)}: {finding.symptom}: {finding.seen[:90]}"
            if finding
            else "NOT FOUND"
        )
        mark = "ok " if right else "-- "
        rules = " ".join(sorted(defect.rules))
        print(f"{mark}{defect.name} [{rules}] {time.monotonic() - begin:.1f} s; {what}")  # noqa: T201
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
