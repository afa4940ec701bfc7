"""Profiles: the releases are what was recorded of them, and each quirk is there for a reason."""

import os
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from chardev_spec.contract import Contract
from chardev_spec.invariants import INVARIANTS
from chardev_spec.profiles import (
    PROFILES,
    QUIRKS,
    Profile,
    Quirk,
    QuirkError,
    UnknownProfileError,
    life_cycle,
    profile_named,
    reading,
    reset,
    tokens,
    writing,
)
from chardev_spec.profiles.quirk import DeviceField, RowField, profile
from chardev_spec.profiles.table import OBSERVABLE_ONLY, QuirkRow, quirk_table
from chardev_spec.record import Record
from chardev_spec.rules import RULES
from chardev_spec.runner import InvariantViolationError
from tests.spec.owner import Owner
from tests.spec.random_calls import RandomCalls
from tests.spec.recordings import BUNDLED, Recording, read_recordings, recording_files, replay

# Of the third release there are no recordings: it is driven itself (tests/conformance/spice_server).
RELEASES = [
    each for each in PROFILES.values() if each.quirks and recording_files(BUNDLED, each.name)
]
QUIRKS_OF_RELEASES = [(each, quirk) for each in RELEASES for quirk in each.quirks]


def named(value: object) -> str:
    """How a profile or quirk is called in a test's id."""
    return str(getattr(value, "name", getattr(value, "__name__", value)))


@cache
def bundled(name: str) -> tuple[Recording, ...]:
    """The recordings of a release that come with the project."""
    [file] = recording_files(BUNDLED, name)
    return tuple(read_recordings(file))


# Recordings


@pytest.mark.parametrize("release", RELEASES, ids=named)
def test_a_profile_does_what_was_recorded(release: Profile) -> None:
    """A release would be held to what it does not do."""
    recordings = bundled(release.name)
    differences = {each["id"]: replay(each, release.machine) for each in recordings}
    assert len(differences) == 500
    assert {key: text for key, text in differences.items() if text is not None} == {}


@pytest.mark.parametrize("release", RELEASES, ids=named)
def test_a_profile_does_what_was_recorded_elsewhere(release: Profile) -> None:
    """A profile would fit the recordings that come with the project, and no others."""
    where = os.environ.get("CHARDEV_RECORDINGS")
    files = recording_files(Path(where), release.name) if where else []
    if not files:
        pytest.skip("CHARDEV_RECORDINGS names no recordings of this release")
    differences = {
        f"{file.name} {each['id']}": replay(each, release.machine)
        for file in files
        for each in read_recordings(file)
    }
    assert {key: text for key, text in differences.items() if text is not None} == {}


@pytest.mark.parametrize("release", RELEASES, ids=named)
def test_the_releases_and_the_contract_are_told_apart(release: Profile) -> None:
    """A replay that compares nothing would agree with everything."""
    others = [each for each in PROFILES.values() if each is not release]
    agreed = [
        sum(replay(each, other.machine) is None for each in bundled(release.name))
        for other in others
    ]
    assert max(agreed) < 450


def short_recording() -> dict[str, Any]:
    """A recording of four steps: a client is sent a message, queues another, and its wait timer fires."""
    on = {"running": 1, "active": 1, "wait_migrate": 0, "self_tokens": 0, "queue": [], "cur": None}
    client = {"client": "c1", "flow": 1, "client_tokens": 1, "client_tokens_free": 0}
    asleep = {"send_tokens": 1, "send_queue": 0, "wait_timer_flag": 0}
    spent = {"send_tokens": 0, "send_queue": 0, "wait_timer_flag": 0}
    off = on | {"running": 0, "active": 0}
    create = {"dev": "d1", "interval": 1, "self_tokens": 0, "notify": 0}
    add = {"dev": "d1", "client": "c1", "flow": 1, "max_queue": 1, "client_tokens": 1}
    return {
        "id": 1,
        "params": {"sync_remove": 0},
        "steps": [
            {
                "op": "create",
                "args": create,
                "events": [{"ev": "timer_add", "timer": "d1.write"}],
                "ret": None,
                "state": {"d1": off | {"clients": [], "has_sin": 1, "pool": []}},
            },
            {
                "op": "client_add",
                "args": add | {"send_tokens": 1},
                "events": [],
                "ret": 1,
                "state": {"d1": off | {"clients": [client | asleep], "has_sin": 1, "pool": [8]}},
            },
            {"op": "dev_msgs", "args": {"dev": "d1", "n": 1}, "events": [], "ret": None},
            {
                "op": "start",
                "args": {"dev": "d1"},
                "events": [
                    {"ev": "timer_cancel", "timer": "d1.write"},
                    {"ev": "read", "dev": "d1", "msg": "m1"},
                    {"ev": "send_msg", "dev": "d1", "msg": "m1", "client": "c1"},
                    {"ev": "unref", "dev": "d1", "msg": "m1", "refs": 0},
                ],
                "ret": None,
                "state": {"d1": on | {"clients": [client | spent], "has_sin": 1, "pool": []}},
            },
        ],
    }


