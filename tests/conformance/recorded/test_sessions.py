"""Sessions are judged: what each end may not do is found, what it may do is not."""

import struct

import pytest

from chardev_conformance.recorded.sessions import OUT_OF_SIGHT, judge_capture
from chardev_conformance.recorded.verdict import Verdict
from tests.conformance.recorded.made import CLIENT, SERVER, frames, link, pcap, session

Sent = tuple[bool, int, bytes]
MAIN, USB, PORT = 1, 9, 10


def number(value: int) -> bytes:
    """A word of a message."""
    return struct.pack("<I", value)


def init(*, connected: int = 1, tokens: int = 10) -> Sent:
    """The server's first message."""
    return SERVER, 103, struct.pack("<8I", 5, 1, 3, 1, connected, tokens, 0, 0)


def text(size: int = 4, rest: int = 0) -> bytes:
    """A message of the agent's protocol, or its first piece, of `size` bytes with `rest` to come."""
    return struct.pack("<IIQI", 1, 4, 0, size + rest) + bytes(size)


START: Sent = (CLIENT, 106, number(2))
FROM_CLIENT: Sent = (CLIENT, 107, text())
FROM_AGENT: Sent = (SERVER, 109, text())
GONE: Sent = (SERVER, 108, number(0))
BACK: Sent = (SERVER, 115, number(10))


def announced(tokens: int) -> Sent:
    """AGENT_TOKEN of the server."""
    return SERVER, 110, number(tokens)


def judged(channel: int, *sent: Sent, short: bool = True) -> Verdict:
    """The verdict on a session."""
    return judge_capture(session(channel, *sent, short=short), "c.pcap")


GOOD: dict[str, tuple[int, tuple[Sent, ...]]] = {
    "all its tokens, and again": (
        MAIN,
        (init(), START, *[FROM_CLIENT] * 10, announced(5), *[FROM_CLIENT] * 5, announced(10)),
    ),
    "as many as were granted": (
        MAIN,
        (init(), START, FROM_AGENT, FROM_AGENT, (CLIENT, 108, number(1)), FROM_AGENT),
    ),
    "granted anew while data is on its way": (MAIN, (init(), START, START, *[FROM_AGENT] * 4)),
    "a message in pieces": (
        MAIN,
        (
            init(),
            START,
            (CLIENT, 107, text(2000, 2100)),
            (CLIENT, 107, bytes(2048)),
            (CLIENT, 107, bytes(52)),
            FROM_CLIENT,
        ),
    ),
    "the agent comes back": (
        MAIN,
        (
            *(init(), START, *[FROM_CLIENT] * 9, GONE, FROM_CLIENT, BACK, FROM_CLIENT, START),
            *([FROM_CLIENT] * 10),
            *(FROM_AGENT, announced(10), announced(10)),
        ),
    ),
    "an agent that comes later": (MAIN, (init(connected=0), BACK, START, FROM_CLIENT, FROM_AGENT)),
    "a port": (
        PORT,
        ((SERVER, 201, bytes(9)), (SERVER, 202, b"\0"), (SERVER, 101, b"x"), (CLIENT, 201, b"\2")),
    ),
    "a USB device": (USB, ((SERVER, 101, b"x"), (CLIENT, 101, b"y"))),
}


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize("name", GOOD)
def test_what_is_allowed_is_no_finding(name: str, short: bool) -> None:
    """An implementation that keeps to the contract would be blamed; also with long message headers."""
    channel, sent = GOOD[name]
    verdict = judged(channel, *sent, short=short)
    assert verdict.findings == []
    assert [*verdict.not_judged][-3:] == [*OUT_OF_SIGHT]
    assert sum(verdict.judged.values()) > 1


