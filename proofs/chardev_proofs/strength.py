"""What the proofs are worth: whether they refute a machine that is known to be wrong.

Only what a changed method can affect is proved again: the functions and procedures that reach it.
The search ends at the first cut at which something fails, because one failure is enough.
"""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from chardev_proofs.functions import FunctionProof, Obligation
from chardev_proofs.machine import PROCEDURES, PUBLIC, namespaces
from chardev_proofs.prover import reachable
from chardev_proofs.values import EngineSignal, lifted_builtins
from chardev_spec.contract import Contract


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a machine: refuted, by `obligations`; not followed, because of `trouble`; or proved.

    The obligations are those that fail at one cut; what `unknown` leaves open is trouble and refutes nothing.
    """

    obligations: tuple[Obligation, ...]
    trouble: str
    seconds: float

    @property
    def refuted(self) -> bool:
        """Whether an obligation does not hold."""
        return bool(self.obligations)


def affected(methods: Iterable[str]) -> list[str]:
    """The functions and procedures whose text reaches one of these methods, those with least text first."""
    changed = set(methods)
    texts = {name: reachable([name]) for name in (*PUBLIC, *PROCEDURES)}
    found = [name for name, text in texts.items() if changed & text.keys()]
    return sorted(found, key=lambda name: len(texts[name]))


def judge(
    machine: type[Contract],
    methods: Iterable[str],
    *,
    rules: Collection[str] = (),
    seconds: float = 60,
) -> Verdict:
    """Prove what the methods, which differ from the contract's, can affect, up to the first failure.

    `seconds` of processor time at most.
    With `rules`, up to the first that cites one of them; the first of all when none does.
    """
    began = time.process_time()
    trouble = ""
    first: tuple[Obligation, ...] = ()

    def wanted(obligation: Obligation) -> bool:
        return obligation.refuted and (not rules or not set(rules).isdisjoint(obligation.rules))

    for name in affected(methods):
        left = seconds - (time.process_time() - began)
        with lifted_builtins(namespaces(machine, Contract)):
            proof = FunctionProof(name, machine, stop=wanted, seconds=left)
            try:
                proof.run()
            except (EngineSignal, Exception) as error:
                trouble = trouble or f"{name}: {error}"
        failed = [each for each in proof.obligations.values() if each.failure is not None]
        refuted = tuple(each for each in failed if each.refuted)
        if len(refuted) < len(failed):
            trouble = trouble or f"{name}: the solver gave up"
        found = tuple(filter(wanted, refuted))
        if found:
            return Verdict(found, trouble, time.process_time() - began)
        first = first or refuted
    return Verdict(first, trouble, time.process_time() - began)


def refutes(invariant: str, machine: type[Contract], function: str) -> bool:
    """Whether an obligation of this invariant, in the proof of this function, does not hold."""

    def wanted(obligation: Obligation) -> bool:
        return obligation.refuted and obligation.invariant == invariant

    with lifted_builtins(namespaces(machine, Contract)):
        report = FunctionProof(function, machine, stop=wanted).run()
    return any(map(wanted, report.obligations))
