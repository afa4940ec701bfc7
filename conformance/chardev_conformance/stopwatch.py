"""Interrupts what uses too much processor time."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, Self

AGAIN: Final = 0.05
"""It is interrupted again after so many seconds: code that is checked may swallow exceptions."""


class Stopwatch:
    """Raises what `expired` makes where the process is, once it has used `seconds` of processor time since `start`.

    As a context it takes SIGVTALRM, and gives it back; between, `start` and `stop` are cheap.
    Signals come to the main thread alone: in others it does nothing.
    """

    def __init__(self, seconds: float, expired: Callable[[], BaseException]) -> None:
        self._seconds = seconds
        self._expired = expired
        self._interrupts = False
        self._before: Any = None

    def __enter__(self) -> Self:
        self._interrupts = threading.current_thread() is threading.main_thread()
        if self._interrupts:
            self._before = signal.signal(signal.SIGVTALRM, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        if self._interrupts:
            self.stop()
            signal.signal(signal.SIGVTALRM, self._before)

    def start(self) -> None:
        """Begin to count."""
        if self._interrupts:
            signal.setitimer(signal.ITIMER_VIRTUAL, self._seconds, AGAIN)

    def stop(self) -> None:
        """Count no longer."""
        if self._interrupts:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def _interrupt(self, _: int, __: FrameType | None) -> None:
        raise self._expired()
