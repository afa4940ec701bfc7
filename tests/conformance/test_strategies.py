"""The Hypothesis strategies that other people's tests use."""

from contextlib import suppress

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chardev_conformance import strategies
from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.campaign import replay
from chardev_conformance.scenario import Scenario, count_calls
from chardev_conformance.trace import dumps, loads
from chardev_spec.errors import BadMigrationDataError
from chardev_spec.record import MESSAGE_SIZE, decode

QUICK = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@QUICK
@given(strategies.scenarios(calls=20))
def test_scenarios_replay_and_can_be_written_down(scenario: Scenario) -> None:
    """Somebody's converter would be tested with scenarios that mean nothing."""
    assert count_calls(scenario.steps) >= 1
    finding, performed = replay(DeviceTarget, scenario)
    assert finding is None
    assert performed == scenario
    assert loads(dumps(scenario), "a scenario") == scenario


@QUICK
@given(strategies.migration_messages(window=4))
def test_messages_are_good(message: bytes) -> None:
    """Tests of restore would only see refusals."""
    record, data = decode(message)
    assert record.client_tokens + record.write_client_tokens <= 4
    assert data == message[MESSAGE_SIZE:]


@QUICK
@given(st.data())
def test_damaged_messages_are_refused_or_good(data: st.DataObject) -> None:
    """Tests of restore would meet what no implementation has to survive."""
    message = data.draw(strategies.damaged_messages())
    with suppress(BadMigrationDataError):
        decode(message)


@QUICK
@given(strategies.write_answers(3))
def test_write_answers_are_those_of_the_scenario_language(answer: int | str) -> None:
    """A port in somebody's test would answer what no port can."""
    assert answer in {"all", "fail", "over"} or (isinstance(answer, int) and 0 <= answer <= 3)
