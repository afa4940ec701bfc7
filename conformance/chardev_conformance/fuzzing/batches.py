"""Orders that are executed together, somewhere else: what is sent there, and what comes back.

Executing is a pure function of the batch, so it does not matter where it is done, and how often.
"""

import pickle
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from chardev_conformance.fuzzing.corpus import Corpus
from chardev_conformance.fuzzing.orders import Executor, Order, Outcome, bare
from chardev_conformance.fuzzing.own_code import watching
from chardev_conformance.fuzzing.plan import Plan
from chardev_conformance.lockstep import Finding
from chardev_conformance.scenario import Scenario
from chardev_conformance.target import TargetError
from chardev_spec.profiles import profile_named

MOST_ENDS: Final = 5
"""So many orders may end their process one after the other; then it is not the orders."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Orders, and what had been seen when they were made: what is new to that is all that is worth sending back."""

    plan: Plan
    orders: tuple[Order, ...]
    seen: str

    def pack(self) -> bytes:
        """The batch as bytes."""
        return zlib.compress(pickle.dumps(self), 1)


def unpack(data: bytes) -> Batch:
    """The batch that `pack` made."""
    batch = pickle.loads(zlib.decompress(data))  # noqa: S301 - from the coordinator that this worker was started for
    assert isinstance(batch, Batch)
    return batch


def _short(outcome: Outcome, corpus: Corpus) -> Outcome:
    """The outcome without what the coordinator knows."""
    outcome.features = set(corpus.novel(outcome.features))
    outcome.order = Order(outcome.order.number, outcome.order.seed, origin=outcome.order.origin)
    if outcome.finding is None:
        outcome.trace = bare(outcome.performed) if outcome.features else ""
        outcome.performed = Scenario()
    return outcome


def serve(reading: BinaryIO, writing: BinaryIO) -> None:
    """Execute batches, an outcome after the other, until there are no more; all are of one plan."""

    def send(message: Outcome | str) -> None:
        pickle.dump(message, writing)
        writing.flush()

    try:
        first = unpack(pickle.load(reading))  # noqa: S301 - from the worker, by a pipe
        with (
            first.plan.opened() as opened,
            watching(first.plan.target, opened) as own_code,
        ):
            machine = profile_named(first.plan.profile).machine
            executor = Executor(opened.factory, machine, own_code=own_code)
            batch = first
            while True:
                corpus = Corpus()
                corpus.unpack(batch.seen)
                for order in batch.orders:
                    send(_short(executor.execute(order), corpus))
                batch = unpack(pickle.load(reading))  # noqa: S301 - as above
    except EOFError:
        pass
    except TargetError as error:
        send(str(error))


class Child:
    """A process that executes batches of one plan: a target that takes its process down takes nothing else with it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._process: subprocess.Popen[bytes] | None = None

    def execute(self, batch: Batch) -> Iterator[Outcome]:
        """Execute a batch; an order that ends the process is a finding. Raises `TargetError`."""
        left, ended = list(batch.orders), 0
        while left:
            process = self._process or self._start()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                rest = Batch(batch.plan, tuple(left), batch.seen)
                pickle.dump(rest.pack(), process.stdin)
                process.stdin.flush()
                while left:
                    message = pickle.load(process.stdout)  # noqa: S301 - from our own child
                    if isinstance(message, str):
                        raise TargetError(message)
                    yield message
                    left.pop(0)
                    ended = 0
            except (EOFError, BrokenPipeError):
                self._process = None
                ended += 1
                if ended > MOST_ENDS:
                    raise TargetError(
                        f"{batch.plan.target or 'the bundled device'}: it ends its process whatever is done "
                        f"({_how(process.wait())}): run `chardev check` on it first"
                    ) from None
                yield _died(left.pop(0), process.wait())

    def _start(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(  # noqa: S603 - ourselves
            # Not `-m`: what is pickled there would be of a module `__main__`.
            [sys.executable, "-c", f"from {__name__} import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        return self._process

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _died(order: Order, status: int) -> Outcome:
    """The outcome of an order that ended its process."""
    seen = f"its process ended: {_how(status)}"
    finding = Finding(("CB-1",), "", "to go on", seen, "crash, process")
    scenario, _ = order.script()
    return Outcome(order, scenario, set(), finding, 0, 0, {}, set())


def _how(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"


def main() -> None:
    """Serve the process that started this one."""
    serve(sys.stdin.buffer, sys.stdout.buffer)
