"""Random calls of one machine, written down as far as it can be observed.

Theory of operation
===================
A seed is a scenario: `Scenario` makes the same calls and answers for every machine that behaves the same.
What it writes down is what the contract speaks of: each callback, each choice that is left open, each result or error,
and after each call, the timers.
A choice counts, because a machine that leaves less open is a contract that refuses devices which it should accept.

The first thing that another machine writes differently ends the run (`Noticed`); so does an invariant that does not
hold, an exception that is no contract error, and a call that does not end.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final, Self

from chardev_conformance.stopwatch import Stopwatch
from chardev_proofs.mutation import SOURCES
from chardev_spec.contract import Contract
from chardev_spec.errors import BadMigrationDataError, ContractError
from chardev_spec.events import Callback, Choice, ChooseGoOn, PortWrite, ReadOneMsgFromDevice
from chardev_spec.record import Record, encode
from chardev_spec.runner import InvariantViolationError, Runner
from chardev_spec.state import UINT32_MAX
from tests.spec.owner import HEADER, BoomError
from tests.spec.random_calls import MAXIMUM_BUFFER, PEERS, Held, RandomCalls, Witness, message_of

STEPS: Final = 60
"""Steps from outside in one scenario; each may hold some forty calls in callbacks."""

MOST_CALLBACKS: Final = 5_000
"""More in one scenario are taken for an endless loop; the contract's longest make some hundreds."""

MOST_SECONDS: Final = 1.0
"""More processor time for one scenario is taken for an endless loop; the contract's longest take some hundredths."""

MIXTURE: Final = (0.0, 0.3, 1.0, 1.0, 3.0)
"""What a scenario makes of each weight: all of some calls, little of others, none of a few (swarm choice)."""

DISTURBS: Final = frozenset(
    "stop start reset reset_dev_instance client_remove client_add destroy retry_timer tokens_add".split()
)
DISTURBING: Final = 3
"""How much more often these calls are made inside a callback: they change what the frame below relies on (CB-1)."""

FOREIGN_PORT: Final = 3
"""A port that another device has."""


class Noticed(BaseException):
    """What gives a mutant away; no part of it may swallow this, so it is no `Exception`.

    `how` is "invariant", "exception", "endless", "comparison", or "derailed": the calls themselves came to a state that
    they cannot go on from.
    """

    def __init__(self, how: str, what: str) -> None:
        super().__init__(f"{how}: {what}")
        self.how = how
        self.what = what