def other_event(recording: dict[str, Any]) -> None:
    """The message went to another client."""
    recording["steps"][3]["events"][2]["client"] = "c2"


def other_result(recording: dict[str, Any]) -> None:
    """The client was refused."""
    recording["steps"][1]["ret"] = 0


def other_timer(recording: dict[str, Any]) -> None:
    """The retry timer was armed."""
    recording["steps"][2]["events"].append({"ev": "timer_start", "timer": "d1.write", "ms": 100})


def other_state(recording: dict[str, Any]) -> None:
    """There is a self token."""
    recording["steps"][0]["state"]["d1"]["self_tokens"] = 1


def an_error(recording: dict[str, Any]) -> None:
    """The client is attached twice."""
    recording["steps"][2] = recording["steps"][1]


DIFFERENCES: dict[Callable[[dict[str, Any]], None], str] = {
    other_event: (
        'step 3, start {"dev": "d1"}: events\n'
        " recorded [{'ev': 'read', 'dev': 'd1', 'msg': 'm1'},"
        " {'ev': 'send_msg', 'dev': 'd1', 'msg': 'm1', 'client': 'c2'},"
        " {'ev': 'unref', 'dev': 'd1', 'msg': 'm1', 'refs': 0}]\n"
        "    seen [{'ev': 'read', 'dev': 'd1', 'msg': 'm1'},"
        " {'ev': 'send_msg', 'dev': 'd1', 'msg': 'm1', 'client': 'c1'},"
        " {'ev': 'unref', 'dev': 'd1', 'msg': 'm1', 'refs': 0}]"
    ),
    other_result: (
        'step 1, client_add {"dev": "d1", "client": "c1", "flow": 1, "max_queue": 1, "client_tokens": 1,'
        ' "send_tokens": 1}: result\n recorded 0\n    seen 1'
    ),
    other_timer: (
        'step 2, dev_msgs {"dev": "d1", "n": 1}: timers\n recorded {\'d1.write\': 100}\n    seen {}'
    ),
    other_state: (
        'step 0, create {"dev": "d1", "interval": 1, "self_tokens": 0, "notify": 0}: state\n'
        " recorded {'d1': {'running': 0, 'active': 0, 'wait_migrate': 0, 'self_tokens': 1, 'queue': [],"
        " 'cur': None, 'clients': [], 'has_sin': 1}}\n"
        "    seen {'d1': {'running': 0, 'active': 0, 'wait_migrate': 0, 'self_tokens': 0, 'queue': [],"
        " 'cur': None, 'clients': [], 'has_sin': 1}}"
    ),
    an_error: (
        'step 2, client_add {"dev": "d1", "client": "c1", "flow": 1, "max_queue": 1, "client_tokens": 1,'
        " \"send_tokens\": 1}: ClientAlreadyAttachedError: client 'c1' is attached already"
    ),
}


@pytest.mark.parametrize("change", DIFFERENCES, ids=named)
def test_a_replay_says_what_differs(change: Callable[[dict[str, Any]], None]) -> None:
    """A difference in an event, a result, a timer or the state would go unnoticed, or be told unclearly."""
    machine = profile_named("spice-0.12.4").machine
    recording = short_recording()
    assert replay(recording, machine) is None
    changed = deepcopy(recording)
    change(changed)
    assert replay(changed, machine) == DIFFERENCES[change]


def test_a_replay_ends_before_a_recorded_stop() -> None:
    """A release would be held to what a memory error made of it."""
    recording = short_recording() | {"end": {"kind": "asan", "text": "use after free"}}
    recording["steps"][3]["events"] = []
    assert replay(recording, profile_named("spice-0.12.4").machine) is None


