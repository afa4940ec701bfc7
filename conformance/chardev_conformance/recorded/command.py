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
    if options.html is not None:
        raise UsageError("--html is not for recorded traffic; --json and --junit are")
    text = "".join([to_text(str(path), verdict) + "\n" for path, verdict in verdicts.items()])
    forms = {"json": _to_json(verdicts), "junit": to_junit(_by_rule(verdicts, profile))}
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
    counts = ", ".join(f"{count} {what}" for what, count in verdict.judged.items())
    lines.append(f"  judged: {counts or 'nothing'}")
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
    data = to_json(
        Report(None, found=found, driver="recorded traffic"),
        target=f"what {', '.join(map(str, verdicts))} records",
        profile=profile,
        again=shlex.join(["chardev", "judge", *map(str, verdicts)]),
    )
    for rule in data["rules"]:
        if rule["verdict"] == OfRule.NOT_TESTED:
            rule["why"] = "no finding, and traffic does not show that it holds"
    return data | dict.fromkeys(("scenarios", "calls", "callbacks"))
