"""A path knows what was assumed, and asks without ties only what it may."""

import z3

from chardev_proofs.explore import Explorer, Path

ONE, TWO = z3.Ints("one two")
ANY = z3.BoolVal(val=True)


def test_ties_are_left_out_only_where_less_is_enough() -> None:
    """A tie that an obligation needs would be missing, or a relation be taken from nothing."""
    path = Path([], Explorer())
    path.add(ONE > 0)
    path.tie(ONE < TWO)
    assert path.survivors(ANY, [ONE > 0, TWO > 0], apart=True) == [True, False]
    assert path.survivors(ANY, [ONE > 0, TWO > 0]) == [True, True]
    assert [path.valid(TWO > 0), path.valid(TWO > 1), path.valid(TWO > 2)] == [True, True, False]


def test_what_is_supposed_is_forgotten() -> None:
    """A supposition would outlive its end in one of the solvers, and prove what does not hold."""
    path = Path([], Explorer())
    path.tie(ONE < TWO)
    with path.supposing(ONE > 5):
        assert path.survivors(ANY, [ONE > 3, TWO < 10], apart=True) == [True, False]
        assert path.survivors(ANY, [ONE > 4], apart=True) == [True]
        path.add(TWO < 9)
    assert path.survivors(ANY, [ONE > 3, TWO < 10], apart=True) == [False, True]
    assert [path.valid(ONE > 4), path.valid(TWO < 10), path.valid(ONE < 9)] == [False, True, True]
    path.forget()
    assert path.survivors(ANY, [TWO < 10], apart=True) == [False]
    assert [path.valid(TWO < 10), path.valid(ONE < TWO)] == [False, False]
