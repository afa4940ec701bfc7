"""The errors that the device raises: one named class per rule of the contract.

Theory of operation
-------------------
A call that the contract forbids raises a subclass of `ContractError` *before* anything changes:
catching it leaves the device as it was.
The class says which rule was broken (`rule`); the message says what was wrong, where, and what to
do about it.
Data that came from a peer is nobody's programming error: it is refused with `BadMigrationDataError`,
which is a `ValueError`.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "BadMigrationDataError",
    "BufferNotHeldError",
    "BufferOverfullError",
    "CannotMarshallError",
    "CannotRestoreError",
    "ClientAlreadyAttachedError",
    "ClientNotAttachedError",
    "ContractError",
    "CountOutOfRangeError",
    "DestroyedDeviceError",
    "DeviceStillAliveError",
    "NegativeSizeError",
    "PortAttachedElsewhereError",
    "StarvingWindowError",
]


class ContractError(Exception):
    """A call that the contract forbids; it changed nothing.

    `rule` is the id of the broken rule.
    """

    rule: ClassVar[str] = ""


class DestroyedDeviceError(ContractError):
    """The device was destroyed: no call of it is legal any more (LC-5)."""

    rule = "LC-5"


class PortAttachedElsewhereError(ContractError):
    """The port serves another device (LC-4)."""

    rule = "LC-4"


class ClientAlreadyAttachedError(ContractError):
    """The client is attached already (LC-6)."""

    rule = "LC-6"


class StarvingWindowError(ContractError):
    """The window is smaller than the interval: the client would starve (LC-6)."""

    rule = "LC-6"


class ClientNotAttachedError(ContractError):
    """The client is not attached (RD-9)."""

    rule = "RD-9"


class BufferNotHeldError(ContractError):
    """The buffer is not held by the owner, or is another device's (BUF-1)."""

    rule = "BUF-1"


class BufferOverfullError(ContractError):
    """More of the buffer is said to be used than it can hold (BUF-1)."""

    rule = "BUF-1"


class NegativeSizeError(ContractError):
    """A size is negative (BUF-1)."""

    rule = "BUF-1"


class CountOutOfRangeError(ContractError):
    """A count does not fit the header's type, 32 bits without sign (TOK-5)."""

    rule = "TOK-5"


class CannotMarshallError(ContractError):
    """The device is in no state to be migrated (MIG-2)."""

    rule = "MIG-2"


class CannotRestoreError(ContractError):
    """The device does not await migration data (MIG-4)."""

    rule = "MIG-4"


class DeviceStillAliveError(ContractError):
    """A buffer was freed without its device, which lives and would lose the token (BUF-3)."""

    rule = "BUF-3"


class BadMigrationDataError(ValueError):
    """The migration data is wrong and was refused; the device did not change (MIG-5)."""

    rule: ClassVar[str] = "MIG-5"
