"""The specification itself as a target: ``spec:PROFILE``, the contract or what a release does.

What a release does can so be compared with the contract, like any implementation; and vectors are recorded from it.
"""

from typing import Any, Final

from chardev_conformance.adapters.python_object import MOVES_PER_CALL
from chardev_conformance.target import Capabilities, Host, Marshalled, RefusedError, Timers
from chardev_spec.contract import Contract
from chardev_spec.errors import BadMigrationDataError, ContractError
from chardev_spec.events import Callback, Choice, ChooseGoOn, ChooseOffer
from chardev_spec.record import encode_message
from chardev_spec.runner import Runner

HANDLES: Final = frozenset({"write_buffer_get", "write_buffer_get_server_no_token"})


class _Environment:
    """Settles what the contract leaves open: a limit, and one buffer a port write, or all that there are."""

    def __init__(self, limit: int, gathers: bool) -> None:
        self.offered = 1
        self.most_moved = 0
        self.most_available = 1
        self._limit = limit
        self._gathers = gathers

    def answer(self, event: Callback) -> Any:
        raise AssertionError("the target answers callbacks itself")

    def choose(self, event: Choice) -> Any:
        if isinstance(event, ChooseGoOn):
            self.most_moved = max(self.most_moved, event.moved)
            return event.moved < self._limit
        self.most_available = max(self.most_available, event.available)
        self.offered = self._offer(event)
        return self.offered

    def _offer(self, event: ChooseOffer) -> int:
        return event.available if self._gathers else 1


class SpecificationTarget:
    """Devices that are run by a machine of the specification.

    With `gathers` a port write offers all buffers that are pending, else one (WR-3).
    """

    def __init__(
        self,
        host: Host,
        ports: dict[str, bool],
        moves_per_call: int | None,
        machine: type[Contract] = Contract,
        *,
        gathers: bool = False,
        lacks: frozenset[str] = frozenset(),
    ) -> None:
        self.host = host
        self.capabilities = Capabilities(lacks)
        self.name = "the specification"
        self.moves_per_call: int | None = moves_per_call or MOVES_PER_CALL
        self._environment = _Environment(self.moves_per_call or MOVES_PER_CALL, gathers)
        self._machine = machine
        self._ports = ports
        self._numbers = {name: number for number, name in enumerate(ports, start=1)}
        self._runners: dict[str, Runner] = {}
        self.errors: list[str] = []
        """The errors by which calls were refused so far."""

    @property
    def offered(self) -> int:
        """How many buffers the latest port write offered."""
        return self._environment.offered

    @property
    def choices(self) -> dict[str, int]:
        """How far the contract left something open: the most buffers to offer at once, and to move in one call."""
        return {
            "buffers": self._environment.most_available,
            "moves": self._environment.most_moved,
        }

    def timers(self, device: str) -> Timers:
        """The timers that are armed now."""
        state = self._runners[device].state
        if state.device.destroyed:
            return Timers(None, {})
        waits = {row.peer: row.wait_due_ms for row in state.clients if row.wait_armed}
        return Timers(state.device.retry_due_ms if state.device.retry_armed else None, waits)

    def perform(self, device: str, call: str, arguments: dict[str, Any]) -> Any:
        """Perform one call of the scenario language."""
        if call == "create":
            self._create(device)
        runner = self._runners[device]
        if not runner.stack:
            runner.advance(self.host.now_ms() - runner.state.device.now_ms)
        if call == "migrate_data_release":
            message, buffers = arguments["data"]
            for buffer in buffers:
                runner.call("marshaller_unref", buffer)
            return message
        values = [
            self._numbers[value] if name == "port" and value is not None else value
            for name, value in arguments.items()
        ]
        self._mark_ports(device)
        try:
            result = self._run(device, runner, call, values)
        except ContractError as error:
            self.errors.append(type(error).__name__)
            raise RefusedError(error.rule, str(error)) from None
        except BadMigrationDataError as error:
            self.errors.append(type(error).__name__)
            raise RefusedError("MIG-5", str(error)) from None
        if call == "migrate_data_marshall":  # not by its type: a mutant has a copy of that
            message = encode_message(bytes(8), result)
            return Marshalled(message, (message, result.buffers))
        return result if call in HANDLES or isinstance(result, bool | bytes) else None

    def _run(self, device: str, runner: Runner, function: str, values: list[Any]) -> Any:
        call = runner.begin(function, *values)
        while call.event is not None:
            try:
                value = self.host.callback(device, call.event)
            except Exception as error:  # noqa: BLE001 - whatever a callback raises is an answer (CB-5)
                call.answer(raised=error)
            else:
                call.answer(value)
        if call.raised is not None:
            raise call.raised
        return call.result

    def _create(self, device: str) -> None:
        runner = Runner(self._environment, machine=self._machine, invariants=False)
        for name, number in self._numbers.items():
            runner.add_port(number, announces_writability=self._ports[name])
        self._runners[device] = runner

    def _mark_ports(self, device: str) -> None:
        """Tell the machine which ports other devices have (LC-4)."""
        elsewhere = {
            runner.state.device.port for name, runner in self._runners.items() if name != device
        }
        for number, port in self._runners[device].state.ports.items():
            port.attached_elsewhere = number in elsewhere
