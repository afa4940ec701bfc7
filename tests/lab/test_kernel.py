"""What the lab says when the machine lacks something."""

import shutil

import pytest

from tests.lab.kernel import LabError, check_tools


def test_missing_tools_are_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader would get a traceback instead of the line to copy."""
    missing = {"qemu-system-x86_64", "modprobe"}
    monkeypatch.setattr(
        shutil, "which", lambda tool, **_: None if tool in missing else f"/bin/{tool}"
    )
    with pytest.raises(LabError) as caught:
        check_tools()
    assert str(caught.value) == (
        "missing from this machine: qemu-system-x86, kmod; install with: "
        "apt-get install --no-install-recommends qemu-system-x86 kmod"
    )
