"""What is done to a server as arrows."""

from chardev_conformance.report_diagram import Lifeline, Message
from chardev_conformance.spice_server.diagram import HOST, LIBRARY, messages
from chardev_conformance.spice_server.steps import Scenario
from tests.conformance.spice_server.peers import step


def test_who_does_what() -> None:
    """A step would be drawn as another's, or without its number in the text."""
    scenario = Scenario(
        "agent",
        (
            step("data", client="c1", bytes=""),
            step("feed", port="agent", bytes="00"),
            step("advance", milliseconds=5),
        ),
    )
    assert messages(scenario) == [
        Message(Lifeline("client", "c1"), LIBRARY, "1. data client=c1 bytes=(none)"),
        Message(Lifeline("port", "agent"), LIBRARY, "2. feed port=agent bytes=00"),
        Message(HOST, LIBRARY, "3. advance milliseconds=5"),
    ]
