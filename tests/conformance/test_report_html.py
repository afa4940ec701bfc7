"""Reports as HTML pages."""

import re
from html import unescape
from typing import Any

from chardev_conformance.lockstep import Finding
from chardev_conformance.report import to_json
from chardev_conformance.report_html import to_html
from chardev_conformance.results import Found, LineFacts, Report, by_rule
from chardev_conformance.scenario import Scenario, Step
from chardev_spec.profiles import profile_named
from chardev_spec.registry import FUNCTIONS
from chardev_spec.rules import RULES

NASTY = "<script>alert('&\x1b\ud800')</script>"


def broken() -> Report:
    """A report with a finding whose words are markup."""
    report = Report(7, scenarios=1200, not_tested=[NASTY], notes=[NASTY])
    report.statistics.functions["stop"] = 1234
    scenario = Scenario(
        steps=[Step("create", {"port": "p1", "client_tokens_interval": 1, "self_tokens": 1})]
    )
    finding = Finding(("LC-1", "LC-2"), "create", NASTY, NASTY, NASTY)
    report.found.append(Found(finding, scenario, NASTY))
    report.line = LineFacts("pl011", "8N1", 0.1, 11520, "none")
    return report


def data(report: Report, profile: str = "contract") -> dict[str, Any]:
    """The report as JSON data."""
    return to_json(report, target=NASTY, profile=profile_named(profile), again="again <1>")


def terms(page: str) -> list[tuple[str, str]]:
    """The names and values of the lists of facts."""
    return [
        (unescape(name), unescape(re.sub("<[^>]*>", "", value)))
        for name, value in re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", page)
    ]


def test_what_the_page_says() -> None:
    """Part of the report would be missing from the page, or wrong."""
    report = broken()
    shown = r"<script>alert('&\x1b\ud800')</script>"
    skipped = sum(
        each.verdict == "not tested" for each in by_rule(report, profile_named("contract"))
    )
    assert terms(to_html(data(report))) == [
        ("profile", "contract"),
        ("driver", "random"),
        ("rules", f"1 broken (a must), {skipped} not tested, {len(RULES) - skipped - 1} holds"),
        ("seed", "7"),
        ("vector", shown),
        ("where", "create"),
        ("allowed", shown),
        ("seen", shown),
        ("see also", "LC-2"),
        ("replay", "again <1>"),
        ("calls", "0 in 1,200 scenarios"),
        ("nested", "0 of them inside callbacks"),
        ("callbacks", "0"),
        ("transitions", "0 different ones of the specification"),
        ("pairs", "0 different pairs of transitions"),
        ("time", "0.0 s"),
        ("not tested", shown),
        ("reached", shown),
        ("line: driver", "pl011"),
        ("line: settings", "8N1"),
        ("line: delay_ms", "0.1"),
        ("line: bytes_per_second", "11520"),
        ("line: errors", "none"),
        ("line: written", "0"),
        ("line: read", "0"),
    ]


def test_the_verdict_on_every_rule() -> None:
    """A rule would be missing, or a deviation that was asked for would look like a failure."""
    report = Report(None)
    report.statistics.functions |= dict.fromkeys(FUNCTIONS, 1)
    profile = profile_named("spice-0.12.4")
    rows = re.findall(
        '<tr><td>([A-Z]+-[0-9]+)</td><td>.*?</td><td><span class="(.*?)">(.*?)</span>',
        to_html(data(report, profile.name)),
    )
    words = {"holds": "holds", "deviation": "profile deviation", "not tested": "not tested"}
    assert rows == [
        (each.rule, each.verdict.replace(" ", "-"), words[each.verdict])
        for each in by_rule(report, profile)
    ]
    assert {verdict for _, verdict, _ in rows} == {"holds", "deviation", "not-tested"}


def test_the_page_needs_nothing_else_and_runs_nothing() -> None:
    """What an implementation says could run in the reader's browser, or the page would ask other hosts."""
    page = to_html(data(broken()))
    page.encode()
    assert (
        re.findall(r"<(?:script|link|img|iframe|object)\b|@import|url\((?!#)|https?:|src=", page)
        == []
    )
    assert page.count('<svg role="img"') == 1
    assert "default-src 'none'" in page
