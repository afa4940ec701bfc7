"""The guest's kernel: Debian's own package, of which only what the lab needs is unpacked."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

PACKAGE: Final = "linux-image-amd64"
"""Depends on the image of the current kernel."""

WANTED: Final = (
    "./boot/vmlinuz-*",
    "./lib/modules/*/modules.*",
    "./lib/modules/*/kernel/drivers/char/*",
    "./lib/modules/*/kernel/drivers/usb/*",
    "./lib/modules/*/kernel/drivers/virtio/*",
    "./lib/modules/*/kernel/fs/9p/*",
    "./lib/modules/*/kernel/fs/configfs/*",
    "./lib/modules/*/kernel/fs/fscache/*",
    "./lib/modules/*/kernel/fs/netfs/*",
    "./lib/modules/*/kernel/net/9p/*",
)
"""The root file system over 9p, and the drivers under test; 8250 is built in."""

TOOLS: Final = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "modprobe": "kmod",
    "file": "file",
    "dpkg-deb": "dpkg",
}
"""What the lab calls, and the Debian package that has it."""


class LabError(Exception):
    """The lab cannot run; the message says what is missing and how to get it."""


def check_tools() -> None:
    """Raise `LabError` with the command that installs what is missing."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool, path=path) is None]
    if missing:
        raise LabError(
            f"missing from this machine: {', '.join(missing)}; install with: "
            f"apt-get install --no-install-recommends {' '.join(missing)}"
        )


def kernel_image(folder: Path) -> Path:
    """The kernel, below `folder`; its modules are beside it as in the package.

    It is fetched and unpacked when it is not there yet.
    Raises `LabError` when it cannot be had.
    """
    images = sorted((folder / "kernel").glob("boot/vmlinuz-*"))
    if images:
        return images[-1]
    name = _package_name()
    folder.mkdir(exist_ok=True)
    _run("apt-get", "--quiet", "--quiet", "download", name, folder=folder)
    (package,) = folder.glob(f"{name}_*.deb")
    unpacked = folder / "unpacking"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir()
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as tar:
        command = ["tar", "--extract", "--wildcards", "--file", "-", f"--directory={unpacked}"]
        # A pattern that matches nothing, such as of a module that is built in, is no mistake.
        subprocess.run(
            [*command, *WANTED], stdin=tar.stdout, stderr=subprocess.DEVNULL, check=False
        )
    package.unlink()
    # Last, so that what is under its name is whole.
    unpacked.rename(folder / "kernel")
    return kernel_image(folder)


def _package_name() -> str:
    listing = _run("apt-cache", "depends", PACKAGE)
    found = re.search(r"Depends: (linux-image-\S+-amd64)", listing)
    if found is None:
        raise LabError(f"no package {PACKAGE} is known; run: apt-get update")
    return found[1]


def _run(*command: str, folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip()}; run: apt-get update")
    return done.stdout
