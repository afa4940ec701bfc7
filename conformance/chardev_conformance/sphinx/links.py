"""Text with its names as links: rule ids, functions, callbacks, invariants, errors and quirks."""

import re
from collections.abc import Iterable
from typing import Final

from chardev_conformance.scenario import EVENT_NAMES
from chardev_conformance.sphinx.text import ENTRIES
from chardev_spec.profiles import PROFILES, QUIRKS
from chardev_spec.registry import ERRORS, EVENTS, FUNCTIONS, INVARIANTS_BY_NAME
from chardev_spec.rules import RULES

DOMAIN: Final = "chardev"

HOLE: Final = f":{DOMAIN}:hole:`none`"
"""What stands where something is missing: it shows."""

NAMES: Final = {
    "rule": tuple(RULES),
    "function": tuple(name for name in FUNCTIONS if not name.startswith("_")),
    "invariant": tuple(INVARIANTS_BY_NAME),
    "event": tuple(EVENT_NAMES),
    "error": tuple(ERRORS),
    "quirk": tuple(quirk.__name__ for quirk in QUIRKS),
    "profile": tuple(PROFILES),
}
"""Everything that can be documented and referred to, by kind."""

_RULE_ID: Final = re.compile(rf"\b(?:{'|'.join(RULES)})\b")
_LITERAL: Final = re.compile(r"(``[^`]+``|(?<![:`])`[^`]+`(?!`)|:[a-z:]+:`[^`]+`)")


def _words() -> dict[str, str]:
    """What a word in single backticks can be: the link to it."""
    words = {name: reference("error", name) for name in ERRORS}
    words |= {name: reference("invariant", name) for name in INVARIANTS_BY_NAME}
    words |= {name: reference("quirk", name) for name in NAMES["quirk"]}
    words |= {name: reference("event", name) for name in EVENTS if name in EVENT_NAMES}
    words |= {header: reference("event", name) for name, header in EVENT_NAMES.items()}
    # The port's `write` is a word of other meanings too; functions of the API come last: their names are the plainest.
    del words["write"]
    return words | {name: reference("function", name) for name in ENTRIES}


def reference(kind: str, name: str) -> str:
    """A link to one thing of the contract, as reStructuredText."""
    shown = f"{EVENT_NAMES[name]} <{name}>" if kind == "event" else name
    return f":{DOMAIN}:{kind}:`{shown}`"


def references(kind: str, names: Iterable[str]) -> str:
    """Links to several things of a kind, in one line; the mark of a hole where there are none."""
    return ", ".join(reference(kind, name) for name in names) or HOLE


def linked(text: str) -> str:
    """The text with rule ids, and with names of the contract in single backticks, as links."""
    return "".join(map(_part, _LITERAL.split(text)))


def _part(part: str) -> str:
    if _LITERAL.fullmatch(part):
        return WORDS.get(part.strip("`"), part) if not part.startswith((":", "``")) else part
    return _RULE_ID.sub(lambda found: reference("rule", found[0]), part)


WORDS: Final = _words()
