"""Makes the findings of a campaign small, in a process of its own, while the campaign goes on.

``python -m chardev_conformance.fuzzing.minimise FOLDER`` does it for the finding in a folder.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from chardev_conformance.campaign import replay
from chardev_conformance.fuzzing.findings import (
    finding_folders,
    key_of,
    read_report,
    write_finding,
)
from chardev_conformance.fuzzing.store import read_plan
from chardev_conformance.lockstep import Finding
from chardev_conformance.scenario import Scenario
from chardev_conformance.shrink import shrink
from chardev_conformance.trace import load
from chardev_spec.profiles import profile_named

PATIENCE_SECONDS: Final = 60.0
"""How long a campaign waits in the end for findings that are not small yet; --resume goes on with those left."""


def minimise(folder: Path) -> bool:
    """Make the finding in a folder small; whether it came up again."""
    plan = read_plan(folder.parent.parent)
    machine = profile_named(plan.profile).machine
    report = read_report(folder)
    scenario = load(folder / "trace.jsonl")
    with plan.opened() as opened:

        def run(candidate: Scenario) -> tuple[Finding | None, Scenario]:
            return replay(opened.factory, candidate, machine)

        finding, performed = run(scenario)
        if finding is None or key_of(finding) != report["key"]:
            return False
        small, found = shrink(performed, finding, run)
    write_finding(folder, plan, report["number"], found, small, small=True)
    return True


class Minimiser:
    """Minimises the findings of a campaign one after the other."""

    def __init__(self, campaign: Path) -> None:
        self._campaign = campaign
        self._tried: set[Path] = set()
        self._process: subprocess.Popen[bytes] | None = None

    def go_on(self) -> bool:
        """Begin with the next finding if the last one is done; whether there is anything left to do."""
        if self._process is not None and self._process.poll() is None:
            return True
        self._process = None
        for folder in finding_folders(self._campaign):
            if folder not in self._tried and not read_report(folder)["minimised"]:
                self._tried.add(folder)
                self._process = subprocess.Popen(  # noqa: S603 - ourselves
                    [sys.executable, "-m", __spec__.name, str(folder)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                return True
        return False

    def finish(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait for what is left, for so long at most."""
        end = os.times().elapsed + seconds
        while self.go_on():
            assert self._process is not None
            try:
                self._process.wait(max(end - os.times().elapsed, 0.0))
            except subprocess.TimeoutExpired:
                break
        self.stop()

    def stop(self) -> None:
        """End what is under way; the finding stays as it is."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


if __name__ == "__main__":
    os.nice(5)
    sys.exit(0 if minimise(Path(sys.argv[1])) else 1)
