"""Deciding what comes next, keeping it, and going on after a kill."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.fuzzing import corpus
from chardev_conformance.fuzzing.campaign import Campaign
from chardev_conformance.fuzzing.errors import CampaignError
from chardev_conformance.fuzzing.findings import read_report
from chardev_conformance.fuzzing.orders import Executor
from chardev_conformance.fuzzing.plan import Plan
from chardev_conformance.fuzzing.seeds import own_seeds
from chardev_conformance.fuzzing.store import Store

PLAN = Plan(None, 4)
TRACES = own_seeds()[:20]


def go_on(campaign: Campaign, count: int) -> None:
    """Execute so many scenarios."""
    executor = Executor(DeviceTarget)
    for _ in range(count):
        campaign.commit(executor.execute(campaign.next_order()))


def state(campaign: Campaign) -> dict[str, Any]:
    """All that was decided, but for times."""
    return {
        "executed": campaign.executed,
        "calls": campaign.calls,
        "callbacks": campaign.callbacks,
        "features": campaign.corpus.packed(),
        "kinds": campaign.kinds,
        "functions": campaign.functions,
        "inside": campaign.inside,
        "found": campaign.found,
        "newest": campaign.newest,
        "growth": [point[1:] for point in campaign.growth],
        "entries": campaign.corpus.entries,
    }


def test_the_same_seed_gives_the_same_run() -> None:
    """A finding would not come up again for somebody else."""
    one, two, other = (Campaign(plan, TRACES) for plan in (PLAN, PLAN, replace(PLAN, seed=5)))
    for campaign in (one, two, other):
        go_on(campaign, 60)
    assert state(one) == state(two)
    assert state(one) != state(other)


@pytest.mark.parametrize("kept_at", [None, 30, 70])
def test_a_killed_campaign_goes_on_as_if_nothing_had_been(
    tmp_path: Path, kept_at: int | None
) -> None:
    """A night's work would be lost, or repeated, or end otherwise."""
    whole = Campaign(PLAN, TRACES)
    go_on(whole, 90)
    store = Store.create(tmp_path / "campaign", PLAN)
    killed = Campaign(PLAN, TRACES, store)
    for number in range(70):
        if number == kept_at:
            killed.keep()
        go_on(killed, 1)
    if kept_at == 70:
        killed.keep()
    store.close()
    with (tmp_path / "campaign/journal.jsonl").open("a", encoding="utf-8") as journal:
        journal.write('{"n":70,"c":12')  # the line that was being written
    store = Store.resume(tmp_path / "campaign")
    resumed = Campaign(store.plan, TRACES, store)
    assert resumed.executed == 70
    go_on(resumed, 20)
    store.close()
    assert state(resumed) == state(whole)


def test_the_corpus_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weeks of fuzzing would fill the disk."""
    monkeypatch.setattr(corpus, "MOST_ENTRIES", 20)
    store = Store.create(tmp_path / "campaign", PLAN)
    campaign = Campaign(PLAN, (), store)
    go_on(campaign, 60)
    campaign.keep()
    store.close()
    entries = sorted(int(each.stem) for each in (tmp_path / "campaign/corpus").iterdir())
    assert entries == sorted(campaign.corpus.entries)
    assert 15 <= len(entries) <= 20


def test_a_finding_stops_nothing_and_is_kept_once(tmp_path: Path) -> None:
    """One shallow defect would hide all others, or fill the disk."""
    plan = Plan("spec:WakeupOnlyReads", 1)
    store = Store.create(tmp_path / "campaign", plan)
    campaign = Campaign(plan, TRACES, store)
    with plan.opened() as opened:
        executor = Executor(opened.factory)
        new = [campaign.commit(executor.execute(campaign.next_order())) for _ in range(80)]
    store.close()
    keys = [key for key in new if key is not None]
    assert keys == [*campaign.found]
    assert len(keys) < sum(each.times for each in campaign.found.values())
    folders = [*(tmp_path / "campaign/findings").iterdir()]
    assert sorted(read_report(folder)["key"] for folder in folders) == sorted(keys)
    assert campaign.executed == 80


def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    """A campaign would go on from a state that it never had."""
    store = Store.create(tmp_path / "campaign", PLAN)
    go_on(Campaign(PLAN, (), store), 3)
    store.close()
    journal = tmp_path / "campaign/journal.jsonl"
    journal.write_text(
        "".join(journal.read_text(encoding="utf-8").splitlines(keepends=True)[1:]), encoding="utf-8"
    )
    store = Store.resume(tmp_path / "campaign")
    with pytest.raises(CampaignError) as error:
        Campaign(PLAN, (), store)
    store.close()
    assert str(error.value) == (
        "the journal goes on with scenario 1, not 0: the campaign's folder is damaged"
    )
