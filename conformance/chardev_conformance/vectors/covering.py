"""Walks through a small scope in which every pair of transitions occurs.

The walks of `explore` take every transition from every state; these are for people and for small sets: as many pairs of
transitions as seen from far away (`coverage`), each once, in few and short walks.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final, TypeAlias

from chardev_conformance.coverage import Pair, Transition
from chardev_conformance.explore import Exploration
from chardev_conformance.scenario import Step

WALK_CALLS: Final = 60
"""Longer walks are hard to read when one fails."""

REACH: Final = 60
"""How many states are looked at for the next pair before a walk ends: beyond, it is cheaper to begin anew."""

Edge: TypeAlias = tuple[Transition, Step, int]


def pair_walks(exploration: Exploration) -> Iterator[list[Step]]:
    """Walks from the beginning in which every pair of transitions of the scope occurs."""
    return _Covering(exploration).walks()


def transition_walks(exploration: Exploration) -> Iterator[list[Step]]:
    """The shortest walks from the beginning to each transition of the scope, those left out that are part of others."""
    walks = [[*exploration.path(number), step] for number, step in exploration.known().values()]
    inner = {tuple(map(id, walk[:end])) for walk in walks for end in range(1, len(walk))}
    return (walk for walk in walks if tuple(map(id, walk)) not in inner)


class _Covering:
    def __init__(self, exploration: Exploration) -> None:
        self._exploration = exploration
        self._out: list[list[Edge]] = []
        for number, node in enumerate(exploration.nodes):
            edges: dict[tuple[Transition, int], Edge] = {}
            for step, after in node.edges:
                transition = exploration.transition(number, step, after)
                edges.setdefault((transition, after), (transition, step, after))
            self._out.append([*edges.values()])
        # For each pair the first way to make it; states come in the order of their depth.
        self._left: dict[Pair, tuple[int, Edge, Edge]] = {}
        for number in range(len(exploration.nodes)):
            for first in self._out[number]:
                for second in self._out[first[2]]:
                    self._left.setdefault((first[0], second[0]), (number, first, second))

    def walks(self) -> Iterator[list[Step]]:
        while self._left:
            number, first, second = next(iter(self._left.values()))
            walk = self._exploration.path(number)
            # The way there makes pairs, too.
            here, before = 0, None
            for step in walk:
                edge = next(each for each in self._edges(here) if each[1] is step)
                self._take(before, edge)
                before, here = edge[0], edge[2]
            for edge in (first, second):
                self._take(before, edge)
                walk.append(edge[1])
                before, here = edge[0], edge[2]
            while len(walk) < WALK_CALLS:
                way = self._nearest(here, before)
                if not way:
                    break
                for edge in way:
                    self._take(before, edge)
                    walk.append(edge[1])
                    before, here = edge[0], edge[2]
            yield walk

    def _edges(self, number: int) -> Iterator[Edge]:
        for step, after in self._exploration.nodes[number].edges:
            yield self._exploration.transition(number, step, after), step, after

    def _take(self, before: Transition | None, edge: Edge) -> None:
        if before is not None:
            self._left.pop((before, edge[0]), None)

    def _nearest(self, number: int, before: Transition | None) -> list[Edge]:
        """The shortest way from a state whose last step makes a pair that is left."""
        queue: deque[tuple[int, Transition | None, list[Edge]]] = deque([(number, before, [])])
        seen = {number}
        while queue and len(seen) < REACH:
            here, last, way = queue.popleft()
            for edge in self._out[here]:
                if last is not None and (last, edge[0]) in self._left:
                    return [*way, edge]
            for edge in self._out[here]:
                if edge[2] not in seen:
                    seen.add(edge[2])
                    queue.append((edge[2], edge[0], [*way, edge]))
        return []
