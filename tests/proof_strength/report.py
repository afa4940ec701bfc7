"""The page of the docs: what the proofs refute, what random calls find, and what passes both."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from chardev_proofs.mutation import CODEC, LAYERS, Mutant, mutant_named
from chardev_spec.invariants import INVARIANTS
from chardev_spec.profiles import QUIRKS
from tests.proof_strength.judge import CALLS, MUTANT_SECONDS, QUIRK_SECONDS, Line
from tests.proof_strength.judgements import ACCEPTED
from tests.spec_mutants.judgements import judgement_of

NAMED_REFUTERS: Final = 3
"""Mutants that are named for one invariant, at most."""


@dataclass(frozen=True, slots=True)
class Score:
    """What was judged: quirks, machines made by hand, and mutants out of so many, chosen by a seed; at which commit."""

    quirks: Sequence[Line]
    made: Sequence[Line]
    mutants: Sequence[Line]
    of: int
    seed: int
    commit: str

    def different(self) -> list[Line]:
        """The mutants that are not judged equivalent, and those that were given away all the same."""
        return [each for each in self.mutants if found(each) or not _why(each)]


def refuted(line: Line) -> bool:
    """Whether the proofs refute it."""
    return bool(line.obligation)


def noticed(line: Line) -> bool:
    """Whether random calls give it away."""
    return bool(line.noticed)


def found(line: Line) -> bool:
    """Whether one of the two does."""
    return refuted(line) or noticed(line)


WAYS: Final[dict[str, Callable[[Line], bool]]] = {
    "proofs alone": refuted,
    "random calls alone": noticed,
    "random calls, judged by the invariants only": lambda line: (
        noticed(line) and line.noticed != "comparison"
    ),
    "together": found,
}


def summary(score: Score) -> Iterator[str]:
    """The scores, one a line."""
    broken = [each for each in score.quirks if refuted(each)]
    named = [each for each in broken if not set(each.rules).isdisjoint(_rules(each))]
    yield (
        f"quirks: {len(score.quirks)}; refuted: {len(broken)}, "
        f"of these by an obligation that cites a rule of the quirk: {len(named)}"
    )
    different = score.different()
    yield f"mutants: {len(score.mutants)}, judged equivalent: {len(score.mutants) - len(different)}"
    for text, way in WAYS.items():
        yield f"{text}: {_share(different, way)}"


def _share(lines: Sequence[Line], way: Callable[[Line], bool]) -> str:
    count = sum(map(way, lines))
    return f"{count} of {len(lines)}, {100 * count / max(len(lines), 1):.1f} %"


def unexplained(score: Score) -> list[str]:
    """What nothing gives away and nobody has judged: mutants, and quirks that the proofs accept."""
    return [each.name for each in score.different() if not found(each) and not each.later] + [
        each.name for each in score.quirks if not refuted(each) and each.name not in ACCEPTED
    ]


def unrefuted(score: Score) -> list[str]:
    """The invariants that refute nothing here."""
    refuters = _refuters(score)
    return [each.name for each in INVARIANTS if each.name not in refuters]


HEAD: Final = """\
What the proofs are worth
=========================

A proof that accepts everything proves nothing.
So the proofs are made of machines that are known to be wrong: the quirks of shipped releases
(``chardev_spec.profiles``), and *mutants*, made from the specification's text by changing it in one place
(``chardev_proofs.mutation``): an operator, a constant, a statement that is left out or comes one too late, a guard that
always or never holds.

Of a mutant, the functions that reach the changed text are proved again, until something fails.
Beside that, random calls are made of it, also inside callbacks; first the invariants judge it, and what passes is
compared with the contract, callback by callback.

