"""No invariant is empty: of each there is a machine that it refutes; `make proof-strength` writes the whole table."""

import pytest

from chardev_proofs.strength import refutes
from chardev_spec.contract import Contract
from tests.proofs.broken_invariants import BREAKS, FUNCTION


@pytest.mark.parametrize(("machine", "invariant"), BREAKS.items())
def test_an_invariant_that_can_be_broken_is(machine: type[Contract], invariant: str) -> None:
    """An invariant could hold whatever the machine does."""
    assert refutes(invariant, machine, FUNCTION)


def test_the_contract_breaks_none_of_them() -> None:
    """Whatever is asked for would be called refuted."""
    assert not any(refutes(invariant, Contract, FUNCTION) for invariant in BREAKS.values())
