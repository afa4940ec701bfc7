"""One machine that is known to be wrong: what the proofs say of it, and what random calls do."""

from dataclasses import dataclass

from chardev_proofs.codec import CodecProof
from chardev_proofs.mutation import CODEC, mutant_named
from chardev_proofs.strength import judge
from chardev_spec.profiles import QUIRKS
from chardev_spec.profiles.quirk import overrides
from tests.spec_mutants.judgements import judgement_of
from tests.spec_mutants.search import Search

SECONDS = 60.0
"""Of processor time, for the proofs of one machine."""

CALLS = 10_000
"""Random calls of one mutant, for each way of looking."""


@dataclass(frozen=True, slots=True)
class Line:
    """One machine: what refutes it, and where; `trouble` says why a function could not be followed."""

    name: str
    invariant: str
    obligation: str
    rules: tuple[str, ...]
    trouble: str
    seconds: float
    calls: str = ""
    """How random calls gave it away; empty when they did not."""
    equivalent: str = ""
    """Why it is the contract all the same."""

    @property
    def refuted(self) -> bool:
        """Whether the proofs refute it."""
        return bool(self.invariant)


def quirk_line(name: str) -> Line:
    """A quirk of a release; an obligation that cites one of its rules is preferred."""
    [quirk] = [each for each in QUIRKS if each.__name__ == name]
    verdict = judge(quirk, overrides(quirk), rules=quirk.rules, seconds=SECONDS)
    found = verdict.obligation
    if found is None:
        return Line(name, "", "", (), verdict.trouble, verdict.seconds)
    return Line(name, found.invariant, found.name, found.rules, verdict.trouble, verdict.seconds)


def mutant_line(identity: str) -> Line:
    """A machine-made mutant."""
    mutant = mutant_named(identity)
    machine = mutant.load()
    looked = Search(seed=0, calls=CALLS).look_for(mutant)
    trace = looked.alone if looked.alone.how is not None else looked.compared
    calls = "" if trace.how is None else trace.how
    judgement = judgement_of(mutant)
    equivalent = "" if judgement is None or calls else judgement.why
    if mutant.module == CODEC:
        codec = vars(machine)["read_message"].__globals__ if "read_message" in vars(machine) else {}
        codec = codec or machine.read_message.__globals__
        try:
            failed = [
                name
                for name, holds in CodecProof(codec["decode"].__globals__).run().items()
                if not holds
            ]
        except Exception as error:  # noqa: BLE001 - what the text raises is a verdict about it
            failed = [f"no exception: {type(error).__name__}"]
        if failed:
            return Line(
                identity,
                failed[0],
                f"{failed[0]} @ codec : bytes",
                ("MIG-1",),
                "",
                0.0,
                calls,
                equivalent,
            )
    verdict = judge(machine, [mutant.function], seconds=SECONDS)
    found = verdict.obligation
    return Line(
        identity,
        found.invariant if found else "",
        found.name if found else "",
        found.rules if found else (),
        verdict.trouble,
        verdict.seconds,
        calls,
        equivalent,
    )
