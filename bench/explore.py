"""How fast the small scopes are explored on the specification's side.

A *way* is one call from one state with one combination of answers, so one transition of the exhaustive driver; it makes
several callbacks, and every callback is a step of the specification.
Rates are of processor time, so that a busy machine shows as nothing else than a longer wait.
"""

import time

from chardev_conformance.explore import Exploration
from chardev_conformance.scope import SCOPES, quiet

GOAL = 20_000
"""Transitions a second."""


def main() -> None:
    """Print the table."""
    print(f"{'scope':<22} {'states':>7} {'ways':>9} {'ways/s':>9} {'goal':>9}")
    ways, seconds = 0, 0.0
    for scope in SCOPES.values():
        for name, each in ((f"{scope.name}, quiet", quiet(scope)), (scope.name, scope)):
            exploration = Exploration(each)
            begin = time.process_time()
            exploration.explore()
            taken = time.process_time() - begin
            ways += exploration.transitions
            seconds += taken
            rate = exploration.transitions / taken
            print(
                f"{name:<22} {len(exploration.nodes):>7,} {exploration.transitions:>9,} {rate:>9,.0f} {GOAL:>9,}"
            )
    print(f"{'all':<22} {'':>7} {ways:>9,} {ways / seconds:>9,.0f} {GOAL:>9,}")


if __name__ == "__main__":
    main()
