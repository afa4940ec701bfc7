"""Packet captures, pcap and pcapng, as TCP connections: what passed either way, in the order in which it passed.

The formats are those of libpcap (https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html) and
draft-ietf-opsawg-pcapng.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, NamedTuple

from chardev_conformance.scenario import ScenarioError

PCAP: Final = {
    b"\xd4\xc3\xb2\xa1": "<",
    b"\xa1\xb2\xc3\xd4": ">",
    b"\x4d\x3c\xb2\xa1": "<",
    b"\xa1\xb2\x3c\x4d": ">",
}
"""How a pcap file begins, with times in microseconds or nanoseconds, and its order of bytes."""
PCAPNG: Final = b"\x0a\x0d\x0d\x0a"
_BYTE_ORDERS: Final = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_INTERFACE, _SIMPLE, _ENHANCED = 1, 3, 6
"""Types of pcapng's blocks."""

_LINK_HEADERS: Final = {0: 4, 1: 14, 12: 0, 101: 0, 108: 4, 113: 16, 276: 20, 228: 0, 229: 0}
"""Bytes before the IP packet, by link type: loopback, Ethernet, raw IP, Linux's `any`."""
_ETHERNET: Final = 1
_VLAN: Final = b"\x81\x00"
_TCP: Final = 6
_SYN, _ACK = 0x02, 0x10
_HALF: Final = 1 << 31


class Packet(NamedTuple):
    """A packet as captured."""

    link_type: int
    data: bytes


class Segment(NamedTuple):
    """What a TCP segment says."""

    source: tuple[str, int]
    destination: tuple[str, int]
    sequence: int
    acknowledged: int
    flags: int
    payload: bytes
    cut: bool
    """The capture does not hold all of it."""


@dataclass(slots=True)
class _Way:
    """One direction: puts segments into order."""

    next: int | None = None
    acknowledged: int | None = None
    """What the other end says that it has; more than has passed when the capture lacks a packet."""
    waiting: dict[int, bytes] = field(default_factory=dict)

    def take(self, segment: Segment) -> bytes:
        """What this segment makes whole; bytes that came before are left out."""
        start = segment.sequence
        if segment.flags & _SYN:
            start += 1
        start &= 0xFFFFFFFF
        if self.next is None:
            self.next = start
        if len(segment.payload) > len(self.waiting.get(start, b"")):
            self.waiting[start] = segment.payload
        result = b""
        progress = True
        while progress:
            progress = False
            for at, payload in sorted(self.waiting.items(), key=lambda each: self._ahead(each[0])):
                ahead = self._ahead(at)
                if ahead > 0:
                    break
                del self.waiting[at]
                new = payload[-ahead:] if ahead else payload
                result += new
                self.next = (self.next + len(new)) & 0xFFFFFFFF
                progress = True
        return result

    @property
    def lacks(self) -> bool:
        """Whether something is known to have been sent that has not passed; the end itself counts as one byte."""
        return bool(self.waiting) or (
            None not in (self.next, self.acknowledged) and self._ahead(self.acknowledged or 0) > 1
        )

    def _ahead(self, sequence: int) -> int:
        """How many bytes after the next one a sequence number is; sequence numbers wrap."""
        return ((sequence - (self.next or 0) + _HALF) & 0xFFFFFFFF) - _HALF


@dataclass(slots=True)
class Connection:
    """A TCP connection; `passed` holds, in order, whether bytes came from the client, and the bytes."""

    client: tuple[str, int]
    server: tuple[str, int]
    from_begin: bool
    """The capture holds the connection's first packet."""
    passed: list[tuple[bool, bytes]] = field(default_factory=list)
    gap: str = ""
    """Why nothing after `passed` can be told."""
    _ways: dict[bool, _Way] = field(default_factory=lambda: {True: _Way(), False: _Way()})
    _stalled: int | None = None

    @property
    def name(self) -> str:
        """The two ends, in words."""
        return f"{self.client[0]}:{self.client[1]} to {self.server[0]}:{self.server[1]}"

    def take(self, segment: Segment) -> None:
        """Enter the next segment."""
        if self.gap:
            return
        from_client = segment.source == self.client
        if segment.flags & _ACK:
            self._ways[not from_client].acknowledged = segment.acknowledged
            self._look_for_gaps()
        new = self._ways[from_client].take(segment)
        if new:
            self.passed.append((from_client, new))
        if segment.cut:
            self.gap = "the capture holds packets cut short (capture with --snapshot-length=0)"
        self._look_for_gaps()

    def _look_for_gaps(self) -> None:
        if not any(way.lacks for way in self._ways.values()):
            self._stalled = None
        elif self._stalled is None:
            self._stalled = len(self.passed)

    def end(self) -> None:
        """Forget what passed while a packet of the other direction was missing for good."""
        if self._stalled is not None:
            del self.passed[self._stalled :]
            self.gap = self.gap or "the capture lacks a packet"


