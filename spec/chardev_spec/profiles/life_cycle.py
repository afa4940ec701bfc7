"""Quirks of the life cycle: what makes the device move, who may join, and what becomes of those who left."""

from chardev_spec.conditions import Frame, Steps
from chardev_spec.events import LOOP, Peer
from chardev_spec.profiles.quirk import ALL, BOTH, SPICE_0_12_4, Quirk, RowField, no_steps
from chardev_spec.state import Origin, Place


class StartWritesUntilNothing(Quirk):
    """LC-2: `start` reads only after a write pass that moved nothing; one that moved something is repeated first."""

    releases = ALL

    def start(self, frame: Frame) -> Steps[None]:
        """Write, or else read, until neither moves anything."""
        self.check_alive()
        device = self.device
        device.running = True
        progressed = True
        while (yield LOOP) and progressed and device.running and not frame.raised:
            frame.progressed = False
            device.read_due += 1
            yield from self.write_pass(frame)
            if device.destroyed:
                return
            device.read_due -= 1
            if not frame.progressed:
                yield from self.read_pass(frame)
            progressed = frame.progressed and not frame.limited


class WakeupOnlyReads(Quirk):
    """LC-2, LC-6, WR-6: `wakeup` reads and does not write; neither does `client_add`, which calls it."""

    releases = (SPICE_0_12_4,)
    refuted_by = "no_data_is_stuck"

    def wakeup(self, frame: Frame) -> Steps[None]:
        """When running, one read pass."""
        self.check_alive()
        self.device.port_owes_wakeup = False
        if self.device.running:
            yield from self.read_pass(frame)

    def after_client_add(self, frame: Frame) -> Steps[None]:
        """When running, one read pass."""
        if self.device.running:
            yield from self.read_pass(frame)


class RemoveDoesNotMove(Quirk):
    """LC-7, WR-6, RD-8: `client_remove` does not write, and reads only if it ended an awaiting."""

    releases = ALL
    refuted_by = "no_data_is_stuck"

    def after_client_remove(self, frame: Frame, was_awaited: bool) -> Steps[None]:
        """When running, one read pass after an awaiting."""
        if was_awaited and self.device.running:
            yield from self.read_pass(frame)


class AttachDoesNotMove(Quirk):
    """LC-4, WR-6, RD-8: `reset_dev_instance` attaches a port and neither writes to it nor reads it."""

    releases = BOTH
    refuted_by = "no_data_is_stuck"

    def after_attach(self, frame: Frame) -> Steps[None]:
        """Nothing."""
        yield from no_steps()


class PeerOwnsItsOldBuffers(Quirk):
    """BUF-4, TOK-1: a buffer that is held names a peer, not an attachment.

    A peer that left and came back owns its old ones again: they are written, and their price returns to it.
    """

    releases = BOTH
    refuted_by = "tokens_are_conserved"

    buffer_peer: RowField[Peer] = RowField(default=None)
    """Who asked for a buffer, by buffer."""

    def allocate(self, origin: Origin, client: int | None, size: int) -> int:
        """Note the peer."""
        handle = super().allocate(origin, client, size)
        if client is not None:
            self.buffer_peer[handle] = self.clients[client].peer
        return handle

    def attach_client(
        self,
        peer: Peer,
        flow_control: bool,
        client_tokens: int,
        send_tokens: int,
        max_send_queue_size: int,
    ) -> int:
        """What the peer holds is its own again."""
        client = super().attach_client(
            peer, flow_control, client_tokens, send_tokens, max_send_queue_size
        )
        self.buffers.update(
            lambda row: row.place == Place.HELD and self.buffer_peer[row.handle] == peer,
            origin=lambda row: Origin.CLIENT,
            client=lambda row: client,
        )
        return client


class StarvingWindowAccepted(Quirk):
    """LC-6: `client_add` accepts a window below the interval, of which no token is ever announced."""

    releases = BOTH
    refuted_by = "no_window_starves"

    def check_not_starving(self, flow_control: bool, client_tokens: int) -> None:
        """Nothing is refused."""


class AwaitingClientHasCredit(Quirk):
    """MIG-4, LC-3: a client that awaits migration data has the send tokens of its `client_add`; a reset leaves them."""

    releases = ALL

    def credit_while_awaiting(self, send_tokens: int) -> int:
        """As for any other client."""
        return send_tokens

    def reset_awaiting(self) -> None:
        """The awaiting ends; the credit stays."""
        self.device.awaiting = None


class AddEndsAwaiting(Quirk):
    """LC-6, WR-2: a client may join an awaiting device, and that ends the awaiting.

    `client_add` asks whether there are clients and whether the device is active, and only for one that awaits.
    """

    releases = BOTH
    refuted_by = "sealed_devices_are_quiet"

    def refuses_client(self, wait_for_migrate_data: bool) -> bool:
        """Only one that awaits, on a device that has clients or has moved."""
        return wait_for_migrate_data and (not self.clients.empty() or self.device.active)


class DestroyWalksOldestFirst(Quirk):
    """LC-5: `destroy` drops the messages of the oldest client first."""

    releases = BOTH

    def destroy_order(self) -> list[int]:
        """Oldest first."""
        return self.clients.oldest_first()