def test_recordings_are_found_by_the_name_of_the_profile(tmp_path: Path) -> None:
    """Further recordings would be taken for those of another release, or be passed over."""
    for name in (
        "spice-0.12.4.jsonl.xz",
        "spice-0.12.4-more.jsonl",
        "spice-0.12.4.txt",
        "README.md",
    ):
        (tmp_path / name).touch()
    found = [tmp_path / "spice-0.12.4-more.jsonl", tmp_path / "spice-0.12.4.jsonl.xz"]
    assert recording_files(tmp_path, "spice-0.12.4") == found
    assert recording_files(tmp_path, "spice-2015-11") == []
    assert recording_files(found[0], "spice-0.12.4") == [found[0]]
    assert recording_files(found[0], "spice-2015-11") == []


def test_recordings_need_not_be_compressed(tmp_path: Path) -> None:
    """A recording at hand would have to be packed first."""
    file = tmp_path / "spice-0.12.4.jsonl"
    file.write_text('{"id": 1}\n{"id": 2}\n', encoding="utf-8")
    assert list(read_recordings(file)) == [{"id": 1}, {"id": 2}]


# What a quirk may be


def test_a_quirk_overrides_hooks_of_the_contract_only() -> None:
    """A misspelt hook would override nothing, and the release would be modelled as if it had no such quirk."""
    with pytest.raises(QuirkError) as caught:

        class Misspelt(Quirk):
            """RD-4: nothing."""

            def mark_leaveing(self, client: int) -> None:
                """Nothing."""

    assert (
        str(caught.value)
        == "quirk Misspelt overrides mark_leaveing, which is no hook of the contract"
    )


def test_a_field_of_a_quirk_hides_nothing() -> None:
    """A quirk's own field would replace one of the contract's methods."""
    with pytest.raises(QuirkError) as caught:

        class Hiding(Quirk):
            """RD-4: nothing."""

            may_read = DeviceField(default=False)  # type: ignore[assignment] # the mistake

    assert (
        str(caught.value)
        == "quirk Hiding declares the field may_read, a name that the contract has"
    )


class AlsoNoLeaving(Quirk):
    """RD-4: a second quirk of the same hook."""

    releases = ()

    def mark_leaving(self, client: int) -> None:
        """Nothing."""


def test_quirks_of_a_profile_share_no_hook() -> None:
    """One of two quirks would silently have no effect."""
    with pytest.raises(QuirkError) as caught:
        profile("p", "P", [tokens.NoLeaving, AlsoNoLeaving])
    assert str(caught.value) == (
        "profile p: NoLeaving and AlsoNoLeaving both have mark_leaving; "
        "a hook or field belongs to one quirk of a profile"
    )


class AlsoReadCredit(Quirk):
    """RD-1: a second quirk with a field of the same name."""

    releases = ()
    read_credit = RowField(0)


def test_quirks_of_a_profile_share_no_field() -> None:
    """Two quirks would overwrite each other's values."""
    with pytest.raises(QuirkError) as caught:
        profile("p", "P", [reading.CreditSnapshot, AlsoReadCredit])
    assert str(caught.value) == (
        "profile p: CreditSnapshot and AlsoReadCredit both have read_credit; "
        "a hook or field belongs to one quirk of a profile"
    )


def test_fields_of_quirks_are_part_of_the_state() -> None:
    """Two devices would share what a quirk remembers, or a device would forget it."""
    first, second = (
        Owner(machine=PROFILES["spice-0.12.4"].machine, invariants=False) for _ in "12"
    )
    for owner in (first, second):
        machine = owner.runner.machine
        assert isinstance(machine, reading.CreditSnapshot)
        assert isinstance(machine, reading.WaitFlagOutlivesTimer)
        assert machine.read_credit == 0
        assert machine.wait_started[7] is False
        if owner is first:
            machine.read_credit = 3
            machine.wait_started[7] = True
            assert machine.read_credit == 3
            assert machine.wait_started[7] is True
    assert first.runner.state.quirk_fields == {"read_credit": 3, "wait_started": {7: True}}
    assert isinstance(reading.CreditSnapshot.read_credit, DeviceField)
    assert isinstance(reading.WaitFlagOutlivesTimer.wait_started, RowField)


def test_the_contract_is_a_profile_without_quirks() -> None:
    """What is checked by default would not be the contract."""
    assert PROFILES["contract"] == Profile("contract", "The contract", (), Contract)


