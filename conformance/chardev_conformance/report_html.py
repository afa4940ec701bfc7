"""A report as one HTML page that needs nothing else: no script, no font, no network."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any, Final

from chardev_conformance.report_diagram import Message, messages, to_svg
from chardev_conformance.report_junit import printable
from chardev_conformance.report_states import Standing, states
from chardev_conformance.results import Verdict
from chardev_conformance.spice_server.diagram import messages as server_messages
from chardev_conformance.spice_server.steps import is_trace as is_server_trace
from chardev_conformance.spice_server.steps import loads as server_loads
from chardev_conformance.spice_server.steps import readable as steps_text
from chardev_conformance.trace import LEGEND, loads, readable
from chardev_spec.contract import Contract
from chardev_spec.profiles import PROFILES

WORDS: Final = {
    Verdict.BROKEN: "broken (a must)",
    Verdict.DEVIATION: "profile deviation",
    Verdict.NOT_TESTED: "not tested",
    Verdict.HOLDS: "holds",
}
"""The verdicts, worst first, in the words of the page."""

PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<svg width="0" height="0" aria-hidden="true"><defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4"
markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8Z"/></marker></defs></svg>
<main>
{body}
</main>
</body>
</html>
"""


def to_html(report: Mapping[str, Any]) -> str:
    """The JSON data of a report as an HTML page."""
    parts = [_summary(report)]
    if report["findings"]:
        parts.append("<h2>Failures</h2>")
        parts += [
            failure(each, report, f"finding-{i}")
            for i, each in enumerate(report["findings"], start=1)
        ]
    parts += [_rules(report), _coverage(report)]
    return page(f"{report['verdict']}: {report['target']}", parts)


def page(title: str, parts: Iterable[str]) -> str:
    """The page of that title, with its parts as HTML one after the other."""
    style = files("chardev_conformance").joinpath("report.css").read_text(encoding="utf-8")
    return printable(PAGE.format(title=escape(title), style=style, body="\n".join(parts)))


def _summary(report: Mapping[str, Any]) -> str:
    verdicts = [each["verdict"] for each in report["rules"]]
    counts = ", ".join(
        f"{verdicts.count(verdict)} {words}"
        for verdict, words in WORDS.items()
        if verdict in verdicts
    )
    facts = {
        "profile": report["profile"],
        "driver": report["driver"],
        "rules": counts,
        "seed": report["seed"],
        "go on": "" if report["findings"] else report["again"],
    }
    verdict = escape(report["verdict"])
    heading = f'<h1><span class="{verdict}">{verdict}</span> {escape(report["target"])}</h1>'
    return heading + facts_list(facts)


def failure(finding: Mapping[str, Any], report: Mapping[str, Any], anchor: str) -> str:
    """One finding of a report, at that anchor of the page; one in recorded traffic has no steps."""
    rule, *others = finding["rules"]
    title = next(each["title"] for each in report["rules"] if each["rule"] == rule)
    heard = finding["trace"] is None
    facts = {
        "file" if heard else "vector": finding["name"],
        "broken": finding["symptom"] if heard else "",
        "where": finding["where"] or "after the last step",
        "allowed": finding["allowed"],
        "seen": finding["seen"],
        "see also": ", ".join(others),
        "replay": report["again"],
    }
    return (
        f'<article id="{anchor}"><h3>{escape(rule)}: {escape(title)}</h3>{facts_list(facts)}'
        f"{'' if heard else _steps(finding, report, anchor)}</article>"
    )


def _steps(finding: Mapping[str, Any], report: Mapping[str, Any], anchor: str) -> str:
    """What was done, as a diagram, as text, and as the trace that replays it."""
    shown, steps = (_server_steps if is_server_trace(finding["trace"]) else _calls)(
        finding, report, anchor
    )
    return (
        f"{shown}<details><summary>The steps as text</summary><pre>{escape(steps)}</pre></details>"
        f"<details><summary>The trace, for --replay</summary>"
        f"<pre>{escape(finding['trace'])}</pre></details>"
    )


