"""The scenarios that come with the checker."""

from functools import partial

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.adapters.specification import SpecificationTarget
from chardev_conformance.fuzzing.campaign import Campaign
from chardev_conformance.fuzzing.orders import Executor, Order
from chardev_conformance.fuzzing.plan import Plan
from chardev_conformance.fuzzing.reach import reach
from chardev_conformance.fuzzing.seeds import SEEDS, own_seeds, read_seeds
from chardev_proofs.mutation import unchanged


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


def test_they_do_not_tell_a_copy_of_the_machine_from_it() -> None:
    """All mutants would be found by what the copying changes, and the order of the scenarios would mean nothing."""
    executor = Executor(partial(SpecificationTarget, machine=unchanged(), lacks=frozenset()))
    orders = [Order(0, 0, trace) for trace in own_seeds()]
    assert [executor.execute(each).finding for each in orders] == [None] * len(orders)
