"""The check over real lines: pseudo-terminals, a loopback plug, a null modem, and lines that lie."""

import os
import re
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from select import select

import pytest

from chardev.line_settings import LineErrors
from chardev.ports import TtyPort
from chardev_conformance.adapters import lines as lines_module
from chardev_conformance.adapters.lines import (
    Line,
    LineError,
    pseudo_terminals,
    run_on_lines,
    serial_line,
)
from chardev_conformance.lockstep import Finding
from chardev_conformance.results import Report
from chardev_conformance.scenario import Scenario


@contextmanager
def relayed(joined: dict[int, int], *, lose: bytes = b"") -> Iterator[None]:
    """Carry what is read from each descriptor to the one it is joined to, until the end of the block.

    The bytes `lose` never arrive.
    """
    stop_read, stop_write = os.pipe()

    def carry() -> None:
        while True:
            ready, _, _ = select([*joined, stop_read], [], [])
            if stop_read in ready:
                return
            for descriptor in ready:
                data = os.read(descriptor, 4096).translate(None, lose)
                while data:
                    data = data[os.write(joined[descriptor], data) :]

    thread = threading.Thread(target=carry)
    thread.start()
    try:
        yield
    finally:
        os.write(stop_write, b"x")
        thread.join()
        os.close(stop_read)
        os.close(stop_write)


@contextmanager
def raw_pty() -> Iterator[tuple[int, str]]:
    """The master of a raw pty, and the path of its slave, which stays open: a line does not hang up by itself."""
    master, slave = os.openpty()
    tty.setraw(slave)
    yield master, os.ttyname(slave)
    os.close(slave)
    os.close(master)


def test_pseudo_terminals_hold() -> None:
    """The device would lose, double or reorder bytes on a tty whose peer stalls or hangs up (WR-1, WR-8)."""
    report = Report(seed=5)
    run_on_lines(report, pseudo_terminals, calls=3000)
    assert report.finding is None
    assert report.statistics.calls >= 3000
    assert report.statistics.callbacks > 500


def test_the_same_seed_makes_the_same_calls() -> None:
    """A run over lines could not be repeated by its seed."""
    first, second = Report(seed=6), Report(seed=6)
    for report in (first, second):
        run_on_lines(report, pseudo_terminals, calls=300)
    assert first.scenarios == second.scenarios


def test_a_loopback_plug_holds() -> None:
    """`--port DEVICE --loopback` would not check a line whose TX is joined to its RX."""
    pytest.importorskip("serialx", reason="python -m pip install 'chardev[serial]'")
    report = Report(seed=7)
    with (
        raw_pty() as (master, path),
        relayed({master: master}),
        serial_line(report, path, None) as lines,
    ):
        run_on_lines(report, lines, calls=600)
    assert report.finding is None
    assert report.statistics.calls >= 600


def test_a_null_modem_holds() -> None:
    """`--port A --peer B` would not check two lines that are joined crosswise."""
    pytest.importorskip("serialx", reason="python -m pip install 'chardev[serial]'")
    report = Report(seed=8)
    with (
        raw_pty() as (near, near_path),
        raw_pty() as (far, far_path),
        relayed({near: far, far: near}),
        serial_line(report, near_path, far_path) as lines,
    ):
        run_on_lines(report, lines, calls=600)
    assert report.finding is None
    assert report.statistics.calls >= 600
    facts = report.line
    assert facts is not None
    assert (facts.driver, facts.settings, facts.errors) == (
        "pty_slave",
        "115200 8N1",
        "not counted by this driver",
    )
    assert min(facts.written, facts.read, facts.bytes_per_second, facts.delay_ms) > 0


def test_a_line_that_loses_bytes_is_no_finding() -> None:
    """A bad cable would be reported as a defect of the device."""
    pytest.importorskip("serialx", reason="python -m pip install 'chardev[serial]'")
    with (
        raw_pty() as (master, path),
        relayed({master: master}, lose=b"\x50"),
        pytest.raises(LineError) as raised,
        serial_line(Report(seed=1), path, None),
    ):
        pass
    assert re.fullmatch(
        rf"{path}: the line loses or changes bytes: \d+ sent and \d+ received, \d+ sent back and \d+ read; "
        "errors: not counted by this driver; check the cable, the settings at both ends, or try a lower --baudrate",
        str(raised.value),
    )


class CountingPort(TtyPort):
    """A serial line whose driver says that it lost bytes."""

    def errors(self) -> LineErrors:
        return LineErrors(frame=0, parity=0, overrun=3, buffer_overrun=0, breaks=1)


def test_an_overrun_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the driver lost would be blamed on the device, or go unnoticed when the counts happen to agree."""
    pytest.importorskip("serialx", reason="python -m pip install 'chardev[serial]'")
    monkeypatch.setattr("chardev.ports.TtyPort", CountingPort)
    with (
        raw_pty() as (master, path),
        relayed({master: master}),
        serial_line(Report(seed=1), path, None) as lines,
        pytest.raises(LineError, match=f"errors: {path}: overrun 3, breaks 1; check the cable"),
    ):
        run_on_lines(Report(seed=1), lines, calls=100)


def test_a_missing_plug_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line without its loopback plug would be reported as a defect of the device."""
    monkeypatch.setattr(lines_module, "SETTLE_SECONDS", 0.2)
    pytest.importorskip("serialx", reason="python -m pip install 'chardev[serial]'")
    with (
        raw_pty() as (_, path),
        pytest.raises(LineError) as raised,
        serial_line(Report(seed=1), path, None),
    ):
        pass
    assert str(raised.value) == (
        f"{path}: sent 8 bytes, 0 came through; "
        "check the loopback plug (TX joined to RX), and that the line does no echo"
    )


def test_a_line_that_is_not_there() -> None:
    """A path that names nothing would end in a traceback."""
    with (
        pytest.raises(LineError) as raised,
        serial_line(Report(seed=1), "/dev/chardev-is-not-there", None),
    ):
        pass
    assert str(raised.value) == (
        "open_port: /dev/chardev-is-not-there does not exist; plug it in, or give another path"
    )


def changed_line() -> Line:
    """A line on which four bytes were written and read."""
    line = pseudo_terminals(Scenario({"p1": False}))[1]
    line.write(b"abcd", 1)
    line.send(b"wxyz")
    line.settle()
    return line


def test_every_byte_is_accounted_for() -> None:
    """A line that delivers everything would be blamed."""
    line = changed_line()
    assert (bytes(line.received), bytes(line.read), line.difference()) == (b"abcd", b"wxyz", None)
    line.close()


@pytest.mark.parametrize(
    ("received", "seen"),
    [
        (b"abc", "3 bytes, other than sent from byte 3 on"),
        (b"abbcd", "5 bytes, other than sent from byte 2 on"),
        (b"abcdd", "5 bytes, other than sent from byte 4 on"),
    ],
)
def test_a_byte_that_went_wrong_is_found(received: bytes, seen: str) -> None:
    """A byte lost, changed or doubled on the way would go unnoticed (WR-1)."""
    line = changed_line()
    line.received[:] = received
    assert line.difference() == Finding(
        ("WR-1",), line.port.name, "4 bytes written, as they were sent", seen, "bytes written"
    )
    line.close()


def test_a_peer_that_hung_up_may_have_missed_the_end() -> None:
    """What a peer had not read when it hung up would be taken for lost by the device."""
    line = changed_line()
    line.write(b"more", 1)
    line.hang_up()
    assert line.difference() is None
    assert line.write(b"again", 1) == -1
    line.close()
