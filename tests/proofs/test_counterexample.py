"""Counterexamples: small, whole, in words, and performed by the specification as it runs."""

import pytest

from chardev_proofs.command import explanation
from chardev_proofs.functions import FunctionProof, Obligation
from chardev_proofs.machine import namespaces
from chardev_proofs.replay import CONFIRMED, Performance, perform, prove_and_perform
from chardev_proofs.values import lifted_builtins
from chardev_spec.contract import Contract
from tests.proofs.wrong_machines import (
    WRONG,
    CallsFromTheGrave,
    KeepsTheGuard,
    LosesATotal,
    WrongInABranch,
)


def performed(machine: type[Contract]) -> Obligation:
    """The first obligation that a wrong machine fails, with its run."""
    with lifted_builtins(namespaces(machine, Contract)):
        proof = FunctionProof(WRONG[machine], machine, stop=lambda each: each.refuted)
        report = proof.run()
        obligation = next(each for each in report.obligations if each.failure is not None)
        assert obligation.failure is not None
        obligation.failure.run = perform(proof, obligation)
    return obligation


def run_of(obligation: Obligation) -> list[str]:
    """What was performed."""
    return [] if obligation.failure is None else obligation.failure.run


def test_a_counterexample_is_as_small_as_it_gets() -> None:
    """Nobody could see what matters among numbers that the solver chose at random."""
    failed = performed(WrongInABranch)
    assert failed.name == "only_running_devices_are_active @ stop : return"
    assert run_of(failed) == [
        "stop(), in a state with device.write_limited True, device.frames 1",
        "  device.active: False -> True",
        "then: return",
        CONFIRMED,
    ]
    assert list(explanation(failed))[-1] == "      not so: An active device runs."


def test_a_counterexample_shows_the_rows_that_changed() -> None:
    """A state without its buffers would not say which one was lost."""
    failed = performed(LosesATotal)
    assert failed.invariant == "tokens_are_conserved"
    begin, change, end, verdict = run_of(failed)
    assert "buffers[1] (origin CLIENT, client" in begin
    assert (change, end, verdict) == (
        "  buffers[1]: gone", "then: free_self_tokens loop", CONFIRMED,
    )  # fmt: skip


@pytest.mark.parametrize("machine", [KeepsTheGuard, CallsFromTheGrave])
def test_the_specification_as_it_runs_does_the_same(machine: type[Contract]) -> None:
    """A counterexample could be a mistake of the symbolic tables."""
    assert run_of(performed(machine))[-1] == CONFIRMED


def test_a_whole_proof_performs_what_fails_at_a_loop_too() -> None:
    """`chardev prove`, which does not stop at the first failure, would show no run for a loop."""
    report = prove_and_perform("write_buffer_release", LosesATotal)
    failed = [each for each in report.obligations if each.failure is not None]
    assert failed[0].segment == "free_self_tokens loop"
    assert {run_of(each)[-1] for each in failed} == {CONFIRMED}


def test_a_run_that_keeps_the_claim_confirms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A counterexample would be called confirmed whatever the specification does."""
    monkeypatch.setattr(Performance, "_machine", lambda _: Contract)
    assert run_of(performed(WrongInABranch))[-1] == "NOT CONFIRMED: the claim holds there"
