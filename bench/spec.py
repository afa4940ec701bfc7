"""How many calls a second the specification performs, with its invariants on and off.

The workload is fixed by its seeds: owners, ports and clients that follow the contract, with clients that come and go,
partial writes, refusing ports, stops, resets and calls inside callbacks.
No call of it is forbidden, so that nothing is counted that did not run the machine.
"""

# What a script prints is its result; its chances are repeatable, not secret, and as they are for no deeper reason.
# ruff: noqa: S311, PLR2004

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from random import Random
from typing import Any, Final

from chardev_spec.events import (
    Callback,
    Choice,
    ChooseGoOn,
    OnFreeSelfToken,
    PortWrite,
    ReadOneMsgFromDevice,
    SendMsgToClient,
    SendTokensToClient,
)
from chardev_spec.runner import Runner

SEEDS: Final = 40
STEPS: Final = 250
TARGETS: Final = {"on": 20_000, "off": 100_000}
"""Calls a second: enough for 1,000,000 random calls with all invariants in a minute of CI."""

PEERS: Final = ("a", "b", "c")
WINDOW: Final = 10
INTERVAL: Final = 5
QUEUE: Final = 5
"""Window, interval and send queue of the guest agent, the most common device on top."""


class Workload:
    """An owner, its port and its clients; everything comes from the seed."""

    def __init__(self, seed: int, *, invariants: bool) -> None:
        self.random = Random(seed)
        self.runner = Runner(self, invariants=invariants)
        self.calls = 0
        self.callbacks = 0
        self.depth = 0
        self.tokens: dict[str, int] = {}
        self.self_tokens = 2
        for port in (1, 2):
            self.runner.add_port(port, announces_writability=seed % 2 == 0)
        self.call("create", 1, INTERVAL, self.self_tokens)
        self.call("start")
        self.actions: tuple[tuple[float, Callable[[], None]], ...] = (
            (50, self.send_from_client),
            (10, self.send_from_server),
            (15, self.wakeup),
            (15, self.grant),
            (5, self.retry),
            (3, self.come_or_go),
            (1, self.pause),
            (0.5, self.replace_port),
            (0.5, self.reset),
        )
        self.weights = [weight for weight, _ in self.actions]

    def call(self, function: str, *arguments: Any) -> Any:
        """One call of the API."""
        self.calls += 1
        return self.runner.call(function, *arguments)

    # What the machine asks

    def choose(self, event: Choice) -> int | bool:
        """Offer everything at once, and stop after 64 moves."""
        if isinstance(event, ChooseGoOn):
            return event.moved < 64
        return event.available

    def answer(self, event: Callback) -> int | str | None:
        """Answer a callback; in one of eight another call is made, on one level only."""
        self.callbacks += 1
        chance = self.random.random()
        if isinstance(event, SendTokensToClient):
            self.tokens[event.client] += event.tokens
        elif isinstance(event, OnFreeSelfToken):
            self.self_tokens += 1
        if chance < 0.125 and self.depth == 0:
            self.depth = 1
            if isinstance(event, SendMsgToClient | SendTokensToClient):
                self.send_from_client()
            elif isinstance(event, PortWrite):
                self.call("wakeup")
            self.depth = 0
        if isinstance(event, PortWrite):
            size = len(event.data)
            return size if chance < 0.8 else int(size * (chance - 0.8) * 5)
        if isinstance(event, ReadOneMsgFromDevice):
            return "message" if chance < 0.5 else None
        return None

    # What happens

    def send_from_client(self) -> None:
        """A client with tokens sends 16 bytes."""
        for peer, tokens in self.tokens.items():
            if tokens > 0:
                self.tokens[peer] -= 1
                handle = self.call("write_buffer_get", peer, 16)
                if handle is not None:
                    self.call("write_buffer_add", handle, b"0123456789abcdef")
                return

    def send_from_server(self) -> None:
        """The server writes 8 bytes."""
        if self.self_tokens > 0:
            self.self_tokens -= 1
            handle = self.call("write_buffer_get", None, 8)
        else:
            handle = self.call("write_buffer_get_server_no_token", 8)
        self.call("write_buffer_add", handle, b"01234567")

    def wakeup(self) -> None:
        """The port says that it can be used."""
        self.call("wakeup")

    def grant(self) -> None:
        """Every client allows three more messages."""
        for peer in list(self.tokens):
            self.call("send_to_client_tokens_add", peer, 3)

    def retry(self) -> None:
        """100 ms pass."""
        self.runner.advance(100)
        self.call("retry_timer_fired")

    def come_or_go(self) -> None:
        """Somebody leaves or comes."""
        peer = self.random.choice(PEERS)
        if peer in self.tokens:
            del self.tokens[peer]
            self.call("client_remove", peer)
        else:
            self.tokens[peer] = WINDOW
            self.call("client_add", peer, True, QUEUE, WINDOW, 3, False)  # noqa: FBT003 - the header's order

    def pause(self) -> None:
        """Stop and start."""
        self.call("stop")
        self.call("start")

    def replace_port(self) -> None:
        """Another port."""
        self.call("reset_dev_instance", self.random.choice((1, 2)))

    def reset(self) -> None:
        """Reset, attach, start."""
        self.call("reset")
        self.call("reset_dev_instance", 1)
        self.call("start")

    def run(self, steps: int) -> None:
        """Take this many steps."""
        for _, action in self.random.choices(self.actions, self.weights, k=steps):
            action()


def measure(*, invariants: bool, repeats: int) -> dict[str, float]:
    """The best of some runs over all seeds: the least disturbed by other programs."""
    best = 0.0
    calls = callbacks = 0
    for _ in range(repeats):
        calls = callbacks = 0
        begin = time.process_time()
        for seed in range(SEEDS):
            workload = Workload(seed, invariants=invariants)
            workload.run(STEPS)
            calls += workload.calls
            callbacks += workload.callbacks
        best = max(best, calls / (time.process_time() - begin))
    return {"calls": calls, "callbacks": callbacks, "calls_per_second": round(best)}


def main() -> int:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--repeats", type=int, default=3, help="runs, of which the best counts")
    options = parser.parse_args()
    results = {
        name: measure(invariants=name == "on", repeats=options.repeats) | {"target": target}
        for name, target in TARGETS.items()
    }
    if options.json:
        print(json.dumps({"python": platform.python_version(), "invariants": results}, indent=2))
        return 0
    print(f"specification, Python {platform.python_version()}, CPU time, best of {options.repeats}")
    print(f"{'invariants':<12}{'calls':>8}{'callbacks':>11}{'calls/s':>10}{'target':>10}")
    for name, row in results.items():
        print(
            f"{name:<12}{row['calls']:>8,}{row['callbacks']:>11,}{row['calls_per_second']:>10,}"
            f"{row['target']:>10,}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
