"""The scenarios that a campaign begins with."""

import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from chardev_conformance.fuzzing.orders import bare
from chardev_conformance.trace import load_all

SEEDS: Final = Path(__file__).parent / "seeds.jsonl.xz"
"""Short scenarios that together reach much of the specification, those that find most of its mutants for their length
first.

``make fuzz-seeds`` distils them from the specification alone, run against itself and against machine-made mutants.
"""


BEGINNING: Final = '{"format"'
"""Of each trace."""


def own_seeds() -> list[str]:
    """The traces that come with the checker, each alone; they are known to be good, and parsed when they are used."""
    _, *traces = lzma.decompress(SEEDS.read_bytes()).decode().split(BEGINNING)
    return [BEGINNING + each for each in traces]


def read_seeds(files: Sequence[str]) -> list[str]:
    """The traces in files, each alone; raises `ScenarioError` when one cannot be read."""
    return [bare(trace.scenario) for file in files for trace in load_all(Path(file))]
