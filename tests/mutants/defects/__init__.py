"""The table of seeded defects, a module for each section of the rules.

Each is a mistake that an implementer could make, a patch of a few lines, and what would go wrong in the real world.
A patch is one hunk: lines that begin with ``-`` are taken out, lines that begin with ``+`` are put in, the others must
be there.
"""

from typing import Final

from tests.mutants.defects.buffers import BUFFERS
from tests.mutants.defects.callbacks import CALLBACKS
from tests.mutants.defects.defect import Defect
from tests.mutants.defects.life_cycle import LIFE_CYCLE
from tests.mutants.defects.migration import MIGRATION
from tests.mutants.defects.reading import READING
from tests.mutants.defects.self_tokens import SELF_TOKENS
from tests.mutants.defects.tokens import TOKENS
from tests.mutants.defects.writing import WRITING

__all__ = ["DEFECTS", "Defect"]

DEFECTS: Final = (
    *CALLBACKS,
    *TOKENS,
    *SELF_TOKENS,
    *BUFFERS,
    *WRITING,
    *READING,
    *LIFE_CYCLE,
    *MIGRATION,
)
"""All defects, in the order of the rules."""
