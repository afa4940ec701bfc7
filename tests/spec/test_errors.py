"""Contract errors: each names its rule, says what is wrong, and changes nothing."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from chardev_spec import errors
from chardev_spec.errors import ContractError
from tests.spec.owner import HEADER, Owner, snapshot

TOO_LARGE = 2**32


class Case(NamedTuple):
    """A forbidden call: what leads to it, the call, and the error."""

    prepare: Callable[[Owner], object]
    function: str
    arguments: tuple[Any, ...]
    error: type[Exception]
    message: str


def nothing(owner: Owner) -> None:
    """The device as it is, with client "a"."""


def hold(owner: Owner) -> None:
    """The owner holds buffer 1, of 4 bytes."""
    owner.hold("a", 4)


def release(owner: Owner) -> None:
    """Buffer 1 has been released."""
    owner.call("write_buffer_release", owner.hold("a", 4))


def add(owner: Owner) -> None:
    """Buffer 1 is queued."""
    owner.add("a", b"data")


def destroy(owner: Owner) -> None:
    """The device is destroyed; buffer 1 was held and is free."""
    handle = owner.hold("a")
    owner.call("destroy")
    owner.call("write_buffer_release_without_device", handle)


def await_data(owner: Owner) -> None:
    """The client awaits migration data."""
    owner.call("client_remove", "a")
    owner.add_client(wait=True)


def await_data_and_leave(owner: Owner) -> None:
    """The client that awaits migration data is leaving."""
    owner.call("client_remove", "a")
    owner.add_client(window=0, wait=True)
    owner.call("write_buffer_get", "a", 1)


def leave(owner: Owner) -> None:
    """The client is leaving."""
    owner.call("client_remove", "a")
    owner.add_client(window=0)
    owner.call("write_buffer_get", "a", 1)


def wait_for_tokens(owner: Owner) -> None:
    """Two messages wait for the client's tokens."""
    owner.call("send_to_client_tokens_set", "a", 0)
    owner.add_client("b", send_tokens=9)
    owner.messages.extend(["m1", "m2"])
    owner.call("start")
    owner.call("client_remove", "b")
    owner.call("stop")


ADD = ("a", True, 1, 4, 1, False)
NOT_HELD = "the owner does not hold this buffer; it is added or released exactly once"
DESTROYED = "the device has been destroyed; create a new one"