def _calls(finding: Mapping[str, Any], report: Mapping[str, Any], anchor: str) -> tuple[str, str]:
    """The sequence diagram of calls with the state beside it, and the calls as text."""
    scenario = loads(finding["trace"], anchor)
    standings = states(scenario, _machine(report["profile"]))
    diagram = _diagram(finding, messages(scenario), "calls", numbered=len(standings) - 1)
    shown = f'<div class="beside">{diagram}{_states(standings)}</div>'
    return shown, f"{readable(scenario)}\n\n{LEGEND}"


def _server_steps(
    finding: Mapping[str, Any], _report: Mapping[str, Any], anchor: str
) -> tuple[str, str]:
    """What peers, ports and the host did to a server; nobody sees its state."""
    scenario = server_loads(finding["trace"], anchor)
    return _diagram(finding, server_messages(scenario), "steps"), steps_text(scenario)


def _diagram(
    finding: Mapping[str, Any], rows: Sequence[Message], what: str, *, numbered: int = 0
) -> str:
    rule = finding["rules"][0]
    label = f"Sequence diagram of the {finding['steps']} {what} that break {rule}"
    drawn = to_svg(rows, label, f"{rule} is broken", numbered=numbered)
    return f'<div class="wide" tabindex="0">{drawn}</div>'


def _machine(profile: str) -> type[Contract]:
    """The machine that a report was judged by; the contract in place of a profile that is not known here."""
    return PROFILES[profile if profile in PROFILES else "contract"].machine


def _states(standings: Sequence[Standing]) -> str:
    """What changed in the specification's state from arrow to arrow of the diagram; nothing without a record."""
    rows = "".join(
        f'<tr><td class="number">{number}</td><td>{escape(each.at)}'
        + "".join(f'<div class="why">{escape(change)}</div>' for change in each.changes)
        + "</td></tr>"
        for number, each in enumerate(standings, start=1)
    )
    return (
        f'<table class="states"><caption>What it changes in the state</caption>{rows}</table>'
        if rows
        else ""
    )


def _rules(report: Mapping[str, Any]) -> str:
    rows = []
    section = None
    for each in report["rules"]:
        if each["section"] != section:
            section = each["section"]
            rows.append(f'<tr><th colspan="3">{escape(section)}</th></tr>')
        verdict = escape(each["verdict"])
        why = f'<div class="why">{escape(each["why"])}</div>' if each["why"] else ""
        rows.append(
            f"<tr><td>{escape(each['rule'])}</td><td>{escape(each['title'])}{why}</td>"
            f'<td><span class="{verdict.replace(" ", "-")}">{WORDS[Verdict(each["verdict"])]}</span></td></tr>'
        )
    return f"<h2>Rules</h2><table>{''.join(rows)}</table>"


def _coverage(report: Mapping[str, Any]) -> str:
    if report["calls"] is None:  # recorded traffic
        heard = {"judged": report["notes"], "not judged": report["not_tested"]}
        return f"<h2>Coverage</h2>{facts_list(heard)}"
    facts = {
        "calls": f"{report['calls']:,} in {report['scenarios']:,} scenarios",
        "nested": f"{report['nested_calls']:,} of them inside callbacks",
        "callbacks": f"{report['callbacks']:,}",
        "transitions": f"{report['transitions']:,} different ones of the specification",
        "pairs": f"{report['transition_pairs']:,} different pairs of transitions",
        "time": f"{report['seconds']:.1f} s",
        "not tested": ", ".join(report["not_tested"]),
        "reached": "; ".join(report["notes"]),
    }
    facts |= {f"line: {name}": value for name, value in (report["line"] or {}).items()}
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="number">{count:,}</td></tr>'
        for name, count in report["functions"].items()
    )
    return f"<h2>Coverage</h2>{facts_list(facts)}<table>{rows}</table>"


def facts_list(facts: Mapping[str, Any]) -> str:
    """A list of what is known by name, one thing or several; what is empty is left out."""
    return f"<dl>{''.join(_pairs(facts.items()))}</dl>"


def _pairs(items: Iterable[tuple[str, Any]]) -> Iterable[str]:
    for name, value in items:
        if value not in (None, "", []):
            yield f"<dt>{escape(name)}</dt>"
            for each in value if isinstance(value, list) else [value]:
                text = escape(str(each))
                yield f"<dd>{f'<code>{text}</code>' if name in {'replay', 'go on'} else text}</dd>"
