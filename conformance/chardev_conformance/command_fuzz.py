"""``chardev fuzz [TARGET] --dir DIR``: a guided campaign that can be killed and resumed."""

import argparse
import sys
from pathlib import Path
from random import SystemRandom
from typing import Any, Final

from chardev_conformance.commands import (
    COULD_NOT_RUN,
    FINDING,
    HOLDS,
    UsageError,
    add_target_options,
    number_above_0,
    profile_of,
    seconds_above_0,
)
from chardev_conformance.fuzzing.campaign import Campaign
from chardev_conformance.fuzzing.cluster import connected, run_on_cluster
from chardev_conformance.fuzzing.errors import CampaignError
from chardev_conformance.fuzzing.findings import finding_folders, read_report
from chardev_conformance.fuzzing.minimise import Minimiser
from chardev_conformance.fuzzing.orders import Executor
from chardev_conformance.fuzzing.own_code import watching
from chardev_conformance.fuzzing.page import write_page
from chardev_conformance.fuzzing.plan import Plan
from chardev_conformance.fuzzing.reach import reach
from chardev_conformance.fuzzing.seeds import own_seeds, read_seeds
from chardev_conformance.fuzzing.session import Limits, run_again, run_here
from chardev_conformance.fuzzing.sharing import Shared
from chardev_conformance.fuzzing.store import Store
from chardev_conformance.fuzzing.view import View
from chardev_conformance.targets import KINDS
from chardev_spec.profiles import PROFILES, profile_named

SECONDS: Final = 60.0
"""How long a campaign runs when nothing is said."""


