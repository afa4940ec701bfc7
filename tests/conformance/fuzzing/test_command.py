"""The command `chardev fuzz`, as a user runs it: in a process of its own."""

import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-W", "error", "-m", "chardev_conformance", "fuzz"]

BEGIN = "begin another one in another folder (its findings still replay)"

HOLDS, FINDING, WRONG_USE, COULD_NOT_RUN = 0, 1, 2, 3


def fuzz(
    *arguments: object, before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=before,
    )


def state(folder: Path) -> dict[str, Any]:
    """What a campaign has decided, but for times."""
    data: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    data["growth"] = [point[1:] for point in data["growth"]]
    del data["seconds"]
    return data


def corpus(folder: Path) -> dict[str, str]:
    """The entries of a campaign."""
    return {each.name: each.read_text(encoding="utf-8") for each in (folder / "corpus").iterdir()}


def test_it_holds(tmp_path: Path) -> None:
    """The bundled device would fail where it holds, or the summary would not tell how to go on."""
    run = fuzz("--dir", tmp_path / "c", "--scenarios", 150, "--seed", 2)
    assert (run.returncode, run.stderr) == (HOLDS, "seed           2\n")
    assert "findings     0\n" in run.stdout
    assert "reached      53 of 53 rules" in run.stdout
    assert run.stdout.endswith(f"go on with: chardev fuzz --dir {tmp_path / 'c'} --resume\n")
    page = (tmp_path / "c/report.html").read_text(encoding="utf-8")
    assert "<h1>Campaign against the bundled device</h1>" in page


def test_a_finding_can_be_replayed_with_the_command_it_gives(tmp_path: Path) -> None:
    """A finding that nobody can see again is no finding."""
    arguments = ["--dir", tmp_path / "c", "--scenarios", 60, "--seed", 2]
    run = fuzz("spec:WakeupOnlyReads", *arguments)
    assert run.returncode == FINDING
    again = [line.split(None, 1)[1] for line in run.stdout.splitlines() if "  again " in line]
    assert again
    words = again[0].split()
    assert words[:2] == ["chardev", "check"]
    replayed = subprocess.run(
        [sys.executable, "-m", "chardev_conformance", *words[1:]],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert replayed.returncode == FINDING


def test_killed_at_any_moment_it_goes_on_to_the_same_end(tmp_path: Path) -> None:
    """A machine that goes down in the night would cost more than the scenario that was running."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    target, scenarios = "spec:AddZeroIsAGrant", 250
    run = fuzz(target, "--dir", whole, "--scenarios", scenarios, "--seed", 6)
    assert run.returncode == FINDING
    command = [*COMMAND, target, "--dir", str(killed), "--scenarios", str(scenarios)]
    kills = 0
    for arguments in (["--seed", "6"], *[["--resume"]] * 5):
        process = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        journal = killed / "journal.jsonl"
        begin, size = time.monotonic(), journal.stat().st_size if journal.exists() else 0
        # Until it has done something; then at a moment of no meaning.
        while process.poll() is None and time.monotonic() < begin + 60:
            if journal.exists() and journal.stat().st_size > size:
                break
            time.sleep(0.01)
        time.sleep(0.2 * kills)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills >= 2
    assert fuzz(*command[len(COMMAND) :], "--resume").returncode == FINDING
    assert state(killed) == state(whole)
    assert corpus(killed) == corpus(whole)
    names = [sorted(each.name for each in (one / "findings").iterdir()) for one in (whole, killed)]
    assert names[0] == names[1]


def test_a_full_disk_damages_nothing(tmp_path: Path) -> None:
    """What was found until then would be lost."""
    campaign = tmp_path / "c"
    assert fuzz("--dir", campaign, "--scenarios", 20, "--seed", 3).returncode == HOLDS

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))

    run = fuzz("--dir", campaign, "--resume", "--scenarios", 60, before=full)
    assert run.returncode == COULD_NOT_RUN
    assert run.stderr.splitlines()[-1].endswith(
        ": File too large; what was kept is not damaged: mend that, then go on with --resume"
    )
    assert fuzz("--dir", campaign, "--resume", "--scenarios", 60).returncode == HOLDS
    assert fuzz("--dir", tmp_path / "w", "--scenarios", 60, "--seed", 3).returncode == HOLDS
    assert corpus(campaign) == corpus(tmp_path / "w")


def test_wrong_use_is_told_in_one_line(tmp_path: Path) -> None:
    """People would not know what to do next."""
    campaign = tmp_path / "c"
    assert fuzz("--dir", campaign, "--scenarios", 5, "--seed", 1).returncode == HOLDS
    other = tmp_path / "other"
    other.mkdir()
    (other / "campaign.json").write_text(
        '{"format": "chardev-fuzz", "version": 99}', encoding="utf-8"
    )
    none = tmp_path / "none"
    cases: list[tuple[list[object], int, str]] = [
        (
            ["--dir", campaign],
            COULD_NOT_RUN,
            f"{campaign}: a campaign is there already: go on with --resume, or name another --dir",
        ),
        (
            ["--dir", none, "--resume"],
            COULD_NOT_RUN,
            f"{none}: no campaign is there: begin one without --resume",
        ),
        (
            ["--dir", campaign, "--resume", "--seed", 2],
            WRONG_USE,
            "--resume goes on with seed 1; leave 2 out, or begin another campaign",
        ),
        (
            ["--dir", other, "--resume"],
            COULD_NOT_RUN,
            f"{other}/campaign.json: a campaign of version 99; this program goes on with version 1: {BEGIN}",
        ),
        (
            ["stdio:false", "--dir", none],
            COULD_NOT_RUN,
            (
                "stdio:false: no hello: it ended: exit status 1; "
                "run it by itself: the first line that it writes must be its hello"
            ),
        ),
        (
            ["--dir", none, "--seeds", none / "x.jsonl"],
            WRONG_USE,
            f"{none / 'x.jsonl'}: cannot be read: No such file or directory",
        ),
    ]
    for arguments, status, message in cases:
        run = fuzz(*arguments)
        assert (run.returncode, run.stderr) == (status, f"chardev: {message}\n"), arguments
    assert not none.exists()


def test_two_processes_do_not_work_on_one_campaign(tmp_path: Path) -> None:
    """They would overwrite each other's decisions."""
    fcntl = pytest.importorskip("fcntl")
    campaign = tmp_path / "c"
    assert fuzz("--dir", campaign, "--scenarios", 5, "--seed", 1).returncode == HOLDS
    with (campaign / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = fuzz("--dir", campaign, "--resume")
    assert (run.returncode, run.stderr) == (
        COULD_NOT_RUN,
        f"chardev: {campaign}: another process works on this campaign; end it first\n",
    )
