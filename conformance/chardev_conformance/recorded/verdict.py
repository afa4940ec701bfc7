"""What was found in recorded traffic, and what could not be judged."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple


class Finding(NamedTuple):
    """Something that the contract does not allow."""

    rule: str
    party: str
    """Who broke it."""
    where: str
    allowed: str
    seen: str


@dataclass(slots=True)
class Verdict:
    """What one file says."""

    judged: Counter[str] = field(default_factory=Counter)
    """What was looked at, in words, and how often."""
    findings: list[Finding] = field(default_factory=list)
    not_judged: dict[str, None] = field(default_factory=dict)
    """What cannot be said from this file, and why; each once, in the order met."""

    def skip(self, text: str) -> None:
        """Note what is not judged."""
        self.not_judged[text] = None

    def find(self, rule: str, party: str, where: str, *, allowed: str, seen: str) -> None:
        """Enter a finding."""
        self.findings.append(Finding(rule, party, where, allowed, seen))
