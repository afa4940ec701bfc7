"""A comparison of reports as one HTML page."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from chardev_conformance.comparison import Row
from chardev_conformance.report_html import WORDS, facts_list, failure, page
from chardev_conformance.results import Verdict


def to_html(reports: Sequence[Mapping[str, Any]], rows: Sequence[Row]) -> str:
    """The rules in which the reports differ, the failures of each report, and all rules."""
    different = [row for row in rows if row.differs]
    parts = [f"<h1>{len(reports)} reports, {len(different)} rules differ</h1>", _reports(reports)]
    if different:
        parts += ["<h2>Where they differ</h2>", _table(reports, different)]
    for number, report in enumerate(reports, start=1):
        if report["findings"]:
            parts.append(f"<h2>Failures of {number}: {escape(_name(report))}</h2>")
            parts += [
                failure(finding, report, _anchor(number, i))
                for i, finding in enumerate(report["findings"], start=1)
            ]
    parts += ["<h2>All rules</h2>", _table(reports, rows)]
    return page(f"{len(different)} rules differ", parts)


def _name(report: Mapping[str, Any]) -> str:
    return f"{report['target']}, {report['profile']}"


def _anchor(report: int, finding: int) -> str:
    return f"report-{report}-finding-{finding}"


def _reports(reports: Sequence[Mapping[str, Any]]) -> str:
    return "".join(
        f'<h3>{number}: <span class="{escape(report["verdict"])}">{escape(report["verdict"])}</span> '
        f"{escape(report['target'])}</h3>"
        + facts_list(
            {
                "profile": report["profile"],
                "driver": report["driver"],
                "calls": f"{report['calls']:,}",
                "findings": len(report["findings"]),
                "replay" if report["findings"] else "go on": report["again"],
            }
        )
        for number, report in enumerate(reports, start=1)
    )


def _table(reports: Sequence[Mapping[str, Any]], rows: Iterable[Row]) -> str:
    """Rules down, reports across; what is broken leads to its failure."""
    anchors = [
        {
            rule: _anchor(number, i)
            for i, finding in reversed([*enumerate(report["findings"], start=1)])
            for rule in finding["rules"]
        }
        for number, report in enumerate(reports, start=1)
    ]
    head = "".join(
        f'<th scope="col">{number} <div class="why">{escape(_name(report))}</div></th>'
        for number, report in enumerate(reports, start=1)
    )
    lines = []
    section = None
    for row in rows:
        if row.section != section:
            section = row.section
            lines.append(f'<tr><th colspan="{1 + len(reports)}">{escape(section)}</th></tr>')
        cells = "".join(
            f"<td>{_cell(verdict, anchors[i].get(row.rule))}</td>"
            for i, verdict in enumerate(row.verdicts)
        )
        title = f'<div class="why">{escape(row.title)}</div>'
        lines.append(f"<tr><td>{escape(row.rule)}{title}</td>{cells}</tr>")
    return (
        '<div class="wide" tabindex="0"><table class="comparison"><thead>'
        f'<tr><th scope="col">rule</th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _cell(verdict: str, anchor: str | None) -> str:
    """One verdict, in the words of the reports' pages."""
    known = {each.value: words for each, words in WORDS.items()}
    text = escape(known.get(verdict, verdict))
    if verdict == Verdict.BROKEN and anchor is not None:
        text = f'<a href="#{anchor}">{text}</a>'
    return f'<span class="{verdict.replace(" ", "-")}">{text}</span>'
