"""Faults of the engine, seeded one at a time: each is noticed by one of the checks that guard the engine.

The checks: the operators beside Python's, the cross-check with the machine that runs, machines that are wrong and must
be refuted, and proofs that must succeed.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest
import z3

from chardev_proofs import (
    buffers,
    cuts,
    explore,
    functions,
    knowledge,
    lists,
    machine,
    reshape,
    state,
    tables,
    templates,
    values,
)
from chardev_proofs.functions import prove_function
from chardev_spec.contract import Contract
from tests.proofs.comparison import CrossCheck
from tests.proofs.operators import disagreements
from tests.proofs.wrong_machines import (
    WRONG,
    CallsFromTheGrave,
    CompletesHalf,
    CountsFurtherThanItsLoop,
    CountsNoBuffer,
    FailsAfterALoop,
    ForgetsARequest,
    KeepsLookingAfterACallback,
    KeepsTheGuard,
    LosesATotal,
    Overtakes,
    PassesOver,
    PicksFromNothing,
    QueuesAnother,
    RefusesTooLate,
    SaysItForEver,
    TrustsAScalarAfterACallback,
    WrongInABranch,
    WrongInTheOtherBranch,
    WrongOnTheOtherPath,
)

Check = Callable[[], bool]
"""Whether the engine passes."""


def operators() -> bool:
    """The operators are Python's."""
    return not any(disagreements())


def comparison(segments: int) -> Check:
    """The lifted machine does what the machine does that runs."""
    return lambda: CrossCheck(1, segments).run().segments >= segments


def refutes(wrong: type[Contract]) -> Check:
    """A wrong machine is refuted."""
    return lambda: not proves(WRONG[wrong], wrong)()


def proves(function: str, lifted: type[Contract] = Contract) -> Check:
    """A function is proved."""

    def check() -> bool:
        report = prove_function(function, lifted, stop=True)
        return all(each.proved for each in report.obligations)

    return check


def passes(check: Check) -> bool:
    """Whether a check passes; an engine that stumbles does not."""
    # The templates of an engine with a fault must not outlive it.
    functions._prepared.clear()
    try:
        return check()
    except (Exception, values.EngineSignal):  # noqa: BLE001 - whatever stops the engine gives it away
        return False
    finally:
        functions._prepared.clear()


@dataclass(frozen=True)
class Fault:
    """`name` of `owner` is replaced by `instead`, made of what was there; `check` no longer passes."""

    what: str
    owner: Any
    name: str
    instead: Callable[[Any], Any]
    check: Check


def _skip(*_: Any, **__: Any) -> None:
    """Do nothing."""


def _proved_already(*_: Any) -> None:
    raise explore.PathEnd("proved already")


def _no_claims(*_: Any, **__: Any) -> list[Any]:
    return []


def _one_way(self: explore.Path, term: z3.BoolRef) -> bool:
    """Decide as it comes, and forget the other way."""
    answer = bool(self.check(term) != z3.unsat)
    self.taken.append(answer)
    self.add(term if answer else z3.Not(term))
    return answer


def _same_device(self: cuts.Cuts) -> dict[str, Any]:
    return dict(self.state.device.terms)


