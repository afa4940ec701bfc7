"""Judges the channels of a SPICE session that carry character devices: the agent's, and ports."""

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from chardev_conformance.recorded.capture import Connection, connections
from chardev_conformance.recorded.messages import Link, Message, NotJudgedError, messages
from chardev_conformance.recorded.verdict import Verdict
from chardev_conformance.spice_server.agent import BODY_LIMIT, WINDOW, AgentOwner, Filter
from chardev_conformance.spice_server.agent import Verdict as Framing

CLIENT: Final = "client"
SERVER: Final = "server"


class Channel(IntEnum):
    """Types of channels that carry a character device."""

    MAIN = 1
    USBREDIR = 9
    PORT = 10
    WEBDAV = 11


class FromServer(IntEnum):
    """Messages of the server."""

    MIGRATE = 1
    DATA = 101  # of ports
    COMPRESSED_DATA = 102
    INIT = 103  # of the main channel, as are the next ones
    AGENT_CONNECTED = 107
    AGENT_DISCONNECTED = 108
    AGENT_DATA = 109
    AGENT_TOKEN = 110
    AGENT_CONNECTED_TOKENS = 115
    PORT_INIT = 201
    PORT_EVENT = 202


class FromClient(IntEnum):
    """Messages of the client."""

    DATA = 101  # of ports
    COMPRESSED_DATA = 102
    AGENT_START = 106  # of the main channel, as are the next ones
    AGENT_DATA = 107
    AGENT_TOKEN = 108
    PORT_EVENT = 201


PORT_EVENTS: Final = range(3)
"""Opened, closed, break."""

_INIT: Final = struct.Struct("<8I")

OUT_OF_SIGHT: Final = (
    "what goes between a device and its port: the order of chunks there, what the port took",
    "whether what is owed at the end of the capture was paid later (WR-6, TOK-3)",
    "the send queue, self tokens and timers, which stay inside the server",
)
"""What no capture of a session tells."""


def judge_capture(data: bytes, name: str) -> Verdict:
    """Judge a packet capture; raises `ScenarioError` when it is none."""
    verdict = Verdict()
    for connection in connections(data, name):
        _judge_connection(connection, verdict)
    for text in OUT_OF_SIGHT:
        verdict.skip(text)
    return verdict


def _judge_connection(connection: Connection, verdict: Verdict) -> None:
    link = Link()
    take: Callable[[Message], None] | None = None
    try:
        for message in messages(connection, link):
            if take is None:
                take = _judge_of(link, connection.name, verdict)
            take(message)
    except NotJudgedError as error:
        verdict.skip(f"connection {connection.name}, from some point on or all of it: {error}")
    except struct.error:
        verdict.skip(f"connection {connection.name}: a message is shorter than its type has it")


def _judge_of(link: Link, name: str, verdict: Verdict) -> Callable[[Message], None]:
    if link.channel_type == Channel.MAIN:
        verdict.judged["agent channels"] += 1
        return Agent(name, verdict).take
    if link.channel_type in (Channel.USBREDIR, Channel.PORT, Channel.WEBDAV):
        verdict.judged["port channels"] += 1
        return Port(name, verdict, named=link.channel_type != Channel.USBREDIR).take
    raise NotJudgedError(f"channels of type {link.channel_type} carry no character device")


class _Judge:
    """What judges have in common: they count messages, to say where a finding is."""

    def __init__(self, name: str, verdict: Verdict) -> None:
        self._name = name
        self._verdict = verdict
        self._number = 0

    def _find(self, rule: str, party: str, *, allowed: str, seen: str) -> None:
        where = f"{self._name}, message {self._number}"
        self._verdict.find(rule, party, where, allowed=allowed, seen=seen)

    def _count(self, what: str) -> None:
        self._verdict.judged[what] += 1


