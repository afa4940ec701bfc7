"""Situations that chance alone seldom reaches: short runs of calls, mixed into what `RandomScript` does.

Each needs several things at once: a callback that takes away what the frame below stands on, at the one moment when it
stands on it.
They are written for a device in any state; calls that make no sense in it are left out, or refused by both sides.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from chardev_conformance.scenario import Answer, Step
from chardev_spec.record import HEADER_SIZE, MESSAGE_SIZE, Record, encode
from chardev_spec.state import UINT32_MAX


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays: two clients, the first of them attached if there is one, two ports, and names for buffers and data."""

    client: str
    other: str
    port: str
    other_port: str
    new_name: Callable[[str], str]
    data: Callable[[int], str]


Situation: TypeAlias = Callable[[Cast], list[Step]]


def call(name: str, *answers: Answer, **arguments: Any) -> Step:
    """A call with answers to its callbacks."""
    return Step(name, arguments, [*answers])


def inside(on: str, *calls: Step, value: Any = None, raises: bool = False) -> Answer:
    """A callback with calls inside it."""
    return Answer(on, value, raises, [*calls])


def running(cast: Cast) -> list[Step]:
    """The device has a port and runs."""
    return [call("reset_dev_instance", port=cast.port), call("start")]


def attached(
    client: str, *, flow: bool = True, credit: int = 0, room: int = 9, waits: bool = False
) -> Step:
    """A client with a window of 5 and room for messages."""
    return call(
        "client_add",
        client=client,
        do_flow_control=flow,
        max_send_queue_size=room,
        num_client_tokens=5,
        num_send_tokens=credit,
        wait_for_migrate_data=waits,
    )


def buffers(cast: Cast, client: str | None, count: int = 1, *answers: Answer) -> list[Step]:
    """Buffers are got and added; the port answers the first."""
    steps = []
    for i in range(count):
        get = call("write_buffer_get", client=client, size=2)
        steps += _filled(cast, get, *(answers if i == 0 else ()))
    return steps


def unpaid(cast: Cast, *answers: Answer) -> list[Step]:
    """A buffer that needs no client and no token is got and added; the port answers."""
    return _filled(cast, call("write_buffer_get_server_no_token", size=2), *answers)


def _filled(cast: Cast, get: Step, *answers: Answer) -> list[Step]:
    get.result_name = cast.new_name("b")
    return [get, call("write_buffer_add", *answers, buffer=get.result_name, data=cast.data(2))]


def queue(cast: Cast) -> list[Step]:
    """Two messages wait for the client, because another one took two."""
    reads = [inside("read_one_msg_from_device", value=True) for _ in range(2)]
    return [
        attached(cast.client),
        attached(cast.other, credit=2),
        call("send_to_client_tokens_set", client=cast.client, tokens=0),
        *running(cast),
        call("wakeup", *reads),
    ]


def alone(cast: Cast) -> list[Step]:
    """A stopped device without clients."""
    return [
        call("stop"),
        call("client_remove", client=cast.client),
        call("client_remove", client=cast.other),
        call("reset_dev_instance", port=cast.port),
    ]


def marshalled(cast: Cast) -> list[Step]:
    """The device is marshalled."""
    return [Step("migrate_data_marshall", result_name=cast.new_name("x"))]


RECORD: Final = Record(
    version=1,
    connected=1,
    client_tokens=1,
    send_tokens=2,
    write_size=2,
    write_client_tokens=1,
    write_data_offset=MESSAGE_SIZE,
)
"""A record for a window of 5: three tokens are freed."""

DAMAGE: Final[dict[str, tuple[int, ...]]] = {
    "version": (2, UINT32_MAX),
    "connected": (0,),
    "client_tokens": (0, 5, UINT32_MAX),
    "write_size": (3, UINT32_MAX),
    "write_client_tokens": (5, UINT32_MAX),
    "write_data_offset": (0, 8, 25, MESSAGE_SIZE - 1, MESSAGE_SIZE + 1, UINT32_MAX),
}
"""What makes `RECORD` one that is refused, when the client has taken a token of its own (MIG-5)."""


