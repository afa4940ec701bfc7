"""What the library's owners of devices do where that is not what the contract says of them (DEV-1, DEV-2).

The quirks of the device itself are in `chardev_spec.profiles`; these here are above it.
Each is a class that overrides some methods of an owner, or of the world around owners, and together they make what the
library does (`owners`).
Each docstring says what was observed, and cites the rules that it breaks.
"""

from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from chardev_conformance.spice_server.agent import AgentOwner, Reading
from chardev_conformance.spice_server.observation import Observation
from chardev_conformance.spice_server.owner import Client, Message
from chardev_conformance.spice_server.specified import SpecifiedWorld, UnpredictableError
from chardev_conformance.spice_server.vmc import VmcOwner
from chardev_spec.contract import Contract
from chardev_spec.record import HEADER_SIZE, RECORD_SIZE

_HEADER_SIZE: Final = 8
"""Bytes of a chunk's header."""


class TokensWithoutStart(AgentOwner):
    """DEV-2: tokens are taken from a client that the device knows, though the agent has not been started since it came.

    From a client that the device does not know they end the process.
    """

    def takes_tokens(self) -> bool:
        """Always."""
        return True


class EmptyChunkBlocks(AgentOwner):
    """DEV-2, RD-8: a chunk without body is never over: the library waits for its 0 bytes, and reads nothing else."""

    def empty_chunk(self) -> bool:
        """As any other."""
        return False


class UnstartedClientIsRefused(AgentOwner):
    """DEV-2, BUF-4: a client that sends data without having started the agent loses its connection if another has."""

    def discards(self, client: Client) -> bool:
        """Nothing: an unknown client gets no buffer."""
        return False


class RemovedPortIsReadOnceMore(AgentOwner):
    """DEV-2, LC-3: a port that is removed while a chunk's body is read is read once more.

    What it gives is taken for the beginning of a header, to which the next port's bytes are added: they are torn.
    """

    def drop_partial_chunk(self) -> None:
        """The memory for the body is freed while the port is still there."""
        in_body = self.reading is Reading.BODY
        self._begin_reading()
        if in_body:
            self.message_freed()
        if self.reading is not Reading.HEADER:
            raise UnpredictableError("a body has begun to come into memory that is being freed")


class PartialHeadIsMisread(AgentOwner):
    """DEV-2, MIG-6: where less than a message's head has come, the destination takes it from two bytes too far.

    What it goes on with is another head, and the last two bytes of it lie behind the migration data.
    """

    def partial_body(self, message: bytes, at: int, size: int) -> bytes:
        """Two bytes later; what lies behind the data was 0 when this was observed."""
        return super().partial_body(message + bytes(2), at + 2, size)


class OldHeaderMigrates(AgentOwner):
    """DEV-2, MIG-1: where no header of a chunk has begun, migration data has what is left of the last one."""

    _memory = bytes(_HEADER_SIZE)

    def forget_header(self) -> None:
        """The memory keeps it."""
        self._memory = self.header_memory()
        super().forget_header()

    def _begin_reading(self) -> None:
        if hasattr(self, "header"):
            self._memory = self.header_memory()
        super()._begin_reading()

    def header_memory(self) -> bytes:
        """Whatever is left there."""
        return self.header + self._memory[len(self.header) :]

    def restore(self, client: Client, message: bytes) -> None:
        """The memory is restored whole."""
        self._begin_reading()
        at = HEADER_SIZE + RECORD_SIZE + 5
        self._memory = message[at : at + _HEADER_SIZE]
        super().restore(client, message)


class BodyRestIsForgotten(AgentOwner):
    """DEV-2, MIG-6: of a body of which less than a message's head has come, the destination is told that it is whole.

    It waits for 0 bytes more, and reads nothing else.
    """

    def body_rest(self) -> int:
        """None."""
        return 0


class AttachHearsNoStop(AgentOwner):
    """LC-2: a stop inside the first read of a port that is being attached does not reach the agent's device."""

    def join_server(self, *, running: bool) -> None:
        """Started first."""
        if running:
            self.call("start")
        self.registered = True


class OneReadAWakeup(VmcOwner):
    """DEV-1, RD-8, LC-8: the read callback sends what it read by itself and says "nothing".

    So one read is made for each wakeup, whatever the port still has, and reading does not make the device active.
    """

    def read_one(self) -> Message | None:
        """One read, which the device hears nothing of."""
        message = super().read_one()
        if message is not None and self.client is not None:
            self.send_message(message, self.client.name)
        return None


class AnswerAboveOfferIsTaken(SpecifiedWorld):
    """WR-8: a port that says that it took more than it was offered is believed: the library goes on behind the buffer.

    It asks the port to write a negative number of bytes; what comes then depends on what lies there.
    """

    def check_answers(self, seen: Observation) -> None:
        """Nothing can be said any more."""
        for writes in seen.writes.values():
            if any(taken > len(data) // 2 for data, taken in writes):
                raise UnpredictableError("a port took more than it was offered")


class ShutDownIsNotRemoved(SpecifiedWorld):
    """RD-4, RD-5, LC-7: a client that is shut down by a timer is not removed: its socket is not looked at any more.

    It keeps its queue, and with it the agent's read buffers: when it has all five, nothing is read for anybody.
    It goes when something is written to it, which without send tokens is never.
    """

    def shut_down(self, name: str) -> None:
        """The connection is closed; that is all, for now."""
        client = self.clients[name]
        client.closed = True
        client.when_sent_at_once = partial(self.unlink, name)


OWNER_QUIRKS: Final[tuple[type, ...]] = (
    TokensWithoutStart,
    EmptyChunkBlocks,
    UnstartedClientIsRefused,
    RemovedPortIsReadOnceMore,
    PartialHeadIsMisread,
    OldHeaderMigrates,
    BodyRestIsForgotten,
    AttachHearsNoStop,
    OneReadAWakeup,
    AnswerAboveOfferIsTaken,
    ShutDownIsNotRemoved,
)
"""All of them."""

BaseT = TypeVar("BaseT")


@dataclass(frozen=True, slots=True)
class Implementation:
    """A machine and what surrounds it: what a server is compared with."""

    machine: type[Contract]
    owner_quirks: tuple[type, ...] = ()

    def world(self, stage: str) -> SpecifiedWorld:
        """The servers of a stage, as this says that they are."""
        make = _with(SpecifiedWorld, self.owner_quirks)
        return make(
            stage,
            self.machine,
            _with(AgentOwner, self.owner_quirks),
            _with(VmcOwner, self.owner_quirks),
        )


def _with(base: type[BaseT], quirks: tuple[type, ...]) -> type[BaseT]:
    chosen = tuple(quirk for quirk in quirks if issubclass(quirk, base))
    return type(base.__name__, chosen, {}) if chosen else base
