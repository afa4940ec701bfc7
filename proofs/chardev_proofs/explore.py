"""One path through the specification's text: decisions, assumptions, and the solver that knows them.

Theory of operation
===================
A function is run again from its beginning for every path (`Path`), under a *trace* of decisions.
While the trace lasts, a path follows it; after that it asks the solver which way a decision can go, takes one, and
hands the other in as a new trace (`Explorer`).
A decision that can only go one way is recorded too, so that a trace is followed without asking.

Small helpers that call nothing back would multiply paths for no gain.
`merge` runs such a helper on all of its own paths at once and joins the results, and the states that they leave, under
the conditions of the branches.

Facts that tie rows to each other, two by two, are many (`Path.tie`).
A question about one arbitrary row is asked without them, of a solver of its own: what follows from less, follows.

The solver may answer `unknown`.
For a decision that counts as "possible", for an obligation as "not proved": both are on the safe side.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, Final

import z3

from chardev_proofs.values import EngineSignal, UnsupportedError, deciders, spec_line

SOLVER_TIMEOUT_MS: Final = 20_000
"""For one question; hundreds of times what the slowest one takes."""

MERGE_LIMIT: Final = 64
"""Branches of one helper; with more of them it is cheaper to fork."""


class PathEnd(EngineSignal):
    """The path ends here: it is impossible, or what follows has been proved already."""


class OutOfTimeError(EngineSignal):
    """A proof takes longer than it may."""


class ReplayError(EngineSignal):
    """A path that replays a trace came elsewhere than the first time: the engine is wrong."""


class MergeRefused(EngineSignal):
    """A helper's branches cannot be joined; it is run again on one path at a time."""


_names = count(1)
_names_of_proofs = count(10**12)


def restart_names(era: int) -> None:
    """Begin again with the names of constants: a path that replays a trace meets the same ones."""
    global _names
    _names = count(era * 10**8 + 1)


@contextmanager
def other_names() -> Iterator[None]:
    """Name constants apart: what a path does when it proves, it does not do when it replays."""
    global _names
    saved, _names = _names, _names_of_proofs
    try:
        yield
    finally:
        _names = saved


def new_number() -> int:
    """A number for a name that was not used before on this path."""
    return next(_names)


def new_solver() -> z3.Solver:
    """A solver that gives up in time.

    It keeps one set of facts, not one more for questions without assumptions; its older arithmetic is the quicker one
    for questions as small as these.
    """
    solver = z3.SimpleSolver()
    solver.set("timeout", SOLVER_TIMEOUT_MS)
    solver.set("arith.solver", 2)
    return solver


