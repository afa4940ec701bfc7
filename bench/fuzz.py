"""How campaigns scale: scenarios a second with workers, what coordinating them costs, and what 100 workers would do.

There are not 100 cores here, so the last is a model (`simulated`): one coordinator that decides on batches in order,
and workers that have two batches each under way.
It takes what was measured: the processor time of each batch on a worker, and of the coordinator on one.
It is checked as far as two cores go: several workers whose device sleeps in each scenario hardly wait for a core.
"""

import heapq
import os
import statistics
import time
from collections import deque
from pathlib import Path
from random import Random
from typing import Any, Final

import chardev
from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.fuzzing.campaign import Campaign
from chardev_conformance.fuzzing.cluster import AHEAD, BATCH, connected, run_on_cluster
from chardev_conformance.fuzzing.orders import Executor
from chardev_conformance.fuzzing.plan import Plan
from chardev_conformance.fuzzing.seeds import own_seeds
from chardev_conformance.fuzzing.session import Limits, run_here

SCENARIOS: Final = 800
THINK_SECONDS: Final = 0.02
"""What a scenario of the sleeping device takes besides: most of it, so that four of them need less than two cores."""
SLEEPERS: Final = (1, 4)
PLANNED: Final = (1, 2, 4, 6, 10, 100)


class SleepingDevice(chardev.Device[object, object]):
    """The bundled device, made slowly."""

    __slots__ = ()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        time.sleep(THINK_SECONDS)
        super().__init__(*arguments, **options)


def here(target: type[DeviceTarget]) -> list[float]:
    """How long each batch takes in this process, in seconds of processor time."""
    campaign = Campaign(Plan(None, 1), own_seeds())
    executor, seconds = Executor(target), []
    for _ in range(SCENARIOS // BATCH):
        begin = time.process_time()
        run_here(campaign, executor, Limits(600, campaign.executed + BATCH))
        seconds.append(time.process_time() - begin)
    return seconds


def on_workers(workers: int, plan: Plan) -> tuple[float, float]:
    """Scenarios a second with so many workers, and the coordinator's processor time for a batch."""
    campaign = Campaign(plan, own_seeds())
    with connected(workers, None) as client:
        # Each worker starts its own process first; that is no part of what goes on for a night.
        run_on_cluster(campaign, client, Limits(600, workers * BATCH))
        before, begin, spent = campaign.executed, time.monotonic(), time.process_time()
        run_on_cluster(campaign, client, Limits(600, before + SCENARIOS))
        done = campaign.executed - before
        cost = (time.process_time() - spent) / done * BATCH
        return done / (time.monotonic() - begin), cost


def simulated(workers: int, batches: list[float], coordination: float) -> float:
    """Scenarios a second of so many workers with one coordinator, in the model."""
    random = Random(1)  # noqa: S311 - a model is no secret
    count = 20 * workers
    free = [0.0] * workers
    under_way: deque[float] = deque()
    now = 0.0
    for number in range(count):
        if number >= AHEAD * workers:
            now = max(now, under_way.popleft())
        now += coordination
        under_way.append(max(now, heapq.heappop(free)) + random.choice(batches))
        heapq.heappush(free, under_way[-1])
    return count * BATCH / max(under_way)


def main() -> None:
    """Measure and print."""
    alone = here(DeviceTarget)
    scenario = statistics.mean(alone) / BATCH
    print(f"fuzz, in this process: {1 / scenario:,.0f} scenarios/s, {1000 * scenario:.2f} ms each")
    cost = 0.0
    for workers in (1, 2):
        rate, cost = on_workers(workers, Plan(None, 1))
        print(
            f"fuzz, {workers} worker(s): {rate:,.0f} scenarios/s, "
            f"{rate * scenario:.2f} times this process; coordination {1000 * cost / BATCH:.2f} ms each"
        )
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    )
    slept = [each + BATCH * THINK_SECONDS for each in alone]
    for workers in SLEEPERS:
        rate, _ = on_workers(workers, Plan("python:fuzz:SleepingDevice", 1))
        model = simulated(workers, slept, cost)
        print(
            f"fuzz, {workers} worker(s) that sleep {1000 * THINK_SECONDS:g} ms a scenario: {rate:,.1f} scenarios/s, "
            f"{rate / model:.2f} of the model's {model:,.1f}"
        )
    for title, batches in (
        ("the bundled device", alone),
        ("a device ten times as slow", [10 * each for each in alone]),
    ):
        rates = [(workers, simulated(workers, batches, cost)) for workers in PLANNED]
        plan = ", ".join(f"{workers}: {rate:,.0f}" for workers, rate in rates)
        print(f"fuzz, model of one coordinator, {title}, scenarios/s by workers: {plan}")
    print(f"fuzz, model: one coordinator decides on {BATCH / cost:,.0f} scenarios/s at most")


if __name__ == "__main__":
    main()
