"""Pictures of what the specification does: sequence diagrams of a walk, state diagrams of many.

The specification runs, what it does is written down as Mermaid text, and `mermaid_render` draws that as SVG.
No picture is drawn by hand, and no browser or network is needed.

The colours of the drawing become variables of the page's style sheet, so that a picture follows a dark theme.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from html import escape
from typing import Final

from mermaid_render import mermaid_to_svg

from chardev_conformance.walk import Begin, Moment, Reply
from chardev_conformance.walk_text import answer_text, call_text, end_text, event_text
from chardev_spec.events import PortWrite

OWNER: Final = "Owner"
PORT: Final = "Port"

COLOURS: Final = {
    "#FFFFFF": "var(--diagram-background)",
    "#172D4A": "var(--diagram-text)",
    "#596579": "var(--diagram-text)",
    "#000000": "var(--diagram-line)",
    "#E5EFFA": "var(--diagram-fill)",
    "#F0F4FA": "var(--diagram-fill)",
    "#4472C4": "var(--diagram-border)",
}
"""The colours of the drawing tool's plain theme, and the variable of the page that each becomes."""


@cache
def svg(source: str, label: str) -> str:
    """Mermaid text as an SVG element for an HTML page; `label` is what is read out instead of it."""
    drawn = mermaid_to_svg(source).decode()
    drawn = re.sub(r"#[0-9A-F]{6}", lambda found: COLOURS.get(found[0], found[0]), drawn)
    drawn = re.sub(r"font-family: ?Noto Sans", "font-family:inherit", drawn)
    drawn = re.sub(r"--_fm:Noto Sans;", "", drawn)
    drawn = re.sub(r' role="[^"]*"', "", drawn, count=1)
    drawn = re.sub(r' aria-roledescription="[^"]*"', "", drawn, count=1)
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1)


# Sequence diagrams


def sequence(moments: Sequence[Moment]) -> str:
    """The moments of a walk as a sequence diagram: owner, device or devices, port."""
    lines = list(_messages(moments))
    devices = dict.fromkeys(each.device for each in moments)
    participants = [OWNER, *devices, *([PORT] if any(PORT in line for line in lines) else [])]
    names = {device: device.replace("d", "Device ", 1) for device in devices}
    if len(devices) == 1:
        names = dict.fromkeys(devices, "Device")
    return "\n".join([
        "sequenceDiagram",
        *(f"participant {each} as {names.get(each, each)}" for each in participants),
        *lines,
    ])  # fmt: skip


def _messages(moments: Sequence[Moment]) -> Iterator[str]:
    callers: list[str] = []
    asked: list[str] = []
    for moment, after in zip(moments, [*moments[1:], None], strict=True):
        device, decision = moment.device, moment.decision
        if isinstance(decision, Begin):
            caller = asked[-1] if asked else OWNER
            text = call_text(decision.step)
            if decision.step.call in {"advance", "migrate_data_release"}:
                yield f"Note over {OWNER}: {text}"
                continue
            if moment.refusal is not None:
                yield f"{caller}-x{device}: {text}"
                yield f"Note over {device}: {moment.refusal.error} ({moment.refusal.rule})"
                continue
            yield f"{caller}->>+{device}: {text}"
            callers.append(caller)
        elif (to := asked.pop()) and not _is_plain(decision):
            yield f"{to}-->>-{device}: {answer_text(decision.answer)}"
        elif moments[moments.index(moment) - 1].waiting is None:
            yield f"{to}-->>-{device}: returns"
        if moment.waiting is not None:
            to = PORT if isinstance(moment.waiting, PortWrite) else OWNER
            # A callback that just returns, with nothing inside it, needs no second arrow.
            plain = (
                after is not None
                and isinstance(after.decision, Reply)
                and _is_plain(after.decision)
            )
            yield f"{device}->>{'' if plain else '+'}{to}: {event_text(moment.waiting)}"
            asked.append(to)
        else:
            yield f"{device}-->>-{callers.pop()}: {end_text(moment)}"


def _is_plain(reply: Reply) -> bool:
    return answer_text(reply.answer) == "returns"


# State diagrams


def state_diagram(edges: Iterable[tuple[str, str, str]]) -> str:
    """Edges (from, to, why) as a state diagram; the reasons of equal edges are put together."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for source, target, why in edges:
        known = reasons.setdefault((source, target), [])
        if why not in known:
            known.append(why)
    states = dict.fromkeys(each for edge in reasons for each in edge if each != "[*]")
    ids = {state: f"s{i}" for i, state in enumerate(states)} | {"[*]": "[*]"}
    return "\n".join([
        "stateDiagram-v2",
        *(f'state "{state}" as {ids[state]}' for state in states),
        *(
            f"{ids[source]} --> {ids[target]}: {'<br>'.join(whys)}"
            for (source, target), whys in reasons.items()
        ),
    ])  # fmt: skip
