"""The command `chardev serve`: a process of its own, over ptys, unix sockets and loopback."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from chardev.ports import DescriptorPort, open_pty_pair
from chardev.serve import Address, check_reach, main, parse_address

if TYPE_CHECKING:
    from collections.abc import Iterator

MEBIBYTES: Final = int(os.environ.get("CHARDEV_SERVE_MIB", "1024")) // 4
"""How much each of four takes in the long test: the line and three clients; `make faults` asks for more."""

CONNECTIONS: Final = int(os.environ.get("CHARDEV_SERVE_CONNECTIONS", "1000"))


class Server:
    """A running command, the far side of its line, and where it listens."""

    def __init__(self, line: DescriptorPort, path: str, *arguments: str) -> None:
        self.line = line
        self.process = subprocess.Popen(
            [sys.executable, "-m", "chardev.serve", path, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self.begin = self.process.stderr.readline()

    @property
    def places(self) -> list[str]:
        """Its addresses, as it says."""
        return re.findall(r"(?:unix|tcp):\S+", self.begin)

    def connect(self, number: int = 0) -> socket.socket:
        """Connect to one of them."""
        kind, _, rest = self.places[number].partition(":")
        if kind == "unix":
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(rest)
        else:
            host, _, port = rest.rpartition(":")
            connection = socket.create_connection((host.strip("[]"), int(port)))
        connection.settimeout(60)
        return connection

    def says(self, data: bytes) -> None:
        """The far side of the line says something."""
        view = memoryview(data)
        while view:
            select.select([], [self.line], [], 20)
            view = view[max(self.line.write([view[:65536]]), 0) :]

    def hears(self, size: int) -> bytes:
        """What the far side of the line hears: so many bytes."""
        data = bytearray()
        while len(data) < size:
            assert select.select([self.line], [], [], 20)[0], "the line is quiet"
            data += self.line.read(size - len(data))
        return bytes(data)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Stop it; returns its exit status and what it printed."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=20)
        return self.process.returncode, output, errors


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[Server]:
    """A command on a pty."""
    pytest.importorskip(
        "serialx", reason="install it with: python -m pip install 'chardev[serial]'"
    )
    master, slave = open_pty_pair()
    with master:
        server = Server(master, slave.name, *arguments)
        slave.close()
        try:
            yield server
        finally:
            server.stop()


def has_ipv6() -> bool:
    """Whether this machine has an IPv6 loopback address; some containers have none."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


def received(connection: socket.socket, size: int) -> bytes:
    """Exactly so many bytes."""
    data = bytearray()
    while len(data) < size:
        more = connection.recv(size - len(data))
        assert more, "the connection was closed"
        data += more
    return bytes(data)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda each: each.name)
def test_clients_of_all_kinds_share_a_line(tmp_path: Path, number: int) -> None:
    """A client by one kind of address would be left out, or stopping leave something behind."""
    path = tmp_path / "line"
    other = "tcp:[::1]:0" if has_ipv6() else "tcp:localhost:0"
    with serving("--listen", f"unix:{path}", "--listen", "tcp:0", "--listen", other) as server:
        assert path.stat().st_mode & 0o777 == 0o600
        clients = [server.connect(each) for each in range(3)]
        for client in clients:
            client.sendall(b"hello ")
        assert server.hears(18) == b"hello " * 3
        server.says(b"welcome\n")
        assert [received(client, 8) for client in clients] == [b"welcome\n"] * 3
        status, output, errors = server.stop(number)
        assert (status, output) == (0, "")
        assert errors == (
            "chardev serve: 3 clients, 0 cut off, 0 refused; "
            "8 bytes from the line, 18 to it, 0 not delivered\n"
        )
        assert [client.recv(1) for client in clients] == [b""] * 3
        assert not path.exists()
        for client in clients:
            client.close()


