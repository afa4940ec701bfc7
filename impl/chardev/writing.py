"""Writing to the port: the write pass, and the return of prices.

Theory of operation
-------------------
There is one writer at a time (WR-5).
A write pass that finds another one on the stack only notes that a write was asked for; the other
one then tries again if its port call moved nothing.
The writer's guard is held over the return of prices too, so at most one frame has buffers that are
written and not yet paid back.

What a port call completes leaves the queue at once and together; then prices are returned one by
one (WR-3).
Prices return in runs: a hundred buffers of one client cost as many announcements as its interval
demands, and no more work than that.

While the port refuses, each attempt offers one buffer only: it is a probe, whose cost does not
depend on the length of the queue.
A port that said that it is blocked is not even asked: its answer is known.
Everything else offers a gathered batch.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final, TypeVar

from .buffers import SERVER, Attachment, RestoredPayer
from .compiling import mypyc_attr
from .interfaces import PORT_BLOCKED, PORT_NOT_NOW
from .state import DeviceState, Frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .buffers import Payer
    from .interfaces import Bytes, Port

MessageT = TypeVar("MessageT")
ClientT = TypeVar("ClientT")

BATCH_BYTES: Final = 16 * 1024
"""How much is offered to the port at once: about what an undrained pty takes, 13.8 to 20 KB."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Writing(DeviceState[MessageT, ClientT]):
    """The write pass."""

    __slots__ = ()

    def _write_pass(self, frame: Frame) -> bool:
        """Write until the port takes no more (WR-1 to WR-8).

        Returns true if a limit stopped it (WR-5).
        """
        self._write_asked = True
        if self._writing:
            return False
        if frame.raised is not None:
            self._write_limited = True
            self._decide_retry_timer()
            return True
        if not self._may_write or not self._queue.payers:
            self._write_in_vain()
            return False
        self._writing = True
        limited = self._write_until_refused(frame)
        self._writing = False
        self._write_limited = limited
        self._decide_retry_timer()
        return limited

    def _write_until_refused(self, frame: Frame, *, after: bool | None = None) -> bool:
        """Hold the writer's guard and write; returns true if a limit ended it.

        `after` is what became of a port call that this pass already made: whether it moved
        something.
        """
        queue = self._queue
        repeated = False
        probing = self._port_owes_wakeup or self._retry_timer_armed
        moved = after
        while True:
            if moved is False:
                # The same try once more, if it was asked for while the port was busy (WR-5).
                if not self._write_asked:
                    return False
                if repeated:
                    return True
                repeated = probing = True
            elif moved:
                repeated = probing = False
            if not self._may_write or not queue.payers:
                return False
            if frame.raised is not None or frame.moved >= self._moves_per_call:
                return True
            if not queue.data[queue.head]:
                completed = queue.take_empty()
                moved = True
                frame.moved += len(completed)
                frame.progress = True
                self._return_prices(frame, completed)
            else:
                moved = self._write_once(frame, probing=probing)

    def _write_once(self, frame: Frame, *, probing: bool) -> bool:
        """Make one port call and account for its answer; true if it moved something."""
        port = self._port
        assert port is not None  # noqa: S101 - _may_write says so
        queue = self._queue
        epoch = self._epoch
        port_epoch = self._port_epoch
        entries = 1 if probing else min(self._offer_entries, self._moves_per_call - frame.moved)
        pieces, size = queue.offer(entries, BATCH_BYTES)
        self._write_asked = False
        answer = PORT_NOT_NOW
        # A port that is blocked need not be asked.
        if not self._port_blocked:
            try:
                answer = port.write(pieces)
            except BaseException as error:  # noqa: BLE001 - CB-5
                frame.fail(error)
        if self._epoch != epoch:
            return False
        return self._account(frame, port, port_epoch, size, answer)

    def _account(self, frame: Frame, port: Port, port_epoch: int, size: int, answer: int) -> bool:
        """Account for the answer of a port call that was not ignored; true if it moved something.

        `size` is how much was offered.
        """
        queue = self._queue
        same_port = self._port_epoch == port_epoch
        # An answer above what was offered is as good as a failure; so is any number that means nothing.
        taken = answer if 0 <= answer <= size else PORT_NOT_NOW
        failed = answer not in {taken, PORT_BLOCKED}
        if same_port and port.announces_writability:
            self._port_owes_wakeup = taken < size
            # An orphan may leave an empty buffer first, which needs no port (BUF-6).
            if answer == PORT_BLOCKED and not queue.has_orphans:
                self._port_blocked = True
        completed = queue.take(taken)
        if taken:
            frame.moved += len(completed)
            frame.progress = True
            self._active = self._running
        if failed and same_port:
            self._fail_port(frame)
        elif completed:
            self._return_prices(frame, completed)
        return taken > 0

    def _write_added(self, data: Bytes, payer: Payer) -> None:
        """Queue a buffer and make the write pass that adding it asks for (LC-2)."""
        queue = self._queue
        if self._port_blocked or self._writing or not self._may_write:
            queue.append(data, payer)
            self._write_in_vain()
        elif not queue.payers and data and isinstance(payer, Attachment):
            self._write_express(payer, (data,), (data,), len(data))
        else:
            queue.append(data, payer)
            frame = self._enter()
            self._write_pass(frame)
            self._leave(frame)

    def _write_in_vain(self) -> None:
        """Make a write pass that cannot write: the writer on the stack will, or nobody may."""
        self._write_asked = True
        if not self._writing:
            self._write_limited = False
            if self._wanted or self._retry_timer_armed:
                self._decide_retry_timer()

    def _write_express(
        self,
        attachment: Attachment[MessageT, ClientT],
        buffers: Sequence[Bytes],
        pieces: Sequence[Bytes],
        size: int,
    ) -> None:
        """Make the write pass of buffers that were just paid for, when nothing else is pending.

        `pieces` are the bytes of `buffers`, `size` of them, as the port is to have them; the first buffer is not empty.
        What `_write_pass` does, without the queue: unless the port takes less, nothing is created and nothing is moved.
        Only these need to know of the buffers while the port has them: the views, which look at `_express`, and the
        removal of their client, which marks the attachment.
        """
        port = self._port
        assert port is not None  # noqa: S101 - _may_write says so
        queue = self._queue
        epoch = self._epoch
        port_epoch = self._port_epoch
        raised: BaseException | None = None
        answer = PORT_NOT_NOW
        self._writing = True
        self._express = buffers
        self._write_asked = False
        try:
            answer = port.write(pieces)
        except BaseException as error:  # noqa: BLE001 - CB-5
            raised = error
        self._express = ()
        # The same port says that there was neither reset nor destroy.
        if (
            answer == size
            and self._port_epoch == port_epoch
            and not queue.payers
            and not attachment.gone
        ):
            self._active = self._running
            if self._port_owes_wakeup and port.announces_writability:
                self._port_owes_wakeup = False
            freed = attachment.freed + len(buffers)
            if freed >= self._interval:
                raised = self._return_tokens(attachment, len(buffers))
            elif attachment.flow_control:
                attachment.freed = freed
            if not queue.payers and raised is None:
                self._writing = False
                may_read = self._wanted and not self._nobody_may_be_sent_to
                if may_read or self._retry_timer_armed:
                    self._decide_retry_timer()
                return
            frame = self._enter()
            frame.fail(raised)
            frame.moved = len(buffers)
            moved = True
        else:
            frame = self._enter()
            frame.fail(raised)
            moved = False
            if self._epoch == epoch:
                queue.insert_offered(buffers, attachment)
                moved = self._account(frame, port, port_epoch, size, answer)
        limited = self._write_until_refused(frame, after=moved)
        self._writing = False
        self._write_limited = limited
        self._decide_retry_timer()
        self._leave(frame)

    def _fail_port(self, frame: Frame) -> None:
        """Detach a port that failed, then say so (WR-8)."""
        self._attach(None)
        if self._port_failed is not None:
            try:
                self._port_failed()
            except BaseException as error:  # noqa: BLE001 - CB-5
                frame.fail(error)

    def _return_prices(self, frame: Frame, payers: Sequence[Payer]) -> None:
        """Return the prices of written buffers, in order (TOK-3, SELF-3).

        A reset or destroy in a callback has dealt with the rest.
        """
        # Mostly one run, which a count finds far faster than a walk.
        if payers.count(payers[0]) == len(payers):
            self._return_run(frame, payers[0], len(payers))
            return
        epoch = self._epoch
        for payer, run in groupby(payers):
            if self._epoch != epoch:
                return
            self._return_run(frame, payer, len([*run]))

    def _return_run(self, frame: Frame, payer: Payer, count: int) -> None:
        if isinstance(payer, Attachment):
            frame.fail(self._return_tokens(payer, count))
        elif payer is SERVER:
            self._return_self_tokens(frame, count)
        elif isinstance(payer, RestoredPayer):
            attachment = payer.attachment
            if attachment.flow_control and not attachment.gone:
                attachment.freed += payer.price
                if attachment.freed >= self._interval:
                    frame.fail(self._announce(attachment))

    def _return_tokens(
        self, attachment: Attachment[MessageT, ClientT], count: int
    ) -> BaseException | None:
        """Give a client `count` prices of one token back, with the announcements that each would make (TOK-3).

        Returns the first exception that an announcement raised.
        """
        raised: BaseException | None = None
        epoch = self._epoch
        while count and attachment.flow_control and not attachment.gone and self._epoch == epoch:
            freed = attachment.freed
            due = self._interval - freed
            if count < due or attachment.leaving:
                attachment.freed = freed + count
                break
            step = due if due > 0 else 1
            count -= step
            tokens = freed + step
            # What `_announce` does, without the call: this is what each batch comes through.
            attachment.freed = 0
            attachment.tokens += tokens
            try:
                self._callbacks.send_tokens_to_client(attachment.client, tokens)
            except BaseException as error:  # noqa: BLE001 - CB-5
                if raised is None:
                    raised = error
        return raised

    def _announce(self, attachment: Attachment[MessageT, ClientT]) -> BaseException | None:
        """Announce all freed tokens, if any, unless the client is leaving (TOK-3, RD-4).

        Returns the exception that the callback raised (CB-5).
        """
        tokens = attachment.freed
        if attachment.leaving or not tokens:
            return None
        attachment.freed = 0
        attachment.tokens += tokens
        try:
            self._callbacks.send_tokens_to_client(attachment.client, tokens)
        except BaseException as error:  # noqa: BLE001 - CB-5
            return error
        return None

    def _return_self_tokens(self, frame: Frame, count: int) -> None:
        """Return self tokens one by one, each with its callback (SELF-3)."""
        epoch = self._epoch
        for _ in range(count):
            if self._epoch != epoch:
                return
            self._self_tokens += 1
            self._call_on_free_self_token(frame)

    def _call_on_free_self_token(self, frame: Frame) -> None:
        if self._on_free_self_token is not None:
            try:
                self._on_free_self_token()
            except BaseException as error:  # noqa: BLE001 - CB-5
                frame.fail(error)
