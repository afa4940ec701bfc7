"""An implementation in a process of its own, in any language, as a target: ``stdio:COMMAND``.

Theory of operation
===================
One process serves all scenarios; it is started anew only when it died, or when a scenario ended in the middle of a call
(at a finding) and it cannot abandon that.
Every message of the checker is answered by exactly one line that is not about a timer, so neither side ever has to
guess who speaks next; inside a callback the roles stay the same, one level deeper.

A process that ends or stays silent in a call has broken down in that call: a finding.
One that does so between scenarios, or that talks nonsense, cannot be checked: a `TargetError`.
"""

import os
import re
import select
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from chardev_conformance.adapters.opened import Opened
from chardev_conformance.adapters.protocol import (
    CALLBACK_ARGUMENTS,
    VERSION,
    ProtocolError,
    arguments_to_json,
    decode,
    encode,
    event_from_json,
)
from chardev_conformance.coverage import Statistics
from chardev_conformance.scenario import PARAMETERS
from chardev_conformance.target import (
    BrokenError,
    CallbackError,
    Capabilities,
    Host,
    Marshalled,
    RefusedError,
    TargetError,
    Timers,
)

HELLO_SECONDS: Final = 10.0
"""How long a process may take to start: interpreters, and sanitizers on a busy machine, need a while."""

NO_HELLO: Final = "run it by itself: the first line that it writes must be its hello"
"""What to do about a process that says none."""

LINE_LIMIT: Final = 4 << 20
"""Bytes of a line: tens of times what the longest message of a scenario takes."""

ANSWER_SECONDS: Final = 5.0
"""How long it may take for its next line; whatever a call does, it does it in less than a millisecond."""

SCOUT_SECONDS: Final = 3.0
"""How much longer it may take for a batch of scenarios than for one answer."""

END_SECONDS: Final = 2.0
"""How long it may take to end when its input ends."""

CHUNK: Final = 1 << 16
SHOWN: Final = 200
"""How much of a wrong line is shown."""

STDERR_SHOWN: Final = 2000
"""How much of the end of the standard error output is looked at when the process ends."""

_SANITIZER: Final = re.compile(
    r"(?:ERROR: (?P<tool>\w+Sanitizer): (?P<what>[\w-]+)|runtime error: (?P<undefined>[^\n]+))"
)


_FRAME: Final = re.compile(
    r"^ *#\d+ 0x[0-9a-f]+ in (?P<function>\w+) "
    r"(?!.*(?:/(?:lib\w*san|libffi|libpython)|/python3|/_ctypes))",
    re.MULTILINE,
)
"""A frame of a sanitizer's report that is neither the sanitizer's own nor the interpreter's around the library."""

_MISSING: Final = re.compile(r"^missing: (\w+)$", re.MULTILINE)
"""What a function of a template says that was not filled in."""


class _EndedError(Exception):
    """The process has ended, or said that the implementation has; or stays silent."""

    def __init__(self, symptom: str, message: str) -> None:
        super().__init__(message)
        self.symptom = symptom


@dataclass(frozen=True, slots=True)
class Hello:
    """What a process says of itself in its first line."""

    name: str
    capabilities: Capabilities
    moves_per_call: int | None
    abandons: bool
    reports_leaks: bool
    scouts: bool
    remarks: tuple[str, ...]


@dataclass(slots=True)
class Command:
    """How to start a process."""

    where: str
    arguments: Sequence[str]
    environment: Mapping[str, str] | None = None
    answer_seconds: float = ANSWER_SECONDS
    lacks: frozenset[str] = field(default_factory=frozenset)


