"""Runs a campaign on many processes, here or on other machines, by Dask.

Batches of orders go out, outcomes come back; they are decided on in the order of their numbers, whoever was faster.
A worker that goes away costs nothing but the time for its batch, which Dask gives to another one.
"""

import atexit
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from chardev_conformance.fuzzing.batches import Child, unpack
from chardev_conformance.fuzzing.campaign import Campaign
from chardev_conformance.fuzzing.errors import CampaignError
from chardev_conformance.fuzzing.orders import Outcome
from chardev_conformance.fuzzing.plan import Plan
from chardev_conformance.fuzzing.session import Limits, decide
from chardev_conformance.target import TargetError

BATCH: Final = 100
"""Orders of a batch: a second of work, or some, against some hundredths for coordination."""

AHEAD: Final = 2
"""Batches for each worker that are under way: one that it works on, and one that waits for it."""

CONNECT_SECONDS: Final = 10.0

_children: dict[Plan, Child] = {}


def execute(data: bytes) -> list[Outcome] | str:
    """Execute a batch in this worker's process for its plan; a text when the target cannot be checked."""
    batch = unpack(data)
    if batch.plan not in _children:
        _children[batch.plan] = Child(batch.plan)
        atexit.register(_children[batch.plan].close)
    try:
        return [*_children[batch.plan].execute(batch)]
    except TargetError as error:
        return str(error)


@contextmanager
def connected(workers: int | None, address: str | None) -> Iterator[Any]:
    """A client of a cluster: of so many workers, started here, or of the one that runs at an address.

    Raises `CampaignError` when there is none.
    """
    try:
        import distributed
    except ImportError:
        raise CampaignError(
            "--workers and --cluster need Dask: pip install 'chardev[cluster]'"
        ) from None
    # Its constructors have no types.
    client_of: Callable[..., Any] = distributed.Client
    cluster_of: Callable[..., Any] = distributed.LocalCluster
    if address is None:
        with (
            cluster_of(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
            client_of(cluster) as client,
        ):
            yield client
        return
    try:
        client = client_of(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise CampaignError(
            f"--cluster {address}: no scheduler answers there within {CONNECT_SECONDS:g} s ({type(error).__name__}): "
            "start one with `dask scheduler`, and workers with `dask worker ADDRESS --nthreads 1`"
        ) from None
    with client:
        yield client


def run_on_cluster(campaign: Campaign, client: Any, limits: Limits) -> None:
    """Run a campaign on the workers of a cluster; batches are whole, so it may execute a few more scenarios."""
    end = time.monotonic() + limits.seconds
    most = limits.scenarios
    pending: deque[Any] = deque()

    def wanted() -> bool:
        issued = campaign.executed + len(pending) * BATCH
        return time.monotonic() < end and (most is None or issued < most)

    try:
        while True:
            ahead = AHEAD * max(len(client.scheduler_info(n_workers=-1)["workers"]), 1)
            while len(pending) < ahead and wanted():
                data = campaign.next_batch(BATCH).pack()
                # Pure, but never the same twice: hashing it would only cost time.
                pending.append(client.submit(execute, data, pure=False))
            if not pending or time.monotonic() >= end:
                return
            for outcome in _result(pending.popleft(), client):
                decide(campaign, outcome, limits)
    finally:
        with suppress(Exception):  # the cluster may be gone
            client.cancel([*pending], force=True)


def _result(future: Any, client: Any) -> list[Outcome]:
    from distributed import CancelledError, KilledWorker

    try:
        result = future.result()
    except KilledWorker as error:
        raise CampaignError(
            f"the cluster lost its workers over one batch again and again ({error}): look at what ends them, "
            "then go on with --resume"
        ) from None
    except (CancelledError, OSError) as error:
        raise CampaignError(
            f"the cluster at {client.scheduler.address if client.scheduler else '?'} is gone "
            f"({type(error).__name__}): start it again, then go on with --resume"
        ) from None
    if isinstance(result, str):
        raise TargetError(result)
    assert isinstance(result, list)
    return result
