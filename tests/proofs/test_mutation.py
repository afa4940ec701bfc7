"""Mutants of the specification: made from its text, loaded beside it, and noticed by what checks it."""

import ast

import pytest

from chardev_proofs.mutation import (
    LAYERS,
    TABLES,
    Mutant,
    UnknownMutantError,
    mutant_named,
    mutants,
    parsed,
    sample,
    source,
    unchanged,
)
from chardev_spec.contract import Contract
from chardev_spec.state import Buffers, State
from tests.spec_mutants.judgements import JUDGEMENTS, judgement_of
from tests.spec_mutants.report import page, scores, stale, unjudged
from tests.spec_mutants.search import Result, Search, Trace

NOTHING = Trace(None, "", 0)


def mutant_of(function: str, after: str) -> Mutant:
    """The one mutant of a function whose changed statement reads so."""
    [found] = [each for each in mutants() if each.function == function and each.after == after]
    return found


def test_there_are_many_and_each_has_its_own_id() -> None:
    """A report could not say which mutant passed."""
    every = mutants()
    assert len(every) > 1000
    assert len({each.id for each in every}) == len(every)
    assert {each.module for each in every} == {*LAYERS, "record", TABLES}
    assert {each.kind for each in every} == {
        *("operator", "constant", "deleted", "swapped", "steps dropped"),
        *("always", "never", "negated", "operand dropped"),
    }


def test_every_mutant_has_another_text() -> None:
    """A mutant that is the original, or is there twice, would spoil the score."""
    texts = [
        (each.module, ast.unparse(each.original), ast.unparse(each.changed)) for each in mutants()
    ]
    assert len(set(texts)) == len(texts)
    assert all(original != changed for _, original, changed in texts)


def test_a_mutant_says_what_it_changes() -> None:
    """A reader could not find the place."""
    mutant = mutant_of("take_token", "row.tokens += 1")
    assert mutant.id == f"tokens:take_token:{mutant.line}:operator"
    assert mutant.diff == "- row.tokens -= 1  + row.tokens += 1"
    lines = source("tokens").read_text(encoding="utf-8").splitlines()
    assert lines[mutant.line - 1].strip() == mutant.before


def test_a_sample_is_repeatable() -> None:
    """Two runs with one seed could not be compared."""
    assert sample(20, 7) == sample(20, 7)
    assert sample(20, 7) != sample(20, 8)
    assert len(sample(20, 7)) == 20
    assert sample(10**6, 7) == mutants()


def test_an_unknown_id_is_an_error() -> None:
    """A misspelt id would look like a mutant that passes."""
    with pytest.raises(
        UnknownMutantError, match=r"there is no mutant 'tokens:take_token:0:operator'"
    ):
        mutant_named("tokens:take_token:0:operator")


def test_a_mutant_is_found_by_its_id() -> None:
    """A mutant of a report could not be looked at."""
    assert mutant_named(mutants()[5].id) is mutants()[5]


def test_the_original_is_left_alone() -> None:
    """All that is checked after a mutant was loaded would be checked on the mutant."""
    before = {name: value for name, value in vars(Contract).items() if callable(value)}
    text = ast.unparse(parsed("tokens"))
    machine = mutant_of("take_token", "row.tokens += 1").load()
    assert Contract not in machine.__mro__
    assert ast.unparse(parsed("tokens")) == text
    assert {name: value for name, value in vars(Contract).items() if callable(value)} == before


def test_a_mutant_of_the_tables_brings_its_own() -> None:
    """A defect in the state would not be in the machine that is said to have it."""
    mutant = next(each for each in mutants() if each.module == TABLES)
    assert not mutant.liftable
    state = State()
    mutant.load()(state)
    assert Buffers not in type(state.buffers).__mro__


def test_an_unchanged_copy_is_not_noticed() -> None:
    """The search would find what the copying does, not what the mutants do."""
    search = Search(calls=3000)
    assert search.judge(unchanged()).how is None
    assert search.compare(unchanged()).how is None


@pytest.mark.parametrize(
    ("function", "after", "how", "what"),
    [
        ("take_token", "row.tokens += 1", "invariant", "tokens_are_conserved"),
        (
            "announcement_due",
            "return row.freed > 0 and (not row.leaving)",
            "invariant",
            "announcements_reach_the_interval",
        ),
        ("read_pass", "yield from ()", "endless", "more than 1.0 s"),
        ("check_held", "if self.buffers[handle].place != Place.HELD:", "exception", "KeyError"),
    ],
)
def test_the_invariants_notice(function: str, after: str, how: str, what: str) -> None:
    """A mutant that breaks a rule, or does not even run, would pass."""
    trace = Search(calls=5000).look_for(mutant_of(function, after)).alone
    assert (trace.how, trace.what.partition(":")[0]) == (how, what)


@pytest.mark.parametrize(
    ("function", "after"),
    [
        ("ask_to_remove", "yield from ()"),
        ("settle_retry_timer", "delay_ms = 0 if device.write_limited else RETRY_DELAY_MS - 1"),
        ("write_once", "if False:"),
    ],
)
def test_the_comparison_notices(function: str, after: str) -> None:
    """A mutant that keeps all invariants and does something else would pass."""
    result = Search(calls=5000).look_for(
        next(each for each in mutants() if each.function == function and each.after == after)
    )
    assert result.alone.how is None
    assert result.compared.how == "comparison"


def test_most_of_a_sample_is_noticed_at_once() -> None:
    """The random calls would no longer come to most of the machine."""
    search = Search(calls=3000)
    results = [search.look_for(mutant) for mutant in sample(30, seed=1)]
    passed = unjudged(results)
    assert len(passed) <= 5, [each.id for each in passed]


def test_every_judgement_is_of_a_mutant() -> None:
    """What was judged could have changed since."""
    assert stale(mutants()) == []
    for judgement in JUDGEMENTS:
        for change in judgement.changes:
            assert any(
                change in each.diff
                for each in mutants()
                if judgement.function == f"{each.module}:{each.function}"
            ), f"{judgement.function}: {change}"


def test_the_page_says_what_is_not_there() -> None:
    """A reader would take the random calls' score for the proofs'."""
    noticed, passed = mutants()[0], mutants()[1]
    assert judgement_of(noticed) is None
    results = [
        Result(noticed, Trace("invariant", "tokens_are_conserved", 10_001), NOTHING),
        Result(passed, NOTHING, NOTHING),
    ]
    assert dict(scores(results, 10_000)) == {
        "mutants": "2",
        "judged equivalent": "0",
        "invariants alone, within 10,000 calls": "0 of 2, 0.0 %",
        "invariants alone": "1 of 2, 50.0 %",
        "invariants and comparison, within 10,000 calls": "0 of 2, 0.0 %",
        "invariants and comparison": "1 of 2, 50.0 %",
    }
    assert unjudged(results) == [passed]
    text = page(results, seed=0, calls=10_000, most=500_000)
    assert "in 500,000 calls at most" in text
