"""What a check says in the end: as JSON data, which holds all of it, and as text for people.

The other forms (`report_junit`, `report_html`) are made from the JSON data, so that reports that were kept can be
turned into any of them, and compared.
"""

from dataclasses import asdict
from typing import Any, Final

from chardev_conformance.results import Found, LineFacts, Report, Verdict, by_rule
from chardev_conformance.scenario import count_calls
from chardev_conformance.trace import LEGEND, dumps, finding_to_json, readable
from chardev_spec.profiles import Profile
from chardev_spec.rules import RULES

FORMAT: Final = "chardev-report"
VERSION: Final = 2


def to_json(report: Report, *, target: str, profile: Profile, again: str = "") -> dict[str, Any]:
    """The whole report as JSON data; `again` is the command that goes on, or runs a finding's trace."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "target": target,
        "profile": profile.name,
        "driver": report.driver,
        "verdict": verdict(report),
        "seed": report.seed,
        "calls": report.statistics.calls,
        "nested_calls": report.statistics.nested_calls,
        "callbacks": report.statistics.callbacks,
        "transitions": len(report.statistics.transitions),
        "transition_pairs": len(report.statistics.pairs),
        "scenarios": report.scenarios,
        "seconds": round(report.seconds, 3),
        "rules": [
            {
                "rule": each.rule,
                "section": RULES[each.rule].section,
                "title": RULES[each.rule].title,
                "verdict": each.verdict.value,
                "why": each.why,
            }
            for each in by_rule(report, profile)
        ],
        "functions": {name: n for name, n in sorted(report.statistics.functions.items()) if n},
        "not_tested": report.not_tested,
        "notes": report.notes,
        "line": asdict(report.line) if report.line else None,
        "findings": [_found_to_json(each) for each in report.found],
        "again": again,
    }


def _found_to_json(found: Found) -> dict[str, Any]:
    return finding_to_json(found.finding) | {
        "name": found.name,
        "steps": count_calls(found.scenario.steps),
        "trace": dumps(found.scenario, finding=finding_to_json(found.finding)),
    }


def verdict(report: Report) -> str:
    """``broken`` with a finding, ``interrupted`` when ended early, else ``holds``."""
    if report.found:
        return "broken"
    return "interrupted" if report.interrupted else "holds"


def to_text(report: Report, *, target: str, profile: Profile, again: str) -> str:
    """The report as lines of text; `again` is the command that goes on, or runs a finding's trace."""
    statistics, rules = report.statistics, by_rule(report, profile)
    in_force = [each for each in rules if not RULES[each.rule].planned]
    never = [each.rule for each in in_force if each.verdict == Verdict.NOT_TESTED]
    lines = []
    for found in report.found:
        lines += _found_lines(found)
    lines += [
        f"verdict      {verdict(report)}",
        f"target       {target}",
        f"profile      {profile.name}",
        f"driver       {report.driver}",
        f"calls        {statistics.calls:,} in {report.scenarios:,} scenarios",
        f"nested       {statistics.nested_calls:,} of them inside callbacks",
        f"callbacks    {statistics.callbacks:,}",
        f"rules        {len(in_force) - len(never)} of {len(in_force)} exercised",
    ]
    broken = [each.rule for each in rules if each.verdict == Verdict.BROKEN]
    if len(report.found) > 1:
        lines.append(f"broken       {', '.join(broken)} ({len(report.found)} findings)")
    deviations = [each.rule for each in rules if each.verdict == Verdict.DEVIATION]
    if deviations:
        lines.append(f"deviations   {', '.join(deviations)} (quirks of the profile, not findings)")
    if never and not report.found:
        lines.append(f"never        {', '.join(never)}")
    lines += [f"reached      {note}" for note in report.notes]
    if report.line is not None:
        lines += _line_facts(report.line)
    if report.not_tested:
        lines.append(f"not tested   {', '.join(report.not_tested)}")
    planned = [rule.id for rule in RULES.values() if rule.planned]
    if planned:
        lines.append(
            f"not yet      {', '.join(planned)} (known, but neither specified nor checked)"
        )
    if report.seed is not None:
        lines.append(f"seed         {report.seed}")
    if report.seconds:
        rate = statistics.calls / report.seconds
        lines.append(f"time         {report.seconds:.1f} s, {rate:,.0f} calls/s")
    if again:
        lines.append(f"again        {again}")
    return "\n".join(lines)


def _line_facts(line: LineFacts) -> list[str]:
    return [
        f"line         {line.driver}, {line.settings or 'no tty'}",
        f"speed        {line.bytes_per_second:,} bytes/s, {line.delay_ms:.1f} ms for one byte",
        f"bytes        {line.written:,} written, {line.read:,} read, each accounted for",
        f"errors       {line.errors}",
    ]


def _found_lines(found: Found) -> list[str]:
    finding = found.finding
    others = ", ".join(finding.rules[1:])
    name = [] if found.name is None else [f"vector       {found.name}"]
    return [
        readable(found.scenario),
        "",
        LEGEND,
        "",
        *name,
        f"rule         {finding.rule} ({RULES[finding.rule].title})"
        + (f"; see also {others}" if others else ""),
        f"where        {finding.where or 'after the last step'}",
        f"allowed      {finding.allowed}",
        f"seen         {finding.seen}",
        "",
    ]