class Connection:
    """The process, and the lines to and from it."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self.calls = 0
        """How many calls it is in the middle of."""
        self.begun = False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._process: subprocess.Popen[bytes] | None = None
        self._poll = select.poll()
        self._buffer = b""
        self._lines: list[bytes] = []
        try:
            self.hello = self._start()
        except BaseException:
            self.close()
            raise

    # Life of the process

    def _start(self) -> Hello:
        command = self.command
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the command is what the user asked to check
                command.arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                bufsize=0,
                env=command.environment,
                start_new_session=True,
            )
        except OSError as error:
            raise TargetError(
                f"{command.where}: {command.arguments[0]} cannot be started: {error.strerror}"
            ) from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input = self._process.stdin.fileno()
        self._output = self._process.stdout.fileno()
        os.set_blocking(self._input, False)
        self._poll = select.poll()
        self._poll.register(self._output, select.POLLIN)
        self._buffer, self._lines = b"", []
        self.calls, self.begun = 0, False
        try:
            return self._hello(self.receive(HELLO_SECONDS))
        except _EndedError as error:
            said = self._last_words() if error.symptom == "hang" else ""
            raise TargetError(f"{command.where}: no hello: {error}{said}; {NO_HELLO}") from None

    def _hello(self, message: dict[str, Any]) -> Hello:
        hello = message.get("hello")
        if not isinstance(hello, dict):
            raise self.nonsense(message, 'the first line must be {"hello": {...}}')
        if hello.get("protocol") != VERSION:
            raise TargetError(
                f"{self.command.where}: it speaks version {hello.get('protocol')!r} of the protocol; "
                f"this program speaks version {VERSION}"
            )
        limit, lacks = hello.get("moves_per_call"), hello.get("lacks", [])
        if limit is not None and (
            not isinstance(limit, int) or isinstance(limit, bool) or limit < 1
        ):
            raise self.nonsense(message, "moves_per_call must be null or a number above 0")
        known = {*PARAMETERS, *CALLBACK_ARGUMENTS} - {"create", "advance"}
        if not isinstance(lacks, list) or not all(each in known for each in lacks):
            raise self.nonsense(message, f"lacks must be a list of {', '.join(sorted(known))}")
        return Hello(
            str(hello.get("name") or self.command.where),
            Capabilities(
                with_consequences(frozenset(lacks) | self.command.lacks),
                hello.get("contract_errors", True) is True,
                hello.get("exceptions", True) is True,
            ),
            limit,
            hello.get("abandons") is True,
            hello.get("reports_leaks") is True,
            hello.get("scouts") is True,
            tuple(map(str, hello.get("remarks", []))),
        )

    def restart(self) -> None:
        """End the process and start it anew."""
        self.stop()
        self._start()

    def stop(self) -> None:
        """End the process and all that it started."""
        process = self._process
        if process is None:
            return
        self._process = None
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        if self.calls == 0:
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        """End the process for good."""
        self.stop()
        self._errors.close()

    @property
    def alive(self) -> bool:
        """Whether there is a process to talk to."""
        return self._process is not None

    # Lines

    def send(self, message: dict[str, Any]) -> None:
        """Write a line."""
        line = encode(message)
        try:
            written = os.write(self._input, line)
            while written < len(line):
                written += self._write_rest(line[written:])
        except BlockingIOError:
            written = 0
            while written < len(line):
                written += self._write_rest(line[written:])
        except BrokenPipeError:
            raise self._ended() from None

    def _write_rest(self, rest: bytes) -> int:
        poll = select.poll()
        poll.register(self._input, select.POLLOUT)
        if not poll.poll(self.command.answer_seconds * 1000):
            raise self._silent(self.command.answer_seconds)
        try:
            return os.write(self._input, rest)
        except BlockingIOError:
            return 0

    def receive(self, seconds: float | None = None) -> dict[str, Any]:
        """The next line."""
        if not self._lines:
            self._read(self.command.answer_seconds if seconds is None else seconds)
        line = self._lines.pop()
        try:
            message = decode(line)
        except ProtocolError as error:
            text = line[:SHOWN].decode(errors="backslashreplace")
            raise TargetError(f"{self.command.where}: {error}: {text}") from None
        if "died" in message:
            self.calls = 0
            self.begun = False
            raise self._broke(f"it ended: {message['died']}")
        return message

    def _read(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._lines:
            left = end - time.monotonic()
            if left <= 0 or not self._poll.poll(left * 1000):
                raise self._silent(seconds)
            chunk = os.read(self._output, CHUNK)
            if not chunk:
                raise self._ended()
            self._buffer += chunk
            if len(self._buffer) > LINE_LIMIT:
                self.stop()
                raise TargetError(
                    f"{self.command.where}: a line of more than {LINE_LIMIT:,} bytes; "
                    "every message is one line of JSON that ends with a newline"
                )
            *lines, self._buffer = self._buffer.split(b"\n")
            self._lines = [line for line in reversed(lines) if line.strip()]

    def nonsense(self, message: Any, reason: str) -> TargetError:
        """A message that cannot be."""
        text = encode(message)[:SHOWN].decode().rstrip()
        return TargetError(f"{self.command.where}: {reason}; it said {text}")

    # Ends

    def _silent(self, seconds: float) -> _EndedError:
        self.calls = max(self.calls, 1)
        self.stop()
        return _EndedError("hang", f"no answer within {seconds:g} s")

    def _ended(self) -> _EndedError:
        process = self._process
        assert process is not None
        try:
            status = process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.stop()
            return _EndedError("crash", "it closed its output")
        self.stop()
        if status < 0:
            return self._broke(f"it ended: signal {_signal_name(-status)}")
        return self._broke(f"it ended: exit status {status}")

    def _broke(self, how: str) -> _EndedError:
        errors = self._stderr()
        missing = _MISSING.search(errors)
        if missing is not None:
            raise TargetError(f"{self.command.where}: missing: {missing[1]}")
        found = [*_SANITIZER.finditer(errors)]
        if found:
            what = found[0]["what"] or "undefined behaviour"
            tool = found[0]["tool"] or "UndefinedBehaviorSanitizer"
            detail = f": {found[0]['undefined']}" if found[0]["undefined"] else ""
            where = _stack(errors)
            return _EndedError(f"crash, {what}", f"{tool}: {what}{detail}; {how}{where}")
        signal_name = how.rpartition("signal ")[2] if "signal" in how else "exit"
        return _EndedError(f"crash, {signal_name}", how + self._last_words())

    def _stderr(self) -> str:
        return os.pread(self._errors.fileno(), 1 << 20, 0).decode(errors="replace")

    def _last_words(self) -> str:
        lines = self._stderr()[-STDERR_SHOWN:].strip().splitlines()
        return f"; it said: {' | '.join(lines[-3:])}" if lines else ""

    def forget_errors(self) -> None:
        """Leave aside what it said on its standard error output so far."""
        self._errors.seek(0)
        self._errors.truncate()


def _broken(error: _EndedError) -> BrokenError:
    """A finding: the process ended, or is endlessly busy (WR-5)."""
    return BrokenError(error.symptom, str(error), ("WR-5",) if error.symptom == "hang" else ())


def _stack(errors: str) -> str:
    """Where a sanitizer saw it: the innermost functions of the implementation."""
    frames = [each["function"] for each in _FRAME.finditer(errors.partition("\n\n")[0])]
    return f"; in {' < '.join(frames[:2])}" if frames else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def with_consequences(lacks: frozenset[str]) -> frozenset[str]:
    """What is lacking, with what makes no sense without it."""
    if "migrate_data_marshall" in lacks:
        lacks |= {"migrate_data_release"}
    return lacks


class StdioTarget:
    """The devices of one scenario, in the process at the other end of a connection."""

    def __init__(
        self,
        host: Host,
        ports: dict[str, bool],
        moves_per_call: int | None,
        connection: Connection,
    ) -> None:
        self.host = host
        self.name = connection.hello.name
        self.capabilities = connection.hello.capabilities
        self._connection = connection
        self._ports = {name: number for number, name in enumerate(ports, start=1)}
        self._retry_ms: dict[str, int | None] = {}
        self._wait_ms: dict[str, dict[str, int]] = {}
        self._raised: dict[int, CallbackError] = {}
        self.moves_per_call = self._begin(ports, moves_per_call)

    def _begin(self, ports: dict[str, bool], moves_per_call: int | None) -> int | None:
        connection = self._connection
        if connection.alive and connection.calls > 0 and connection.hello.abandons:
            try:
                connection.send({"abandon": True})
                connection.calls = 0
                while "abandoned" not in connection.receive():
                    pass
            except _EndedError:
                connection.stop()
        if not connection.alive or connection.calls > 0:
            connection.restart()
        connection.forget_errors()
        try:
            connection.send({"begin": {"ports": ports, "moves_per_call": moves_per_call}})
            message = connection.receive()
        except _EndedError as error:
            raise TargetError(
                f"{connection.command.where}: it cannot begin a scenario: {error}"
            ) from None
        connection.begun = True
        ready = message.get("ready")
        if not isinstance(ready, dict):
            raise connection.nonsense(message, '"begin" is answered by {"ready": {}}')
        limit = ready.get("moves_per_call", connection.hello.moves_per_call)
        if limit is not None and (
            not isinstance(limit, int) or isinstance(limit, bool) or limit < 1
        ):
            raise connection.nonsense(message, "moves_per_call must be null or a number above 0")
        return limit

    def timers(self, device: str) -> Timers:
        """The timers that are armed now."""
        return Timers(self._retry_ms.get(device), dict(self._wait_ms.get(device, {})))

    def finish(self) -> None:
        """The end of the scenario; raises `BrokenError` if the implementation leaks or does not survive it."""
        if self._connection.hello.reports_leaks:
            try:
                self._connection.send({"end": True})
                message = self._connection.receive()
            except _EndedError as error:
                raise _broken(error) from None
            self._connection.begun = False
            self._raise_broken(message)

    def perform(self, device: str, call: str, arguments: dict[str, Any]) -> Any:
        """Perform one call of the scenario language."""
        connection = self._connection
        if call == "retry_timer_fired":
            self._retry_ms[device] = None
        elif call == "wait_timer_fired":
            self._wait_ms.get(device, {}).pop(arguments["client"], None)
        depth = connection.calls
        connection.calls = depth + 1
        try:
            connection.send(
                {
                    "call": call,
                    "device": device,
                    "arguments": arguments_to_json(call, arguments),
                    "now": self.host.now_ms(),
                }
            )
            message = self._until_end(device)
        except _EndedError as error:
            raise _broken(error) from None
        # Not in a `finally`: what a finding leaves in the middle of a call stays there.
        connection.calls = depth
        return self._result(call, message)

    def _until_end(self, device: str) -> dict[str, Any]:
        connection = self._connection
        while True:
            message = connection.receive()
            if "callback" in message:
                self._callback(message)
            elif "timer" in message:
                self._timer(message)
            else:
                return message

    def _callback(self, message: dict[str, Any]) -> None:
        connection = self._connection
        device = message.get("device", "d1")
        try:
            event = event_from_json(message["callback"], message.get("arguments", {}), self._ports)
        except ProtocolError as error:
            raise connection.nonsense(message, str(error)) from None
        try:
            answer = self.host.callback(device, event)
        except CallbackError as error:
            number = len(self._raised) + 1
            self._raised[number] = error
            connection.send({"answer": None, "raise": number})
        else:
            connection.send({"answer": answer})

    def _timer(self, message: dict[str, Any]) -> None:
        device, delay = message.get("device", "d1"), message.get("delay")
        client = message.get("client")
        if delay is not None and (
            not isinstance(delay, int) or isinstance(delay, bool) or delay < 0
        ):
            raise self._connection.nonsense(
                message, "delay must be null or a number of milliseconds"
            )
        due = None if delay is None else self.host.now_ms() + delay
        if message["timer"] == "retry":
            self._retry_ms[device] = due
        elif message["timer"] == "wait" and isinstance(client, str):
            waits = self._wait_ms.setdefault(device, {})
            if due is None:
                waits.pop(client, None)
            else:
                waits[client] = due
        else:
            raise self._connection.nonsense(message, 'timer is "retry", or "wait" with a client')

    def _result(self, call: str, message: dict[str, Any]) -> Any:
        if "refused" in message:
            raise RefusedError(str(message["refused"]), str(message.get("message", "")))
        if "raised" in message:
            if message["raised"] not in self._raised:
                raise self._connection.nonsense(message, "no callback of this scenario raised that")
            raise self._raised[message["raised"]]
        if "missing" in message:
            raise TargetError(f"{self.name}: missing: {message['missing']}")
        self._raise_broken(message)
        if "return" not in message:
            raise self._connection.nonsense(
                message, f"{call} is answered by return, refused or raised"
            )
        value = message["return"]
        try:
            if call == "migrate_data_marshall":
                return Marshalled(bytes.fromhex(value["message"]), value["handle"])
            if call in {"migrate_data_marshall_empty", "migrate_data_release"}:
                return None if value is None else bytes.fromhex(value)
        except (TypeError, KeyError, ValueError):
            raise self._connection.nonsense(message, f"{call} cannot return that") from None
        return value

    def _raise_broken(self, message: dict[str, Any]) -> None:
        broken = message.get("broken")
        if isinstance(broken, dict):
            raise BrokenError(
                str(broken.get("symptom", "crash")),
                str(broken.get("message", "")),
                tuple(map(str, broken.get("rules", []))),
            )


class ProcessTargets:
    """Makes the targets of one connection, a scenario after the other."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __call__(
        self, host: Host, ports: dict[str, bool], moves_per_call: int | None
    ) -> StdioTarget:
        """The target of a scenario."""
        return StdioTarget(host, ports, moves_per_call, self._connection)

    def __getattribute__(self, name: str) -> Any:
        """A process that runs no scenarios itself has no `scout`."""
        if name == "scout" and not object.__getattribute__(self, "_connection").hello.scouts:
            raise AttributeError(name)
        return object.__getattribute__(self, name)

    def scout(self, seed: int, numbers: range, calls: int, statistics: Statistics) -> str | None:
        """Let the process itself run random scenarios of a seed; None if all held, else what came up."""
        connection = self._connection
        if not connection.alive or connection.begun:
            connection.restart()
        connection.forget_errors()
        order = {"seed": seed, "numbers": [*numbers], "calls": calls}
        try:
            connection.send({"scout": order})
            message = connection.receive(SCOUT_SECONDS + connection.command.answer_seconds)
        except _EndedError as error:
            return str(error)
        if message.get("held") is not True:
            return "something was found"
        statistics.add(message)
        return None


@contextmanager
def open_process(command: Command) -> Iterator[Opened]:
    """An implementation in a process; raises `TargetError` when it does not start, or says no hello."""
    connection = Connection(command)
    try:
        yield Opened(
            connection.hello.name,
            ProcessTargets(connection),
            connection.hello.capabilities,
            connection.hello.remarks,
        )
    finally:
        connection.close()


def command_of(text: str) -> Command:
    """The command of ``stdio:COMMAND``; raises `TargetError` when there is none."""
    try:
        arguments = shlex.split(text)
    except ValueError as error:
        raise TargetError(f"stdio:{text}: not a command: {error}") from None
    if not arguments:
        raise TargetError("stdio: name a command, as stdio:./my-target")
    return Command(f"stdio:{text}", arguments)
