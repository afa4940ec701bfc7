"""``chardev compare REPORT REPORT...``: reports of several targets, or against several profiles, side by side."""

import argparse
import sys
from pathlib import Path
from typing import Any

from chardev_conformance.commands import FINDING, HOLDS, UsageError, check_writable, write
from chardev_conformance.comparison import NoReportError, compare, read_report, to_text
from chardev_conformance.comparison_html import to_html


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "compare",
        help="show reports of several targets or profiles side by side",
        description="Compares reports that --json wrote, rule by rule. "
        "Exit status: 0 they say the same of every rule, 1 they differ, 2 wrong use.",
    )
    parser.add_argument(
        "reports",
        nargs="+",
        type=Path,
        metavar="REPORT",
        help="a file that --json wrote; two at least",
    )
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="write the comparison as one HTML page, too ('-' for standard output, instead of the text)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compare the reports."""
    if len(options.reports) == 1:
        raise UsageError("one report alone is compared with nothing; name two reports or more")
    check_writable(options.html)
    try:
        reports = [read_report(path) for path in options.reports]
    except NoReportError as error:
        raise UsageError(str(error)) from None
    rows = compare(reports)
    if str(options.html) == "-":
        sys.stdout.write(to_html(reports, rows))
    else:
        sys.stdout.write(to_text(reports, rows) + "\n")
        if options.html is not None:
            write(options.html, to_html(reports, rows))
    return FINDING if any(row.differs for row in rows) else HOLDS
