"""What is checked on each line of the guest.

Each check returns what it saw in a few words, and raises when something is wrong.
"""

import asyncio
import contextlib
import fcntl
import io
import json
import os
import struct
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any, Final

from chardev.line_settings import LineErrors, driver_of
from chardev.ports import DescriptorPort, PortError, TtyPort, open_port, open_tty
from chardev_conformance.adapters.lines import Line, run_on_lines
from chardev_conformance.command_line import main as command
from chardev_conformance.results import Report
from chardev_conformance.scenario import Scenario
from chardev_conformance.trace import readable
from tests.lab.control import Control, virtio_port
from tests.lab.places import Place, stalled, until
from tests.lab.transfer import Transfer

CALLS: Final = 300
"""Calls of a check: some seconds in an emulated guest."""

WRITTEN_AT_LEAST: Final = 2000
"""Bytes; a few scenarios hardly write, and then there are some more."""

BREAK_AT: Final = 15
STALL_AT: Final = 30
FLOW_AT: Final = 45
UNPLUG_AT: Final = 60
"""In which turn of a scenario, which has about a hundred, the line has its mishaps."""

CLOSE_SECONDS: Final = 1.0
"""A close that waits for a stalled peer takes 31 s on a UART."""

OVERRUN_BYTES: Final = 1000
"""So many are to be lost before it counts as an overrun that was reported."""

OVERRUN_LIMIT: Final = 4 << 20
"""Linux keeps 640 KiB of what nobody reads from a tty, and more here and there."""

FILL_BYTES: Final = 1 << 20
"""More than any line in the guest takes while its peer does not read."""

TIOCM_LOOP: Final = 0x8000
"""Linux' asm-generic/termios.h."""

ASKED: Final[tuple[tuple[str, Any], ...]] = (
    *(("baudrate", rate) for rate in (300, 9600, 57600, 230400, 250000, 3000000, 12000000)),
    *(("parity", parity) for parity in "EOMS"),
    *(("byte_size", size) for size in (5, 6, 7)),
    ("stopbits", 2),
    ("rtscts", True),
    ("xonxoff", True),
    ("low_latency", True),
    ("low_latency", False),
)
"""What is asked of each tty, one setting at a time."""


class LabLine(Line):
    """A line that stalls, receives a break, is unplugged and plugged again while spec and device run over it."""

    def __init__(self, place: Place, control: Control) -> None:
        self.place = place
        self.control = control
        self.mishaps = {"stalls": 0, "breaks": 0, "unplugs": 0}
        self._turn = 0
        self._unplugged = False
        path, peer_path = place.find()
        super().__init__(open_port(path), open_port(peer_path))

    def before_call(self) -> None:
        """Whatever is due in this turn."""
        self._turn += 1
        if self._unplugged:
            return
        if self._turn == BREAK_AT and self.place.send_break is not None:
            self._receive_break()
        elif self._turn == STALL_AT and self.place.wire:
            self.control.ask("stall", self.place.wire)
            self.mishaps["stalls"] += 1
        elif self._turn == FLOW_AT and self.place.wire:
            self.control.ask("flow", self.place.wire)
        elif self._turn == UNPLUG_AT:
            # What is under way when a line is pulled is lost; what the device still has is not.
            self.settle()
            self.place.unplug(self.control)
            self._unplugged = True
            self.mishaps["unplugs"] += 1

    def write(self, data: bytes, pieces: int) -> int:
        """As of any line; once the device has heard that it is gone, there is a new one in its place."""
        answer = super().write(data, pieces)
        if self._unplugged:
            answer = self._answer_of_a_lost_port(answer)
            self._plug()
        return answer

    def read_once(self) -> bool:
        """As of any line; nothing from one that is unplugged."""
        return not self._unplugged and super().read_once()

    def drain(self) -> bool:
        """As of any line; nothing from one that is unplugged."""
        return not self._unplugged and super().drain()

    def send(self, data: bytes) -> None:
        """As of any line; nothing into one that is unplugged."""
        if not self._unplugged:
            super().send(data)

    def settle(self) -> None:
        """Wait until every byte has arrived; nothing holds it up any more."""
        if self.place.wire:
            self.control.ask("flow", self.place.wire)
        if self._unplugged:
            self._plug()
        super().settle()

    def _answer_of_a_lost_port(self, answer: int) -> int:
        """A virtio port without its host says "not now" for ever; polling tells."""
        if answer < 0:
            return answer
        assert answer == 0, f"{answer} bytes were taken by a line that is unplugged"
        assert self.port.check_hang_up(), "an unplugged line says that it is there"
        return -1

    def _plug(self) -> None:
        self.port.close()
        assert self.peer is not None
        self.peer.close()
        path, peer_path = self.place.plug_again(self.control)
        self.port, self.peer = _open_soon(path), _open_soon(peer_path)
        self._unplugged = False

    def _receive_break(self) -> None:
        """A break is counted, and read as a zero byte."""
        assert isinstance(self.port, TtyPort)
        assert self.place.send_break is not None
        self.settle()
        self.place.send_break(self.control)
        port = self.port

        def counted() -> bool:
            errors = port.errors()
            return errors is not None and errors.breaks > 0

        until(counted, f"{port.name}: a break, counted by its driver")
        self.sent += b"\0"
        self.mishaps["breaks"] += 1


