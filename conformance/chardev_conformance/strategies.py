"""Hypothesis strategies for tests of implementations, and of what is built on them.

`stateful.DeviceMachine` draws whole runs against a living device; these are for tests that want the parts: scenarios
to be run or converted, migration messages good and bad, sequences of answers of a port.
"""

from random import Random

from hypothesis import strategies as st

from chardev_conformance.adapters.specification import SpecificationTarget
from chardev_conformance.lockstep import Lockstep
from chardev_conformance.scenario import Scenario, WriteAnswer
from chardev_conformance.scripts import RandomScript, random_scenario
from chardev_spec.record import HEADER_SIZE, MESSAGE_SIZE, Record, encode
from chardev_spec.state import UINT32_MAX

COUNTS = st.one_of(st.integers(0, 5), st.sampled_from([UINT32_MAX - 1, UINT32_MAX]))
"""Counts of tokens: small ones, and those at the end of what their field can carry."""


def scenarios(*, calls: int = 30) -> st.SearchStrategy[Scenario]:
    """Scenarios of some `calls` calls, those inside callbacks included, as the specification performs them.

    They shrink to shorter ones of the same seed; `chardev_conformance.shrink` makes a failing one smaller.
    """
    return st.builds(_scenario, st.integers(0, 2**32 - 1), st.integers(1, calls))


def _scenario(seed: int, calls: int) -> Scenario:
    random = Random(seed)
    scenario = random_scenario(random)

    lockstep = Lockstep(SpecificationTarget, RandomScript(random, calls=calls), scenario)
    assert lockstep.run() is None
    return lockstep.performed


def write_answers(offered: int) -> st.SearchStrategy[WriteAnswer]:
    """What a port may answer to a write that offers so many bytes; the simplest is that it takes all."""
    return st.one_of(st.just("all"), st.integers(0, offered), st.sampled_from(["fail", "over"]))


@st.composite
def migration_messages(draw: st.DrawFn, *, window: int = 10) -> bytes:
    """Migration messages that a client with this window may be restored from (MIG-1): header, record and data."""
    data = draw(st.binary(max_size=20))
    in_data = draw(st.integers(0, window)) if data else 0
    record = Record(
        version=1,
        connected=1,
        client_tokens=draw(st.integers(0, window - in_data)),
        send_tokens=draw(COUNTS),
        write_size=len(data),
        write_client_tokens=in_data,
        write_data_offset=MESSAGE_SIZE if data else 0,
    )
    return bytes(HEADER_SIZE) + encode(record) + data


@st.composite
def damaged_messages(draw: st.DrawFn, *, window: int = 10) -> bytes:
    """Migration messages that are cut short, or have bytes changed (MIG-5); some are good by chance."""
    message = bytearray(draw(migration_messages(window=window)))
    for _ in range(draw(st.integers(0, 4))):
        position = draw(st.integers(HEADER_SIZE, len(message) - 1))
        message[position] = draw(st.sampled_from([0, 1, 2, 33, 127, 255]))
    return bytes(message[: draw(st.integers(0, len(message)))])
