"""The state of a device, its frames, and the retry timer.

Theory of operation
-------------------
`DeviceState` holds every field; `writing`, `buffering`, `reading`, `migrating` and `device` add the
steps that change them, each in a class derived from the one before, so that one object has all.

A *frame* is an API call on the stack.
Any callback may call the API again (CB-1), so after every callback the world may be another one.
What a suspended step relies on is therefore looked up again, never remembered:

* `Attachment.gone`: the client was removed, or the device destroyed;
* `_epoch`: grows with each reset and destroy; a port write that sees another one is ignored, and
  written buffers were already dealt with;
* `_port_epoch`: grows with each change of the attached port as well; a port that is no longer the
  attached one is not blamed for its error (WR-8);
* `_may_write`: WR-2's condition, kept up to date by whatever changes a part of it.

An exception from a callback is kept in its frame, which finishes what it owes, starts nothing new,
and raises the first one at its end (CB-5).

The retry timer is not set where something goes wrong but decided by one rule at the end of every
pass: armed exactly if this device owes a write or a read that nobody else will remember (WR-4 to
WR-6, RD-8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from .buffers import Attachment
from .compiling import mypyc_attr
from .errors import CountOutOfRangeError, DestroyedDeviceError, PortAttachedElsewhereError
from .write_queue import WriteQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .interfaces import BatchCallbacks, Bytes, Callbacks, Port, Timers

MessageT = TypeVar("MessageT")
ClientT = TypeVar("ClientT")

RETRY_DELAY_MS: Final = 100
"""How long after a port took nothing the next write is tried (WR-4)."""

WAIT_DELAY_MS: Final = 30_000
"""How long a message may wait for a client's send tokens (RD-5)."""

OFFER_ENTRIES: Final = 1024
"""How many buffers are offered to the port at once: Linux' IOV_MAX, the most that writev takes."""

COUNT_MAX: Final = 2**32 - 1
"""The largest count that the header's types can carry (TOK-5)."""


def check_count(where: str, what: str, value: int) -> None:
    """Refuse a count that the header's type cannot carry (TOK-5).

    Raises:
        CountOutOfRangeError: the value is not within 0..2**32-1.
    """
    if not 0 <= value <= COUNT_MAX:
        raise CountOutOfRangeError(
            f"{where}: {what} is {value}; give a count from 0 to {COUNT_MAX} (uint32_t)"
        )


class Frame:
    """One API call on the stack that can make callbacks."""

    # Values of the class, so that making a frame costs nothing.

    # Buffers completed and messages read by this call: limited (WR-5).
    moved: int = 0
    # Anything moved at all since `start` began its present round (LC-2).
    progress: bool = False
    # The first exception that a callback raised (CB-5).
    raised: BaseException | None = None

    def fail(self, error: BaseException | None) -> None:
        """Remember the first exception; nothing for None."""
        if self.raised is None:
            self.raised = error