def connections(data: bytes, name: str) -> list[Connection]:
    """The TCP connections of a capture, in the order of their first packets; raises `ScenarioError`."""
    result: list[Connection] = []
    known: dict[frozenset[tuple[str, int]], Connection] = {}
    for packet in _packets(data, name):
        segment = _segment(packet)
        if segment is None:
            continue
        key = frozenset((segment.source, segment.destination))
        opens = segment.flags & (_SYN | _ACK) == _SYN
        connection = known.get(key)
        if connection is None or (opens and connection.passed):
            connection = Connection(segment.source, segment.destination, opens)
            known[key] = connection
            result.append(connection)
        connection.take(segment)
    for connection in result:
        connection.end()
    return result


def _packets(data: bytes, name: str) -> Iterator[Packet]:
    """Raises `ScenarioError` where the file is no capture, or of a link that is not known."""
    read = _pcapng_packets if data[:4] == PCAPNG else _pcap_packets
    try:
        for packet in read(data):
            if packet.link_type not in _LINK_HEADERS:
                raise ScenarioError(
                    f"{name}: captured on a link of type {packet.link_type}, which this program does not read; "
                    "capture on Ethernet, on a loopback, or on any"
                )
            yield packet
    except (struct.error, KeyError, IndexError):
        raise ScenarioError(f"{name}: not a whole packet capture (pcap or pcapng)") from None


def _pcap_packets(data: bytes) -> Iterator[Packet]:
    order = PCAP[data[:4]]
    (link_type,) = struct.unpack_from(f"{order}I", data, 20)
    at = 24
    # A program that was killed while it captured leaves half a packet at the end.
    while at + 16 <= len(data):
        _, _, captured, _ = struct.unpack_from(f"{order}IIII", data, at)
        at += 16
        yield Packet(link_type & 0xFFFF, data[at : at + captured])
        at += captured


def _pcapng_packets(data: bytes) -> Iterator[Packet]:
    at = 0
    order = "<"
    interfaces: list[int] = []
    while at + 12 <= len(data):
        if data[at : at + 4] == PCAPNG:
            order = _BYTE_ORDERS[data[at + 8 : at + 12]]
            interfaces = []
        kind, size = struct.unpack_from(f"{order}II", data, at)
        if size < 12:
            raise IndexError
        body = data[at + 8 : at + size - 4]
        at += size
        if kind == _INTERFACE:
            interfaces.append(struct.unpack_from(f"{order}H", body)[0])
        elif kind == _ENHANCED:
            number, _, _, captured, _ = struct.unpack_from(f"{order}5I", body)
            yield Packet(interfaces[number], body[20 : 20 + captured])
        elif kind == _SIMPLE:
            yield Packet(interfaces[0], body[4:])


def _segment(packet: Packet) -> Segment | None:
    """The TCP segment of a packet; None for any other."""
    data = packet.data[_LINK_HEADERS[packet.link_type] :]
    if packet.link_type == _ETHERNET and packet.data[12:14] == _VLAN:
        data = data[4:]
    try:
        return _ip_segment(data)
    except (struct.error, IndexError, ValueError):
        return None


def _ip_segment(data: bytes) -> Segment | None:
    version = data[0] >> 4
    if version == 4:
        (size,) = struct.unpack_from(">H", data, 2)
        (fragment,) = struct.unpack_from(">H", data, 6)
        protocol, begin = data[9], (data[0] & 15) * 4
        source, destination = data[12:16], data[16:20]
        if fragment & 0x1FFF:
            return None
    elif version == 6:
        (size,) = struct.unpack_from(">H", data, 4)
        protocol, begin = data[6], 40
        # Large packets on a loopback say 0: all that was captured.
        size = size + begin if size else 0
        source, destination = data[8:24], data[24:40]
    else:
        return None
    if protocol != _TCP:
        return None
    size = size or len(data)
    ports = struct.unpack_from(">HH", data, begin)
    sequence, acknowledged = struct.unpack_from(">II", data, begin + 4)
    payload = begin + (data[begin + 12] >> 4) * 4
    return Segment(
        (str(ip_address(source)), ports[0]),
        (str(ip_address(destination)), ports[1]),
        sequence,
        acknowledged,
        data[begin + 13],
        data[payload:size],
        len(data) < size,
    )
