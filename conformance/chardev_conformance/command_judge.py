"""``chardev judge FILE...``: what was recorded of an implementation is judged after the fact."""

import argparse
import shlex
import time
from pathlib import Path
from typing import Any

from chardev_conformance.campaign import judge
from chardev_conformance.commands import (
    UsageError,
    add_report_options,
    check_report_options,
    profile_of,
    tell,
)
from chardev_conformance.progress import Progress
from chardev_conformance.recorded import command as recorded
from chardev_conformance.results import Found, Report
from chardev_conformance.scenario import ScenarioError
from chardev_conformance.trace import load_all


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "judge",
        help="judge recorded traces of an implementation, or recorded traffic",
        description="Judges traces that record what an implementation did, without the implementation; "
        "or, from the outside, packet captures of SPICE sessions and QEMU's trace logs. "
        "Exit status: 0 it holds, 1 a finding, 2 wrong use, 3 could not run.",
    )
    parser.add_argument(
        "traces",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="a trace file; or a packet capture (pcap, pcapng) or a log of QEMU's -trace 'spice_*'",
    )
    add_report_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Judge every file."""
    profile = profile_of(options)
    check_report_options(options)
    verdicts = {path: recorded.traffic(path) for path in options.traces}
    heard = {path: verdict for path, verdict in verdicts.items() if verdict is not None}
    if heard:
        if len(heard) < len(verdicts):
            raise UsageError("judge traces and recorded traffic in runs of their own")
        return recorded.tell(options, heard, profile)
    traces = [trace for path in options.traces for trace in load_all(path)]
    report = Report(None, driver="recorded", total=len(traces))
    bar = Progress(len(traces), "traces")
    begin = time.monotonic()
    for trace in traces:
        try:
            finding, performed = judge(trace.scenario, profile.machine, report.statistics)
        except ScenarioError as error:
            raise UsageError(f"{trace.where}: {error}") from None
        report.scenarios += 1
        bar.show(report.scenarios)
        name = str(trace.header.get("name", trace.where))
        report.named[name] = finding
        if finding is not None and not report.knows(finding):
            report.found.append(Found(finding, performed, name))
    bar.end()
    report.seconds = time.monotonic() - begin
    files = ", ".join(map(str, options.traces))
    command = ["chardev", "judge", *map(str, options.traces), "--profile", profile.name]
    again = shlex.join(command) if report.found else ""
    return tell(options, report, f"what {files} records", profile, again)
