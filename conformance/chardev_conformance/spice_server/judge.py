"""Judges what a server did: by the specification, step by step, and by what holds whoever does what.

Theory of operation
===================
The specification performs the same steps (`specified`), and the first step of which it gives another observation is a
finding.
While a client does not read, when things happen is the server's affair: as soon as it reads again, what they led to
together is compared.
Where it does not say what comes next (`UnpredictableError`: a peer broke the protocol) the comparison ends, and four
things are still demanded of every server, however wild its peers are:

- it goes on: an abort, a memory fault or an endless loop is a finding;
- a client that does not read makes it read no more from its port than it can hold for that client (DEV-2);
- a client is sent no more messages than it granted (RD-6);
- a port is given nothing but what somebody sent (MIG-5, WR-1): the memory of the server stays its own.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from chardev_conformance.spice_server.isolation import Outcome
from chardev_conformance.spice_server.observation import Observation, total
from chardev_conformance.spice_server.owner_quirks import OWNER_QUIRKS, Implementation
from chardev_conformance.spice_server.specified import UnpredictableError
from chardev_conformance.spice_server.stages import AGENT, STAGES
from chardev_conformance.spice_server.steps import Scenario, Step
from chardev_spec.errors import ContractError
from chardev_spec.profiles import Profile

CRASH: Final = "crash"
WRONG: Final = "wrong"
"""The two kinds of what a server does: it comes to an end, or it goes on and does something else."""

_RULES_OF_STEPS: Final = {
    "restore": "MIG-5",
    "attach": "MIG-5",
    "flush": "MIG-2",
    "migrate": "MIG-2",
    "start": "DEV-2",
    "tokens": "DEV-2",
    "seamless": "MIG-6",
    "connected": "MIG-6",
    "detach": "CB-1",
    "stop": "CB-1",
    "run": "CB-1",
}
"""The rule that a server breaks when it does not survive a step; data breaks that of its device."""

_RULES_OF_LANES: Final = {
    "writes": ("WR-1", "WR-4", "WR-5"),
    "unread": ("RD-1", "RD-8"),
    "received": ("RD-2", "TOK-3"),
    "closed": ("RD-4", "TOK-2"),
    "retry": ("WR-4", "WR-6"),
    "wait": ("RD-5",),
    "told": ("DEV-1",),
}
"""What a difference in one part of an observation is about."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a server did and should not have done."""

    kind: str
    rules: tuple[str, ...]
    """The most likely first."""
    symptom: str
    where: str
    expected: str
    seen: str

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from others: a crash is told by what it died of, wherever it was led to."""
        return CRASH if self.kind == CRASH else self.rules[0], self.symptom

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "kind": self.kind,
            "rules": list(self.rules),
            "symptom": self.symptom,
            "where": self.where,
            "expected": self.expected,
            "seen": self.seen,
        }


def implementation(profile: Profile) -> Implementation:
    """What a profile says of a server: the contract is above the device what it says of DEV-1 and DEV-2."""
    return Implementation(profile.machine, OWNER_QUIRKS if profile.quirks else ())


def judge(
    scenario: Scenario, outcome: Outcome, compared: Implementation, *, deaths: bool = True
) -> Finding | None:
    """The first finding in what became of a scenario; None if there is none.

    `deaths` says whether the end of the process is one.
    """
    finding = (
        _disclosed(scenario, outcome)
        or compare(scenario, outcome, compared)
        or _overdrawn(scenario, outcome)
        or _hoarded(scenario, outcome)
    )
    if finding is not None:
        return finding
    return _death(scenario, outcome) if outcome.died and deaths else None


def compare(scenario: Scenario, outcome: Outcome, compared: Implementation) -> Finding | None:
    """The first step that is not as the specification has it, as far as that says what comes next."""
    world = compared.world(scenario.stage)
    unheard: list[tuple[Observation, Observation]] = []
    for number, (step, observed) in enumerate(
        zip(scenario.steps, outcome.observations, strict=False), start=1
    ):
        seen = observed
        try:
            expected = world.perform(step)
        except UnpredictableError:
            return None
        except ContractError as error:
            refused = f"refused: {error}"
            return _finding(
                WRONG,
                step,
                number,
                (error.rule,),
                f"{step.do} is not refused",
                refused,
                "performed",
            )
        if world.deaf or unheard:
            unheard.append((expected, seen))
            if world.deaf:
                continue
            expected, seen = (total(each) for each in zip(*unheard, strict=True))
            if expected == seen:
                return None  # what comes next depends on how often the server looked at its port
        if expected != seen:
            lanes = [
                name for name in _RULES_OF_LANES if getattr(expected, name) != getattr(seen, name)
            ]
            rules = tuple(rule for lane in lanes for rule in _RULES_OF_LANES[lane])
            words = [_lane_texts(lane, expected, seen) for lane in lanes]
            return _finding(
                WRONG,
                step,
                number,
                rules,
                f"{lanes[0]} at {step.do}",
                "; ".join(each for each, _ in words),
                "; ".join(each for _, each in words),
            )
    return None


def _lane_texts(lane: str, expected: Observation, seen: Observation) -> tuple[str, str]:
    allowed, was = getattr(expected, lane), getattr(seen, lane)
    return f"{lane} {_short(allowed)}", f"{lane} {_short(was)}"


def _short(value: object) -> str:
    text = str(value) if value else "none"
    return text if len(text) <= 400 else f"{text[:400]}... ({len(text):,} characters)"


def _finding(
    kind: str,
    step: Step,
    number: int,
    rules: tuple[str, ...],
    symptom: str,
    expected: str,
    seen: str,
) -> Finding:
    return Finding(
        kind, tuple(dict.fromkeys(rules)), symptom, f"step {number}: {step.do}", expected, seen
    )


def _death(scenario: Scenario, outcome: Outcome) -> Finding:
    number = len(outcome.observations)
    step = scenario.steps[min(number, len(scenario.steps) - 1)]
    said = [line for line in outcome.said if _TELLING.search(line)]
    text = _normalised(said[-1]) if said else ""
    seen = f"{outcome.end}: {text}" if text else f"{outcome.end} at {step.do}"
    # A use of freed memory is a segmentation fault or an abort by the heap's checks, as the memory happens to lie.
    symptom = text if text.startswith("fault in") else seen
    rules = (_rule_of(scenario, step),)
    return _finding(CRASH, step, number + 1, rules, symptom, "the server goes on", seen)


_TELLING: Final = re.compile(
    r"ERROR|fault in|free\(\)|malloc|corrupt|realloc|chunks|stack smashing"
)
"""The lines of standard error that say what a process died of."""


def _normalised(line: str) -> str:
    """Without numbers that a peer chose, and without the folder of the source."""
    line = re.sub(r"allocate \d+ bytes", "allocate as many bytes as it was told", line)
    line = re.sub(r"(version|size|magic) \d+( \(\D+\d+\))?", r"\1 N", line)
    line = re.sub(r", at [0-9a-f]+$", "", line)
    return re.sub(r"\S*/(\S+\.(c|cpp|h):\d+)", r"\1", line)


def _rule_of(scenario: Scenario, step: Step) -> str:
    if step.do in _RULES_OF_STEPS and not (
        step.do == "attach" and len(STAGES[scenario.stage].servers) == 1
    ):
        return _RULES_OF_STEPS[step.do]
    ports = STAGES[scenario.stage].ports.values()
    return "DEV-2" if any(port.kind == AGENT for port in ports) else "DEV-1"


# What holds whoever does what


def _overdrawn(scenario: Scenario, outcome: Outcome) -> Finding | None:
    """RD-6: a client of the agent is sent no more messages than it granted, over all its servers."""
    granted: dict[str, int] = {}
    sent: dict[str, int] = {}
    for number, (step, seen) in enumerate(
        zip(scenario.steps, outcome.observations, strict=False), start=1
    ):
        client = str(step.arguments.get("client", ""))[:2]
        if step.do in {"detach", "send", "begin", "more", "link"} or (
            step.do == "restore" and step["patches"]
        ):
            return None  # what is granted from then on is counted elsewhere, or by bytes that are not looked at
        if step.do in {"start", "tokens"}:
            granted[client] = granted.get(client, 0) + step["tokens"]
        for name, messages in seen.received.items():
            sent[name[:2]] = sent.get(name[:2], 0) + sum(
                kind == "agent-data" for kind, _ in messages
            )
        for name, count in sent.items():
            if count > granted.get(name, 0):
                return _finding(
                    WRONG,
                    step,
                    number,
                    ("RD-6",),
                    "more messages than granted",
                    f"at most {granted.get(name, 0)} messages for {name}",
                    f"{count} messages",
                )
    return None


def _hoarded(scenario: Scenario, outcome: Outcome) -> Finding | None:
    """DEV-2: what is read for a client that does not read fits in the read buffers and the socket."""
    port = next(
        (name for name, plan in STAGES[scenario.stage].ports.items() if plan.kind == AGENT), ""
    )
    deaf, waiting, hoard = "", 0, 0
    for number, (step, seen) in enumerate(
        zip(scenario.steps, outcome.observations, strict=False), start=1
    ):
        fed = len(step["bytes"]) // 2 if step.do == "feed" and step["port"] == port else 0
        left = seen.unread.get(port, 0)
        if deaf:
            hoard += waiting + fed - left
        waiting = left
        if step.do == "deaf" and port and not STAGES[scenario.stage].several_clients:
            deaf, hoard = deaf or step["client"], 0
        elif step.do in {"hear", "detach", "close", "migrate", "restore"}:
            return None
        if hoard > HOARD_MOST:
            return _finding(
                WRONG,
                step,
                number,
                ("DEV-2",),
                "reads without bound for a client that does not read",
                f"at most {HOARD_MOST:,} bytes are read from {port}",
                f"{hoard:,} bytes",
            )
    return None


HOARD_MOST: Final = 32_768
"""Five bodies of 2,048 bytes, one that is being read, and what a socket of the least size holds, in bytes."""


def _disclosed(scenario: Scenario, outcome: Outcome) -> Finding | None:
    """MIG-5: what a port is given after migration data came is part of that data."""
    data: dict[str, bytes] = {}
    for number, (step, seen) in enumerate(
        zip(scenario.steps, outcome.observations, strict=False), start=1
    ):
        for name, messages in seen.received.items():
            for kind, text in messages:
                if kind == "migrate-data":
                    data[name] = bytes.fromhex(text)
        if step.do == "restore" and step["source"] in data:
            message = bytearray(data[step["source"]])
            for offset, text in step["patches"]:
                message[offset : offset + len(text) // 2] = bytes.fromhex(text)
            for name, writes in seen.writes.items():
                first = bytes.fromhex(writes[0][0])
                if first not in bytes(message) and first[:4] != _SERVERS_OWN and len(first) > 0:
                    return _finding(
                        WRONG,
                        step,
                        number,
                        ("MIG-5", "WR-1"),
                        "memory of the server reaches the port",
                        "the data is refused",
                        f"{name} is offered {len(first):,} bytes that are not in the migration data",
                    )
    return None


_SERVERS_OWN: Final = (2).to_bytes(4, "little")
"""How chunks begin that the server makes itself."""
