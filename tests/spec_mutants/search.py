"""Looks for one mutant with random calls: by the invariants alone, and by comparison with the contract."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chardev_proofs.mutation import Mutant
from chardev_spec.contract import Contract
from tests.spec_mutants.scenarios import Noticed, Scenario, Script, unexpected


@dataclass(frozen=True, slots=True)
class Trace:
    """How one way of looking ended."""

    how: str | None
    """What gave the mutant away: "invariant", "exception", "endless", "comparison"; None when nothing did."""
    what: str
    """The invariant, the exception or the difference."""
    calls: int
    """How many calls that took."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one mutant."""

    mutant: Mutant
    alone: Trace
    """With nothing but the invariants."""
    compared: Trace
    """By comparison with the contract, which is made only of what the invariants let pass."""

    @property
    def noticed(self) -> bool:
        """Whether anything gave it away."""
        return self.alone.how is not None or self.compared.how is not None


class Search:
    """Looks for mutants; what the contract does is found out once.

    `calls` bounds each of the two ways of looking.
    """

    def __init__(self, *, seed: int = 0, calls: int = 10_000) -> None:
        self._seed = seed
        self._calls = calls
        self._contract: list[list[Any]] = []

    def look_for(self, mutant: Mutant, *, patience: Sequence[int] = (1,)) -> Result:
        """What becomes of this mutant; while it passes, it is looked at again, for so many times as long."""
        machine, nothing = mutant.load(), Trace(None, "", 0)
        for times in patience:
            alone = self.judge(machine, patience=times)
            if alone.how is not None:
                return Result(mutant, alone, nothing)
            compared = self.compare(machine, patience=times)
            if compared.how is not None:
                return Result(mutant, alone, compared)
        return Result(mutant, nothing, nothing)

    def judge(self, machine: type[Contract], *, patience: int = 1) -> Trace:
        """What the invariants say of this machine."""
        most = self._calls * patience
        return self._run(lambda seed: self._alone(machine, seed), most, compares=False)

    def compare(self, machine: type[Contract], *, patience: int = 1) -> Trace:
        """Where this machine differs from the contract."""
        most = self._calls * patience
        return self._run(lambda seed: self._compared(machine, seed), most, compares=True)

    def _run(
        self, perform: Callable[[int], tuple[int, Noticed | None]], most: int, *, compares: bool
    ) -> Trace:
        calls = number = 0
        while calls < most:
            made, noticed = perform(number)
            calls += made
            if noticed is not None and (compares or noticed.how != "derailed"):
                return Trace(noticed.how, noticed.what, calls)
            number += 1
        return Trace(None, "", calls)

    def _scenario_seed(self, number: int) -> int:
        return self._seed * 1_000_000 + number

    def _alone(self, machine: type[Contract], number: int) -> tuple[int, Noticed | None]:
        return _perform(self._scenario_seed(number), lambda _: None, machine, invariants=True)

    def _compared(self, machine: type[Contract], number: int) -> tuple[int, Noticed | None]:
        while len(self._contract) <= number:
            entries: list[Any] = []
            seed = self._scenario_seed(len(self._contract))
            _, noticed = _perform(seed, entries.append, Contract, invariants=False)
            assert noticed is None, f"the contract itself, seed {seed}: {noticed}"
            self._contract.append(entries)
        script = Script(self._contract[number])
        made, noticed = _perform(self._scenario_seed(number), script, machine, invariants=False)
        if noticed is None:
            try:
                script.end()
            except Noticed as short:
                noticed = short
        return made, noticed


def _perform(
    seed: int, write: Callable[[Any], None], machine: type[Contract], *, invariants: bool
) -> tuple[int, Noticed | None]:
    """Perform one scenario: how many calls it made, and what was noticed."""
    scenario: Scenario | None = None
    try:
        scenario = Scenario(seed, write, machine=machine, invariants=invariants)
        scenario.perform()
    except Noticed as noticed:
        return scenario.calls if scenario else 1, noticed
    except Exception as error:  # noqa: BLE001 - whatever breaks here is the mutant's doing
        return scenario.calls if scenario else 1, unexpected(error)
    return scenario.calls, None
