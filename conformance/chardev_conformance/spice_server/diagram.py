"""What is done to a server as arrows of a sequence diagram.

Nobody sees the calls inside the library, so every arrow leads to it: from a client, from a port, or from the host.
"""

from typing import Final

from chardev_conformance.report_diagram import Lifeline, Message
from chardev_conformance.spice_server.steps import Scenario, Step, step_text

HOST: Final = Lifeline("server", "host")
LIBRARY: Final = Lifeline("device", "in the library")


def messages(scenario: Scenario) -> list[Message]:
    """One arrow a step, with the step's number."""
    return [
        Message(_who(step), LIBRARY, f"{number}. {step_text(step)}")
        for number, step in enumerate(scenario.steps, start=1)
    ]


def _who(step: Step) -> Lifeline:
    for kind in ("client", "port"):
        if kind in step.arguments:
            return Lifeline(kind, step[kind])
    return HOST
