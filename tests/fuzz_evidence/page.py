"""The page of the docs with what was measured."""

import math
import statistics
from collections import defaultdict
from typing import Any, Final, TypeAlias

INTRODUCTION: Final = """\
Time to find seeded defects
===========================

How much processor time, and how many calls, each way of looking takes until it finds a seeded defect: the median over
the defects of the median of its seeds, and how many were missed within the limit.
``check`` is plain chance, which knows what the contract allows in a state and some situations that were thought of;
``fuzz`` is a campaign with the scenarios that come with it.
Those are ordered by what they find of the quirks of releases and of machine-made mutants of the specification; the
defects here had no part in it.
A defect that no callback shows (memory that is never freed) is left out.

These figures come from a machine that did other work at the same time: calls are exact, of the times the ratios count.
A campaign was to be five times faster than the best of the others, and is not: chance here is not blind, it was tuned
on these defects for long, and finds half of them within a twentieth of a second.
Nor is there so much to gain: ``the defects known`` is an order of the scenarios that campaigns begin with, and of 400
short random ones, cut to the step that matters, in which always that comes next which finds most of the defects that
are left for its calls.
No campaign can know that order, and it is not five times faster than chance either (``tests/fuzz_evidence/known.py``).

The last column is about the tenth of all defects that takes chance longest: there guidance has to show.
Chosen by chance's own figures, these flatter a campaign, the more the fewer the runs.

Of the device in C most of the time is the start of a process.

``Hypothesis`` is its stateful engine on ``chardev_conformance.stateful`` as it comes, ``HypoFuzz`` (25.11.1) runs the
same machine guided by its coverage of code.
Both find a defect within 10 s or count as having missed it: three hundred times what a campaign takes in the median.
A defect that three of its runs have missed is not tried again, as two more could not change the median of five; some
others were run three times only.
Of HypoFuzz, what the process of the device in C takes does not count.
HypoFuzz is no dependency of anything here: its licence is free of charge for uses that are not commercial alone, and
does not let it be changed or passed on.
"""

Spent: TypeAlias = dict[str, dict[str, list[tuple[float, float]]]]
"""Of each way and defect, the seconds and the calls of each run; those of a miss are the limit, and endless."""

FEWEST: Final = 5
"""A median over fewer says nothing."""


def page(results: list[dict[str, Any]]) -> str:
    """The page."""
    spent: Spent = defaultdict(lambda: defaultdict(list))
    limits: dict[str, float] = {}
    for each in results:
        limit = limits[each["method"]] = each["limit"]
        seconds, calls = each["spent"] or (limit, math.inf)
        spent[each["method"]][each["defect"]].append((seconds, calls))
    lines = [INTRODUCTION]
    for title, suffix in (("The bundled device", ""), ("The device in C", " (C)")):
        methods = [name for name in spent if name.endswith("(C)") == bool(suffix)]
        if methods:
            lines += [title, "-" * len(title), "", *_table(methods, spent, limits, suffix), ""]
    return "\n".join(lines)


def _table(methods: list[str], spent: Spent, limits: dict[str, float], suffix: str) -> list[str]:
    rows: list[tuple[str, ...]] = [
        (
            "Way",
            "Defects",
            "Runs each",
            "Median, s",
            "Median, calls",
            "90 %, s",
            "Missed",
            "``fuzz`` faster",
            "in calls",
            "Hard, s",
        )
    ]
    ours = spent.get("fuzz" + suffix, {})
    chance = {name: runs[0] for name, runs in _medians(spent.get("check" + suffix, {})).items()}
    hard = sorted(chance, key=lambda name: -chance[name])[: len(chance) // 10]
    for method in methods:
        medians = _medians(spent[method])
        seconds = sorted(each[0] for each in medians.values())
        limit = limits[method]
        compared = method != "fuzz" + suffix
        rows.append(
            (
                f"``{method.removesuffix(suffix)}``",
                str(len(medians)),
                _from_to([*map(len, spent[method].values())]),
                f"{statistics.median(seconds):.3f}",
                _number(statistics.median(each[1] for each in medians.values())),
                f"{seconds[int(len(seconds) * 0.9)]:.2f}",
                f"{sum(each >= limit for each in seconds)} in {limit:g} s",
                _ratio(spent[method], ours, 0) if compared else "-",
                _ratio(spent[method], ours, 1) if compared else "-",
                f"{statistics.median(medians[name][0] for name in hard):.3f}"
                if len(hard) >= FEWEST and medians.keys() >= set(hard)
                else "-",
            )
        )
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        marks = ["* -", *["  -"] * (len(row) - 1)]
        lines += [f"   {mark} {cell}" for mark, cell in zip(marks, row, strict=True)]
    return lines


def _medians(defects: dict[str, list[tuple[float, float]]]) -> dict[str, tuple[float, float]]:
    """The median seconds and calls of each defect."""
    return {
        name: (
            statistics.median(each[0] for each in runs),
            statistics.median(each[1] for each in runs),
        )
        for name, runs in defects.items()
    }


def _ratio(
    theirs: dict[str, list[tuple[float, float]]],
    ours: dict[str, list[tuple[float, float]]],
    which: int,
) -> str:
    """How many times as much they take in the median, of the defects that both were run on."""
    one, two = _medians(theirs), _medians(ours)
    both = one.keys() & two.keys()
    if not both:
        return "-"
    ratio = statistics.median(one[name][which] for name in both) / statistics.median(
        two[name][which] for name in both
    )
    return "-" if math.isinf(ratio) else f"{ratio:.1f} times"


def _from_to(counts: list[int]) -> str:
    least, most = min(counts), max(counts)
    return str(most) if least == most else f"{least} to {most}"


def _number(calls: float) -> str:
    return "-" if math.isinf(calls) else f"{calls:,.0f}"
