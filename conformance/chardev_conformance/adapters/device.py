"""The bundled device as a target, in memory."""

from types import ModuleType

import chardev
from chardev_conformance.adapters.python_object import Implementation, PythonTarget
from chardev_conformance.target import Host


class DeviceTarget(PythonTarget):
    """`chardev.Device` on ports in memory.

    `package` is where the device comes from: `chardev`, or a copy of it.
    """

    def __init__(
        self,
        host: Host,
        ports: dict[str, bool],
        moves_per_call: int | None = None,
        package: ModuleType = chardev,
    ) -> None:
        implementation = Implementation(
            "the bundled device",
            package.Device,
            release_without_device=package.write_buffer_release_without_device,
        )
        super().__init__(host, ports, moves_per_call, implementation)
