"""The proof of one function: all its paths, and a verdict for every obligation.

Theory of operation
===================
An obligation is one invariant, or one fact of the rely, at one cut of one function; many paths may arrive there.
It is proved when it is proved on every path.
The claims of a cut are put to the solver together, because they nearly always hold; only if that fails, one by one.
A claim that is not proved is a `Failure`, with the model that the solver gave; `unknown` is a failure too.

Whatever raises an exception that is no error of the contract fails as well, wherever it is.
An error of the contract must come before anything has changed: that is the obligation `refusals change nothing`.
"""

import inspect
import math
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import NoneType, UnionType
from typing import Any, Final, get_args

import z3

from chardev_proofs.counterexample import Failure, failure
from chardev_proofs.cuts import Claim, Cuts
from chardev_proofs.entry import Moment
from chardev_proofs.explore import (
    Explorer,
    MergeRefused,
    Path,
    PathEnd,
    conjunction,
    restart_names,
)
from chardev_proofs.machine import PROCEDURES, ProcedureCall, lifted, namespaces
from chardev_proofs.moves import marshalled_claims
from chardev_proofs.order import event_facts
from chardev_proofs.plain_z3 import seldom_collected
from chardev_proofs.progress import below_limit
from chardev_proofs.reshape import generators
from chardev_proofs.rows import DEVICE_KINDS
from chardev_proofs.state import SymState
from chardev_proofs.tables import fresh
from chardev_proofs.templates import RecordedState, Template, Universe, template
from chardev_proofs.values import (
    EngineSignal,
    SymBool,
    SymBytes,
    SymInt,
    UnsupportedError,
    bool_term,
    int_term,
    lifted_builtins,
)
from chardev_spec.conditions import Frame
from chardev_spec.contract import Contract
from chardev_spec.errors import BadMigrationDataError, ContractError
from chardev_spec.events import ChooseGoOn, ChooseOffer, Loop, Peer
from chardev_spec.invariants import EVENT_INVARIANTS, INVARIANTS, Invariant, Scope
from chardev_spec.state import Device

ROW: Final = {Scope.CLIENT: "clients", Scope.BUFFER: "buffers"}


@dataclass
class Obligation:
    """One invariant at one cut of one function."""

    invariant: str
    rules: tuple[str, ...]
    function: str
    segment: str
    seconds: float = 0.0
    paths: int = 0
    failure: Failure | None = None

    @property
    def proved(self) -> bool:
        """Whether it holds on every path."""
        return self.failure is None

    @property
    def refuted(self) -> bool:
        """Whether it does not hold; what the solver could not decide is not refuted."""
        return self.failure is not None and not self.failure.reason.startswith("unknown")

    @property
    def name(self) -> str:
        """Its stable id."""
        return f"{self.invariant} @ {self.function} : {self.segment}"


@dataclass
class Report:
    """All obligations of one function, and what the proof took."""

    function: str
    obligations: list[Obligation]
    paths: int
    checks: int
    seconds: float
    heads: int = 0
    impossible: int = 0


_prepared: list[tuple[list[tuple[Invariant, Template]], Universe]] = []
"""The templates of the invariants, in the contract's own words, and what they say of every row; made once."""


class Refuted(EngineSignal):
    """One obligation does not hold, and more is not asked."""


