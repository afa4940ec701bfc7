"""The command `chardev serve`: share one serial line, or virtio port, among several clients.

Also ``python -m chardev.serve``.
Exit status: 0 stopped by SIGINT or SIGTERM, 2 wrong use, 3 could not run, or the line hung up.

Theory of operation
-------------------
Everything that can be refused is refused before the line is touched: addresses first, then the
line, then the sockets.
A unix socket is made with mode 0600, so only its owner can connect; a TCP address that other hosts
can reach has to be asked for twice, because whoever reaches it owns the line.
`sharing` does the work; it is imported when the command runs, not when it is offered.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import ipaddress
import json
import math
import os
import signal
import socket
import stat
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .ports import DescriptorPort
    from .sharing import SharedLine, Statistics

__all__ = ["add_arguments", "main", "run"]

STOPPED: Final = 0
WRONG_USE: Final = 2
COULD_NOT_RUN: Final = 3

GRACE_SECONDS: Final = 1.0
"""How long what is under way may take when the command is stopped."""

STATS_SECONDS: Final = 1.0

BACKLOG_LISTEN: Final = 1024
"""How many connections may wait to be accepted; one too many by TCP waits for a whole second."""

COUNT_MAX: Final = 10_000_000
"""More than any line has bits a second, or any host clients."""

PARITIES: Final = {"none": "N", "even": "E", "odd": "O", "mark": "M", "space": "S"}


class ServeError(Exception):
    """Why the command cannot run; one line that says what, where, and what to do."""

    def __init__(self, message: str, status: int = COULD_NOT_RUN) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: a path, or a host and a port."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp:{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read ``unix:PATH``, ``tcp:HOST:PORT`` or ``tcp:PORT``, which is of this host alone.

    Raises:
        argparse.ArgumentTypeError: it is none of these.
    """
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest:
        return Address(path=rest)
    host, _, port = rest.rpartition(":")
    if kind == "tcp" and port.isascii() and port.isdigit() and int(port) < 1 << 16:
        return Address(host=host.removeprefix("[").removesuffix("]") or "127.0.0.1", port=int(port))
    raise argparse.ArgumentTypeError(
        f"{text!r} is no address; give unix:PATH, tcp:HOST:PORT or tcp:PORT"
    )


