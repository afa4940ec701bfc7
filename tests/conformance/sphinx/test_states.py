"""State diagrams that are found by running the specification."""

from chardev_conformance.sphinx.diagrams import state_diagram
from chardev_conformance.sphinx.states import explore


def test_the_edges_of_migration() -> None:
    """The diagram would lack a way that a device goes, or have one that it does not go."""
    assert sorted(explore(2)["migration"]) == [
        ("awaiting", "destroyed", "destroy"),
        ("awaiting", "ordinary", "client_remove"),
        ("awaiting", "ordinary", "reset"),
        ("awaiting", "ordinary", "restore"),
        ("ordinary", "awaiting", "client_add"),
        ("ordinary", "destroyed", "destroy"),
        ("ordinary", "sealed", "migrate_data_marshall"),
        ("sealed", "destroyed", "destroy"),
        ("sealed", "ordinary", "client_remove"),
        ("sealed", "ordinary", "reset"),
    ]


def test_every_place_of_a_buffer_is_reached() -> None:
    """The menu of calls would not lead to all that can happen to a buffer."""
    places = {state for edge in explore(4)["buffer"] for state in edge[:2]}
    assert places == {"[*]", "held", "queued", "current", "written", "free"}


def test_equal_edges_are_drawn_once() -> None:
    """A diagram would have a bundle of arrows where one says it all."""
    assert state_diagram([("[*]", "a b", "x"), ("a b", "c", "y"), ("a b", "c", "z")]) == (
        'stateDiagram-v2\nstate "a b" as s0\nstate "c" as s1\n[*] --> s0: x\ns0 --> s1: y<br>z'
    )
