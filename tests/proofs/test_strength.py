"""Machines that are known to be wrong, found by the proofs of what they change."""

import pytest

from chardev_proofs.codec import CodecProof
from chardev_proofs.mutation import CODEC, mutants
from chardev_proofs.strength import affected, judge
from chardev_spec.profiles import QUIRKS
from chardev_spec.profiles.quirk import Quirk, overrides
from tests.proof_strength.__main__ import sample
from tests.proof_strength.judge import Line
from tests.proof_strength.report import Score, summary, unexplained, unrefuted
from tests.spec_mutants.judgements import judgement_of

QUICK = {
    "NoLeaving": "leaving_comes_first",
    "RetryFiringOnlyWrites": "no_read_is_lost",
    "AnnouncingPortHasNoRetryTimer": "no_data_is_stuck",
    "RestoreDoesNotAnnounce": "freed_tokens_are_announced",
    "WaitFlagOutlivesTimer": "waiting_is_timed",
    "PeerOwnsItsOldBuffers": "tokens_are_conserved",
    "NestedPushes": "rely: pushes are this frame's",
    "EmptyBufferBlocks": "what the procedure requires",
    "CreditSnapshot": "reads_are_allowed",
}
"""Quirks that are refuted in a second or two, and by what; the last five use what the contract does not."""


def quirk_named(name: str) -> type[Quirk]:
    """The quirk of that name."""
    return next(each for each in QUIRKS if each.__name__ == name)


@pytest.mark.parametrize(("name", "invariant"), QUICK.items())
def test_a_quirk_is_refuted_by_a_rule_that_it_breaks(name: str, invariant: str) -> None:
    """The proofs would accept what a release does wrong."""
    quirk = quirk_named(name)
    verdict = judge(quirk, overrides(quirk), rules=quirk.rules)
    assert verdict.trouble == ""
    assert verdict.refuted
    assert verdict.obligations[0].invariant == invariant
    assert set(verdict.obligations[0].rules) & set(quirk.rules)


def test_what_reaches_a_change_is_proved_again_and_nothing_else() -> None:
    """A wrong function could be passed over, or a whole run spent on each mutant."""
    assert affected(["fan_out"]) == ["fan_out"]
    assert affected(["end_seal"]) == ["client_remove"]
    assert {"stop", "reset", "destroy"} <= set(affected(["halt"]))
    assert "write_pass" not in affected(["wakeup"])


def test_a_proof_that_takes_too_long_proves_nothing() -> None:
    """A mutant would be called accepted that nobody looked at."""
    quirk = quirk_named("NoLeaving")
    verdict = judge(quirk, overrides(quirk), seconds=0)
    assert (verdict.refuted, verdict.trouble.partition(": ")[2]) == (False, "out of time")


def test_mutants_of_the_codec_are_refuted_as_bytes() -> None:
    """The proof of the codec could pass whatever it is given."""
    names = {"u32", "u32_at", "encode", "decode"}
    chosen = [each for each in mutants() if each.module == CODEC and each.function in names][::8]
    assert len(chosen) > 2
    accepted = []
    for mutant in chosen:
        codec = mutant.load().read_message.__globals__["decode"].__globals__
        try:
            if all(CodecProof(codec).run().values()):
                accepted.append(mutant.diff)
        except Exception:  # noqa: BLE001, S112 - an exception that the text raises gives it away
            continue
    assert accepted == []


def test_a_larger_sample_begins_with_the_smaller_ones() -> None:
    """A run over more mutants could not go on from one over fewer."""
    every = [each for each in mutants() if each.liftable]
    assert sample(every, 20, 3) == sample(every, 40, 3)[:20]
    assert sample(every, 20, 3) != sample(every, 20, 4)


def test_the_score_counts_what_gives_a_mutant_away_and_names_what_does_not() -> None:
    """The page would say that the proofs are worth more, or less, than they are."""
    chosen = [each for each in mutants() if each.liftable and judgement_of(each) is None][:3]
    proved, seen, neither = (each.id for each in chosen)
    obligation = "tokens_are_conserved @ stop : return"
    lines = [
        Line(proved, obligation, ["tokens_are_conserved"], ("TOK-1",), "", 0.5),
        Line(seen, "", [], (), "", 0.5, "comparison", "a difference", 7),
        Line(neither, "", [], (), "", 0.5),
    ]
    score = Score([], [], lines, of=3, seed=0, commit="abc")
    assert [*summary(score)][1:] == [
        "mutants: 3, judged equivalent: 0",
        "proofs alone: 1 of 3, 33.3 %",
        "random calls alone: 1 of 3, 33.3 %",
        "random calls, judged by the invariants only: 0 of 3, 0.0 %",
        "together: 2 of 3, 66.7 %",
    ]
    assert unexplained(score) == [neither]
    assert "tokens_are_conserved" not in unrefuted(score)
    assert "no_data_is_stuck" in unrefuted(score)
