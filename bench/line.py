"""What a message costs on a line: our device, a C program, and what people use instead, side by side in one run.

The figure is processor time of the writer, or reader, a message: what a loaded machine does not blur.
Emptying and filling the other end is outside the clock, so a run needs no second process.
All contenders take turns, several times; a ratio is the median of the ratios to the C program in the same turn.
Above 1 is faster than the C program, which makes one system call a message (two to read one).
The last column is the ratio of the best turns: what is left when other programs disturb least.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from contenders.chart import chart
from contenders.media import Line, open_line
from contenders.readers import READERS, frame
from contenders.writers import WRITERS

import chardev.device

FOLDER: Final = Path(__file__).parent
COMPILED: Final = FOLDER.parent / ".venv-compiled/bin/python"
MEDIA: Final = ("pty", "socket", "pipe")
SIZES: Final = (16, 64, 512, 4096, 65536)
ROUND_BYTES: Final = {"pty": 8192, "socket": 32768, "pipe": 32768}
"""What a round hands over: it fits on the line, so that who writes at once seldom finds it full."""

PIECES: Final = 16
"""In fewer pieces it may not fit, and a library that waits for room would wait for ever: it does not take part."""

ROUNDS: Final = 40
"""Rounds in a turn, or more where a round has few messages: some milliseconds of each contender."""

MESSAGES: Final = 2560
"""At least so many messages in a turn: a program that has just started is slow."""

CALLS: Final = frozenset(
    "write writev sendto sendmsg select pselect6 ioctl epoll_wait epoll_pwait epoll_ctl".split()
)
"""System calls that writers make."""

C_WRITE: Final = "C, one write a message"
C_GATHER: Final = "C, one writev for many"
C_READ: Final = "C, two reads a message"


def messages_in_round(medium: str, size: int) -> int:
    """At most 256, at least one."""
    return max(1, min(256, ROUND_BYTES[medium] // size))


def warm_up(rounds: int) -> int:
    """How many rounds come before those that are measured."""
    return max(1, rounds // 8)


def time_writer(name: str, line: Line, size: int, rounds: int) -> float:
    """Nanoseconds a message."""
    count = messages_in_round(line.medium, size)
    writer = WRITERS[name](line, size)
    spent = 0
    for number in range(-warm_up(rounds), rounds):
        left = count * size
        begin = time.thread_time_ns()
        writer.send(count)
        taken = time.thread_time_ns() - begin
        while writer.pending():
            left -= line.empty()
            begin = time.thread_time_ns()
            writer.go_on()
            taken += time.thread_time_ns() - begin
        while left > 0:
            left -= line.empty()
        spent += taken if number >= 0 else 0
    writer.close()
    return spent / (rounds * count)


def time_reader(name: str, line: Line, size: int, clients: int, rounds: int) -> float:
    """Nanoseconds a message."""
    count = messages_in_round(line.medium, size)
    reader = READERS[name](line, clients)
    data = frame(size) * count
    spent = 0
    for number in range(-warm_up(rounds), rounds):
        reader.grant(count)
        line.fill(data)
        taken = 0
        while len(reader.got[0]) < count:
            begin = time.thread_time_ns()
            reader.go_on()
            taken += time.thread_time_ns() - begin
        for each in reader.got.values():
            if len(each) != count:
                raise SystemExit(f"{name}: {len(each)} messages instead of {count}")
            each.clear()
        spent += taken if number >= 0 else 0
    reader.close()
    return spent / (rounds * count)


def run_elsewhere(command: list[str], line: Line) -> float:
    """A figure that another program finds on this line: its first word is nanoseconds a message."""
    ran = subprocess.run(  # noqa: S603 - our own programs
        command, pass_fds=(line.own, line.peer), capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise SystemExit(f"{command[0]}: {ran.stderr}")
    return float(ran.stdout.split()[0])


class Bench:
    """One run: programs, and figures so far."""

    def __init__(self, program: Path, turns: int) -> None:
        self.program = program
        self.turns = turns
        self.figures: list[dict[str, Any]] = []

    def c(self, mode: str, line: Line, size: int, rounds: int, clients: int = 1) -> float:
        """The C program."""
        count = messages_in_round(line.medium, size)
        arguments = [mode, line.own, line.peer, (rounds + 1) * count, size, count, clients]
        return run_elsewhere([str(self.program), *map(str, arguments)], line) / (rounds * count)

    def compiled(self, kind: str, name: str, line: Line, size: int, rounds: int) -> float:
        """The same script where the device is compiled."""
        arguments = [kind, name, line.medium, line.own, line.peer, size, rounds]
        own = [str(COMPILED), str(FOLDER / "line.py"), "--one", *map(str, arguments)]
        return run_elsewhere(own, line)

    def turn(
        self, kind: str, medium: str, size: int, clients: int, rounds: int
    ) -> Iterator[tuple[str, float]]:
        """Every contender once."""
        modes = {C_WRITE: "write", C_GATHER: "gather"} if kind == "write" else {C_READ: "read"}
        for name, mode in modes.items():
            with open_line(medium, reading=kind == "read") as line:
                yield name, self.c(mode, line, size, rounds, clients)
        names: tuple[str, ...] = tuple(READERS)
        if kind == "write":
            fits = size * PIECES <= ROUND_BYTES[medium]
            names = tuple(
                name
                for name, each in WRITERS.items()
                if medium in each.media and (fits or not each.waits)
            )
        for name in names:
            with open_line(medium, reading=kind == "read") as line:
                if kind == "write":
                    yield name, time_writer(name, line, size, rounds)
                else:
                    yield name, time_reader(name, line, size, clients, rounds)
            if COMPILED.exists() and name.startswith("device") and clients == 1:
                with open_line(medium, reading=kind == "read") as line:
                    yield f"compiled {name}", self.compiled(kind, name, line, size, rounds)

    def measure(self, kind: str, medium: str, size: int, clients: int = 1) -> None:
        """Let all take their turns, and print the medians."""
        yardstick = C_WRITE if kind == "write" else C_READ
        rounds = max(ROUNDS, MESSAGES // messages_in_round(medium, size))
        found: dict[str, list[float]] = {}
        for number in range(self.turns):
            if sys.stderr.isatty():
                print(f"\r{kind} {medium} {size}: {number}/{self.turns} ", end="", file=sys.stderr)
            for name, figure in self.turn(kind, medium, size, clients, rounds):
                found.setdefault(name, []).append(figure)
        many = f", {clients} clients" if clients > 1 else ""
        print(f"\n{kind}, {medium}, {size} bytes{many}")
        for name, figures in found.items():
            ratios = [ours / each for ours, each in zip(found[yardstick], figures, strict=True)]
            row = {
                "kind": kind,
                "medium": medium,
                "size": size,
                "clients": clients,
                "contender": name,
                "us_a_message": round(statistics.median(figures) / 1000, 4),
                "ratio": round(statistics.median(ratios), 2),
                "ratio_of_best": round(min(found[yardstick]) / min(figures), 2),
            }
            self.figures.append(row)
            print(
                f"  {name:<42}{row['us_a_message']:>9.3f} us{row['ratio']:>8.2f}"
                f"{row['ratio_of_best']:>8.2f}",
                flush=True,
            )


def count_system_calls(name: str, size: int) -> float:
    """System calls a message on a pty, found by strace: those of long runs without those of short ones."""
    counts = []
    for rounds in (4, 12):
        with tempfile.NamedTemporaryFile() as output:
            own = [sys.executable, str(FOLDER / "line.py"), "--one", "write", name, "pty"]
            trace = ["strace", "-f", "-c", "-U", "calls,name", "-o", output.name]
            with open_line("pty") as line:
                run_elsewhere([*trace, *own, *map(str, (line.own, line.peer, size, rounds))], line)
            lines = Path(output.name).read_text(encoding="ascii").splitlines()
        rows = [each.split() for each in lines]
        calls = {
            row[1]: int(row[0])
            for row in rows
            if len(row) == len(("calls", "name")) and row[0].isdigit()
        }
        # The clock, and the poll and read that empty the other end, are the benchmark's own.
        counts.append(sum(count for call, count in calls.items() if call in CALLS))
    return (counts[1] - counts[0]) / (8 * messages_in_round("pty", size))


def one(arguments: list[str]) -> None:
    """Measure one contender on descriptors that were inherited, and print nanoseconds a message."""
    kind, name, medium, own, peer, size, rounds = arguments
    line = Line(medium, int(own), int(peer), os.ttyname(int(own)) if medium == "pty" else "")
    if kind == "write":
        print(time_writer(name, line, int(size), int(rounds)))
    else:
        print(time_reader(name, line, int(size), 1, int(rounds)))


def main() -> int:
    """Measure all, print a table; write JSON and a picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--turns", type=int, default=9, help="how often each has its turn")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="BYTES")
    parser.add_argument("--media", nargs="+", default=MEDIA, choices=MEDIA)
    parser.add_argument(
        "--json", type=Path, default=FOLDER / "line.json", metavar="FILE", help="all figures"
    )
    parser.add_argument(
        "--picture",
        type=Path,
        default=FOLDER.parent / "docs/speed.svg",
        metavar="FILE",
        help="those of 16 bytes, drawn",
    )
    parser.add_argument("--one", nargs=7, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.one)
        return 0
    if shutil.which("cc") is None:
        print("bench: there is no C compiler, and so nothing to compare with", file=sys.stderr)
        return 3
    print(f"Python {platform.python_version()}, Linux {platform.release()}, {platform.machine()}")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "line"
        source = FOLDER / "line.c"
        subprocess.run(["cc", "-O2", "-o", str(program), str(source)], check=True)  # noqa: S603, S607
        bench = Bench(program, options.turns)
        for medium in options.media:
            for size in options.sizes:
                bench.measure("write", medium, size)
        for medium in options.media:
            for size in options.sizes:
                if size <= ROUND_BYTES[medium]:
                    bench.measure("read", medium, size)
            bench.measure("read", medium, options.sizes[0], clients=3)
    calls: dict[str, float] = {}
    if shutil.which("strace") and "pty" in options.media:
        print("\nsystem calls a message, pty, 16 bytes")
        for name in WRITERS:
            calls[name] = round(count_system_calls(name, 16), 3)
            print(f"  {name:<42}{calls[name]:>9.3f}", flush=True)
    if bench.figures:
        about = {
            "python": platform.python_version(),
            "device": "compiled" if str(chardev.device.__file__).endswith(".so") else "python",
            "kernel": platform.release(),
        }
        text = json.dumps(about | {"figures": bench.figures, "system_calls": calls}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")
        options.picture.write_text(chart(bench.figures, options.sizes[0]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
