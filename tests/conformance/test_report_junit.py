"""Reports as JUnit XML."""

from typing import Any, Final
from xml.etree import ElementTree as ET

from chardev_conformance.report_junit import to_junit


def rule(name: str, verdict: str, why: str = "") -> dict[str, Any]:
    """What a report says of one rule."""
    return {
        "rule": name,
        "section": "A <section>",
        "title": f"Title of {name}",
        "verdict": verdict,
        "why": why,
    }


REPORT: Final[dict[str, Any]] = {
    "verdict": "broken",
    "target": 'a"&\x1b<c>',
    "profile": "contract",
    "driver": "random",
    "seed": 7,
    "scenarios": 3,
    "calls": 40,
    "callbacks": 50,
    "seconds": 1.5,
    "rules": [
        rule("A-1", "holds"),
        rule("A-2", "broken", "wrong <answer>"),
        rule("A-3", "deviation", "a_quirk"),
        rule("A-4", "not tested", "nothing reached it"),
    ],
    "findings": [
        {"rules": ["A-2", "A-1"], "where": "step 2", "allowed": "a < b", "seen": "\x00&\ud800"},
        {"rules": ["A-2"], "where": "", "allowed": "1", "seen": "2"},
    ],
    "again": "chardev check x --replay 'a b.jsonl'",
}

XML: Final = """\
<?xml version='1.0' encoding='UTF-8'?>
<testsuites name="chardev" tests="4" failures="1" errors="0" skipped="1" time="1.500">
  <testsuite name="a&quot;&amp;\\x1b&lt;c&gt;" tests="4" failures="1" errors="0" skipped="1" time="1.500">
    <properties>
      <property name="verdict" value="broken" />
      <property name="target" value="a&quot;&amp;\\x1b&lt;c&gt;" />
      <property name="profile" value="contract" />
      <property name="driver" value="random" />
      <property name="seed" value="7" />
      <property name="scenarios" value="3" />
      <property name="calls" value="40" />
      <property name="callbacks" value="50" />
    </properties>
    <testcase classname="A &lt;section&gt;" name="A-1 Title of A-1" />
    <testcase classname="A &lt;section&gt;" name="A-2 Title of A-2">
      <failure type="A-2" message="wrong &lt;answer&gt;">rules    A-2, A-1
where    step 2
allowed  a &lt; b
seen     \\x00&amp;\\ud800
again    chardev check x --replay 'a b.jsonl'

rules    A-2
where    after the last step
allowed  1
seen     2
again    chardev check x --replay 'a b.jsonl'</failure>
    </testcase>
    <testcase classname="A &lt;section&gt;" name="A-3 Title of A-3">
      <system-out>deviation of the profile: a_quirk</system-out>
    </testcase>
    <testcase classname="A &lt;section&gt;" name="A-4 Title of A-4">
      <skipped message="nothing reached it" />
    </testcase>
  </testsuite>
</testsuites>
"""


def test_every_verdict_and_whatever_text() -> None:
    """A server would count wrongly, or refuse the file for a sign in it."""
    assert to_junit(REPORT) == XML
    assert ET.fromstring(XML).find("testsuite/properties/property[@name='seed']") is not None
