"""Looks for a run of the specification that ends where a proof failed.

A counterexample of a proof begins in a state that need not be reachable.
A random run whose calls are mostly those of the function in question, also inside callbacks, is reachable by
construction; its trace says how to come there.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Final

from chardev_conformance.adapters.specification import SpecificationTarget
from chardev_conformance.campaign import run_campaign
from chardev_conformance.drivers import RandomDriver
from chardev_conformance.results import Found
from chardev_conformance.scripts import WEIGHTS
from chardev_conformance.trace import dumps

CALLS: Final = 30_000
"""Calls that are made at most: some seconds."""

OFTEN: Final = 6.0
"""How many times as often the function in question is called."""


def search(functions: Collection[str], *, seed: int = 0, calls: int = CALLS) -> Found | None:
    """A run, made as small as it gets, in which an invariant does not hold; None when no run did."""
    weights = {
        name: weight * (OFTEN if name in functions else 1.0) for name, weight in WEIGHTS.items()
    }
    report = run_campaign(
        SpecificationTarget,
        calls=calls,
        driver=RandomDriver(seed, weights),
    )
    return report.found[0] if report.found else None


def tell(functions: Collection[str], save: Path) -> str:
    """Look for a run, keep its trace, and say how it went."""
    found = search(functions)
    if found is None:
        return (
            f"no run of {CALLS:,} random calls (seed 0) breaks an invariant: "
            "the states above may be unreachable, and then an invariant is missing"
        )
    save.write_text(dumps(found.scenario, seed=0), encoding="utf-8")
    return (
        f"a run that breaks it is in {save}: {found.finding.allowed}, but {found.finding.seen}; "
        f"see it with: chardev check spec:contract --replay {save}"
    )