class FunctionProof:
    """Proves one function of a machine.

    It ends at the first cut where one fails for which `stop` says so, and after so many seconds of processor time, with
    `explore.OutOfTimeError`.
    """

    cuts_type: type[Cuts] = Cuts

    def __init__(
        self,
        function: str,
        machine: type[Contract] = Contract,
        *,
        stop: Callable[[Obligation], bool] = lambda _: False,
        seconds: float = math.inf,
    ) -> None:
        self.function = function
        self.machine = machine
        self.stop = stop
        self.obligations: dict[tuple[str, str], Obligation] = {}
        self.refused: set[str] = set()
        self.lifted = lifted(machine, function, self.refused)
        self.memory: dict[Any, Any] = {}
        self.explorer = Explorer(seconds)
        if not _prepared:
            _prepared.append(self._templates())
        self.templates, self.universe = _prepared[0]

    def _templates(self) -> tuple[list[tuple[Invariant, Template]], Universe]:
        plain, path = lifted(Contract, "", set()), Path([], self.explorer)
        states = {name: RecordedState(path) for name in (*ROW.values(), None)}
        templates = [
            (each, template(each.holds, plain, states[ROW.get(each.scope)], ROW.get(each.scope)))
            for each in INVARIANTS
            if each.scope != Scope.EVENT
        ]
        terms = {
            name: [made.term for each, made in templates if ROW.get(each.scope) == name]
            for name in ROW.values()
        }
        rows = {name: Template(z3.And(*terms[name]), states[name], name) for name in terms}
        return templates, Universe(rows)

    def run(self) -> Report:
        """Run every path."""
        began = time.perf_counter()
        with suppress(Refuted), seldom_collected():
            self.explorer.run(self._follow)
        seconds = time.perf_counter() - began
        return Report(
            self.function,
            list(self.obligations.values()),
            self.explorer.paths,
            self.explorer.checks,
            seconds,
            len(self.memory.get("heads", {})),
        )

    # One path

    def _follow(self, path: Path) -> None:
        restart_names(0)
        state = SymState(path)
        cuts = self.cuts_type(path, state, self.templates, self._judge, self.memory)
        machine = self.lifted(state)  # type: ignore[arg-type] # symbolic, as the frame is
        frame: Any = Frame()
        state.frame = frame
        state.universe = self.universe
        arguments = self._arguments(path)
        if self.function == "create":
            _initial(state)
            cuts.moment = Moment.of(state)
        else:
            procedure = PROCEDURES.get(self.function)
            if procedure is not None:
                frame.raised = SymBool(fresh("raised", z3.BoolSort()))
                frame.progressed = SymBool(fresh("progressed", z3.BoolSort()))
                frame.limited = SymBool(fresh("limited", z3.BoolSort()))
                frame.moved = SymInt(fresh("moved"))
            cuts.enter(procedure, tuple(arguments))
        try:
            self._perform(cuts, machine, frame, arguments)
        except (ContractError, BadMigrationDataError) as error:
            self._judge(cuts, f"raises {type(error).__name__}", [self._unchanged(cuts)])
        except UnsupportedError:
            raise
        except Exception as error:
            self._exception(cuts, error)

    def _perform(self, cuts: Cuts, machine: Any, frame: Frame, arguments: list[Any]) -> None:
        method = getattr(machine, self.function)
        names = inspect.signature(getattr(self.machine, self.function)).parameters
        result = method(*([frame] if "frame" in names else []), *arguments)
        if inspect.isgenerator(result):
            result = self._drive(cuts, result)
        if self.function == "create":
            cuts.state.device.terms["frames"] = z3.IntVal(0)
            cuts.prove_initial("return")
        else:
            cuts.leave("return", result)
            if self.function == "migrate_data_marshall" and not cuts.path.replaying():
                self._judge(cuts, "return", marshalled_claims(cuts, result))

    def _arguments(self, path: Path) -> list[Any]:
        original = inspect.signature(getattr(self.machine, self.function)).parameters
        parameters = [each for each in original.values() if each.name not in {"self", "frame"}]
        return [_argument(each.name, each.annotation, path) for each in parameters]

    def _drive(self, cuts: Cuts, generator: Any) -> Any:
        cuts.generator = generator
        answer: Any = None
        while True:
            try:
                event = generator.send(answer)
            except StopIteration as end:
                return end.value
            chain = generators(generator)
            where = chain[-1].gi_code.co_name
            label = f"{where} {type(event).__name__}"
            if isinstance(event, Loop):
                cuts.loop(generator, f"{where} loop")
                answer = True
            elif isinstance(event, ChooseGoOn):
                goes_on = fresh("goes_on", z3.BoolSort())
                cuts.path.add(z3.Implies(goes_on, below_limit(int_term(event.moved))))
                answer = SymBool(goes_on)
            elif isinstance(event, ChooseOffer):
                available = int_term(event.available)
                self._claim(cuts, label, "a choice is possible", ("WR-3",), available >= 1)
                chosen = fresh("offered")
                cuts.path.add(chosen >= 1, chosen <= available)
                answer = SymInt(chosen)
            elif isinstance(event, ProcedureCall):
                outer = chain[-2].gi_code.co_name if len(chain) > 1 else where
                answer = cuts.procedure(f"{outer} {event.name}", event)
            else:
                self._events(cuts, label, event)
                answer = cuts.callback(label, event)
            self._sent(cuts, label, event, answer)

    def _sent(self, cuts: Cuts, label: str, event: Any, answer: Any) -> None:
        """What an event is answered; nothing is made of it here."""

    def _events(self, cuts: Cuts, label: str, event: Any) -> None:
        if cuts.path.replaying():
            return
        for name, rules, fact in event_facts(cuts, event):
            self._claim(cuts, label, name, rules, fact)
        for invariant in EVENT_INVARIANTS.get(type(event), ()):
            machine: Any = lifted(Contract, "", set())
            holding = partial(invariant.holds, machine(cuts.state), event)
            try:
                holds = cuts.state.merge(holding)
            except MergeRefused as error:
                raise UnsupportedError(f"{invariant.name}: {error}") from error
            self._claim(cuts, label, invariant.name, invariant.rules, bool_term(holds))

    # Verdicts

    def _claim(
        self, cuts: Cuts, label: str, name: str, rules: tuple[str, ...], term: z3.BoolRef
    ) -> None:
        if not cuts.path.replaying():
            self._judge(cuts, label, [Claim(name, rules, term)])

    def _judge(self, cuts: Cuts, label: str, claims: list[Claim]) -> None:
        if cuts.path.replaying():
            return
        path = cuts.path
        claims = [Claim(each.name, each.rules, z3.simplify(each.holds)) for each in claims]
        began = time.perf_counter()
        terms = [each.holds for each in claims if not z3.is_true(each.holds)]
        together = not terms or path.check(z3.Not(conjunction(terms))) == z3.unsat
        share = (time.perf_counter() - began) / max(len(claims), 1)
        for claim in claims:
            key = (claim.name, label)
            if key not in self.obligations:
                self.obligations[key] = Obligation(claim.name, claim.rules, self.function, label)
            obligation = self.obligations[key]
            obligation.paths += 1
            obligation.seconds += share
            if together or obligation.failure is not None:
                continue
            began = time.perf_counter()
            result = path.check(z3.Not(claim.holds))
            obligation.seconds += time.perf_counter() - began
            if result != z3.unsat:
                obligation.failure = failure(cuts, claim, result)
        self._perhaps_stop(label, [each.name for each in claims])

    def _perhaps_stop(self, label: str, names: list[str]) -> None:
        judged = [self.obligations[name, label] for name in names]
        if any(each.failure is not None and self.stop(each) for each in judged):
            raise Refuted

    def _unchanged(self, cuts: Cuts) -> Claim:
        old, state = cuts.moment, cuts.state
        same = [state.device.terms[name] == old.device[name] for name in DEVICE_KINDS]
        tables = [
            table.version is version
            for table, version in zip(state.tables, old.versions, strict=True)
        ]
        first = cuts.state.era <= 1
        return Claim("refusals change nothing", ("CB-1",), z3.And(*same, *tables, first))

    def _exception(self, cuts: Cuts, error: Exception) -> None:
        entries = [
            f"{each.filename.rpartition('/')[2]}:{each.lineno} {each.name}"
            for each in traceback.extract_tb(error.__traceback__)
            if "chardev_spec" in each.filename
        ]
        where = entries[-1] if entries else "?"
        if cuts.path.check() == z3.unsat:
            raise PathEnd("impossible")
        key = ("no exception", where.rpartition(" ")[2])
        obligation = Obligation(key[0], ("CB-1",), self.function, key[1])
        obligation.failure = Failure(
            f"{type(error).__name__} at {where}: {error}",
            list(cuts.path.steps),
            trace=list(cuts.path.taken),
        )
        self.obligations[key] = obligation
        self._perhaps_stop(key[1], [key[0]])


