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
from .interfaces import PORT_BLOCKED, PORT_FAILED, PORT_NOT_NOW
from .state import DeviceState, Frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .buffers import Payer
    from .interfaces import Bytes, Port

MessageT = TypeVar("MessageT")
ClientT = TypeVar("ClientT")

BATCH_BYTES: Final = 16 * 1024
"""How much is offered to the port at once: about what an undrained pty takes, 13.8 to 20 KB."""

BATCH_ENTRIES: Final = 1024
"""How many buffers are offered at once: Linux' IOV_MAX, the most that writev takes."""


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
        entries = 1 if probing else min(BATCH_ENTRIES, self._moves_per_call - frame.moved)
        offer, size = queue.offer(entries, BATCH_BYTES)
        self._write_asked = False
        taken = self._call_port(port, offer, size)
        if self._port_error is not None:
            self._note_port_error(frame)
        if self._epoch != epoch:
            return False
        return self._account(frame, port, port_epoch, size, taken)

    def _call_port(self, port: Port, offer: Sequence[Bytes], size: int) -> int:
        """Offer `size` bytes to the port; returns how many it took, or `PORT_FAILED`.

        An exception is "took nothing" (CB-5); it waits in `_port_error` for a frame.
        """
        if self._port_blocked:
            return PORT_NOT_NOW
        port_epoch = self._port_epoch
        try:
            answer = port.write(offer)
        except BaseException as error:  # noqa: BLE001 - CB-5
            self._port_error = error
            return PORT_NOT_NOW
        return self._judge(port, port_epoch, size, answer)

    def _judge(self, port: Port, port_epoch: int, size: int, answer: int) -> int:
        """Make of a port's answer how many bytes it took, or `PORT_FAILED`."""
        if 0 <= answer <= size:
            return answer
        if answer != PORT_BLOCKED:
            return PORT_FAILED
        # An orphan may leave an empty buffer first, which needs no port (BUF-6).
        if (
            port.announces_writability
            and self._port_epoch == port_epoch
            and not self._queue.has_orphans
        ):
            self._port_blocked = True
        return PORT_NOT_NOW

    def _note_port_error(self, frame: Frame) -> None:
        if self._port_error is not None:
            frame.fail(self._port_error)
            self._port_error = None

    def _account(self, frame: Frame, port: Port, port_epoch: int, size: int, answer: int) -> bool:
        """Account for the answer of a port call that was not ignored; true if it moved something.

        `size` is how much was offered, `answer` how much was taken, or `PORT_FAILED`.
        """
        taken = max(answer, 0)
        completed = self._queue.take(taken)
        if taken:
            frame.moved += len(completed)
            frame.progress = True
            if self._running:
                self._active = True
        if self._port_epoch == port_epoch:
            if answer == PORT_FAILED:
                self._fail_port(frame)
                return False
            if port.announces_writability:
                self._port_owes_wakeup = taken < size
        if completed:
            self._return_prices(frame, completed)
        return taken > 0

    def _write_added(self, data: Bytes, payer: Payer) -> None:
        """Queue a buffer and make the write pass that adding it asks for (LC-2)."""
        queue = self._queue
        if self._port_blocked or self._writing or not self._may_write:
            queue.append(data, payer)
            self._write_in_vain()
        elif not queue.payers and data and isinstance(payer, Attachment):
            self._write_express(payer, data)
        else:
            queue.append(data, payer)
            if not (self._port_owes_wakeup or self._retry_timer_armed) or not self._write_probe():
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

    def _write_express(self, attachment: Attachment[MessageT, ClientT], data: Bytes) -> None:
        """Make the write pass of a buffer that was just paid for, when nothing else is pending.

        What `_write_pass` does with a queue of one, without the queue: unless the port refuses or a
        callback is due, nothing is created and nothing is moved.
        Only these need to know of the buffer while the port has it: the views, which look at
        `_express`, and the removal of its client, which marks the attachment.
        """
        port = self._port
        assert port is not None  # noqa: S101 - _may_write says so
        epoch = self._epoch
        port_epoch = self._port_epoch
        size = len(data)
        self._writing = True
        self._express = data
        self._write_asked = False
        answer = PORT_NOT_NOW
        try:
            answer = port.write((data,))
        except BaseException as error:  # noqa: BLE001 - CB-5
            self._port_error = error
        self._express = None
        if (
            answer == size
            and self._epoch == epoch
            and not self._queue.payers
            and not attachment.gone
        ):
            if self._running:
                self._active = True
            if (
                self._port_owes_wakeup
                and self._port_epoch == port_epoch
                and port.announces_writability
            ):
                self._port_owes_wakeup = False
            freed = attachment.freed + 1
            if freed < self._interval or not attachment.flow_control or attachment.leaving:
                if attachment.flow_control:
                    attachment.freed = freed
                self._writing = False
                self._write_limited = False
                may_read = self._wanted and not self._nobody_may_be_sent_to
                if may_read or self._retry_timer_armed:
                    self._decide_retry_timer()
                return
            frame = self._enter()
            frame.moved = 1
            self._return_price(frame, attachment, 1)
            moved = True
        else:
            frame = self._enter()
            self._note_port_error(frame)
            moved = False
            if self._epoch == epoch:
                self._queue.insert_offered(data, attachment)
                taken = self._judge(port, port_epoch, size, answer)
                moved = self._account(frame, port, port_epoch, size, taken)
        self._end_write_pass(frame, moved=moved)

    def _write_probe(self) -> bool:
        """Make the write pass of a buffer that was just queued, while the port refuses.

        What `_write_pass` does, but for the things that only an answer other than "not now" needs.
        Returns false, and has done nothing, if the first buffer is empty.
        """
        port = self._port
        assert port is not None  # noqa: S101 - _may_write says so
        queue = self._queue
        epoch = self._epoch
        port_epoch = self._port_epoch
        offer, size = queue.offer(1, 0)
        if not size:
            queue.offered = 0
            return False
        self._writing = True
        self._write_asked = False
        taken = self._call_port(port, offer, size)
        if (
            taken == 0
            and not self._write_asked
            and self._port_error is None
            and self._epoch == epoch
            and not queue.has_orphans
        ):
            queue.offered = 0
            if self._port_epoch == port_epoch and port.announces_writability:
                self._port_owes_wakeup = True
            self._writing = False
            self._write_limited = False
            if self._wanted or self._retry_timer_armed or not self._port_owes_wakeup:
                self._decide_retry_timer()
            return True
        frame = self._enter()
        self._note_port_error(frame)
        moved = False
        if self._epoch == epoch:
            moved = self._account(frame, port, port_epoch, size, taken)
        self._end_write_pass(frame, moved=moved)
        return True

    def _end_write_pass(self, frame: Frame, *, moved: bool) -> None:
        """Go on after a first port call as `_write_pass` would, and end the API call."""
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
            self._return_tokens(frame, payer, count)
        elif payer is SERVER:
            self._return_self_tokens(frame, count)
        elif isinstance(payer, RestoredPayer):
            self._return_price(frame, payer.attachment, payer.price)

    def _return_tokens(
        self, frame: Frame, attachment: Attachment[MessageT, ClientT], count: int
    ) -> None:
        """Return `count` prices of one token, with the announcements that each would make."""
        epoch = self._epoch
        while count and attachment.flow_control and not attachment.gone and self._epoch == epoch:
            due = self._interval - attachment.freed
            step = count if attachment.leaving or count <= due else max(due, 1)
            count -= step
            self._return_price(frame, attachment, step)

    def _return_price(
        self, frame: Frame, attachment: Attachment[MessageT, ClientT], price: int
    ) -> None:
        """Give a client its price back, and announce what it may know (TOK-3)."""
        if not attachment.flow_control or attachment.gone:
            return
        attachment.freed += price
        if attachment.freed >= self._interval:
            self._announce(frame, attachment)

    def _announce(self, frame: Frame, attachment: Attachment[MessageT, ClientT]) -> None:
        """Announce all freed tokens, if any, unless the client is leaving (TOK-3, RD-4)."""
        tokens = attachment.freed
        if attachment.leaving or not tokens:
            return
        attachment.freed = 0
        attachment.tokens += tokens
        try:
            self._callbacks.send_tokens_to_client(attachment.client, tokens)
        except BaseException as error:  # noqa: BLE001 - CB-5
            frame.fail(error)

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
