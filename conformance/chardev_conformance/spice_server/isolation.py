"""Each scenario in a process of its own, copied from one in which everything is linked already.

Theory of operation
===================
A child process loads the library and makes the world of each stage when it is first asked for; for a scenario it forks.
The copy takes sockets of its own (`World.renew_sockets`), performs the steps, and leaves a line about each in memory
that it shares with the child.
So whatever becomes of the copy (abort, signal, endless loop), the child knows how far it came, how it ended and what it
said last; the next copy starts from the same state.

The C library's own checks of the heap are switched on where they are installed: a use after free is an abort more often
then, instead of nothing.
"""

import gc
import json
import os
import resource
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO, Any, Final, Self

from chardev_conformance.spice_server.crash import CrashPlaces
from chardev_conformance.spice_server.libspice import INSTALL, TooBusyError, load_library
from chardev_conformance.spice_server.observation import Observation, observation_from_json
from chardev_conformance.spice_server.stages import STAGES
from chardev_conformance.spice_server.steps import Scenario, step_from_json, to_json
from chardev_conformance.target import TargetError

ADDRESS_SPACE: Final = 2 << 30
"""How much memory a scenario may ask for, in bytes: one that asks for gigabytes is to be noticed, not to be served."""

IN_FLIGHT: Final = 8
"""Scenarios handed to the child ahead of their results, so that both processors have something to do."""

_HEAP_CHECKS: Final = "libc_malloc_debug.so.0"
_TUNABLES: Final = "glibc.malloc.check=3:glibc.malloc.perturb=90"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a scenario."""

    observations: list[Observation]
    """One for each step that was performed."""
    end: str
    """``""`` if all was performed, else how it ended.

    The name of a signal, ``exit N``, ``busy``, ``used N s of processor time``, or ``waited for N s``.
    """
    said: list[str]
    """What the library wrote to standard error, without times and numbers of processes."""

    @property
    def died(self) -> bool:
        """Whether the process that had the server came to an end of its own."""
        return self.end != ""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a scenario, which takes milliseconds, may take before it hangs."""

    processor_seconds: float = 3.0
    """Of processor time, which is the same on a loaded machine."""
    waited_seconds: float = 60.0
    """In all, since who sleeps for ever uses no processor time; so much that no load comes near it."""

    def impose(self) -> None:
        """Set them to this process, which ends with a signal for each."""
        signal.setitimer(signal.ITIMER_PROF, self.processor_seconds)
        signal.setitimer(signal.ITIMER_REAL, self.waited_seconds)

    def end(self, status: int) -> str:
        """How a process ended that they were imposed on; `status` is what waiting for it gave."""
        if not os.WIFSIGNALED(status):
            return f"exit {os.WEXITSTATUS(status)}"
        match signal.Signals(os.WTERMSIG(status)):
            case signal.SIGPROF:
                return f"used {self.processor_seconds:g} s of processor time"
            case signal.SIGALRM:
                return f"waited for {self.waited_seconds:g} s"
            case other:
                return other.name


LIMITS: Final = Limits()


