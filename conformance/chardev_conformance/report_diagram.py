"""A scenario as a sequence diagram in SVG: who called whom, as the steps of a trace tell it.

The lifelines are the server, the clients, the devices and the ports; the server makes the calls that name no client.
Time goes down.
A bar on a device is a call.
One that was made inside a callback lies further right, between the callback and its answer.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, NamedTuple

from chardev_conformance.scenario import EVENT_NAMES, Outcome, Scenario, Step
from chardev_conformance.target import Timers
from chardev_conformance.walk_text import answer_text, call_text, event_text
from chardev_spec.events import Callback

OUTSIDE: Final = frozenset(
    {"advance", "migrate_data_release", "write_buffer_release_without_device"}
)
"""The calls that reach no device."""

TO_PORT: Final = frozenset({"write", "read_one_msg_from_device"})
"""The callbacks that the port answers."""

KINDS: Final = ("server", "client", "device", "port")
"""The kinds of lifelines, from left to right."""

LANE: Final = 150
"""From one lifeline to the next, in pixels, as all lengths here."""
TOP: Final = 60
"""Where the first message is."""
ROW: Final = 32
"""From one message to the next."""
BAR: Final = 8
"""The width of a bar, and how much further right one inside it is."""
CHARACTER: Final = 7.3
"""The width of a character, at most."""
LONGEST: Final = 64
"""The characters of a text that are drawn; the rest is told to who points at it."""


class Lifeline(NamedTuple):
    """One of `KINDS`, and its name."""

    kind: str
    name: str = ""


SERVER: Final = Lifeline("server")


@dataclass(frozen=True, slots=True)
class Message:
    """An arrow between two lifelines, or a note beside one when both are the same.

    `depth` is how many calls are on the stack then; an `answer` goes back.
    """

    source: Lifeline
    target: Lifeline
    text: str
    depth: int = 1
    answer: bool = False


def messages(scenario: Scenario) -> list[Message]:
    """The arrows of a scenario, from top to bottom."""
    return list(_Reader().calls(scenario.steps, 1))


class _Reader:
    def __init__(self) -> None:
        self._owners: dict[str, Lifeline] = {}
        """Whom each buffer was got for."""
        self._ports: dict[str, str] = {}
        """The port of each device."""

    def calls(self, steps: Iterable[Step], depth: int) -> Iterator[Message]:
        for step in steps:
            text = call_text(step) + (f" = {step.result_name}" if step.result_name else "")
            if step.call in OUTSIDE:
                yield Message(SERVER, SERVER, text, depth)
                continue
            caller, device = self._caller(step), Lifeline("device", step.device)
            if step.arguments.get("port"):
                self._ports[step.device] = step.arguments["port"]
            yield Message(caller, device, text, depth)
            for answer in step.answers:
                to = self._answerer(step, answer.on, answer.event)
                called = answer.on if answer.event is None else event_text(answer.event)
                yield Message(device, to, called, depth)
                yield from self.calls(answer.calls, depth + 1)
                yield Message(to, device, answer_text(answer), depth, answer=True)
            if step.outcome is not None and step.outcome.kind == "callback":
                event = step.outcome.value
                to = self._answerer(step, EVENT_NAMES[type(event).__name__], event)
                yield Message(device, to, event_text(event), depth)
            else:
                yield Message(device, caller, _outcome_text(step.outcome), depth, answer=True)
            for name, timers in step.timers.items():
                beside = Lifeline("device", name)
                yield Message(beside, beside, _timers_text(timers), depth)

    def _caller(self, step: Step) -> Lifeline:
        client, buffer = step.arguments.get("client"), step.arguments.get("buffer")
        caller = Lifeline("client", client) if client else self._owners.get(buffer or "", SERVER)
        if step.result_name is not None:
            self._owners[step.result_name] = caller
        return caller

    def _answerer(self, step: Step, name: str, event: Callback | None) -> Lifeline:
        if name in TO_PORT:
            return Lifeline("port", self._ports.get(step.device, ""))
        client = getattr(event, "client", None)
        return SERVER if client is None else Lifeline("client", str(client))


def _outcome_text(outcome: Outcome | None) -> str:
    if outcome is None:
        return "returns"
    return {
        "returned": "returns" if outcome.value is None else f"returns {outcome.value}",
        "refused": f"refused ({outcome.value})",
        "raised": "raises",
        "broken": f"broken: {outcome.value}",
    }[outcome.kind]


def _timers_text(timers: Timers) -> str:
    """The part of the state that shows from outside."""
    retry = [] if timers.retry_ms is None else [f"retry at {timers.retry_ms} ms"]
    waits = [f"wait for {client} until {due} ms" for client, due in timers.wait_ms.items()]
    return f"timers: {', '.join([*retry, *waits]) or 'none'}"


def to_svg(rows: Sequence[Message], label: str, failure: str, *, numbered: int = 0) -> str:
    """Messages as an SVG element for an HTML page.

    `label` is what is read out instead of it; `failure` is told at its end, in a word or two.
    The first `numbered` arrows that leave a device have numbers, so that a table can speak of them.
    The classes of its elements (`lifeline`, `bar`, `message`, `answer`, `note`, `failure`) get their colours from the
    page.
    """
    seen = dict.fromkeys(name for row in rows for name in (row.source, row.target))
    lifelines = sorted(seen, key=lambda each: KINDS.index(each.kind))
    places = {each: LANE * i + LANE // 2 for i, each in enumerate(lifelines)}
    bottom = TOP + ROW * len(rows)
    drawn, width = list[str](), LANE * len(lifelines)
    # The arrows of nested calls cross the bars around them.
    bars, arrows = list[str](), list[str]()
    for lifeline, x in places.items():
        drawn.append(f'<path class="lifeline" d="M{x} 34V{bottom + 4}"/>')
        name = escape(" ".join(filter(None, lifeline)))
        drawn.append(f'<text class="head" x="{x}" y="24" text-anchor="middle">{name}</text>')
    texts, begun, left = list[str](), list[tuple[Message, int]](), 0
    for i, row in enumerate(rows):
        y = TOP + ROW * i
        at = _arrow(row, places)
        if at is None:
            x, style = places[row.source] + BAR * (row.depth + 1), "note"
        else:
            style = "answer" if row.answer else "message"
            arrows.append(
                f'<path class="{style}" marker-end="url(#arrow)" d="M{at[0]} {y}H{at[1]}"/>'
            )
            x = min(at) + BAR
            if row.target.kind == "device" and not row.answer:
                begun.append((row, y))
            elif row.source.kind == "device" and row.answer:
                bars.append(_bar(*begun.pop(), y, places))
        text = row.text
        if at is not None and row.source.kind == "device" and left < numbered:
            left += 1
            text = f"{left}. {text}"
        texts.append(_text(style, x, y - 6, text))
        width = max(width, round(x + CHARACTER * min(len(text), LONGEST)) + BAR)
    bars += [_bar(*each, bottom, places) for each in begun]
    x = places.get(rows[-1].source, 0) + 2 * BAR if rows else 0
    texts.append(_text("failure", x, bottom, failure))
    width = max(width, round(x + CHARACTER * min(len(failure), LONGEST)) + BAR)
    return (
        f'<svg role="img" aria-label="{escape(label)}" width="{width}" height="{bottom + BAR}" '
        f'viewBox="0 0 {width} {bottom + BAR}">{"".join([*drawn, *bars, *arrows, *texts])}</svg>'
    )


def _bar(call: Message, top: int, end: int, places: dict[Lifeline, int]) -> str:
    left = _left(call.target, call.depth, places)
    return f'<rect class="bar" x="{left}" y="{top}" width="{BAR}" height="{end - top}"/>'


def _left(lifeline: Lifeline, depth: int, places: dict[Lifeline, int]) -> int:
    """The left side of a bar."""
    return places[lifeline] - BAR // 2 + BAR * (depth - 1)


def _arrow(row: Message, places: dict[Lifeline, int]) -> tuple[int, int] | None:
    """From where to where an arrow goes, None for a note."""
    if row.source == row.target:
        return None
    source, target = places[row.source], places[row.target]
    device = row.source if row.source.kind == "device" else row.target
    left = _left(device, row.depth, places)
    edge = left if min(source, target) != places[device] else left + BAR
    return (edge, target) if device == row.source else (source, edge)


def _text(style: str, x: int, y: int, text: str) -> str:
    short = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    title = "" if short == text else f"<title>{escape(text)}</title>"
    return f'<text class="{style}" x="{x}" y="{y}">{title}{escape(short)}</text>'
