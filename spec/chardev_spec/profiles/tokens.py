"""Quirks of tokens: who must go, and what is announced."""

from chardev_spec.conditions import Frame, Steps
from chardev_spec.events import SendTokensToClient
from chardev_spec.profiles.quirk import ALL, BOTH, Quirk, low_bits


class NoLeaving(Quirk):
    """RD-4, TOK-2, TOK-3: `remove_client` is called, but nobody is marked as leaving.

    A client that broke its limits is served, announced to, and asked to go again, until it goes.
    """

    releases = ALL
    refuted_by = "leaving_comes_first"

    def mark_leaving(self, client: int) -> None:
        """Nothing: neither the mark nor the timers change."""


class AnnouncedCountLosesHighBits(Quirk):
    """TOK-5, TOK-6: `send_tokens_to_client` tells the low 32 bits of a count of 64.

    It takes `RestoreOverwritesCounts` as well to make freed tokens that many.
    """

    releases = BOTH

    def announce(self, frame: Frame, client: int) -> Steps[None]:
        """All freed tokens become client tokens; the client is told the low bits."""
        row = self.clients[client]
        told = low_bits(row.freed, 32)
        row.tokens += row.freed
        row.announced += told
        row.freed = 0
        yield SendTokensToClient(row.peer, told)
