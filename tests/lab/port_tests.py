"""The tests of `tests/impl/test_ports.py` that say nothing of how two ends are joined, on a line of the guest."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import pytest

from chardev.ports import DescriptorPort, open_port
from tests.lab.control import Control
from tests.lab.places import Place, stalled, until

TESTS: Final = Path(__file__).parents[1] / "impl/test_ports.py"

QUIET_SECONDS: Final = 0.1
"""After so long nothing is under way any more."""


class LineEnds:
    """A line as the tests know it (`Ends` of `tests/impl/conftest.py`), and the plugin that runs them on it."""

    def __init__(self, place: Place, control: Control) -> None:
        # What plugins are found by.
        self.__name__ = "ends"
        self.name = place.title
        self.fills = place.holds_back
        # Without a wire that is stalled, all may have arrived.
        self.keeps = not place.wire
        self.hangs_up = False
        self.xonxoff = place.is_uart
        self.tty = self._tty if place.is_tty else None
        self.outcomes: Counter[str] = Counter()
        self.failures: list[str] = []
        self._place = place
        self._control = control

    def open(self) -> tuple[DescriptorPort, DescriptorPort]:
        """Both ends, with nothing under way from before."""
        return until(self._attempt, f"{self.name}, both ends")

    def _attempt(self) -> tuple[DescriptorPort, DescriptorPort] | None:
        path, peer_path = self._place.find()
        one, two = open_port(path), open_port(peer_path)
        _drain(one, two)
        # A virtio port reads as hung up until the guest hears that its host is back.
        if not (one.check_hang_up() or two.check_hang_up()):
            return one, two
        one.close()
        two.close()
        return None

    def stalled(self) -> AbstractContextManager[None]:
        """Nothing is carried meanwhile."""
        return stalled(self._place, self._control)

    @contextmanager
    def _tty(self) -> Iterator[tuple[str, DescriptorPort]]:
        one, two = self.open()
        one.close()
        with two:
            yield one.name, two

    # As a plugin.

    @pytest.hookimpl
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out what makes its ends itself."""
        items[:] = [item for item in items if "ends" in getattr(item, "fixturenames", ())]

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count, and keep what went wrong."""
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.outcome] += 1
        if report.failed:
            self.failures.append(f"{report.nodeid}\n{report.longreprtext}")


def _drain(*ports: DescriptorPort) -> None:
    end = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < end:
        if any([port.read() for port in ports]):  # noqa: C419 - each is read
            end = time.monotonic() + QUIET_SECONDS


def port_tests(place: Place, control: Control) -> str:
    """Whatever the tests of ports find on ptys and sockets would go unseen on this driver."""
    ends = LineEnds(place, control)
    # Linux' gadget, once it was closed with data unread, hears nothing more until it is plugged again.
    place.unplug(control)
    place.plug_again(control)
    # Others, such as Hypothesis', take longer to load here than the tests take.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    arguments = [
        str(TESTS),
        "-qq",
        "--exitfirst",
        "-p",
        "no:cacheprovider",
        "--capture=no",
        "-r",
        "N",
    ]
    status = pytest.main(arguments, plugins=[ends])
    assert not ends.failures, "\n".join(ends.failures)
    assert status == pytest.ExitCode.OK, status
    assert ends.outcomes["passed"]
    skipped = f", {ends.outcomes['skipped']} do not apply" if ends.outcomes["skipped"] else ""
    return f"{ends.outcomes['passed']} port tests passed{skipped}"
