"""The real library, in a process that copies itself for each scenario; skipped where it is not installed."""

from collections.abc import Iterator

import pytest

from chardev_conformance.spice_server.isolation import Isolated
from chardev_conformance.spice_server.libspice import load_library
from chardev_conformance.target import TargetError


@pytest.fixture(scope="session")
def isolated() -> Iterator[Isolated]:
    """The library, ready to perform scenarios."""
    try:
        load_library()
    except TargetError as error:
        pytest.skip(str(error))
    with Isolated() as process:
        yield process
