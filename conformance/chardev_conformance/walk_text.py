"""The calls, callbacks and answers of a walk in words, as pictures and pages have them."""

from typing import Any

from chardev_conformance.scenario import EVENT_NAMES, Answer, Step
from chardev_conformance.walk import Begin, Moment
from chardev_spec.events import Callback
from chardev_spec.record import MigrateData


def call_text(step: Step) -> str:
    """A call as it is written: the name and its arguments."""
    return f"{step.call}({', '.join(map(_plain, step.arguments.values()))})"


def event_text(event: Callback) -> str:
    """A callback as it is written; the port's number is left out."""
    values = list(event)
    if "port" in event._fields:
        values = values[1:]
    return f"{EVENT_NAMES[type(event).__name__]}({', '.join(map(_plain, values))})"


def answer_text(answer: Answer) -> str:
    """What a callback was answered with."""
    if answer.raises:
        return "raises"
    if answer.on == "read_one_msg_from_device":
        return "a message" if answer.value else "nothing"
    if answer.on == "write":
        words: dict[Any, str] = {
            "fail": "fails",
            "over": "more than was offered",
            None: "takes all",
        }
        return words.get(answer.value, f"takes {answer.value}")
    return "returns"


def end_text(moment: Moment) -> str:
    """How a call ended."""
    if moment.raised is not None:
        return "raises"
    if moment.result is None:
        return "returns"
    if isinstance(moment.result, MigrateData):
        return "migration data"
    return f"returns {_plain(moment.result)}"


def _plain(value: Any) -> str:
    """A value in a diagram: bytes in hexadecimal, and nothing that Mermaid takes for a sign of its own."""
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= 40 else f"{text[:36]}..."


def decision_text(moment: Moment) -> str:
    """A decision and what it led to, in words, for who does not see the picture."""
    decision = moment.decision
    said = (
        call_text(decision.step)
        if isinstance(decision, Begin)
        else f"{decision.answer.on}: {answer_text(decision.answer)}"
    )
    if moment.refusal is not None:
        return f"{said}. Refused: {moment.refusal.message}"
    if moment.waiting is not None:
        return f"{said}. Then {event_text(moment.waiting)}"
    call = decision.step.call if isinstance(decision, Begin) else moment.calls[-1]
    return f"{said}. {call} {end_text(moment)}"
