"""Campaigns on many processes and machines, and campaigns that share."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from chardev_conformance.fuzzing.batches import Child
from chardev_conformance.fuzzing.campaign import Campaign
from chardev_conformance.fuzzing.cluster import connected, run_on_cluster
from chardev_conformance.fuzzing.errors import CampaignError
from chardev_conformance.fuzzing.orders import Executor
from chardev_conformance.fuzzing.plan import Plan
from chardev_conformance.fuzzing.session import Limits, run_here
from chardev_conformance.fuzzing.sharing import Shared

# Dask's workers and its client leave sockets to the garbage collector when they are killed or end.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PLAN = Plan("spec:AddZeroIsAGrant", 3)

DEADLY: Final = '''
import os

import chardev


class Device(chardev.Device):
    """Ends the process where it is asked for a client."""

    __slots__ = ()

    def client_exists(self, client):
        os._exit(3)
'''


def decided(campaign: Campaign) -> dict[str, Any]:
    """What a campaign has decided, but for times."""
    return {
        "executed": campaign.executed,
        "calls": campaign.calls,
        "features": campaign.corpus.packed(),
        "entries": campaign.corpus.entries,
        "found": campaign.found,
    }


def test_a_worker_that_is_killed_changes_nothing() -> None:
    """Its work would be lost, or done twice, or decide what comes next."""
    campaigns = []
    for kills in (False, True):
        campaign = Campaign(PLAN)
        with connected(2, None) as client:
            pids = [*client.run(os.getpid).values()]

            def tick(pids: list[int] = pids if kills else []) -> None:
                if pids:
                    os.kill(pids.pop(), signal.SIGKILL)
                    pids.clear()

            run_on_cluster(campaign, client, Limits(60, 300, tick))
        campaigns.append(decided(campaign))
    assert campaigns[0]["executed"] == 300
    assert campaigns[0]["found"]
    assert campaigns[0] == campaigns[1]


def test_an_order_that_ends_its_process_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One crash in a Python extension would take the whole campaign with it."""
    (tmp_path / "deadly.py").write_text(DEADLY, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    campaign = Campaign(Plan("python:deadly:Device", 1))
    child = Child(campaign.plan)
    outcomes = [*child.execute(campaign.next_batch(12))]
    child.close()
    for outcome in outcomes:
        campaign.commit(outcome)
    assert campaign.executed == 12
    assert [*campaign.found] == ["CB-1: crash, process"]
    assert 0 < campaign.found["CB-1: crash, process"].times < 12
    seen = {each.finding.seen for each in outcomes if each.finding is not None}
    assert seen == {"its process ended: exit status 3"}


def test_a_cluster_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A night would go by without a word."""
    monkeypatch.setattr("chardev_conformance.fuzzing.cluster.CONNECT_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(CampaignError) as error, connected(None, f"tcp://127.0.0.1:{port}"):
        pass
    assert str(error.value) == (
        f"--cluster tcp://127.0.0.1:{port}: no scheduler answers there within 1 s (OSError): "
        "start one with `dask scheduler`, and workers with `dask worker ADDRESS --nthreads 1`"
    )


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """A Redis server of our own; its address."""
    if shutil.which("redis-server") is None:
        pytest.skip("needs a Redis server: apt-get install redis-server")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    process = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def share(place: str) -> None:
    """Two campaigns at one place; the second gets what the first has found."""
    first = Campaign(PLAN, (), None, Shared(place, PLAN))
    other = Plan(PLAN.target, 99)
    second = Campaign(other, (), None, Shared(place, other))
    with PLAN.opened() as opened:
        run_here(first, Executor(opened.factory), Limits(60, 30))
        assert first.found
        published = len(first.corpus.entries) + len(first.found)
        run_here(second, Executor(opened.factory), Limits(60, published))
    assert second.found.keys() >= first.found.keys()
    assert second.corpus.features > 0.8 * first.corpus.features
    stranger = Plan("spec:contract", 1)
    assert Shared(place, stranger).fetch() == []


def test_campaigns_share_a_folder(tmp_path: Path) -> None:
    """Forty machines would each find the same."""
    share(str(tmp_path / "place"))


def test_campaigns_share_a_redis_server(redis: str) -> None:
    """Likewise, where there is no common file system."""
    share(redis)


def test_a_server_that_is_not_there_is_told() -> None:
    """A campaign would run alone while its owner believes that it shares."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(CampaignError) as error:
        Shared(f"redis://127.0.0.1:{port}", PLAN)
    assert str(error.value).startswith(f"--share redis://127.0.0.1:{port}: cannot be reached: ")
    with pytest.raises(CampaignError) as error:
        Shared("nonsense://x", PLAN)
    assert str(error.value).startswith("--share nonsense://x: not a place to share at: ")


def ip(*arguments: str) -> bool:
    """Configure the network; whether that was permitted."""
    run = subprocess.run(["ip", *arguments], capture_output=True, check=False)
    return run.returncode == 0


@pytest.fixture
def hosts() -> Iterator[tuple[str, str]]:
    """Two network namespaces with a cable between them: 192.0.2.1 and 192.0.2.2; their names."""
    if shutil.which("ip") is None:
        pytest.skip("needs iproute2: apt-get install iproute2")
    one, two = (f"chardev-{os.getpid()}-{each}" for each in "ab")
    with ExitStack() as stack:
        for name in (one, two):
            if not ip("netns", "add", name):
                pytest.skip("network namespaces are not permitted here: run this as root")
            stack.callback(ip, "netns", "del", name)
        veth = f"cd{os.getpid()}"
        assert ip(*("-n", one, "link", "add", veth, "type", "veth", "peer", veth, "netns", two))
        for name, address in ((one, "192.0.2.1/24"), (two, "192.0.2.2/24")):
            assert ip("-n", name, "addr", "add", address, "dev", veth)
            assert ip("-n", name, "link", "set", veth, "up")
            assert ip("-n", name, "link", "set", "lo", "up")
        yield one, two


def test_two_hosts_work_on_one_campaign(tmp_path: Path, hosts: tuple[str, str]) -> None:
    """What works between processes may not work between machines."""

    def on(host: str, *arguments: object) -> list[str]:
        return ["ip", "netns", "exec", host, sys.executable, "-m", *map(str, arguments)]

    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = "tcp://192.0.2.1:8786"
    with ExitStack() as stack:

        def start(*command: str) -> None:
            process = subprocess.Popen(command, cwd=tmp_path, **quiet)
            stack.callback(process.wait)
            stack.callback(process.terminate)

        start(
            *on(hosts[0], "distributed.cli.dask_scheduler", "--host", "192.0.2.1", "--no-dashboard")
        )
        worker = ("distributed.cli.dask_worker", scheduler, "--nthreads", 1, "--no-dashboard")
        start(*on(hosts[1], *worker, "--host", "192.0.2.2"))
        run = subprocess.run(
            on(
                hosts[0],
                *("chardev_conformance", "fuzz", PLAN.target, "--dir", tmp_path / "campaign"),
                *("--scenarios", 200, "--seed", 3, "--cluster", scheduler),
            ),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert run.returncode == 1, run.stderr
    assert "executed     200 scenarios" in run.stdout
