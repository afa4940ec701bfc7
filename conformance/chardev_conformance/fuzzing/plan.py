"""What makes a campaign the one that it is: fixed when it begins, and read when it is resumed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.adapters.opened import Opened
from chardev_conformance.adapters.stdio import ANSWER_SECONDS
from chardev_conformance.fuzzing.errors import CampaignError
from chardev_conformance.targets import open_target

FORMAT: Final = "chardev-fuzz"
VERSION: Final = 1
"""Of the campaign's folder; features are numbered otherwise in another version."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is fuzzed, and with what seed; `target` is None for the bundled device."""

    target: str | None
    seed: int
    profile: str = "contract"
    lacks: tuple[str, ...] = ()
    deadline: float = ANSWER_SECONDS
    seeds: tuple[str, ...] = ()
    """Files with traces to begin with, besides those that come with the checker."""
    bare: bool = False
    """Whether to begin with nothing: not even with those."""

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON data."""
        return {"format": FORMAT, "version": VERSION, **asdict(self)}

    @contextmanager
    def opened(self) -> Iterator[Opened]:
        """The target, until the context ends; raises `TargetError` when it cannot be checked."""
        if self.target is None:
            yield Opened("the bundled device", DeviceTarget)
        else:
            with open_target(self.target, frozenset(self.lacks), self.deadline) as opened:
                yield opened


def plan_from_json(data: Any, where: str) -> Plan:
    """The plan that JSON data says; raises `CampaignError` naming what is wrong `where`."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise CampaignError(f"{where}: not a campaign of chardev fuzz")
    if data.get("version") != VERSION:
        raise CampaignError(
            f"{where}: a campaign of version {data.get('version')!r}; this program goes on with version {VERSION}: "
            "begin another one in another folder (its findings still replay)"
        )
    known = {each.name for each in fields(Plan)}
    try:
        given = {name: value for name, value in data.items() if name in known}
        return Plan(**given | {name: tuple(given[name]) for name in ("lacks", "seeds")})
    except (TypeError, KeyError):
        raise CampaignError(f"{where}: not a whole plan of a campaign") from None