def _initial(state: SymState) -> None:
    """The state before `create`: the specification's own defaults, no rows."""
    start = Device()
    for name, kind in DEVICE_KINDS.items():
        value: Any = getattr(start, name)
        if kind == int | None:
            if value is not None:
                raise UnsupportedError(f"the device's {name} does not begin as None")
            state.device.terms[name] = z3.IntVal(0)
        else:
            state.device.terms[name] = bool_term(value) if kind is bool else int_term(value)
    state.device.terms["frames"] = z3.IntVal(1)


def _argument(name: str, kind: Any, path: Path) -> Any:
    """Any argument of a parameter's type; handles and opaque ones are numbers above zero."""
    if isinstance(kind, UnionType) or NoneType in get_args(kind):
        if SymBool(fresh(f"no_{name}", z3.BoolSort())):
            return None
        kind = next(each for each in get_args(kind) if each is not NoneType)
        term = fresh(name)
        path.add(term > 0)
        return SymInt(term)
    if kind is bool:
        return SymBool(fresh(name, z3.BoolSort()))
    if kind is int:
        return SymInt(fresh(name))
    if kind is bytes:
        size = fresh(f"{name}_size")
        path.add(size >= 0)
        return SymBytes(size)
    if kind is Peer:
        term = fresh(name)
        path.add(term > 0)
        return SymInt(term)
    raise UnsupportedError(f"an argument of type {kind}")


def prove_function(
    function: str,
    machine: type[Contract] = Contract,
    *,
    stop: bool = False,
    seconds: float = math.inf,
) -> Report:
    """The report on one function; with `stop`, up to the first cut at which an obligation does not hold.

    Raises `explore.OutOfTimeError` after so many seconds of processor time.
    """
    with lifted_builtins(namespaces(machine, Contract)):
        return FunctionProof(function, machine, stop=lambda _: stop, seconds=seconds).run()
