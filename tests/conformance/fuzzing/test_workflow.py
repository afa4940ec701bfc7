"""The example workflow for GitHub: its commands are run here, on the device in C."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.c_device.build import build

# Dask needs it, and so is it there wherever campaigns on clusters are tested.
yaml: Any = pytest.importorskip("yaml")

WORKFLOW = Path(__file__).parents[3] / "docs/examples/workflow.yml"


def commands(job: dict[str, Any]) -> list[str]:
    """What a job runs."""
    return [step["run"] for step in job["steps"] if "run" in step]


def test_its_commands_run(tmp_path: Path) -> None:
    """Whoever copies it would get commands, options or files that are not there."""
    jobs = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]
    assert [*jobs] == ["rules", "campaign"]
    _, make, rules = commands(jobs["rules"])
    _, make_guided, campaign = commands(jobs["campaign"])
    assert make == "make libdevice.so"
    option = make_guided.partition('CFLAGS="')[2].rstrip('"').split()[-1]
    build(tmp_path, None, option)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    assert campaign.count("--time 3600") == 2
    short = campaign.replace("--time 3600", "--time 2")
    # The campaign runs a second time as on the night after the first.
    for command in (f"{rules} --chardev-calls 500", short, short):
        run = subprocess.run(
            ["bash", "-e", "-c", command],
            cwd=tmp_path,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert run.returncode == 0, run.stdout + run.stderr
    kept = [step["with"]["path"] for job in jobs.values() for step in job["steps"][-1:]]
    for path in " ".join(kept).split():
        assert (tmp_path / path).exists(), path
