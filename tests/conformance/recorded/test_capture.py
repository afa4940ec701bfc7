"""Packet captures are read as what passed, in the order in which it passed."""

import struct

import pytest

from chardev_conformance.recorded.capture import connections
from chardev_conformance.scenario import ScenarioError
from tests.conformance.recorded.made import CLIENT, SERVER, Passed, frame, frames, pcap, pcapng

TALK: list[Passed] = [
    (CLIENT, b"hello"),
    (SERVER, b"yes?"),
    (CLIENT, b"this is long"),
    (SERVER, b"bye"),
]


def passed(data: bytes) -> list[Passed]:
    """What passed in the only connection."""
    (connection,) = connections(data, "c.pcap")
    assert connection.gap == ""
    return connection.passed


@pytest.mark.parametrize("order", "<>")
def test_both_formats_in_both_orders_of_bytes(order: str) -> None:
    """A capture of another program, or machine, would not be read; sequence numbers wrap in this one."""
    assert passed(pcap(frames(TALK), order=order)) == TALK
    assert passed(pcapng(frames(TALK), order=order)) == TALK


def test_links() -> None:
    """Captures of Ethernet, with a VLAN, of Linux's any or a loopback would be read at a wrong place."""
    heads = {
        1: bytes(12) + b"\x08\x00",
        113: bytes(16),
        276: bytes(20),
        0: bytes(4),
    }
    for link_type, head in heads.items():
        assert passed(pcap([head + each for each in frames(TALK)], link_type=link_type)) == TALK
    vlan = bytes(12) + b"\x81\x00\x00\x05\x08\x00"
    assert passed(pcap([vlan + each for each in frames(TALK)], link_type=1)) == TALK


def test_ip_version_6() -> None:
    """Sessions over IPv6 would not be seen."""
    (connection,) = connections(pcap([frame(CLIENT, 1, b"six", version=6)]), "c.pcap")
    assert (connection.name, connection.passed) == ("::1:1000 to ::2:5900", [(CLIENT, b"six")])


def test_segments_are_put_into_order() -> None:
    """What came late, twice or overlapping would be read twice or in a wrong order."""
    segments = [(1, b"ab"), (5, b"ef"), (3, b"cd"), (1, b"abcd"), (5, b"efgh"), (9, b"i")]
    data = pcap([frame(CLIENT, 0, flags=2), *(frame(CLIENT, at, each) for at, each in segments)])
    assert b"".join(each for _, each in passed(data)) == b"abcdefghi"


def test_nothing_is_told_after_a_gap() -> None:
    """The server would seem to answer what it was never sent, because the capture lacks it."""
    packets = frames(TALK)
    late = frame(CLIENT, 40, b"?")
    answer = frame(SERVER, 11, b"bye", flags=0x10, acknowledged=12)
    for rest in ([late, packets[5]], [answer], [packets[5], late]):
        (connection,) = connections(pcap([*packets[:4], *rest]), "c.pcap")
        seen = [*TALK[:2], TALK[3]] if rest[0] is packets[5] else TALK[:2]
        assert (connection.passed, connection.gap) == (seen, "the capture lacks a packet")


def test_packets_that_were_cut() -> None:
    """The rest of a packet that is not in the capture would be taken for what comes next."""
    (connection,) = connections(pcap(frames(TALK), most=45), "c.pcap")
    assert connection.passed == [*TALK[:2], (CLIENT, b"this ")]
    assert (
        connection.gap == "the capture holds packets cut short (capture with --snapshot-length=0)"
    )


def test_other_traffic_is_left_aside() -> None:
    """A capture of everything on a network would not be read for one odd packet."""
    odd = [b"", b"\x45", bytes(60), b"\x45" + bytes(30), frame(CLIENT, 1)[:25]]
    assert passed(pcap([*odd, *frames(TALK), *odd])) == TALK


def test_a_port_that_is_used_again_is_another_connection() -> None:
    """Two sessions one after the other would be read as one."""
    both = connections(pcap([*frames(TALK), *frames(TALK[:1])]), "c.pcap")
    assert [each.passed for each in both] == [TALK, TALK[:1]]


def test_what_is_no_capture() -> None:
    """A damaged file would end in a traceback."""
    whole = "c.pcap: not a whole packet capture (pcap or pcapng)"
    for data in (
        pcap([])[:20],
        pcapng([])[:8] + bytes(20),
        pcapng([]) + struct.pack("<3I", 1, 5, 0),
    ):
        with pytest.raises(ScenarioError) as raised:
            connections(data, "c.pcap")
        assert str(raised.value) == whole
    with pytest.raises(ScenarioError) as raised:
        connections(pcap([b"x"], link_type=105), "c.pcap")
    assert str(raised.value) == (
        "c.pcap: captured on a link of type 105, which this program does not read; "
        "capture on Ethernet, on a loopback, or on any"
    )