BAD: dict[str, tuple[int, tuple[Sent, ...], tuple[str, str, int, str, str]]] = {
    "a client without tokens": (
        MAIN,
        (init(), START, *[FROM_CLIENT] * 11),
        ("TOK-2", "client", 13, "no data without a token", "data without a token"),
    ),
    "another window": (
        MAIN,
        (init(tokens=11),),
        ("DEV-2", "server", 1, "a window of 10", "one of 11"),
    ),
    "few tokens at once": (
        MAIN,
        (init(), START, *[FROM_CLIENT] * 4, announced(4)),
        ("TOK-3", "server", 7, "5 tokens or more at once", "4 announced"),
    ),
    "tokens from nowhere": (
        MAIN,
        (init(), START, *[FROM_CLIENT] * 6, announced(7)),
        ("TOK-1", "server", 9, "6 at most, which it took and has not announced", "7 announced"),
    ),
    "more than was granted": (
        MAIN,
        (init(), START, *[FROM_AGENT] * 3),
        ("RD-6", "server", 5, "no more than the client granted", "data beyond that"),
    ),
    "a client that has not started": (
        MAIN,
        (init(), FROM_AGENT),
        ("RD-2", "server", 2, "data to clients that have started", "data before that"),
    ),
    "an agent that is gone": (
        MAIN,
        (init(), START, GONE, FROM_AGENT),
        ("LC-3", "server", 4, "nothing from an agent that is gone", "data of the agent"),
    ),
    "too much at once": (
        MAIN,
        (init(), START, (SERVER, 109, text(2040))),
        ("DEV-2", "server", 3, "2048 bytes at most", "2060 bytes"),
    ),
    "no message of the agent": (
        MAIN,
        (init(), START, (CLIENT, 107, b"what")),
        (
            "DEV-2",
            "client",
            3,
            "the next piece of a message of the agent's protocol",
            "4 bytes that are none",
        ),
    ),
    "a port's unknown event": (
        PORT,
        ((SERVER, 201, bytes(9)), (SERVER, 202, b"\3")),
        ("DEV-1", "server", 2, "an event: opened, closed or break", "03"),
    ),
    "data before the introduction": (
        PORT,
        ((SERVER, 101, b"x"),),
        ("DEV-1", "server", 1, "the port's introduction first", "data or an event before it"),
    ),
    "two introductions": (
        PORT,
        ((SERVER, 201, bytes(9)), (SERVER, 201, bytes(9))),
        ("DEV-1", "server", 2, "one introduction", "another"),
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_allowed_is_found(name: str) -> None:
    """A broken implementation would hold."""
    channel, sent, (rule, party, at, allowed, seen) = BAD[name]
    where = f"10.0.0.1:1000 to 10.0.0.2:5900, message {at}"
    assert judged(channel, *sent).findings == [(rule, party, where, allowed, seen)]


def test_what_cannot_be_judged_is_said() -> None:
    """A session that nobody could read would seem to hold."""
    name = "connection 10.0.0.1:1000 to 10.0.0.2:5900"
    reasons = {
        "it is encrypted (record a session without TLS)": [(CLIENT, b"\x16\x03\x01")],
        "it is not SPICE, or its beginning is missing": [(CLIENT, b"GET /")],
        "the server refused its link with error 7": link(MAIN, error=7),
        "its client authenticates by SASL": [*link(MAIN)[:2], (CLIENT, number(2))],
        "the server refused its ticket": [*link(MAIN)[:3], (SERVER, number(7))],
    }
    for reason, passed in reasons.items():
        verdict = judge_capture(pcap(frames(passed)), "c.pcap")
        text = f"{name}, from some point on or all of it: {reason}"
        assert [*verdict.not_judged] == [text, *OUT_OF_SIGHT]
    moves = judged(MAIN, init(), (SERVER, 1, number(0)), (SERVER, 109, b"anything"))
    assert moves.findings == []
    assert "migrates" in next(iter(moves.not_judged))
    display = judged(2, (SERVER, 101, b""))
    assert "channels of type 2 carry no character device" in next(iter(display.not_judged))
    short = judged(MAIN, (SERVER, 103, b"?"))
    assert next(iter(short.not_judged)) == f"{name}: a message is shorter than its type has it"
