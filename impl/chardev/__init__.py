"""An optimized SPICE character device: flow control between clients and a port, sans-I/O.

`Device` has every function of the header; its ports, callbacks and timers are described in
`Port`, `Callbacks` and `Timers`.
Nothing here needs more than the standard library.
"""

from .buffers import Attachment, BufferOrigin, WriteBuffer, write_buffer_release_without_device
from .device import Device
from .errors import (
    BadMigrationDataError,
    BufferNotHeldError,
    BufferOverfullError,
    CannotMarshallError,
    CannotRestoreError,
    ClientAlreadyAttachedError,
    ClientNotAttachedError,
    ContractError,
    CountOutOfRangeError,
    DestroyedDeviceError,
    DeviceStillAliveError,
    NegativeSizeError,
    PortAttachedElsewhereError,
    StarvingWindowError,
)
from .interfaces import (
    PORT_BLOCKED,
    PORT_FAILED,
    PORT_NOT_NOW,
    BatchCallbacks,
    Bytes,
    Callbacks,
    Port,
    Timers,
)
from .migration import MigrateData, MigrateRecord
from .state import RETRY_DELAY_MS, WAIT_DELAY_MS

__all__ = [
    "PORT_BLOCKED",
    "PORT_FAILED",
    "PORT_NOT_NOW",
    "RETRY_DELAY_MS",
    "WAIT_DELAY_MS",
    "Attachment",
    "BadMigrationDataError",
    "BatchCallbacks",
    "BufferNotHeldError",
    "BufferOrigin",
    "BufferOverfullError",
    "Bytes",
    "Callbacks",
    "CannotMarshallError",
    "CannotRestoreError",
    "ClientAlreadyAttachedError",
    "ClientNotAttachedError",
    "ContractError",
    "CountOutOfRangeError",
    "DestroyedDeviceError",
    "Device",
    "DeviceStillAliveError",
    "MigrateData",
    "MigrateRecord",
    "NegativeSizeError",
    "Port",
    "PortAttachedElsewhereError",
    "StarvingWindowError",
    "Timers",
    "WriteBuffer",
    "write_buffer_release_without_device",
]
