"""``python -m tests.lab.guest``: runs inside the guest, and nowhere else."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from chardev.line_settings import driver_of
from tests.lab import checks
from tests.lab.control import Control
from tests.lab.places import PLACES, Place, load_drivers
from tests.lab.port_tests import port_tests

CHECK_SECONDS = 100
"""How long one check may take before it counts as stuck."""

PTY = "QEMU's pty"

Check = Callable[[Place, Control], str]


def main() -> int:
    """Check every line whose title contains the second argument, with the seed that is the first."""
    control = Control(int(sys.argv[1]))
    only = sys.argv[2]
    control.ask("hello")
    kernel = Path(".lab/kernel").absolute()
    # Where a file may be written.
    os.chdir("/run")
    signal.signal(signal.SIGALRM, _stuck)
    load_drivers(kernel)
    for place in PLACES:
        if only in place.title:
            _report(control, place.title, lambda: _place(place, control))
    if only in PTY:
        _report(control, PTY, lambda: _pty(control))
    control.ask("done")
    return 0


def _report(control: Control, title: str, check: Callable[[], str]) -> None:
    """Tell the host what was seen, or what went wrong and where; the next line is checked all the same."""
    begin = time.monotonic()
    try:
        saw = check()
    except Exception as error:  # noqa: BLE001 - whatever it is, the host hears of it
        told = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
        control.ask("fail", title, told=told)
    else:
        control.ask("say", f"ok  {title}, {saw} ({time.monotonic() - begin:.0f} s)")
    finally:
        signal.alarm(0)


def _place(place: Place, control: Control) -> str:
    path, _ = place.find()
    facts = []
    for check in _checks(place):
        signal.alarm(CHECK_SECONDS)
        facts.append(f"    {check(place, control)}")
    return "\n".join([f"driver {driver_of(path)}, {path}:", *facts])


def _pty(control: Control) -> str:
    signal.alarm(CHECK_SECONDS)
    return checks.pty_of_the_host(control)


def _checks(place: Place) -> Iterator[Check]:
    yield checks.lockstep
    yield checks.event_loop
    if place.is_uart:
        yield checks.own_loopback
        yield checks.overrun
    if place.is_tty:
        yield checks.settings
    yield checks.bounded_close
    yield port_tests


def _stuck(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"stuck for {CHECK_SECONDS} s")


if __name__ == "__main__":
    sys.exit(main())
