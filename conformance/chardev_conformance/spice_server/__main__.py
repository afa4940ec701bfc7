"""The hunt as a command: ``python -m chardev_conformance.spice_server``; `make hunt` runs it.

Exit status: 0 it was made, 2 wrong use, 3 could not run.
"""

import argparse
import sys
from pathlib import Path
from random import SystemRandom

from chardev_conformance.commands import COULD_NOT_RUN, HOLDS, number_above_0, seconds_above_0
from chardev_conformance.progress import Progress
from chardev_conformance.spice_server.hunt import Campaign, hunt
from chardev_conformance.spice_server.page import page, summary, write_all
from chardev_conformance.target import TargetError


def main() -> int:
    """Hunt; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m chardev_conformance.spice_server",
        description="Hunts for findings in libspice-server, well-behaved and wild peers in turn.",
    )
    add = parser.add_argument
    add("--time", type=seconds_above_0, metavar="SECONDS", help="end after so long")
    add("--steps", type=number_above_0("steps"), metavar="N", help="end after so many steps")
    add("--seed", type=int, metavar="N", help="repeat the hunt that printed this seed")
    add("--output", type=Path, metavar="DIR", help="the folder of the documentation to write to")
    options = parser.parse_args()
    if options.time is None and options.steps is None:
        options.time = 600.0
    seed = SystemRandom().randrange(2**32) if options.seed is None else options.seed
    bar = Progress(options.steps or round(options.time), "steps" if options.steps else "s")

    def progress(campaign: Campaign) -> None:
        done = sum(campaign.steps.values()) if options.steps else round(campaign.seconds)
        bar.show(done, f"{len(campaign.found)} findings")

    try:
        campaign = hunt(seed, steps=options.steps, seconds=options.time, progress=progress)
    except TargetError as error:
        sys.stderr.write(f"chardev: {error}\n")
        return COULD_NOT_RUN
    bar.end()
    sys.stdout.write(summary(campaign))
    if options.output is not None:
        folder = options.output / "spice-server"
        write_all(folder, campaign.found.values())
        (options.output / "spice-server-findings.rst").write_text(page(folder), encoding="utf-8")
    return HOLDS


if __name__ == "__main__":
    sys.exit(main())