def restored(record: Record, data: str, *answers: Answer) -> Step:
    """The device is restored, as far as it takes the record."""
    message = bytes(HEADER_SIZE) + encode(record) + bytes.fromhex(data)
    return call("restore", *answers, message=message.hex())


def reset_while_prices_return(cast: Cast) -> list[Step]:
    """WR-3: several buffers complete at once, and the first price that is returned brings a reset."""
    return [
        call("stop"),
        *buffers(cast, None, 2),
        *buffers(cast, cast.client, 2),
        call("reset_dev_instance", port=cast.port),
        call("start", inside("write", value="all"), inside("on_free_self_token", call("reset"))),
    ]


def reset_inside_a_write(cast: Cast) -> list[Step]:
    """WR-7: the answer of a port write is ignored, though other data waits by then."""
    again = [call("reset"), *buffers(cast, cast.client), *running(cast)]
    return [
        attached(cast.client),
        *running(cast),
        *buffers(cast, cast.client, 1, inside("write", *again, value="all")),
    ]


def removal_inside_a_write(cast: Cast) -> list[Step]:
    """WR-7: the client of the buffers that the port is taking goes; some are touched, some are not."""
    return [
        attached(cast.client),
        call("stop"),
        *buffers(cast, cast.client, 3),
        call("reset_dev_instance", port=cast.port),
        call("start", inside("write", call("client_remove", client=cast.client), value=3)),
    ]


def replaced_port_fails(cast: Cast) -> list[Step]:
    """WR-8: a port fails that is no longer the attached one."""
    replace = call("reset_dev_instance", port=cast.other_port)
    return [*running(cast), *unpaid(cast, inside("write", replace, value="fail"))]


def port_asks_again(cast: Cast) -> list[Step]:
    """WR-5: a port that takes nothing asks again, each time."""
    again = [inside("write", call("wakeup"), value=0) for _ in range(4)]
    return [*running(cast), *unpaid(cast, *again)]


def read_inside_a_push(cast: Cast) -> list[Step]:
    """RD-3, RD-7: a message is read, and a token granted, while older messages are being pushed."""
    read = call("wakeup", inside("read_one_msg_from_device", value=True))
    grant = call("send_to_client_tokens_add", client=cast.client, tokens=1)
    push = inside("send_msg_to_client", read, grant)
    return [
        *queue(cast),
        call("send_to_client_tokens_add", push, client=cast.client, tokens=3),
    ]


def exception_before_a_pass(cast: Cast) -> list[Step]:
    """CB-5: a removal fails to drop a reference while data waits, and still owes a write."""
    refused = inside("write", value=0)
    failing = inside("unref_msg_to_client", raises=True)
    return [
        *queue(cast),
        *unpaid(cast, refused),
        call("client_remove", failing, client=cast.client),
    ]


def start_inside_a_reset(cast: Cast) -> list[Step]:
    """LC-3: a callback of a reset starts the device, which has no port."""
    start = call("start")
    get = call("write_buffer_get", client=cast.client, size=1)
    get.result_name = cast.new_name("b")
    answers = [inside("send_tokens_to_client", start), inside("on_free_self_token", start)]
    again = call("reset_dev_instance", port=cast.port)
    return [attached(cast.client), get, call("reset", *answers), *unpaid(cast), again]


def reset_of_an_awaited_client(cast: Cast) -> list[Step]:
    """LC-3: what a client granted while it was awaited is gone."""
    return [
        *alone(cast),
        attached(cast.client, waits=True),
        call("send_to_client_tokens_add", client=cast.client, tokens=2),
        call("reset"),
        *running(cast),
        call("wakeup", inside("read_one_msg_from_device", value=True)),
    ]


def awaits_inside_a_write(cast: Cast) -> list[Step]:
    """LC-6: a client is to await migration data while the port is taking bytes."""
    wait = attached(cast.client, waits=True)
    return [*alone(cast), *unpaid(cast), call("start", inside("write", wait, value=0))]


def stop_inside_a_write(cast: Cast) -> list[Step]:
    """LC-8: bytes are taken by a device that is stopped by then; it may still await migration data."""
    return [
        *alone(cast),
        *unpaid(cast),
        call("start", inside("write", call("stop"), value="all")),
        attached(cast.client, waits=True),
    ]


