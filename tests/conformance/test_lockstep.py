"""Spec and implementation in lockstep: every kind of difference is a finding, and nothing else is."""

import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import pytest

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.campaign import replay
from chardev_conformance.lockstep import Finding, Lockstep, Statistics
from chardev_conformance.scenario import Answer, Scenario, Step, walk
from chardev_conformance.scripts import Replay
from chardev_conformance.target import CallbackError, Host, Marshalled, Refused, Timers
from chardev_spec.events import (
    Callback,
    OnFreeSelfToken,
    PortWrite,
    ReadOneMsgFromDevice,
    SendTokensToClient,
    UnrefMsgToClient,
)

CREATE: Final = Step("create", {"port": "p1", "client_tokens_interval": 1, "self_tokens": 1})
START: Final = Step("start")
STOP: Final = Step("stop")
GET: Final = Step("write_buffer_get", {"client": None, "size": 2}, result_name="b1")
ADD: Final = Step("write_buffer_add", {"buffer": "b1", "data": "aabb"})


def add_client(**changed: Any) -> Step:
    """A client with a window of 2 and one send token."""
    arguments = {
        "client": "c1",
        "do_flow_control": True,
        "max_send_queue_size": 1,
        "num_client_tokens": 2,
        "num_send_tokens": 1,
        "wait_for_migrate_data": False,
    }
    return Step("client_add", arguments | changed)


Fault: TypeAlias = Callable[["Faulty", str, dict[str, Any]], Any]


class Faulty(DeviceTarget):
    """The bundled device, but one call does something else."""

    def __init__(self, host: Host, ports: dict[str, bool], moves: int | None, call: str, fault: Fault) -> None:
        super().__init__(host, ports, moves)
        self._call = call
        self._fault = fault

    def right(self, device: str, call: str, arguments: dict[str, Any]) -> Any:
        """What the bundled device does."""
        return super().perform(device, call, arguments)

    def perform(self, device: str, call: str, arguments: dict[str, Any]) -> Any:
        """The fault, where it is the call's turn."""
        if call == self._call:
            return self._fault(self, device, arguments)
        return super().perform(device, call, arguments)


def found(call: str, fault: Fault, *steps: Step, ports: dict[str, bool] | None = None) -> Finding:
    """The finding when `call` does something else; the steps come after a `create`."""
    scenario = Scenario(ports or {"p1": False}, None, [CREATE, *steps])
    assert replay(DeviceTarget, scenario)[0] is None, "the device itself is to blame"
    finding, performed = replay(
        lambda host, ports, moves: Faulty(host, ports, moves, call, fault), scenario
    )
    assert finding is not None
    assert [step.call for step in performed.steps] == [
        step.call for step in scenario.steps[: len(performed.steps)]
    ]
    return finding


def calls_back(*callbacks: Callback) -> Fault:
    """A call that makes these callbacks, whatever it should do."""

    def fault(target: Faulty, device: str, arguments: dict[str, Any]) -> None:
        for callback in callbacks:
            target.host.callback(device, callback)

    return fault


def returns(value: Any) -> Fault:
    """A call that returns this, whatever it should do."""
    return lambda target, device, arguments: value


def raises(error: Exception) -> Fault:
    """A call that raises this, whatever it should do."""

    def fault(target: Faulty, device: str, arguments: dict[str, Any]) -> None:
        raise error

    return fault