def _size(text: str) -> int:
    number, factor = text, 1
    if text[-1:] in {"k", "M"}:
        number, factor = text[:-1], 1024 if text[-1] == "k" else 1024 * 1024
    if not (number.isascii() and number.isdigit() and 0 < int(number) * factor <= 1 << 30):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size; give bytes, or a number with k or M, from 1 to 1024M"
        )
    return int(number) * factor


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= COUNT_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {COUNT_MAX}")
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser, and `run` as what runs it."""
    parser.description = (
        "Shares one line among several clients. A connection carries plain bytes: all clients hear the line, and what "
        "they send goes to the line, piece by piece. Exit status: 0 stopped by a signal, 2 wrong use, 3 could not run "
        "or the line hung up."
    )
    add = parser.add_argument
    add(
        "port",
        metavar="PORT",
        help="the line: a tty, a virtio port, or a unix socket such as QEMU's",
    )
    add(
        "--listen",
        metavar="ADDRESS",
        required=True,
        action="append",
        type=parse_address,
        help="unix:PATH, tcp:HOST:PORT or tcp:PORT; can be given several times",
    )
    add(
        "--allow-remote",
        action="store_true",
        help="let other hosts connect by TCP: nothing is encrypted, and whoever connects owns the line",
    )
    add(
        "--stats",
        nargs="?",
        const="text",
        choices=("text", "json"),
        help="print one line a second (default: text)",
    )
    add(
        "--backlog",
        type=_size,
        metavar="SIZE",
        help="how much a client that does not read may lag behind before it is cut off, such as 64k (default 4M)",
    )
    add(
        "--lines",
        action="store_true",
        help="let no client break into another one's line: what a client sends waits for the line's end",
    )
    add(
        "--clients",
        type=_count,
        metavar="N",
        help="how many clients there may be at once (default 100)",
    )
    line = parser.add_argument_group("line settings, for ttys")
    line.add_argument("--baudrate", type=_count, metavar="N", help="bits a second (default 115200)")
    line.add_argument("--parity", choices=tuple(PARITIES), help="default none")
    line.add_argument("--stopbits", choices=("1", "1.5", "2"), help="default 1")
    line.add_argument("--bytesize", choices=("5", "6", "7", "8"), help="bits of a byte (default 8)")
    line.add_argument("--rtscts", action="store_true", help="hardware flow control")
    line.add_argument("--xonxoff", action="store_true", help="software flow control")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command until it is stopped; returns its exit status.

    Errors are printed, one line each.
    """
    try:
        for address in options.listen:
            check_reach(address, allow_remote=options.allow_remote)
        asyncio.run(_serve(options))
    except ServeError as error:
        print(f"chardev serve: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        # Before the signal handlers were there.
        return STOPPED
    return STOPPED


def check_reach(address: Address, *, allow_remote: bool) -> None:
    """Refuse an address that other hosts can reach, unless that was asked for.

    Raises:
        ServeError: it is one, or its host is unknown.
    """
    if address.path or allow_remote:
        return
    for _, _, _, _, found in _look_up(address):
        if not ipaddress.ip_address(str(found[0]).partition("%")[0]).is_loopback:
            raise ServeError(
                f"{address} can be reached from other hosts; "
                "give a loopback address such as 127.0.0.1, or add --allow-remote",
                WRONG_USE,
            )


_AddressInfo = tuple[
    socket.AddressFamily, socket.SocketKind, int, str, tuple[str | int | bytes, ...]
]


def _look_up(address: Address) -> list[_AddressInfo]:
    try:
        return list(
            socket.getaddrinfo(
                address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        )
    except OSError as error:
        raise ServeError(
            f"{address}: the host is not known ({error.strerror}); give another one"
        ) from None


def open_listener(address: Address) -> socket.socket:
    """Listen at an address; a unix socket that nobody listens at any more is replaced.

    Raises:
        ServeError: the address is in use, not permitted, or cannot be had.
    """
    return _listen_unix(address) if address.path else _listen_tcp(address)


def _listen_tcp(address: Address) -> socket.socket:
    family, kind, protocol, _, place = _look_up(address)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        # A port that was in use a moment ago is free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(BACKLOG_LISTEN)
    except OSError as error:
        listener.close()
        raise _listen_error(address, error) from None
    return listener


def _listen_unix(address: Address) -> socket.socket:
    _remove_stale(address)
    listener = socket.socket(socket.AF_UNIX)
    # The socket must never be there with other permissions, not even for a moment.
    mask = os.umask(0o177)
    try:
        listener.bind(address.path)
        listener.listen(BACKLOG_LISTEN)
    except OSError as error:
        listener.close()
        raise _listen_error(address, error) from None
    finally:
        os.umask(mask)
    return listener


def _remove_stale(address: Address) -> None:
    """Remove a socket whose server is gone; anything else at its path stays.

    Raises:
        ServeError: there is something else, or somebody listens.
    """
    path = Path(address.path)
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ServeError(f"{address}: there is a file that is no socket; give another path")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(address.path)
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
        return
    except OSError as error:
        raise _listen_error(address, error) from None
    raise ServeError(f"{address} is in use; stop what listens there, or give another path")


def _listen_error(address: Address, error: OSError) -> ServeError:
    if error.errno == errno.EADDRINUSE:
        return ServeError(f"{address} is in use; stop what listens there, or give another address")
    if error.errno is None:
        # Python's own check: the kernel's limit is 107 bytes.
        return ServeError(f"{address}: {error}; give a shorter path")
    return ServeError(f"cannot listen at {address}: {error.strerror}; give another address")


def open_line(options: argparse.Namespace) -> DescriptorPort:
    """Open the line with those settings that were given.

    Raises:
        ServeError: it cannot be opened.
    """
    from .ports import PortError, open_port  # noqa: PLC0415 - see the head

    settings: dict[str, object] = {}
    if options.baudrate is not None:
        settings["baudrate"] = options.baudrate
    if options.parity is not None:
        settings["parity"] = PARITIES[options.parity]
    if options.stopbits is not None:
        settings["stopbits"] = float(options.stopbits)
    if options.bytesize is not None:
        settings["byte_size"] = int(options.bytesize)
    settings |= {name: True for name in ("rtscts", "xonxoff") if getattr(options, name)}
    try:
        return open_port(options.port, **settings)
    except PortError as error:
        raise ServeError(str(error)) from None


async def _serve(options: argparse.Namespace) -> None:
    from .sharing import BACKLOG, CLIENTS_MAX, SharedLine  # noqa: PLC0415 - see the head

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    port = open_line(options)
    with contextlib.ExitStack() as closing:
        closing.callback(port.close)
        listeners = []
        for address in options.listen:
            listener = closing.enter_context(open_listener(address))
            listeners.append(listener)
            if address.path:
                closing.callback(_unlink_own, address.path, _inode(address.path))
        line = SharedLine(
            port,
            backlog=options.backlog or BACKLOG,
            clients_max=options.clients or CLIENTS_MAX,
            whole_lines=options.lines,
        )
        try:
            for listener in listeners:
                line.listen(listener)
            places = " and ".join(map(_place, listeners))
            print(f"chardev serve: sharing {port.name} on {places}", file=sys.stderr, flush=True)
            hung_up = await _wait(line, stop, options.stats)
        finally:
            await line.close(GRACE_SECONDS)
            print(f"chardev serve: {_summary(line.statistics())}", file=sys.stderr)
    if hung_up:
        raise ServeError(
            f"{options.port} hung up; plug it in, or start its other side, and try again"
        )


def _place(listener: socket.socket) -> str:
    """Where a socket really listens: port 0 is any that is free."""
    name = listener.getsockname()
    return str(Address(path=name) if isinstance(name, str) else Address(host=name[0], port=name[1]))


def _inode(path: str) -> int:
    return Path(path).lstat().st_ino


def _unlink_own(path: str, inode: int) -> None:
    """Remove our socket, unless somebody has put another one there."""
    with contextlib.suppress(OSError):
        if _inode(path) == inode:
            Path(path).unlink()


async def _wait(line: SharedLine, stop: asyncio.Event, stats: str | None) -> bool:
    """Print statistics until the command is stopped, or the line hangs up, which is returned."""
    waiting = [asyncio.create_task(event.wait()) for event in (stop, line.ended)]
    reporter = None if stats is None else _Reporter(line, sys.stdout, as_json=stats == "json")
    try:
        while True:
            timeout = None if reporter is None else reporter.seconds_to_next()
            done, _ = await asyncio.wait(
                waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if done:
                return line.ended.is_set() and not stop.is_set()
            if reporter is not None and not reporter.report():
                reporter = None
    finally:
        for task in waiting:
            task.cancel()


class _Reporter:
    """Prints the statistics once a second, however long the printing takes."""

    def __init__(self, line: SharedLine, output: TextIO, *, as_json: bool) -> None:
        self._line = line
        self._output = output
        self._as_json = as_json
        self._begin = self._last = time.monotonic()
        self._next = self._begin + STATS_SECONDS
        self._before = line.statistics()

    def seconds_to_next(self) -> float:
        return max(self._next - time.monotonic(), 0.0)

    def report(self) -> bool:
        """Print a line; false if nobody reads it any more."""
        now = time.monotonic()
        self._next = max(self._next + STATS_SECONDS, now)
        statistics = self._line.statistics()
        if self._as_json:
            text = json.dumps({"seconds": round(now - self._begin, 3)} | asdict(statistics))
        else:
            text = _text(statistics, self._before, now - self._begin, now - self._last)
        self._last, self._before = now, statistics
        try:
            print(text, file=self._output, flush=True)
        except BrokenPipeError:
            # Whoever read this has gone, which is no reason to leave the clients alone.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._output.fileno())
            return False
        return True


def _text(now: Statistics, before: Statistics, seconds: float, elapsed: float) -> str:
    """One line for people: rates in bytes a second since the line before."""
    read = (now.line_read - before.line_read) / elapsed
    written = (now.line_written - before.line_written) / elapsed
    return (
        f"{seconds:8.1f} s  clients {now.clients}  from line {_amount(read)}/s  to line {_amount(written)}/s  "
        f"waiting for line {_amount(now.pending)}  for clients {_amount(now.backlog)}  cut off {now.cut_off}"
    )


def _summary(end: Statistics) -> str:
    """What was done, for the end."""
    return (
        f"{end.accepted} clients, {end.cut_off} cut off, {end.refused} refused; "
        f"{end.line_read} bytes from the line, {end.line_written} to it, {end.pending} not delivered"
    )


def _amount(count: float) -> str:
    if count < 1000:  # noqa: PLR2004 - where three digits end
        return f"{count:.0f} B"
    exponent = min(int(math.log10(count)) // 3, 3)
    return f"{count / 1000**exponent:.1f} {' kMG'[exponent]}B"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    parser = _Parser(prog="chardev serve")
    add_arguments(parser)
    return run(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
