"""What a campaign has found: each difference once, by rule and symptom, in a folder of its own."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from chardev_conformance.fuzzing.errors import CampaignError
from chardev_conformance.fuzzing.plan import Plan
from chardev_conformance.fuzzing.store import write_whole
from chardev_conformance.lockstep import Finding
from chardev_conformance.scenario import Scenario, count_calls
from chardev_conformance.trace import LEGEND, dumps, finding_to_json, readable
from chardev_spec.rules import RULES

MOST_FINDINGS: Final = 500
"""Findings that get a folder: whoever has so many has other worries."""

_STACK: Final = re.compile(r"; in (?P<stack>.+)$")
"""Where a sanitizer saw a crash, at the end of what was seen (`stdio`)."""


def key_of(finding: Finding) -> str:
    """Findings of equal key are one: rule and symptom, and for a crash where it was."""
    stack = _STACK.search(finding.seen) if finding.symptom.startswith("crash") else None
    where = f", {stack['stack']}" if stack else ""
    return f"{finding.rule}: {finding.symptom}{where}"


def name_of(key: str) -> str:
    """The name of the folder of a finding."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", key).strip("-")[:60]
    return f"{words}-{sha256(key.encode()).hexdigest()[:6]}"


@dataclass(slots=True)
class Found:
    """How often a finding came up, and the number of the scenario that it came up in first."""

    first: int
    times: int = 1


def write_finding(
    folder: Path,
    plan: Plan,
    number: int | None,
    finding: Finding,
    scenario: Scenario,
    *,
    small: bool,
) -> None:
    """Write, or write anew, the folder of a finding; `small` says whether its scenario was made as small as it gets."""
    folder.mkdir(parents=True, exist_ok=True)
    trace = folder / "trace.jsonl"
    origin = {"seed": plan.seed, "profile": plan.profile, "finding": finding_to_json(finding)}
    write_whole(trace, dumps(scenario, **origin))
    again = replay_command(plan, trace)
    report = {
        "key": key_of(finding),
        **finding_to_json(finding),
        "number": number,
        "calls": count_calls(scenario.steps),
        "minimised": small,
        "target": plan.target or "the bundled device",
        "again": again,
        "state": "open",
    }
    write_whole(folder / "report.txt", _text(finding, scenario, again))
    write_whole(folder / "report.json", json.dumps(report, indent=2) + "\n")


def _text(finding: Finding, scenario: Scenario, again: str) -> str:
    others = ", ".join(finding.rules[1:])
    lines = [
        readable(scenario),
        "",
        LEGEND,
        "",
        f"rule         {finding.rule} ({RULES[finding.rule].title})"
        + (f"; see also {others}" if others else ""),
        f"where        {finding.where or 'after the last step'}",
        f"symptom      {finding.symptom}",
        f"allowed      {finding.allowed}",
        f"seen         {finding.seen}",
        f"again        {again}",
    ]
    return "\n".join(lines) + "\n"


def replay_command(plan: Plan, trace: Path) -> str:
    """The command that runs a trace again."""
    words = ["chardev", "check", *([] if plan.target is None else [plan.target])]
    if plan.lacks:
        words += ["--lacks", ",".join(plan.lacks)]
    if plan.profile != "contract":
        words += ["--profile", plan.profile]
    return shlex.join([*words, "--replay", str(trace)])


def read_report(folder: Path) -> dict[str, Any]:
    """What is known of a finding; raises `CampaignError` when its folder holds no report."""
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CampaignError(f"{folder}: not a finding: {error}") from None
    if not isinstance(report, dict) or "key" not in report:
        raise CampaignError(f"{folder}: not a finding: its report.json has no key")
    return report


def set_state(folder: Path, state: str) -> None:
    """Note whether a finding is ``open`` or ``gone``."""
    report = read_report(folder) | {"state": state}
    write_whole(folder / "report.json", json.dumps(report, indent=2) + "\n")


def finding_folders(campaign: Path) -> Iterator[Path]:
    """The folders of all findings of a campaign whose reports are there."""
    for folder in sorted((campaign / "findings").iterdir()):
        if (folder / "report.json").exists():
            yield folder
