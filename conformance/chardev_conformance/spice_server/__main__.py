"""The hunt as a command: ``python -m chardev_conformance.spice_server``; `make hunt` runs it.

With ``--again`` it replays the findings of earlier hunts instead; `make findings` runs that.
Exit status: 0 it was made, 1 a finding does not come again, 2 wrong use, 3 could not run.
"""

import argparse
import sys
import time
from pathlib import Path
from random import SystemRandom
from typing import Final

from chardev_conformance.commands import (
    COULD_NOT_RUN,
    FINDING,
    HOLDS,
    number_above_0,
    seconds_above_0,
)
from chardev_conformance.progress import Progress
from chardev_conformance.scenario import ScenarioError
from chardev_conformance.spice_server.hunt import Campaign, hunt
from chardev_conformance.spice_server.page import page, summary, write_all, write_record
from chardev_conformance.spice_server.record import load_campaign, save
from chardev_conformance.spice_server.replays import replay_all, to_text
from chardev_conformance.target import TargetError

SAVE_SECONDS: Final = 10.0
"""How much of a hunt is lost at most when its process is killed."""


def main() -> int:
    """Hunt, or replay; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m chardev_conformance.spice_server",
        description="Hunts for findings in libspice-server, well-behaved and wild peers in turn.",
    )
    add = parser.add_argument
    add("--time", type=seconds_above_0, metavar="SECONDS", help="end so long after it began")
    add("--steps", type=number_above_0("steps"), metavar="N", help="end after so many steps")
    add("--seed", type=int, metavar="N", help="repeat the hunt that printed this seed")
    add("--state", type=Path, metavar="FILE", help="keep the hunt there; go on with it if it is")
    add("--output", type=Path, metavar="DIR", help="the folder of the documentation to write to")
    add("--again", type=Path, metavar="DIR", help="replay the findings of this folder, no hunt")
    add("--times", type=number_above_0("times"), default=3, metavar="N", help="how often (3)")
    options = parser.parse_args()
    if options.time is None and options.steps is None:
        options.time = 600.0
    try:
        return _again(options) if options.again is not None else _hunt(options)
    except (TargetError, ScenarioError) as error:
        sys.stderr.write(f"chardev: {error}\n")
        return COULD_NOT_RUN


def _again(options: argparse.Namespace) -> int:
    total = len([*options.again.glob("*.jsonl")])
    if total == 0:
        raise ScenarioError(f"{options.again}: there are no findings")
    bar = Progress(total, "findings")
    counts = replay_all(options.again, options.times, bar.show)
    bar.end()
    sys.stdout.write(to_text(counts, options.times))
    return HOLDS if min(counts.values()) == options.times else FINDING


def _hunt(options: argparse.Namespace) -> int:
    campaign = _campaign(options)
    bar = Progress(options.steps or round(options.time), "steps" if options.steps else "s")
    saved = time.monotonic()

    def progress(campaign: Campaign) -> None:
        nonlocal saved
        done = sum(campaign.steps.values()) if options.steps else round(campaign.seconds)
        bar.show(done, f"{len(campaign.found)} findings")
        if options.state is not None and time.monotonic() - saved >= SAVE_SECONDS:
            save(campaign, options.state)
            saved = time.monotonic()

    hunt(campaign, steps=options.steps, seconds=options.time, progress=progress)
    bar.end()
    if options.state is not None:
        save(campaign, options.state)
    sys.stdout.write(summary(campaign))
    if campaign.interrupted and options.state is not None:
        sys.stdout.write(f"again        --state {options.state} goes on with it\n")
    if options.output is not None:
        folder = options.output / "spice-server"
        write_all(folder, campaign.found.values())
        write_record(folder, campaign)
        (options.output / "spice-server-findings.rst").write_text(page(folder), encoding="utf-8")
    return HOLDS


def _campaign(options: argparse.Namespace) -> Campaign:
    """The campaign that is kept in the file, or a new one."""
    if options.state is not None and options.state.exists():
        campaign = load_campaign(options.state)
        if options.seed not in {None, campaign.seed}:
            raise ScenarioError(
                f"{options.state}: its hunt has seed {campaign.seed}; give no other, or another file"
            )
        return campaign
    seed = SystemRandom().randrange(2**32) if options.seed is None else options.seed
    if options.state is not None:
        save(Campaign(seed), options.state)
    return Campaign(seed)


if __name__ == "__main__":
    sys.exit(main())