class Path:
    """One run of a function.

    `before_check` is called before the solver is asked: whoever has facts to add, adds them then.
    `asked` is the solver that answered last, and has the model.
    """

    def __init__(self, trace: list[bool], explorer: "Explorer", last_era: int = 0) -> None:
        self.trace = trace
        self.last_era = last_era
        self.taken: list[bool] = []
        self.explorer = explorer
        self.steps: list[str] = []
        self.era = 0
        self.kept: list[z3.BoolRef] = []
        self.supposed: list[z3.BoolRef] = []
        self.later_facts: list[z3.BoolRef] = []
        self.before_check: Callable[[], None] = lambda: None
        self.kept_ties: list[z3.BoolRef] = []
        self.solver = new_solver()
        # What the solver knows but for ties; so much of it was told to the solver that has no ties.
        self.untied: list[z3.BoolRef] = []
        self.tied = False
        self.rows: z3.Solver | None = None
        self.told = 0
        self.asked = self.solver

    def replaying(self) -> bool:
        """Whether this part of the path was gone before."""
        return len(self.taken) < len(self.trace)

    def dry(self) -> bool:
        """Whether everything will be forgotten before the trace ends: then nothing need be known."""
        return self.era < self.last_era

    def add(self, *facts: z3.BoolRef) -> None:
        """Assume these facts."""
        if not self.dry():
            self.solver.add(*facts)
            self.kept += facts
            self.untied += facts

    def tie(self, fact: z3.BoolRef) -> None:
        """Assume a fact that ties one row to another."""
        if not self.dry():
            self.solver.add(fact)
            self.kept_ties.append(fact)
            self.tied = True

    def check(self, *assumptions: z3.BoolRef, apart: bool = False) -> z3.CheckSatResult:
        """Ask the solver; `apart` without what ties rows to each other."""
        if apart and self.tied:
            self.asked = self._rows()
        else:
            self.before_check()
            self.asked = self.solver
        self.explorer.checks += 1
        if time.process_time() > self.explorer.deadline:
            raise OutOfTimeError("out of time")
        began = time.perf_counter()
        result = self.asked.check(*assumptions)
        self.explorer.solver_seconds += time.perf_counter() - began
        return result

    def _rows(self) -> z3.Solver:
        """A solver that knows all but what ties rows to each other."""
        if self.rows is None:
            self.rows, self.told = new_solver(), 0
        self.rows.add(*self.untied[self.told :])
        self.told = len(self.untied)
        return self.rows

    def valid(self, term: z3.BoolRef) -> bool:
        """Whether the term follows from the assumptions; `unknown` is no."""
        return bool(z3.is_true(term) or self.check(z3.Not(term)) == z3.unsat)

    def ask(self, *facts: z3.BoolRef) -> bool:
        """Whether these facts are possible; a path that replays a trace gets the answer of the first time."""
        key = (tuple(self.taken), self.era, *[fact.get_id() for fact in facts])
        if key not in self.explorer.answers:
            # The facts are kept with the answer, so that their numbers stay their own.
            self.explorer.answers[key] = (facts, self.check(*facts) != z3.unsat)
        return bool(self.explorer.answers[key][1])

    def survivors(
        self, condition: z3.BoolRef, claims: list[z3.BoolRef], *, apart: bool = False
    ) -> list[bool]:
        """Which of the claims follow from the assumptions, but for ties if asked `apart`, and the condition.

        A model in which a claim is false strikes it out, until there is none.
        """
        claims = [z3.simplify(claim) for claim in claims]
        key = (
            tuple(self.taken),
            self.era,
            apart,
            *[each.get_id() for each in (*self.supposed, condition, *claims)],
        )
        if key in self.explorer.answers:
            return list(self.explorer.answers[key][1])
        holds = [not z3.is_false(claim) for claim in claims]
        while True:
            open_claims = [
                claim
                for claim, survives in zip(claims, holds, strict=True)
                if survives and not z3.is_true(claim)
            ]
            if not open_claims:
                break
            result = self.check(condition, z3.Not(conjunction(open_claims)), apart=apart)
            if result == z3.unsat:
                break
            if result == z3.unknown:
                holds = [z3.is_true(claim) for claim in claims]
                break
            model = self.asked.model()
            holds = [
                survives and z3.is_true(model.eval(claim, model_completion=True))
                for claim, survives in zip(claims, holds, strict=True)
            ]
        self.explorer.answers[key] = ((list(self.supposed), condition, claims), holds)
        return holds

    def sample(self, condition: z3.BoolRef, terms: list[z3.ArithRef]) -> list[int] | None:
        """Values of the terms where the condition is true; None if it never is, whatever ties rows."""
        result = self.check(condition, apart=True)
        if result == z3.unsat:
            return None
        if result == z3.unknown:
            return [0 for _ in terms]
        model = self.asked.model()
        values = [model.eval(term, model_completion=True) for term in terms]
        return [value.as_long() if z3.is_int_value(value) else 0 for value in values]

    def remembered(
        self, key: tuple[int, ...], find: Callable[[], list[z3.BoolRef]]
    ) -> list[z3.BoolRef]:
        """What `find` gives, or gave when the path was gone for the first time."""
        if _names is _names_of_proofs:
            given = conjunction(self.supposed)
            return [z3.Implies(given, fact) for fact in find()]
        whole = (tuple(self.taken), self.era, *key)
        if whole not in self.explorer.answers:
            self.explorer.answers[whole] = (None, find())
        return list(self.explorer.answers[whole][1])

    @contextmanager
    def supposing(self, *facts: z3.BoolRef, for_good: bool = False) -> Iterator[None]:
        """Suppose these facts for a while.

        What is assumed meanwhile does not depend on them and stays, unless nothing is asked of this state any more
        (`for_good`).
        """
        self.before_check()
        self.solver.push()
        self.solver.add(*facts)
        outer, outer_ties, known = self.kept, self.kept_ties, len(self.untied)
        self.kept, self.kept_ties = [], []
        self.untied += facts
        size = len(self.supposed)
        self.supposed += facts
        try:
            yield
        finally:
            del self.supposed[size:]
            self.solver.pop()
            del self.untied[known:]
            if self.told > known:
                self.rows = None
            kept, self.kept = self.kept, outer
            ties, self.kept_ties = self.kept_ties, outer_ties
            if not for_good:
                self.add(*kept)
                for each in ties:
                    self.tie(each)

    def forget(self) -> None:
        """Assume nothing any more."""
        self.era += 1
        self.kept.clear()
        self.kept_ties.clear()
        self.untied.clear()
        self.tied, self.rows, self.told = False, None, 0
        self.solver = self.asked = new_solver()

    def decide(self, term: z3.BoolRef) -> bool:
        """Go one way, and leave the other one to another path."""
        position = len(self.taken)
        line = spec_line()
        if _names is _names_of_proofs:
            raise ReplayError(f"{line}: a decision inside a proof")
        if position < len(self.trace):
            answer = self.trace[position]
            if self.explorer.places.get((tuple(self.taken), line)) != self.era:
                raise ReplayError(f"{line}: a path is not replayed as it was gone")
        else:
            self.explorer.places[tuple(self.taken), line] = self.era
            yes = self.check(term) != z3.unsat
            no = not yes or self.check(z3.Not(term)) != z3.unsat
            if not yes and self.check() == z3.unsat:
                raise PathEnd("impossible")
            if yes and no:
                self.explorer.later([*self.taken, False], self.era)
            answer = yes
        self.taken.append(answer)
        self.steps.append(f"{line}: {'yes' if answer else 'no'}")
        self.add(term if answer else z3.Not(term))
        return answer


