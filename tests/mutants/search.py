"""Runs the check on the device with each seeded defect, and says how soon it noticed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import Pool
from typing import Final

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.campaign import run_campaign
from chardev_conformance.lockstep import Finding
from tests.mutants.defects import DEFECTS, Defect
from tests.mutants.loader import load

CALLS: Final = 20_000
"""A defect that is not found within so many calls survives."""

SECONDS_PER_STEP: Final = 0.5
"""Processor time after which a call is taken for endless."""


@dataclass(frozen=True, slots=True)
class Result:
    """What the check made of one defect: its verdict, after how many calls, in how few steps it can be shown."""

    defect: Defect
    calls: int
    finding: Finding | None
    steps: int


def search(defect: Defect, *, seed: int, calls: int = CALLS, shrinks: bool = True) -> Result:
    """Check the device with this defect.

    Raises `loader.StaleDefectError` when the text that the defect changes is not there.
    """
    target = partial(DeviceTarget, package=load(defect))
    report = run_campaign(
        target, seed=seed, calls=calls, seconds_per_step=SECONDS_PER_STEP, shrinks=shrinks
    )
    steps = 0 if report.scenario is None else len(report.scenario.steps)
    return Result(defect, report.statistics.calls, report.finding, steps)


def _search_numbered(number: int, seed: int, calls: int) -> Result:
    return search(DEFECTS[number], seed=seed, calls=calls)


def search_all(
    numbers: Sequence[int], *, seed: int, calls: int = CALLS, processes: int = 2
) -> list[Result]:
    """Check the device with each of these defects of the table, on so many processes; in the table's order."""
    with Pool(processes) as pool:
        return pool.starmap(
            _search_numbered, [(number, seed, calls) for number in numbers], chunksize=1
        )
