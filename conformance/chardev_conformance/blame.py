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

from chardev_spec import events
from chardev_spec.contract import Contract
from chardev_spec.events import Callback
from chardev_spec.record import HEADER_SIZE, MESSAGE_SIZE
from chardev_spec.registry import FUNCTIONS
from chardev_spec.runner import Call
from chardev_spec.state import Client

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


def of_callback(
    machine: Contract,
    call: Call,
    answered: list[str],
    allowed: Callback | None,
    seen: Callback | None,
) -> tuple[str, ...]:
    """A callback came that was not allowed, or did not come: None is the end of the call.

    `answered` names the callbacks that the call made before.
    """
    rules: list[str | None] = []
    if machine.device.destroyed:
        rules.append("LC-5" if call.function == "destroy" else "CB-1")
    elif call.frame.raised:
        rules.append("CB-5")
    rules.append(_of_pair(machine, call, allowed, seen))
    if seen is not None:
        rules.append(_forbidding(machine, call, seen))
    if allowed is not None:
        rules.append(_demanding(machine, call, answered, allowed))
        rules.extend(FUNCTIONS[call.innermost()].rules)
    rules.extend(EVENT_RULES[type(each)] for each in (allowed, seen) if each is not None)
    return tuple(dict.fromkeys(rule for rule in rules if rule is not None))


def _of_pair(
    machine: Contract, call: Call, allowed: Callback | None, seen: Callback | None
) -> str | None:
    """The rule that one callback in the place of another, or another content, breaks."""
    match allowed, seen:
        case events.PortWrite(), events.PortWrite():
            return "WR-1"
        case events.SendMsgToClient(client=due), events.SendMsgToClient(client=peer):
            return "RD-3" if peer == due else "RD-2"
        case events.SendTokensToClient(client=due), events.SendTokensToClient(client=peer):
            return "TOK-6" if call.function == "reset" and due == peer else None
        case events.UnrefMsgToClient(), events.RefMsgToClient():
            return "CB-2"  # the fan-out is over
        case events.SendMsgToClient(), events.RefMsgToClient() | events.UnrefMsgToClient():
            return None if machine.clients.attached(allowed.client) is None else _not_sent(machine, allowed)
        case events.RefMsgToClient(), events.UnrefMsgToClient():
            return "RD-2"
    return None


def _not_sent(machine: Contract, allowed: events.SendMsgToClient) -> str | None:
    client = machine.clients.attached(allowed.client)
    assert client is not None
    return None if machine.clients[client].flow_control else "TOK-4"


def _forbidding(machine: Contract, call: Call, seen: Callback) -> str | None:
    """The rule that forbids what was seen, where the state tells."""
    device = machine.device
    match seen:
        case events.PortWrite():
            if not machine.may_move():
                return "MIG-2" if device.sealed else "WR-2"
            return "WR-1" if not machine.buffers.pending() else None
        case events.ReadOneMsgFromDevice():
            if machine.may_read():
                return None
            return "MIG-2" if device.sealed else "RD-1"
        case events.SendMsgToClient(client=peer):
            row = _row(machine, peer)
            return "CB-1" if row is None else _forbidding_to_send(row)
        case events.SendTokensToClient(client=peer):
            row = _row(machine, peer)
            if row is None:
                return "CB-1"
            return "TOK-4" if not row.flow_control else "RD-4" if row.leaving else None
        case events.RemoveClient(client=peer):
            row = _row(machine, peer)
            if row is None:
                return "CB-1"
            if call.function == "wait_timer_fired":
                return "LC-9"
            if call.function == "write_buffer_get" and not row.leaving:
                return "TOK-2" if row.flow_control else "TOK-4"
    return None


def _row(machine: Contract, peer: Any) -> Client | None:
    client = machine.clients.attached(peer)
    return None if client is None else machine.clients[client]


def _forbidding_to_send(row: Client) -> str | None:
    """The rule that forbids to send a message to a client now."""
    if row.leaving:
        return "RD-4"
    if row.pushing:
        return "RD-7"
    if row.queue_length > 0:
        return "RD-3"
    return "RD-6" if row.flow_control and row.send_tokens == 0 else None


def _demanding(machine: Contract, call: Call, answered: list[str], allowed: Callback) -> str | None:
    """The rule that demands what did not come."""
    match allowed:
        case events.PortWrite() if "write" not in answered:
            return CALL_RULES.get(call.function)
        case events.ReadOneMsgFromDevice() if machine.clients.empty():
            return "RD-1"
        case events.SendMsgToClient() if call.function.startswith("send_to_client_tokens"):
            return "RD-7"
        case events.SendTokensToClient() if call.function in {"reset", "restore"}:
            return CALL_RULES[call.function]
        case events.RemoveClient() if call.function == "write_buffer_get":
            return "TOK-2"
        case events.RemoveClient() if call.function == "wait_timer_fired":
            return "RD-5"
    return None


def of_result(machine: Contract, function: str, arguments: tuple[Any, ...], allowed: Any) -> tuple[str, ...]:
    """A call returned something else than what was allowed."""
    rules = []
    if function.startswith("write_buffer_get"):
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
        "MIG-1": slice(0, HEADER_SIZE + 5),
        "TOK-1": slice(HEADER_SIZE + 5, HEADER_SIZE + 9),
        "RD-6": slice(HEADER_SIZE + 9, HEADER_SIZE + 13),
        "MIG-6": slice(HEADER_SIZE + 13, HEADER_SIZE + 17),
        "MIG-2": slice(HEADER_SIZE + 17, HEADER_SIZE + 21),
    }
    rules = [rule for rule, place in fields.items() if allowed[place] != seen[place]]
    if allowed[HEADER_SIZE + 21 : MESSAGE_SIZE] != seen[HEADER_SIZE + 21 : MESSAGE_SIZE]:
        rules.append("MIG-1")
    if allowed[MESSAGE_SIZE:] != seen[MESSAGE_SIZE:]:
        rules.append("MIG-6")
    return tuple(dict.fromkeys([*rules, "MIG-2", "MIG-1"]))


def of_retry_timer(
    machine: Contract, call: Call | None, allowed_ms: int | None, seen_ms: int | None
) -> tuple[str, ...]:
    """The retry timer is not as it should be after an outermost call."""
    device = machine.device
    rules = []
    if call is not None and call.raised is not None:
        rules.append("CB-5")
    if machine.read_owed():
        rules.append("RD-8")
    if allowed_ms is None:
        rules.append("LC-4" if device.port is None else "WR-4")
    elif seen_ms is None:
        rules.append("WR-6")
    elif allowed_ms == device.now_ms:
        rules.append("WR-5")
    return tuple(dict.fromkeys([*rules, "WR-4", "WR-6", "WR-5"]))