FORBIDDEN = {
    "count negative": Case(
        nothing, "send_to_client_tokens_add", ("a", -1), errors.CountOutOfRangeError,
        "tokens is -1; it must be 0 to 4294967295",
    ),
    "count too large": Case(
        nothing, "send_to_client_tokens_set", ("a", TOO_LARGE), errors.CountOutOfRangeError,
        "tokens is 4294967296; it must be 0 to 4294967295",
    ),
    "queue size too large": Case(
        nothing, "client_add", ("b", True, TOO_LARGE, 4, 1, False), errors.CountOutOfRangeError,
        "max_send_queue_size is 4294967296; it must be 0 to 4294967295",
    ),
    "window negative": Case(
        nothing, "client_add", ("b", True, 1, -1, 1, False), errors.CountOutOfRangeError,
        "client_tokens is -1; it must be 0 to 4294967295",
    ),
    "send tokens negative": Case(
        nothing, "client_add", ("b", True, 1, 4, -2, False), errors.CountOutOfRangeError,
        "send_tokens is -2; it must be 0 to 4294967295",
    ),
    "attached already": Case(
        nothing, "client_add", ADD, errors.ClientAlreadyAttachedError,
        "client 'a' is attached already",
    ),
    "starving window": Case(
        nothing, "client_add", ("b", True, 1, 1, 1, False), errors.StarvingWindowError,
        "a window of 1 tokens never reaches the interval of 2",
    ),
    "remove of a stranger": Case(
        nothing, "client_remove", ("b",), errors.ClientNotAttachedError, "client 'b' is not attached",
    ),
    "tokens_add of a stranger": Case(
        nothing, "send_to_client_tokens_add", ("b", 0), errors.ClientNotAttachedError,
        "client 'b' is not attached",
    ),
    "tokens_set of a stranger": Case(
        nothing, "send_to_client_tokens_set", ("b", 1), errors.ClientNotAttachedError,
        "client 'b' is not attached",
    ),
    "port elsewhere": Case(
        lambda owner: setattr(owner.runner.state.ports[2], "attached_elsewhere", True),
        "reset_dev_instance", (2,), errors.PortAttachedElsewhereError,
        "port 2 is attached to another device",
    ),
    "get of negative size": Case(
        nothing, "write_buffer_get", ("a", -1), errors.NegativeSizeError,
        "size is -1 bytes; it must be 0 or more",
    ),
    "get without token of negative size": Case(
        nothing, "write_buffer_get_server_no_token", (-5,), errors.NegativeSizeError,
        "size is -5 bytes; it must be 0 or more",
    ),
    "overfull": Case(
        hold, "write_buffer_add", (1, b"12345"), errors.BufferOverfullError,
        "5 bytes used in a buffer of 4 bytes",
    ),
    "add after release": Case(release, "write_buffer_add", (1, b""), errors.BufferNotHeldError, NOT_HELD),
    "double add": Case(add, "write_buffer_add", (1, b""), errors.BufferNotHeldError, NOT_HELD),
    "release after add": Case(add, "write_buffer_release", (1,), errors.BufferNotHeldError, NOT_HELD),
    "double release": Case(release, "write_buffer_release", (1,), errors.BufferNotHeldError, NOT_HELD),
    "foreign buffer": Case(nothing, "write_buffer_release", (77,), errors.BufferNotHeldError, NOT_HELD),
    "release without device while it lives": Case(
        hold, "write_buffer_release_without_device", (1,), errors.DeviceStillAliveError,
        "the device of this buffer is alive; release the buffer to it, or its token is lost",
    ),
    "double release without device": Case(
        destroy, "write_buffer_release_without_device", (1,), errors.BufferNotHeldError, NOT_HELD,
    ),
    "marshaller without reference": Case(
        add, "marshaller_unref", (1,), errors.BufferNotHeldError,
        "no marshaller refers to this buffer",
    ),
    "marshaller of a foreign buffer": Case(
        nothing, "marshaller_unref", (77,), errors.BufferNotHeldError,
        "no marshaller refers to this buffer",
    ),
    "marshall while running": Case(
        lambda owner: owner.call("start"), "migrate_data_marshall", (), errors.CannotMarshallError,
        "the device is running; stop it first",
    ),
    "marshall while awaiting": Case(
        await_data, "migrate_data_marshall", (), errors.CannotMarshallError,
        "the device awaits migration data itself",
    ),
    "marshall without client": Case(
        lambda owner: owner.call("client_remove", "a"), "migrate_data_marshall", (),
        errors.CannotMarshallError, "the device has 0 clients; only one can be marshalled",
    ),
    "marshall with two clients": Case(
        lambda owner: owner.add_client("b"), "migrate_data_marshall", (),
        errors.CannotMarshallError, "the device has 2 clients; only one can be marshalled",
    ),
    "marshall while leaving": Case(
        leave, "migrate_data_marshall", (), errors.CannotMarshallError, "the client is leaving",
    ),
    "marshall with a send queue": Case(
        wait_for_tokens, "migrate_data_marshall", (), errors.CannotMarshallError,
        "2 messages wait in the client's send queue",
    ),
    "marshall with a held buffer": Case(
        hold, "migrate_data_marshall", (), errors.CannotMarshallError,
        "the owner holds a buffer of the client",
    ),
    "restore without awaiting": Case(
        nothing, "restore", (b"",), errors.CannotRestoreError,
        "no client of this device awaits migration data",
    ),
    "restore while leaving": Case(
        await_data_and_leave, "restore", (b"",), errors.CannotRestoreError,
        "the client that awaits migration data is leaving",
    ),
    "restore of nothing": Case(
        await_data, "restore", (HEADER,), errors.BadMigrationDataError,
        "the message has 8 bytes; header and record are 33",
    ),
} | {
    f"{function} of a destroyed device": Case(
        destroy, function, arguments, errors.DestroyedDeviceError, DESTROYED,
    )
    for function, arguments in {
        "opaque_get": (),
        "reset_dev_instance": (None,),
        "destroy": (),
        "migrate_data_marshall": (),
        "restore": (b"",),
        "reset": (),
        "client_add": ADD,
        "client_remove": ("a",),
        "client_exists": ("a",),
        "start": (),
        "stop": (),
        "wakeup": (),
        "send_to_client_tokens_add": ("a", -1),
        "send_to_client_tokens_set": ("a", 1),
        "write_buffer_get": ("a", -1),
        "write_buffer_get_server_no_token": (1,),
        "write_buffer_add": (1, b""),
        "write_buffer_release": (1,),
    }.items()
}  # fmt: skip


def refused(owner: Owner, case: Case) -> None:
    """Make the call: it must raise the error and change nothing."""
    before, events = snapshot(owner.runner.state), list(owner.events)
    with pytest.raises(case.error) as caught:
        owner.call(case.function, *case.arguments)
    assert (type(caught.value), str(caught.value)) == (case.error, case.message)
    assert snapshot(owner.runner.state) == before
    assert owner.events == events


@pytest.mark.parametrize("case", FORBIDDEN.values(), ids=FORBIDDEN)
def test_a_forbidden_call_changes_nothing(case: Case) -> None:
    """A caller that errs could not go on, or would not learn what was wrong (the section "Contract errors")."""
    owner = Owner(interval=2)
    owner.add_client(window=4)
    case.prepare(owner)
    refused(owner, case)
    assert owner.runner.stack == []


