"""What a check says in the end, for people and as JSON."""

from typing import Any

from chardev_conformance.campaign import Report, exercised
from chardev_conformance.trace import LEGEND, finding_to_json, readable
from chardev_spec.rules import RULES


def to_json(report: Report, *, target: str, profile: str) -> dict[str, Any]:
    """The whole report as JSON data."""
    rules = exercised(report.statistics)
    return {
        "format": "chardev-report",
        "version": 1,
        "target": target,
        "profile": profile,
        "verdict": verdict(report),
        "seed": report.seed,
        "calls": report.statistics.calls,
        "nested_calls": report.statistics.nested_calls,
        "callbacks": report.statistics.callbacks,
        "scenarios": report.scenarios,
        "seconds": round(report.seconds, 3),
        "rules_exercised": [rule for rule, ran in rules.items() if ran],
        "rules_never_exercised": [rule for rule, ran in rules.items() if not ran],
        "not_tested": report.not_tested,
        "finding": finding_to_json(report.finding) if report.finding else None,
    }


def verdict(report: Report) -> str:
    """``broken`` with a finding, ``interrupted`` when ended early, else ``holds``."""
    if report.finding is not None:
        return "broken"
    return "interrupted" if report.interrupted else "holds"


def to_text(report: Report, *, target: str, profile: str, again: str | None) -> str:
    """The report as lines of text; `again` is the command that runs a finding's trace again."""
    statistics, rules = report.statistics, exercised(report.statistics)
    never = [rule for rule, ran in rules.items() if not ran]
    lines = [] if report.finding is None else _finding_lines(report, again)
    lines += [
        f"verdict      {verdict(report)}",
        f"target       {target}",
        f"profile      {profile}",
        f"calls        {statistics.calls:,} in {report.scenarios:,} scenarios",
        f"nested       {statistics.nested_calls:,} of them inside callbacks",
        f"callbacks    {statistics.callbacks:,}",
        f"rules        {len(rules) - len(never)} of {len(rules)} exercised",
    ]
    if never and report.finding is None:
        lines.append(f"never        {', '.join(never)}")
    if report.not_tested:
        lines.append(f"not tested   {', '.join(report.not_tested)}")
    planned = [rule.id for rule in RULES.values() if rule.planned]
    if planned:
        lines.append(
            f"not yet      {', '.join(planned)} (known, but neither specified nor checked)"
        )
    if report.seed is not None:
        lines.append(f"seed         {report.seed}")
        rate = statistics.calls / max(report.seconds, 1e-9)
        lines.append(f"time         {report.seconds:.1f} s, {rate:,.0f} calls/s")
        if report.interrupted:
            lines.append(f"again        the same command with --seed {report.seed}")
    return "\n".join(lines)


def _finding_lines(report: Report, again: str | None) -> list[str]:
    finding, scenario = report.finding, report.scenario
    assert finding is not None
    assert scenario is not None
    others = ", ".join(finding.rules[1:])
    lines = [
        readable(scenario),
        "",
        LEGEND,
        "",
        f"rule         {finding.rule} ({RULES[finding.rule].title})"
        + (f"; see also {others}" if others else ""),
        f"where        {finding.where or 'after the last step'}",
        f"allowed      {finding.allowed}",
        f"seen         {finding.seen}",
    ]
    if again is not None:
        lines.append(f"again        {again}")
    return [*lines, ""]
