"""``python -m tests.lab``: the check and the port tests on real serial drivers, in a guest that QEMU emulates.

One line a device, with the driver as the kernel names it.
Exit status 0 when all hold, 1 when something failed (the log says where), 2 for wrong use, 3 when there is no guest
or the run was interrupted.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom
from typing import Any, Final

from tests.lab.kernel import LabError, check_tools, kernel_image
from tests.lab.machine import UNBOUNDED, WIRES, command
from tests.lab.wires import End, Monitor, Wire

PROJECT: Final = Path(__file__).parents[2]
FOLDER: Final = PROJECT / ".lab"
"""Kernel and logs; git ignores it."""

SECONDS: Final = 420
"""How long the guest may run before it counts as stuck; some four times what it needs on two idle cores."""

BOOT_SECONDS: Final = 240
"""How long it may take to say its first word."""

PTY_CALLS: Final = 1000
"""Calls of the check at QEMU's pty: the host is faster than its guest."""


class Lab:
    """The host's side: obeys the guest, and prints what it reports."""

    def __init__(self, sockets: Path) -> None:
        self.sockets = sockets
        self.monitor = Monitor()
        self.ends = {
            name: End(sockets / name, unbounded=name in UNBOUNDED)
            for pair in WIRES.values()
            for name in pair
        }
        self.wires = {
            name: Wire(self.ends[one], self.ends[two]) for name, (one, two) in WIRES.items()
        }
        self.failed: list[str] = []
        self.up = asyncio.Event()
        self.done = False
        self.tasks: list[asyncio.Task[None]] = []

    async def listen(self) -> None:
        """Be there before QEMU is."""
        await self.monitor.listen(self.sockets / "monitor")
        await asyncio.start_unix_server(self._accept, self.sockets / "control")
        for end in self.ends.values():
            await end.plug()
        self.tasks += [asyncio.create_task(wire.carry()) for wire in self.wires.values()]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not left to the server, whose tasks are never cancelled without a traceback.
        self.tasks.append(asyncio.create_task(self._obey(reader, writer)))

    async def _obey(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the guest's questions, one after the other; the last one says that it is done."""
        while line := await reader.readline():
            question = json.loads(line)
            try:
                answer = await self._do(**question)
            except Exception as error:  # noqa: BLE001 - the guest's check fails by it, and says so
                answer = {"error": f"{type(error).__name__}: {error}"}
            writer.write(json.dumps(answer).encode() + b"\n")

    async def _do(self, do: str, what: str = "", **details: Any) -> dict[str, Any]:
        match do:
            case "hello":
                self.up.set()
            case "say":
                print(what, flush=True)
            case "fail":
                self.failed.append(what)
                print(f"FAILED  {what}: {details['told']}", flush=True)
            case "done":
                self.done = True
            case "stall":
                self.wires[what].flowing.clear()
            case "flow":
                self.wires[what].flowing.set()
            case "pull":
                await self.ends[what].pull()
            case "plug":
                await self.ends[what].plug()
                await self.ends[what].connected()
            case "break":
                await self.monitor.ask("chardev-send-break", id=what)
            case "check_pty":
                return {"saw": await self._check_pty()}
            case _:
                raise ValueError(f"{do}: not among the things that the lab does")
        return {}

    async def _check_pty(self) -> str:
        """Spec and device in lockstep here, over QEMU's pty, which the guest echoes."""
        devices = await self.monitor.ask("query-chardev")
        (path,) = (each["filename"][4:] for each in devices if each["label"] == "pty")
        command = f"check --port {path} --loopback --steps {PTY_CALLS} --json -".split()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "chardev_conformance", *command),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            output, complaints = await process.communicate()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if process.returncode:
            raise RuntimeError(f"chardev {' '.join(command)}: {(complaints or output).decode()}")
        report = json.loads(output)
        line = report["line"]
        return (
            f"driver {line['driver']}, {path} of the host:\n    {report['calls']} calls, "
            f"{line['written']:,} bytes written, {line['read']:,} read"
        )


async def run(image: Path, only: str, seed: int, log: Path) -> int:
    """Boot the guest and be its host until it ends; the exit status."""
    guest = (
        f"cd {shlex.quote(str(PROJECT))} && export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 && "
        f"exec {shlex.quote(sys.executable)} -m tests.lab.guest {seed} {shlex.quote(only)}"
    )
    with tempfile.TemporaryDirectory(prefix="chardev-lab-") as sockets, log.open("wb") as output:
        lab = Lab(Path(sockets))
        await lab.listen()
        begin = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *command(image, Path(sockets), guest),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # QEMU is a child of this process: both are stopped together, as a group of their own.
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(BOOT_SECONDS):
                booted = asyncio.create_task(lab.up.wait())
                ended = asyncio.create_task(process.wait())
                await asyncio.wait((booted, ended), return_when=asyncio.FIRST_COMPLETED)
            print(f"guest up after {time.monotonic() - begin:.0f} s: {image.name}", flush=True)
            async with asyncio.timeout(SECONDS):
                await ended
        except TimeoutError:
            lab.failed.append("")
            print(f"the guest was stopped after {time.monotonic() - begin:.0f} s")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            for task in lab.tasks:
                task.cancel()
            await asyncio.wait(lab.tasks)
            await process.wait()
        seconds = time.monotonic() - begin
    if not lab.done and not lab.failed:
        lab.failed.append("")
        print("the guest ended before its checks were done")
    if lab.failed:
        print(f"lab: {len(lab.failed)} failed in {seconds:.0f} s; the guest's log: {log}")
        print(f"again: make lab ARGS='--seed {seed} --only \"{only or lab.failed[0]}\"'")
        return 1
    print(f"lab: all hold, {seconds:.0f} s, seed {seed}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="the devices whose name contains this"
    )
    parser.add_argument(
        "--seed", type=int, default=SystemRandom().randrange(2**32), help="of a run that printed it"
    )
    options = parser.parse_args(arguments)
    try:
        check_tools()
        image = kernel_image(FOLDER)
        return asyncio.run(run(image, options.only, options.seed, FOLDER / "guest.log"))
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())