def add_parser(commands: Any) -> None:
    """Add the command."""
    fuzz: argparse.ArgumentParser = commands.add_parser(
        "fuzz",
        help="look for differences for long: guided, resumable, on one core or many",
        description="Looks for differences between an implementation and the specification, guided by what it "
        "reaches, and keeps each in a folder of its own; may be killed at any moment and resumed. "
        "Exit status: 0 nothing was found, 1 a finding, 2 wrong use, 3 could not run.",
    )
    add = fuzz.add_argument
    add(
        "target",
        nargs="?",
        metavar="TARGET",
        help=f"the implementation: {KINDS} (default: the bundled device)",
    )
    add("--dir", type=Path, required=True, metavar="DIR", help="where the campaign is kept")
    add("--resume", action="store_true", help="go on with the campaign in DIR")
    add(
        "--time",
        type=seconds_above_0,
        metavar="SECONDS",
        help=f"end after so long (default {SECONDS:g}; with --scenarios without limit)",
    )
    add(
        "--scenarios",
        type=number_above_0("scenarios"),
        metavar="N",
        help="end when the campaign has executed so many",
    )
    add("--seed", type=int, metavar="N", help="the same seed gives the same run")
    add(
        "--profile",
        default="contract",
        metavar="NAME",
        help=f"what to hold it against: {', '.join(PROFILES)}",
    )
    add_target_options(fuzz)
    add(
        "--seeds",
        action="append",
        default=[],
        metavar="FILE",
        help="begin with the traces of this file, too",
    )
    add("--no-seeds", action="store_true", help="begin with nothing, not even what comes with it")
    add(
        "--workers",
        type=number_above_0("workers"),
        metavar="N",
        help="execute on so many processes (default: in this one)",
    )
    add(
        "--cluster",
        metavar="tcp://HOST:8786",
        help="execute on the workers of a Dask cluster that runs",
    )
    add(
        "--share",
        metavar="PLACE",
        help="share what is worth going on from with other campaigns: a folder, or redis://HOST",
    )
    fuzz.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run a campaign; the exit status."""
    profile_of(options)
    if options.workers is not None and options.cluster is not None:
        raise UsageError(
            "--workers starts a cluster, --cluster uses one that runs: give one of them"
        )
    try:
        store = _store(options)
        try:
            return _run(options, store)
        finally:
            store.close()
    except CampaignError as error:
        sys.stderr.write(f"chardev: {error}\n")
        return COULD_NOT_RUN


def _store(options: argparse.Namespace) -> Store:
    if not options.resume:
        seed = SystemRandom().randrange(2**32) if options.seed is None else options.seed
        seeds = tuple(str(Path(each).resolve()) for each in options.seeds)
        if options.share is not None:
            Shared(
                options.share, Plan(options.target, seed)
            )  # likewise a place that nobody reaches
        read_seeds(seeds)  # a file that cannot be read is told before anything is made
        plan = Plan(
            options.target,
            seed,
            options.profile,
            tuple(sorted(options.lacks)),
            options.deadline,
            seeds,
            bare=options.no_seeds,
        )
        with plan.opened():
            pass  # a target that cannot be opened leaves no campaign behind
        return Store.create(options.dir, plan)
    store = Store.resume(options.dir)
    kept = store.plan
    for name, given in (("target", options.target), ("seed", options.seed)):
        if given is not None and given != getattr(kept, name):
            store.close()
            raise UsageError(
                f"--resume goes on with {name} {getattr(kept, name)}; leave {given} out, or begin another campaign"
            )
    return store


def _run(options: argparse.Namespace, store: Store) -> int:
    plan = store.plan
    shared = None if options.share is None else Shared(options.share, plan)
    campaign = Campaign(plan, _seeds(plan), store, shared)
    seconds = options.time or (SECONDS if options.scenarios is None else float("inf"))
    view = View(campaign, sys.stderr, options.cluster or f"{options.workers or 1} worker(s)")
    minimiser = Minimiser(store.folder)
    view.say(f"seed           {plan.seed}")
    machine = profile_named(plan.profile).machine
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        if ticks % 500 == 1:
            view.set_size(store.size())
            minimiser.go_on()
        view.show()

    def found(key: str, name: str) -> None:
        view.say(f"found          {key} ({store.folder / 'findings' / name})")
        minimiser.go_on()

    interrupted = False
    try:
        if options.resume:
            with plan.opened() as opened:
                run_again(store.folder, opened.factory, machine, view.say)
        limits = Limits(seconds, options.scenarios, tick, found)
        if options.workers is not None or options.cluster is not None:
            with connected(options.workers, options.cluster) as client:
                run_on_cluster(campaign, client, limits)
        else:
            with plan.opened() as opened, watching(plan.target, opened) as own_code:
                executor = Executor(opened.factory, machine, own_code=own_code)
                run_here(campaign, executor, limits)
    except KeyboardInterrupt:
        interrupted = True
        minimiser.stop()
    view.end()
    campaign.keep()
    if not interrupted:
        minimiser.finish()
    write_page(campaign, store.folder)
    sys.stdout.write(_summary(campaign, store, interrupted=interrupted))
    return FINDING if campaign.found else HOLDS


def _seeds(plan: Plan) -> list[str]:
    return [*([] if plan.bare else own_seeds()), *read_seeds(plan.seeds)]


def _summary(campaign: Campaign, store: Store, *, interrupted: bool) -> str:
    reached, kinds = reach(campaign), campaign.kinds
    reports = [read_report(folder) for folder in finding_folders(store.folder)]
    lines = []
    for report in reports:
        times = campaign.found[report["key"]].times if report["key"] in campaign.found else 0
        small = "" if report["minimised"] else ", not minimised yet"
        lines += [
            f"finding      {report['key']} ({report['state']}, seen {times:,} times, {report['calls']} calls{small})",
            f"  allowed    {report['allowed']}",
            f"  seen       {report['seen']}",
            f"  again      {report['again']}",
        ]
    rate = campaign.executed / max(campaign.seconds, 1e-9)
    lines += [
        f"findings     {len(campaign.found)}",
        f"executed     {campaign.executed:,} scenarios, {campaign.calls:,} calls, {rate:,.0f} scenarios/s",
        f"reached      {reached.rules} of {len(reached.rule_table)} rules, {reached.figures(kinds)}",
        f"corpus       {len(campaign.corpus.entries):,} entries; {store.size() / 1e6:,.1f} MB on disk",
        f"report       {store.folder / 'report.html'}",
        f"seed         {campaign.plan.seed}",
        f"{'interrupted; ' if interrupted else ''}go on with: chardev fuzz --dir {store.folder} --resume",
    ]
    return "\n".join(lines) + "\n"
