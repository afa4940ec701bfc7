"""The command `chardev check`, as a user runs it: in a process of its own."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import pytest

from chardev_conformance.trace import load
from chardev_spec.rules import RULES

HOLDS, FINDING, WRONG_USE, COULD_NOT_RUN = 0, 1, 2, 3

FAULTY: Final = '''
import chardev


class Device(chardev.Device):
    """Says that every client is there."""

    __slots__ = ()

    def client_exists(self, client):
        return True
'''

HEADER: Final = '{"format": "chardev-trace", "version": 1}\n'

Check = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Run `chardev check` in an empty folder, where a module `faulty` can be imported."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/faulty.py").write_text(FAULTY, encoding="utf-8")
    (tmp_path / "here").mkdir()

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                "-W",
                "error",
                "-m",
                "chardev_conformance",
                "check",
                *map(str, arguments),
            ],
            cwd=tmp_path / "here",
            env=os.environ | {"PYTHONPATH": str(tmp_path / "modules"), "COLUMNS": "500"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_a_check_that_holds(check: Check) -> None:
    """The plain command would fail, or not say what it checked."""
    done = check("--steps", 400, "--seed", 7)
    assert (done.returncode, done.stderr) == (HOLDS, "")
    lines = dict(re.findall(r"^(\w[\w ]*\w) {2,}(.*)$", done.stdout, re.MULTILINE))
    assert lines["verdict"] == "holds"
    assert lines["target"] == "the bundled device, in memory and over pseudo-terminals"
    assert lines["profile"] == "contract"
    assert lines["seed"] == "7"
    assert {"calls", "callbacks", "rules", "time"} <= lines.keys()


def report(text: str) -> dict[str, Any]:
    """A report as JSON data."""
    data: dict[str, Any] = json.loads(text)
    return data


@pytest.mark.parametrize("to", ["-", "report.json"])
def test_the_report_as_json(check: Check, tmp_path: Path, to: str) -> None:
    """A program that runs the check could not read what came out."""
    done = check("--steps", 400, "--seed", 7, "--json", to)
    assert (done.returncode, done.stderr) == (HOLDS, "")
    text = done.stdout if to == "-" else (tmp_path / "here" / to).read_text(encoding="utf-8")
    data = report(text)
    assert data["format"] == "chardev-report"
    assert data["version"] == 2
    assert (data["verdict"], data["seed"], data["findings"]) == ("holds", 7, [])
    assert data["calls"] >= 400
    assert [each["rule"] for each in data["rules"]] == [*RULES]
    assert ("verdict" in done.stdout.splitlines()[0]) == (to != "-")


def test_without_a_seed_one_is_drawn_and_told(check: Check) -> None:
    """Every check would be the same, or a failure could not be repeated."""
    first, second = (report(check("--steps", 50, "--json", "-").stdout)["seed"] for _ in range(2))
    assert isinstance(first, int)
    assert first != second


def test_a_failure_is_saved_and_can_be_replayed(check: Check, tmp_path: Path) -> None:
    """A failure could be seen once and never again."""
    done = check("python:faulty:Device", "--steps", 2000, "--seed", 1, "--json", "report.json")
    assert (done.returncode, done.stderr) == (FINDING, "")
    assert "verdict      broken" in done.stdout.splitlines()
    assert "allowed      False" in done.stdout.splitlines()
    assert "seen         True" in done.stdout.splitlines()
    saved = tmp_path / "here/chardev-failure.jsonl"
    assert [step.call for step in load(saved).steps] == ["create", "client_exists"]
    header = json.loads(saved.read_text(encoding="utf-8").splitlines()[0])
    first = report((tmp_path / "here/report.json").read_text(encoding="utf-8"))
    assert header["finding"] == {key: first["findings"][0][key] for key in header["finding"]}
    assert (header["seed"], header["profile"]) == (1, "contract")

    again = check("python:faulty:Device", "--replay", saved, "--json", "-")
    assert (again.returncode, again.stderr) == (FINDING, "")
    [found], [before] = report(again.stdout)["findings"], first["findings"]
    assert {key: found[key] for key in header["finding"]} == header["finding"]
    assert found["steps"] == before["steps"] == 2
    assert report(again.stdout)["again"] == (f"chardev check python:faulty:Device --replay {saved}")

    healthy = check("--replay", saved)
    assert (healthy.returncode, healthy.stderr) == (HOLDS, "")


def test_a_failure_as_junit_and_as_a_page(check: Check, tmp_path: Path) -> None:
    """Neither a continuous integration server nor a reader would see which rule a broken implementation breaks."""
    forms = ("--junit", "report.xml", "--html", "report.html")
    done = check("python:faulty:Device", "--steps", 2000, "--seed", 1, *forms)
    assert (done.returncode, done.stderr) == (FINDING, "")
    page = (tmp_path / "here/report.html").read_text(encoding="utf-8")
    assert re.findall("<h3>(.*?)</h3>", page) == [f"LC-7: {RULES['LC-7'].title}"]
    assert (
        "<dd><code>chardev check python:faulty:Device --replay chardev-failure.jsonl</code>" in page
    )
    suites = ET.parse(tmp_path / "here/report.xml").getroot()
    assert [each.get("name") for each in suites.iter("testcase")] == [
        f"{rule.id} {rule.title}" for rule in RULES.values()
    ]
    [failure] = suites.iter("failure")
    assert failure.text == (
        "rules    LC-7, RD-4\n"
        "where    client_exists\n"
        "allowed  False\n"
        "seen     True\n"
        "again    chardev check python:faulty:Device --replay chardev-failure.jsonl"
    )


def test_only_one_form_goes_to_standard_output(check: Check) -> None:
    """Two reports would stand in one output, and none could be read."""
    done = check("--steps", 50, "--json", "-", "--junit", "-")
    assert (done.returncode, done.stdout, done.stderr) == (
        WRONG_USE,
        "",
        "chardev: only one form of the report can go to standard output; name a file for --junit\n",
    )


def test_a_failure_is_saved_where_it_is_to_be(check: Check, tmp_path: Path) -> None:
    """A failure would overwrite another one."""
    done = check("python:faulty:Device", "--steps", 2000, "--seed", 1, "--save", "other.jsonl")
    assert done.returncode == FINDING
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["other.jsonl"]


def test_the_same_seed_finds_the_same(check: Check, tmp_path: Path) -> None:
    """The seed in a report would be of no use."""
    for name in ("a", "b"):
        check("python:faulty:Device", "--steps", 2000, "--seed", 9, "--save", name)
    first, second = ((tmp_path / "here" / name).read_text(encoding="utf-8") for name in ("a", "b"))
    assert first == second


def test_steps_that_mean_nothing_are_reported(check: Check, tmp_path: Path) -> None:
    """A trace whose names are wrong would hold without having done anything."""
    trace = tmp_path / "here/trace.jsonl"
    trace.write_text(HEADER + '{"call": "start"}\n' * 3, encoding="utf-8")
    done = check("--replay", trace)
    assert done.returncode == HOLDS
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("3 calls were left out")


CASES: Final = {
    "what names no target": (["nosuch"], WRONG_USE),
    "what names no profile": (["spec:nosuch"], WRONG_USE),
    "an option that is not there": (["--bogus"], WRONG_USE),
    "an option without its value": (["--seed"], WRONG_USE),
    "a seed that is no number": (["--seed", "x"], WRONG_USE),
    "no calls": (["--steps", "0"], WRONG_USE),
    "calls that are no number": (["--steps", "many"], WRONG_USE),
    "no time": (["--time", "0"], WRONG_USE),
    "time without end": (["--time", "inf"], WRONG_USE),
    "time that is no number": (["--time", "nan"], WRONG_USE),
    "a profile that is not there": (["--profile", "spice-9"], WRONG_USE),
    "a target of no kind": (["zzz"], None),
    "a module that is not there": (["python:nope:Device"], None),
    "a factory that is not there": (["python:faulty:nope"], None),
    "a target without its factory": (["python:faulty"], None),
    "a program that is not there": (["stdio:./nope"], None),
    "a program that says nothing": (["stdio:true"], None),
    "a library that is not there": (["c:./nope.so"], None),
    "a trace that is not there": (["--replay", "nope.jsonl"], WRONG_USE),
    "a folder for a trace": (["--replay", "."], WRONG_USE),
    "a report that cannot be written": (["--steps", "50", "--json", "nope/report.json"], WRONG_USE),
    "a failure that cannot be saved": (
        ["--steps", "50", "--save", "nope/failure.jsonl"],
        WRONG_USE,
    ),
    "a port without its other end": (["--port", "/dev/null"], WRONG_USE),
    "a port with two other ends": (
        ["--port", "/dev/null", "--loopback", "--peer", "/dev/zero"],
        WRONG_USE,
    ),
    "the other end of nothing": (["--loopback"], WRONG_USE),
    "the peer of nothing": (["--peer", "/dev/null"], WRONG_USE),
    "a port that is not there": (["--port", "/dev/nope", "--loopback"], COULD_NOT_RUN),
    "a peer that is not there": (["--port", "/dev/null", "--peer", "/dev/nope"], COULD_NOT_RUN),
    "a port that is no serial line": (["--port", "/dev/null", "--loopback"], COULD_NOT_RUN),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_ends_with_one_clear_line(check: Check, case: str) -> None:
    """Somebody who makes a mistake would get a traceback, or a status that a script takes for a finding."""
    arguments, status = CASES[case]
    done = check(*arguments)
    assert done.returncode in ({status} if status is not None else {WRONG_USE, COULD_NOT_RUN})
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("chardev")
    assert "Traceback" not in done.stderr
    assert len(done.stderr) < 400


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the trace is empty"),
        (b"\xff\xfe", "it is not UTF-8 text"),
        (b"start\n", "not JSON"),
        (b"{}\n", 'the first line must have "format": "chardev-trace"'),
        (
            b'{"format": "chardev-trace", "version": 3}\n',
            "trace version 3; this program reads version 2 and older",
        ),
        (HEADER.encode() + b'{"call": "begin"}\n', "unknown call 'begin'"),
        (
            HEADER.encode() + b'{"call": "client_remove"}\n',
            "client_remove takes the arguments client",
        ),
        (b"[" * 100_000, "nested too deep"),
    ],
)
def test_traces_that_cannot_be_read(
    check: Check, tmp_path: Path, content: bytes, message: str
) -> None:
    """A damaged trace would end in a traceback, or look like one that holds."""
    trace = tmp_path / "here/bad.jsonl"
    trace.write_bytes(content)
    done = check("--replay", "bad.jsonl")
    assert (done.returncode, done.stdout) == (WRONG_USE, "")
    assert done.stderr.startswith("chardev: bad.jsonl:")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_tells_of_every_option_and_status(check: Check) -> None:
    """An option could only be found in the source."""
    done = check("--help")
    assert (done.returncode, done.stderr) == (HOLDS, "")
    for word in (
        "--seed --steps --time --profile --json --junit --html --save --port --peer --loopback --replay"
    ).split():
        assert word in done.stdout
    assert "Exit status: 0 it holds, 1 a finding, 2 wrong use, 3 could not run." in done.stdout


def test_a_reader_who_goes_away_causes_no_traceback(tmp_path: Path) -> None:
    """`chardev check | head -1` would end in a traceback."""
    command = f"{sys.executable} -m chardev_conformance check --steps 200 --seed 1 | true"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
