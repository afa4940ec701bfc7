"""How campaigns scale: scenarios a second with workers, and what coordinating them costs.

The processor time that the coordinator spends on a scenario, against what a worker spends on it, says how many workers
one coordinator can keep busy, on however many machines; that is the plan for more workers than there are here.
"""

import time

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.fuzzing.campaign import Campaign
from chardev_conformance.fuzzing.cluster import connected, run_on_cluster
from chardev_conformance.fuzzing.orders import Executor
from chardev_conformance.fuzzing.plan import Plan
from chardev_conformance.fuzzing.seeds import own_seeds
from chardev_conformance.fuzzing.session import Limits, run_here

SCENARIOS = 1500

PLAN = Plan(None, 1)


def main() -> None:
    """Measure and print."""
    campaign = Campaign(PLAN, own_seeds())
    begin, spent = time.monotonic(), time.process_time()
    run_here(campaign, Executor(DeviceTarget), Limits(600, SCENARIOS))
    alone = (time.process_time() - spent) / campaign.executed
    rate = campaign.executed / (time.monotonic() - begin)
    print(
        f"fuzz, in this process: {rate:,.0f} scenarios/s, {1000 * alone:.2f} ms of processor each"
    )
    for workers in (1, 2):
        campaign = Campaign(PLAN, own_seeds())
        with connected(workers, None) as client:
            begin, spent = time.monotonic(), time.process_time()
            run_on_cluster(campaign, client, Limits(600, SCENARIOS))
            cost = (time.process_time() - spent) / campaign.executed
            rate = campaign.executed / (time.monotonic() - begin)
        print(
            f"fuzz, {workers} worker(s): {rate:,.0f} scenarios/s; coordination {1000 * cost:.2f} ms each, "
            f"{cost / alone:.1%} of a scenario: enough for {alone / cost:,.0f} workers"
        )


if __name__ == "__main__":
    main()
