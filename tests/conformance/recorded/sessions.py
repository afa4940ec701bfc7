"""Real sessions over TCP on a loopback, to be captured: of libspice-server in this process, and of QEMU.

``python -m tests.conformance.recorded.sessions library`` or ``... qemu PORT``.
"""

import socket
import struct
import sys
import time
from typing import Final

from chardev_conformance.spice_server import client as wire
from chardev_conformance.spice_server.libspice import load_library
from chardev_conformance.spice_server.stages import STAGES
from chardev_conformance.spice_server.steps import Step
from chardev_conformance.spice_server.world import World, learn_timers
from tests.conformance.spice_server.peers import chunk, clipboard, step

ADDRESS: Final = "127.67.68.69"
"""An address of the loopback that nothing else uses: only these sessions are to be captured."""

Pair = tuple[socket.socket, socket.socket]


def over_tcp() -> Pair:
    """Both ends of a TCP connection."""
    with socket.create_server((ADDRESS, 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    for end in (ours, theirs):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ours, theirs


AGENT: Final[tuple[Step, ...]] = (
    step("start", client="c1", tokens=2),
    *(step("data", client="c1", bytes=clipboard(i)) for i in range(12)),
    step("feed", port="agentA", bytes=chunk(clipboard(1)) + chunk(clipboard(2))),
    step("wakeup", port="agentA"),
    step("tokens", client="c1", tokens=1),
)
"""A client that keeps to its tokens, and so does the server."""

VIOLATION: Final[tuple[Step, ...]] = (
    step("room", port="agentA", bytes=0),
    step("start", client="c1", tokens=2),
    *(step("data", client="c1", bytes=clipboard(i)) for i in range(11)),
)
"""The port takes nothing, and the client sends one message more than it has tokens for."""

PORTS: Final[tuple[Step, ...]] = (
    step("event", port="portA", number=0),
    step("feed", port="portA", bytes="010203"),
    step("wakeup", port="portA"),
    step("data", client="c1port", bytes="0405"),
    step("data", client="c1usb", bytes="06"),
)


def library() -> None:
    """Three sessions with libspice-server."""
    socket.socketpair = over_tcp  # type: ignore[assignment] # whoever asks gets ours
    loaded = load_library()
    timers = learn_timers(loaded)
    for stage, steps in (("agent", AGENT), ("agent", VIOLATION), ("ports", PORTS)):
        world = World(loaded, STAGES[stage], timers)
        for each in steps:
            world.perform(each)


def qemu(port: int) -> None:
    """A client of QEMU's first port: reads what the firmware says, and types more than the line takes at once."""
    dummy = [socket.socket()]

    def connected() -> Pair:
        dummy.append(socket.socket())
        return socket.create_connection(("127.0.0.1", port)), dummy[-1]

    def settle() -> None:
        time.sleep(0.3)

    socket.socketpair = connected  # type: ignore[assignment] # whoever asks gets ours
    main = wire.link(lambda _: None, settle)
    settle()
    first = main.receive()[0]
    (session,) = struct.unpack_from("<I", first.body)
    main.send(wire.C_MAIN_ATTACH_CHANNELS)
    settle()
    channel = wire.link(lambda _: None, settle, kind=wire.PORT, connection=session)
    for _ in range(3):
        settle()
        channel.receive()
        channel.send(wire.C_VMC_DATA, b"x" * 40)
    settle()


if __name__ == "__main__":
    if sys.argv[1] == "qemu":
        qemu(int(sys.argv[2]))
    else:
        library()
