"""Why a claim does not hold: the path that was gone, and what of the claim is false behind it.

`replay` performs it.
"""

from dataclasses import dataclass, field
from typing import Final

import z3

from chardev_proofs.cuts import Claim, Cuts

TERM_SHOWN: Final = 400
"""Characters of the formula that fails."""


@dataclass
class Failure:
    """Why an obligation is not proved.

    `steps` are the decisions of the path in words, `trace` as they were taken; `term` is the part of the claim that is
    false.
    `run` is the counterexample performed by the specification as it runs, in words (`replay`); empty if that was not
    tried.
    """

    reason: str
    steps: list[str]
    term: str = ""
    trace: list[bool] = field(default_factory=list)
    run: list[str] = field(default_factory=list)


def failure(cuts: Cuts, claim: Claim, result: z3.CheckSatResult) -> Failure:
    """The failure of a claim; `result` is what the solver has just said of its opposite."""
    path = cuts.path
    reason, term = f"unknown: {path.solver.reason_unknown()}", ""
    if result == z3.sat:
        reason, term = "refuted", _false_part(path.asked.model(), claim.holds)
    return Failure(reason, list(path.steps), term, list(path.taken))


def _false_part(model: z3.ModelRef, term: z3.BoolRef) -> str:
    while z3.is_and(term):
        term = next(
            (
                each
                for each in term.children()
                if z3.is_false(model.eval(each, model_completion=True))
            ),
            z3.BoolVal(val=False),
        )
    text = " ".join(str(term).split())
    return text if len(text) <= TERM_SHOWN else f"{text[:TERM_SHOWN]}…"
