"""Line settings read back, and what a driver refuses, on ptys; the lab does the same on real drivers."""

from __future__ import annotations

import os
import tty
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chardev.line_settings import (
    LineErrors,
    LineSettings,
    driver_of,
    read_errors,
    read_settings,
    refused,
)
from chardev.ports import PortError, TtyPort, open_tty

if TYPE_CHECKING:
    from collections.abc import Iterator

USUAL = LineSettings(
    baudrate=115200,
    byte_size=8,
    parity="N",
    stopbits=1,
    rtscts=False,
    xonxoff=False,
    low_latency=False,
)


@pytest.fixture
def path() -> Iterator[str]:
    """Return the path of a pty."""
    pytest.importorskip("serialx", reason="python -m pip install 'chardev[serial]'")
    master, slave = os.openpty()
    tty.setraw(slave)
    yield os.ttyname(slave)
    os.close(slave)
    os.close(master)


def test_settings_are_read_back(path: str) -> None:
    """A program could not show what its line is really set to."""
    with open_tty(path) as port:
        assert port.settings() == USUAL
        assert str(port.settings()) == "115200 8N1"
    with open_tty(path, 250_000, stopbits=2, rtscts=True, xonxoff=True) as port:
        assert str(port.settings()) == "250000 8N2 rtscts xonxoff"
        assert port.errors() is None
    with pytest.raises(ValueError, match="was closed"):
        port.settings()


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"parity": "E"}, "parity E (it is N)"),
        ({"byte_size": 7}, "byte_size 7 (it is 8)"),
        ({"low_latency": True}, "low_latency True (it is False)"),
        ({"parity": "O", "byte_size": 5}, "parity O (it is N), byte_size 5 (it is 8)"),
    ],
)
def test_a_refused_setting_is_named(path: str, asked: dict[str, Any], named: str) -> None:
    """A pty drops parity without a word, and a line would run with other settings than asked for."""
    with pytest.raises(PortError) as caught:
        open_tty(path, **asked)
    assert str(caught.value) == (
        f"open_tty: {path} cannot be set up: the driver pty_slave refused {named}; "
        "change the line settings"
    )
    open_tty(path).close()


def test_a_rate_that_is_near_enough_is_not_refused() -> None:
    """A UART that makes 9615 of 9600 would be called unable to do it."""
    assert refused({"baudrate": 9600, "exclusive": True}, USUAL) == ["baudrate 9600 (it is 115200)"]
    assert refused({"baudrate": 114_000, "stopbits": 1.0}, USUAL) == []


def test_errors_are_counted_since_the_line_was_opened(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors of yesterday would be blamed on today's cable."""
    counted = iter([LineErrors(1, 2, 3, 4, 5), LineErrors(1, 2, 13, 4, 6)])
    monkeypatch.setattr("chardev.ports.read_errors", lambda _: next(counted))
    with open_tty(path) as port:
        assert isinstance(port, TtyPort)
        errors = port.errors()
    assert errors == LineErrors(frame=0, parity=0, overrun=10, buffer_overrun=0, breaks=1)
    assert str(errors) == "overrun 10, breaks 1"
    assert errors.lost_or_changed


def test_a_break_alone_loses_nothing() -> None:
    """A break, which peers send on purpose, would condemn the cable."""
    assert not LineErrors(0, 0, 0, 0, 7).lost_or_changed
    assert str(LineErrors(0, 0, 0, 0, 0)) == "none"


def test_drivers_have_the_kernels_name(path: str) -> None:
    """A report would not say which driver it speaks of."""
    assert driver_of(path) == "pty_slave"
    assert driver_of("/dev/null") == ""
    with pytest.raises(FileNotFoundError):
        driver_of("/dev/chardev-is-not-there")


def test_what_is_no_tty_has_no_settings(tmp_path: Path) -> None:
    """A virtio port would be asked for a baud rate."""
    with (tmp_path / "file").open("wb") as file:
        assert read_errors(file.fileno()) is None
        with pytest.raises(OSError, match="Inappropriate ioctl"):
            read_settings(file.fileno())
