"""What holds of every row is found, with and without examples."""

import z3

from chardev_proofs.tables import CANONICAL, CLIENT, RELATIONS
from chardev_proofs.templates import Universe

TABLE = CLIENT.name
ARGUMENT = z3.Const("place0.Int", z3.IntSort())
PATTERNS = [
    z3.If(CANONICAL[TABLE]["handle"] == ARGUMENT, z3.IntVal(weight), z3.IntVal(0))
    for weight in (1, 2)
]


def test_examples_answer_as_the_solver_does() -> None:
    """A relation of totals would be taken for true, or a true one be lost, by what was asked before."""
    one, two = [(pattern, (0,)) for pattern in PATTERNS]
    other = (PATTERNS[0], (1,))
    claims = [
        ("none", (one,)), ("sign", (one,)), ("same", (one, two)), ("same", (one, other)),
        ("least", (one, two)), ("least", (two, one)), ("most", (one, other)),
        ("sum", (two, one, one)), ("sum", (one, one, one)),
    ]  # fmt: skip
    universe = Universe({})
    together = [universe._holds(TABLE, kind, *related) for kind, related in claims]
    alone = [Universe({})._holds(TABLE, kind, *related) for kind, related in claims]
    assert together == alone
    assert together == [False, True, False, False, True, False, False, True, False]
    assert 0 < len(universe.examples[TABLE]) < together.count(False)
    assert {kind for kind, _ in claims} == set(RELATIONS)