def test_a_lot_both_ways_with_checksums(tmp_path: Path) -> None:
    """Somewhere in a long transfer a byte would be lost, doubled or swapped (WR-1)."""
    size = MEBIBYTES << 20
    block = os.urandom(1 << 20)
    # Nobody is cut off, whatever else this machine does: that has its own tests.
    with serving(
        "--listen", f"unix:{tmp_path}/line", "--backlog", f"{min(MEBIBYTES, 1024)}M"
    ) as server:
        writer, readers = server.connect(), [server.connect(), server.connect()]
        sums: dict[str, str] = {}

        def send() -> None:
            for number in range(MEBIBYTES):
                writer.sendall(number.to_bytes(8, "little") + block[8:])

        def listen(name: str, connection: socket.socket) -> None:
            digest = hashlib.blake2b()
            left = size
            while left:
                data = connection.recv(min(left, 1 << 18))
                assert data, "cut off"
                digest.update(data)
                left -= len(data)
            sums[name] = digest.hexdigest()

        def say() -> None:
            for number in range(MEBIBYTES):
                server.says(number.to_bytes(8, "little") + block[8:])

        threads = [
            threading.Thread(target=send),
            threading.Thread(target=say),
            *(
                threading.Thread(target=listen, args=(f"reader {number}", reader))
                for number, reader in enumerate(readers)
            ),
            # The writer hears the line as well, or it would be cut off.
            threading.Thread(target=listen, args=("writer", writer)),
        ]
        for thread in threads:
            thread.start()
        digest = hashlib.blake2b()
        left = size
        while left:
            select.select([server.line], [], [], 20)
            data = server.line.read(min(left, 1 << 16))
            digest.update(data)
            left -= len(data)
        sums["line"] = digest.hexdigest()
        for thread in threads:
            thread.join(60)
        expected = hashlib.blake2b()
        for number in range(MEBIBYTES):
            expected.update(number.to_bytes(8, "little") + block[8:])
        names = ("line", "reader 0", "reader 1", "writer")
        assert sums == dict.fromkeys(names, expected.hexdigest())
        for connection in (writer, *readers):
            connection.close()


@pytest.mark.parametrize("place", ["unix", "tcp"])
def test_a_thousand_come_and_go(tmp_path: Path, place: str) -> None:
    """Every client that leaves would leave a descriptor behind, or a piece of its last word."""
    address = f"unix:{tmp_path}/line" if place == "unix" else "tcp:0"
    with serving("--listen", address, "--stats", "json", "--clients", "2000") as server:
        stays = server.connect()
        descriptors = Path(f"/proc/{server.process.pid}/fd")
        server.says(b"x")
        assert stays.recv(1) == b"x"
        before = len(list(descriptors.iterdir()))
        heard: list[bytes] = []
        hearing = threading.Thread(target=lambda: heard.append(server.hears(CONNECTIONS)))
        hearing.start()
        for _ in range(CONNECTIONS):
            with server.connect() as client:
                client.sendall(b"y")
        hearing.join(60)
        assert heard == [b"y" * CONNECTIONS]
        end = time.monotonic() + 10
        while len(list(descriptors.iterdir())) > before:
            assert time.monotonic() < end, "descriptors are left"
            time.sleep(0.05)
        server.says(b"z")
        assert stays.recv(1) == b"z"
        stays.close()
        status, output, errors = server.stop()
        assert status == 0
        assert f"{CONNECTIONS + 1} clients, 0 cut off, 0 refused" in errors
        for line in output.splitlines():
            assert json.loads(line)["cut_off"] == 0


