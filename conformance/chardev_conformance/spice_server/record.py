"""A hunt on disk: what it has done and found so far, so that it goes on after an interruption; and how it grew.

One JSON object, replaced as a whole: whatever ends the process, the file is one that was complete.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from chardev_conformance.scenario import ScenarioError
from chardev_conformance.spice_server.hunt import Campaign, Found
from chardev_conformance.spice_server.judge import CRASH, WRONG, Finding
from chardev_conformance.spice_server.known import QUIRK
from chardev_conformance.spice_server.steps import Scenario, step_from_json, to_json
from chardev_conformance.trace import from_json, read

FORMAT: Final = "chardev-spice-server-hunt"
VERSION: Final = 1

MARKS: Final = (60, 600, 3600)
"""Seconds after which it is told how many distinct findings there were."""

KINDS: Final = (CRASH, WRONG, QUIRK)


def save(campaign: Campaign, path: Path) -> None:
    """Write the campaign."""
    found = [
        {
            "finding": each.finding.to_json(),
            "wild": each.wild,
            "seconds": each.seconds,
            "stage": each.scenario.stage,
            "steps": [to_json(step) for step in each.scenario.steps],
        }
        for each in campaign.found.values()
    ]
    data = {
        "format": FORMAT,
        "version": VERSION,
        "seed": campaign.seed,
        "seconds": campaign.seconds,
        "scenarios": campaign.scenarios,
        "steps": campaign.steps,
        "deaths": campaign.deaths,
        "found": found,
    }
    new = path.with_name(f"{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(data, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def load_campaign(path: Path) -> Campaign:
    """The campaign that was saved; raises `ScenarioError` when the file cannot be read or is another's."""
    data = from_json(read(path), str(path))
    if not isinstance(data, dict) or (data.get("format"), data.get("version")) != (FORMAT, VERSION):
        raise ScenarioError(
            f'{path}: not the state of a hunt: it must have "format": "{FORMAT}" and "version": {VERSION}'
        )
    campaign = Campaign(
        data["seed"], data["scenarios"], data["steps"], data["deaths"], data["seconds"]
    )
    for entry in data["found"]:
        steps = tuple(step_from_json(step, str(path)) for step in entry["steps"])
        finding = Finding(**{**entry["finding"], "rules": tuple(entry["finding"]["rules"])})
        found = Found(finding, Scenario(entry["stage"], steps), entry["wild"], entry["seconds"])
        campaign.found[finding.key] = found
    return campaign


def growth(campaign: Campaign) -> list[dict[str, Any]]:
    """How many distinct findings of each kind there were after each of `MARKS` and in the end; times in seconds."""
    passed = [float(mark) for mark in MARKS if mark <= campaign.seconds]
    if not passed or campaign.seconds - passed[-1] >= 1:
        passed.append(campaign.seconds)
    return [{"seconds": mark, **_kinds(campaign.found.values(), mark)} for mark in passed]


def _kinds(found: Iterable[Found], seconds: float) -> dict[str, int]:
    kinds = [each.finding.kind for each in found if each.seconds <= seconds]
    return {kind: kinds.count(kind) for kind in KINDS}
