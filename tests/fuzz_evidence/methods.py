"""The ways of looking for a defect; each says what finding it took, None when it did not find it."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.campaign import run_campaign
from chardev_conformance.fuzzing.campaign import Campaign
from chardev_conformance.fuzzing.orders import Executor
from chardev_conformance.fuzzing.plan import Plan
from chardev_conformance.fuzzing.seeds import own_seeds
from chardev_conformance.lockstep import TargetFactory
from chardev_conformance.results import Report
from chardev_conformance.targets import open_target
from tests.c_device.build import build
from tests.c_device.defects import DEFECTS as C_DEFECTS
from tests.c_device.defects import Defect
from tests.mutants.defects import DEFECTS
from tests.mutants.loader import load

ROOT: Final = Path(__file__).parents[2]

SECONDS_PER_STEP: Final = 2.0
"""Processor time after which a call of the device is endless."""

Hunt = Callable[[TargetFactory, int, float], int | None]
"""Looks for a difference, with a seed, for so much processor time; the calls that it took, None when there is none."""

Spent = tuple[float, int] | None
"""Processor time in seconds, and calls, until it was found; None when it was not."""


def at_random(target: TargetFactory, seed: int, seconds: float) -> int | None:
    """``chardev check``."""
    end = processor_time() + seconds

    def interrupt_when_spent(_: Report) -> None:
        if processor_time() > end:
            raise KeyboardInterrupt

    report = run_campaign(
        target,
        seed=seed,
        calls=10**9,
        progress=interrupt_when_spent,
        shrinks=False,
        seconds_per_step=SECONDS_PER_STEP,
    )
    return report.statistics.calls if report.found else None


def guided(target: TargetFactory, seed: int, seconds: float, *, seeded: bool = True) -> int | None:
    """``chardev fuzz``."""
    campaign = Campaign(Plan(None, seed), own_seeds() if seeded else ())
    executor = Executor(target, seconds_per_step=SECONDS_PER_STEP)
    end = processor_time() + seconds
    while processor_time() < end:
        if campaign.commit(executor.execute(campaign.next_order())) is not None:
            return campaign.calls
    return None


HUNTS: Final[dict[str, Hunt]] = {
    "check": at_random,
    "fuzz": guided,
    "fuzz --no-seeds": partial(guided, seeded=False),
}


def in_python(hunt: Hunt, name: str, seeds: Sequence[int], seconds: float) -> list[Spent]:
    """Look for a defect of the bundled device, with each seed."""
    package = load(next(each for each in DEFECTS if each.name == name))
    target = partial(DeviceTarget, package=package)
    return [_timed(partial(hunt, target, seed, seconds)) for seed in seeds]


def in_c(hunt: Hunt, name: str, seeds: Sequence[int], seconds: float) -> list[Spent]:
    """Look for a defect of the device in C, with each seed; what its process takes counts as well."""
    defect = next(each for each in C_DEFECTS if each.name == name)

    def look(seed: int) -> int | None:
        with open_target(f"c:{library}", seconds=patience(defect)) as opened:
            return hunt(opened.factory, seed, seconds)

    with tempfile.TemporaryDirectory(prefix="chardev-") as folder:
        library = build(Path(folder), defect)
        return [_timed(partial(look, seed)) for seed in seeds]


def patience(defect: Defect) -> float:
    """How long the device in C may take to answer, in seconds."""
    return 5.0 if defect.sanitized else 1.0


def _timed(look: Callable[[], int | None]) -> Spent:
    begin = processor_time()
    calls = look()
    return None if calls is None else (processor_time() - begin, calls)


def processor_time() -> float:
    """That of this process and of those that it has waited for, in seconds."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


MACHINE: Final = "tests/fuzz_evidence/test_machine.py"


def hypothesis(seed: int) -> list[str]:
    """Hypothesis's stateful engine as it comes, under pytest."""
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", MACHINE]
    return [*pytest, f"--hypothesis-seed={seed}"]


def hypofuzz(_: int) -> list[str]:
    """HypoFuzz, as it comes, with one process; it takes no seed."""
    return ["hypothesis", "fuzz", "-n", "1", "--no-dashboard", "--", MACHINE]


ENGINES: Final = {"Hypothesis": hypothesis, "HypoFuzz": hypofuzz}
"""Commands that run the state machine, from a seed."""


def machine_in_python(
    command: Callable[[int], list[str]], name: str, seeds: Sequence[int], seconds: float
) -> list[Spent]:
    """Look for a defect of the bundled device with the state machine, with each seed."""
    return [_machine(command(seed), {"CHARDEV_DEFECT": name}, seconds) for seed in seeds]


def machine_in_c(
    command: Callable[[int], list[str]], name: str, seeds: Sequence[int], seconds: float
) -> list[Spent]:
    """Look for a defect of the device in C with the state machine, with each seed."""
    defect = next(each for each in C_DEFECTS if each.name == name)
    with tempfile.TemporaryDirectory(prefix="chardev-") as folder:
        target = {
            "CHARDEV_LIBRARY": str(build(Path(folder), defect)),
            "CHARDEV_PATIENCE": str(patience(defect)),
        }
        return [_machine(command(seed), target, seconds) for seed in seeds]


def _machine(arguments: list[str], target: dict[str, str], seconds: float) -> Spent:
    with tempfile.TemporaryDirectory(prefix="chardev-") as folder:
        result = Path(folder) / "result"
        environment = (
            os.environ
            | target
            | {
                "CHARDEV_RESULT": str(result),
                "HYPOTHESIS_STORAGE_DIRECTORY": str(Path(folder) / "hypothesis"),
                "PYTHONPATH": str(ROOT),
            }
        )
        process = subprocess.Popen(
            arguments,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while process.poll() is None and not result.exists() and _group_time(process.pid) < seconds:
            time.sleep(0.1)
        time.sleep(0.1)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if not result.exists():
            return None
        spent, calls, *_ = result.read_text(encoding="utf-8").split()
        return (float(spent), int(calls)) if float(spent) <= seconds else None


def _group_time(group: int) -> float:
    """The processor time of the processes of a group, in seconds."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
            if int(fields[2]) == group:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


METHODS: Final[dict[str, Callable[[str, Sequence[int], float], list[Spent]]]] = {
    **{name: partial(in_python, hunt) for name, hunt in HUNTS.items()},
    **{name: partial(machine_in_python, command) for name, command in ENGINES.items()},
    **{f"{name} (C)": partial(in_c, hunt) for name, hunt in HUNTS.items()},
    **{f"{name} (C)": partial(machine_in_c, command) for name, command in ENGINES.items()},
}
"""Every way, by the name that the table gives it."""

UNSEEN: Final = frozenset({"used memory is never freed"})
"""What no callback shows, whatever the way (`tests.mutants.memory` measures it)."""


def names(method: str) -> list[str]:
    """The defects that a way is tried on."""
    defects = C_DEFECTS if method.endswith("(C)") else DEFECTS
    return [each.name for each in defects if each.name not in UNSEEN]
