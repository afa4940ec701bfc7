"""The part of ``chardev judge`` that is about recorded traffic."""

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from chardev_conformance.commands import FINDING, HOLDS, UsageError, write
from chardev_conformance.lockstep import Finding
from chardev_conformance.recorded.capture import PCAP, PCAPNG
from chardev_conformance.recorded.qemu_log import is_log, judge_log
from chardev_conformance.recorded.sessions import judge_capture
from chardev_conformance.recorded.verdict import Verdict
from chardev_conformance.report import to_json
from chardev_conformance.report_html import to_html
from chardev_conformance.report_junit import to_junit
from chardev_conformance.results import Found, Report
from chardev_conformance.results import Verdict as OfRule
from chardev_conformance.scenario import Scenario
from chardev_conformance.trace import read_bytes
from chardev_spec.profiles import Profile


def traffic(path: Path) -> Verdict | None:
    """What a file of recorded traffic says; None of a file of another kind.

    Raises `ScenarioError` when it cannot be read.
    """
    data = read_bytes(path)
    if data[:4] in PCAP or data[:4] == PCAPNG:
        return judge_capture(data, str(path))
    text = data.decode(errors="replace")
    return judge_log(text, str(path)) if is_log(text) else None


def tell(options: argparse.Namespace, verdicts: dict[Path, Verdict], profile: Profile) -> int:
    """Print what the files say; the exit status."""
    if profile.quirks:
        raise UsageError("recorded traffic is held against the contract alone: leave out --profile")
    text = "".join([to_text(str(path), verdict) + "\n" for path, verdict in verdicts.items()])
    report = _by_rule(verdicts, profile)
    forms = {"json": _to_json(verdicts), "junit": to_junit(report), "html": to_html(report)}
    files = {form: getattr(options, form) for form in forms}
    printed = [forms[form] for form, path in files.items() if str(path) == "-"]
    sys.stdout.write("".join(printed) or text)
    for form, path in files.items():
        if path is not None and str(path) != "-":
            write(path, forms[form])
    return FINDING if any(each.findings for each in verdicts.values()) else HOLDS


def to_text(name: str, verdict: Verdict) -> str:
    """A verdict for people."""
    lines = [f"{name}: {'broken' if verdict.findings else 'holds, as far as it can be told'}"]
    lines.append(f"  judged: {_counts(verdict)}")
    for each in verdict.findings:
        lines += [
            f"  {each.rule} broken by the {each.party}, {each.where}",
            f"    allowed: {each.allowed}",
            f"    seen: {each.seen}",
        ]
    lines += [f"  not judged: {text}" for text in verdict.not_judged]
    if verdict.findings:
        lines.append(f"  again: chardev judge {shlex.quote(name)}")
    return "\n".join(lines)


def _counts(verdict: Verdict) -> str:
    return ", ".join(f"{count} {what}" for what, count in verdict.judged.items()) or "nothing"


def _to_json(verdicts: dict[Path, Verdict]) -> str:
    data: dict[str, Any] = {
        str(path): {
            "judged": dict(verdict.judged),
            "findings": [each._asdict() for each in verdict.findings],
            "not_judged": [*verdict.not_judged],
        }
        for path, verdict in verdicts.items()
    }
    return json.dumps(data, indent=2) + "\n"


def _by_rule(verdicts: dict[Path, Verdict], profile: Profile) -> dict[str, Any]:
    """The findings in the form of every report: traffic has no calls, and no rule of which it shows that it holds."""
    found = [
        Found(
            Finding((each.rule,), each.where, each.allowed, each.seen, f"by the {each.party}"),
            Scenario(),
            str(path),
        )
        for path, verdict in verdicts.items()
        for each in verdict.findings
    ]
    of = {path: f"{path}: " if len(verdicts) > 1 else "" for path in verdicts}
    report = Report(
        None,
        found=found,
        driver="recorded traffic",
        notes=[of[path] + _counts(each) for path, each in verdicts.items()],
        not_tested=[of[path] + text for path, each in verdicts.items() for text in each.not_judged],
    )
    data = to_json(
        report,
        target=f"what {', '.join(map(str, verdicts))} records",
        profile=profile,
        again=shlex.join(["chardev", "judge", *map(str, verdicts)]) if found else "",
    )
    for rule in data["rules"]:
        if rule["verdict"] == OfRule.NOT_TESTED:
            rule["why"] = "no finding, and traffic does not show that it holds"
    for finding in data["findings"]:
        finding["trace"] = None
    return data | dict.fromkeys(("scenarios", "calls", "callbacks"))
