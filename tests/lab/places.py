"""The lines of the guest: where each is, what can be done to it, and the drivers that have to be there."""

import fcntl
import os
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from tests.lab.control import Control, virtio_port

MODULES: Final = ("xhci_pci", "ftdi_sio", "cdc_acm", "dummy_hcd", "usb_f_acm")

WAIT_SECONDS: Final = 40.0
"""How long a device may take to come or go."""

GADGETS: Final = Path("/sys/kernel/config/usb_gadget")
PCI_DRIVER: Final = Path("/sys/bus/pci/drivers/serial")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A line and its peer, both in the guest."""

    title: str
    find: Callable[[], tuple[str, str]]
    """The paths of the port and of its peer, which change when it is plugged again."""
    unplug: Callable[[Control], None]
    """Take the port away, or hang it up, while it is open."""
    plug: Callable[[Control], None]
    """Give it back."""
    amount: int
    """Bytes sent over it: a third is more than driver and stalled wire hold, and takes a second at most."""
    wire: str = ""
    """The wire that the host can stall; else a peer that does not read holds the port back."""
    holds_back: bool = True
    """It takes only so much while nothing is carried to a peer, or the peer does not read."""
    send_break: Callable[[Control], None] | None = None
    """Let the port receive a break."""
    is_tty: bool = True
    is_uart: bool = False
    """It has a loopback of its own, and can be overrun."""

    def plug_again(self, control: Control) -> tuple[str, str]:
        """Give the port back that was taken away; the paths of port and peer, which are there."""
        self.plug(control)
        return until(self._there, f"{self.title}, plugged again")

    def _there(self) -> tuple[str, str] | None:
        paths = self.find()
        return paths if all(Path(path).exists() for path in paths) else None


FoundT = TypeVar("FoundT")


def until(what: Callable[[], FoundT | None], wanted: str) -> FoundT:
    """Wait until there is something; raises `TimeoutError`, which says what was wanted."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    raise TimeoutError(f"{wanted}: not within {WAIT_SECONDS:.0f} s")


@contextmanager
def stalled(place: Place, control: Control) -> Iterator[None]:
    """Nothing is carried from the port to its peer, where the host can see to that."""
    if place.wire:
        control.ask("stall", place.wire)
    try:
        yield
    finally:
        if place.wire:
            control.ask("flow", place.wire)


def load_drivers(kernel: Path) -> None:
    """Load the drivers that are modules, and make the CDC-ACM gadget."""
    for module in MODULES:
        subprocess.run(["/usr/sbin/modprobe", "--dirname", kernel, module], check=True)
    subprocess.run(["mount", "-t", "configfs", "none", GADGETS.parent], check=True)
    gadget = GADGETS / "lab"
    function = gadget / "functions/acm.lab"
    for folder in (gadget, function, gadget / "configs/lab.1", gadget / "strings/0x409"):
        folder.mkdir()
    # The Linux Foundation's numbers for a serial gadget.
    (gadget / "idVendor").write_text("0x1d6b")
    (gadget / "idProduct").write_text("0x0104")
    (gadget / "configs/lab.1/acm.lab").symlink_to(function)
    _plug_gadget()


def _plug_gadget(_: Control | None = None) -> None:
    controller = next(Path("/sys/class/udc").iterdir()).name
    (GADGETS / "lab/UDC").write_text(controller)


def _unplug_gadget(_: Control) -> None:
    (GADGETS / "lab/UDC").write_text("\n")


def _tty(pattern: str) -> str:
    """The one tty whose device is at such a path of sysfs."""
    found = until(lambda: list(Path("/sys").glob(pattern)), pattern)
    path = f"/dev/{found[0].name}"
    until(Path(path).exists, path)
    return path


def _usb(port: int) -> str:
    return _tty(f"bus/usb/devices/*-{port}:1.0/ttyUSB*")


def _pci_ports() -> tuple[str, str]:
    names = until(lambda: sorted(PCI_DRIVER.glob("0*/tty/ttyS*")), "two ports on PCI")
    one, two = (f"/dev/{path.name}" for path in names)
    return one, two


class _PciCard:
    """The card with both UARTs, which leaves when its driver lets go of it."""

    def __init__(self) -> None:
        self._address = ""

    def unplug(self, _: Control) -> None:
        self._address = next(PCI_DRIVER.glob("0*")).name
        (PCI_DRIVER / "unbind").write_text(self._address)

    def plug(self, _: Control) -> None:
        (PCI_DRIVER / "bind").write_text(self._address)


def _hang_up(path: str) -> None:
    """Hang up a tty as a modem does that loses its carrier: whoever has it open has lost it."""
    if (child := os.fork()) == 0:
        # The kernel hangs up the controlling terminal of a session whose leader ends.
        os.setsid()
        descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        fcntl.ioctl(descriptor, termios.TIOCSCTTY, 1)
        os._exit(0)
    os.waitpid(child, 0)


def _break_from(path: str) -> None:
    """Send a break from the other end of the line."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        termios.tcsendbreak(descriptor, 0)
    finally:
        os.close(descriptor)


_CARD: Final = _PciCard()

PLACES: Final = (
    Place(
        title="16550A on ISA",
        amount=48 << 10,
        find=lambda: ("/dev/ttyS1", "/dev/ttyS2"),
        unplug=lambda _: _hang_up("/dev/ttyS1"),
        plug=lambda _: None,
        wire="isa",
        send_break=lambda control: control.ask("break", "isa1"),
        is_uart=True,
    ),
    Place(
        title="16550A on PCI",
        amount=48 << 10,
        find=_pci_ports,
        unplug=_CARD.unplug,
        plug=_CARD.plug,
        wire="pci",
        send_break=lambda control: control.ask("break", "pci1"),
        is_uart=True,
    ),
    Place(
        title="FTDI on USB",
        amount=128 << 10,
        find=lambda: (_usb(1), _usb(2)),
        unplug=lambda control: control.ask("pull", "usb1"),
        plug=lambda control: control.ask("plug", "usb1"),
        # Its buffers empty as fast as anybody can write.
        holds_back=False,
        # No break: QEMU's adapter sends it without the byte that the driver wants beside it.
    ),
    Place(
        title="CDC-ACM to a gadget",
        amount=512 << 10,
        find=lambda: (_tty("bus/usb/devices/*-1:1.0/tty/ttyACM*"), "/dev/ttyGS0"),
        unplug=_unplug_gadget,
        plug=_plug_gadget,
        send_break=lambda _: _break_from("/dev/ttyGS0"),
    ),
    Place(
        title="virtio port",
        amount=512 << 10,
        find=lambda: (virtio_port("lab.one"), virtio_port("lab.two")),
        unplug=lambda control: control.ask("pull", "virtio1"),
        plug=lambda control: control.ask("plug", "virtio1"),
        wire="virtio",
        is_tty=False,
    ),
)
