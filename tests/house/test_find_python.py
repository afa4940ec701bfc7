"""The script that finds an interpreter for `make`, and what it says where there is none."""

import subprocess
import sys
from pathlib import Path
from typing import Final

SCRIPT: Final = Path(__file__).parents[2] / "tools/find_python.sh"

WITHOUT_ENSUREPIP: Final = f"""\
#!/bin/sh
# Debian's python3 before python3-venv is installed.
shift; code=$1; shift
exec {sys.executable} -c '
import sys
sys.modules["ensurepip"] = None
code = sys.argv.pop(1)
exec(code)
' "$code" "$@"
"""


def find(*arguments: str, home: Path, python: str = "") -> tuple[int, str, str]:
    """Run the script on a machine with only /bin and /usr/bin, in an empty home."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "PYTHON": python}
    run = subprocess.run(
        [str(SCRIPT), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout, run.stderr


def test_takes_the_interpreter_that_is_named(tmp_path: Path) -> None:
    """`make PYTHON=...` would use another interpreter than the one named."""
    assert find(home=tmp_path, python=sys.executable) == (0, f"{sys.executable}\n", "")


def test_says_what_to_install_when_venv_is_missing(tmp_path: Path) -> None:
    """A bare Debian would fail in the middle of the set-up with a message about ensurepip."""
    python = tmp_path / "python3"
    python.write_text(WITHOUT_ENSUREPIP)
    python.chmod(0o755)
    assert find(home=tmp_path, python=str(python)) == (
        1,
        "",
        (
            f"chardev: {python} cannot make a virtual environment (no ensurepip).\n"
            f"chardev: on Debian install it with: apt-get install python3.{sys.version_info.minor}-venv\n"
        ),
    )


def test_says_what_to_do_when_nothing_runs(tmp_path: Path) -> None:
    """A wrong name would fail without saying what was looked for."""
    assert find(home=tmp_path, python="/nowhere/python3") == (
        1,
        "",
        (
            "chardev: no Python 3.11 or newer that runs (looked for: /nowhere/python3).\n"
            "chardev: on Debian 12 or later install it with: apt-get install python3 python3-venv\n"
            "chardev: or name one: make PYTHON=/path/to/python3 ...\n"
        ),
    )


def test_newer_means_another_minor_version(tmp_path: Path) -> None:
    """`make test-newer` would run the same version twice, or fail where there is no newer one."""
    python = tmp_path / "python3.99"
    python.write_text("#!/bin/sh\necho 3.100\n")
    python.chmod(0o755)
    assert find("--newer-than", str(python), home=tmp_path) == (
        1,
        "",
        f"chardev: no interpreter newer than {python} that runs (looked for: python3.13 python3.12).\n",
    )
