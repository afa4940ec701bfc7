"""The limit on processor time."""

import signal
import threading
import time

import pytest

from chardev_conformance.stopwatch import Stopwatch


class SpentError(Exception):
    """Too much time was used."""


def spin(seconds: float) -> None:
    """Use so much processor time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_what_takes_too_long_is_interrupted_also_when_it_goes_on() -> None:
    """A device that catches every exception could never be told to stop."""
    interruptions = 0
    with Stopwatch(0.02, SpentError) as stopwatch:
        stopwatch.start()
        while interruptions < 3:
            try:
                spin(60.0)
            except SpentError:
                interruptions += 1


def test_what_is_over_in_time_is_not_interrupted() -> None:
    """The time of all calls together would count as that of one."""
    with Stopwatch(0.2, SpentError) as stopwatch:
        for _ in range(4):
            stopwatch.start()
            spin(0.1)
            stopwatch.stop()
        spin(0.3)


def test_the_signal_is_given_back() -> None:
    """Whoever uses this as a library could not use the signal."""

    def spend() -> None:
        with Stopwatch(0.02, SpentError) as stopwatch:
            stopwatch.start()
            spin(60.0)

    before = signal.getsignal(signal.SIGVTALRM)
    with pytest.raises(SpentError):
        spend()
    assert signal.getsignal(signal.SIGVTALRM) == before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_other_threads_are_left_alone() -> None:
    """A check in a thread would end with an error of the signal's."""
    done = []

    def check() -> None:
        with Stopwatch(0.02, SpentError) as stopwatch:
            stopwatch.start()
            spin(0.1)
            stopwatch.stop()
        done.append(True)

    thread = threading.Thread(target=check)
    thread.start()
    thread.join()
    assert done == [True]
