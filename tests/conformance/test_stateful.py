"""The Hypothesis state machine, against the bundled device and against devices with a defect."""

import os
from typing import Any

import pytest
from hypothesis import settings

import chardev
from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.campaign import replay
from chardev_conformance.scenario import count_calls
from chardev_conformance.stateful import (
    LONG,
    QUICK,
    WEIGHTS,
    Coverage,
    DeviceMachine,
    DifferenceError,
    run,
)
from chardev_conformance.trace import loads

PROFILE = LONG if os.environ.get("CHARDEV_LONG") else QUICK


class BundledDevice(DeviceMachine):
    target = DeviceTarget


def test_the_bundled_device_keeps_the_contract() -> None:
    """The device would differ from the specification in some sequence of calls."""
    coverage = run(BundledDevice, PROFILE)
    print(coverage)
    assert coverage.never_made() == []
    assert coverage.never_exercised() == []


class GivesOneTooMany(chardev.Device[Any, Any]):
    """A device that counts a grant of two send tokens as three."""

    __slots__ = ()

    def send_to_client_tokens_add(self, client: Any, tokens: int) -> None:
        super().send_to_client_tokens_add(client, tokens + (tokens == 2))
