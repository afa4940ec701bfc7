"""What a message costs when there is more of what should not matter: clients, queued buffers, hours.

Processor time a message, best of several runs, and the memory that is in use at its most.
A figure that grows by more than a fifth of the first one is marked.
"""

import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any, Final

from chardev import PORT_BLOCKED, Device

RUNS: Final = 5
MESSAGES: Final = 20_000
GROWTH: Final = 1.2
MESSAGE: Final = b"0123456789abcdef"


class World:
    """A port in memory that can be blocked, with callbacks and timers that do nothing."""

    announces_writability = True
    device: Any = None
    blocked = False

    def write(self, buffers: Sequence[Any], /) -> int:
        """Take all, or nothing."""
        return PORT_BLOCKED if self.blocked else sum(map(len, buffers))

    def nothing(self, *_: object) -> None:
        """There is nothing to read and nothing to do."""

    read_one_msg_from_device = ref_msg_to_client = unref_msg_to_client = nothing
    send_msg_to_client = send_tokens_to_client = remove_client = nothing
    start_retry_timer = cancel_retry_timer = start_wait_timer = cancel_wait_timer = nothing


def started(clients: int, window: int) -> tuple[World, Device[Any, int]]:
    """A running device with so many clients."""
    world: Any = World()
    device: Device[Any, int] = Device(world, max(window // 2, 1), 0, world, world)
    device.start()
    for client in range(clients):
        device.client_add(client, True, 1, window, 0)  # noqa: FBT003 - the header's order
    return world, device


def clients_write(clients: int) -> Callable[[], int]:
    """All clients write in turn, at once."""
    _, device = started(clients, 10)

    def run() -> int:
        for number in range(MESSAGES):
            device.write(number % clients, MESSAGE)
        return MESSAGES

    return run


def clients_come_and_go(queued: int) -> Callable[[], int]:
    """A client comes and goes while another one's buffers are queued."""
    world, device = started(1, max(queued, 1))
    world.blocked = True
    for _ in range(queued):
        device.write(0, MESSAGE)

    def run() -> int:
        for _ in range(500):
            device.client_add(1, True, 1, queued, 0)  # noqa: FBT003 - the header's order
            device.client_remove(1)
        return 500

    return run


def queue_drains(queued: int) -> Callable[[], int]:
    """So many buffers are queued behind a blocked port, which then takes them."""
    world, device = started(1, queued)

    def run() -> int:
        rounds = max(1, MESSAGES // queued)
        for _ in range(rounds):
            world.blocked = True
            for _ in range(queued):
                device.write(0, MESSAGE)
            world.blocked = False
            while device.pending_buffers:
                device.wakeup()
        return rounds * queued

    return run


def best(run: Callable[[], int]) -> float:
    """Microseconds a message."""
    figures = []
    for _ in range(RUNS):
        begin = time.process_time_ns()
        count = run()
        figures.append((time.process_time_ns() - begin) / count / 1000)
    return min(figures)


def table(title: str, make: Callable[[int], Callable[[], int]], sizes: Sequence[int]) -> None:
    """One figure a size, and the memory that it took at most."""
    print(f"\n{title}")
    first = 0.0
    for size in sizes:
        tracemalloc.start()
        make(size)()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        figure = best(make(size))
        first = first or figure
        mark = "   grows" if figure > GROWTH * first else ""
        print(f"  {size:>7,} {figure:>9.3f} us {most / 1024:>10,.0f} KiB{mark}", flush=True)


def hours(minutes: int) -> None:
    """An hour of virtual time: 100 messages a second, a port that blocks and is woken, a client that comes and goes."""
    print("\nan hour of traffic, 100 messages a second: the first minutes and the last")
    world, device = started(2, 100)
    figures = []
    tracemalloc.start()
    sizes = []
    for minute in range(minutes):
        begin = time.process_time_ns()
        for second in range(60):
            world.blocked = second % 2 == 0
            for _ in range(100):
                device.write(0, MESSAGE)
            world.blocked = False
            device.wakeup()
            device.client_remove(1)
            device.client_add(1, True, 1, 100, 0)  # noqa: FBT003 - the header's order
        figures.append((time.process_time_ns() - begin) / 6_000_000)
        sizes.append(tracemalloc.get_traced_memory()[0])
        if minute in {0, 1, 2, minutes - 3, minutes - 2, minutes - 1}:
            print(f"  minute {minute + 1:>3} {figures[-1]:>9.3f} us {sizes[-1] / 1024:>10,.1f} KiB")
    tracemalloc.stop()


def main() -> int:
    """Print the tables."""
    table("clients, each in its turn writes at once", clients_write, (1, 10, 100, 1000))
    table("buffers queued, then taken", queue_drains, (1, 10, 100, 1000, 10_000, 100_000))
    table(
        "a client comes and goes, buffers of another are queued",
        clients_come_and_go,
        (1, 100, 10_000, 100_000),
    )
    hours(60)
    return 0


if __name__ == "__main__":
    sys.exit(main())
