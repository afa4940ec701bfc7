"""A report as JUnit XML, which continuous integration servers read: one test case for each rule."""

import re
from collections.abc import Mapping
from typing import Any, Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from chardev_conformance.results import Verdict

FACTS: Final = ("verdict", "target", "profile", "driver", "seed", "scenarios", "calls", "callbacks")
"""What of the report becomes properties of the test suite."""

_NOT_IN_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML document may hold, escaped or not."""


def printable(text: str) -> str:
    """The text with each character that XML cannot hold as its Python escape."""
    return _NOT_IN_XML.sub(lambda found: ascii(found[0])[1:-1], text)


def to_junit(report: Mapping[str, Any]) -> str:
    """The JSON data of a report as JUnit XML.

    A broken rule is a failure, a rule that was not tested is skipped.
    A deviation of the profile passes, as it was asked for, and names its quirks as output.
    """
    verdicts = [each["verdict"] for each in report["rules"]]
    counts = {
        "tests": str(len(verdicts)),
        "failures": str(verdicts.count(Verdict.BROKEN)),
        "errors": "0",
        "skipped": str(verdicts.count(Verdict.NOT_TESTED)),
        "time": f"{report['seconds']:.3f}",
    }
    suites = Element("testsuites", {"name": "chardev"} | counts)
    suite = SubElement(suites, "testsuite", {"name": printable(report["target"])} | counts)
    properties = SubElement(suite, "properties")
    for name in FACTS:
        if report[name] is not None:
            value = printable(str(report[name]))
            SubElement(properties, "property", {"name": name, "value": value})
    for rule in report["rules"]:
        _add_case(suite, rule, report)
    indent(suites)
    data: bytes = tostring(suites, encoding="UTF-8", xml_declaration=True)
    return data.decode() + "\n"


def _add_case(suite: Element, rule: Mapping[str, Any], report: Mapping[str, Any]) -> None:
    case = SubElement(
        suite,
        "testcase",
        {"classname": rule["section"], "name": f"{rule['rule']} {rule['title']}"},
    )
    why = printable(rule["why"])
    match rule["verdict"]:
        case Verdict.BROKEN:
            failure = SubElement(case, "failure", {"type": rule["rule"], "message": why})
            failure.text = printable(
                "\n\n".join(
                    _failure_text(each, report["again"])
                    for each in report["findings"]
                    if each["rules"][0] == rule["rule"]
                )
            )
        case Verdict.NOT_TESTED:
            SubElement(case, "skipped", {"message": why})
        case Verdict.DEVIATION:
            SubElement(case, "system-out").text = f"deviation of the profile: {why}"


def _failure_text(finding: Mapping[str, Any], again: str) -> str:
    lines = {
        "rules": ", ".join(finding["rules"]),
        "where": finding["where"] or "after the last step",
        "allowed": finding["allowed"],
        "seen": finding["seen"],
        "again": again,
    }
    return "\n".join(f"{name:8} {text}" for name, text in lines.items() if text)
