"""Why a mutant that nothing gives away is the contract all the same, one judgement for each change."""

from dataclasses import dataclass
from typing import Final

from chardev_proofs.mutation import Mutant


@dataclass(frozen=True, slots=True)
class Judgement:
    """Why some changes of one function make no difference.

    `function` is ``module:function``; each of `changes` is what the changed statement becomes, or a part of it.
    """

    function: str
    why: str
    changes: tuple[str, ...]

    def is_of(self, mutant: Mutant) -> bool:
        """Whether it judges this mutant."""
        return self.function == f"{mutant.module}:{mutant.function}" and any(
            change in mutant.diff for change in self.changes
        )


JUDGEMENTS: Final[tuple[Judgement, ...]] = ()
"""All judgements, in the order of the text."""


def judgement_of(mutant: Mutant) -> Judgement | None:
    """Why this mutant makes no difference, as far as anybody has judged it."""
    return next((each for each in JUDGEMENTS if each.is_of(mutant)), None)