FAULTS: Final = (
    Fault("addition subtracts", values.Number, "__add__", lambda _: values.Number.__sub__, operators),
    Fault("below is not above", values.Number, "__lt__", lambda _: values.Number.__le__, operators),
    Fault("a truth value is not one", values.SymBool, "__eq__", lambda _: lambda *_: False, operators),
    Fault(
        "a path is lost", explore.Path, "decide", lambda _: _one_way, refutes(WrongOnTheOtherPath)
    ),
    Fault(
        "the device survives a callback",
        cuts.Cuts, "fresh_device", lambda _: _same_device, refutes(TrustsAScalarAfterACallback),
    ),
    Fault(
        "a row survives a callback",
        state.SymState, "surely", lambda _: lambda *_: True, refutes(KeepsLookingAfterACallback),
    ),
    Fault(
        "a pick from nothing",
        state.SymState, "surely", lambda _: lambda *_: True, refutes(PicksFromNothing),
    ),
    Fault(
        "locals survive a loop head",
        reshape.Reshaper, "value", lambda _: lambda _self, value: (value, type(value).__name__),
        refutes(CountsFurtherThanItsLoop),
    ),
    Fault(
        "nothing follows a loop head",
        cuts.Cuts, "loop",
        lambda _: _proved_already,
        refutes(FailsAfterALoop),
    ),
    Fault("nothing is given back", cuts.Cuts, "balance_claims", lambda _: _no_claims, refutes(KeepsTheGuard)),
    Fault("no rely", cuts.Cuts, "rely_claims", lambda _: _no_claims, refutes(ForgetsARequest)),
    Fault("a procedure promises freely", cuts.Cuts, "_procedure_claims", lambda _: _no_claims, refutes(CompletesHalf)),
    Fault("events are not judged", functions.FunctionProof, "_events", lambda _: _skip, refutes(CallsFromTheGrave)),
    Fault(
        "turns are not judged", cuts, "everybody_is_served", lambda _: lambda *_: z3.BoolVal(val=True),
        refutes(PassesOver),
    ),
    Fault("a loop may go on for ever", cuts, "comes_to_an_end", lambda _: _skip, refutes(SaysItForEver)),
    Fault(
        "what is moved may be forgotten", cuts, "_moves", lambda _: lambda *_: z3.BoolVal(val=True),
        refutes(CountsNoBuffer),
    ),
    Fault(
        "no limit is ever reached", functions, "below_limit", lambda _: lambda _moved: z3.BoolVal(val=True),
        proves("write_once"),
    ),
    Fault(
        "whoever waits as the writer relies on nothing",
        knowledge.Knowledge, "_waits_as_writer", lambda _: lambda *_, **__: False, proves("write_to_port"),
    ),
    Fault("order is not judged", functions, "event_facts", lambda _: _no_claims, refutes(Overtakes)),
    Fault("whatever joins a queue may", cuts, "joining_facts", lambda _: _no_claims, refutes(QueuesAnother)),
    Fault(
        "the port takes what it likes", cuts, "taken_by", lambda _: lambda *_: z3.IntVal(0), proves("write_to_port"),
    ),
    Fault("invariants are not judged", cuts.Cuts, "_prove_scope", lambda _: _skip, refutes(LosesATotal)),
    Fault(
        "unchanged is whatever is not looked at",
        cuts.Cuts, "_unchanged", lambda _: lambda *_: True, refutes(LosesATotal),
    ),
    Fault(
        "a refusal may change things", functions.FunctionProof, "_unchanged",
        lambda _: lambda *_: cuts.Claim("refusals change nothing", (), z3.BoolVal(val=True)),
        refutes(RefusesTooLate),
    ),
    Fault(
        "an update of one row leaves totals",
        tables.Point, "fold",
        lambda _: lambda self, weight, *, composed=False: self.parent.fold(weight, composed=composed),
        comparison(60),
    ),
    Fault(
        "rows that go are counted on",
        tables.Bulk, "fold",
        lambda _: lambda self, weight, *, composed=False: self.parent.fold(weight, composed=composed),
        comparison(300),
    ),
    Fault(
        "totals that are not equal are",
        templates.Universe, "_holds", lambda _: lambda *_: True, refutes(LosesATotal),
    ),
    Fault(
        "the first branch for all", state, "join_states", lambda _: lambda results: results[0][1],
        lambda: refutes(WrongInABranch)() and refutes(WrongInTheOtherBranch)(),
    ),
    Fault(
        "the last branch for all", state, "join_states", lambda _: lambda results: results[-1][1],
        lambda: refutes(WrongInABranch)() and refutes(WrongInTheOtherBranch)(),
    ),
    Fault(
        "one result of two", state, "join_values", lambda _: lambda results: results[-1][1], comparison(60)
    ),
    Fault(
        "a list never ends",
        lists.SymHandles, "naming", lambda _: lambda _self: lambda _client: z3.BoolVal(val=False),
        proves("reset"),
    ),
    Fault(
        "the queue forgets its order",
        buffers, "before", lambda _: lambda *_: z3.BoolVal(val=True), comparison(200),
    ),
    Fault(
        "a dropped buffer stays where it was",
        buffers.SymBuffers, "_release",
        lambda was: lambda self, hit, _values: was(self, hit, {}),
        comparison(60),
    ),
    Fault(
        "malformed messages are well formed", machine, "BadMigrationDataError",
        lambda _: values.EngineSignal, proves("restore"),
    ),
)  # fmt: skip


@pytest.mark.parametrize("check", [operators, comparison(60), proves("stop")])
def test_the_checks_pass_without_a_fault(check: Check) -> None:
    """A check that always fails notices everything and means nothing."""
    assert passes(check)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_a_wrong_machine_is_refuted(wrong: type[Contract]) -> None:
    """The trap of the lifting that this machine falls into would be open."""
    assert passes(refutes(wrong))


WHOLE: Final = "CHARDEV_WHOLE_PROOFS" in os.environ
"""Whether to look for all faults; else for every third, which is enough while one works on something else."""
LOOKED_FOR: Final = FAULTS if WHOLE else FAULTS[::3]


@pytest.mark.parametrize("fault", LOOKED_FOR, ids=[each.what for each in LOOKED_FOR])
def test_a_fault_of_the_engine_is_noticed(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine could have this fault, and nobody would know."""
    monkeypatch.setattr(fault.owner, fault.name, fault.instead(getattr(fault.owner, fault.name)))
    assert not passes(fault.check)
