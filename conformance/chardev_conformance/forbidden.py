"""Which calls the contract forbids, asked before they are made.

An implementation that may abort on a forbidden call (C) is not made to perform one.
"""

from collections.abc import Callable
from typing import Any, Final

from chardev_spec.contract import Contract
from chardev_spec.errors import (
    ClientAlreadyAttachedError,
    ContractError,
    DeviceStillAliveError,
)


def forbidden(machine: Contract, call: str, arguments: tuple[Any, ...]) -> bool:
    """Whether the contract forbids this call now; data that is refused as bad (MIG-5) is no such call."""
    check = _CHECKS.get(call)
    if check is None:
        return False
    machine.device.frames += 1
    try:
        check(machine, *arguments)
    except ContractError:
        return True
    finally:
        machine.device.frames -= 1
    return False


def _counts(machine: Contract, *counts: int) -> None:
    for count in counts:
        machine.check_count("count", count)


def _create(machine: Contract, port: int, *counts: int) -> None:
    machine.check_port(port)
    _counts(machine, *counts)


def _reset_dev_instance(machine: Contract, port: int | None) -> None:
    machine.check_alive()
    if port is not None:
        machine.check_port(port)


def _client_add(
    machine: Contract,
    peer: Any,
    flow_control: bool,
    max_send_queue_size: int,
    window: int,
    credit: int,
    _waits: bool,
) -> None:
    machine.check_alive()
    _counts(machine, max_send_queue_size, window, credit)
    if machine.clients.attached(peer) is not None:
        raise ClientAlreadyAttachedError
    machine.check_not_starving(flow_control, window)


def _client_remove(machine: Contract, peer: Any) -> None:
    machine.check_alive()
    machine.check_attached(peer)


def _tokens(machine: Contract, peer: Any, tokens: int) -> None:
    machine.check_grant(peer, tokens)


def _get(machine: Contract, *peer_and_size: Any) -> None:
    machine.check_alive()
    machine.check_size(peer_and_size[-1])


def _add(machine: Contract, handle: int, data: bytes) -> None:
    machine.check_alive()
    machine.check_held(handle)
    machine.check_used(handle, len(data))


def _release(machine: Contract, handle: int) -> None:
    machine.check_alive()
    machine.check_held(handle)


def _release_without_device(machine: Contract, handle: int) -> None:
    machine.check_held(handle)
    if not machine.device.destroyed:
        raise DeviceStillAliveError


def _marshal(machine: Contract) -> None:
    machine.check_alive()
    machine.check_can_marshal()


def _restore(machine: Contract, _message: bytes) -> None:
    machine.check_alive()
    machine.check_can_restore()


def _only_alive(machine: Contract, *_: Any) -> None:
    machine.check_alive()


_CHECKS: Final[dict[str, Callable[..., None]]] = {
    "create": _create,
    "reset_dev_instance": _reset_dev_instance,
    "destroy": _only_alive,
    "opaque_get": _only_alive,
    "reset": _only_alive,
    "start": _only_alive,
    "stop": _only_alive,
    "wakeup": _only_alive,
    "client_add": _client_add,
    "client_remove": _client_remove,
    "client_exists": _only_alive,
    "send_to_client_tokens_add": _tokens,
    "send_to_client_tokens_set": _tokens,
    "write_buffer_get": _get,
    "write_buffer_get_server_no_token": _get,
    "write_buffer_add": _add,
    "write_buffer_release": _release,
    "write_buffer_release_without_device": _release_without_device,
    "migrate_data_marshall": _marshal,
    "restore": _restore,
}
"""What each call checks before it changes anything; the others are legal everywhere.

A test compares this with what the spec refuses.
"""
