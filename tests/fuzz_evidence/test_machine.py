"""The Hypothesis state machine on a device with a seeded defect, as its users run it; the defect comes by environment.

It ends its process at the first difference, after it has written down how much processor time that took.
"""

import os
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.scenario import Step
from chardev_conformance.stateful import DeviceMachine, DifferenceError
from tests.mutants.defects import DEFECTS
from tests.mutants.loader import load

NAME: Final = os.environ.get("CHARDEV_DEFECT")

if NAME is None:
    pytest.skip("only `make fuzz-evidence` runs this", allow_module_level=True)

DEFECT: Final = next(each for each in DEFECTS if each.name == NAME)

BEGAN: Final = os.getpid(), time.process_time()


class Defective(DeviceMachine):
    """The device with the defect."""

    target = partial(DeviceTarget, package=load(DEFECT))

    def perform(self, step: Step) -> None:
        """Write down the first difference, and end the process."""
        try:
            super().perform(step)
        except DifferenceError as error:
            # HypoFuzz runs it in a child of the process that loaded it: there the clock began at 0.
            process, begin = BEGAN
            spent = time.process_time() - (begin if os.getpid() == process else 0.0)
            Path(os.environ["CHARDEV_RESULT"]).write_text(
                f"{spent} {self.coverage.statistics.calls} {error.finding.rule}", encoding="utf-8"
            )
            os._exit(0)


TestDefective: Any = Defective.TestCase
TestDefective.settings = settings(
    max_examples=10**9,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[*HealthCheck],
)
