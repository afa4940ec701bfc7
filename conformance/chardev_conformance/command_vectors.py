"""``chardev vectors make`` and ``chardev vectors verify TARGET``."""

import argparse
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from chardev_conformance.adapters.opened import Opened
from chardev_conformance.campaign import replay
from chardev_conformance.commands import (
    HOLDS,
    UsageError,
    add_report_options,
    add_target_options,
    check_report_options,
    check_writable,
    names,
    profile_of,
    save,
    tell,
)
from chardev_conformance.progress import Progress
from chardev_conformance.results import Found, Report
from chardev_conformance.targets import KINDS, open_target, untested
from chardev_conformance.trace import Trace
from chardev_conformance.vectors import files
from chardev_spec.profiles import Profile


def add_parser(commands: Any) -> None:
    """Add the commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "vectors", help="make test vectors, or run them on an implementation"
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    make = actions.add_parser(
        "make",
        help="write the set of vectors that this specification makes",
        description="Writes traces recorded from the specification, and a manifest.",
    )
    make.add_argument("directory", type=Path, metavar="DIR", help="the folder to write them to")
    make.set_defaults(run=_make)
    verify = actions.add_parser(
        "verify",
        help="run the vectors on an implementation",
        description="Runs every vector on an implementation, in lockstep with the specification. "
        "Exit status: 0 it holds, 1 a finding, 2 wrong use, 3 could not run.",
    )
    add = verify.add_argument
    add("target", metavar="TARGET", help=f"the implementation: {KINDS}")
    add(
        "directory",
        type=Path,
        nargs="?",
        default=files.FOLDER,
        metavar="DIR",
        help="the set (default: the one that comes along)",
    )
    add(
        "--only",
        type=names,
        default=frozenset(),
        metavar="FILE,...",
        help="only these files of the set, as rules,errors",
    )
    add_target_options(verify)
    add(
        "--save",
        type=Path,
        default=Path("chardev-failure.jsonl"),
        metavar="FILE",
        help="where failing vectors go",
    )
    add_report_options(verify)
    verify.set_defaults(run=_verify)


def _make(options: argparse.Namespace) -> int:
    bar = Progress(1, "set")
    manifest, made = files.make_files(lambda what: bar.show(0, what))
    bar.end()
    try:
        files.write(options.directory, manifest, made)
    except OSError as error:
        raise UsageError(f"{options.directory}: cannot be written: {error.strerror}") from None
    for entry in manifest["files"]:
        sys.stdout.write(
            f"{entry['vectors']:>6,} vectors, {entry['calls']:>7,} calls  {entry['file']}\n"
        )
    return HOLDS


def _verify(options: argparse.Namespace) -> int:
    profile = profile_of(options)
    check_report_options(options)
    check_writable(options.save)
    manifest = files.read_manifest(options.directory)
    entries = {entry["file"].partition(".")[0]: entry for entry in manifest["files"]}
    unknown = sorted(options.only - entries.keys())
    if unknown:
        raise UsageError(
            f"--only: there is no {unknown[0]!r} in the set; there are {', '.join(entries)}"
        )
    chosen = [entry for name, entry in entries.items() if not options.only or name in options.only]
    with open_target(options.target, options.lacks, options.deadline) as opened:
        report = _run(options.directory, chosen, opened, profile)
    report.notes.insert(0, f"set {manifest['set']}: {report.scenarios:,} vectors")
    command = ["chardev", "check", options.target]
    if options.lacks:
        command += ["--lacks", ",".join(sorted(options.lacks))]
    if profile.quirks:
        command += ["--profile", profile.name]
    again = ""
    if report.found:
        save(options.save, report, opened.name, profile)
        again = shlex.join([*command, "--replay", str(options.save)])
    return tell(options, report, opened.name, profile, again)


def _run(folder: Path, entries: list[dict[str, Any]], opened: Opened, profile: Profile) -> Report:
    """Run the vectors of these files; all of them, whatever is found."""
    total = sum(entry["vectors"] for entry in entries)
    report = Report(None, driver="vectors", total=total, not_tested=untested(opened))
    bar = Progress(total, "vectors")
    begin = time.monotonic()
    try:
        for entry in entries:
            failed = 0
            for trace in files.read_file(folder, entry):
                failed += _run_one(trace, report, opened, profile)
                bar.show(report.scenarios, entry["file"])
            report.notes.append(
                f"{entry['file']}: {entry['vectors'] - failed:,} of {entry['vectors']:,} vectors hold"
            )
    except KeyboardInterrupt:
        report.interrupted = True
    bar.end()
    report.seconds = time.monotonic() - begin
    return report


def _run_one(trace: Trace, report: Report, opened: Opened, profile: Profile) -> bool:
    """Run one vector; whether it failed."""
    name = str(trace.header.get("name", trace.where))
    finding, performed = replay(opened.factory, trace.scenario, profile.machine, report.statistics)
    report.scenarios += 1
    report.named[name] = finding
    if finding is not None and not report.knows(finding):
        report.found.append(Found(finding, performed, name))
    return finding is not None
