"""The scenarios that come with the checker."""

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.fuzzing.campaign import Campaign
from chardev_conformance.fuzzing.orders import Executor
from chardev_conformance.fuzzing.plan import Plan
from chardev_conformance.fuzzing.reach import reach
from chardev_conformance.fuzzing.seeds import SEEDS, own_seeds, read_seeds


def test_they_hold_and_reach_most_of_the_contract() -> None:
    """Campaigns would begin with scenarios that the contract has outgrown: `make fuzz-seeds` makes them anew."""
    seeds = own_seeds()
    assert seeds == read_seeds([str(SEEDS)])
    campaign, executor = Campaign(Plan(None, 1), seeds), Executor(DeviceTarget)
    for _ in seeds:
        assert campaign.commit(executor.execute(campaign.next_order())) is None
    assert all(reach(campaign).rule_table.values())
    assert len(campaign.inside) > 100
    assert campaign.calls < 6000
