"""What became of the mutants, as text and as the page of the docs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from chardev_proofs.mutation import MUTATED, Mutant
from tests.spec_mutants.judgements import JUDGEMENTS, Judgement, judgement_of
from tests.spec_mutants.search import Result

HEAD: Final = """\
Mutants of the specification
============================

What is the specification worth as a judge?
``chardev_proofs.mutation`` changes its text in one place at a time: an operator, a constant, a statement that is left
out or comes one too late, a guard that always or never holds.
Each such *mutant* is a machine that runs, and what is checked about the specification should give it away.

*Random calls* are made of every mutant, also inside callbacks, up to a number of calls.
First nothing but the invariants judges it; an exception that is no contract error, or a call without an end, counts
as well.
What passes is compared with the contract: callbacks, choices left open, results, errors, timers.

What the *proofs* make of mutants has a page of its own, :doc:`proof-strength`.

This page is written by ``make spec-mutants``.
"""


def unjudged(results: Iterable[Result]) -> list[Mutant]:
    """The mutants that nothing gave away and nobody has judged."""
    return [
        each.mutant for each in results if not each.noticed and judgement_of(each.mutant) is None
    ]


def line(result: Result) -> str:
    """One mutant on one line."""
    trace = result.alone if result.alone.how is not None else result.compared
    if trace.how is None:
        judgement = judgement_of(result.mutant)
        said = f"passes: {judgement.why}" if judgement else "PASSES, and is not judged"
    else:
        said = f"{trace.how} after {trace.calls} calls: {trace.what}"
    return f"{result.mutant.id}\n    {result.mutant.diff}\n    {said}"


def scores(results: Sequence[Result], calls: int) -> Iterator[tuple[str, str]]:
    """What each way of looking is worth: its name, and how many mutants it gave away.

    First within `calls` calls, then in as many as were made.
    """
    judged = [each for each in results if not each.noticed and judgement_of(each.mutant)]
    different = len(results) - len(judged)
    alone = [each.alone for each in results if each.alone.how is not None]
    noticed = alone + [each.compared for each in results if each.compared.how is not None]
    yield "mutants", str(len(results))
    yield "judged equivalent", str(len(judged))
    for name, traces in (("invariants alone", alone), ("invariants and comparison", noticed)):
        soon = sum(each.calls <= calls for each in traces)
        yield f"{name}, within {calls:,} calls", _share(soon, different)
        yield name, _share(len(traces), different)


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole}, {100 * part / max(whole, 1):.1f} %"


def page(results: Sequence[Result], *, seed: int, calls: int, most: int) -> str:
    """The page of the docs; `calls` and `most` bound what was made of each mutant at first, and at last."""
    return "\n".join(_page(results, seed, calls, most)) + "\n"


def _page(results: Sequence[Result], seed: int, calls: int, most: int) -> Iterator[str]:
    yield HEAD
    yield from _title("Score")
    yield f"Seed {seed}; each way of looking at a mutant makes {calls:,} calls."
    yield f"What passes and is not judged equivalent is looked at again, in {most:,} calls at most."
    yield "A share is one of the mutants that are not judged equivalent."
    yield "The random calls were improved until this seed gave all of them away, so a full score says that nothing is"
    yield "left open, not that as many calls would notice any mistake."
    yield ""
    yield from _table(("What looks", "Gives away"), scores(results, calls))
    yield from _title("By module")
    yield from _table(
        ("Module", "Mutants", "By invariants", "By comparison only", "Passed"), _modules(results)
    )
    yield from _title("What gives them away")
    yield "The first thing that does, and for how many mutants."
    yield ""
    yield from _table(("Invariant, or what else", "Mutants"), _reasons(results))
    yield from _title("What only the comparison sees")
    yield "Functions whose mutants keep every invariant and yet do something else."
    yield ""
    yield from _table(("Function", "Mutants"), _compared(results))
    yield from _title("What passes")
    yield "No call shows a difference, and each is judged: why it is the same machine, as far as the contract goes."
    yield ""
    yield from _table(("Function", "Change", "Why it passes"), _passed(results))


def _title(text: str) -> tuple[str, ...]:
    return (text, "-" * len(text), "")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield from (".. list-table::", "   :header-rows: 1", "")
    for row in (head, *rows):
        for number, text in enumerate(row):
            yield f"     - {text}" if number else f"   * - {text}"
    yield ""


def _modules(results: Sequence[Result]) -> Iterator[tuple[str, ...]]:
    for module in MUTATED:
        rows = [each for each in results if each.mutant.module == module]
        alone = sum(each.alone.how is not None for each in rows)
        compared = sum(each.compared.how is not None for each in rows)
        counts = (len(rows), alone, compared, len(rows) - alone - compared)
        yield (f"``{module}``", *map(str, counts))


def _reasons(results: Sequence[Result]) -> Iterator[tuple[str, str]]:
    words = {
        "exception": "an exception",
        "endless": "a call without an end",
        "comparison": "the comparison with the contract",
        "derailed": "the comparison with the contract",
    }
    counts = Counter(
        f"``{each.alone.what}``" if each.alone.how == "invariant" else words[how]
        for each in results
        if (how := each.alone.how or each.compared.how) is not None
    )
    for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        yield name, str(count)


def _compared(results: Sequence[Result]) -> Iterator[tuple[str, str]]:
    counts = Counter(
        f"``{each.mutant.module}.{each.mutant.function}``"
        for each in results
        if each.compared.how is not None
    )
    for name, count in counts.items():
        yield name, str(count)


def _passed(results: Sequence[Result]) -> Iterator[tuple[str, str, str]]:
    for each in results:
        if not each.noticed:
            mutant, judgement = each.mutant, judgement_of(each.mutant)
            change = f"``{mutant.before}`` becomes ``{mutant.after}``"
            why = "not judged" if judgement is None else judgement.why
            yield f"``{mutant.module}.{mutant.function}``", change, why


def stale(every: Sequence[Mutant]) -> list[Judgement]:
    """Judgements of mutants that there are no more."""
    return [
        judgement for judgement in JUDGEMENTS if not any(judgement.is_of(each) for each in every)
    ]
