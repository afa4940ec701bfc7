"""What the proofs are worth: whether they refute a machine that is known to be wrong.

Only what a changed method can affect is proved again: the functions and procedures that reach it.
"""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from chardev_proofs.explore import OutOfTimeError
from chardev_proofs.functions import Obligation, prove_function
from chardev_proofs.machine import PROCEDURES, PUBLIC
from chardev_proofs.prover import reachable
from chardev_proofs.values import EngineSignal
from chardev_spec.contract import Contract


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a machine: refuted, by `obligation`; not followed, because of `trouble`; or proved."""

    obligation: Obligation | None
    trouble: str
    seconds: float

    @property
    def refuted(self) -> bool:
        """Whether an obligation does not hold."""
        return self.obligation is not None


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
    first: Obligation | None = None
    for name in affected(methods):
        left = seconds - (time.process_time() - began)
        try:
            report = prove_function(name, machine, stop=not rules, seconds=left)
        except OutOfTimeError as error:
            trouble = trouble or f"{name}: {error}"
            break
        except (EngineSignal, Exception) as error:
            trouble = trouble or f"{name}: {error}"
            continue
        failed = [each for each in report.obligations if not each.proved]
        wanted = [each for each in failed if not rules or set(rules) & set(each.rules)]
        first = (wanted or [each for each in (first, *failed) if each])[0] if failed else first
        if wanted:
            break
    return Verdict(first, trouble, time.process_time() - began)