class Isolated:
    """The child process; a context manager."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        environment = dict(os.environ)
        if any((Path(folder) / _HEAP_CHECKS).exists() for folder in _library_folders()):
            environment |= {"LD_PRELOAD": _HEAP_CHECKS, "GLIBC_TUNABLES": _TUNABLES}
        self._child = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", __name__, *map(str, astuple(self._limits))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        try:
            self._check_alive(self._read())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        child = self._child
        if child is not None:
            child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout):
                if stream is not None:
                    stream.close()

    def _read(self) -> dict[str, Any]:
        assert self._child is not None
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise TargetError(
                f"spice-server: the process that loads the library has ended; is it whole? {INSTALL}"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _check_alive(self, answer: dict[str, Any]) -> None:
        if "error" in answer:
            raise TargetError(answer["error"])

    def run(self, scenario: Scenario) -> Outcome:
        """Perform one scenario."""
        [(_, outcome)] = self.run_all([scenario])
        return outcome

    def run_all(self, scenarios: Iterable[Scenario]) -> Iterator[tuple[Scenario, Outcome]]:
        """Perform scenarios, some of them ahead of the results that are given out."""
        waiting: deque[Scenario] = deque()
        for scenario in scenarios:
            self._send(scenario)
            waiting.append(scenario)
            if len(waiting) > IN_FLIGHT:
                yield waiting.popleft(), self._result()
        while waiting:
            yield waiting.popleft(), self._result()

    def _send(self, scenario: Scenario) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        request = {"stage": scenario.stage, "steps": [to_json(step) for step in scenario.steps]}
        self._child.stdin.write(json.dumps(request) + "\n")
        self._child.stdin.flush()

    def _result(self) -> Outcome:
        answer = self._read()
        self._check_alive(answer)
        observations = [observation_from_json(each) for each in answer["observations"]]
        return Outcome(observations, answer["end"], answer["said"])


def _library_folders() -> list[str]:
    return [
        "/lib/x86_64-linux-gnu",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib64",
        "/lib64",
        "/usr/lib",
    ]


class _Maker:
    """The child's side: worlds by stage, and a copy of one for each scenario."""

    def __init__(self, limits: Limits) -> None:
        from chardev_conformance.spice_server.world import World, learn_timers

        self._limits = limits
        library = load_library()
        self._places = CrashPlaces()
        timers = learn_timers(library)
        self._worlds: dict[str, World] = {}

        def make(name: str) -> World:
            return World(library, STAGES[name], timers)

        self._make = make

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["stage"]
        if name not in self._worlds:
            self._worlds[name] = self._make(name)
            gc.collect()
            gc.freeze()
        with _memory_file("seen") as seen, _memory_file("said") as said:
            child = os.fork()
            if child == 0:
                self._be_copy(name, request["steps"], seen, said)
            _, status = os.waitpid(child, 0)
            lines = _lines(seen)
            end = lines.pop() if lines and isinstance(lines[-1], str) else self._limits.end(status)
            return {"observations": lines, "end": end, "said": _cleaned(said)}

    def _be_copy(self, name: str, steps: list[Any], seen: IO[bytes], said: IO[bytes]) -> None:
        """The rest of the copy's life."""
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        self._limits.impose()
        os.dup2(said.fileno(), 2)
        self._places.report()
        world = self._worlds[name]
        world.renew_sockets()
        end = ""
        for step in steps:
            try:
                observation = world.perform(step_from_json(step, "step"))
            except TooBusyError:
                end = "busy"
                break
            os.write(seen.fileno(), json.dumps(observation.to_json()).encode() + b"\n")
        os.write(seen.fileno(), json.dumps(end).encode() + b"\n")
        os._exit(0)


def _memory_file(name: str) -> IO[bytes]:
    return os.fdopen(os.memfd_create(name), "r+b", buffering=0)


def _lines(file: IO[bytes]) -> list[Any]:
    file.seek(0)
    return [json.loads(line) for line in file.read().splitlines()]


def _cleaned(said: IO[bytes]) -> list[str]:
    """The lines without what differs from run to run: the process, the time, addresses."""
    import re

    said.seek(0)
    lines = said.read(1 << 20).decode(errors="replace").splitlines()
    cleaned = []
    for line in lines:
        text = re.sub(r"^\(process:\d+\): ", "", line)
        text = re.sub(r"\d\d:\d\d:\d\d\.\d+: ", "", text)
        text = re.sub(r"0x[0-9a-f]+", "0x...", text)
        if text.strip():
            cleaned.append(text)
    return cleaned[-40:]


def main() -> None:
    """Be the child: a scenario a line on standard input, its outcome a line on standard output."""
    answers = os.fdopen(os.dup(1), "w")
    # Whatever a library prints must not come between the answers.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    keep = os.dup(2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    try:
        maker = _Maker(Limits(*map(float, sys.argv[1:])))
    except (TargetError, ImportError) as error:
        answer({"error": str(error)})
        return
    answer({})
    for line in sys.stdin:
        answer(maker.run(json.loads(line)))
    os.close(keep)


if __name__ == "__main__":
    main()