def test_statistics_for_programs_and_for_people(tmp_path: Path) -> None:
    """Nobody could see who is connected or whether the line keeps up."""
    with serving("--listen", f"unix:{tmp_path}/line", "--stats", "json") as server:
        client = server.connect()
        client.sendall(b"abc")
        server.hears(3)
        assert server.process.stdout is not None
        statistics: dict[str, Any] = json.loads(server.process.stdout.readline())
        assert 1 <= statistics.pop("seconds") < 3
        assert statistics == {
            "clients": 1,
            "accepted": 1,
            "refused": 0,
            "cut_off": 0,
            "line_read": 0,
            "line_written": 3,
            "sent": 0,
            "received": 3,
            "pending": 0,
            "backlog": 0,
        }
        client.close()
    with serving("--listen", f"unix:{tmp_path}/line", "--stats") as server:
        assert server.process.stdout is not None
        line = server.process.stdout.readline()
        assert re.fullmatch(
            r" +1\.\d s  clients 0  from line 0 B/s  to line 0 B/s  "
            r"waiting for line 0 B  for clients 0 B  cut off 0\n",
            line,
        )


def test_who_reads_the_statistics_may_leave(tmp_path: Path) -> None:
    """`chardev serve --stats | head -1` would cut all clients off."""
    with serving("--listen", f"unix:{tmp_path}/line", "--stats") as server:
        client = server.connect()
        assert server.process.stdout is not None
        server.process.stdout.close()
        time.sleep(2.5)
        client.sendall(b"still here")
        assert server.hears(10) == b"still here"
        client.close()
        server.process.stdout = None
        assert server.stop()[0] == 0


def test_a_line_that_hangs_up_ends_the_command(tmp_path: Path) -> None:
    """Clients would talk to an adapter that is unplugged (WR-8)."""
    with serving("--listen", f"unix:{tmp_path}/line") as server:
        client = server.connect()
        name = server.begin.split()[3]
        server.line.close()
        server.process.wait(10)
        status, _, errors = server.stop()
        assert status == 3
        assert errors.splitlines()[1:] == [
            f"chardev serve: {name} hung up; plug it in, or start its other side, and try again"
        ]
        assert client.recv(1) == b""
        client.close()
    assert not (tmp_path / "line").exists()


def test_the_client_of_the_documentation(tmp_path: Path) -> None:
    """The first thing that a reader tries would not work."""
    example = Path(__file__).parents[2] / "docs/examples/ask.py"
    with serving("--listen", f"unix:{tmp_path}/line", "--lines") as server:
        command = [sys.executable, str(example), f"{tmp_path}/line", "*IDN?"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as asking:
            assert server.hears(6) == b"*IDN?\n"
            server.says(b"ACME,1\r\n")
            assert asking.communicate(timeout=20)[0] == b"ACME,1\n"


def test_a_unix_socket_is_a_line_too(tmp_path: Path) -> None:
    """A virtual machine's serial line, which is a socket, could not be shared."""
    with socket.socket(socket.AF_UNIX) as machine:
        machine.bind(f"{tmp_path}/machine")
        machine.listen()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "chardev.serve", f"{tmp_path}/machine"),
                *("--listen", f"unix:{tmp_path}/line"),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        console, _ = machine.accept()
        with console, process:
            assert process.stderr is not None
            process.stderr.readline()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(f"{tmp_path}/line")
                client.sendall(b"root\n")
                assert console.recv(100) == b"root\n"
                console.sendall(b"# ")
                assert client.recv(100) == b"# "
            process.terminate()
            assert process.wait(10) == 0


