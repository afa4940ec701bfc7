"""Random calls of the whole API, also inside callbacks, and a witness that keeps its own books.

Theory of operation
===================
`RandomCalls` is owner, port and clients at once.
Each callback may call the API again, to any depth up to a limit, raise, or answer anything that a port may answer.
All that it decides comes from one `random.Random`, so that a seed is a scenario.

`Witness` watches the events alone and never looks at the state.
It knows what left the owner (bytes in buffers, grants, references) and says when the device gave away more, twice, or
in another order.
`RandomCalls.come_to_rest` then serves every timer and debt, and asks whether anything was forgotten.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final, NamedTuple

from chardev_spec.contract import Contract
from chardev_spec.errors import BadMigrationDataError, ContractError
from chardev_spec.events import (
    Callback,
    Choice,
    ChooseGoOn,
    ChooseOffer,
    PortWrite,
    ReadOneMsgFromDevice,
    RefMsgToClient,
    RemoveClient,
    SendMsgToClient,
    SendTokensToClient,
    UnrefMsgToClient,
)
from chardev_spec.record import Record, encode, encode_message
from chardev_spec.runner import Runner
from tests.spec.owner import HEADER, BoomError

PEERS: Final = ("a", "b", "c")
MAXIMUM_BUFFER: Final = 7
"""Bytes in a buffer: `mark` tells up to 8 apart."""


def mark(serial: int, size: int) -> bytes:
    """Content that says of each byte which buffer (of 32 in turn) and which place in it it has."""
    return bytes([(serial % 32) * 8 + place for place in range(size)])


@dataclass(slots=True)
class Added:
    """A buffer that was added, as far as its owner knows."""

    serial: int
    size: int
    attachment: int | None
    """Whose it is; None for the server's."""
    epoch: int
    taken: int = 0
    marshalled: bool = False
    restored: bool = False
    """Restored data is partly written from the first (WR-7)."""


