"""Judges QEMU's trace log of its spice character devices (``-trace 'spice_*'``; ``chardev/trace-events`` of QEMU 7.2).

The log tells how much was offered and taken, not what, and not by which device.
"""

import re
from typing import Final

from chardev_conformance.recorded.verdict import Verdict

_EVENTS: Final = {
    "spice_vmc_write": re.compile(r"spice wrote (-?\d+) of requested (-?\d+)$"),
    "spice_vmc_read": re.compile(r"spice read (-?\d+) of requested (-?\d+)$"),
    "spice_vmc_register_interface": re.compile(r"spice vmc registered interface (\S+)$"),
    "spice_vmc_unregister_interface": re.compile(r"spice vmc unregistered interface (\S+)$"),
    "spice_vmc_event": re.compile(r"spice vmc event (\d+)$"),
    "spice_chr_discard_write": re.compile(r"spice chr write discarded (\d+)$"),
}
_LINE: Final = re.compile(r"(?:\d+@[\d.]+:|\S+ )?(spice_(?:vmc|chr)_\w+) (.*)$")

OUT_OF_SIGHT: Final = (
    "which of several devices read or wrote: the log does not say",
    "the bytes themselves, their order and their framing (WR-1, DEV-2): the log has sizes only",
    "whether the rest of a write that was cut short comes next (WR-7): a reset in between is not logged",
    "clients, their tokens, and timers: a packet capture of the session tells of the first two",
)


def is_log(text: str) -> bool:
    """Whether a text looks like such a log."""
    return any(_LINE.match(line) for line in text.splitlines())


def judge_log(text: str, name: str) -> Verdict:
    """Judge a log; lines of other events are left aside."""
    verdict = Verdict()
    attached: set[str] = set()
    begun = False
    # QEMU logs that it attached a port when the device has done its first reads and writes.
    early: list[tuple[str, str]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        known = _LINE.match(line)
        if known is None or known[1] not in _EVENTS:
            continue
        where = f"{name}:{number}"
        words = _EVENTS[known[1]].match(known[2])
        if words is None:
            verdict.skip(f"{where} on its own: the event has another form than in QEMU 7.2")
            continue
        match known[1]:
            case "spice_vmc_register_interface":
                begun = True
                early.clear()
                verdict.judged["ports attached"] += 1
                _attach(verdict, attached, words[1], where)
            case "spice_vmc_unregister_interface":
                verdict.judged["ports detached"] += 1
                attached.discard(words[1])
            case "spice_vmc_write" | "spice_vmc_read" as event:
                kind = event.removeprefix("spice_vmc_")
                verdict.judged[f"{kind}s"] += 1
                _transfer(verdict, kind, int(words[1]), int(words[2]), where)
                if begun and not attached:
                    early.append((where, f"a {kind}"))
            case "spice_vmc_event":
                verdict.judged["port events"] += 1
            case _:
                verdict.judged["writes of the guest discarded while no client was there"] += 1
    for where, seen in early:
        allowed = "nothing of a port that was detached"
        verdict.find("LC-4", "device", where, allowed=allowed, seen=seen)
    if not begun:
        verdict.skip("whether a port was attached: the log begins after that")
    for unseen in OUT_OF_SIGHT:
        verdict.skip(unseen)
    return verdict


def _attach(verdict: Verdict, attached: set[str], port: str, where: str) -> None:
    if port in attached:
        seen = f"{port}, which is attached, once more"
        verdict.find("LC-4", "port", where, allowed="a port that is not attached", seen=seen)
    attached.add(port)


def _transfer(verdict: Verdict, kind: str, moved: int, offered: int, where: str) -> None:
    rule = "WR-3" if kind == "write" else "RD-1"
    if offered < 1:
        seen = f"a {kind} of {offered} bytes"
        verdict.find(rule, "device", where, allowed="at least one byte", seen=seen)
    elif not 0 <= moved <= offered:
        allowed = f"0 to {offered} bytes"
        verdict.find(rule, "port", where, allowed=allowed, seen=f"{moved} bytes")