def lockstep(place: Place, control: Control) -> str:
    """Spec and device in lockstep over the line, with all that can befall it; every byte accounted for."""
    lines: list[LabLine] = []

    def open_lines(scenario: Scenario) -> dict[int, Line]:
        scenario.ports = {"p1": scenario.ports["p1"]}
        lines.append(LabLine(place, control))
        return {1: lines[-1]}

    report = Report(control.seed)
    for seed in count(control.seed):
        report.seed = seed
        run_on_lines(report, open_lines, calls=report.statistics.calls + CALLS)
        if report.found or sum(len(line.taken) for line in lines) > WRITTEN_AT_LEAST:
            break
    for found in report.found:
        raise AssertionError(f"{found.finding}\n{readable(found.scenario)}")
    mishaps = {name: sum(line.mishaps[name] for line in lines) for name in lines[0].mishaps}
    assert bool(mishaps["stalls"]) == bool(place.wire)
    assert bool(mishaps["breaks"]) == (place.send_break is not None)
    assert mishaps["unplugs"]
    written, read = (sum(len(getattr(line, way)) for line in lines) for way in ("taken", "read"))
    return (
        f"{report.statistics.calls} calls, {written:,} bytes written, {read:,} read, "
        + ", ".join(f"{times} {name}" for name, times in mishaps.items() if times)
    )


def settings(place: Place, _: Control) -> str:
    """Line settings would be ignored silently, or a line be taken from under another program."""
    path, _peer = place.find()
    with open_tty(path) as port:
        usual = port.settings()
        expected = f"open_tty: {path} is in use by another program; stop that one first"
        assert _refusal(path) == expected
    refusals = []
    for name, value in ASKED:
        refusal = _refusal(path, **{name: value})
        if refusal is None:
            with open_tty(path, **{name: value}) as port:
                assert port.settings() == replace(usual, **{name: value})
        else:
            driver = driver_of(path)
            expected = f"open_tty: {path} cannot be set up: the driver {driver} refused {name} {value} (it is "
            assert refusal.startswith(expected), refusal
            refusals.append(f"{name} {value}")
    assert len(refusals) < len(ASKED) // 2, f"{path} refused {refusals}"
    return f"{len(ASKED) - len(refusals)} settings read back, refused {', '.join(refusals)}"


def _refusal(path: str, **asked: Any) -> str | None:
    """Why the line cannot be opened with these settings; None if it can."""
    try:
        open_tty(path, **asked).close()
    except PortError as error:
        return str(error)
    return None