class Witness:
    """What can be known of a device from outside: bytes, messages, references, tokens."""

    def __init__(self) -> None:
        self.serial = 0
        self.queue: list[Added] = []
        """What was added and is not written yet, in the order in which it must be written (WR-1)."""
        self.epoch = 0
        self.references: Counter[str] = Counter()
        self.attachment: dict[str, int] = {}
        self._attachments = 0
        self._sent: dict[int, int] = {}
        self._grants: dict[int, int] = {}
        self._flow_control: dict[int, bool] = {}
        self._peer_tokens: dict[int, int] = {}
        self._removals: set[int] = set()
        self.messages = 0

    def attach(self, peer: str, window: int, send_tokens: int, *, flow_control: bool) -> None:
        """A client was attached."""
        self._attachments += 1
        number = self._attachments
        self.attachment[peer] = number
        self._sent[number] = 0
        self._grants[number] = send_tokens
        self._peer_tokens[number] = window
        self._flow_control[number] = flow_control

    def can_mark(self) -> bool:
        """Whether the next buffer's content would differ from that of all that wait."""
        return all((row.serial - self.serial - 1) % 32 != 0 for row in self.queue)

    def add(self, size: int, attachment: int | None, epoch: int, *, first: bool = False) -> bytes:
        """A buffer is about to be added, behind all others or (restored data) before them; its content."""
        self.serial += 1
        row = Added(self.serial, size, attachment, epoch, restored=first)
        self.queue.insert(0 if first else len(self.queue), row)
        return mark(self.serial, size)

    def take_back(self, content: bytes) -> None:
        """The buffer just announced was not added after all."""
        self.queue = [row for row in self.queue if mark(row.serial, row.size) != content]

    def marshal(self) -> None:
        """All that waits belongs to the marshaller: it may be dropped (MIG-2)."""
        for row in self.queue:
            row.marshalled = True

    def may_be_dropped(self, row: Added) -> bool:
        """A reset drops everything, the end of a seal what was marshalled, a removal what is untouched (WR-7)."""
        return (
            row.size == 0
            or row.epoch < self.epoch
            or row.marshalled
            or (
                row.taken == 0
                and not row.restored
                and row.attachment is not None
                and row.attachment not in self.attachment.values()
            )
        )

    def forget_dropped(self) -> None:
        """Outside, what a reset or a removal dropped is gone."""
        self.queue = [row for row in self.queue if row.marshalled or not self.may_be_dropped(row)]

    def take(self, data: bytes) -> None:
        """WR-1: what the port takes continues where it stopped, and passes over only what was dropped."""
        for byte in data:
            serial, place = divmod(byte, 8)
            while self.queue and (
                self.queue[0].serial % 32 != serial or self.queue[0].taken == self.queue[0].size
            ):
                row = self.queue.pop(0)
                assert row.taken == row.size or self.may_be_dropped(row), f"{row} was passed over"
            assert self.queue, f"byte {place} of buffer {serial} was written before or never added"
            assert self.queue[0].taken == place, f"byte {place} of {self.queue[0]} is out of turn"
            self.queue[0].taken += 1

    def read(self) -> str:
        """A message is read; the device holds a reference to it."""
        self.messages += 1
        message = f"m{self.messages}"
        self.references[message] = 1
        return message

    def ref(self, message: str) -> None:
        """CB-4: only what is referenced is referenced again."""
        assert self.references[message] > 0, (
            f"{message} is referenced after its last reference went"
        )
        self.references[message] += 1

    def unref(self, message: str) -> None:
        """CB-4: no reference is dropped twice."""
        assert self.references[message] > 0, f"{message} is dropped once too often"
        self.references[message] -= 1

    def send(self, message: str, peer: str) -> None:
        """CB-2, RD-3, RD-6: to an attached client, once each, in the order read, on its grant."""
        assert self.references[message] > 0, f"{message} is sent without a reference"
        number = self.attachment[peer]
        order = int(message[1:])
        assert order > self._sent[number], (
            f"{message} is sent to {peer} after m{self._sent[number]}"
        )
        self._sent[number] = order
        if self._flow_control[number]:
            assert self._grants[number] > 0, f"{message} is sent to {peer}, which granted no more"
            self._grants[number] -= 1

    def grant(self, peer: str, tokens: int, *, replaces: bool) -> None:
        """A client is about to grant messages."""
        if peer in self.attachment:
            number = self.attachment[peer]
            self._grants[number] = tokens + (0 if replaces else self._grants[number])

    def announce(self, peer: str, tokens: int) -> None:
        """TOK-6: an attached client learns of tokens."""
        self._peer_tokens[self.attachment[peer]] += tokens

    def get(self, number: int | None, *, given: bool) -> None:
        """TOK-2: a buffer was asked for; only who has a token in its own books is given one."""
        assert not given or number is not None, "a buffer was given to nobody"
        if number is None or not self._flow_control[number]:
            return
        assert not given or self._peer_tokens[number] > 0, "a buffer was given for no token"
        self._peer_tokens[number] -= given

    def remove(self, peer: str) -> None:
        """RD-4: an attachment is asked to leave once."""
        number = self.attachment[peer]
        assert number not in self._removals, f"{peer} is asked to leave twice"
        self._removals.add(number)

    def restored(self, peer: str, given: int, window_taken: int, send_tokens: int) -> None:
        """A restore restarts the count of what the client knows (TOK-6) and adds send tokens (MIG-4)."""
        number = self.attachment[peer]
        self._peer_tokens[number] += given - window_taken
        self._grants[number] += send_tokens


class Held(NamedTuple):
    """A buffer that the owner holds."""

    handle: int
    capacity: int
    attachment: int | None
    epoch: int


