"""Reports of several targets, or of one against several profiles, side by side.

A *column* is a report; a *row* is a rule with what each report says of it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chardev_conformance.report import FORMAT, VERSION
from chardev_conformance.results import Verdict
from chardev_spec.rules import RULES

ABSENT: Final = "not in it"
"""What stands for a rule that a report does not know."""

USED: Final = {
    "target": str,
    "profile": str,
    "driver": str,
    "verdict": str,
    "calls": int,
    "again": str,
}
"""What of a report stands at the head of its column, and its type."""


class NoReportError(Exception):
    """A file is no report that can be compared; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """A rule, and the verdict of every report, in the order of the reports."""

    rule: str
    section: str
    title: str
    verdicts: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether the reports do not all say the same."""
        return len(set(self.verdicts)) > 1


def read_report(path: Path) -> dict[str, Any]:
    """The JSON data of a report that ``--json`` wrote.

    Raises `NoReportError` when the file cannot be read, is none, is of another version, or lacks a part.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NoReportError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:
        report = None
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise NoReportError(
            f"{path}: no report; write one with 'chardev check TARGET --json {path.name}'"
        )
    if report.get("version") != VERSION:
        raise NoReportError(
            f"{path}: a report of version {report.get('version')}, and version {VERSION} is compared; make it anew"
        )
    if not _whole(report):
        raise NoReportError(f"{path}: parts of the report are missing; make it anew")
    return report


def _whole(report: Mapping[str, Any]) -> bool:
    """Whether all is there that a comparison shows."""
    verdicts = {each.value for each in Verdict}
    try:
        return (
            all(isinstance(report[name], kind) for name, kind in USED.items())
            and all(
                isinstance(each[name], str)
                for each in report["rules"]
                for name in ("rule", "section", "title", "why")
            )
            and all(each["verdict"] in verdicts for each in report["rules"])
            and all(
                {"trace", "name", "where", "allowed", "seen", "steps"} <= each.keys()
                and {each["rule"] for each in report["rules"]}.issuperset(each["rules"])
                and each["rules"]
                for each in report["findings"]
            )
        )
    except (KeyError, TypeError, AttributeError):
        return False


def compare(reports: Sequence[Mapping[str, Any]]) -> list[Row]:
    """What the reports say of every rule that one of them knows, in the order of the contract."""
    known = {each["rule"]: each for report in reversed(reports) for each in report["rules"]}
    order = [rule for rule in RULES if rule in known] + [
        rule for rule in known if rule not in RULES
    ]
    said = [{each["rule"]: each["verdict"] for each in report["rules"]} for report in reports]
    return [
        Row(
            rule,
            known[rule]["section"],
            known[rule]["title"],
            tuple(verdicts.get(rule, ABSENT) for verdicts in said),
        )
        for rule in order
    ]


def to_text(reports: Sequence[Mapping[str, Any]], rows: Sequence[Row]) -> str:
    """The comparison as lines of text: the reports by number, then the rules in which they differ."""
    lines = []
    for number, report in enumerate(reports, start=1):
        findings = len(report["findings"])
        lines.append(
            f"{number}  {report['verdict']:<12} {report['target']}, profile {report['profile']}, "
            f"{report['calls']:,} calls, {findings} finding{'' if findings == 1 else 's'}"
        )
    different = [row for row in rows if row.differs]
    if different:
        numbers = "".join(f"{number:<12}" for number in range(1, len(reports) + 1))
        lines += ["", f"{'rule':<8}{numbers}".rstrip()]
    for row in different:
        lines.append(f"{row.rule:<8}{''.join(f'{each:<12}' for each in row.verdicts)}{row.title}")
    alike = len(rows) - len(different)
    return "\n".join([*lines, "", f"{len(different)} rules differ, {alike} are alike"])
