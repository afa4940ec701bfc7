"""Serves a target over the line protocol: ``python -m chardev_conformance.adapters.serve python:module:factory``.

This is the other side of `stdio`: what runs in the process of the implementation.
"""

import os
import sys
from collections.abc import Callable
from typing import Any, Final, Generic, NoReturn, TypeVar

from chardev_conformance.adapters.protocol import (
    VERSION,
    arguments_from_json,
    decode,
    encode,
    event_to_json,
)
from chardev_conformance.adapters.python_object import PythonTarget, load
from chardev_conformance.lockstep import TargetFactory
from chardev_conformance.target import (
    BrokenError,
    CallbackError,
    Capabilities,
    Host,
    Marshalled,
    RefusedError,
    Target,
    TargetError,
    Timers,
)
from chardev_spec.events import Callback

TargetT = TypeVar("TargetT", bound=Target)

CHUNK: Final = 1 << 16

NO_MORE_INPUT: Final = 43
"""Exit status of a process whose input has ended."""

ABANDONED: Final = 41
"""Exit status of a process whose scenario was abandoned in the middle of a call."""

NO_TIMERS: Final = Timers(None, {})


class Lines:
    """Lines in and out, on descriptors of their own, so that an implementation may print what it likes."""

    def __init__(self) -> None:
        self._input = os.dup(0)
        self._output = os.dup(1)
        os.dup2(2, 1)
        self._buffer = b""
        self._pending = b""

    def send(self, message: dict[str, Any], *, flush: bool = True) -> None:
        """Write a line."""
        line = self._pending + encode(message)
        if flush:
            self._pending = b""
            while line:
                line = line[os.write(self._output, line) :]
        else:
            self._pending = line

    def receive(self) -> dict[str, Any]:
        """The next line; ends the process when there is none."""
        while b"\n" not in self._buffer:
            chunk = os.read(self._input, CHUNK)
            if not chunk:
                os._exit(NO_MORE_INPUT)
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return decode(line)


