"""The report of a campaign as one HTML file."""

from html import escape
from pathlib import Path
from typing import Any, Final

from chardev_conformance.fuzzing.campaign import Campaign
from chardev_conformance.fuzzing.features import Kind
from chardev_conformance.fuzzing.findings import finding_folders, read_report
from chardev_conformance.fuzzing.reach import CALLBACKS, INSIDE, never, reach
from chardev_conformance.fuzzing.store import write_whole

WIDTH: Final = 720
HEIGHT: Final = 220

STYLE: Final = """
:root { color-scheme: light dark; --line: #0969da; --bad: #cf222e; --faint: #8886; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; }
table { border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--faint); }
td { overflow-wrap: anywhere; } .wide td { overflow-wrap: normal; }
code, pre { font: 14px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { overflow-x: auto; padding: .6rem; border: 1px solid var(--faint); border-radius: 6px; }
svg { width: 100%; height: auto; }
.wide { overflow-x: auto; } .wide td, .wide th { padding: .1rem .3rem; font-size: 13px; }
.wide th.turned { writing-mode: vertical-rl; transform: rotate(180deg); }
.yes { background: color-mix(in srgb, var(--line) 35%, transparent); }
"""


def write_page(campaign: Campaign, folder: Path) -> None:
    """Write the report of a campaign into its folder."""
    reports = [read_report(each) for each in finding_folders(folder)]
    write_whole(folder / "report.html", page(campaign, reports))


def page(campaign: Campaign, reports: list[dict[str, Any]]) -> str:
    """The report as HTML; `reports` are those of the findings."""
    reached = reach(campaign)
    kinds = campaign.kinds
    target = campaign.plan.target or "the bundled device"
    facts = {
        "Executed": f"{campaign.executed:,} scenarios, {campaign.calls:,} calls, {campaign.callbacks:,} callbacks",
        "Time": f"{campaign.seconds:,.0f} s",
        "Rules reached": f"{reached.rules} of {len(reached.rule_table)}",
        "Transitions reached": f"{kinds[Kind.TRANSITION]:,}",
        "Pairs of transitions reached": f"{kinds[Kind.PAIR]:,}",
        "Calls inside callbacks": f"{len(reached.inside)} of {reached.places} pairs of callback and call",
        "Features of the target's own code": f"{kinds[Kind.CODE]:,}",
        "Corpus": f"{len(campaign.corpus.entries):,} entries",
        "Profile": campaign.plan.profile,
        "Seed": str(campaign.plan.seed),
    }
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items()
    )
    missing = "".join(
        f"<tr><td>{escape(what)}</td><td>{escape(need)}</td></tr>" for what, need in never(reached)
    )
    findings = "".join(map(_finding, reports)) or "<p>None.</p>"
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>chardev fuzz: {escape(target)}</title><style>{STYLE}</style></head><body>"
        f"<h1>Campaign against {escape(target)}</h1><table>{rows}</table>"
        f"<h2>Findings: {len(reports)}</h2>{findings}"
        f"<h2>Growth</h2>{_curve(campaign)}"
        f"<h2>Calls inside callbacks</h2>{_matrix(reached.inside)}"
        "<h2>Never reached, and what it would need</h2>"
        + (f"<table>{missing}</table>" if missing else "<p>Nothing is missing.</p>")
        + "</body></html>\n"
    )


def _finding(report: dict[str, Any]) -> str:
    small = "" if report["minimised"] else ", not minimised yet"
    return (
        f"<h3>{escape(report['key'])}</h3>"
        f"<p>{escape(report['state'])}; {report['calls']} calls{small}; in {escape(report['where'] or 'no call')}</p>"
        f"<table><tr><th>allowed</th><td><code>{escape(report['allowed'])}</code></td></tr>"
        f"<tr><th>seen</th><td><code>{escape(report['seen'])}</code></td></tr></table>"
        f"<pre>{escape(report['again'])}</pre>"
    )


def _curve(campaign: Campaign) -> str:
    """Features and findings over the calls made."""
    points = campaign.growth
    if not points:
        return "<p>Nothing was executed.</p>"
    calls, features = max(points[-1][1], 1), max(points[-1][2], 1)
    findings = max(points[-1][3], 1)

    def line(column: int, most: int, color: str) -> str:
        path = " ".join(
            f"{each[1] / calls * WIDTH:.1f},{HEIGHT - each[column] / most * HEIGHT:.1f}"
            for each in points
        )
        return f'<polyline points="{path}" fill="none" stroke="var({color})" stroke-width="2"/>'

    # Beside the picture: text inside it would shrink with it.
    caption = f"{features:,} features"
    caption += f" and {points[-1][3]} findings (red)" if points[-1][3] else ""
    return (
        f"<p>{caption} after {calls:,} calls</p>"
        f'<svg viewBox="-2 -2 {WIDTH + 4} {HEIGHT + 4}" role="img" aria-label="growth curve">'
        f'<path d="M0 0V{HEIGHT}H{WIDTH}" fill="none" stroke="var(--faint)"/>'
        + line(2, features, "--line")
        + (line(3, findings, "--bad") if points[-1][3] else "")
        + "</svg>"
    )


def _matrix(inside: frozenset[tuple[str, str]]) -> str:
    head = "".join(f'<th class="turned">{escape(each)}</th>' for each in CALLBACKS)
    rows = "".join(
        f"<tr><th>{escape(call)}</th>"
        + "".join(
            '<td class="yes">yes</td>' if (callback, call) in inside else "<td></td>"
            for callback in CALLBACKS
        )
        + "</tr>"
        for call in INSIDE
    )
    return f'<div class="wide"><table><tr><th></th>{head}</tr>{rows}</table></div>'
