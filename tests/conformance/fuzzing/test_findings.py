"""Findings: told apart, kept, made small, and looked for again."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.campaign import replay
from chardev_conformance.fuzzing.errors import CampaignError
from chardev_conformance.fuzzing.findings import (
    key_of,
    name_of,
    read_report,
    replay_command,
    write_finding,
)
from chardev_conformance.fuzzing.minimise import Minimiser
from chardev_conformance.fuzzing.orders import Executor, Order
from chardev_conformance.fuzzing.plan import Plan
from chardev_conformance.fuzzing.session import run_again
from chardev_conformance.fuzzing.store import Store
from chardev_conformance.lockstep import Finding
from chardev_conformance.trace import load
from chardev_spec.contract import Contract

FINDING = Finding(("WR-1", "WR-2"), "start", "nothing", "write", "end / write")
PLAN = Plan("spec:WakeupOnlyReads", 1)


def test_findings_are_told_apart_by_rule_and_symptom() -> None:
    """One defect would count as many, or many as one."""
    assert key_of(FINDING) == "WR-1: end / write"
    assert key_of(replace(FINDING, seen="another write", where="wakeup")) == key_of(FINDING)
    assert key_of(replace(FINDING, rules=("WR-2",))) != key_of(FINDING)


def test_crashes_are_told_apart_by_where_they_were() -> None:
    """Two memory errors of one kind, at different places, would be one."""
    crash = replace(FINDING, symptom="crash, heap-use-after-free")
    here = replace(crash, seen="AddressSanitizer: it ended; in deliver < fan_out")
    assert key_of(here) == "WR-1: crash, heap-use-after-free, deliver < fan_out"
    assert key_of(replace(FINDING, seen="written; in vain")) == key_of(FINDING)


def test_folders_have_names_that_every_shell_takes() -> None:
    """A finding could not be looked at by hand."""
    assert name_of("WR-1: end / write") == "WR-1-end-write-" + name_of("WR-1: end / write")[-6:]
    assert name_of("a" * 100) != name_of("a" * 101)
    assert len(name_of("a" * 100)) == 67


@pytest.mark.parametrize(
    ("plan", "command"),
    [
        (Plan(None, 1), "chardev check --replay t.jsonl"),
        (
            Plan("stdio:./a b", 1, "spice-0.12.4", ("reset", "stop")),
            "chardev check 'stdio:./a b' --lacks reset,stop --profile spice-0.12.4 --replay t.jsonl",
        ),
    ],
)
def test_one_command_replays_a_finding(plan: Plan, command: str) -> None:
    """Whoever gets the finding would have to guess how it came about."""
    assert replay_command(plan, Path("t.jsonl")) == command


def found(store: Store) -> Path:
    """The folder of a finding that is not small yet."""
    with PLAN.opened() as opened:
        executor = Executor(opened.factory)
        outcomes = (executor.execute(Order(number, 1)) for number in range(100))
        outcome = next(each for each in outcomes if each.finding is not None)
    assert outcome.finding is not None
    folder = store.folder / "findings/first"
    write_finding(folder, PLAN, 7, outcome.finding, outcome.performed, small=False)
    return folder


def test_a_finding_is_made_small_in_the_background(tmp_path: Path) -> None:
    """Findings would stay hundreds of calls long, or stop the campaign while they are made small."""
    store = Store.create(tmp_path / "campaign", PLAN)
    folder = found(store)
    before = read_report(folder)
    minimiser = Minimiser(store.folder)
    assert minimiser.go_on()
    minimiser.finish()
    store.close()
    report = read_report(folder)
    assert report["minimised"]
    assert (report["key"], report["number"]) == (before["key"], 7)
    assert report["calls"] <= 8 < before["calls"]
    with PLAN.opened() as opened:
        finding, _ = replay(opened.factory, load(folder / "trace.jsonl"))
    assert finding is not None
    assert key_of(finding) == report["key"]
    text = (folder / "report.txt").read_text(encoding="utf-8")
    assert text.endswith(f"again        {report['again']}\n")


def test_regressions_are_run_again(tmp_path: Path) -> None:
    """A finding that was mended would stay open, and one that came back would not show."""
    store = Store.create(tmp_path / "campaign", PLAN)
    folder = found(store)
    key, said = read_report(folder)["key"], list[str]()
    run_again(store.folder, DeviceTarget, Contract, said.append)
    assert read_report(folder)["state"] == "gone"
    with PLAN.opened() as opened:
        run_again(store.folder, opened.factory, Contract, said.append)
    assert read_report(folder)["state"] == "open"
    store.close()
    assert said == [f"regression     {key}: gone", f"regression     {key}: still there"]


def test_what_is_no_finding_is_told(tmp_path: Path) -> None:
    """A stray folder would end the campaign with a stack trace."""
    (tmp_path / "report.json").write_text(json.dumps([]), encoding="utf-8")
    with pytest.raises(CampaignError) as error:
        read_report(tmp_path)
    assert str(error.value) == f"{tmp_path}: not a finding: its report.json has no key"