def test_an_unknown_profile_is_refused() -> None:
    """A misspelt profile would be an error that does not say which there are."""
    with pytest.raises(UnknownProfileError) as caught:
        profile_named("spice-0.12")
    assert str(caught.value) == (
        "there is no profile 'spice-0.12'; known are contract, spice-0.12.4, spice-2015-11, spice-0.15"
    )


@pytest.mark.parametrize("quirk", QUIRKS, ids=named)
def test_a_quirk_says_what_it_breaks(quirk: type[Quirk]) -> None:
    """The table of quirks would lack a rule, a release or a sentence, or name a rule that is not there."""
    assert quirk.rules
    assert set(quirk.rules) <= set(RULES)
    assert quirk.releases
    assert set(quirk.releases) <= set(PROFILES)
    assert quirk.refuted_by in {None, *(each.name for each in INVARIANTS)}
    methods = [each for each in vars(quirk).values() if isinstance(each, FunctionType)]
    assert all(each.__doc__ for each in methods)


def test_the_table_of_quirks() -> None:
    """The table of the documentation would lack a quirk, or say something else than the quirk."""
    table = quirk_table()
    assert [row.name for row in table] == [quirk.__name__ for quirk in QUIRKS]
    assert table[0] == QuirkRow(
        name="NoLeaving",
        section="tokens",
        summary="`remove_client` is called, but nobody is marked as leaving.",
        rules=("RD-4", "TOK-2", "TOK-3"),
        releases=("spice-0.12.4", "spice-2015-11", "spice-0.15"),
        refuted_by="leaving_comes_first",
    )
    assert {row.refuted_by for row in table if row.name == "AddZeroIsAGrant"} == {OBSERVABLE_ONLY}
    assert all(row.summary.endswith(".") for row in table)


# Each quirk bites
#
# The recordings show most quirks: without the quirk some of the 500 go otherwise.
# What they never do (nested calls, failing ports, ...) a small scenario does here, in each release that has the quirk.

Scenario = Callable[[Owner], None]


def two_queues_at_destroy(owner: Owner) -> None:
    """Client a waits for m1 and m2, client b, which came later, for m2; then the device is destroyed."""
    owner.add_client("reader", send_tokens=2)
    owner.add_client("a", send_tokens=0)
    owner.call("start")
    owner.messages.append("m1")
    owner.call("wakeup")
    owner.add_client("b", send_tokens=0)
    owner.messages.append("m2")
    owner.call("wakeup")
    owner.take_events()
    owner.call("destroy")


def awaiting_begins_while_the_timer_is_armed(owner: Owner) -> None:
    """The port takes nothing of a server buffer; then a client awaits migration data, and more is added."""
    owner.call("start")
    owner.takes.append(0)
    owner.add(None, b"x")
    owner.add_client(wait=True)
    owner.take_events()
    owner.add(None, b"y")
    owner.events.append(f"retry in {owner.retry}")


def a_price_returns_after_an_odd_restore(owner: Owner) -> None:
    """The record has more client tokens than the client's window; then the client's buffer is written."""
    owner.add_client(wait=True)
    owner.call("start")
    owner.restore(4, 0, 0)
    owner.take_events()
    owner.add("a", b"x")


def an_empty_buffer_blocks_an_announcing_port(owner: Owner) -> None:
    """A port that announces writability is offered an empty buffer, of which it takes all 0 bytes."""
    owner.call("start")
    owner.add(None, b"")
    owner.events.append(f"retry in {owner.retry}")


def another_port_is_attached(owner: Owner) -> None:
    """A port takes nothing; it is replaced by another."""
    owner.call("start")
    owner.takes.append(0)
    owner.add(None, b"x")
    owner.take_events()
    owner.call("reset_dev_instance", 2)


def a_second_client_joins_an_awaiting_device(owner: Owner) -> None:
    """A client awaits migration data, and another joins."""
    owner.add_client("a", wait=True)
    owner.events.append(f"b joins: {owner.add_client('b')}")
    owner.events.append(f"awaiting: {owner.device.awaiting is not None}")


def credit_comes_inside_a_read_pass(owner: Owner) -> None:
    """A client with one send token grants another while it is sent the message."""
    owner.add_client(send_tokens=1)
    owner.call("start")
    owner.take_events()
    owner.messages.extend(["m1", "m2"])
    owner.inside("send", owner.later("send_to_client_tokens_add", "a", 1))
    owner.call("wakeup")


def an_awaiting_ends_without_port(owner: Owner) -> None:
    """A device that was reset is started for a client that awaits migration data; the client leaves."""
    owner.call("reset")
    owner.add_client(wait=True)
    owner.call("start")
    owner.take_events()
    owner.call("client_remove", "a")


