"""A run that ends where a proof failed: found, kept as a trace, and opened by `chardev check`."""

from pathlib import Path

import pytest

from chardev_conformance.command_line import main
from chardev_conformance.reachable import search, tell
from chardev_spec.contract import Contract


def halt_but_stay_active(self: Contract) -> None:
    """A defect: LC-8."""
    self.device.running = False
    self.device.retry_armed = False


def test_the_contract_gives_no_such_run() -> None:
    """Every failed proof would be called a defect of the specification."""
    assert search({"client_remove"}, calls=2_000) is None


def test_a_defect_is_found_and_its_trace_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever broke the specification would have a state to look at, and no way to come there."""
    monkeypatch.setattr(Contract, "halt", halt_but_stay_active)
    trace = tmp_path / "unproved.jsonl"
    said = tell({"stop"}, trace)
    assert said.startswith(
        f"a run that breaks it is in {trace}: only_running_devices_are_active to hold, but "
        "only_running_devices_are_active (LC-8) does not hold "
    )
    assert said.endswith(f"chardev check spec:contract --replay {trace}")
    assert main(["check", "spec:contract", "--replay", str(trace)]) == 1
    assert "LC-8" in capsys.readouterr().out
    monkeypatch.undo()
    assert main(["check", "spec:contract", "--replay", str(trace)]) == 0


def test_no_run_is_said_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence would be taken for a proof that the counterexample means nothing."""
    monkeypatch.setattr("chardev_conformance.reachable.search", lambda _: None)
    assert tell({"stop"}, tmp_path / "t.jsonl") == (
        "no run of 30,000 random calls (seed 0) breaks an invariant: "
        "the states above may be unreachable, and then an invariant is missing"
    )
    assert not (tmp_path / "t.jsonl").exists()
