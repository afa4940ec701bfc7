"""Where scenarios begin: servers, their ports, and the clients that are linked already.

To link costs the server a key of its own, some 15 ms; so it is done once for each stage, and scenarios begin in a copy.

The first client of a server is a new one; a client of a further server is a migrating one, which names the session that
the first server gave.
"""

from dataclasses import dataclass, field
from typing import Final

AGENT: Final = "agent"
PORT: Final = "port"
USB: Final = "usb"


@dataclass(frozen=True, slots=True)
class PortPlan:
    """A port of a server: ``agent``, ``port`` or ``usb``."""

    server: str
    kind: str
    announces: bool = False
    attached: bool = True


@dataclass(frozen=True, slots=True)
class ClientPlan:
    """A channel of a client: its main channel (``agent``), or that of a port.

    `session` names the client whose session it belongs to; None for a new one.
    """

    server: str
    kind: str = AGENT
    session: str | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """What there is when a scenario begins, in the order in which it is made."""

    title: str
    servers: tuple[str, ...]
    ports: dict[str, PortPlan] = field(default_factory=dict)
    clients: dict[str, ClientPlan] = field(default_factory=dict)

    @property
    def several_clients(self) -> bool:
        """Whether its servers have more than one client."""
        return sum(plan.session is None for plan in self.clients.values()) > 1


STAGES: Final = {
    "agent": Stage(
        "one client, and an agent on a port that does not announce writability",
        ("A",),
        {"agentA": PortPlan("A", AGENT)},
        {"c1": ClientPlan("A")},
    ),
    "agent-announcing": Stage(
        "one client, and an agent on a port that announces writability",
        ("A",),
        {"agentA": PortPlan("A", AGENT, announces=True)},
        {"c1": ClientPlan("A")},
    ),
    "agents": Stage(
        "three clients, and an agent",
        ("A",),
        {"agentA": PortPlan("A", AGENT)},
        {"c1": ClientPlan("A"), "c2": ClientPlan("A"), "c3": ClientPlan("A")},
    ),
    "ports": Stage(
        "one client with the channels of a port and of a USB redirection",
        ("A",),
        {"portA": PortPlan("A", PORT), "usbA": PortPlan("A", USB, announces=True)},
        {
            "c1": ClientPlan("A"),
            "c1port": ClientPlan("A", PORT, "c1"),
            "c1usb": ClientPlan("A", USB, "c1"),
        },
    ),
    "migration": Stage(
        "a server with agent and client, and two servers that it may move to",
        ("A", "B", "C"),
        {
            "agentA": PortPlan("A", AGENT),
            "agentB": PortPlan("B", AGENT, attached=False),
            "agentC": PortPlan("C", AGENT, attached=False),
        },
        {
            "c1": ClientPlan("A"),
            "c1B": ClientPlan("B", session="c1"),
            "c1C": ClientPlan("C", session="c1"),
        },
    ),
    "port-migration": Stage(
        "a server with a port and its client, and a server that it may move to",
        ("A", "B"),
        {"portA": PortPlan("A", PORT), "portB": PortPlan("B", PORT)},
        {
            "c1": ClientPlan("A"),
            "c1port": ClientPlan("A", PORT, "c1"),
            "c1B": ClientPlan("B", session="c1"),
            "c1portB": ClientPlan("B", PORT, "c1"),
        },
    ),
}
"""The stages by name."""