def own_loopback(place: Place, _: Control) -> str:
    """Spec and device over the UART's own loopback, by the command that a reader with a plug uses."""
    path, _peer = place.find()
    report = Path("loopback.json")
    with looped(path), redirect_stdout(io.StringIO()) as output:
        status = command(
            ["check", "--port", path, "--loopback", "--steps", str(CALLS), "--json", str(report)]
        )
    assert status == 0, output.getvalue()
    line = json.loads(report.read_text(encoding="utf-8"))["line"]
    return f"own loopback {line['written']:,} bytes, {line['bytes_per_second']:,} bytes/s"


@contextmanager
def looped(path: str) -> Iterator[None]:
    """What the UART sends it receives itself; the open file keeps it so."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    loop = struct.pack("i", TIOCM_LOOP)
    try:
        fcntl.ioctl(descriptor, termios.TIOCMBIS, loop)
        yield
        fcntl.ioctl(descriptor, termios.TIOCMBIC, loop)
    finally:
        os.close(descriptor)


def overrun(place: Place, _: Control) -> str:
    """Bytes that a driver dropped would be blamed on the device, or never be missed."""
    path, _peer = place.find()
    sent, received = 0, 0
    with looped(path), open_tty(path) as port:
        while (errors := _errors(port)).buffer_overrun < OVERRUN_BYTES:
            sent += max(port.write([bytes(4096)]), 0)
            assert sent < OVERRUN_LIMIT, f"{path}: {sent} bytes are unread, and none is lost"
        termios.tcdrain(port.fileno())
        while data := port.read():
            received += len(data)
            time.sleep(0)
        errors = _errors(port)
    assert sent == received + errors.buffer_overrun, f"{sent} sent, {received} received, {errors}"
    return f"{errors.buffer_overrun:,} bytes of {sent:,} reported as overrun"


def _errors(port: TtyPort) -> LineErrors:
    errors = port.errors()
    assert errors is not None
    return errors


def event_loop(place: Place, control: Control) -> str:
    """On an event loop this driver would make the device spin, stall, lose bytes or repeat them."""

    async def transfer() -> str:
        return await Transfer(place, control).run(_open_soon)

    return asyncio.run(transfer())


def pty_of_the_host(control: Control) -> str:
    """A device on the host, at QEMU's pty, would not get on with a guest at the other end."""
    descriptor = os.open(virtio_port("lab.pty"), os.O_RDWR | os.O_CLOEXEC)

    def echo() -> None:
        with contextlib.suppress(OSError):
            while True:
                data = os.read(descriptor, 4096)
                # Without its host a virtio port reads as ended, and then goes on.
                time.sleep(0 if data else 0.1)
                while data:
                    data = data[os.write(descriptor, data) :]

    Thread(target=echo, daemon=True).start()
    return str(control.ask("check_pty")["saw"])


def bounded_close(place: Place, control: Control) -> str:
    """A program would hang at its end when the peer has stalled."""
    path, peer_path = place.find()
    with stalled(place, control), open_port(peer_path):
        port = open_port(path)
        filled = _fill(port)
        begin = time.monotonic()
        port.close()
        seconds = time.monotonic() - begin
    assert seconds < CLOSE_SECONDS, f"close took {seconds:.1f} s with {filled} bytes under way"
    return f"close {seconds * 1000:.0f} ms"


def _fill(port: DescriptorPort) -> int:
    """Write until the line takes no more for a while; how much it took."""
    filled, quiet = 0, 0
    while quiet < 20 and filled < FILL_BYTES:
        taken = port.write([bytes(4096)])
        assert taken >= 0, f"{port.name}: {port.error}"
        filled += taken
        quiet = 0 if taken else quiet + 1
        if not taken:
            time.sleep(0.01)
    return filled


def _open_soon(path: str) -> DescriptorPort:
    """Open a port that has just come back."""

    def attempt() -> DescriptorPort | None:
        try:
            return open_port(path)
        except PortError:
            return None

    return until(attempt, f"{path}, to be opened")