def unexpected(error: Exception) -> Noticed:
    """What an exception that is no contract error says: the machine broke, or only the calls."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    in_machine = trace is not None and Path(trace.tb_frame.f_code.co_filename).parent == SOURCES
    broke = in_machine and not isinstance(error, ContractError)
    return Noticed("exception" if broke else "derailed", f"{type(error).__name__}: {error}")


class Script:
    """What the contract wrote down, entry by entry; a machine that writes anything else is noticed."""

    def __init__(self, entries: list[Any]) -> None:
        self._entries = iter(entries)

    def __call__(self, entry: Any) -> None:
        """The next entry of the machine under test."""
        expected = next(self._entries, None)
        if entry != expected:
            raise Noticed("comparison", f"{entry} instead of {expected}")

    def end(self) -> None:
        """The machine under test has written its last entry."""
        self(None)


def _quiet(judging: Callable[..., None]) -> Callable[..., None]:
    def judge_nothing(*arguments: Any, **keywords: Any) -> None:
        with suppress(AssertionError, KeyError):
            judging(*arguments, **keywords)

    return judge_nothing


class Quiet(Witness):
    """Keeps the books that the calls are chosen by, and judges nothing."""

    take = _quiet(Witness.take)
    ref = _quiet(Witness.ref)
    unref = _quiet(Witness.unref)
    send = _quiet(Witness.send)
    announce = _quiet(Witness.announce)
    get = _quiet(Witness.get)
    remove = _quiet(Witness.remove)
    restored = _quiet(Witness.restored)


class Scenario(RandomCalls):
    """The random calls, more of them wrong, and everything that can be observed written down."""

    def __init__(
        self,
        seed: int,
        write: Callable[[Any], None],
        *,
        machine: type[Contract] = Contract,
        invariants: bool = False,
    ) -> None:
        self._write = write
        self.calls = 0
        self._callbacks = 0
        self._destroyed_in = 0
        self._removed_in_write: str | None = None
        chance = Random(f"mixture {seed}")
        choose = chance.choice
        self._nesting = choose((0.1, 0.25, 0.4, 0.5))
        self._raising = choose((0.0, 0.0, 0.02, 0.2, 0.5))
        self._largest = choose((0, 1, 3, MAXIMUM_BUFFER, MAXIMUM_BUFFER))
        self._meddling = choose((0.0, 0.0, 0.3))
        self._reusing = choose((0.0, 0.0, 0.5))
        self._going_on = choose((0.3, 0.8, 1.0))
        self._reading = choose((0.2, 0.5, 0.8))
        self._taking = choose(((0.3, 0.5, 0.05), (0.7, 0.1, 0.0), (0.1, 0.6, 0.0), (0.1, 0.1, 0.2)))
        super().__init__(seed, machine=machine, invariants=invariants, witness=Quiet())
        self.runner.add_port(FOREIGN_PORT)
        self.runner.state.ports[FOREIGN_PORT].attached_elsewhere = True
        self.actions = (
            *self.actions,
            (1.5, self.mistake),
            (0.5, self.migrate),
            (1.0, self.arrive),
            (2.0, self.starve),
            (0.5, self.orphan),
            (5.0, self.revive),
            (4.0, self.burst),
            (0.5, self.grant_much),
            (0.1, self.destroy),
            (0.3, self.add_large),
            (0.3, self.get_large),
        )
        self._outside = [weight * choose(MIXTURE) for weight, _ in self.actions]
        self._outside[[action.__name__ for _, action in self.actions].index("revive")] += 2.0
        self._inside = [
            weight * (DISTURBING if getattr(action, "__name__", "") in DISTURBS else 1)
            for weight, (_, action) in zip(self._outside, self.actions, strict=True)
        ]
        self._weights = self._outside

    def perform(self) -> None:
        """The whole scenario; raises `Noticed`."""
        with Stopwatch(MOST_SECONDS, _endless) as stopwatch:
            stopwatch.start()
            self.run(STEPS)
            self._rest, self._left = True, 0
            self.finish()

    # Writing down

    def answer(self, event: Callback) -> int | str | None:
        """Perform a callback."""
        self._callbacks += 1
        if self._callbacks > MOST_CALLBACKS:
            raise Noticed("endless", f"more than {MOST_CALLBACKS} callbacks")
        self._write(event)
        self.note(event)
        message = self.read() if isinstance(event, ReadOneMsgFromDevice) else None
        luck = self.random.random
        self._destroyed_in -= 1
        if self._destroyed_in == 0:
            self.attempt(self.destroy)
        if self._removed_in_write is not None and isinstance(event, PortWrite):
            removed, self._removed_in_write = self._removed_in_write, None
            self.attempt(partial(self._remove, removed))
        if self._left > 0 and len(self.runner.stack) <= self.depth and luck() < self._meddling:
            self._left -= 1
            self.meddle(event)
        while self._left > 0 and len(self.runner.stack) <= self.depth and luck() < self._nesting:
            self.step()
        if not self._rest and message is None and luck() < self._raising:
            raise BoomError(type(event).__name__)
        return self.take(event) if isinstance(event, PortWrite) else message

    def read(self) -> str | None:
        """A message, or nothing."""
        return None if self._rest or self.random.random() >= self._reading else self.witness.read()

    def take(self, event: PortWrite) -> int:
        """How much the port takes: all, nothing, a part, or it fails."""
        size, luck = len(event.data), self.random.random()
        everything, nothing, failure = self._taking
        if self._rest or luck < everything:
            taken = size
        elif luck < everything + nothing:
            taken = 0
        elif luck < everything + nothing + failure:
            return self.random.choice((-1, size + 1))
        else:
            taken = self.random.randint(0, size)
        self.witness.take(event.data[:taken])
        return taken

    def choose(self, event: Choice) -> int | bool:
        """Settle a choice."""
        self._write(event)
        if isinstance(event, ChooseGoOn):
            return self._rest or self.random.random() < self._going_on
        if event.available < 1:
            raise Noticed("exception", "a choice among nothing")
        return self.random.randint(1, event.available)

    def call(self, function: str, *arguments: Any) -> Any:
        """Call the API."""
        self.calls += 1
        try:
            result = super().call(function, *arguments)
        except (ContractError, BadMigrationDataError, BoomError) as error:
            self._write((function, type(error), str(error)))
            raise
        except InvariantViolationError as error:
            raise Noticed("invariant", error.invariant.name) from error
        except Exception as error:
            raise unexpected(error) from error
        self._write((function, _observable(function, result)))
        return result

    def step(self) -> None:
        """Take a step; the timers can be observed after it, also in a callback: one that is armed may fire there."""
        self._weights = self._inside if self.runner.stack else self._outside
        super().step()
        self._write_timers()

    def _write_timers(self) -> None:
        state = self.runner.state
        device = state.device
        retry = device.retry_due_ms if device.retry_armed else None
        self._write(
            (retry, [(row.peer, row.wait_due_ms) for row in state.clients if row.wait_armed])
        )

    # More calls

    def get(self) -> None:
        """A buffer for a client or the server, in some scenarios a small one."""
        peer = self.random.choice((*PEERS, *PEERS, None))
        size = self.random.randint(0, self._largest)
        attachment = None if peer is None else self.witness.attachment.get(peer)
        handle = self.call("write_buffer_get", peer, size)
        if peer is not None:
            self.witness.get(attachment, given=handle is not None)
        if handle is not None:
            self.held.append(Held(handle, size, attachment, self.witness.epoch))

    def _take_held(self) -> Held:
        """A held buffer, in some scenarios often one that is used again."""
        held = super()._take_held()
        if self.random.random() < self._reusing:
            self.held.append(held)
        return held

    def meddle(self, event: Callback) -> None:
        """Take away, inside a callback, the very thing that it is about."""
        choose, client = self.random.choice, getattr(event, "client", None)
        calls: tuple[Callable[[], None], ...]
        if client is not None:
            self.witness.grant(client, 1, replaces=False)
            calls = (
                partial(self._remove, client),
                partial(self.call, "send_to_client_tokens_add", client, 1),
                partial(self._get_for, client),
            )
        else:
            peer = self.peer()
            calls = (partial(self._remove, peer), self.reattach, partial(self._get_for, peer))
        self.attempt(choose(calls))
        self._write_timers()

    def _remove(self, peer: str) -> None:
        self.witness.attachment.pop(peer, None)
        self.call("client_remove", peer)

    def reattach(self) -> None:
        """A port goes, and the same or another one comes."""
        self.attempt(partial(self.call, "reset_dev_instance", None))
        self.call("reset_dev_instance", self.random.choice((1, 2)))

    def _get_for(self, peer: str) -> None:
        attachment = self.witness.attachment.get(peer)
        handle = self.call("write_buffer_get", peer, 1)
        if handle is not None:
            self.held.append(Held(handle, 1, attachment, self.witness.epoch))

    def mistake(self) -> None:
        """A call that breaks the contract, or is at the edge of what it allows."""
        choose, randint = self.random.choice, self.random.randint
        peer = choose(PEERS)
        calls: tuple[tuple[Any, ...], ...] = (
            ("write_buffer_get", choose((peer, None)), -1),
            ("write_buffer_get_server_no_token", -1),
            ("reset_dev_instance", FOREIGN_PORT),
            ("send_to_client_tokens_add", peer, choose((-1, UINT32_MAX + 1))),
            ("send_to_client_tokens_set", peer, choose((-1, UINT32_MAX + 1))),
            ("write_buffer_release_without_device", self._any_buffer()),
            ("write_buffer_release", self._any_buffer()),
            ("write_buffer_add", self._any_buffer(), b""),
            ("marshaller_unref", self._any_buffer()),
            ("opaque_get",),
            ("migrate_data_marshall_empty",),
            ("restore", self._damaged()),
            ("client_remove", peer),
            ("client_add", peer, True, *self._sizes(randint(0, 2)), False),
        )
        function, *arguments = choose(calls)
        if function in {"client_remove", "write_buffer_add", "write_buffer_release"}:
            self._with_books(function, arguments)
        elif function == "client_add":
            self._add_by(arguments)
        else:
            self.call(function, *arguments)

    def _sizes(self, wrong: int) -> list[int]:
        """Queue size, window and send tokens, one of which no type of the header can carry."""
        sizes = [2, 4, 2]
        sizes[wrong] = self.random.choice((-1, UINT32_MAX + 1))
        return sizes

    def _any_buffer(self) -> int:
        """A buffer in any place, or one that is gone or never was."""
        rows = [row.handle for row in self.runner.state.buffers]
        return self.random.choice([*rows, 0])

    def _with_books(self, function: str, arguments: list[Any]) -> None:
        """A call that is legal by chance, and changes what the books say."""
        if function == "client_remove":
            self.client_remove()
            return
        [handle, *_] = arguments
        self.held = [held for held in self.held if held.handle != handle]
        self.call(function, *arguments)

    def _add_by(self, arguments: list[Any]) -> None:
        [peer, flow_control, _, window, send_tokens, _] = arguments
        if peer not in self.witness.attachment:
            self.witness.attach(peer, window, send_tokens, flow_control=flow_control)
        self.call("client_add", *arguments)

    def add_large(self) -> None:
        """A client with as much of everything as the header's types carry."""
        peer, choose = self.random.choice(PEERS), self.random.choice
        most = (UINT32_MAX, UINT32_MAX - 1)
        self._add_by([peer, True, choose(most), choose(most), choose(most), choose((False, True))])

    def revive(self) -> None:
        """What was stopped or reset has a port and runs again."""
        device = self.runner.state.device
        if device.port is None or self.random.random() < 0.1:
            self.call("reset_dev_instance", self.random.choice((1, 2)))
        if not device.running or self.random.random() < 0.2:
            self.call("start")

    def burst(self) -> None:
        """Some buffers at once, so that a write offers several."""
        for _ in range(self.random.randint(2, 4)):
            self.attempt(self.get)
        for _ in range(min(3, len(self.held))):
            self.attempt(self.add)

    def grant_much(self) -> None:
        """A grant that goes to the limit of the header's types, and by repetition beyond."""
        peer = self.peer()
        self.witness.grant(peer, UINT32_MAX, replaces=False)
        self.call("send_to_client_tokens_add", peer, UINT32_MAX)

    def get_large(self) -> None:
        """A buffer of which few fit in what may be kept for reuse (BUF-5)."""
        handle = self.call("write_buffer_get_server_no_token", 400 * 1024)
        self.held.append(Held(handle, 0, None, 0))

    def _damaged(self) -> bytes:
        """A migration message that is wrong in one place, or nearly."""
        choose, size = self.random.choice, self.random.choice((0, 1, 3))
        record = Record(
            choose((0, 1, 1, 2)),
            choose((0, 1, 1, 255)),
            choose((0, 3, 4, UINT32_MAX)),
            choose((0, 2, UINT32_MAX)),
            choose((size, size, size + 1, UINT32_MAX)),
            choose((0, 1, 4, UINT32_MAX)),
            choose((0, 32, 33, 33, 34, UINT32_MAX)),
        )
        message = HEADER + encode(record) + b"x" * size
        return message[: choose((0, 32, 33, 34, 99))]

    def migrate(self) -> None:
        """A move that comes back: stop, marshall, remove, attach and wait, restore."""
        state = self.runner.state
        peers = [row.peer for row in state.clients]
        for peer in peers[1:]:
            self.attempt(partial(self._remove, peer))
        self.attempt(self.stop)
        if self.random.random() < 0.5:
            for _ in range(2):
                self.attempt(self._add_for_server)
        data = self.call("migrate_data_marshall")
        self.witness.marshal()
        self.marshaller_references.extend(data.buffers)
        [row] = state.clients
        self.attempt(partial(self._remove, row.peer))
        self.attempt(lambda: self._add_by([row.peer, row.flow_control, 2, row.window, 1, True]))
        if self.random.random() < 0.5:
            self.attempt(self.get)
        if self.random.random() < 0.5:
            self.attempt(self.start)
        self.call("restore", message_of(data))

    def arrive(self) -> None:
        """A client that waits, does something, and gets migration data that fits, or first some that does not."""
        luck, randint, state = self.random.random, self.random.randint, self.runner.state
        for peer in [row.peer for row in state.clients]:
            self.attempt(partial(self._remove, peer))
        self.attempt(self.stop)
        peer, window = self.random.choice(PEERS), randint(3, 6)
        self.attempt(partial(self._add_by, [peer, luck() < 0.8, 2, window, 1, True]))
        for action in self.random.choices(
            (self.get, self.add, self.tokens_add, self.start, self.release), k=3
        ):
            self.attempt(action)
        while luck() < 0.4:
            self.attempt(partial(self.call, "restore", self._damaged()))
        awaiting = state.device.awaiting
        if awaiting is not None:
            row = state.clients[awaiting]
            own = row.window - row.tokens
            price = randint(0, row.tokens) if own <= row.window else 0
            given = randint(own, max(own, row.window - price))
            size = self.random.choice((0, 1, 3))
            record = Record(1, 1, given, randint(0, 3), size, price, 33 if size else 0)
            self.call("restore", HEADER + encode(record) + b"x" * size)

    def starve(self) -> None:
        """Messages that wait for a client without send tokens, then what may become of them."""
        state, choose = self.runner.state, self.random.choice
        self.attempt(self.revive)
        for row in [row for row in state.clients if row.flow_control and row.send_tokens > 0]:
            if row.queue_length == 0:
                self.witness.grant(row.peer, 0, replaces=True)
                self.attempt(partial(self.call, "send_to_client_tokens_set", row.peer, 0))
        peers = [peer for peer in PEERS if peer not in self.witness.attachment]
        for peer, flow_control in zip(peers, (True, False), strict=False):
            self.attempt(
                partial(self._add_by, [peer, flow_control, choose((1, 3, 8)), 3, 0, False])
            )
        for _ in range(self.random.randint(1, 3)):
            self.attempt(self.wakeup)
        waiting = [row.peer for row in state.clients if row.queue_length > 0]
        if waiting:
            peer, tokens = choose(waiting), choose((1, 1, 2, 4))
            self.witness.grant(peer, tokens, replaces=False)
            calls = (
                partial(self.call, "send_to_client_tokens_add", peer, tokens),
                partial(self.call, "send_to_client_tokens_add", peer, tokens),
                partial(self.call, "wait_timer_fired", peer),
                self.client_remove,
                self.reset,
                self.stop,
                self.migrate,
            )
            self.attempt(choose(calls))

    def orphan(self) -> None:
        """A client goes while its buffer is offered, between another one's and an empty one (WR-7, BUF-6)."""
        self.attempt(self.stop)
        peer = self.peer()
        for owner, content in ((None, b"1"), (peer, b"2"), (None, b""), (None, b"3")):
            self.attempt(partial(self._add_for, owner, content))
        self._removed_in_write = peer
        self.attempt(self.revive)
        self._removed_in_write = None

    def _add_for_server(self) -> None:
        handle = self.call("write_buffer_get", None, 1)
        if handle is not None:
            self.call("write_buffer_add", handle, b"4")

    def _add_for(self, owner: str | None, content: bytes) -> None:
        if owner is None:
            handle = self.call("write_buffer_get_server_no_token", 1)
        else:
            handle = self.call("write_buffer_get", owner, 1)
        if handle is not None:
            self.call("write_buffer_add", handle, content)

    # The end

    def finish(self) -> None:
        """Serve every debt, have the device destroyed in the middle of something, and use it after that."""
        state = self.runner.state
        if not state.device.destroyed:
            self.attempt(self.serve_debts)
            for peer in PEERS:
                if state.device.awaiting is not None or state.device.sealed:
                    self.attempt(partial(self.call, "client_remove", peer))
            self.attempt(partial(self.call, "reset_dev_instance", 1))
            self.attempt(self.start)
            self.attempt(self.serve_debts)
            self.end_inside_a_callback()
            self.attempt(self.destroy)
        if self.seed % 4 == 0:
            self.use_after_destroy()
            self.attempt(self.create_at_the_edge)
            self._write_timers()

    def end_inside_a_callback(self) -> None:
        """Let the device move, and destroy it in one of the callbacks that this makes."""
        self._rest, self._destroyed_in = False, self.random.randint(1, 12)
        kinds = (
            self.client_add,
            self.client_remove,
            self.burst,
            self.wakeup,
            self.tokens_add,
            self.migrate,
            self.arrive,
            self.starve,
            self.stop,
        )
        for action in self.random.choices(kinds, k=12):
            if self.runner.state.device.destroyed:
                return
            self.attempt(action)
            self._write_timers()
            self.attempt(self.revive)
        self._rest = True

    def use_after_destroy(self) -> None:
        """Every call on a destroyed device, and what is left of its buffers."""
        for function, *arguments in _AFTER_DESTROY:
            self.attempt(partial(self.call, function, *arguments))
        for held in self.held:
            self.attempt(partial(self.call, "write_buffer_add", held.handle, b""))
            self.attempt(partial(self.call, "write_buffer_release", held.handle))
            for _ in range(2):
                self.attempt(partial(self.call, "write_buffer_release_without_device", held.handle))
        while self.marshaller_references:
            self.attempt(self.unref_marshalled)

    def create_at_the_edge(self) -> None:
        """Another device, with counts and sizes at the edge of what the header's types carry."""
        choose, ports = self.random.choice, self.runner.state.ports
        edges = (-1, 0, 2, UINT32_MAX, UINT32_MAX + 1)
        self.runner = Runner(
            self, machine=type(self.runner.machine), invariants=self.runner.invariants
        )
        self.runner.state.ports.update(ports)
        self.call("create", choose((1, 1, 1, FOREIGN_PORT)), choose(edges), choose(edges))
        self.attempt(partial(self.call, "client_add", "c", True, -1, UINT32_MAX + 1, -2, False))
        self.attempt(partial(self.call, "client_add", "c", True, 1, UINT32_MAX + 1, -2, False))
        self.attempt(partial(self.call, "client_add", "a", True, 2, choose((1, 2)), 1, False))
        self.attempt(partial(self.call, "client_add", "b", False, 2, 1, 1, False))
        self.attempt(partial(self.call, "client_remove", "a"))
        size = UINT32_MAX + choose((0, 1))
        handle = self.call("write_buffer_get_server_no_token", size)
        self.call("write_buffer_add", handle, Huge(size))
        self.call("migrate_data_marshall")


