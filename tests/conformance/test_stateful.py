"""The Hypothesis state machine, against the bundled device and against devices with a defect."""

import os
from functools import partial
from types import ModuleType
from typing import Any, Final

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

import chardev
from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.campaign import replay
from chardev_conformance.lockstep import Finding
from chardev_conformance.scenario import count_calls
from chardev_conformance.stateful import (
    LONG,
    QUICK,
    WEIGHTS,
    DeviceMachine,
    DifferenceError,
    MakesTarget,
    run,
)
from chardev_conformance.target import RefusedError
from chardev_conformance.trace import dumps, finding_to_json, loads

PROFILE = LONG if os.environ.get("CHARDEV_LONG") else QUICK
"""`CHARDEV_LONG=1` searches for minutes, each time elsewhere; else the same few seconds every time."""

RARE: Final = {"write_buffer_release_without_device", "migrate_data_release", "restore"}
"""A short search may miss what needs a destroyed device with a buffer held, or a source and a destination.

Which it misses depends on the modules that are loaded; `impl/test_writing.py` and `test_migration.py` have them all.
"""


class BundledDevice(DeviceMachine):
    target = DeviceTarget


def test_the_bundled_device_keeps_the_contract() -> None:
    """The device would differ from the specification in some sequence of calls."""
    coverage = run(BundledDevice, PROFILE)
    print(coverage)  # noqa: T201 - `pytest -s` shows what was covered
    assert {*coverage.never_made()} <= RARE
    assert [rule for rule in coverage.never_exercised() if not rule.startswith("MIG-")] == []
    assert coverage.inside.total() > coverage.made.total() / 20


def with_device(device: type[chardev.Device[Any, Any]]) -> MakesTarget:
    """A target that runs this class instead of the bundled device's."""
    package = ModuleType("package")
    vars(package).update(vars(chardev) | {"Device": device})
    return partial(DeviceTarget, package=package)


class TokenFromNowhere(chardev.Device[Any, Any]):
    """A grant of one send token counts as two."""

    __slots__ = ()

    def send_to_client_tokens_add(self, client: Any, tokens: int) -> None:
        super().send_to_client_tokens_add(client, tokens + (tokens == 1))


class TokenFromNowhereMachine(DeviceMachine):
    target = with_device(TokenFromNowhere)


def found(machine: type[DeviceMachine]) -> DifferenceError:
    """The one difference that a machine finds."""
    # What Hypothesis draws depends on which modules are loaded, so on the tests that ran before.
    with pytest.raises(DifferenceError) as difference:
        run(machine, settings(QUICK, max_examples=2000))
    return difference.value


def test_a_defect_is_found_and_shrunk() -> None:
    """A failure would drown in calls that have nothing to do with it."""
    error = found(TokenFromNowhereMachine)
    assert count_calls(error.scenario.steps) <= 8
    assert error.finding.allowed != error.finding.seen


def test_a_failure_says_how_to_see_it_again() -> None:
    """Whoever gets the report could not repeat it, or not without Hypothesis."""
    error = found(TokenFromNowhereMachine)
    text = str(error)
    where = error.finding.where or "the end of a call"
    assert text.startswith(f"{', '.join(error.finding.rules)}: in {where}\n")
    assert text.endswith(error.trace())
    scenario = loads(error.trace(), "trace")
    assert replay(TokenFromNowhereMachine.target, scenario) == (error.finding, error.scenario)
    assert replay(DeviceTarget, scenario) == (None, scenario)


class Forgets(chardev.Device[Any, Any]):
    """Two defects: a client that is there is denied, and a stop is forgotten."""

    __slots__ = ()

    def client_exists(self, client: Any) -> bool:
        return super().client_exists(client) and False

    def migrate_data_marshall_empty(self) -> bytes:  # type: ignore[override] # the second defect
        return super().migrate_data_marshall_empty()[:-1]


class ForgetsMachine(DeviceMachine):
    target = with_device(Forgets)


def test_two_defects_are_told_apart() -> None:
    """Shrinking would slip from one defect to another, and the first would be forgotten."""
    with pytest.raises(ExceptionGroup, match="2 distinct failures") as group:
        run_state_machine_as_test(ForgetsMachine, settings=settings(QUICK, max_examples=60))
    differences = [each for each in group.value.exceptions if isinstance(each, DifferenceError)]
    assert {type(each).__name__ for each in differences} == {
        "DifferenceError[LC-7, result]",
        "DifferenceError[MIG-3, result]",
    }
    assert max(count_calls(each.scenario.steps) for each in differences) <= 8


class OnlyClients(DeviceMachine):
    target = DeviceTarget
    weights = {"client_add": 1, "client_remove": 1}  # noqa: RUF012 - as its users write it


def test_what_was_never_tried_is_reported() -> None:
    """A mixture of calls that never reaches a rule would look like one that found nothing wrong."""
    coverage = run(OnlyClients, settings(QUICK, max_examples=20))
    missing = coverage.never_made()
    assert {"client_add", "client_remove", "create"}.isdisjoint(missing)
    assert {"write_buffer_add", "reset", "restore"} <= {*missing}
    assert "TOK-2" in coverage.never_exercised()
    assert f"never called: {', '.join(missing)}" in str(coverage).splitlines()
    assert f"never exercised: {', '.join(coverage.never_exercised())}" in str(coverage).splitlines()


class RefusesNothing(DeviceTarget):
    """Aborts where the contract is broken, as an implementation in C may."""

    def perform(self, device: str, call: str, arguments: dict[str, Any]) -> Any:
        try:
            return super().perform(device, call, arguments)
        except RefusedError as refused:
            if refused.rule != "MIG-5":
                raise SystemExit(str(refused)) from None
            raise


class Careful(DeviceMachine):
    target = RefusesNothing
    mistakes = False


def test_without_mistakes_no_call_breaks_the_contract() -> None:
    """An implementation that aborts on a contract error could not be checked."""
    coverage = run(Careful, settings(QUICK, max_examples=60))
    assert {*coverage.never_made()} <= RARE


def test_every_call_has_a_weight() -> None:
    """A call of the language would never be made."""
    assert next(iter(WEIGHTS)) == "start"
    assert WEIGHTS.keys() == BundledDevice.coverage.made.keys() | WEIGHTS.keys()
    assert all(weight > 0 for weight in WEIGHTS.values())


def test_the_text_of_a_difference() -> None:
    """The report of a failure would be missing what was allowed, what was seen, or the steps."""
    finding = Finding(("WR-2",), "", "nothing", "write(1, 00)", "write / end")
    scenario = loads('{"format": "chardev-trace", "version": 1}\n{"call": "start"}', "t")
    assert str(DifferenceError(finding, scenario)).splitlines() == [
        "WR-2: in the end of a call",
        "  allowed: nothing",
        "  seen:    write(1, 00)",
        "",
        "1. start()",
        "",
        "legend: N. call(arguments) = name   one call of the API on device d1, or on the one named before it",
        "        < callback -> answer        what the device called back, and how that was answered",
        "        N.M. call(...)              a call made inside the callback above it",
        "",
        "the trace, for `chardev check --replay FILE`:",
        *dumps(scenario, finding=finding_to_json(finding)).splitlines(),
    ]
