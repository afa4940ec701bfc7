"""Tokens: what a client may still send (TOK), and what the server may (SELF)."""

from chardev_spec.conditions import Conditions, Frame, Steps
from chardev_spec.events import OnFreeSelfToken, RemoveClient, SendTokensToClient
from chardev_spec.state import Origin


class Tokens(Conditions):
    """Counting, announcing, and the client that must go."""

    def take_token(self, client: int) -> None:
        """TOK-2: a buffer costs its client one token; without flow control there is no count (TOK-4)."""
        row = self.clients[client]
        if row.flow_control:
            row.tokens -= 1
            row.taken += 1

    def return_price(
        self, frame: Frame, origin: Origin, client: int | None, price: int
    ) -> Steps[None]:
        """Return the price of a buffer that was consumed or released unsent.

        A client's goes to its freed tokens, which are announced when they reach the interval (TOK-3).
        The server's returns its self token, then says so (SELF-3).
        Server-without-token and nobody's buffers touch no count (SELF-4).
        """
        if origin == Origin.SERVER:
            self.device.self_tokens += 1
            yield OnFreeSelfToken()
        elif origin == Origin.CLIENT and client is not None and self.clients[client].flow_control:
            self.clients[client].freed += price
            if self.announcement_due(client):
                yield from self.announce(frame, client)

    def announcement_due(self, client: int) -> bool:
        """TOK-3: whether the freed tokens have reached the interval; a leaving client is told nothing (RD-4)."""
        row = self.clients[client]
        return row.freed > 0 and row.freed >= self.device.interval and not row.leaving

    def announce(self, frame: Frame, client: int) -> Steps[None]:
        """TOK-3, TOK-6: all freed tokens become client tokens, in one `send_tokens_to_client`."""
        row = self.clients[client]
        tokens = row.freed
        row.freed = 0
        row.tokens += tokens
        row.announced += tokens
        yield SendTokensToClient(row.peer, tokens)

    def mark_leaving(self, client: int) -> None:
        """RD-4: the client is leaving, before anybody is told; its wait timer is disarmed.

        A read that was owed for this client alone is owed no more, so the retry timer may be disarmed (WR-4).
        """
        row = self.clients[client]
        row.leaving = True
        row.wait_armed = False
        self.disarm_idle_retry_timer()

    def ask_to_remove(self, frame: Frame, client: int) -> Steps[None]:
        """RD-4: the client becomes leaving, then `remove_client` is called, once."""
        self.mark_leaving(client)
        yield RemoveClient(self.clients[client].peer)