class Huge(bytes):
    """So many bytes that no memory would hold them."""

    def __new__(cls, size: int) -> Self:
        """Nothing, which claims to be `size` bytes."""
        huge = super().__new__(cls)
        huge.size = size
        return huge

    size: int

    def __len__(self) -> int:
        return self.size


_AFTER_DESTROY: Final[tuple[tuple[Any, ...], ...]] = (
    ("opaque_get",),
    ("client_exists", "a"),
    ("client_add", "a", True, 1, 3, 1, False),
    ("client_add", "a", True, -1, 3, 1, False),
    ("client_remove", "a"),
    ("start",),
    ("stop",),
    ("wakeup",),
    ("retry_timer_fired",),
    ("wait_timer_fired", "a"),
    ("send_to_client_tokens_add", "a", 1),
    ("send_to_client_tokens_set", "a", 1),
    ("send_to_client_tokens_add", "a", -1),
    ("write_buffer_get", None, -1),
    ("write_buffer_get_server_no_token", -1),
    ("write_buffer_release", 0),
    ("write_buffer_add", 0, b""),
    ("reset_dev_instance", None),
    ("reset_dev_instance", FOREIGN_PORT),
    ("reset_dev_instance", 1),
    ("reset",),
    ("migrate_data_marshall",),
    ("migrate_data_marshall_empty",),
    ("restore", b""),
    ("destroy",),
)
"""Calls on a destroyed device; nearly all are contract errors (LC-5)."""


def _observable(function: str, result: Any) -> Any:
    """What of a result means the same for every machine: a buffer is one or none, whatever its handle."""
    if hasattr(result, "write_data"):
        return (tuple(result.record), result.write_data, len(result.buffers))
    return result is not None if function.startswith("write_buffer_get") else result


def _endless() -> Noticed:
    return Noticed("endless", f"more than {MOST_SECONDS} s")
