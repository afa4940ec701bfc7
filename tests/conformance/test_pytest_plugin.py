"""The pytest plugin: rules of the contract as tests of an implementation."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

from chardev_conformance.trace import loads
from chardev_spec.rules import RULES


def pytest_on(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a folder of its own, as somebody else's project would."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments],
        cwd=folder,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_rule_is_a_test_and_a_broken_one_fails(tmp_path: Path) -> None:
    """Other people's continuous integration would not see what is broken, or see it everywhere."""
    junit = tmp_path / "junit.xml"
    run = pytest_on(
        tmp_path,
        *("--chardev-target", "spec:AddZeroIsAGrant", "--chardev-calls", "3000", "-W", "error"),
        f"--junit-xml={junit}",
    )
    assert run.returncode == 1, run.stdout
    cases = {each.attrib["name"]: each for each in ET.parse(junit).iter("testcase")}
    assert [*cases] == [rule.id for rule in RULES.values() if not rule.planned]
    failures = {
        name: "".join(failure.itertext())
        for name, case in cases.items()
        if (failure := case.find("failure")) is not None
    }
    assert [*failures] == ["WR-5", "RD-7"]
    text = failures["RD-7"]
    assert "send_to_client_tokens_add(c1, 0)" in text
    _, _, trace = text.partition("--replay FILE`:\n")
    assert loads(trace.strip(), "the failure").steps


def test_one_rule_can_be_chosen_and_an_implementation_that_holds_passes(tmp_path: Path) -> None:
    """Nobody could look at one rule alone."""
    run = pytest_on(
        tmp_path, "--chardev-target", "spec:contract", "--chardev-calls", "500", "-k", "TOK-1"
    )
    assert run.returncode == 0, run.stdout
    assert "1 passed" in run.stdout


def test_what_was_not_reached_is_skipped(tmp_path: Path) -> None:
    """A rule that nothing tested would pass."""
    run = pytest_on(tmp_path, "--chardev-target", "spec:contract", "--chardev-calls", "1", "-rs")
    assert run.returncode == 0, run.stdout
    assert "nothing reached this rule" in run.stdout


def test_a_target_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    """People would look for the mistake in their implementation."""
    run = pytest_on(tmp_path, "--chardev-target", "c:./none.so", "-k", "TOK-1")
    assert run.returncode == 1
    assert "c:./none.so: cannot be read: No such file or directory" in run.stdout


def test_without_the_option_nothing_changes(tmp_path: Path) -> None:
    """Whoever has chardev installed would get tests that nobody asked for."""
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n", encoding="utf-8")
    run = pytest_on(tmp_path)
    assert "1 passed" in run.stdout
