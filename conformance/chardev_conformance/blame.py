"""Names the rules that a difference most likely breaks.

Theory of operation
===================
The lockstep sees a difference between two behaviours, not a rule: a price that is not returned shows as an announcement
that does not come.
Here the difference is judged beside the state of the spec, which stands where the other callback was allowed, or where
the call had ended.
The rules come back with the most likely first; behind them stand those that the spec's function at work cites.
"""

from typing import Any, Final

from chardev_conformance.scenario import Answer
from chardev_spec import events
from chardev_spec.contract import Contract
from chardev_spec.events import Callback
from chardev_spec.record import HEADER_SIZE, MESSAGE_SIZE
from chardev_spec.registry import FUNCTIONS
from chardev_spec.runner import Call
from chardev_spec.state import Client, Origin

CALL_RULES: Final = {
    "start": "LC-2",
    "wakeup": "LC-2",
    "retry_timer_fired": "LC-2",
    "write_buffer_add": "LC-2",
    "reset_dev_instance": "LC-4",
    "client_add": "LC-6",
    "client_remove": "LC-7",
    "client_exists": "LC-7",
    "send_to_client_tokens_add": "RD-7",
    "send_to_client_tokens_set": "RD-7",
    "wait_timer_fired": "RD-5",
    "restore": "MIG-4",
    "reset": "LC-3",
    "destroy": "LC-5",
    "migrate_data_marshall_empty": "MIG-3",
}
"""The rule that says what a call does."""

LEGAL_BY: Final = {
    "write_buffer_release_without_device": "BUF-3",
    "migrate_data_marshall": "MIG-2",
    "restore": "MIG-4",
}
"""The rule that says when a call is legal."""

EVENT_RULES: Final[dict[type[Callback], str]] = {
    events.PortWrite: "WR-5",
    events.ReadOneMsgFromDevice: "RD-8",
    events.RefMsgToClient: "RD-2",
    events.UnrefMsgToClient: "CB-4",
    events.SendMsgToClient: "RD-2",
    events.SendTokensToClient: "TOK-3",
    events.OnFreeSelfToken: "SELF-3",
    events.RemoveClient: "RD-4",
    events.PortFailed: "WR-8",
}
"""The rule that a callback is about, where nothing more is known."""


CRASH_RULES: Final = {
    "heap-use-after-free": "CB-1",
    "heap-buffer-overflow": "BUF-1",
}
"""What a sanitizer saw in a call: something gone that the call still needs, or a buffer smaller than was asked for."""


def of_crash(symptom: str, function: str) -> list[str]:
    """The rule that a crash in a call tells of by its kind; none where the kind alone does not tell."""
    kind = symptom.removeprefix("crash, ")
    if function == "marshaller_unref":
        return []  # what is gone is what the marshaller referred to, and the function's rules say so
    if kind == "heap-buffer-overflow" and function == "restore":
        return ["MIG-5"]
    return [CRASH_RULES[kind]] if kind in CRASH_RULES else []


def of_callback(
    machine: Contract,
    call: Call,
    answers: list[Answer],
    allowed: Callback | None,
    seen: Callback | None,
) -> tuple[str, ...]:
    """A callback came that was not allowed, or did not come: None is the end of the call.

    `answers` are those that the call got to its callbacks before.
    """
    answered = [answer.on for answer in answers]
    rules: list[str | None] = []
    if machine.device.destroyed:
        rules.append("LC-5" if call.function == "destroy" else "CB-1")
    elif call.frame.raised:
        rules.append("CB-5")
    if isinstance(allowed, events.PortWrite) and _last_write_failed(answers):
        rules.append("WR-8")  # there is another port to go on with, and the error was the old one's
    rules.append(_in_place_of(machine, call, answered, allowed, seen))
    if seen is not None:
        rules.append(_forbidding(machine, call, answered, seen))
    if allowed is not None:
        rules.append(_demanding(machine, call, answered, allowed))
        rules.extend(FUNCTIONS[call.innermost()].rules)
    if seen is not None:
        rules.append(EVENT_RULES[type(seen)])
    return tuple(dict.fromkeys(rule for rule in rules if rule is not None))


def _last_write_failed(answers: list[Answer]) -> bool:
    writes = [answer.value for answer in answers if answer.on == "write"]
    return bool(writes) and writes[-1] in {"fail", "over"}


