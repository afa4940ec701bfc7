"""Reports side by side: what is read, compared and told, by the command as users run it."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from chardev_conformance.command_line import main
from chardev_conformance.comparison import Row, compare, read_report, to_text
from chardev_conformance.comparison_html import to_html
from chardev_conformance.lockstep import Finding
from chardev_conformance.report import to_json
from chardev_conformance.results import Found, Report
from chardev_conformance.scenario import Scenario, Step
from chardev_spec.profiles import profile_named

NASTY = "<b>&"


def report(target: str, *, broken: bool = False, profile: str = "contract") -> dict[str, Any]:
    """A report on three rules, the first of them broken or not."""
    result = Report(7, scenarios=1)
    if broken:
        create = Step("create", {"port": "p1", "client_tokens_interval": 1, "self_tokens": 1})
        result.found.append(
            Found(Finding(("CB-1", "CB-2"), "create", NASTY, "no", NASTY), Scenario(steps=[create]))
        )
    data = to_json(result, target=target, profile=profile_named(profile), again="again")
    data["rules"] = [each for each in data["rules"] if each["rule"] in {"CB-1", "CB-2", "TOK-1"}]
    for each in data["rules"]:
        if each["verdict"] == "not tested":
            each["verdict"] = "holds"
    return data


def saved(folder: Path, **reports: Any) -> list[str]:
    """The reports as files of the folder."""
    paths = []
    for name, data in reports.items():
        path = folder / f"{name}.json"
        path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
        paths.append(str(path))
    return paths


def test_rules_of_all_reports() -> None:
    """A rule that one report does not know would be left out, or be called alike."""
    old = report("old")
    del old["rules"][1]
    assert compare([old, report("new", broken=True)]) == [
        Row("CB-1", "Callbacks", "Anything may happen inside a callback", ("holds", "broken")),
        Row("CB-2", "Callbacks", "Who gets a message", ("not in it", "holds")),
        Row("TOK-1", "Tokens, client to port", "Conservation of tokens", ("holds", "holds")),
    ]


def test_what_the_text_says() -> None:
    """A difference would not be told, or one would be told that is none."""
    reports = [report("old"), report("new", broken=True, profile="spice-0.12.4")]
    rows = compare(reports)
    assert to_text(reports, rows).splitlines()[:5] == [
        "1  holds        old, profile contract, 0 calls, 0 findings",
        "2  broken       new, profile spice-0.12.4, 0 calls, 1 finding",
        "",
        "rule    1           2",
        "CB-1    holds       broken      Anything may happen inside a callback",
    ]


def test_what_the_page_says() -> None:
    """A verdict would stand in another report's column, lead to no failure, or be markup."""
    reports = [report("old"), report(NASTY, broken=True)]
    page = to_html(reports, compare(reports))
    row = re.search("<tr><td>CB-1.*?</tr>", page)
    assert row is not None
    assert row[0] == (
        '<tr><td>CB-1<div class="why">Anything may happen inside a callback</div></td>'
        '<td><span class="holds">holds</span></td>'
        '<td><span class="broken"><a href="#report-2-finding-1">broken (a must)</a></span></td></tr>'
    )
    assert page.count('<article id="report-2-finding-1">') == 1
    assert NASTY not in page
    assert NASTY in unescape(page)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit status would not tell whether reports differ, or the page would not be written."""
    same = saved(tmp_path, one=report("one"), two=report("two"))
    assert main(["compare", *same]) == 0
    assert capsys.readouterr().out.endswith("\n\n0 rules differ, 3 are alike\n")
    other = saved(tmp_path, three=report("three", broken=True))
    page = tmp_path / "page.html"
    assert main(["compare", same[0], *other, "--html", str(page)]) == 1
    assert "three" in capsys.readouterr().out
    written = page.read_text(encoding="utf-8")
    assert main(["compare", same[0], *other, "--html", "-"]) == 1
    assert capsys.readouterr().out == written


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no report; write one with 'chardev check TARGET --json bad.json'"),
        ("[]", "no report; write one with 'chardev check TARGET --json bad.json'"),
        ({"format": "chardev-report", "version": 1},
         "a report of version 1, and version 2 is compared; make it anew"),
        (report("x") | {"rules": [{}]}, "parts of the report are missing; make it anew"),
        (report("x") | {"findings": [{"rules": ["CB-1"]}]},
         "parts of the report are missing; make it anew"),
    ],
)  # fmt: skip
def test_bad_reports(
    content: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is no report would end in a traceback, or be compared."""
    paths = saved(tmp_path, good=report("good"), bad=content)
    assert main(["compare", *paths]) == 2
    assert capsys.readouterr() == ("", f"chardev: {paths[1]}: {message}\n")


def test_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing file or a single report would not be explained."""
    assert main(["compare", "absent.json", "x"]) == 2
    assert main(["compare", *saved(tmp_path, one=report("one"))]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "chardev: absent.json: cannot be read: No such file or directory",
        "chardev: one report alone is compared with nothing; name two reports or more",
    ]


def test_reads_what_check_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The reports that the commands write would be refused."""
    path = tmp_path / "report.json"
    assert main(["check", "--steps", "50", "--seed", "1", "--json", str(path)]) == 0
    capsys.readouterr()
    assert read_report(path)["verdict"] == "holds"
