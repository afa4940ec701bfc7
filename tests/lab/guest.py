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

CHECK_SECONDS = 60
"""How long one check may take before it counts as stuck."""

Check = Callable[[Place, Control], str]


def main() -> int:
    """Check every line whose title contains the argument; report to the host."""
    only = sys.argv[1]
    control = Control()
    control.ask("hello")
    kernel = Path(".lab/kernel").absolute()
    # Where a file may be written.
    os.chdir("/run")
    signal.signal(signal.SIGALRM, _stuck)
    load_drivers(kernel)
    for place in PLACES:
        if only in place.title:
            _check_place(control, place)
    control.ask("done")
    return 0


def _check_place(control: Control, place: Place) -> None:
    begin = time.monotonic()
    facts, check_name = [], "find"
    try:
        path, _ = place.find()
        driver = driver_of(path)
        for check in _checks(place):
            check_name = check.__name__
            signal.alarm(CHECK_SECONDS)
            facts.append(check(place, control))
    except Exception as error:  # noqa: BLE001 - the host hears of it, and the next line is checked
        what = f"FAILED  {place.title}: {check_name}: {type(error).__name__}: {error}"
        control.ask("fail", what, traceback=traceback.format_exc())
        return
    finally:
        signal.alarm(0)
    seconds = time.monotonic() - begin
    control.ask("say", f"ok  {place.title}, {driver} ({path}), {seconds:.0f} s: {'; '.join(facts)}")


def _checks(place: Place) -> Iterator[Check]:
    yield checks.lockstep
    if place.is_uart:
        yield checks.own_loopback
        yield checks.overrun
    if place.is_tty:
        yield checks.settings
    yield checks.bounded_close


def _stuck(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"stuck for {CHECK_SECONDS} s")


if __name__ == "__main__":
    sys.exit(main())
