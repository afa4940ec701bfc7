"""Scenarios as sequence diagrams."""

from typing import Final
from xml.etree import ElementTree as ET

from chardev_conformance.report_diagram import SERVER, Lifeline, Message, messages, to_svg
from chardev_conformance.scenario import Answer, Outcome, Scenario, Step
from chardev_conformance.target import Timers
from chardev_spec.events import PortWrite, SendTokensToClient

C1, D1, P1 = Lifeline("client", "c1"), Lifeline("device", "d1"), Lifeline("port", "p1")


def test_who_called_whom() -> None:
    """The picture would show another run than the trace."""
    scenario = Scenario(
        steps=[
            Step("create", {"port": "p1", "client_tokens_interval": 1, "self_tokens": 1}),
            Step("write_buffer_get", {"client": "c1", "size": 2}, result_name="b1"),
            Step(
                "write_buffer_add",
                {"buffer": "b1", "data": "0a0b"},
                [
                    Answer("write", 1, event=PortWrite(1, b"\x0a\x0b")),
                    Answer(
                        "send_tokens_to_client",
                        calls=[Step("stop", outcome=Outcome("refused", "LC-5"))],
                        event=SendTokensToClient("c1", 1),
                    ),
                ],
                outcome=Outcome("returned", True),
                timers={"d1": Timers(100, {"c1": 30})},
            ),
            Step("advance", {"milliseconds": 5}),
            Step("start", outcome=Outcome("callback", PortWrite(1, b"\x0b"))),
        ]
    )
    assert messages(scenario) == [
        Message(SERVER, D1, "create(p1, 1, 1)"),
        Message(D1, SERVER, "returns", answer=True),
        Message(C1, D1, "write_buffer_get(c1, 2) = b1"),
        Message(D1, C1, "returns", answer=True),
        Message(C1, D1, "write_buffer_add(b1, 0a0b)"),
        Message(D1, P1, "write(0a0b)"),
        Message(P1, D1, "takes 1", answer=True),
        Message(D1, C1, "send_tokens_to_client(c1, 1)"),
        Message(SERVER, D1, "stop()", 2),
        Message(D1, SERVER, "refused (LC-5)", 2, answer=True),
        Message(C1, D1, "returns", answer=True),
        Message(D1, C1, "returns True", answer=True),
        Message(D1, D1, "timers: retry at 100 ms, wait for c1 until 30 ms"),
        Message(SERVER, SERVER, "advance(5)"),
        Message(SERVER, D1, "start()"),
        Message(D1, P1, "write(0b)"),
    ]


SVG: Final = (
    '<svg role="img" aria-label="A &quot;label&quot;" width="300" height="196" viewBox="0 0 300 196">'
    '<path class="lifeline" d="M75 34V192"/>'
    '<text class="head" x="75" y="24" text-anchor="middle">server</text>'
    '<path class="lifeline" d="M225 34V192"/>'
    '<text class="head" x="225" y="24" text-anchor="middle">device d1</text>'
    '<rect class="bar" x="221" y="60" width="8" height="96"/>'
    '<path class="message" marker-end="url(#arrow)" d="M75 60H221"/>'
    '<path class="message" marker-end="url(#arrow)" d="M221 92H75"/>'
    '<path class="answer" marker-end="url(#arrow)" d="M75 124H221"/>'
    '<path class="answer" marker-end="url(#arrow)" d="M221 156H75"/>'
    '<text class="message" x="83" y="54">a &lt; b</text>'
    '<text class="message" x="83" y="86">asks</text>'
    '<text class="answer" x="83" y="118">answers</text>'
    '<text class="answer" x="83" y="150">returns</text>'
    '<text class="failure" x="241" y="188">&lt;A-1&gt;</text></svg>'
)


def test_the_drawing() -> None:
    """Arrows would end in nothing, or a text would be taken for markup."""
    rows = [
        Message(SERVER, D1, "a < b"),
        Message(D1, SERVER, "asks"),
        Message(SERVER, D1, "answers", answer=True),
        Message(D1, SERVER, "returns", answer=True),
    ]
    assert to_svg(rows, 'A "label"', "<A-1>") == SVG


def test_a_call_that_never_ends_and_a_long_text() -> None:
    """A crash inside a call would end the report, or a text would run out of the picture."""
    drawn = ET.fromstring(to_svg([Message(SERVER, D1, "x" * 100)], "", ""))
    [bar] = drawn.iter("rect")
    assert (bar.get("y"), bar.get("height")) == ("60", "32")
    [text] = [each for each in drawn.iter("text") if each.get("class") == "message"]
    assert ["".join(text.itertext()), text[0].text] == ["x" * 100 + "x" * 63 + "…", "x" * 100]
    assert float(drawn.get("width", 0)) >= 83 + 7.2 * 64
