"""How fast the small scopes are explored on the specification's side.

A *call* is a transition of the exhaustive driver: one call from one state with one combination of answers.
It is made of *steps*, each from outside or from a callback, by one call or answer, to the next callback or the end.
The goal is one of calls.
A call with its next combination is run again from its beginning; what is run again is not counted again.
Rates are of processor time, so that a busy machine shows as nothing else than a longer wait.
"""

import time

from chardev_conformance.explore import Exploration
from chardev_conformance.scope import SCOPES, quiet

GOAL = 20_000
"""Calls a second."""


def main() -> None:
    """Print the table."""
    print(
        f"{'scope':<18} {'states':>7} {'calls':>9} {'steps':>9} {'steps/s':>9} {'calls/s':>9} {'goal':>7}"
    )
    states, calls, steps, seconds = 0, 0, 0, 0.0
    for scope in SCOPES.values():
        for name, each in ((f"{scope.name}, quiet", quiet(scope)), (scope.name, scope)):
            exploration = Exploration(each)
            begin = time.process_time()
            exploration.explore()
            taken = time.process_time() - begin
            _row(name, len(exploration.nodes), exploration.transitions, exploration.steps, taken)
            states += len(exploration.nodes)
            calls += exploration.transitions
            steps += exploration.steps
            seconds += taken
    _row("all", states, calls, steps, seconds)


def _row(name: str, states: int, calls: int, steps: int, seconds: float) -> None:
    print(
        f"{name:<18} {states:>7,} {calls:>9,} {steps:>9,} {steps / seconds:>9,.0f} {calls / seconds:>9,.0f} {GOAL:>7,}"
    )


if __name__ == "__main__":
    main()
