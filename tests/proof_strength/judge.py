"""One machine that is known to be wrong: what the proofs say of it, and what random calls do."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from chardev_proofs.codec import CodecProof
from chardev_proofs.mutation import CODEC, mutant_named
from chardev_proofs.strength import Verdict, judge, refutes
from chardev_spec.contract import Contract
from chardev_spec.profiles import QUIRKS
from chardev_spec.profiles.quirk import overrides
from tests.proofs.broken_invariants import BREAKS, FUNCTION
from tests.spec_mutants.judgements import judgement_of
from tests.spec_mutants.search import Search

QUIRK_SECONDS: Final = 120.0
MUTANT_SECONDS: Final = 45.0
"""Of processor time, for the proofs of one machine; what they have not refuted by then counts as not refuted."""

CALLS: Final = 10_000
"""Random calls of one mutant, for each of the two ways of looking."""

PATIENCE: Final = (15, 50)
"""How many times as many are made of what nothing gave away."""

CODEC_USERS: Final = ("migrate_data_marshall", "restore")
"""The functions that a mutant of the record can affect."""


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one machine."""

    name: str
    obligation: str
    """The first that the proofs refute; empty when none is."""
    invariants: Sequence[str]
    """What is refuted at the same cut."""
    rules: Sequence[str]
    """The rules that the obligation cites."""
    trouble: str
    """Why a function could not be followed to its end, if so."""
    seconds: float
    """Of processor time, for the proofs."""
    noticed: str = ""
    """How random calls gave it away: "invariant", "comparison" and so on; empty when they did not."""
    by: str = ""
    """What they saw."""
    calls: int = 0
    """How many they were."""
    later: str = ""
    """How more calls gave away what nothing else did."""


def quirk_line(name: str) -> Line:
    """A quirk of a release; an obligation that cites one of its rules is preferred."""
    quirk = next(each for each in QUIRKS if each.__name__ == name)
    return _line(name, judge(quirk, overrides(quirk), rules=quirk.rules, seconds=QUIRK_SECONDS))


def made_line(name: str) -> Line:
    """A machine made by hand to break one invariant."""
    machine, invariant = next(each for each in BREAKS.items() if each[0].__name__ == name)
    began = time.process_time()
    broken = [invariant] if refutes(invariant, machine, FUNCTION) else []
    seconds = round(time.process_time() - began, 2)
    return Line(name, f"{invariant} @ {FUNCTION}" if broken else "", broken, (), "", seconds)


def mutant_line(identity: str) -> Line:
    """A machine-made mutant."""
    mutant = mutant_named(identity)
    found = _search().look_for(mutant)
    trace = found.alone if found.alone.how is not None else found.compared
    seen = (trace.how or "", trace.what, trace.calls)
    machine = mutant.load()
    if mutant.module == CODEC and (broken := _broken_codec(machine)):
        return Line(identity, f"{broken[0]} @ codec : bytes", broken, ("MIG-1",), "", 0.0, *seen)
    changed = CODEC_USERS if mutant.module == CODEC else (mutant.function,)
    line = _line(identity, judge(machine, changed, seconds=MUTANT_SECONDS), *seen)
    if line.obligation or line.noticed or judgement_of(mutant) is not None:
        return line
    found = _search().look_for(mutant, patience=PATIENCE)
    trace = found.alone if found.alone.how is not None else found.compared
    return replace(line, later=f"{trace.how} after {trace.calls:,} calls" if found.noticed else "")


@cache
def _search() -> Search:
    """One search for all mutants of a process: what the contract does is found out once."""
    return Search(calls=CALLS)


def _line(name: str, verdict: Verdict, noticed: str = "", by: str = "", calls: int = 0) -> Line:
    first = next(iter(verdict.obligations), None)
    return Line(
        name,
        "" if first is None else first.name,
        [each.invariant for each in verdict.obligations],
        () if first is None else first.rules,
        verdict.trouble,
        round(verdict.seconds, 2),
        noticed,
        by,
        calls,
    )


def _broken_codec(machine: type[Contract]) -> list[str]:
    """What of the record's proofs, as bits, does not hold."""
    codec = machine.read_message.__globals__["decode"].__globals__
    try:
        return [name for name, holds in CodecProof(codec).run().items() if not holds]
    except Exception as error:  # noqa: BLE001 - what the text raises is a verdict about it
        return [f"no exception: {type(error).__name__}"]
