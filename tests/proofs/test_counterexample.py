"""Counterexamples: small, whole, and in words."""

from chardev_proofs.command import explanation
from chardev_proofs.functions import prove_function
from tests.proofs.wrong_machines import LosesATotal, WrongInABranch


def test_a_counterexample_is_as_small_as_it_gets() -> None:
    """Nobody could see what matters among numbers that the solver chose at random."""
    report = prove_function("stop", WrongInABranch, stop=True)
    [failed] = [each for each in report.obligations if not each.proved]
    assert failed.name == "only_running_devices_are_active @ stop : return"
    assert failed.failure is not None
    assert failed.failure.before == {
        "device.active": "False", "device.write_limited": "True", "device.frames": "1",
    }  # fmt: skip
    assert failed.failure.after == {"device.active": "True"}
    assert list(explanation(failed))[-1] == "      not so: An active device runs."


def test_a_counterexample_shows_the_rows_that_changed() -> None:
    """A state without its buffers would not say which one was lost."""
    report = prove_function("write_buffer_release", LosesATotal, stop=True)
    [failed] = [each for each in report.obligations if not each.proved]
    assert failed.invariant == "tokens_are_conserved"
    assert failed.failure is not None
    changed = {name.partition(".")[2] for name in failed.failure.after}
    assert {"there", "place", "references"} <= changed
    places = [value for name, value in failed.failure.before.items() if name.endswith(".place")]
    assert "HELD" in places