def _in_place_of(
    machine: Contract,
    call: Call,
    answered: list[str],
    allowed: Callback | None,
    seen: Callback | None,
) -> str | None:
    """The rule that one callback in the place of another breaks, where the two together tell."""
    match allowed, seen:
        case events.PortWrite(), events.PortWrite(data=data):
            return (_of_current(machine) or "WR-1") if data else "BUF-6"
        case (events.PortFailed(), _) | (_, events.PortFailed()):
            return "WR-8"
        case (
            (None | events.PortWrite() | events.ReadOneMsgFromDevice()),
            events.UnrefMsgToClient(),
        ) | (events.UnrefMsgToClient(), (None | events.ReadOneMsgFromDevice())):
            return "CB-4"
        case events.PortWrite(), events.SendTokensToClient() | events.OnFreeSelfToken():
            return "TOK-1"  # a price returned for what is still to be written
        case None, events.ReadOneMsgFromDevice() if (
            machine.may_read() and machine.device.read_wanted and not machine.device.reading
        ):
            return "WR-5"  # a limit has ended the pass
        case events.SendMsgToClient(client=due), events.SendMsgToClient(client=peer):
            return "RD-3" if peer == due else "CB-2"
        case events.SendMsgToClient(), events.ReadOneMsgFromDevice() if _grants(call):
            return "RD-7"
        case events.SendMsgToClient(
            client=due
        ), events.RefMsgToClient() | events.UnrefMsgToClient():
            # Queued, where it could have been sent.
            row = _row(machine, due)
            return "TOK-4" if row is not None and not row.flow_control else "RD-3"
        case events.SendTokensToClient(client=due), events.SendTokensToClient(client=peer) if (
            peer == due and call.function == "reset"
        ):
            return "TOK-6"
        case events.UnrefMsgToClient(), events.RefMsgToClient() if "send" not in answered[-1]:
            return "CB-2"  # every recipient has been served
    return None


def _forbidding(machine: Contract, call: Call, answered: list[str], seen: Callback) -> str | None:
    """The rule that forbids what was seen, where the state tells."""
    device = machine.device
    row = _row(machine, getattr(seen, "client", None))
    match seen:
        case events.PortWrite() | events.ReadOneMsgFromDevice() if (
            call.function == "retry_timer_fired" and not answered and not device.retry_armed
        ):
            return "LC-9"
        case events.PortWrite(data=data):
            if not machine.may_move():
                return "MIG-2" if device.sealed else "WR-2"
            if not data:
                return "BUF-6"
            return "WR-5" if machine.buffers.pending() else "WR-1"
        case events.ReadOneMsgFromDevice():
            if not machine.may_read():
                return "MIG-2" if device.sealed else "RD-1"
            return "RD-7" if _grants(call) else None
        case events.SendMsgToClient() | events.SendTokensToClient() | events.RemoveClient() if (
            row is None
        ):
            return "CB-1"
        case events.SendMsgToClient() if row is not None:
            return _forbidding_to_send(call, row)
        case events.SendTokensToClient() if row is not None:
            if row.leaving:
                return "RD-4"
            if not row.flow_control:
                return "TOK-4"
            return "TOK-1" if call.function == "reset" else None
        case events.RemoveClient() if call.function == "wait_timer_fired":
            return "LC-9"
        case events.RemoveClient() if row is not None and call.function == "write_buffer_get":
            return "RD-4" if row.leaving else "TOK-2" if row.flow_control else "TOK-4"
        case events.OnFreeSelfToken() if device.self_tokens == device.initial_self_tokens:
            return "SELF-1"
    return None


def _forbidding_to_send(call: Call, row: Client) -> str | None:
    """The rule that forbids to send a message to a client now."""
    if row.leaving:
        return "RD-4"
    if row.flow_control and row.send_tokens == 0:
        return "RD-6"
    if row.pushing and _grants(call):
        return "RD-7"
    return "RD-3" if row.queue_length > 0 else None


