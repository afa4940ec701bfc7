"""An implementation that is ready to be checked."""

from dataclasses import dataclass, field
from pathlib import Path

from chardev_conformance.lockstep import TargetFactory
from chardev_conformance.target import EVERYTHING, Capabilities


@dataclass(frozen=True, slots=True)
class Opened:
    """What a check needs of an implementation; it is closed by whoever opened it."""

    name: str
    factory: TargetFactory
    capabilities: Capabilities = EVERYTHING
    remarks: tuple[str, ...] = field(default=())
    """What else is not tested with this target, in words."""
    coverage_map: Path | None = None
    """The file in which a library that was built for it counts the code that runs."""
