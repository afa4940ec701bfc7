"""The lines to measure on: pseudo-terminal, socket pair, pipe."""

import os
import select
import socket
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Line:
    """One line: the end that is measured, and its peer."""

    medium: str
    own: int
    peer: int
    path: str = ""
    """What others can open; of a pseudo-terminal only."""

    def empty(self) -> int:
        """Read what the peer has got; how many bytes it was. Waits a little for the first of them."""
        done = 0
        while _readable(self.peer, 0 if done else 20):
            done += len(os.read(self.peer, 65536))
        return done

    def fill(self, data: bytes) -> None:
        """Let the peer write, and wait until something has arrived."""
        while data:
            data = data[os.write(self.peer, data) :]
        _readable(self.own, 1000)


def _readable(descriptor: int, milliseconds: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(milliseconds))


@contextmanager
def open_line(medium: str, *, reading: bool = False) -> Iterator[Line]:
    """A line whose ends do not block; of a pipe, `reading` says which end is measured."""
    path = ""
    if medium == "pty":
        peer, own = os.openpty()
        tty.setraw(own)
        path = os.ttyname(own)
    elif medium == "socket":
        own, peer = (end.detach() for end in socket.socketpair())
    else:
        ends = os.pipe()
        own, peer = ends if reading else reversed(ends)
    for descriptor in (own, peer):
        os.set_blocking(descriptor, False)
    try:
        yield Line(medium, own, peer, path)
    finally:
        os.close(own)
        os.close(peer)
