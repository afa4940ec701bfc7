"""Captures made by hand, of sessions that nobody had."""

import struct
from collections.abc import Iterable
from typing import Final

CLIENT: Final = True
SERVER: Final = False
Passed = tuple[bool, bytes]

_SYN, _ACK = 0x02, 0x10


def frame(
    from_client: bool,
    sequence: int,
    payload: bytes = b"",
    *,
    flags: int = 0,
    acknowledged: int = 0,
    version: int = 4,
) -> bytes:
    """An IP packet with a TCP segment between the client, at port 1000, and the server, at port 5900."""
    ports = (1000, 5900) if from_client else (5900, 1000)
    tcp = (
        struct.pack(">HHIIBBHHH", *ports, sequence % 2**32, acknowledged, 5 << 4, flags, 0, 0, 0)
        + payload
    )
    ends = (1, 2) if from_client else (2, 1)
    if version == 6:
        addresses = b"".join(bytes(15) + bytes([end]) for end in ends)
        return struct.pack(">IHBB", 6 << 28, len(tcp), 6, 64) + addresses + tcp
    addresses = b"".join(bytes([10, 0, 0, end]) for end in ends)
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + addresses + tcp


def pcap(
    frames: Iterable[bytes], *, order: str = "<", link_type: int = 101, most: int = 1 << 18
) -> bytes:
    """A file of packets, raw IP unless said otherwise."""
    head = struct.pack(f"{order}IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, most, link_type)
    return head + b"".join(
        struct.pack(f"{order}IIII", 0, 0, min(len(each), most), len(each)) + each[:most]
        for each in frames
    )


def pcapng(frames: Iterable[bytes], *, order: str = "<") -> bytes:
    """The same in the newer format."""

    def block(kind: int, body: bytes) -> bytes:
        size = 12 + len(body)
        return struct.pack(f"{order}II", kind, size) + body + struct.pack(f"{order}I", size)

    head = block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))
    head += block(1, struct.pack(f"{order}HHI", 101, 0, 0))
    blocks = []
    for each in frames:
        padding = bytes(-len(each) % 4)
        body = struct.pack(f"{order}5I", 0, 0, 0, len(each), len(each)) + each + padding
        blocks.append(block(6, body))
    return head + b"".join(blocks)


def frames(passed: Iterable[Passed]) -> list[bytes]:
    """The packets of a connection in which this passed, in this order."""
    at = {CLIENT: 2**32 - 5, SERVER: 7}
    result = [
        frame(CLIENT, at[CLIENT] - 1, flags=_SYN),
        frame(SERVER, 6, flags=_SYN | _ACK, acknowledged=at[CLIENT]),
    ]
    for from_client, payload in passed:
        result.append(frame(from_client, at[from_client], payload))
        at[from_client] += len(payload)
    return result


def link(channel_type: int, *, short: bool = True, error: int = 0) -> list[Passed]:
    """How both ends begin."""
    common = 0b1011 if short else 0b0011
    body = struct.pack("<IBBIIIII", 0, channel_type, 0, 1, 1, 18, common, 0)
    reply = struct.pack("<I162sIIIII", error, bytes(162), 1, 1, 178, common, 0)
    return [
        (CLIENT, struct.pack("<4sIII", b"REDQ", 2, 2, len(body)) + body),
        (SERVER, struct.pack("<4sIII", b"REDQ", 2, 2, len(reply)) + reply),
        (CLIENT, struct.pack("<I", 1) + bytes(128)),
        (SERVER, bytes(4)),
    ]


def message(kind: int, body: bytes = b"", *, short: bool = True) -> bytes:
    """A message as it goes over the wire."""
    head = (
        struct.pack("<HI", kind, len(body))
        if short
        else struct.pack("<QHII", 1, kind, len(body), 0)
    )
    return head + body


def session(channel_type: int, *sent: tuple[bool, int, bytes], short: bool = True) -> bytes:
    """A capture of a channel with these messages: who sends, which type, what is in it."""
    passed = link(channel_type, short=short)
    passed += [(end, message(kind, body, short=short)) for end, kind, body in sent]
    return pcap(frames(passed))