def a_write_inside_a_write(owner: Owner) -> None:
    """A buffer is added inside the port's write of another."""
    owner.call("start")
    owner.inside("write", lambda: owner.add(None, b"y"))
    owner.add(None, b"x")


def reads_are_asked_for_inside_reads(owner: Owner) -> None:
    """The port says "nothing" and asks for a read meanwhile, three times over."""
    owner.inside("read", *[owner.later("wakeup")] * 3)
    owner.call("start")


def the_port_fails(owner: Owner) -> None:
    """The port's write fails for good."""
    owner.call("start")
    owner.takes.append(-1)
    owner.add(None, b"x")
    owner.events.append(f"port {owner.device.port}")


def a_read_is_asked_for_behind_a_message(owner: Owner) -> None:
    """The owner asks for a read when a message is dropped; the next read says "nothing"."""
    owner.call("start")
    owner.take_events()
    owner.messages.append("m1")
    owner.inside("unref", owner.later("wakeup"))
    owner.call("wakeup")


def a_write_is_asked_for_behind_a_write(owner: Owner) -> None:
    """The owner asks for a write when a token returns; the port then takes nothing of the next buffer."""
    owner.call("start")
    owner.takes.extend([0, 1, 0, 0])
    owner.add(None, b"x")
    owner.take_events()
    owner.inside("self-token", owner.later("wakeup"))
    owner.add(None, b"y")


def a_start_inside_a_reset(owner: Owner) -> None:
    """A reset returns a token, and the owner starts the device; the only client grants nothing, so nothing is read."""
    owner.add_client(send_tokens=0)
    owner.call("start")
    owner.takes.append(0)
    owner.add(None, b"x")
    owner.take_events()
    owner.inside("self-token", owner.later("start"))
    owner.call("reset")
    owner.events.append(f"running {owner.device.running}, port {owner.device.port}")


def a_grant_inside_a_push(owner: Owner) -> None:
    """Two messages wait; a client grants one, and while it is sent that, two more."""
    owner.add_client("reader", send_tokens=2)
    owner.add_client("a", send_tokens=0)
    owner.call("start")
    owner.messages.extend(["m1", "m2"])
    owner.call("wakeup")
    owner.take_events()
    owner.inside("send", owner.later("send_to_client_tokens_add", "a", 2))
    owner.call("send_to_client_tokens_add", "a", 1)


SCENARIOS: dict[type[Quirk], tuple[Scenario, list[str], list[str]]] = {
    life_cycle.DestroyWalksOldestFirst: (
        two_queues_at_destroy,
        ["unref m1", "unref m2", "unref m2"],
        ["unref m2", "unref m1", "unref m2"],
    ),
    writing.BlockedPassKeepsRetryTimer: (
        awaiting_begins_while_the_timer_is_armed,
        ["retry in 100"],
        ["retry in None"],
    ),
    tokens.AnnouncedCountLosesHighBits: (
        a_price_returns_after_an_odd_restore,
        ["write x -> 1", "tokens 0 to a"],
        ["write x -> 1", "tokens 4294967296 to a"],
    ),
    writing.NoRetryTimerForAnnouncingPort: (
        an_empty_buffer_blocks_an_announcing_port,
        ["read None", "write  -> 0", "retry in None"],
        ["read None", "write  -> 0", "retry in 100"],
    ),
    life_cycle.AttachDoesNotMove: (
        another_port_is_attached,
        [],
        ["write x -> 1", "self-token", "read None"],
    ),
    life_cycle.AddEndsAwaiting: (
        a_second_client_joins_an_awaiting_device,
        ["b joins: True", "awaiting: False"],
        ["b joins: False", "awaiting: True"],
    ),
    reading.CreditSnapshot: (
        credit_comes_inside_a_read_pass,
        ["read m1", "send m1 to a", "unref m1"],
        ["read m1", "send m1 to a", "unref m1", "read m2", "send m2 to a", "unref m2"],
    ),
    reading.ReadRequestsOutlastMessages: (
        a_read_is_asked_for_behind_a_message,
        ["read m1", "unref m1", "read None", "read None"],
        ["read m1", "unref m1", "read None"],
    ),
    reading.NestedPushes: (
        a_grant_inside_a_push,
        ["send m1 to a", "send m2 to a", "unref m2", "read None", "unref m1", "read None"],
        ["send m1 to a", "unref m1", "send m2 to a", "unref m2", "read None"],
    ),
    writing.WriteRequestsOutlastWrites: (
        a_write_is_asked_for_behind_a_write,
        ["write x -> 1", "self-token", "read None", "write y -> 0", "write y -> 0"],
        ["write x -> 1", "self-token", "read None", "write y -> 0"],
    ),
    reset.ResetDetachesLast: (
        a_start_inside_a_reset,
        ["self-token", "running True, port None"],
        ["self-token", "running False, port None"],
    ),
    reading.ReadsWithoutPort: (an_awaiting_ends_without_port, ["read None"], []),
    writing.NestedWrites: (
        a_write_inside_a_write,
        ["read None", "write x -> 1", "write x -> 1", "self-token", "write y -> 1", "self-token"],
        ["read None", "write x -> 1", "self-token", "write y -> 1", "self-token"],
    ),
    writing.RepeatsAsLongAsAsked: (
        reads_are_asked_for_inside_reads,
        ["read None", "read None", "read None", "read None"],
        ["read None", "read None"],
    ),
    writing.FailedPortIsNotNow: (
        the_port_fails,
        ["read None", "write x -> -1", "port 1"],
        ["read None", "write x -> -1", "port-failed", "port None"],
    ),
}
"""Quirks that the recordings do not show, each with what happens in a release, and what would without the quirk."""


