"""The Hypothesis state machine on a device with a seeded defect, as its users run it; which one, the environment says.

It ends its process at the first difference, after it has written down how much processor time that took.
"""

import os
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.lockstep import TargetFactory
from chardev_conformance.scenario import Step
from chardev_conformance.stateful import DeviceMachine, DifferenceError
from chardev_conformance.targets import open_target
from tests.fuzz_evidence.methods import processor_time
from tests.mutants.defects import DEFECTS
from tests.mutants.loader import load

NAME: Final = os.environ.get("CHARDEV_DEFECT")

LIBRARY: Final = os.environ.get("CHARDEV_LIBRARY")

if NAME is None and LIBRARY is None:
    pytest.skip("only `make fuzz-evidence` runs this", allow_module_level=True)

BEGAN: Final = os.getpid(), processor_time()

OPENED: Final = ExitStack()


def defective() -> TargetFactory:
    """The bundled device with a defect, or the device in C that has one."""
    if LIBRARY is not None:
        patience = float(os.environ["CHARDEV_PATIENCE"])
        return OPENED.enter_context(open_target(f"c:{LIBRARY}", seconds=patience)).factory
    return partial(DeviceTarget, package=load(next(each for each in DEFECTS if each.name == NAME)))


class Defective(DeviceMachine):
    """The device with the defect."""

    target = staticmethod(defective())

    def perform(self, step: Step) -> None:
        """Write down the first difference, and end the process."""
        try:
            super().perform(step)
        except DifferenceError as error:
            # HypoFuzz runs it in a child of the process that loaded it: there the clock began at 0.
            process, begin = BEGAN
            OPENED.close()
            spent = processor_time() - (begin if os.getpid() == process else 0.0)
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