INSIDE = {
    name: case
    for name, case in FORBIDDEN.items()
    if case.function not in {"migrate_data_marshall", "restore"}
    and case.prepare in {nothing, hold, release, add}
}


@pytest.mark.parametrize("word", ["write", "self-token", "ref", "send", "unref", "read"])
@pytest.mark.parametrize("case", INSIDE.values(), ids=INSIDE)
def test_a_forbidden_call_inside_a_callback_changes_nothing(case: Case, word: str) -> None:
    """A call refused inside a callback would leave the outer frame a changed device (CB-1)."""
    owner = Owner(interval=2)
    owner.add_client(window=4)
    case.prepare(owner)
    owner.add(None, b"server")
    owner.messages.append("m")
    done: list[str] = []

    def refuse() -> None:
        refused(owner, case)
        done.append(word)

    owner.inside(word, refuse)
    owner.call("start")
    assert done == [word]


def test_a_contract_error_that_leaves_a_callback_is_its_exception() -> None:
    """An owner that lets a contract error through would break the frame around it (CB-5)."""
    owner = Owner()
    owner.add(None, b"x")
    owner.inside("write", owner.later("client_remove", "nobody"))
    with pytest.raises(errors.ClientNotAttachedError, match=r"^client 'nobody' is not attached$"):
        owner.call("start")
    # "Took nothing": the buffer waits for the timer.
    assert (owner.pending(), owner.retry) == (b"x", 0)


def test_marshall_inside_a_callback() -> None:
    """A device would be sealed while a frame still moves its data (MIG-2)."""
    owner = Owner()
    owner.add_client()
    case = Case(
        nothing, "migrate_data_marshall", (), errors.CannotMarshallError,
        "this is inside a callback of the device",
    )  # fmt: skip
    owner.inside("tokens", lambda: refused(owner, case))
    owner.call("write_buffer_release", owner.hold("a"))
    assert owner.events == ["tokens 1 to a"]


def test_marshall_of_too_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A size that does not fit its field would be cut (MIG-2, TOK-5)."""
    owner = Owner()
    owner.add_client()
    monkeypatch.setattr(type(owner.runner.state.buffers), "pending_bytes", lambda _: 2**32)
    with pytest.raises(errors.CannotMarshallError, match=r"^2\*\*32 bytes or more are pending$"):
        owner.call("migrate_data_marshall")
    assert not owner.device.sealed


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((2, 1, 1), errors.PortAttachedElsewhereError, "port 2 is attached to another device"),
        ((1, -1, 1), errors.CountOutOfRangeError,
         "client_tokens_interval is -1; it must be 0 to 4294967295"),
        ((1, 1, TOO_LARGE), errors.CountOutOfRangeError,
         "self_tokens is 4294967296; it must be 0 to 4294967295"),
    ],
)  # fmt: skip
def test_create_refuses(arguments: tuple[int, ...], error: type[Exception], message: str) -> None:
    """A device would be made that its rules do not cover (LC-4, TOK-5)."""
    owner = Owner()
    owner.runner.state.ports[2].attached_elsewhere = True
    refused(owner, Case(nothing, "create", arguments, error, message))


def test_marshall_empty_is_legal_anywhere() -> None:
    """An owner without device could not answer a migration (MIG-3)."""
    owner = Owner()
    owner.call("destroy")
    assert owner.call("migrate_data_marshall_empty") == b"\x01" + bytes(24)


def test_each_error_names_its_rule() -> None:
    """A report could not say which rule a call broke (the section "Contract errors")."""
    assert {error.__name__: error.rule for error in ContractError.__subclasses__()} == {
        "DestroyedDeviceError": "LC-5",
        "PortAttachedElsewhereError": "LC-4",
        "ClientAlreadyAttachedError": "LC-6",
        "StarvingWindowError": "LC-6",
        "ClientNotAttachedError": "RD-9",
        "BufferNotHeldError": "BUF-1",
        "BufferOverfullError": "BUF-1",
        "NegativeSizeError": "BUF-1",
        "CountOutOfRangeError": "TOK-5",
        "CannotMarshallError": "MIG-2",
        "CannotRestoreError": "MIG-4",
        "DeviceStillAliveError": "BUF-3",
    }
    for error in ContractError.__subclasses__():
        assert error.__doc__ is not None
        assert error.__doc__.startswith(f"{error.rule}: ")


def test_every_error_has_a_case() -> None:
    """An error would be untested (the section "Contract errors")."""
    covered = {case.error for case in FORBIDDEN.values()}
    assert covered == {*ContractError.__subclasses__(), errors.BadMigrationDataError}
