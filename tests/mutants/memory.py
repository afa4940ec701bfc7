"""BUF-5: how much memory the device keeps for reuse, which no callback shows.

Buffers are written while a client is there, then the client leaves; what the allocator still holds then, the device
keeps.
"""

import gc
import tracemalloc
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Final

KEPT_AT_MOST: Final = 640 * 1024
"""What the device may keep while it has a client (BUF-5)."""

BUFFER: Final = 64 * 1024
BUFFERS: Final = 32
NOISE: Final = BUFFER // 2
"""What the interpreter and the measurement may keep for themselves."""


class _World:
    """A port that takes all, and callbacks and timers that do nothing."""

    announces_writability = False
    device: Any = None

    def write(self, buffers: Sequence[Any], /) -> int:
        return sum(len(buffer) for buffer in buffers)

    def ignore(self, *_: object) -> None:
        """Do nothing, and have nothing to read."""

    read_one_msg_from_device = ignore
    ref_msg_to_client = unref_msg_to_client = send_msg_to_client = ignore
    send_tokens_to_client = remove_client = ignore
    start_retry_timer = cancel_retry_timer = start_wait_timer = cancel_wait_timer = ignore


def kept(package: ModuleType) -> tuple[int, int]:
    """How many bytes a device of this package keeps of buffers that were written: with its client, and without."""
    world = _World()
    device = package.Device(world, 1, 0, world, world)
    device.start()
    device.client_add("c1", True, 1, 10, 0)
    tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(BUFFERS):
            _write(device)
        gc.collect()
        with_client, _ = tracemalloc.get_traced_memory()
        device.client_remove("c1")
        gc.collect()
        without, _ = tracemalloc.get_traced_memory()
    finally:
        if not tracing:
            tracemalloc.stop()
    return with_client - before, without - before


def _write(device: Any) -> None:
    """Get a buffer, fill it, add it; nothing of it is left here."""
    buffer = device.write_buffer_get("c1", BUFFER)
    buffer.buf_used = BUFFER
    device.write_buffer_add(buffer)


def breaks_the_bound(package: ModuleType) -> bool:
    """Whether a device of this package keeps more memory than BUF-5 allows."""
    with_client, without = kept(package)
    return with_client > KEPT_AT_MOST + NOISE or without > NOISE