def _demanding(machine: Contract, call: Call, answered: list[str], allowed: Callback) -> str:
    """The rule that demands what did not come."""
    function = call.function
    match allowed:
        case events.PortWrite() if _of_current(machine) is not None:
            return "WR-7"
        case events.PortWrite() if "write" not in answered:
            return CALL_RULES.get(function, "WR-5")
        case events.PortWrite() if function == "start" and answered[-1] != "write":
            return "LC-2"
        case events.ReadOneMsgFromDevice() if "read_one_msg_from_device" not in answered:
            if function in {"client_remove", "restore"} or _grants(call):
                return CALL_RULES[function]
            return "RD-1" if machine.clients.empty() else "RD-8"
        case events.SendMsgToClient() if _grants(call):
            return "RD-7"
        case events.RefMsgToClient() if not machine.device.running:
            return "RD-8"
        case events.SendTokensToClient() if function in {"reset", "restore"}:
            return CALL_RULES[function]
        case events.UnrefMsgToClient() if function == "reset":
            return "LC-3"
        case events.RemoveClient() if function == "write_buffer_get":
            return "TOK-2"
        case events.RemoveClient() if function == "wait_timer_fired":
            return "RD-5"
    return EVENT_RULES[type(allowed)]


def _grants(call: Call) -> bool:
    """Whether the call grants send tokens (RD-7)."""
    return call.function.startswith("send_to_client_tokens")


def _of_current(machine: Contract) -> str | None:
    """WR-7, where the buffer that has to be finished belongs to nobody."""
    rows = machine.buffers.pending_rows()
    return "WR-7" if rows and rows[0].origin == Origin.NOBODY else None


def _row(machine: Contract, peer: Any) -> Client | None:
    """The client with this name, if it is attached."""
    client = machine.clients.attached(peer)
    return None if client is None else machine.clients[client]


def of_refusal(
    machine: Contract, function: str, arguments: tuple[Any, ...], call: Call, rule: str
) -> tuple[str, ...]:
    """A legal call was refused, as if it broke this rule."""
    if function == "write_buffer_get":
        return (_of_get(machine, arguments[0], call.result), rule)
    return (LEGAL_BY.get(function, rule), rule)


def of_result(
    machine: Contract, function: str, arguments: tuple[Any, ...], allowed: Any
) -> tuple[str, ...]:
    """A call returned something else than what was allowed."""
    rules = []
    if function == "write_buffer_get":
        rules.append(_of_get(machine, arguments[0], allowed))
    elif function in CALL_RULES:
        rules.append(CALL_RULES[function])
    return tuple(dict.fromkeys([*rules, *FUNCTIONS[function].rules]))


def _of_get(machine: Contract, peer: Any, allowed: Any) -> str:
    """A buffer was given where there is none, or the other way round."""
    device = machine.device
    if allowed is not None and (not device.running or device.port is None):
        return "BUF-1"
    if peer is None:
        return "SELF-2" if allowed is None else "SELF-1"
    row = _row(machine, peer)
    if row is None:
        return "BUF-4"
    if allowed is None:
        return "RD-4" if row.leaving else "MIG-2"
    return "TOK-2" if row.flow_control else "TOK-4"


def of_message(allowed: bytes, seen: bytes) -> tuple[str, ...]:
    """A migration message is not the one that was allowed."""
    fields = {
        "version and connected": (HEADER_SIZE, 5, "MIG-1"),
        "client tokens": (HEADER_SIZE + 5, 4, "TOK-1"),
        "send tokens": (HEADER_SIZE + 9, 4, "RD-6"),
        "size": (HEADER_SIZE + 13, 4, "MIG-6"),
        "tokens in the data": (HEADER_SIZE + 17, 4, "MIG-2"),
        "pointer": (HEADER_SIZE + 21, 4, "MIG-1"),
        "data": (MESSAGE_SIZE, len(allowed), "MIG-6"),
    }
    rules = []
    for begin, size, rule in fields.values():
        field = allowed[begin : begin + size]
        if field != seen[begin : begin + size]:
            # A count that does not fit its field is the largest that fits, and so is one that there is not.
            rules.append("MIG-2" if field == bytes([255] * 4) else rule)
    return tuple(dict.fromkeys([*rules, "MIG-2", "MIG-1"]))


def of_retry_timer(
    machine: Contract, call: Call | None, allowed_ms: int | None, seen_ms: int | None
) -> tuple[str, ...]:
    """The retry timer is not as it should be after an outermost call."""
    device = machine.device
    if allowed_ms is None:
        rule = "LC-4" if device.port is None else "WR-4"
    elif seen_ms is not None:
        rule = "WR-5" if allowed_ms == device.now_ms else "WR-4"
    elif call is not None and call.raised is not None:
        rule = "CB-5"
    else:
        rule = "RD-8" if machine.read_owed() else "WR-6"
    return tuple(dict.fromkeys([rule, "WR-4", "WR-6", "WR-5"]))
