"""The spicevmc device: data and events both ways, a client that is gone, back-pressure, migration."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from chardev import BadMigrationDataError, Device
from chardev.spicevmc import PORT_EVENT_BREAK, PORT_EVENT_OPENED, SpiceVmcDevice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chardev import Bytes, Callbacks


class Guest:
    """A guest's port, and the owner and timers of a device; each event is one line of `events`."""

    def __init__(self) -> None:
        self.announces_writability = True
        self.device: Device[Any, Any] | None = None
        self.events: list[str] = []
        self.input: deque[bytes] = deque()
        self.room = 1 << 30
        self.written = b""
        self.inside: dict[str, Callable[[], object]] = {}
        self.vmc: SpiceVmcDevice[str] = SpiceVmcDevice(self.create, self)

    def create(
        self, interval: int, self_tokens: int, callbacks: Callbacks[bytes, Any]
    ) -> Device[bytes, Any]:
        return Device(self, interval, self_tokens, callbacks, self)

    def note(self, event: str) -> None:
        self.events.append(event)
        call = self.inside.pop(event.split(maxsplit=1)[0], None)
        if call is not None:
            call()

    def take(self) -> list[str]:
        events, self.events = self.events, []
        return events

    # The port.

    def write(self, buffers: Sequence[Bytes], /) -> int:
        data = b"".join(bytes(buffer) for buffer in buffers)[: self.room]
        self.room -= len(data)
        self.written += data
        return len(data)

    def read(self, limit: int, /) -> bytes:
        return self.input.popleft()[:limit] if self.input else b""

    def state(self, connected: int) -> None:
        self.note(f"state {connected}")

    def event(self, number: int) -> None:
        self.note(f"event {number}")

    # The owner.

    def port_data(self, client: str, data: bytes, /) -> None:
        self.note(f"data {data.decode()} to {client}")

    def port_event(self, client: str, event: int, /) -> None:
        self.note(f"event {event} to {client}")

    def client_may_send(self, client: str, /) -> None:
        self.note(f"may-send {client}")

    def disconnect_client(self, client: str, /) -> None:
        self.note(f"disconnect {client}")

    # The timers.

    def start_retry_timer(self, delay_ms: int, /) -> None:
        pass

    def cancel_retry_timer(self) -> None:
        pass

    def start_wait_timer(self, client: str, delay_ms: int, /) -> None:
        pass

    def cancel_wait_timer(self, client: str, /) -> None:
        pass


@pytest.fixture
def guest() -> Guest:
    """A running guest without a client."""
    made = Guest()
    made.vmc.device.start()
    return made


def test_data_waits_in_the_port_for_a_client(guest: Guest) -> None:
    """What the guest says before somebody listens would be read and lost (DEV-1)."""
    guest.input.append(b"login: ")
    guest.vmc.device.wakeup()
    assert (guest.take(), len(guest.input)) == ([], 1)
    assert guest.vmc.connect("a")
    assert guest.take() == ["data login:  to a", "state 1"]
    assert not guest.vmc.connect("b")
    guest.vmc.disconnect("b")
    guest.vmc.disconnect("a")
    guest.input.append(b"bye")
    guest.vmc.device.wakeup()
    assert (guest.take(), len(guest.input)) == (["state 0"], 1)


def test_events_pass_both_ways_and_only_to_who_is_there(guest: Guest) -> None:
    """A break would be lost, or sent to a client that has gone (DEV-1)."""
    guest.vmc.port_event(PORT_EVENT_OPENED)
    assert guest.vmc.opened
    guest.vmc.client_event("a", PORT_EVENT_BREAK)
    assert guest.take() == []
    guest.vmc.connect("a")
    guest.vmc.client_event("a", PORT_EVENT_BREAK)
    guest.vmc.port_event(PORT_EVENT_BREAK)
    assert guest.take() == ["state 1", "event 2", "event 2 to a"]


