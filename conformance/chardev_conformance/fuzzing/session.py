"""Runs a campaign in this process: order, execute, decide, until time is up."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chardev_conformance.campaign import replay
from chardev_conformance.fuzzing.campaign import Campaign
from chardev_conformance.fuzzing.findings import (
    finding_folders,
    key_of,
    name_of,
    read_report,
    set_state,
)
from chardev_conformance.fuzzing.orders import Executor, Outcome
from chardev_conformance.lockstep import TargetFactory
from chardev_conformance.trace import load
from chardev_spec.contract import Contract


def run_again(
    folder: Path, target: TargetFactory, machine: type[Contract], say: Callable[[str], None]
) -> None:
    """Run the traces of all findings again, and note which do not come up any more."""
    for each in finding_folders(folder):
        report = read_report(each)
        finding, _ = replay(target, load(each / "trace.jsonl"), machine)
        state = "open" if finding is not None and key_of(finding) == report["key"] else "gone"
        if state != report["state"]:
            set_state(each, state)
        say(f"regression     {report['key']}: {'still there' if state == 'open' else state}")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a campaign runs, and what is done meanwhile.

    It ends after `seconds`, or when it has executed `scenarios`.
    `tick` is called after each; `found` with the key and the name of each new finding.
    """

    seconds: float
    scenarios: int | None
    tick: Callable[[], None] = lambda: None
    found: Callable[[str, str], None] = lambda _key, _name: None


def decide(campaign: Campaign, outcome: Outcome, limits: Limits) -> None:
    """Decide about an outcome, and tell what is new."""
    key = campaign.commit(outcome)
    if key is not None:
        limits.found(key, name_of(key))
    limits.tick()


def run_here(campaign: Campaign, executor: Executor, limits: Limits) -> None:
    """Run a campaign in this process."""
    end = time.monotonic() + limits.seconds
    most = limits.scenarios
    while time.monotonic() < end and (most is None or campaign.executed < most):
        decide(campaign, executor.execute(campaign.next_order()), limits)
