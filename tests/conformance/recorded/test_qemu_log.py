"""QEMU's trace log is judged by how much went between device and port."""

from chardev_conformance.recorded.qemu_log import OUT_OF_SIGHT, is_log, judge_log
from chardev_conformance.recorded.verdict import Finding

ATTACH = "spice_vmc_register_interface spice vmc registered interface 0x1\n"
DETACH = "spice_vmc_unregister_interface spice vmc unregistered interface 0x1\n"


def write(moved: int, offered: int) -> str:
    """A line of the log."""
    return f"spice_vmc_write spice wrote {moved} of requested {offered}\n"


def read(moved: int, offered: int) -> str:
    """A line of the log."""
    return f"12@1700000000.123456:spice_vmc_read spice read {moved} of requested {offered}\n"


def test_what_is_allowed() -> None:
    """A log of an implementation that keeps to the contract would be blamed: the first reads come before the line."""
    log = ATTACH + write(3, 5) + write(2, 2) + DETACH + read(0, 8) + ATTACH + read(8, 8)
    log += "spice_vmc_event spice vmc event 0\nspice_chr_discard_write spice chr write discarded 1\nother line\n"
    verdict = judge_log(log, "q.log")
    assert verdict.findings == []
    assert [*verdict.not_judged] == [*OUT_OF_SIGHT]
    assert verdict.judged == {
        "ports attached": 2,
        "ports detached": 1,
        "writes": 2,
        "reads": 2,
        "port events": 1,
        "writes of the guest discarded while no client was there": 1,
    }


def test_what_is_not_allowed() -> None:
    """A port that takes more than it was offered, or a device that uses a port that is gone, would hold."""
    log = write(6, 5) + read(-1, 8) + write(0, 0) + ATTACH + ATTACH + DETACH + write(1, 1)
    assert judge_log(log, "q.log").findings == [
        Finding("WR-3", "port", "q.log:1", "0 to 5 bytes", "6 bytes"),
        Finding("RD-1", "port", "q.log:2", "0 to 8 bytes", "-1 bytes"),
        Finding("WR-3", "device", "q.log:3", "at least one byte", "a write of 0 bytes"),
        Finding(
            "LC-4",
            "port",
            "q.log:5",
            "a port that is not attached",
            "0x1, which is attached, once more",
        ),
        Finding("LC-4", "device", "q.log:7", "nothing of a port that was detached", "a write"),
    ]


def test_what_cannot_be_judged_is_said() -> None:
    """A log that begins late, or of another QEMU, would be read as if it were whole."""
    verdict = judge_log(write(1, 1) + "spice_vmc_write wrote much\n", "q.log")
    assert [*verdict.not_judged][:2] == [
        "q.log:2 on its own: the event has another form than in QEMU 7.2",
        "whether a port was attached: the log begins after that",
    ]
    assert is_log("x\n" + write(1, 1))
    assert not is_log('{"format": "chardev-trace"}\n')