def test_a_port_without_signals_is_not_told(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A serial line, which has no such methods, could not be used at all."""
    monkeypatch.delattr(Guest, "state")
    monkeypatch.delattr(Guest, "event")
    guest.vmc.connect("a")
    guest.vmc.client_event("a", PORT_EVENT_BREAK)
    guest.vmc.disconnect("a")
    assert guest.take() == []


def test_a_client_is_held_back_until_the_port_has_taken_all(guest: Guest) -> None:
    """A stalled guest would make us keep any amount of data (DEV-1, BUF-6)."""
    guest.vmc.connect("a")
    guest.room = 0
    answers = [guest.vmc.client_data("a", b"x") for _ in range(130)]
    assert answers == [True] * 127 + [False] * 3
    guest.take()
    guest.room = 127
    guest.vmc.device.wakeup()
    assert guest.take() == []
    guest.room = 10
    guest.vmc.device.wakeup()
    assert guest.take() == ["may-send a"]
    assert guest.vmc.client_data("a", b"y")
    assert guest.written == b"x" * 130 + b"y"


def test_a_client_that_left_leaves_nothing_behind_but_what_was_begun(guest: Guest) -> None:
    """The next client's data would follow somebody else's, or half of it (WR-7, DEV-1)."""
    guest.vmc.connect("a")
    guest.room = 2
    guest.vmc.client_data("a", b"hello")
    guest.vmc.client_data("a", b"lost")
    guest.vmc.disconnect("a")
    assert guest.vmc.client_data("a", b"late")
    guest.vmc.connect("b")
    guest.vmc.client_data("b", b"next")
    guest.room = 100
    guest.vmc.device.wakeup()
    assert guest.written == b"hellonext"


def test_a_client_that_leaves_inside_a_callback_hears_no_more(guest: Guest) -> None:
    """Data or a state would be sent for a client that has gone meanwhile (CB-1, DEV-1)."""
    guest.input.extend([b"1", b"2"])
    guest.inside["data"] = lambda: guest.vmc.disconnect("a")
    assert guest.vmc.connect("a")
    assert guest.take() == ["data 1 to a", "state 0"]
    assert len(guest.input) == 1


def test_another_port_is_told_of_the_client(guest: Guest) -> None:
    """After a replug the guest would believe that nobody is there."""
    guest.vmc.connect("a")
    guest.vmc.device.reset_dev_instance(None)
    guest.take()
    guest.vmc.attach(guest)
    assert guest.take() == ["state 1"]


def test_migration_moves_what_was_pending_once() -> None:
    """Data would be lost or written twice when the guest moves (MIG-6)."""
    source, destination = Guest(), Guest()
    source.vmc.device.start()
    source.vmc.connect("a")
    source.room = 3
    source.vmc.client_data("a", b"hello ")
    source.vmc.client_data("a", b"world")
    source.vmc.device.stop()
    message = source.vmc.marshall()
    assert message[:8] == b"SVMD\x01\0\0\0"
    assert len(message) == 33 + 8
    assert destination.vmc.connect("a", migrating=True)
    destination.vmc.device.start()
    destination.vmc.restore(message)
    assert source.written + destination.written == b"hello world"
    source.vmc.disconnect("a")
    assert source.written == b"hel"


def test_migration_without_a_client_on_the_other_side() -> None:
    """A client that connected to nobody's leftovers would wait for ever (MIG-3)."""
    message = Guest().vmc.marshall()
    destination = Guest()
    destination.vmc.device.start()
    destination.vmc.connect("a", migrating=True)
    destination.vmc.restore(message)
    assert destination.vmc.client_data("a", b"x")
    assert destination.written == b"x"


def test_foreign_migration_data_is_refused(guest: Guest) -> None:
    """Another channel's data would be taken for this one's (MIG-5)."""
    with pytest.raises(BadMigrationDataError) as caught:
        guest.vmc.restore(b"MNMD\x01\0\0\0" + bytes(25))
    assert str(caught.value) == (
        r"restore: the message begins with b'MNMD\x01\x00\x00\x00'; "
        r"a spicevmc device's begins with b'SVMD\x01\x00\x00\x00'"
    )


def test_a_refused_client_is_not_ours(guest: Guest) -> None:
    """A client that cannot migrate here would block all others (LC-6)."""
    guest.vmc.connect("a")
    guest.vmc.client_data("a", b"x")
    guest.vmc.disconnect("a")
    assert not guest.vmc.connect("b", migrating=True)
    assert guest.vmc.client is None
    guest.vmc.device.destroy()