def marshalled_with_a_message(cast: Cast) -> list[Step]:
    """MIG-2: one message waits for the only client."""
    return [
        *queue(cast),
        call("client_remove", client=cast.other),
        call("send_to_client_tokens_add", client=cast.client, tokens=1),
        call("stop"),
        *marshalled(cast),
    ]


def marshalled_inside_a_callback(cast: Cast) -> list[Step]:
    """MIG-2: a stopped device is marshalled while it announces tokens."""
    get = call("write_buffer_get", client=cast.client, size=1)
    get.result_name = cast.new_name("b")
    release = call("write_buffer_release", buffer=get.result_name)
    release.answers.append(inside("send_tokens_to_client", *marshalled(cast)))
    return [*alone(cast), attached(cast.client), get, release]


def marshalled_with_large_counts(cast: Cast) -> list[Step]:
    """MIG-2: the client granted more than the record's field holds."""
    grant = call("send_to_client_tokens_add", client=cast.client, tokens=UINT32_MAX)
    return [*alone(cast), attached(cast.client, credit=2), grant, *marshalled(cast)]


def restored_client_has_been_busy(cast: Cast) -> list[Step]:
    """MIG-4: the client took tokens and granted some before the restore, and answers its first announcement."""
    answer = [attached(cast.other), *buffers(cast, cast.client), call("wakeup")]
    read = inside("read_one_msg_from_device", value=True)
    return [
        *alone(cast),
        attached(cast.client, waits=True),
        *buffers(cast, cast.client),
        call("send_to_client_tokens_add", client=cast.client, tokens=2),
        *running(cast),
        restored(RECORD, cast.data(2), inside("send_tokens_to_client", *answer)),
        call("wakeup", read, read),
    ]


def damaged_records(cast: Cast) -> list[Step]:
    """MIG-5: every refused record leaves the device as it was, so that a good one restores it."""
    data = cast.data(2)
    damaged = [
        restored(RECORD._replace(**{field: value}), data)
        for field, values in DAMAGE.items()
        for value in values
    ]
    truncated = [
        call("restore", message=bytes(size).hex()) for size in (0, 8, 20, MESSAGE_SIZE - 1)
    ]
    return [
        *alone(cast),
        attached(cast.client, waits=True),
        *buffers(cast, cast.client),
        *damaged,
        *truncated,
        restored(RECORD, data),
        *running(cast),
    ]


def full_queue(cast: Cast) -> list[Step]:
    """RD-4: a client whose queue is full does all it can while its removal is asked for."""
    get = call("write_buffer_get", client=cast.client, size=1)
    grant = call("send_to_client_tokens_add", client=cast.client, tokens=1)
    return [
        call("client_remove", client=cast.client),
        attached(cast.client, room=0),
        attached(cast.other, flow=False),
        *running(cast),
        call(
            "wakeup",
            inside("read_one_msg_from_device", value=True),
            inside("remove_client", get, grant, call("wakeup")),
        ),
    ]


def destroyed_inside_a_fan_out(cast: Cast) -> list[Step]:
    """CB-1, LC-5: the first of two clients destroys the device, and messages wait for the other."""
    return [
        *queue(cast),
        call(
            "send_to_client_tokens_add",
            inside("read_one_msg_from_device", value=True),
            inside("send_msg_to_client", call("destroy")),
            client=cast.other,
            tokens=1,
        ),
    ]


SITUATIONS: Final[tuple[Situation, ...]] = (
    reset_while_prices_return,
    reset_inside_a_write,
    removal_inside_a_write,
    replaced_port_fails,
    port_asks_again,
    read_inside_a_push,
    exception_before_a_pass,
    start_inside_a_reset,
    reset_of_an_awaited_client,
    awaits_inside_a_write,
    stop_inside_a_write,
    marshalled_with_a_message,
    marshalled_inside_a_callback,
    marshalled_with_large_counts,
    restored_client_has_been_busy,
    damaged_records,
    full_queue,
    destroyed_inside_a_fan_out,
)
"""All of them; one is chosen now and then."""
