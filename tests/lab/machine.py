"""The guest: what virtme-ng is told, and the serial devices that QEMU gives it."""

import os
import sys
from pathlib import Path
from typing import Final

from tests.lab.kernel import LabError

WIRES: Final = {
    "isa": ("isa1", "isa2"),
    "pci": ("pci1", "pci2"),
    "usb": ("usb1", "usb2"),
    "virtio": ("virtio1", "virtio2"),
}
"""Null modems through the host, by the two character devices of QEMU that they join."""

PLUGGABLE: Final = frozenset({"usb1", "usb2", "virtio1", "virtio2"})
"""What may be pulled: QEMU connects again when it is plugged."""

UNBOUNDED: Final = frozenset({"usb1", "usb2"})
"""A host that does not read these at once stops the whole guest."""

DEVICES: Final = (
    *("-device", "isa-serial,chardev=isa1,index=1"),
    *("-device", "isa-serial,chardev=isa2,index=2"),
    # Joined to nothing: its own loopback is tested.
    *("-chardev", "null,id=isa3", "-device", "isa-serial,chardev=isa3,index=3"),
    *("-device", "pci-serial-2x,chardev1=pci1,chardev2=pci2"),
    *("-device", "qemu-xhci,id=xhci"),
    *("-device", "usb-serial,chardev=usb1,bus=xhci.0,port=1"),
    *("-device", "usb-serial,chardev=usb2,bus=xhci.0,port=2"),
    *("-device", "virtio-serial-pci,id=ports"),
    *("-device", "virtserialport,bus=ports.0,chardev=control,name=lab.control"),
    *("-device", "virtserialport,bus=ports.0,chardev=virtio1,name=lab.one"),
    *("-device", "virtserialport,bus=ports.0,chardev=virtio2,name=lab.two"),
    *("-chardev", "pty,id=pty", "-device", "virtserialport,bus=ports.0,chardev=pty,name=lab.pty"),
)

# Four UARTs are on ISA; without room for more the ones on PCI are silently absent.
KERNEL_OPTIONS: Final = ("8250.nr_uarts=8",)

MEMORY: Final = "512M"


def command(image: Path, sockets: Path, guest: str) -> list[str]:
    """The command that boots the guest, runs the shell command `guest` in it, and ends with it.

    `image` is the kernel, `sockets` the folder where the host listens for QEMU.
    Raises `LabError` when virtme-ng is not installed.
    """
    virtme = Path(sys.executable).parent / "virtme-run"
    if not virtme.exists():
        raise LabError("virtme-ng is not installed; run: make lab")
    accelerate = [] if _kvm_works() else ["--disable-kvm"]
    options = [str(virtme), "--force-9p", *accelerate, "--disable-microvm", "--memory", MEMORY]
    options += ["--kimg", str(image), "--mods", "auto", "--show-boot-console"]
    options += ["--script-sh", guest]
    for option in KERNEL_OPTIONS:
        options += ["--kopt", option]
    options += ["--qemu-opts", "-qmp", f"unix:{sockets}/monitor,server=off"]
    for name in ("control", *(end for ends in WIRES.values() for end in ends)):
        again = ",reconnect=1" if name in PLUGGABLE else ""
        options += ["-chardev", f"socket,id={name},path={sockets}/{name}{again}"]
    return [*options, *DEVICES]


def _kvm_works() -> bool:
    """Whether the processor can virtualise and we may use it; the device file alone says little."""
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    return os.access("/dev/kvm", os.R_OK | os.W_OK) and bool({"vmx", "svm"} & set(flags))
