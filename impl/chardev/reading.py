"""Reading from the port: the read pass, the fan-out to clients, and the push of queued messages.

Theory of operation
-------------------
There is one reader at a time; its guard is held during the fan-out too (RD-8).
Reading goes on until the port says "nothing", nobody may be sent to, or a limit stops it.

Every reference is owned by exactly one place: the reader's own until the fan-out ends, a
recipient's until it was sent or refused, a queue's until it is pushed or dropped (CB-4).
Recipients are those attached when the read returned (CB-2); whether one is still there, and what
becomes of its message, is decided after `ref_msg_to_client` returned (RD-3).

What is read is a run of messages: of one, or of as many as an owner that has `BatchCallbacks` gives.
A run goes to each client in as few pieces as its credit allows, and each piece is decided upon when
the one before it is done; whatever is true of one message is true of a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from .buffering import Buffering
from .compiling import mypyc_attr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .buffers import Attachment
    from .state import Frame

MessageT = TypeVar("MessageT")
ClientT = TypeVar("ClientT")


@mypyc_attr(allow_interpreted_subclasses=True)
class Reading(Buffering[MessageT, ClientT]):
    """The read pass."""

    __slots__ = ()

    def _write_and_read(self, frame: Frame) -> None:
        if self._running:
            self._write_pass(frame)
            if not self._destroyed:
                self._read_pass(frame)

    def _read_pass(self, frame: Frame) -> bool:
        """Read and fan out until there is nothing to read, or nobody to send to (RD-1, RD-8).

        Returns true if a limit stopped it (WR-5).
        """
        self._wanted = self._read_asked = True
        if self._reading:
            return False
        if frame.raised is not None:
            self._decide_retry_timer()
            return True
        self._reading = True
        limited = self._read_until_nothing(frame)
        self._reading = False
        self._decide_retry_timer()
        return limited

    def _read_until_nothing(self, frame: Frame) -> bool:
        repeated = False
        while self._wanted and frame.raised is None and self.wants_to_read():
            if frame.moved >= self._moves_per_call:
                return True
            self._read_asked = False
            messages = self._read(frame)
            if not messages:
                self._wanted = self._read_asked
                if not self._wanted:
                    return False
                if repeated:
                    return True
                repeated = True
                continue
            repeated = False
            frame.moved += len(messages)
            frame.progress = True
            if self._running:
                self._active = True
            self._fan_out(frame, messages)
        return False

    def _read(self, frame: Frame) -> Sequence[MessageT]:
        """Read one message, or as many as there is credit for, in one callback; none is "nothing"."""
        message: MessageT | None = None
        try:
            if self._read_msgs is not None:
                return self._read_msgs(self._port, self._read_limit(frame))
            message = self._callbacks.read_one_msg_from_device(self._port)
        except BaseException as error:  # noqa: BLE001 - CB-5
            frame.fail(error)
        return () if message is None else (message,)

    def _read_limit(self, frame: Frame) -> int:
        """How many messages would be read one by one, if nobody interfered (RD-1, WR-5)."""
        if not self._batches:
            return 1
        limit = self._moves_per_call - frame.moved
        credit = 0 if self._clients else limit
        for attachment in self._clients.values():
            if not attachment.leaving:
                credit = max(credit, attachment.send_tokens if attachment.flow_control else limit)
        return min(limit, credit)

    def _fan_out(self, frame: Frame, messages: Sequence[MessageT]) -> None:
        """Give the messages to every client that is attached now and still is in its turn (CB-2)."""
        for attachment in tuple(reversed(self._clients.values())):
            if not attachment.gone and not attachment.leaving:
                self._deliver(frame, attachment, messages)
        self._unref(frame, messages)

    def _deliver(
        self,
        frame: Frame,
        attachment: Attachment[MessageT, ClientT],
        messages: Sequence[MessageT],
    ) -> None:
        """Send, queue or refuse the messages (RD-2, RD-4)."""
        self._ref(frame, messages)
        while messages:
            if attachment.gone or attachment.leaving:
                self._unref(frame, messages)
                return
            if not attachment.flow_control:
                count = len(messages)
                self._send(frame, attachment, messages)
            elif attachment.send_tokens and not attachment.send_queue:
                count = min(attachment.send_tokens, len(messages))
                attachment.send_tokens -= count
                self._send(frame, attachment, messages[:count])
            elif len(attachment.send_queue) >= attachment.max_send_queue_size:
                self._set_leaving(attachment)
                self._unref(frame, messages)
                if not attachment.gone:
                    self._call_remove_client(frame, attachment)
                return
            else:
                count = attachment.max_send_queue_size - len(attachment.send_queue)
                attachment.send_queue.extend(messages[:count])
                if not attachment.wait_timer_armed:
                    self._start_wait_timer(attachment)
            messages = messages[count:]

    def _push(self, frame: Frame, attachment: Attachment[MessageT, ClientT]) -> None:
        """Send queued messages while the client's credit lasts (RD-7)."""
        queue = attachment.send_queue
        attachment.pushing = True
        while queue and attachment.send_tokens and not attachment.leaving and not attachment.gone:
            count = min(attachment.send_tokens, len(queue)) if self._batches else 1
            messages = [queue.popleft() for _ in range(count)]
            attachment.send_tokens -= count
            if queue:
                self._start_wait_timer(attachment)
            else:
                self._disarm_wait_timer(attachment)
            self._send(frame, attachment, messages)
        attachment.pushing = False

    def _send(
        self,
        frame: Frame,
        attachment: Attachment[MessageT, ClientT],
        messages: Sequence[MessageT],
    ) -> None:
        """Lend the messages to the client, then drop the references held for it (CB-4)."""
        try:
            if self._send_msgs is not None:
                self._send_msgs(messages, attachment.client)
            else:
                self._callbacks.send_msg_to_client(messages[0], attachment.client)
        except BaseException as error:  # noqa: BLE001 - CB-5
            frame.fail(error)
        self._unref(frame, messages)

    def _ref(self, frame: Frame, messages: Sequence[MessageT]) -> None:
        if self._ref_msg is not None:
            for message in messages:
                try:
                    self._ref_msg(message)
                except BaseException as error:  # noqa: BLE001 - CB-5
                    frame.fail(error)

    def _unref(self, frame: Frame, messages: Sequence[MessageT]) -> None:
        if self._unref_msg is not None:
            for message in messages:
                try:
                    self._unref_msg(message)
                except BaseException as error:  # noqa: BLE001 - CB-5
                    frame.fail(error)
