"""The order that knows the defects."""

from tests.fuzz_evidence.known import Beginning, best_order


def test_what_finds_most_of_the_rest_for_its_calls_comes_next() -> None:
    """The bound would be too high, and a campaign would look better than it is."""
    short, whole, other = Beginning(0, 2, 3), Beginning(0, 9, 20), Beginning(1, 4, 4)
    found = [{0: short}, {0: short, 1: other}, {0: whole}, {}]
    assert best_order(found) == [short, whole]
    assert best_order([{0: whole, 1: other}, {1: other}, {0: whole}]) == [other, whole]
