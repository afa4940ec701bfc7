"""What the commands have in common: exit statuses, options, and how a report is told."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from chardev_conformance.adapters.stdio import ANSWER_SECONDS
from chardev_conformance.report import to_json, to_text
from chardev_conformance.report_html import to_html
from chardev_conformance.report_junit import to_junit
from chardev_conformance.results import Report
from chardev_conformance.trace import dumps, finding_to_json
from chardev_spec.profiles import PROFILES, Profile, profile_named

HOLDS: Final = 0
FINDING: Final = 1
WRONG_USE: Final = 2
COULD_NOT_RUN: Final = 3


class UsageError(Exception):
    """The command was used in a wrong way; the message says what to do."""


FORMS: Final[dict[str, tuple[str, Callable[[dict[str, Any]], str]]]] = {
    "json": ("JSON", lambda report: json.dumps(report, indent=2) + "\n"),
    "junit": ("JUnit XML", to_junit),
    "html": ("one HTML page", to_html),
}
"""What a report can be written as, by the name of the option: in words, and how."""


def add_target_options(parser: argparse.ArgumentParser) -> None:
    """The options of every command that runs a target."""
    parser.add_argument(
        "--lacks",
        type=names,
        default=frozenset(),
        metavar="NAME,...",
        help="what TARGET lacks: is not tested",
    )
    parser.add_argument(
        "--deadline",
        type=seconds_above_0,
        default=ANSWER_SECONDS,
        metavar="SECONDS",
        help=f"how long a TARGET in a process of its own may take to answer (default {ANSWER_SECONDS:g})",
    )


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """The options of every command that ends with a report."""
    add = parser.add_argument
    add(
        "--profile",
        default="contract",
        metavar="NAME",
        help=f"what to hold it against: {', '.join(PROFILES)}",
    )
    for form, (words, _) in FORMS.items():
        add(
            f"--{form}",
            type=Path,
            metavar="FILE",
            help=f"write the report as {words}, too ('-' for standard output)",
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
    if len(printed := _printed(options)) > 1:
        raise UsageError(
            f"only one form of the report can go to standard output; name a file for --{printed[1]}"
        )


def _printed(options: argparse.Namespace) -> list[str]:
    """The forms that are to go to standard output, instead of the text."""
    return [form for form in FORMS if str(getattr(options, form)) == "-"]


def tell(
    options: argparse.Namespace, report: Report, target: str, profile: Profile, again: str = ""
) -> int:
    """Print a report of calls, write the files that were asked for; the exit status."""
    data = to_json(report, target=target, profile=profile, again=again)
    return deliver(options, data, to_text(report, target=target, profile=profile, again=again))


def deliver(options: argparse.Namespace, data: dict[str, Any], text: str) -> int:
    """Print a report, which is there as JSON data and as text, write the files that were asked for; the exit status."""
    printed = _printed(options)
    if not printed:
        sys.stdout.write(text + "\n")
    for form, (_, write_form) in FORMS.items():
        path = getattr(options, form)
        if form in printed:
            sys.stdout.write(write_form(data))
        elif path is not None:
            write(path, write_form(data))
    return {"broken": FINDING, "holds": HOLDS}.get(data["verdict"], COULD_NOT_RUN)


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
