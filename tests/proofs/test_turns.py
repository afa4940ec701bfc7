"""The end of loops: none of the specification is forgotten."""

import ast
import inspect
import sys

from chardev_proofs.turns import PASSES, PUSH, RANKS, TURNS
from chardev_spec.contract import Contract


def loops() -> set[str]:
    """The methods of the machine that have a loop with callbacks."""
    found = set()
    for kind in Contract.__mro__[:-1]:
        for node in ast.walk(ast.parse(inspect.getsource(sys.modules[kind.__module__]))):
            if isinstance(node, ast.FunctionDef):
                yields = [each.value for each in ast.walk(node) if isinstance(each, ast.Yield)]
                if any(isinstance(each, ast.Name) and each.id == "LOOP" for each in yields):
                    found.add(node.name)
    return found


def test_every_loop_is_proved_to_end() -> None:
    """A new loop could go on for ever, and no obligation would say so."""
    assert loops() == {*RANKS, *PASSES, PUSH, TURNS}