class RandomCalls:
    """A device among callers that do anything at any time."""

    def __init__(
        self,
        seed: int,
        *,
        machine: type[Contract] = Contract,
        invariants: bool = True,
        depth: int = 4,
        limit: int = 40,
        witness: Witness | None = None,
    ) -> None:
        self.random = Random(seed)
        self.seed = seed
        self.runner = Runner(self, machine=machine, invariants=invariants)
        self.witness = witness or Witness()
        self.done: Counter[str] = Counter()
        """What was called or happened, and how often."""
        self.depth = depth
        self.limit = limit
        self._left = 0
        self._rest = False
        self.held: list[Held] = []
        self.marshaller_references: list[int] = []
        choose = self.random.choice
        for port in (1, 2):
            self.runner.add_port(port, announces_writability=choose((False, True)))
        self.runner.call("create", 1, choose((0, 1, 1, 2, 3)), choose((0, 1, 2)))
        self.actions: tuple[tuple[float, Callable[[], None]], ...] = (
            (10, self.get),
            (2, self.get_without_token),
            (12, self.add),
            (3, self.release),
            (5, self.client_add),
            (2, self.client_remove),
            (5, self.start),
            (1.5, self.stop),
            (5, self.wakeup),
            (6, self.tokens_add),
            (3, self.tokens_set),
            (3, self.retry_timer),
            (1, self.wait_timer),
            (0.7, self.reset),
            (1.5, self.reset_dev_instance),
            (1.5, self.marshall),
            (2, self.restore),
            (0.05, self.destroy),
            (0.5, self.ask),
            (1, self.unref_marshalled),
        )
        self._weights = [weight for weight, _ in self.actions]
        for _ in range(self.random.randint(0, 2)):
            self.attempt(self.client_add)

    # The environment

    def choose(self, event: Choice) -> int | bool:
        """Settle a choice anyhow."""
        if isinstance(event, ChooseGoOn):
            return self._rest or self.random.random() < 0.8
        assert isinstance(event, ChooseOffer)
        return self.random.randint(1, event.available)

    def answer(self, event: Callback) -> int | str | None:
        """Perform a callback: the witness notes it, other calls happen, then it is answered or raises."""
        self.done[type(event).__name__] += 1
        self.note(event)
        message = self.read() if isinstance(event, ReadOneMsgFromDevice) else None
        boom = not self._rest and self.random.random() < 0.02
        while (
            self._left > 0 and len(self.runner.stack) <= self.depth and self.random.random() < 0.25
        ):
            self.step()
        if boom and message is None:
            self.done["raised"] += 1
            raise BoomError(type(event).__name__)
        return self.take(event) if isinstance(event, PortWrite) else message

    def note(self, event: Callback) -> None:
        """Tell the witness."""
        match event:
            case RefMsgToClient(message):
                self.witness.ref(message)
            case UnrefMsgToClient(message):
                self.witness.unref(message)
            case SendMsgToClient(message, client):
                self.witness.send(message, client)
            case SendTokensToClient(client, tokens):
                self.witness.announce(client, tokens)
            case RemoveClient(client):
                self.witness.remove(client)
            case _:
                pass

    def read(self) -> str | None:
        """A message, or nothing."""
        return None if self._rest or self.random.random() < 0.4 else self.witness.read()

    def take(self, event: PortWrite) -> int:
        """How much the port takes; what it takes is written, unless the device was reset meanwhile."""
        size = len(event.data)
        chance = self.random.random()
        taken = self.random.randint(0, size)
        if self._rest or chance < 0.3:
            taken = size
        elif chance < 0.5:
            taken = 0
        elif chance < 0.55:
            self.done["port error"] += 1
            return self.random.choice((-1, size + 1))
        self.witness.take(event.data[:taken])
        return taken

    # Calls

    def run(self, steps: int) -> None:
        """Take this many steps from outside, or fewer if the device is destroyed."""
        for _ in range(steps):
            if self.runner.state.device.destroyed:
                return
            if self.random.random() < 0.2:
                self.runner.advance(50)
            self.witness.forget_dropped()
            self._left = self.limit
            self.step()

    def step(self) -> None:
        """Take one step of any kind."""
        self._left -= 1
        [(_, action)] = self.random.choices(self.actions, self._weights)
        self.attempt(action)

    def attempt(self, action: Callable[[], None]) -> None:
        """Make a call that may be forbidden, or in which a callback may raise."""
        try:
            action()
        except (ContractError, BadMigrationDataError, BoomError) as error:
            self.done[type(error).__name__] += 1

    def call(self, function: str, *arguments: Any) -> Any:
        """Call the API and count it when it was no error."""
        result = self.runner.call(function, *arguments)
        self.done[function] += 1
        return result

    def peer(self, *, attached: bool = True) -> str:
        """Somebody, mostly one who is attached, or who is not."""
        peers = [peer for peer in PEERS if (peer in self.witness.attachment) == attached]
        return self.random.choice(peers if peers and self.random.random() < 0.9 else PEERS)

    def get(self) -> None:
        """A buffer for a client or the server."""
        peer = self.random.choice((*PEERS, *PEERS, None))
        size = self.random.randint(0, MAXIMUM_BUFFER)
        witness = self.witness
        attachment = None if peer is None else witness.attachment.get(peer)
        handle = self.call("write_buffer_get", peer, size)
        if peer is not None:
            witness.get(attachment, given=handle is not None)
        if handle is not None:
            self.held.append(Held(handle, size, attachment, witness.epoch))

    def get_without_token(self) -> None:
        """A buffer that nobody pays for."""
        handle = self.call("write_buffer_get_server_no_token", 3)
        self.held.append(Held(handle, 3, None, 0))

    def _take_held(self) -> Held:
        """A held buffer, rarely one that stays in the list and is used again."""
        if not self.held:
            self.get()
        if not self.held:
            self.get_without_token()
        held = self.random.choice(self.held)
        if self.random.random() < 0.95:
            self.held.remove(held)
        return held

    def add(self) -> None:
        """Fill and add a buffer, rarely with too much."""
        held, witness = self._take_held(), self.witness
        if not witness.can_mark():
            self.call("write_buffer_release", held.handle)
            return
        size = self.random.randint(0, held.capacity)
        if self.random.random() < 0.01:
            size = held.capacity + 1
        # A reset makes held buffers of clients nobody's; those of the server stay.
        epoch = witness.epoch if held.attachment is None else held.epoch
        content = witness.add(size, held.attachment, epoch)
        try:
            self.call("write_buffer_add", held.handle, content)
        except ContractError:
            witness.take_back(content)
            raise

    def release(self) -> None:
        """Release a buffer unsent."""
        self.call("write_buffer_release", self._take_held().handle)

    def client_add(self) -> None:
        """Attach a client; the witness must know it before its first message."""
        witness, randint = self.witness, self.random.randint
        peer, flow_control = self.peer(attached=False), self.random.random() < 0.75
        window, send_tokens = self.random.choice((0, 2, 3, 4, 5)), randint(0, 3)
        wait = self.random.random() < (0.2 if witness.attachment else 0.6)
        arguments = (
            peer,
            flow_control,
            self.random.choice((0, 1, 2, 4, 8)),
            window,
            send_tokens,
            wait,
        )
        if peer in witness.attachment:
            self.call("client_add", *arguments)
            return
        witness.attach(peer, window, 0 if wait else send_tokens, flow_control=flow_control)
        number = witness.attachment[peer]
        added = False
        try:
            added = self.call("client_add", *arguments)
        except BoomError:
            # Only a client that was attached makes the device call anybody.
            added = True
            raise
        finally:
            if not added and witness.attachment.get(peer) == number:
                del witness.attachment[peer]
            self.done["client_add of one that waits"] += bool(added) and wait

    def client_remove(self) -> None:
        """Detach a client; it is gone when its messages are dropped."""
        peer = self.peer()
        self.witness.attachment.pop(peer, None)
        self.call("client_remove", peer)

    def start(self) -> None:
        """Start, or kick."""
        self.call("start")

    def stop(self) -> None:
        """Stop."""
        self.call("stop")

    def wakeup(self) -> None:
        """The port may be used again."""
        self.call("wakeup")

    def tokens_add(self) -> None:
        """A client grants more."""
        peer, tokens = self.peer(), self.random.randint(0, 4)
        self.witness.grant(peer, tokens, replaces=False)
        self.call("send_to_client_tokens_add", peer, tokens)

    def tokens_set(self) -> None:
        """A client replaces its grant."""
        peer, tokens = self.peer(), self.random.randint(0, 4)
        self.witness.grant(peer, tokens, replaces=True)
        self.call("send_to_client_tokens_set", peer, tokens)

    def retry_timer(self) -> None:
        """The retry timer fires."""
        self.call("retry_timer_fired")

    def wait_timer(self) -> None:
        """A wait timer fires."""
        self.call("wait_timer_fired", self.peer())

    def reset(self) -> None:
        """Reset."""
        self.witness.epoch += 1
        self.call("reset")

    def reset_dev_instance(self) -> None:
        """Attach a port, or detach."""
        self.call("reset_dev_instance", self.random.choice((None, 1, 2)))

    def marshall(self) -> None:
        """Marshall, and keep the references for later."""
        self.marshaller_references.extend(self.call("migrate_data_marshall").buffers)
        self.witness.marshal()

    def restore(self) -> None:
        """Restore from a record that fits or not."""
        randint, witness = self.random.randint, self.witness
        if self.runner.state.device.awaiting is None and self.random.random() < 0.8:
            self.client_add()
            return
        size = randint(0, 4) if witness.can_mark() else 0
        given, price = randint(0, 5), randint(0, 2)
        record = Record(1, 1, given, randint(0, 3), size, price, 33 if size else 0)
        awaiting = self.runner.state.device.awaiting
        content = witness.add(size, None, witness.epoch, first=True)
        accepted = False
        if awaiting is not None:
            row = self.runner.state.clients[awaiting]
            own = row.window - row.tokens
            fits = not row.flow_control or own <= given <= row.window - price
            accepted = fits and not row.leaving
            if accepted:
                # It may announce at once.
                paid = witness.attachment[row.peer] if size > 0 and price > 0 else None
                witness.queue[0].attachment = paid
                witness.restored(row.peer, given, row.window, record.send_tokens)
        if not accepted:
            witness.take_back(content)
        self.call("restore", HEADER + encode(record) + content)

    def destroy(self) -> None:
        """The end, which only drops references."""
        self.call("destroy")

    def ask(self) -> None:
        """A question."""
        self.call("client_exists", self.peer())

    def unref_marshalled(self) -> None:
        """A marshaller lets go."""
        if self.marshaller_references:
            self.call("marshaller_unref", self.marshaller_references.pop())

    # The end

    def come_to_rest(self) -> None:
        """Serve every timer and debt: nothing may then be left that should have moved (WR-6, RD-8, CB-4).

        First nothing is asked for but what the device itself says is owed; then the device is given a port and
        started, and everything that was not dropped must reach the port.
        """
        state, witness = self.runner.state, self.witness
        if state.device.destroyed:
            assert not +witness.references, "a destroyed device leaks references"
            return
        self._left, self._rest = 0, True
        self.serve_debts()
        assert not self.runner.machine.may_write(), "data is stuck"
        for message, references in witness.references.items():
            queued = sum(row.message == message for row in state.send_queue)
            assert references == queued, f"{references} references to {message}, {queued} queued"
        if state.device.awaiting is not None or state.device.sealed:
            for peer in list(witness.attachment):
                del witness.attachment[peer]
                self.call("client_remove", peer)
        self.call("reset_dev_instance", 1)
        self.call("start")
        self.serve_debts()
        for row in witness.queue:
            assert row.taken == row.size or witness.may_be_dropped(row), f"{row} was lost"

    def serve_debts(self) -> None:
        """Fire the retry timer, and be the port that calls wakeup, as long as either is owed."""
        device = self.runner.state.device
        for _ in range(100):
            if device.retry_armed:
                self.call("retry_timer_fired")
            elif device.port_owes_wakeup:
                self.call("wakeup")


def message_of(data: Any) -> bytes:
    """The whole message that a marshaller sends."""
    return encode_message(HEADER, data)