@mypyc_attr(allow_interpreted_subclasses=True)
class DeviceState(Generic[MessageT, ClientT]):
    """Fields of the device and what all of its steps need."""

    __slots__ = (
        "_active",
        "_awaiting",
        "_batches",
        "_callbacks",
        "_clients",
        "_destroyed",
        "_epoch",
        "_express",
        "_frames",
        "_held_server_buffers",
        "_interval",
        "_may_write",
        "_moves_per_call",
        "_nobody_may_be_sent_to",
        "_offer_entries",
        "_on_free_self_token",
        "_opaque",
        "_port",
        "_port_blocked",
        "_port_epoch",
        "_port_failed",
        "_port_owes_wakeup",
        "_queue",
        "_read_asked",
        "_read_msgs",
        "_reading",
        "_ref_msg",
        "_retry_timer_armed",
        "_running",
        "_sealed",
        "_sealed_buffers",
        "_self_tokens",
        "_self_tokens_at_creation",
        "_send_msgs",
        "_timers",
        "_unref_msg",
        "_wanted",
        "_write_asked",
        "_write_limited",
        "_writing",
    )

    def __init__(
        self,
        port: Port,
        client_tokens_interval: int,
        self_tokens: int,
        callbacks: Callbacks[MessageT, ClientT] | BatchCallbacks[MessageT, ClientT],
        timers: Timers[ClientT],
        *,
        opaque: object,
        moves_per_call: int,
    ) -> None:
        check_count("create", "client_tokens_interval", client_tokens_interval)
        check_count("create", "self_tokens", self_tokens)
        if moves_per_call < 1:
            raise ValueError(
                f"create: moves_per_call is {moves_per_call}; a call must be able to move something"
            )
        if hasattr(callbacks, "read_msgs_from_device") != hasattr(callbacks, "send_msgs_to_client"):
            raise TypeError(
                "create: callbacks have one of read_msgs_from_device and send_msgs_to_client; "
                "give both or neither"
            )
        self._check_port_is_free("create", port)
        self._callbacks: Any = callbacks
        self._timers = timers
        self._opaque = opaque
        self._interval = client_tokens_interval
        self._moves_per_call = moves_per_call
        self._offer_entries = min(OFFER_ENTRIES, moves_per_call)
        self._on_free_self_token = getattr(callbacks, "on_free_self_token", None)
        self._port_failed = getattr(callbacks, "port_failed", None)
        self._ref_msg = getattr(callbacks, "ref_msg_to_client", None)
        self._unref_msg = getattr(callbacks, "unref_msg_to_client", None)
        self._read_msgs: Callable[[Port | None, int], Sequence[MessageT]] | None = getattr(
            callbacks, "read_msgs_from_device", None
        )
        self._send_msgs = getattr(callbacks, "send_msgs_to_client", None)
        # References are counted one message at a time.
        self._batches = self._send_msgs is not None and self._ref_msg is None

        self._destroyed = False
        self._running = False
        self._active = False
        self._port: Port | None = port
        self._awaiting: Attachment[MessageT, ClientT] | None = None
        self._sealed = False
        self._sealed_buffers = 0
        # Oldest first; "newest first" is this order reversed.
        self._clients: dict[ClientT, Attachment[MessageT, ClientT]] = {}
        # Self tokens + server buffers in flight = self tokens at creation (SELF-1).
        self._self_tokens = self_tokens
        self._self_tokens_at_creation = self_tokens
        self._held_server_buffers = 0
        self._queue = WriteQueue()
        # The only pending buffers, while the port has them and they have not been queued.
        self._express: Sequence[Bytes] = ()
        self._may_write = False
        self._epoch = 0
        self._port_epoch = 0

        self._frames = 0
        # A pass is on the stack; something asked for another one since its last port call.
        self._writing = False
        self._write_asked = False
        self._reading = False
        self._read_asked = False
        # All clients were looked at, and nobody had credit: true until somebody gives some, comes or goes.
        self._nobody_may_be_sent_to = False
        # A read was asked for after the port last said "nothing" (RD-8).
        self._wanted = False
        # The last write pass was stopped by a limit (WR-5).
        self._write_limited = False
        # The port announces writability, and took less than offered since its last wakeup (WR-4).
        self._port_owes_wakeup = False
        # It also said that it takes nothing until then, and whatever stands first in the queue is its to take.
        self._port_blocked = False
        self._retry_timer_armed = False
        self._attach(port)

    # Read-only views, for statistics and tests.

    @property
    def destroyed(self) -> bool:
        """True after `destroy`."""
        return self._destroyed

    @property
    def epoch(self) -> int:
        """How many resets and destroys there were: a held client buffer does not survive one."""
        return self._epoch

    @property
    def running(self) -> bool:
        """True between `start` and `stop` (or a reset)."""
        return self._running

    @property
    def active(self) -> bool:
        """True if any byte or message has moved since the start (LC-8)."""
        return self._active

    @property
    def port(self) -> Port | None:
        """The attached port."""
        return self._port

    @property
    def retry_timer_armed(self) -> bool:
        """True if the retry timer is armed (WR-4)."""
        return self._retry_timer_armed

    @property
    def port_owes_wakeup(self) -> bool:
        """True if the port took less than offered and has to announce its writability (WR-4)."""
        return self._port_owes_wakeup

    @property
    def awaiting_migration_data(self) -> bool:
        """True until a client that was added to be restored is restored or removed."""
        return self._awaiting is not None

    @property
    def sealed(self) -> bool:
        """True from `migrate_data_marshall` to the end of the source's life (MIG-2)."""
        return self._sealed

    @property
    def self_tokens(self) -> int:
        """Server buffers that may still be got (SELF-1)."""
        return self._self_tokens

    @property
    def pending_buffers(self) -> int:
        """Buffers that are queued or current."""
        return len(self._queue) + len(self._express)

    @property
    def offered_buffers(self) -> int:
        """Buffers that the outstanding port write was given, joined or one by one; 0 if there is none."""
        return self._queue.offered or len(self._express)

    @property
    def pending_bytes(self) -> int:
        """Bytes that are queued or current and not yet taken by the port."""
        return self._queue.pending_bytes + sum(map(len, self._express))

    def wants_to_read(self) -> bool:
        """Tell whether a read would be tried now: RD-1's condition, which is the reader's credit.

        A port's owner that stops watching for input while this is false leaves the data in the
        port, which is back-pressure.
        """
        if not self._may_write or self._nobody_may_be_sent_to:
            return False
        clients = self._clients
        if not clients:
            return True
        for attachment in clients.values():
            if not attachment.leaving and (attachment.send_tokens or not attachment.flow_control):
                return True
        self._nobody_may_be_sent_to = True
        return False

    # Frames.

    def _check_alive(self, where: str) -> None:
        if self._destroyed:
            raise DestroyedDeviceError(f"{where}: the device was destroyed; forget it")

    def _enter(self) -> Frame:
        self._frames += 1
        return Frame()

    def _leave(self, frame: Frame) -> None:
        self._frames -= 1
        if frame.raised is not None:
            raise frame.raised

    # Port and running state.

    @staticmethod
    def _check_port_is_free(where: str, port: Port, device: object = None) -> None:
        if port.device is not None and port.device is not device:
            raise PortAttachedElsewhereError(
                f"{where}: the port {port!r} is attached to another device; detach it there first"
            )

    def _attach(self, port: Port | None) -> None:
        """Change the attached port (LC-4); another attachment even if it is the same port."""
        if self._port is not None:
            self._port.device = None
        self._port = port
        self._port_epoch += 1
        self._port_owes_wakeup = False
        if port is None:
            self._disarm_retry_timer()
        else:
            port.device = self._as_device()
        self._refresh()

    def _as_device(self) -> Any:
        return self

    def _refresh(self) -> None:
        """Keep WR-2's condition up to date; what else changed may have put an empty buffer first (BUF-6)."""
        self._port_blocked = False
        self._nobody_may_be_sent_to = False
        self._may_write = (
            self._running
            and self._port is not None
            and self._awaiting is None
            and not self._sealed
            and not self._destroyed
        )

    def _stop(self) -> None:
        self._running = False
        self._active = False
        self._disarm_retry_timer()
        self._refresh()

    # Timers.

    def _disarm_retry_timer(self) -> None:
        if self._retry_timer_armed:
            self._retry_timer_armed = False
            self._timers.cancel_retry_timer()

    def _write_owed(self) -> bool:
        return (
            self._may_write
            and bool(self._queue.payers)
            and not self._writing
            and (self._write_limited or not self._port_owes_wakeup)
        )

    def _read_owed(self) -> bool:
        return self._wanted and not self._reading and self.wants_to_read()

    def _decide_retry_timer(self) -> None:
        """Arm the retry timer exactly if something is owed (WR-4, WR-5, WR-6, RD-8)."""
        if self._wanted and self._read_owed():
            delay = 0
        elif self._queue.payers and self._write_owed():
            delay = 0 if self._write_limited else RETRY_DELAY_MS
        else:
            self._disarm_retry_timer()
            return
        self._retry_timer_armed = True
        self._timers.start_retry_timer(delay)

    def _start_wait_timer(self, attachment: Attachment[MessageT, ClientT]) -> None:
        attachment.wait_timer_armed = True
        self._timers.start_wait_timer(attachment.client, WAIT_DELAY_MS)

    def _disarm_wait_timer(self, attachment: Attachment[MessageT, ClientT]) -> None:
        if attachment.wait_timer_armed:
            attachment.wait_timer_armed = False
            self._timers.cancel_wait_timer(attachment.client)

    # Leaving (RD-4).

    def _set_leaving(self, attachment: Attachment[MessageT, ClientT]) -> None:
        """Everything about leaving but its `remove_client`, which the caller makes once."""
        attachment.leaving = True
        self._disarm_wait_timer(attachment)
        if self._retry_timer_armed and not self._read_owed() and not self._write_owed():
            self._disarm_retry_timer()

    def _call_remove_client(self, frame: Frame, attachment: Attachment[MessageT, ClientT]) -> None:
        try:
            self._callbacks.remove_client(attachment.client)
        except BaseException as error:  # noqa: BLE001 - CB-5
            frame.fail(error)
