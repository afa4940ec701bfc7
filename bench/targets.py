"""What reaching an implementation costs: calls of the API a second in lockstep, for each kind of target.

Random scenarios, so a call makes two callbacks or so; the specification's share is in every figure.
``CPU`` is of the checker and its processes together: what the figure would be on a machine that does nothing else.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.adapters.opened import Opened
from chardev_conformance.campaign import run_campaign
from chardev_conformance.targets import open_target

ROOT = Path(__file__).parents[1]
CALLS = 10_000
SERVE = f"stdio:{sys.executable} -m chardev_conformance.adapters.serve python:chardev:Device"


def measure(name: str, target: AbstractContextManager[Opened], goal: int) -> None:
    """One line of the table; the best of three runs, as the others were disturbed."""
    children = os.times()
    with target as opened:
        best, own, callbacks = 0.0, 0.0, 0.0
        for _ in range(3):
            begin, before = time.perf_counter(), time.process_time()
            report = run_campaign(opened.factory, seed=1, calls=CALLS)
            if report.finding is not None:
                raise SystemExit(f"{name}: {report.finding}")
            counts = report.statistics
            best = max(best, counts.calls / (time.perf_counter() - begin))
            own += time.process_time() - before
            callbacks = counts.callbacks / counts.calls
    now = os.times()
    used = own + now.children_user + now.children_system
    used -= children.children_user + children.children_system
    per_second = 3 * CALLS / used
    print(f"{name:<36} {best:>9,.0f} {per_second:>9,.0f} {goal:>9,} {callbacks:>9.1f}")


def main() -> None:
    """Print the table."""
    print(f"{'target':<36} {'calls/s':>9} {'CPU':>9} {'goal':>9} {'callbacks':>9}")
    bundled = Opened("the bundled device", DeviceTarget)
    measure("the bundled device, in the process", nullcontext(bundled), 10_000)
    if shutil.which("cc") is not None:
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "libdevice.so"
            source = ROOT / "tests/c_device/char_device.c"
            header = f"-I{ROOT / 'conformance/chardev_conformance/adapters/template_files/c'}"
            command = ["cc", "-O2", "-shared", "-fPIC", header, "-o", str(library), str(source)]
            subprocess.run(command, check=True)  # noqa: S603 - our own source
            measure("c: the device in C", open_target(f"c:{library}"), 5_000)
    if shutil.which("node") is not None:
        script = ROOT / "tests/node_device/device.mjs"
        measure("stdio: the device in JavaScript", open_target(f"stdio:node {script}"), 2_000)
    measure("stdio: the bundled device", open_target(SERVE), 2_000)


if __name__ == "__main__":
    main()
