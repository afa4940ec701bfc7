"""The findings as files that replay them, and as a page of the documentation."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from chardev_conformance.spice_server.hunt import Campaign, Found
from chardev_conformance.spice_server.judge import CRASH, WRONG, Finding
from chardev_conformance.spice_server.known import QUIRK
from chardev_conformance.spice_server.record import growth
from chardev_conformance.spice_server.steps import dumps, load, readable

_TITLES: Final = {
    CRASH: "The server comes to an end",
    WRONG: "The server does something else, and no quirk is known for it",
    QUIRK: "Deviations that the profile spice-0.15 knows",
}
_TEXTS: Final = {
    CRASH: "An assertion, a memory fault or an allocation that cannot be met ends the process:\n"
    "in use that is the virtual machine.\n"
    "*Well-behaved* means that nobody broke the protocol.",
    WRONG: "Found by what holds whoever does what, or because the library does not do what the profile of its\n"
    "release says.",
    QUIRK: "Each is a named quirk; the scenario is one of which the release without that quirk would show\n"
    "something else.",
}
_FOLDER: Final = "spice-server"

RECORD: Final = "hunt.json"
"""The file that tells of the longest hunt."""


def file_name(finding: Finding) -> str:
    """The file of a finding: its symptom, as far as a name can say it."""
    text = finding.symptom
    if finding.kind == QUIRK:
        text = text.partition(":")[0]
    text = re.sub(
        r"SIG[A-Z]+: |Spice-ERROR \*\*: |GLib-ERROR \*\*: |libspice-server.so.1, |assertion",
        "",
        text,
    )
    words = re.findall(r"[A-Za-z0-9_.-]*[A-Za-z0-9]", text)
    return f"{finding.kind}-{'-'.join(words)[:70].strip('-.')}.jsonl".replace("--", "-")


def write_all(folder: Path, found: Iterable[Found]) -> None:
    """Write each finding to a file of the folder, unless the one there is better: of well-behaved peers, or shorter."""
    folder.mkdir(parents=True, exist_ok=True)
    for each in found:
        path = folder / file_name(each.finding)
        if path.exists():
            wild = (
                json.loads(path.read_text(encoding="utf-8").partition("\n")[0])["peers"] == "wild"
            )
            if (wild, len(load(path).steps)) <= (each.wild, len(each.scenario.steps)):
                continue
        origin = {
            "finding": each.finding.to_json(),
            "severity": each.severity,
            "peers": "wild" if each.wild else "well-behaved",
        }
        path.write_text(dumps(each.scenario, **origin), encoding="utf-8")


def write_record(folder: Path, campaign: Campaign) -> None:
    """Write what the hunt did to the folder, unless it tells of a longer one from an empty start."""
    path = folder / RECORD
    if path.exists():
        before: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if before["seconds"] >= campaign.seconds:
            return
    record = {
        "seed": campaign.seed,
        "seconds": round(campaign.seconds, 1),
        "scenarios": campaign.scenarios,
        "steps": campaign.steps,
        "deaths": campaign.deaths,
        "growth": growth(campaign),
    }
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def page(folder: Path) -> str:
    """The page, in reStructuredText, from the files of the folder."""
    entries = []
    for path in sorted(folder.glob("*.jsonl")):
        header = json.loads(path.read_text(encoding="utf-8").partition("\n")[0])
        entries.append((path, header))
    counts = {
        kind: sum(header["finding"]["kind"] == kind for _, header in entries) for kind in _TITLES
    }
    lines = [
        "Findings in libspice-server 0.15.1",
        "==================================",
        "",
        ".. This page is made by `make hunt` from the files in docs/spice-server.",
        "",
        "What the hunt has found in Debian's library, each with the smallest scenario that shows it:",
        f"{counts[CRASH]} ways to end it, {counts[WRONG]} other faults, and {counts[QUIRK]} known deviations.",
        "Findings are told apart by rule and symptom: an assertion by its place in the source, a memory fault by the",
        "function of the library that it happens in (an offset: there are no symbols).",
        "Two memory faults may still have one cause.",
        "`make findings` replays all of them, three times each.",
        "How the library is driven and judged stands in :doc:`spice-server`.",
        "",
        ".. list-table::",
        "   :header-rows: 1",
        "   :widths: 60 25 15",
        "",
        "   * - Finding",
        "     - Severity",
        "     - Rules",
    ]
    for path, header in entries:
        symptom, rules = header["finding"]["symptom"], header["finding"]["rules"][:3]
        lines += [
            f"   * - :ref:`{_plain(symptom)} <{_label(path)}>`",
            f"     - {header['severity']}",
            f"     - {', '.join(rules)}",
        ]
    lines.append("")
    if (folder / RECORD).exists():
        lines += _grown(json.loads((folder / RECORD).read_text(encoding="utf-8")))
    for kind, title in _TITLES.items():
        chosen = [entry for entry in entries if entry[1]["finding"]["kind"] == kind]
        if chosen:
            lines += [title, "-" * len(title), "", *_TEXTS[kind].split("\n"), ""]
            for path, header in chosen:
                lines += _entry(path, header)
    return "\n".join(lines).rstrip() + "\n"


def _grown(record: dict[str, Any]) -> list[str]:
    """How many distinct findings a hunt had when."""
    title = "How the longest hunt grew"
    scenarios, steps = record["scenarios"], record["steps"]
    parts = [f"{steps[name]:,} in {scenarios[name]:,} {name} scenarios" for name in steps]
    lines = [
        *(title, "-" * len(title), ""),
        f"One process, from an empty start, with seed {record['seed']}:",
        f"{sum(steps.values()):,} steps ({', '.join(parts)}); {record['deaths']:,} scenarios ended with the process.",
        "The machine was shared with other work.",
        "",
        *(".. list-table::", "   :header-rows: 1", ""),
        "   * - After",
        *(f"     - {name}" for name in ("Crashes", "Other faults", "Known deviations", "All")),
    ]
    for row in record["growth"]:
        counts = [row[kind] for kind in _TITLES]
        lines.append(f"   * - {_minutes(row['seconds'])}")
        lines += [f"     - {count}" for count in (*counts, sum(counts))]
    return [*lines, ""]


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.3g} minute{'' if seconds == 60 else 's'}"


def _entry(path: Path, header: dict[str, object]) -> list[str]:
    finding = header["finding"]
    assert isinstance(finding, dict)
    title = _plain(str(finding["symptom"]))
    steps = readable(load(path)).split("\n")
    return [
        f".. _{_label(path)}:",
        "",
        title,
        "~" * len(title),
        "",
        f"Severity: {header['severity']}; rules: {', '.join(finding['rules'][:4])}.",
        "",
        ".. code-block:: text",
        "",
        *(f"   {_cut(line)}" for line in steps),
        f"   expected: {_cut(str(finding['expected']))}",
        f"   seen:     {_cut(str(finding['seen']))}",
        "",
        ".. code-block:: sh",
        "",
        f"   chardev check spice-server --replay docs/{_FOLDER}/{path.name}",
        "",
    ]


def _label(path: Path) -> str:
    return f"spice-server-{path.stem.lower()}"


def _plain(text: str) -> str:
    """Without what the markup would take for its own, and without whose log the line was in."""
    text = re.sub(r"[A-Za-z]+-ERROR \*\*: ", "", text)
    return re.sub(r"[`*|<>]|_(?=\W|$)", "", text).replace("\\", "")


def _cut(line: str, size: int = 150) -> str:
    return line if len(line) <= size else f"{line[:size]}..."


def summary(campaign: Campaign) -> str:
    """What a hunt did, in a few lines."""
    found = campaign.found.values()
    kinds = {kind: sum(each.finding.kind == kind for each in found) for kind in _TITLES}
    made = sum(campaign.steps.values())
    parts = [
        f"{campaign.steps[name]:,} in {campaign.scenarios[name]:,} {name} scenarios"
        for name in campaign.steps
    ]
    distinct = (
        f"{len(campaign.found)} findings in {campaign.seconds:,.0f} s from an empty start: "
        f"{kinds[CRASH]} crashes, {kinds[WRONG]} wrong, {kinds[QUIRK]} known deviations"
    )
    grown = [
        f"{sum(row[kind] for kind in _TITLES)} after {row['seconds']:,.0f} s"
        for row in growth(campaign)
    ]
    lines = [
        f"distinct     {distinct}",
        f"             {', '.join(grown)}",
        f"steps        {made:,}: {', '.join(parts)}",
        f"deaths       {campaign.deaths:,} scenarios ended with the process",
        f"seed         {campaign.seed}",
    ]
    if campaign.interrupted:
        lines.append("interrupted  the same seed hunts the same way again")
    return "\n".join(lines) + "\n"
