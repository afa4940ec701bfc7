"""A connection of the SPICE protocol as messages: the link, then each message in the order in which it passed whole."""

import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from chardev_conformance.recorded.capture import Connection

_MAGIC: Final = b"REDQ"
_TLS_RECORD: Final = b"\x16\x03"
_LINK_HEADER: Final = struct.Struct("<4sIII")
_LINK_BODY: Final = struct.Struct("<IBBIII")
_LINK_REPLY: Final = struct.Struct("<I162sIII")
_AUTHENTICATION_SELECTION: Final = 0b0001
_SHORT_HEADER: Final = 0b1000
_TICKET: Final = 1
_TICKET_SIZE: Final = 128
_SHORT: Final = struct.Struct("<HI")
_LONG: Final = struct.Struct("<QHII")


class NotJudgedError(Exception):
    """What follows in this connection cannot be read; the message says why."""


class Message(NamedTuple):
    """One message."""

    from_client: bool
    type: int
    body: bytes


@dataclass(slots=True)
class Link:
    """What the two ends agreed on."""

    channel_type: int = 0
    client_capabilities: int = 0
    capabilities: int = 0
    """Common ones, of both ends."""


Reader = Generator[int, bytes, None]
"""Asks for so many bytes at a time."""


def messages(connection: Connection, link: Link) -> Iterator[Message]:
    """The messages of a connection, once `link` is filled in; raises `NotJudgedError`."""
    first = next((data for from_client, data in connection.passed if from_client), b"")
    if not first.startswith(_MAGIC):
        if first.startswith(_TLS_RECORD):
            raise NotJudgedError("it is encrypted (record a session without TLS)")
        raise NotJudgedError("it is not SPICE, or its beginning is missing")
    out: list[Message] = []
    ends = {True: _End(_client(link, out)), False: _End(_server(link, out))}
    for from_client, data in connection.passed:
        ends[from_client].feed(data)
        yield from out
        out.clear()
    if connection.gap:
        raise NotJudgedError(connection.gap)


class _End:
    """What one end sent, read piece by piece."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._unread = bytearray()
        self._wanted = next(reader)

    def feed(self, data: bytes) -> None:
        self._unread += data
        while len(self._unread) >= self._wanted:
            piece = bytes(self._unread[: self._wanted])
            del self._unread[: self._wanted]
            self._wanted = self._reader.send(piece)


def _client(link: Link, out: list[Message]) -> Reader:
    magic, _, _, size = _LINK_HEADER.unpack((yield _LINK_HEADER.size))
    body = yield size
    if magic != _MAGIC or size < _LINK_BODY.size:
        raise NotJudgedError("its link is not one")
    _, link.channel_type, _, common, _, offset = _LINK_BODY.unpack_from(body)
    link.client_capabilities = _first_word(body, common, offset)
    # Which way it goes on is known when the server has answered, and no client goes on before.
    mechanism = (yield 4) if link.client_capabilities & _AUTHENTICATION_SELECTION else b""
    if mechanism and int.from_bytes(mechanism, "little") != _TICKET:
        raise NotJudgedError("its client authenticates by SASL")
    yield _TICKET_SIZE
    yield from _stream(link, out, from_client=True)


def _server(link: Link, out: list[Message]) -> Reader:
    magic, _, _, size = _LINK_HEADER.unpack((yield _LINK_HEADER.size))
    body = yield size
    if magic != _MAGIC or size < _LINK_REPLY.size:
        raise NotJudgedError("its link is not one")
    error, _, common, _, offset = _LINK_REPLY.unpack_from(body)
    if error:
        raise NotJudgedError(f"the server refused its link with error {error}")
    link.capabilities = link.client_capabilities & _first_word(body, common, offset)
    if int.from_bytes((yield 4), "little"):
        raise NotJudgedError("the server refused its ticket")
    yield from _stream(link, out, from_client=False)


def _first_word(body: bytes, words: int, offset: int) -> int:
    return int.from_bytes(body[offset : offset + 4], "little") if words else 0


def _stream(link: Link, out: list[Message], *, from_client: bool) -> Reader:
    while True:
        if link.capabilities & _SHORT_HEADER:
            kind, size = _SHORT.unpack((yield _SHORT.size))
        else:
            _, kind, size, inner = _LONG.unpack((yield _LONG.size))
            if inner:
                raise NotJudgedError("its messages hold further ones")
        out.append(Message(from_client, kind, (yield size) if size else b""))
