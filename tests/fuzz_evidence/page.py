"""The page of the docs with what was measured."""

import statistics
from collections import defaultdict
from typing import Any, Final

INTRODUCTION: Final = """\
Time to find seeded defects
===========================

How much processor time each way of looking takes until it finds a seeded defect: the median over the defects of the
median of its seeds, and how many were missed within the limit.
``check`` is plain chance, which knows what the contract allows in a state and some situations that were thought of;
``fuzz`` is a campaign, with and without the scenarios that come with it; *Hypothesis* is its stateful engine on
``chardev_conformance.stateful`` as it comes, *HypoFuzz* the same machine guided by its coverage of code.
A defect that no callback shows (memory that is never freed) is left out.
Not every way was run on every defect: each is compared on the defects that both were run on.

These figures come from a machine that others used at the same time: they are processor time, and the ratios count.
On these defects a campaign is not five times faster than plain chance, which was the aim: chance here is not blind,
it was tuned on them for long.
Hypothesis as it comes is slower by far on the few that it was run on.
HypoFuzz is measured where it is installed (``--method HypoFuzz``); its time to collect and to load is left out.
It is no dependency of anything here: its licence is free of charge for uses that are not commercial alone, and does not
let it be changed or passed on.

The last column is about the tenth of all defects that takes chance longest: there guidance has to show.
Chosen by chance's own figures, these flatter the other ways a little.
A campaign is twice as fast there with the scenarios that come with it, and no faster without them.
"""

FEWEST: Final = 5
"""A median over fewer says nothing."""


def page(results: list[dict[str, Any]]) -> str:
    """The page."""
    times: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    limits: dict[str, float] = {}
    for each in results:
        limit = each["limit"]
        spent = each["spent"]
        times[each["method"]][each["defect"]].append(limit if spent is None else spent)
        limits[each["method"]] = limit
    lines = [INTRODUCTION]
    for title, suffix in (("The bundled device", ""), ("The device in C", " (C)")):
        methods = [name for name in times if name.endswith("(C)") == bool(suffix)]
        if methods:
            lines += [title, "-" * len(title), "", *_table(methods, times, limits, suffix), ""]
    return "\n".join(lines)


def _table(
    methods: list[str],
    times: dict[str, dict[str, list[float]]],
    limits: dict[str, float],
    suffix: str,
) -> list[str]:
    rows: list[tuple[str, ...]] = [
        (
            "Way",
            "Defects",
            "Runs each",
            "Median, s",
            "90 %, s",
            "Missed",
            "``fuzz`` faster",
            "Hard, s",
        )
    ]
    ours = _medians(times.get("fuzz" + suffix, {}))
    chance = _medians(times.get("check" + suffix, {}))
    hard = sorted(chance, key=lambda name: -chance[name])[: len(chance) // 10]
    for method in methods:
        medians = _medians(times[method])
        values = sorted(medians.values())
        limit = limits[method]
        missed = sum(value >= limit for value in values)
        both = [name for name in medians if name in ours]
        factor = "-"
        if both and method != "fuzz" + suffix:
            one = statistics.median(medians[name] for name in both)
            factor = f"{one / statistics.median(ours[name] for name in both):.1f} times"
        rows.append(
            (
                f"``{method.removesuffix(suffix)}``",
                str(len(values)),
                str(max(map(len, times[method].values()))),
                f"{statistics.median(values):.3f}",
                f"{values[int(len(values) * 0.9)]:.2f}",
                f"{missed} in {limit:g} s",
                factor,
                f"{statistics.median(medians[name] for name in hard):.3f}"
                if len(hard) >= FEWEST and medians.keys() >= set(hard)
                else "-",
            )
        )
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        lines += [
            f"   {mark} {cell}" for mark, cell in zip(["* -", *["  -"] * 9], row, strict=False)
        ]
    return lines


def _medians(defects: dict[str, list[float]]) -> dict[str, float]:
    """The median time of each defect."""
    return {name: statistics.median(spent) for name, spent in defects.items()}
