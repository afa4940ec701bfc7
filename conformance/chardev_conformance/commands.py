"""What the commands have in common: exit statuses, options, and how a report is told."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from chardev_conformance.report import to_json, to_text, verdict
from chardev_conformance.results import Report
from chardev_conformance.trace import dumps, finding_to_json
from chardev_spec.profiles import PROFILES, Profile, profile_named

HOLDS: Final = 0
FINDING: Final = 1
WRONG_USE: Final = 2
COULD_NOT_RUN: Final = 3


class UsageError(Exception):
    """The command was used in a wrong way; the message says what to do."""


FORMS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "json": lambda report: json.dumps(report, indent=2) + "\n",
}
"""The files that a report can be written to, by the name of their option."""


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """The options of every command that ends with a report."""
    add = parser.add_argument
    add(
        "--profile",
        default="contract",
        metavar="NAME",
        help=f"what to hold it against: {', '.join(PROFILES)}",
    )
    add(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the report as JSON, too ('-' for standard output)",
    )


def profile_of(options: argparse.Namespace) -> Profile:
    """The profile that was asked for."""
    try:
        return profile_named(options.profile)
    except LookupError as error:
        raise UsageError(error.args[0]) from None


def check_report_options(options: argparse.Namespace) -> None:
    """Refuse files that cannot be written before hours of work are done for them."""
    for form in FORMS:
        check_writable(getattr(options, form))


def tell(
    options: argparse.Namespace, report: Report, target: str, profile: Profile, again: str = ""
) -> int:
    """Print the report, write the files that were asked for; the exit status."""
    data = to_json(report, target=target, profile=profile, again=again)
    if str(options.json) == "-":
        sys.stdout.write(FORMS["json"](data))
    else:
        text = to_text(report, target=target, profile=profile, again=again)
        sys.stdout.write(text + "\n")
    for form, write_form in FORMS.items():
        path = getattr(options, form)
        if path is not None and str(path) != "-":
            write(path, write_form(data))
    return {"broken": FINDING, "holds": HOLDS}.get(verdict(report), COULD_NOT_RUN)


def save(path: Path, report: Report, target: str, profile: Profile) -> None:
    """Write the scenarios of all findings to one file of traces."""
    origin = {"target": target, "profile": profile.name, "seed": report.seed}
    write(
        path,
        "".join(
            dumps(
                each.scenario,
                **origin,
                **({} if each.name is None else {"name": each.name}),
                finding=finding_to_json(each.finding),
            )
            for each in report.found
        ),
    )


def check_writable(path: Path | None) -> None:
    """Refuse a file that cannot be written."""
    if path is None or str(path) == "-":
        return
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(
            f"{path}: cannot be written; give the name of a file in a folder that you may write to"
        )


def write(path: Path, text: str) -> None:
    """Write a file; raises `UsageError` when it cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None


def number_above_0(what: str) -> Callable[[str], int]:
    """The type of an option that counts `what`."""

    def number(text: str) -> int:
        try:
            count = int(text)
        except ValueError:
            count = 0
        if count < 1:
            raise argparse.ArgumentTypeError(f"{text} is not a number of {what} above 0")
        return count

    return number


def number_from_0(text: str) -> int:
    """The type of an option that is the number of a scenario."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not the number of a scenario, 0 or above")
    return int(text)


def seconds_above_0(text: str) -> float:
    """The type of an option that is a time."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return seconds


def names(text: str) -> frozenset[str]:
    """The type of an option that is a list of names."""
    return frozenset(filter(None, text.split(",")))
