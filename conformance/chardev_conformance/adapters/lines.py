"""Checks over real serial lines: the kernel decides what a port takes and what can be read.

Theory of operation
===================
Calls are chosen as in memory, and spec and device run in lockstep; but where the port is written to or read, the bytes
go through one of the device's own ports (`chardev.ports`), and its answer is the answer for both.
At the other end is a peer that drains, stalls or hangs up; with a loopback plug the line is its own peer.
In the end every byte is accounted for: what the port said it took is what the peer received, once and in order, and
what was read is what the peer sent (WR-1).

What was answered is recorded, so a finding is replayed and shrunk in memory.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from random import Random
from statistics import median
from typing import Final

from chardev.line_settings import LineErrors, driver_of
from chardev.ports import DescriptorPort, PortError, TtyPort, open_port, open_pty_pair
from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.campaign import conclude
from chardev_conformance.drivers import CALLS_PER_SCENARIO
from chardev_conformance.lockstep import Finding, Lockstep
from chardev_conformance.results import LineFacts, Report
from chardev_conformance.scenario import Answer, Scenario, Step
from chardev_conformance.scripts import RandomScript, random_scenario
from chardev_spec.contract import Contract
from chardev_spec.events import Callback, PortWrite, ReadOneMsgFromDevice

SIZE_FACTOR: Final = 509
"""Buffers are so many times larger than in memory, so that a stalling peer fills the line; prime, to avoid rhythm."""

READ_LIMIT: Final = 4096
"""The most that one read takes: what a tty gives at once."""

SETTLE_SECONDS: Final = 2.0
"""How long a line may be silent before bytes that were under way count as lost."""

MEASURE_SECONDS: Final = 0.5
"""How long the rate of a line is measured."""

DELAYS: Final = 9
"""How often the delay of one byte is measured."""


class LineError(Exception):
    """A line that cannot be checked; the message says which, and what to do."""


class Line:
    """A port, the peer at its other end, and the bytes that went each way.

    `peer` is None for a loopback plug: what is written comes back.
    """

    def __init__(self, port: DescriptorPort, peer: DescriptorPort | None) -> None:
        self.port = port
        self.peer = peer
        self.taken = bytearray()
        self.received = bytearray()
        self.sent = bytearray()
        self.read = bytearray()
        self.peer_left = False

    def write(self, data: bytes, pieces: int) -> int:
        """Offer the bytes to the port, in so many pieces; its answer."""
        size = max(len(data) // pieces, 1)
        answer = self.port.write([data[i : i + size] for i in range(0, len(data), size)])
        if answer > 0:
            self.taken += data[:answer]
            if self.peer is None:
                self.sent += data[:answer]
        return answer

    def read_once(self) -> bool:
        """Read what is there; whether it was anything."""
        data = self.port.read(READ_LIMIT)
        self.read += data
        if self.peer is None:
            self.received += data
        return bool(data)

    def drain(self) -> bool:
        """Let the peer read what is there; whether it was anything."""
        if self.peer is None:
            return self.read_once()
        if self.peer_left:
            return False
        data = self.peer.read(READ_LIMIT)
        self.received += data
        return bool(data)

    def send(self, data: bytes) -> None:
        """Let the peer write."""
        if self.peer is not None and not self.peer_left:
            self.sent += data[: max(self.peer.write([data]), 0)]

    def hang_up(self) -> None:
        """Let the peer leave; what it had not read is lost."""
        if self.peer is not None and not self.peer_left:
            self.peer_left = True
            self.peer.close()

    def before_call(self) -> None:
        """Its own turn before each call outside: a line that can be unplugged is, here."""

    def settle(self) -> None:
        """Wait until every byte that is under way has arrived, or nothing moves any more."""
        end = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < end:
            moved = self.drain()
            moved = self.read_once() or moved
            if moved:
                end = time.monotonic() + SETTLE_SECONDS
            elif self.peer_left or (self.received == self.taken and self.read == self.sent):
                return
            else:
                time.sleep(0.001)

    def errors(self) -> dict[str, LineErrors]:
        """What the drivers counted since the line was opened, by the name of each end that counts."""
        ports = [port for port in (self.port, self.peer) if isinstance(port, TtyPort)]
        counted = {port.name: port.errors() for port in ports if not port.closed}
        return {name: errors for name, errors in counted.items() if errors is not None}

    def lost_by_driver(self) -> str:
        """What a driver counted that loses or changes bytes; empty when it is not to blame."""
        return "; ".join(
            f"{name}: {errors}" for name, errors in self.errors().items() if errors.lost_or_changed
        )

    def difference(self) -> Finding | None:
        """What arrived otherwise than it was sent; a peer that left may have missed the end."""
        ways = (("written", self.taken, self.received), ("read", self.sent, self.read))
        for way, sent, arrived in ways:
            if arrived == sent or (self.peer_left and sent.startswith(arrived)):
                continue
            place = next(
                (i for i, (a, b) in enumerate(zip(sent, arrived, strict=False)) if a != b),
                min(len(sent), len(arrived)),
            )
            return Finding(
                ("WR-1",),
                self.port.name,
                f"{len(sent)} bytes {way}, as they were sent",
                f"{len(arrived)} bytes, other than sent from byte {place} on",
                f"bytes {way}",
            )
        return None

    def close(self) -> None:
        """Close both ends."""
        self.port.close()
        if self.peer is not None:
            self.peer.close()


class LineScript:
    """Chooses calls as `RandomScript` does; ports are answered by real lines.

    A peer drains, stalls or hangs up, each scenario in its own measure; only peers that can be replaced hang up.
    """

    def __init__(
        self, random: Random, lines: dict[int, Line], *, calls: int, may_hang_up: bool
    ) -> None:
        self._script = RandomScript(random, calls=calls)
        self._random = random
        self._lines = lines
        self._draining = random.choice([0.0, 0.1, 0.5, 1.0])
        self._sending = random.choice([0.1, 0.5])
        self._hanging_up = random.choice([0.0, 0.0, 0.03]) if may_hang_up else 0.0
        self._sent = 0

    def step(self, lockstep: Lockstep) -> Step | None:
        """The next call outside; before it the peers have their turn."""
        for line in self._lines.values():
            line.before_call()
            self._let_peer_act(line)
        return self._enlarge(self._script.step(lockstep))

    def nested_step(self, lockstep: Lockstep) -> Step | None:
        """One more call inside the callback."""
        return self._enlarge(self._script.nested_step(lockstep))

    def answer(self, lockstep: Lockstep, unused: list[Answer], event: Callback) -> Answer:
        """What the line answers; an exception keeps it untouched."""
        answer = self._script.answer(lockstep, unused, event)
        if isinstance(event, PortWrite):
            answer.value = 0
            if not answer.raises:
                taken = self._lines[event.port].write(event.data, self._random.choice([1, 1, 2, 7]))
                answer.value = taken if taken >= 0 else "fail"
        elif isinstance(event, ReadOneMsgFromDevice):
            answer.value = not answer.raises and self._lines[event.port].read_once()
        return answer

    def _enlarge(self, step: Step | None) -> Step | None:
        if step is not None and step.arguments.get("size", 0) > 0:
            step.arguments["size"] *= SIZE_FACTOR
        return step

    def _let_peer_act(self, line: Line) -> None:
        if self._random.random() < self._draining:
            line.drain()
        if self._random.random() < self._sending:
            size = self._random.choice([1, 40, 700])
            line.send(bytes((self._sent + i) % 253 for i in range(size)))
            self._sent += size
        if self._random.random() < self._hanging_up:
            line.hang_up()


OpenLines = Callable[[Scenario], dict[int, Line]]
"""Opens the lines of one scenario, by the number of its port."""


def run_on_lines(
    report: Report,
    open_lines: OpenLines,
    *,
    calls: int,
    seconds: float | None = None,
    machine: type[Contract] = Contract,
    progress: Callable[[Report], None] = lambda _: None,
) -> None:
    """Go on with a check over real lines until it has made `calls` calls; add to its report.

    Raises `LineError` when a line cannot be opened, or when its driver says that it lost bytes.
    """
    begin = time.monotonic()
    before = report.seconds
    number = 0
    try:
        while report.statistics.calls < calls and report.finding is None:
            if seconds is not None and time.monotonic() - begin > seconds:
                break
            random = Random(f"{report.seed}:line:{number}")
            number += 1
            _run_scenario(report, random, open_lines, calls - report.statistics.calls, machine)
            report.seconds = before + time.monotonic() - begin
            progress(report)
    except KeyboardInterrupt:
        report.interrupted = True
    report.seconds = before + time.monotonic() - begin


def _run_scenario(
    report: Report, random: Random, open_lines: OpenLines, calls: int, machine: type[Contract]
) -> None:
    scenario = random_scenario(random)
    with ExitStack() as closing:
        lines = open_lines(scenario)
        for line in lines.values():
            closing.callback(line.close)
        may_hang_up = len(lines) > 1
        script = LineScript(
            random, lines, calls=min(CALLS_PER_SCENARIO, max(calls, 10)), may_hang_up=may_hang_up
        )
        lockstep = Lockstep(
            DeviceTarget, script, scenario, machine=machine, statistics=report.statistics
        )
        finding = lockstep.run()
        report.scenarios += 1
        if finding is None:
            for line in lines.values():
                line.settle()
                if line.lost_by_driver():
                    raise LineError(_bad_line(line))
            finding = next(filter(None, [line.difference() for line in lines.values()]), None)
        if finding is not None:
            conclude(report, DeviceTarget, lockstep.performed, finding, machine)


def pseudo_terminals(scenario: Scenario) -> dict[int, Line]:
    """A pty pair for each port of the scenario; either end may be the device's.

    Raises `LineError` when there are no more ptys.
    """
    lines: dict[int, Line] = {}
    try:
        for number in range(1, len(scenario.ports) + 1):
            master, slave = open_pty_pair()
            lines[number] = Line(slave, master) if number % 2 else Line(master, slave)
    except PortError as error:
        for line in lines.values():
            line.close()
        raise LineError(str(error)) from None
    return lines


@contextmanager
def serial_line(
    report: Report, path: str, peer_path: str | None, **settings: object
) -> Iterator[OpenLines]:
    """A real line: `path` with a loopback plug, or joined to `peer_path` by a null modem.

    `settings` are those of `chardev.ports.open_tty`, for both ends.
    What is measured on the line goes to the report.
    Raises `LineError` when one cannot be opened, or when bytes are lost on the way before the check begins.
    """
    with ExitStack() as closing:
        try:
            port = closing.enter_context(open_port(path, **settings))
            peer = None
            if peer_path is not None:
                peer = closing.enter_context(open_port(peer_path, **settings))
        except PortError as error:
            raise LineError(str(error)) from None
        _discard(port, peer)
        _try_out(port, peer)
        facts = report.line = _measure(port, peer)

        def open_lines(scenario: Scenario) -> dict[int, Line]:
            scenario.ports = {"p1": scenario.ports["p1"]}
            return {1: _Kept(port, peer, facts)}

        yield open_lines


class _Kept(Line):
    """A line that outlives the scenario."""

    def __init__(self, port: DescriptorPort, peer: DescriptorPort | None, facts: LineFacts) -> None:
        super().__init__(port, peer)
        self._facts = facts

    def close(self) -> None:
        """Leave both ends open, and empty: the next scenario begins with a quiet line."""
        self._facts.written += len(self.taken)
        self._facts.read += len(self.read)
        self._facts.errors = _errors_in_words(self)
        _discard(self.port, self.peer)


def _discard(port: DescriptorPort, peer: DescriptorPort | None) -> None:
    """Read away what is on the line, until it has been quiet for a moment."""
    quiet = 0
    while quiet < 20:
        data = port.read(READ_LIMIT) + (peer.read(READ_LIMIT) if peer is not None else b"")
        quiet = 0 if data else quiet + 1
        if not data:
            time.sleep(0.001)


def _try_out(port: DescriptorPort, peer: DescriptorPort | None) -> None:
    """Send a few bytes and wait for them: a plug that is missing is no finding about a device."""
    line = Line(port, peer)
    line.write(b"chardev\n", 1)
    line.send(b"chardev\n")
    line.settle()
    if line.difference() is not None:
        other = "loopback plug (TX joined to RX)" if peer is None else "null modem to --peer"
        raise LineError(
            f"{port.name}: sent 8 bytes, {len(line.received)} came through; "
            f"check the {other}, and that the line does no echo"
        )


def _measure(port: DescriptorPort, peer: DescriptorPort | None) -> LineFacts:
    """How fast the line is, and what its driver says of it.

    Raises `LineError` when bytes are lost or changed on the way: a bad cable is no finding about a device.
    """
    line = Line(port, peer)
    delays = []
    for number in range(DELAYS):
        begin = time.monotonic()
        line.write(bytes([number]), 1)
        while len(line.received) <= number and time.monotonic() - begin < SETTLE_SECONDS:
            line.drain()
        delays.append(time.monotonic() - begin)
    before, begin = len(line.received), time.monotonic()
    while time.monotonic() - begin < MEASURE_SECONDS:
        line.write(bytes(range(256)) * 4, 1)
        line.drain()
    line.settle()
    seconds = time.monotonic() - begin
    if line.difference() is not None:
        raise LineError(_bad_line(line))
    return LineFacts(
        driver=driver_of(port.name),
        settings=str(port.settings()) if isinstance(port, TtyPort) else "",
        delay_ms=round(median(delays) * 1000, 3),
        bytes_per_second=round((len(line.received) - before) / seconds),
        errors=_errors_in_words(line),
    )


def _errors_in_words(line: Line) -> str:
    errors = line.errors()
    if not errors:
        return "not counted by this driver"
    return "; ".join(f"{name}: {each}" for name, each in errors.items())


def _bad_line(line: Line) -> str:
    """A line that loses or changes bytes: how many, and what the drivers say."""
    return (
        f"{line.port.name}: the line loses or changes bytes: {len(line.taken)} sent and {len(line.received)} "
        f"received, {len(line.sent)} sent back and {len(line.read)} read; errors: {_errors_in_words(line)}; "
        "check the cable, the settings at both ends, or try a lower --baudrate"
    )