This page is written by ``make proof-strength``, which takes an hour.
"""


def page(score: Score) -> str:
    """The whole page."""
    return "\n".join(_page(score)) + "\n"


def _page(score: Score) -> Iterator[str]:
    yield HEAD
    yield from _title("Score")
    yield f"At commit {score.commit}: {len(score.mutants)} of the {score.of} mutants of what the proofs run,"
    yield f"chosen by seed {score.seed}."
    yield f"The proofs of one have {MUTANT_SECONDS:.0f} s of processor time; what they have not refuted by then counts"
    yield f"as not refuted. Of the random calls there are {CALLS:,} at most, for each of the two ways of judging them."
    yield "A share is one of the mutants that are not judged equivalent."
    yield ""
    yield from [f"- {text}" for text in summary(score)]
    yield ""
    yield "What the proofs alone accept is nearly always a difference that no invariant speaks of: which of two legal"
    yield "things is done, when, and in which order. Those are what the comparison is for."
    yield ""
    yield from _table(("Module", "Mutants", *WAYS), _by(score, (*LAYERS, CODEC), _module))
    kinds = sorted({_mutant(each).kind for each in score.mutants})
    yield from _table(("Change", "Mutants", *WAYS), _by(score, kinds, lambda each: each.kind))
    yield from _title("Quirks")
    yield f"Each with {QUIRK_SECONDS:.0f} s of processor time at most, up to an obligation that cites a rule of it."
    yield ""
    yield from _table(
        ("Quirk", "Breaks", "Obligation that fails", "It cites", "s"),
        [_quirk(each) for each in score.quirks if refuted(each)],
    )
    yield "These the proofs accept:"
    yield ""
    yield from _table(
        ("Quirk", "Breaks", "Why no proof refutes it", "s"),
        [_accepted_quirk(each) for each in score.quirks if not refuted(each)],
    )
    yield from _title("Invariants")
    yield "An invariant that nothing can break says nothing."
    yield "Here is, for each, what its obligations refute, at the first cut where anything fails."
    yield "Some machines are made by hand for that (``tests/proofs/broken_invariants.py``)."
    yield "Beside these, the state that is assumed after a cut is asked to be possible, at every cut of every path."
    yield ""
    yield from _table(("Invariant", "Refuted machines", "For instance"), _invariants(score))
    yield from _title("What nothing gives away")
    yield "Each of these was looked at: why it is the same machine, as far as the contract goes, or what it took to"
    yield "give it away after all."
    yield ""
    yield from _table(
        ("Function", "Change", "Why it passes"),
        [_passed(each) for each in score.mutants if not found(each)],
    )


def _mutant(line: Line) -> Mutant:
    return mutant_named(line.name)


def _module(mutant: Mutant) -> str:
    return mutant.module


def _why(line: Line) -> str:
    judgement = judgement_of(_mutant(line))
    return "" if judgement is None else judgement.why


def _rules(line: Line) -> tuple[str, ...]:
    return next(each.rules for each in QUIRKS if each.__name__ == line.name)


def _by(
    score: Score, names: Iterable[str], part: Callable[[Mutant], str]
) -> Iterator[tuple[str, ...]]:
    for name in names:
        lines = [each for each in score.different() if part(_mutant(each)) == name]
        if lines:
            shares = [f"{100 * sum(map(way, lines)) / len(lines):.0f} %" for way in WAYS.values()]
            yield (f"``{name}``", str(len(lines)), *shares)


def _quirk(line: Line) -> tuple[str, ...]:
    return (
        f"``{line.name}``",
        ", ".join(_rules(line)),
        f"``{line.obligation}``",
        ", ".join(line.rules),
        f"{line.seconds:.1f}",
    )


def _accepted_quirk(line: Line) -> tuple[str, ...]:
    why = ACCEPTED.get(line.name, "Not explained.")
    if line.trouble:
        why += f" Not followed to the end: {_plain(line.trouble)}."
    return f"``{line.name}``", ", ".join(_rules(line)), why, f"{line.seconds:.1f}"


def _refuters(score: Score) -> dict[str, list[str]]:
    """For each invariant, the machines that it refutes; quirks first."""
    refuters: dict[str, list[str]] = {}
    for line in (*score.quirks, *score.mutants, *score.made):
        for name in line.invariants:
            refuters.setdefault(name, []).append(line.name)
    return refuters


def _invariants(score: Score) -> Iterator[tuple[str, str, str]]:
    refuters = _refuters(score)
    for invariant in INVARIANTS:
        machines = refuters.get(invariant.name, [])
        some = ", ".join([f"``{each}``" for each in machines[:NAMED_REFUTERS]])
        yield f"``{invariant.name}``", str(len(machines)), some or "none"


def _passed(line: Line) -> tuple[str, ...]:
    mutant = _mutant(line)
    return (
        f"``{mutant.module}.{mutant.function}``",
        f"``{mutant.before}`` becomes ``{mutant.after}``",
        _why(line) or (f"Given away by {line.later}." if line.later else "Not judged."),
    )


def _plain(text: str) -> str:
    return text.replace("`", "'").replace("*", "").replace("|", "")


def _title(text: str) -> tuple[str, ...]:
    return (text, "-" * len(text), "")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield from (".. list-table::", "   :header-rows: 1", "")
    for row in (head, *rows):
        for number, text in enumerate(row):
            yield f"     - {text}" if number else f"   * - {text}"
    yield ""
