"""The table of seeded defects as a page of the docs."""

from collections.abc import Sequence
from typing import Final

from tests.mutants.search import CALLS, Result

SEED: Final = 1
"""The seed of the table in the docs; any other must find every defect as well."""

HEAD: Final = f"""Seeded defects
==============

What is a checker worth that never refuses anything?
Each line below is a mistake that an implementer could make, put into a copy of the bundled device by a patch of a few
lines; ``chardev check`` must notice it within {CALLS:,} calls.
*Verdict* is the rule that the check named first, *calls* how many calls of the API it had made by then, *steps* how many
are left when the scenario has been shrunk.

``make mutants`` makes this page (seed {SEED}); ``python -m tests.mutants --only TEXT`` looks for single ones.
"""


def page(results: Sequence[Result]) -> str:
    """The page, in reStructuredText."""
    survivors = [result.defect.name for result in results if result.finding is None]
    found = f"{len(results) - len(survivors)} of {len(results)} defects are found."
    lines = [HEAD, found]
    if survivors:
        lines.append(f"These survive: {', '.join(survivors)}.")
    lines += ["", ".. list-table::", "   :header-rows: 1", "   :widths: 8 42 30 8 6 6", ""]
    lines += _row("rule", "what goes wrong", "defect", "verdict", "calls", "steps")
    for result in results:
        defect, finding = result.defect, result.finding
        verdict = "survives" if finding is None else finding.rule
        lines += _row(
            defect.rule,
            defect.consequence,
            defect.name,
            verdict,
            f"{result.calls:,}",
            str(result.steps or ""),
        )
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> list[str]:
    first, *others = cells
    return [f"   * - {first}", *(f"     - {cell}".rstrip() for cell in others)]
