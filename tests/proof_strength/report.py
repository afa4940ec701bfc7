"""The page of the docs: what the proofs refute, what random calls find, and what passes both."""

from collections.abc import Iterable, Iterator, Sequence

from chardev_proofs.mutation import mutant_named
from chardev_spec.profiles import QUIRKS
from tests.proof_strength.judge import CALLS, Line


def summary(quirks: Sequence[Line], mutated: Sequence[Line]) -> Iterator[str]:
    """The scores, one a line."""
    broken = [each for each in quirks if _expected(each)]
    named = [each for each in broken if set(each.rules) & set(_rules(each))]
    yield f"quirks that break an invariant: {len(broken)}; refuted: {sum(each.refuted for each in broken)}"
    yield f"refuted by an obligation that cites a rule of the quirk: {len(named)}"
    different = [each for each in mutated if not each.equivalent or each.refuted]
    yield f"mutants: {len(mutated)}, judged equivalent: {len(mutated) - len(different)}"
    for text, found in (
        ("proofs alone", [each for each in different if each.refuted]),
        ("random calls alone", [each for each in different if each.calls]),
        ("together", [each for each in different if each.refuted or each.calls]),
    ):
        share = 100 * len(found) / max(len(different), 1)
        yield f"{text}: {len(found)} of {len(different)}, {share:.1f} %"


def _rules(line: Line) -> tuple[str, ...]:
    return next(each.rules for each in QUIRKS if each.__name__ == line.name)


def _expected(line: Line) -> bool:
    return any(each.__name__ == line.name and each.refuted_by is not None for each in QUIRKS)


HEAD = """\
What the proofs are worth
=========================

A proof that accepts everything proves nothing.
So the proofs are made of machines that are known to be wrong: the quirks of shipped releases
(``chardev_spec.profiles``), and *mutants*, made from the specification's text by changing it in one place
(``chardev_proofs.mutation``).

This page is written by ``make proof-strength ARGS='--output FILE'``.
"""


def page(quirks: Sequence[Line], mutated: Sequence[Line], *, of: int) -> str:
    """The whole page; `of` is how many mutants there are to choose from."""
    return "\n".join(_page(quirks, mutated, of)) + "\n"


def _page(quirks: Sequence[Line], mutated: Sequence[Line], of: int) -> Iterator[str]:
    yield HEAD
    yield from _title("Score")
    yield f"The mutants are every {max(of // len(mutated), 1)}th of {of}, spread over the text."
    yield f"Of each, random calls are {CALLS:,} at most, judged by the invariants, and as many compared with the"
    yield "contract."
    yield ""
    yield from [f"- {text}" for text in summary(quirks, mutated)]
    yield ""
    yield from _title("Quirks")
    yield "A quirk that breaks an invariant is refuted, by an obligation that cites a rule of the quirk if any does."
    yield "A quirk that breaks none is accepted: it does something else than the contract, and keeps its invariants."
    yield ""
    yield from _table(
        ("Quirk", "Breaks", "Obligation that fails", "It cites", "s"), map(_quirk, quirks)
    )
    yield from _title("Mutants that the proofs accept")
    yield "What the invariants do not speak of, random calls find by comparison with the contract; what nothing finds"
    yield "is judged."
    yield ""
    yield from _table(
        ("Function", "Change", "Found by random calls, or why not"),
        [_accepted(each) for each in mutated if not each.refuted],
    )


def _quirk(line: Line) -> tuple[str, ...]:
    if line.refuted:
        obligation = f"``{line.obligation}``"
    elif line.trouble:
        obligation = f"not followed: {_plain(line.trouble)}"
    else:
        obligation = "none: every invariant holds"
    return (
        f"``{line.name}``",
        ", ".join(_rules(line)),
        obligation,
        ", ".join(line.rules),
        f"{line.seconds:.1f}",
    )


def _accepted(line: Line) -> tuple[str, ...]:
    mutant = mutant_named(line.name)
    said = f"found by {line.calls}" if line.calls else line.equivalent or "not found, not judged"
    if line.trouble:
        said += f"; the proofs could not follow it: {_plain(line.trouble)}"
    return (
        f"``{mutant.module}.{mutant.function}``",
        f"``{mutant.before}`` becomes ``{mutant.after}``",
        said,
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