class _RaisedError(CallbackError):
    """A callback raised, and the checker knows it by this number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"raised by the checker ({number})")
        self.number = number


class Scenario(Generic[TargetT]):
    """One scenario: performs the calls of the checker on a target, and is the host of that target."""

    def __init__(
        self,
        lines: Lines,
        factory: Callable[[Host, dict[str, bool], int | None], TargetT],
        begin: dict[str, Any],
    ) -> None:
        self._lines = lines
        self._now = 0
        self._ports: dict[int, str] = dict(enumerate(begin["ports"], start=1))
        self._handles: list[Any] = []
        self._told: dict[str, Timers] = {}
        self.target = factory(self, begin["ports"], begin["moves_per_call"])
        lines.send({"ready": {"moves_per_call": self.target.moves_per_call}})

    def now_ms(self) -> int:
        """The checker's clock."""
        return self._now

    def report(self, rule: str, allowed: str, seen: str) -> None:
        """Let the target tell what shows in no callback."""
        raise BrokenError("reported", f"{seen} instead of {allowed}", (rule,))

    def callback(self, device: str, event: Callback) -> Any:
        """Let the checker perform a callback, and perform its calls meanwhile."""
        self._tell_timers(device)
        name, arguments = event_to_json(event, self._ports)
        self._lines.send({"callback": name, "device": device, "arguments": arguments})
        while True:
            message = self._lines.receive()
            if "answer" in message:
                if "raise" in message:
                    raise _RaisedError(message["raise"])
                return message["answer"]
            self.perform(message)

    def perform(self, message: dict[str, Any]) -> None:
        """Perform one message of the checker that is not an answer."""
        if "abandon" in message:
            os._exit(ABANDONED)
        device, call = message["device"], message["call"]
        self._now = message["now"]
        self._note_fired(device, call, message["arguments"])
        answer = self._answer(device, call, message["arguments"])
        self._tell_timers(device)
        self._lines.send(answer)

    def _answer(self, device: str, call: str, arguments: dict[str, Any]) -> dict[str, Any]:
        arguments = arguments_from_json(call, arguments)
        for name in ("buffer", "data"):
            if isinstance(arguments.get(name), int):
                arguments[name] = self._handles[arguments[name]]
        try:
            result = self.target.perform(device, call, arguments)
        except RefusedError as error:
            return {"refused": error.rule, "message": str(error)}
        except _RaisedError as error:
            return {"raised": error.number}
        except TargetError as error:
            return {"missing": str(error).rpartition("missing: ")[2]}
        except BrokenError as error:
            broken = {"symptom": error.symptom, "message": str(error), "rules": error.rules}
            return {"broken": broken}
        except Exception as error:  # noqa: BLE001 - whatever it raises is what the checker has to know
            return {"broken": {"symptom": "crash", "message": f"{type(error).__name__}: {error}"}}
        return {"return": self._to_json(call, result)}

    def _to_json(self, call: str, result: Any) -> Any:
        if isinstance(result, Marshalled):
            return {"message": result.message.hex(), "handle": self._handle(result.handle)}
        if isinstance(result, bytes | bytearray):
            return result.hex()
        if call.startswith("write_buffer_get"):
            return None if result is None else self._handle(result)
        return result

    def _handle(self, value: Any) -> int:
        self._handles.append(value)
        return len(self._handles) - 1

    def _note_fired(self, device: str, call: str, arguments: dict[str, Any]) -> None:
        """The checker takes a timer that fires for disarmed."""
        told = self._told.get(device, NO_TIMERS)
        if call == "retry_timer_fired":
            self._told[device] = Timers(None, told.wait_ms)
        elif call == "wait_timer_fired":
            waits = dict(told.wait_ms)
            waits.pop(arguments["client"], None)
            self._told[device] = Timers(told.retry_ms, waits)

    def _tell_timers(self, device: str) -> None:
        timers = self.target.timers(device)
        told = self._told.get(device, NO_TIMERS)
        if timers == told:
            return
        self._told[device] = timers
        if timers.retry_ms != told.retry_ms:
            self._tell_timer({"timer": "retry", "device": device}, timers.retry_ms)
        for client in {**told.wait_ms, **timers.wait_ms}:
            due = timers.wait_ms.get(client)
            if due != told.wait_ms.get(client):
                self._tell_timer({"timer": "wait", "device": device, "client": client}, due)

    def _tell_timer(self, message: dict[str, Any], due: int | None) -> None:
        delay = None if due is None else due - self._now
        self._lines.send({**message, "delay": delay}, flush=False)


def hello_of(name: str, capabilities: Capabilities, **more: Any) -> dict[str, Any]:
    """The first line."""
    return {
        "hello": {
            "protocol": VERSION,
            "name": name,
            "lacks": sorted(capabilities.lacks),
            "contract_errors": capabilities.contract_errors,
            "exceptions": capabilities.exceptions,
            **more,
        }
    }


def serve(factory: TargetFactory, name: str, capabilities: Capabilities) -> NoReturn:
    """Serve scenarios in this process, until the input ends."""
    lines = Lines()
    lines.send(hello_of(name, capabilities))
    scenario: Scenario[Target] | None = None
    while True:
        message = lines.receive()
        if "begin" in message:
            scenario = Scenario(lines, factory, message["begin"])
        elif scenario is not None:
            scenario.perform(message)


def main(arguments: list[str]) -> int:
    """Serve the implementation that is named."""
    if len(arguments) != 1 or not arguments[0].startswith("python:"):
        sys.stderr.write(
            "usage: python -m chardev_conformance.adapters.serve python:module:factory\n"
        )
        return 2
    try:
        implementation = load(arguments[0].removeprefix("python:"))
    except TargetError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    factory: Callable[..., PythonTarget] = lambda host, ports, limit: PythonTarget(  # noqa: E731
        host, ports, limit, implementation
    )
    serve(factory, implementation.name, implementation.capabilities)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
