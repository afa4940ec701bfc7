"""Reading from the port: the read pass, the fan-out to clients, and the push of queued messages.

Theory of operation
-------------------
There is one reader at a time; its guard is held during the fan-out too (RD-8).
Reading goes on until the port says "nothing", nobody may be sent to, or a limit stops it.

Every reference is owned by exactly one place: the reader's own until the fan-out ends, a
recipient's until it was sent or refused, a queue's until it is pushed or dropped (CB-4).
Recipients are those attached when the read returned (CB-2); whether one is still there, and what
becomes of its message, is decided after `ref_msg_to_client` returned (RD-3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from .buffering import Buffering

if TYPE_CHECKING:
    from .buffers import Attachment
    from .state import Frame

MessageT = TypeVar("MessageT")
ClientT = TypeVar("ClientT")


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
        read_one_msg_from_device = self._callbacks.read_one_msg_from_device
        while self._wanted and frame.raised is None and self.wants_to_read():
            if frame.moved >= self._moves_per_call:
                return True
            self._read_asked = False
            message: MessageT | None
            try:
                message = read_one_msg_from_device(self._port)
            except BaseException as error:  # noqa: BLE001 - CB-5
                frame.fail(error)
                message = None
            if message is None:
                self._wanted = self._read_asked
                if not self._wanted:
                    return False
                if repeated:
                    return True
                repeated = True
                continue
            repeated = False
            frame.moved += 1
            frame.progress = True
            if self._running:
                self._active = True
            self._fan_out(frame, message)
        return False

    def _fan_out(self, frame: Frame, message: MessageT) -> None:
        """Give the message to every client that is attached now and still is in its turn (CB-2)."""
        for attachment in tuple(reversed(self._clients.values())):
            if not attachment.gone and not attachment.leaving:
                self._deliver(frame, attachment, message)
        self._unref(frame, message)

    def _deliver(
        self, frame: Frame, attachment: Attachment[MessageT, ClientT], message: MessageT
    ) -> None:
        """Send, queue or refuse the message (RD-2, RD-4)."""
        try:
            self._callbacks.ref_msg_to_client(message)
        except BaseException as error:  # noqa: BLE001 - CB-5
            frame.fail(error)
        if attachment.gone or attachment.leaving:
            self._unref(frame, message)
        elif not attachment.flow_control:
            self._send(frame, attachment, message)
        elif attachment.send_tokens and not attachment.send_queue:
            attachment.send_tokens -= 1
            self._send(frame, attachment, message)
        elif len(attachment.send_queue) >= attachment.max_send_queue_size:
            self._set_leaving(attachment)
            self._unref(frame, message)
            if not attachment.gone:
                self._call_remove_client(frame, attachment)
        else:
            attachment.send_queue.append(message)
            if not attachment.wait_timer_armed:
                self._start_wait_timer(attachment)

    def _push(self, frame: Frame, attachment: Attachment[MessageT, ClientT]) -> None:
        """Send queued messages while the client's credit lasts (RD-7)."""
        queue = attachment.send_queue
        attachment.pushing = True
        while queue and attachment.send_tokens and not attachment.leaving and not attachment.gone:
            message = queue.popleft()
            attachment.send_tokens -= 1
            if queue:
                self._start_wait_timer(attachment)
            else:
                self._disarm_wait_timer(attachment)
            self._send(frame, attachment, message)
        attachment.pushing = False

    def _send(
        self, frame: Frame, attachment: Attachment[MessageT, ClientT], message: MessageT
    ) -> None:
        """Lend the message to the client, then drop the reference held for it (CB-4)."""
        try:
            self._callbacks.send_msg_to_client(message, attachment.client)
        except BaseException as error:  # noqa: BLE001 - CB-5
            frame.fail(error)
        self._unref(frame, message)

    def _unref(self, frame: Frame, message: MessageT) -> None:
        try:
            self._callbacks.unref_msg_to_client(message)
        except BaseException as error:  # noqa: BLE001 - CB-5
            frame.fail(error)
