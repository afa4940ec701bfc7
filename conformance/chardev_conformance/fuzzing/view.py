"""What a campaign shows while it runs: a few lines that are drawn anew on a terminal, a line a minute elsewhere."""

import os
import time
from typing import Final, TextIO

from chardev_conformance.fuzzing.campaign import Campaign
from chardev_conformance.fuzzing.features import Kind
from chardev_conformance.fuzzing.reach import reach

REDRAW_SECONDS: Final = 0.5
LINE_SECONDS: Final = 60.0


class View:
    """Shows a campaign on a stream."""

    def __init__(self, campaign: Campaign, stream: TextIO, workers: str) -> None:
        self._campaign = campaign
        self._stream = stream
        self._workers = workers
        self._live = stream.isatty()
        self._height = 0
        self._size = ""
        self._shown = time.monotonic()
        self._sized = 0.0
        self._calls = campaign.calls
        self._executed = campaign.executed

    def show(self) -> None:
        """Show how it stands, unless that was done a moment ago."""
        now = time.monotonic()
        passed = now - self._shown
        if passed < (REDRAW_SECONDS if self._live else LINE_SECONDS):
            return
        campaign = self._campaign
        rate = (campaign.executed - self._executed) / passed
        calls = (campaign.calls - self._calls) / passed
        self._shown, self._executed, self._calls = now, campaign.executed, campaign.calls
        if self._live:
            self._draw(rate, calls)
        else:
            self._stream.write(
                f"{campaign.seconds:,.0f} s: {campaign.executed:,} scenarios, {rate:,.0f}/s, "
                f"{campaign.corpus.features:,} features, {len(campaign.found)} findings\n"
            )
            self._stream.flush()

    def say(self, text: str) -> None:
        """A line that stays."""
        self._clear()
        self._stream.write(text + "\n")
        self._stream.flush()

    def end(self) -> None:
        """Take the lines away."""
        self._clear()

    def set_size(self, size: int) -> None:
        """How much is on disk."""
        self._size = f"{size / 1e6:,.1f} MB on disk"

    def _clear(self) -> None:
        if self._height:
            self._stream.write(f"\x1b[{self._height}F\x1b[J")
            self._stream.flush()
            self._height = 0

    def _draw(self, rate: float, calls: float) -> None:
        campaign, kinds = self._campaign, self._campaign.kinds
        reached = reach(campaign)
        lines = [
            f"chardev fuzz   seed {campaign.plan.seed}, {self._workers}, {campaign.seconds:,.0f} s",
            f"executions     {campaign.executed:,} scenarios, {rate:,.0f}/s; {campaign.calls:,} calls, {calls:,.0f}/s",
            f"reached        {reached.rules} of {len(reached.rule_table)} rules, {reached.figures(kinds)}",
            f"features       {campaign.corpus.features:,}, of the target's code {kinds[Kind.CODE]:,}",
            f"newest         {campaign.newest or '-'}",
            f"corpus         {len(campaign.corpus.entries):,} entries; {self._size}",
            f"findings       {len(campaign.found)}",
        ]
        self._clear()
        # A line that the terminal breaks would be two, and the next drawing would leave one of them standing.
        width = os.get_terminal_size(self._stream.fileno()).columns - 1
        self._stream.write("".join(f"{line[:width]}\n" for line in lines))
        self._stream.flush()
        self._height = len(lines)