def played(scenario: Scenario, machine: type[Contract]) -> list[str]:
    """What happens in a scenario."""
    announces = scenario is an_empty_buffer_blocks_an_announcing_port
    owner = Owner(machine=machine, announces_writability=announces, invariants=False)
    scenario(owner)
    return owner.events


@pytest.mark.parametrize(
    ("release", "quirk"),
    [each for each in QUIRKS_OF_RELEASES if each[1] not in SCENARIOS],
    ids=named,
)
def test_a_recording_shows_the_quirk(release: Profile, quirk: type[Quirk]) -> None:
    """A quirk would be in a profile though nothing that was recorded needs it."""
    machine = release.without(quirk).machine
    assert any(replay(each, machine) is not None for each in bundled(release.name))


@pytest.mark.parametrize(
    ("release", "quirk"), [each for each in QUIRKS_OF_RELEASES if each[1] in SCENARIOS], ids=named
)
def test_a_scenario_shows_the_quirk(release: Profile, quirk: type[Quirk]) -> None:
    """A quirk that no recording shows would do nothing, or something else than it says."""
    scenario, with_quirk, without_quirk = SCENARIOS[quirk]
    assert played(scenario, release.machine) == with_quirk
    assert played(scenario, release.without(quirk).machine) == without_quirk


@pytest.mark.parametrize("release", RELEASES, ids=named)
def test_a_release_sums_the_tokens_in_the_write_data_in_32_bits(release: Profile) -> None:
    """No recording restores so many tokens: 2**32 in the write data are 0 in the record, not the most that fits."""
    owner = Owner(machine=release.machine, invariants=False)
    owner.add_client(wait=True)
    owner.restore(1, 0, 2**32 - 1, data=b"x")
    owner.add("a", b"y")
    data = owner.call("migrate_data_marshall")
    assert data.record == Record(1, 1, 0, 0, 2, 0, 33)
    assert data.write_data == b"xy"


# Each quirk is noticed


def violated(quirk: type[Quirk], seed: int) -> str | None:
    """The invariant that random calls refute on the contract with this quirk, if any."""
    try:
        RandomCalls(seed, machine=quirk).run(60)
    except InvariantViolationError as violation:
        return violation.invariant.name
    except AssertionError:
        # The witness of the random calls has noticed it: that is comparison, not an invariant.
        return None
    return None


@pytest.mark.parametrize("quirk", [each for each in QUIRKS if each.refuted_by], ids=named)
def test_an_invariant_refutes_the_quirk(quirk: type[Quirk]) -> None:
    """An invariant would not notice a machine that breaks its rule."""
    assert any(violated(quirk, seed) == quirk.refuted_by for seed in range(2000))


@pytest.mark.parametrize("quirk", [each for each in QUIRKS if not each.refuted_by], ids=named)
def test_no_invariant_refutes_the_quirk(quirk: type[Quirk]) -> None:
    """The table would say that only comparison notices a quirk that an invariant refutes."""
    assert [violated(quirk, seed) for seed in range(100)] == [None] * 100
