"""Replays the findings of a folder, each in a server of its own, and tells which come again."""

from collections.abc import Callable
from pathlib import Path

from chardev_conformance.spice_server.isolation import Isolated
from chardev_conformance.spice_server.known import comes_again
from chardev_conformance.spice_server.steps import finding_of, load


def replay_all(
    folder: Path, times: int, progress: Callable[[int], None] = lambda _: None
) -> dict[str, int]:
    """How often each file of the folder showed its finding, whole: symptom, step, rules, expected and seen."""
    counts: dict[str, int] = {}
    for path in sorted(folder.glob("*.jsonl")):
        counts[path.name] = sum([_shows(path) for _ in range(times)])
        progress(len(counts))
    return counts


def _shows(path: Path) -> bool:
    scenario, said = load(path), finding_of(path)
    with Isolated() as process:
        finding = comes_again(said, scenario, process.run(scenario))
    return finding is not None and finding.to_json() == said


def to_text(counts: dict[str, int], times: int) -> str:
    """Which did not come again each time, and how many did."""
    failed = {name: count for name, count in counts.items() if count < times}
    lines = [f"{count} of {times}       {name}" for name, count in failed.items()]
    lines.append(
        f"again        {len(counts) - len(failed)} of {len(counts)} findings, each {times} times of {times}"
    )
    return "\n".join(lines) + "\n"