class Agent(_Judge):
    """The agent's device, seen from the main channel."""

    def __init__(self, name: str, verdict: Verdict) -> None:
        super().__init__(name, verdict)
        self._connected = False
        self._started = False
        self._client_tokens: int | None = None
        """What the client may still send; None when the beginning was not seen."""
        self._taken = 0
        """Tokens that went to the server and have not been announced since."""
        self._send_tokens = 0
        self._from_server = Filter(discard_all=False)
        self._from_client = Filter(discard_all=False)

    def take(self, message: Message) -> None:
        """Judge the next message."""
        self._number += 1
        if message.from_client:
            self._take_from_client(message.type, message.body)
        else:
            self._take_from_server(message.type, message.body)

    def _take_from_client(self, kind: int, body: bytes) -> None:
        match kind:
            case FromClient.AGENT_START:
                (tokens,) = struct.unpack_from("<I", body)
                # Data on its way was paid for with what there was before.
                self._send_tokens = tokens + (self._send_tokens if self._started else 0)
                self._started = True
                self._from_client = Filter(discard_all=False)
            case FromClient.AGENT_TOKEN if self._started:
                self._send_tokens += struct.unpack_from("<I", body)[0]
            case FromClient.AGENT_DATA:
                self._data_from_client(body)

    def _data_from_client(self, body: bytes) -> None:
        self._count("agent messages of clients")
        self._taken += 1
        if not (self._connected and self._started) or self._client_tokens is None:
            self._verdict.skip(
                "tokens of data that a client sends while the agent is not connected and started"
            )
            return
        if self._client_tokens == 0:
            self._find(
                "TOK-2", CLIENT, allowed="no data without a token", seen="data without a token"
            )
        else:
            self._client_tokens -= 1
        self._frame(self._from_client, body, CLIENT)

    def _take_from_server(self, kind: int, body: bytes) -> None:
        match kind:
            case FromServer.MIGRATE:
                raise NotJudgedError("it migrates, and its counts go on elsewhere")
            case FromServer.INIT:
                _, _, _, _, connected, tokens, _, _ = _INIT.unpack_from(body)
                self._connected, self._client_tokens = bool(connected), tokens
                self._window(tokens)
            case FromServer.AGENT_CONNECTED:
                self._begin()
            case FromServer.AGENT_CONNECTED_TOKENS:
                self._begin()
                (self._client_tokens,) = struct.unpack_from("<I", body)
                self._window(self._client_tokens)
            case FromServer.AGENT_DISCONNECTED:
                self._connected = self._started = False
            case FromServer.AGENT_TOKEN:
                self._announced(struct.unpack_from("<I", body)[0])
            case FromServer.AGENT_DATA:
                self._data_from_server(body)

    def _begin(self) -> None:
        self._connected, self._started = True, False
        self._from_server = Filter(discard_all=False)

    def _window(self, tokens: int) -> None:
        if tokens != WINDOW:
            self._find("DEV-2", SERVER, allowed=f"a window of {WINDOW}", seen=f"one of {tokens}")

    def _announced(self, tokens: int) -> None:
        self._count("announcements of tokens")
        if tokens < AgentOwner.interval:
            allowed = f"{AgentOwner.interval} tokens or more at once"
            self._find("TOK-3", SERVER, allowed=allowed, seen=f"{tokens} announced")
        if tokens > self._taken:
            allowed = f"{self._taken} at most, which it took and has not announced"
            self._find("TOK-1", SERVER, allowed=allowed, seen=f"{tokens} announced")
        self._taken = max(0, self._taken - tokens)
        if self._client_tokens is not None:
            self._client_tokens += tokens

    def _data_from_server(self, body: bytes) -> None:
        self._count("agent messages of servers")
        if not self._connected:
            allowed, seen = "nothing from an agent that is gone", "data of the agent"
            self._find("LC-3", SERVER, allowed=allowed, seen=seen)
        elif not self._started:
            self._find(
                "RD-2", SERVER, allowed="data to clients that have started", seen="data before that"
            )
        elif self._send_tokens == 0:
            self._find(
                "RD-6", SERVER, allowed="no more than the client granted", seen="data beyond that"
            )
        else:
            self._send_tokens -= 1
        self._frame(self._from_server, body, SERVER)

    def _frame(self, pieces: Filter, body: bytes, party: str) -> None:
        if len(body) > BODY_LIMIT:
            allowed, seen = f"{BODY_LIMIT} bytes at most", f"{len(body)} bytes"
            self._find("DEV-2", party, allowed=allowed, seen=seen)
        elif pieces.process(body) is Framing.ERROR:
            pieces.remaining = 0
            allowed = "the next piece of a message of the agent's protocol"
            self._find("DEV-2", party, allowed=allowed, seen=f"{len(body)} bytes that are none")


class Port(_Judge):
    """A port's device, seen from its channel."""

    def __init__(self, name: str, verdict: Verdict, *, named: bool) -> None:
        super().__init__(name, verdict)
        self._awaits_init = named

    def take(self, message: Message) -> None:
        """Judge the next message."""
        self._number += 1
        party = CLIENT if message.from_client else SERVER
        kind, body = message.type, message.body
        if kind in (FromServer.DATA, FromServer.COMPRESSED_DATA):
            self._count(f"port messages of {party}s")
        event = FromClient.PORT_EVENT if message.from_client else FromServer.PORT_EVENT
        if kind == event:
            self._count("port events")
            if len(body) != 1 or body[0] not in PORT_EVENTS:
                self._find(
                    "DEV-1", party, allowed="an event: opened, closed or break", seen=body.hex()
                )
        if message.from_client:
            return
        if kind == FromServer.MIGRATE:
            raise NotJudgedError("it migrates, and goes on elsewhere")
        if kind == FromServer.PORT_INIT:
            if not self._awaits_init:
                self._find("DEV-1", SERVER, allowed="one introduction", seen="another")
            self._awaits_init = False
        elif self._awaits_init and kind in (FromServer.DATA, FromServer.PORT_EVENT):
            self._awaits_init = False
            allowed = "the port's introduction first"
            self._find("DEV-1", SERVER, allowed=allowed, seen="data or an event before it")
