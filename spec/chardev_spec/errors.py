"""The calls that the contract forbids, one named error a rule.

A contract error is raised before anything has changed: the state after it is the state before it.
`BadMigrationDataError` is not among them: there the data is wrong, not the caller.
"""

from typing import ClassVar


class ContractError(Exception):
    """A call that the contract forbids; nothing has changed.

    `rule` is the id of the rule that forbids it.
    """

    rule: ClassVar[str]


class DestroyedDeviceError(ContractError):
    """LC-5: any call on a device that has been destroyed."""

    rule = "LC-5"


class PortAttachedElsewhereError(ContractError):
    """LC-4: the port given to `create` or `reset_dev_instance` is attached to another device."""

    rule = "LC-4"


class ClientAlreadyAttachedError(ContractError):
    """LC-6: `client_add` of a client that is attached."""

    rule = "LC-6"


class StarvingWindowError(ContractError):
    """LC-6: flow control with a window below the interval: the client would never be told of a token."""

    rule = "LC-6"


class ClientNotAttachedError(ContractError):
    """RD-9: `client_remove`, `tokens_add` or `tokens_set` for a client that is not attached."""

    rule = "RD-9"


class BufferNotHeldError(ContractError):
    """BUF-1: a buffer added or released twice, or never given to the owner by this device."""

    rule = "BUF-1"


class BufferOverfullError(ContractError):
    """BUF-1: more bytes used than the buffer has capacity for."""

    rule = "BUF-1"


class NegativeSizeError(ContractError):
    """BUF-1: a buffer of negative size was asked for."""

    rule = "BUF-1"


class CountOutOfRangeError(ContractError):
    """TOK-5: a count that the header's types cannot carry (below 0 or above 2**32 - 1)."""

    rule = "TOK-5"


class CannotMarshallError(ContractError):
    """MIG-2: the device is not in a state that can be marshalled; the message names the condition."""

    rule = "MIG-2"


class CannotRestoreError(ContractError):
    """MIG-4: `restore` without exactly one client that awaits migration data and is not leaving."""

    rule = "MIG-4"


class DeviceStillAliveError(ContractError):
    """BUF-3: a buffer released without its device while that device lives: its token would be lost."""

    rule = "BUF-3"


class BadMigrationDataError(ValueError):
    """MIG-5: the migration record is malformed or contradicts the client's window; nothing has changed."""