def test_a_socket_left_behind_is_replaced_and_one_in_use_is_not(tmp_path: Path) -> None:
    """After a crash the command could not start again, or it would take another one's place."""
    path = tmp_path / "line"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    with serving("--listen", f"unix:{path}") as server:
        client = server.connect()
        client.sendall(b"x")
        assert server.hears(1) == b"x"
        with serving("--listen", f"unix:{path}") as second:
            assert second.begin == (
                f"chardev serve: unix:{path} is in use; "
                "stop what listens there, or give another path\n"
            )
            assert second.process.wait(10) == 3
        assert path.exists()
        client.close()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["p"], 2, "the following arguments are required: --listen (see chardev serve --help)"),
        (
            ["p", "--listen", "localhost"],
            2,
            (
                "argument --listen: 'localhost' is no address; "
                "give unix:PATH, tcp:HOST:PORT or tcp:PORT (see chardev serve --help)"
            ),
        ),
        (
            ["p", "--listen", "tcp:70000"],
            2,
            (
                "argument --listen: 'tcp:70000' is no address; "
                "give unix:PATH, tcp:HOST:PORT or tcp:PORT (see chardev serve --help)"
            ),
        ),
        (
            ["p", "--listen", "tcp:0.0.0.0:0"],
            2,
            (
                "tcp:0.0.0.0:0 can be reached from other hosts; "
                "give a loopback address such as 127.0.0.1, or add --allow-remote"
            ),
        ),
        (
            ["p", "--listen", "tcp:0", "--backlog", "0k"],
            2,
            (
                "argument --backlog: '0k' is no size; "
                "give bytes, or a number with k or M, from 1 to 1024M (see chardev serve --help)"
            ),
        ),
        (
            ["p", "--listen", "tcp:0", "--clients", "-1"],
            2,
            "argument --clients: '-1' is no number from 1 to 10000000 (see chardev serve --help)",
        ),
        (
            ["{folder}/nothing", "--listen", "tcp:0"],
            3,
            "open_port: {folder}/nothing does not exist; plug it in, or give another path",
        ),
        (
            ["{folder}/file", "--listen", "tcp:0"],
            3,
            "open_character_device: {folder}/file is not a character device; give the path of one",
        ),
        (
            ["{folder}/socket", "--listen", "tcp:0", "--baudrate", "9600"],
            3,
            (
                "open_port: {folder}/socket is not a tty, so it has no baudrate; "
                "leave line settings out"
            ),
        ),
        (
            ["{folder}/socket", "--listen", "unix:{folder}/file"],
            3,
            "unix:{folder}/file: there is a file that is no socket; give another path",
        ),
        (
            ["{folder}/socket", "--listen", "unix:{folder}/no/line"],
            3,
            (
                "cannot listen at unix:{folder}/no/line: No such file or directory; "
                "give another address"
            ),
        ),
        (
            ["{folder}/socket", "--listen", "unix:{folder}/" + "x" * 200],
            3,
            "unix:{folder}/" + "x" * 200 + ": AF_UNIX path too long; give a shorter path",
        ),
        (
            ["{folder}/socket", "--listen", "tcp:{port}"],
            3,
            "tcp:127.0.0.1:{port} is in use; stop what listens there, or give another address",
        ),
    ],
    ids=[
        *("no-address", "host-alone", "port", "remote", "size", "count", "missing", "file"),
        *("settings", "socket-is-file", "folder", "long", "in-use"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    message: str,
) -> None:
    """A wrong word would end in a traceback, or do something else than asked."""
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as line, socket.socket() as taken:
        line.bind(f"{tmp_path}/socket")
        line.listen()
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        values = {"folder": str(tmp_path), "port": taken.getsockname()[1]}
        found: object
        try:
            found = main([each.format(**values) for each in arguments])
        except SystemExit as error:
            found = error.code
    captured = capsys.readouterr()
    assert captured.err == f"chardev serve: {message.format(**values)}\n"
    assert (found, captured.out) == (status, "")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:a:b", Address(path="a:b")),
        ("tcp:7000", Address(host="127.0.0.1", port=7000)),
        ("tcp:localhost:0", Address(host="localhost", port=0)),
        ("tcp:[::1]:7000", Address(host="::1", port=7000)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    """An address would mean something else than it says."""
    assert parse_address(text) == address
    check_reach(address, allow_remote=False)


def test_other_hosts_only_on_request() -> None:
    """A line would be open to the whole network by mistake."""
    check_reach(Address(host="0.0.0.0", port=0), allow_remote=True)  # noqa: S104 - what is tested
