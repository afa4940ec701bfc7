"""A progress bar on a terminal; nothing elsewhere."""

import sys
import time
from typing import Final, TextIO

WIDTH: Final = 30
INTERVAL_SECONDS: Final = 0.1
"""How often the bar is drawn: often enough to look alive, seldom enough to cost nothing."""


class Progress:
    """Draws how much of `total` is done, on standard error when that is a terminal."""

    def __init__(self, total: int, unit: str, stream: TextIO = sys.stderr) -> None:
        self._total = max(total, 1)
        self._unit = unit
        self._stream = stream
        self._shown = stream.isatty()
        self._drawn = 0.0

    def show(self, done: int, note: str = "") -> None:
        """Draw the bar, unless it was drawn a moment ago."""
        now = time.monotonic()
        if not self._shown or now - self._drawn < INTERVAL_SECONDS:
            return
        self._drawn = now
        share = min(done / self._total, 1.0)
        bar = "#" * round(share * WIDTH)
        self._stream.write(
            f"\r[{bar:<{WIDTH}}] {done:,} of {self._total:,} {self._unit} {note}\x1b[K"
        )
        self._stream.flush()

    def end(self) -> None:
        """Take the bar away."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
