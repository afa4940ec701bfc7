"""A campaign on disk, so that it can be killed at any moment.

``campaign.json``   the plan
``state.json``      all that was decided, as of some scenario
``journal.jsonl``   what was decided since, a line a scenario
``corpus/``         the traces of the entries
``findings/``       a folder for each finding
``lock``            held while a process works on the campaign

Files are written whole under another name and then renamed; the journal is appended to, and a last line that is torn
counts as not written.
So a kill loses the scenario that was running, and nothing else.
(A loss of power may lose what came after the last ``state.json``, which alone is forced to the disk.)
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from chardev_conformance.fuzzing.errors import CampaignError
from chardev_conformance.fuzzing.plan import Plan, plan_from_json

PLAN: Final = "campaign.json"

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _explained(method: Callable[_P, _R]) -> Callable[_P, _R]:
    """The method, whose errors of the system are told with what to do."""

    @wraps(method)
    def call(*arguments: _P.args, **options: _P.kwargs) -> _R:
        try:
            return method(*arguments, **options)
        except OSError as error:
            raise CampaignError(
                f"{error.filename or 'the campaign'}: {error.strerror}; "
                "what was kept is not damaged: mend that, then go on with --resume"
            ) from None

    return call


class Store:
    """The folder of a campaign, which nobody else works on meanwhile."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self.plan = plan
        self._lock = _locked(folder)
        self._journal = os.open(
            folder / "journal.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644
        )

    @classmethod
    @_explained
    def create(cls, folder: Path, plan: Plan) -> "Store":
        """Begin a campaign; raises `CampaignError` when there is one already."""
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / PLAN).exists():
            raise CampaignError(
                f"{folder}: a campaign is there already: go on with --resume, or name another --dir"
            )
        for name in ("corpus", "findings"):
            (folder / name).mkdir(exist_ok=True)
        write_whole(folder / PLAN, json.dumps(plan.to_json(), indent=2) + "\n")
        return cls(folder, plan)

    @classmethod
    @_explained
    def resume(cls, folder: Path) -> "Store":
        """Go on with a campaign; raises `CampaignError` when there is none."""
        if not (folder / PLAN).exists():
            raise CampaignError(f"{folder}: no campaign is there: begin one without --resume")
        return cls(folder, read_plan(folder))

    def close(self) -> None:
        """Let others work on it."""
        os.close(self._journal)
        os.close(self._lock)

    # State

    @_explained
    def load(self) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
        """The state, None when none was kept yet, and the lines of the journal."""
        path = self.folder / "state.json"
        state = _parsed(path) if path.exists() else None
        text = (self.folder / "journal.jsonl").read_text(encoding="utf-8", errors="replace")
        lines, whole = [], 0
        for line in text.splitlines(keepends=True):
            try:
                lines.append(json.loads(line))
            except ValueError:
                break
            if not line.endswith("\n"):
                lines.pop()
                break
            whole += len(line.encode())
        os.truncate(self.folder / "journal.jsonl", whole)
        return state, lines

    @_explained
    def append(self, line: dict[str, Any]) -> None:
        """Write down what was decided about a scenario."""
        data = (json.dumps(line, separators=(",", ":")) + "\n").encode()
        size = os.fstat(self._journal).st_size
        if os.write(self._journal, data) < len(data):
            os.ftruncate(self._journal, size)
            raise OSError(28, os.strerror(28), str(self.folder / "journal.jsonl"))

    @_explained
    def snapshot(self, state: dict[str, Any], gone: Iterable[int]) -> None:
        """Keep the whole state, and forget the journal and the entries that are gone."""
        write_whole(self.folder / "state.json", json.dumps(state) + "\n", forced=True)
        os.ftruncate(self._journal, 0)
        for number in gone:
            self._entry(number).unlink(missing_ok=True)

    # Entries

    def _entry(self, number: int) -> Path:
        return self.folder / "corpus" / f"{number:08}.jsonl"

    @_explained
    def write_entry(self, number: int, trace: str) -> None:
        """Keep the trace of an entry."""
        write_whole(self._entry(number), trace)

    @_explained
    def read_entry(self, number: int) -> str:
        """The trace of an entry."""
        return self._entry(number).read_text(encoding="utf-8")

    def size(self) -> int:
        """Bytes on disk."""
        return sum(each.stat().st_size for each in self.folder.rglob("*") if each.is_file())


def _locked(folder: Path) -> int:
    lock = os.open(folder / "lock", os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise CampaignError(
            f"{folder}: another process works on this campaign; end it first"
        ) from None
    return lock


def _parsed(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CampaignError(f"{path}: not what a campaign keeps there: {error}") from None


def read_plan(folder: Path) -> Plan:
    """The plan of the campaign in a folder."""
    return plan_from_json(_parsed(folder / PLAN), str(folder / PLAN))


def write_whole(path: Path, text: str, *, forced: bool = False) -> None:
    """Write a file so that at any moment the old one or the new one is there; `forced` to the disk."""
    other = path.with_name(f".{path.name}.new")
    try:
        with other.open("w", encoding="utf-8") as file:
            file.write(text)
            if forced:
                file.flush()
                os.fsync(file.fileno())
        other.replace(path)
    except OSError as error:
        other.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None