class Explorer:
    """All paths of one function, deepest first; `seconds` of processor time at most."""

    def __init__(self, seconds: float = math.inf) -> None:
        self.deadline = time.process_time() + seconds
        self.waiting: list[tuple[list[bool], int]] = [([], 0)]
        self.paths = 0
        self.places: dict[tuple[tuple[bool, ...], str], int] = {}
        self.checks = 0
        self.answers: dict[tuple[Any, ...], tuple[Any, Any]] = {}
        self.solver_seconds = 0.0

    def later(self, trace: list[bool], era: int) -> None:
        """Note a path that is still to be run; it parts from this one in this era."""
        self.waiting.append((trace, era))

    def run(self, follow: Callable[[Path], None]) -> None:
        """Run every path."""
        while self.waiting:
            trace, era = self.waiting.pop()
            path = Path(trace, self, era)
            deciders.append(path)
            self.paths += 1
            try:
                follow(path)
            except PathEnd:
                pass
            finally:
                deciders.pop()


class Branches:
    """Decides for one run of a helper that is merged.

    What the conditions of the branch settle by themselves is not decided again.
    """

    def __init__(self, trace: list[bool]) -> None:
        self.trace = trace
        self.taken: list[bool] = []
        self.conditions: list[z3.BoolRef] = []
        self.settled: dict[int, bool] = {}
        self.later: list[list[bool]] = []

    def decide(self, term: z3.BoolRef) -> bool:
        """Go one way, the other one in a later run."""
        term = z3.simplify(term)
        if z3.is_true(term) or z3.is_false(term):
            return bool(z3.is_true(term))
        plain, sign = (term.arg(0), False) if z3.is_not(term) else (term, True)
        if plain.get_id() in self.settled:
            return self.settled[plain.get_id()] == sign
        position = len(self.taken)
        if position < len(self.trace):
            answer = self.trace[position]
        else:
            self.later.append([*self.taken, False])
            answer = True
        self.taken.append(answer)
        self.settled[plain.get_id()] = answer == sign
        self.conditions.append(term if answer else z3.Not(term))
        return answer


def conjunction(terms: list[z3.BoolRef]) -> z3.BoolRef:
    """All of these."""
    if not terms:
        return z3.BoolVal(val=True)
    return terms[0] if len(terms) == 1 else z3.And(*terms)


def conditions() -> list[z3.BoolRef]:
    """What the helpers that are being merged assume, outermost first."""
    return [term for each in deciders if isinstance(each, Branches) for term in each.conditions]


def run_branches(run: Callable[[], Any], reset: Callable[[], None]) -> list[tuple[z3.BoolRef, Any]]:
    """Every branch of a helper: its condition and its result.

    `reset` brings the state back to what it was before the helper.
    """
    results: list[tuple[z3.BoolRef, Any]] = []
    waiting: list[list[bool]] = [[]]
    while waiting:
        reset()
        branch = Branches(waiting.pop())
        deciders.append(branch)
        try:
            result = run()
        except (Exception, UnsupportedError) as error:
            raise MergeRefused(str(error)) from error
        finally:
            deciders.pop()
        results.append((conjunction(branch.conditions), result))
        waiting += branch.later
        if len(results) + len(waiting) > MERGE_LIMIT:
            raise MergeRefused("too many branches")
    return results
