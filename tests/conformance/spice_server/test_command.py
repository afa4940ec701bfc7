"""`chardev check spice-server` as users run it."""

import json
from pathlib import Path

import pytest

from chardev_conformance.command_line import main
from chardev_conformance.comparison import read_report
from chardev_conformance.report_html import to_html
from chardev_conformance.report_junit import to_junit
from chardev_conformance.spice_server import libspice
from chardev_conformance.spice_server.isolation import Isolated
from chardev_conformance.spice_server.steps import Scenario, dumps
from tests.conformance.spice_server.peers import step


def test_the_release_holds(
    isolated: Isolated, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The library would be held to what it does not do, or the profile describe nothing."""
    report = tmp_path / "report.json"
    arguments = ["check", "spice-server", "--profile", "spice-0.15", "--seed", "1"]
    page, suite = tmp_path / "report.html", tmp_path / "report.xml"
    forms = ["--json", str(report), "--html", str(page), "--junit", str(suite)]
    assert main([*arguments, "--steps", "1500", *forms]) == 0
    data = json.loads(report.read_text(encoding="utf-8"))
    assert data["verdict"] == "holds"
    assert data["calls"] >= 1500
    assert data["findings"] == []
    assert page.read_text(encoding="utf-8") == to_html(read_report(report))
    assert suite.read_text(encoding="utf-8") == to_junit(data)
    assert "verdict      holds\n" in capsys.readouterr().out


def test_the_contract_does_not(
    isolated: Isolated, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A finding would have no command that shows it again."""
    trace = tmp_path / "trace.jsonl"
    assert main(["check", "spice-server", "--seed", "5", "--save", str(trace)]) == 1
    first = capsys.readouterr().out
    assert f"again        chardev check spice-server --profile contract --replay {trace}\n" in first
    assert main(["check", "spice-server", "--replay", str(trace)]) == 1
    again = capsys.readouterr().out

    def verdict(text: str) -> list[str]:
        return [
            line
            for line in text.splitlines()
            if line.startswith(("rule ", "where ", "allowed ", "seen "))
        ]

    assert verdict(again) == verdict(first)


def test_a_crash_is_a_finding(
    isolated: Isolated, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The end of the process would be the end of the check."""
    trace = tmp_path / "trace.jsonl"
    scenario = Scenario("agent", (step("start", client="c1", tokens=1), step("flush", client="c1")))
    trace.write_text(dumps(scenario), encoding="utf-8")
    assert main(["check", "spice-server", "--replay", str(trace)]) == 1
    assert (
        "rule         MIG-2 (Marshalling seals the device)\n"
        "where        step 2: flush\n"
        "allowed      the server goes on\n"
        "seen         SIGTRAP: Spice-ERROR **: red-channel-client.cpp:1299:handle_message: unexpected flush mark\n"
    ) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lacks", "start"], "chardev: --lacks is not for the target spice-server\n"),
        (["--from", "3"], "chardev: --from is not for the target spice-server\n"),
    ],
)
def test_options_of_other_targets_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An option would be taken and do nothing."""
    assert main(["check", "spice-server", *arguments]) == 2
    assert capsys.readouterr().err == message


def test_a_stage_is_known(
    isolated: Isolated, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A misspelt stage would be a traceback."""
    trace = tmp_path / "trace.jsonl"
    trace.write_text(dumps(Scenario("agnet")), encoding="utf-8")
    assert main(["check", "spice-server", "--replay", str(trace)]) == 2
    assert capsys.readouterr().err.startswith(
        "chardev: there is no stage 'agnet'; known are agent, "
    )


def test_a_missing_library_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The user would not know what to install."""
    monkeypatch.setenv("CHARDEV_SPICE_SERVER", "/nowhere/libspice-server.so.1")
    assert main(["check", "spice-server"]) == 3
    assert capsys.readouterr().err.endswith(f"install it with: {libspice.INSTALL}\n")
