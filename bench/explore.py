"""How fast the small scopes are explored on the specification's side.

A *call* is a transition of the exhaustive driver: one call from one state with one combination of answers.
A call that comes to a point where one stood before is counted with every way that it can go on, and run on in none.
Rates are of processor time, so that a busy machine shows as nothing else than a longer wait.
"""

import time

from chardev_conformance.explore import Exploration
from chardev_conformance.scope import SCOPES, quiet

GOAL = 20_000
"""Calls a second."""


def main() -> None:
    """Print the table."""
    print(f"{'scope':<18} {'states':>7} {'calls':>9} {'calls/s':>9} {'goal':>7}")
    states, calls, seconds = 0, 0, 0.0
    for scope in SCOPES.values():
        for name, each in ((f"{scope.name}, quiet", quiet(scope)), (scope.name, scope)):
            exploration = Exploration(each)
            begin = time.process_time()
            exploration.explore()
            taken = time.process_time() - begin
            _row(name, len(exploration.nodes), exploration.transitions, taken)
            states += len(exploration.nodes)
            calls += exploration.transitions
            seconds += taken
    _row("all", states, calls, seconds)


def _row(name: str, states: int, calls: int, seconds: float) -> None:
    print(f"{name:<18} {states:>7,} {calls:>9,} {calls / seconds:>9,.0f} {GOAL:>7,}")


if __name__ == "__main__":
    main()
