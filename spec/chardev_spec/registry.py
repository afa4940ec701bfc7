"""What carries each rule: the functions, invariants, events and errors that cite it.

Nothing is listed by hand but the rules themselves (`rules`): a function or event carries the rules that its docstring
names, an invariant or error those that it declares.
"""

import inspect
import re
from dataclasses import dataclass
from typing import Final

from chardev_spec import errors, events
from chardev_spec.contract import Contract
from chardev_spec.invariants import INVARIANTS, Invariant
from chardev_spec.rules import RULES

RULE_ID: Final = re.compile(r"\b(?:CB|TOK|SELF|BUF|WR|RD|LC|MIG|DEV|EXT)-\d+\b")
"""How a rule is cited."""

HEADER_PREFIX: Final = "spice_char_device_"


@dataclass(frozen=True, slots=True)
class Function:
    """A step of the machine.

    `header` is the name of the header's function that it specifies, None for an inner step or a function beyond the
    header.
    """

    name: str
    module: str
    header: str | None
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EventKind:
    """A callback or a call of the port."""

    name: str
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """A named error, and the rule whose breach it reports."""

    name: str
    rule: str


def cited(text: str | None) -> tuple[str, ...]:
    """The ids of the rules that a text cites, in the order of their first mention."""
    return tuple(dict.fromkeys(RULE_ID.findall(text or "")))


def _functions() -> dict[str, Function]:
    functions = {}
    for name, method in inspect.getmembers(Contract, inspect.isfunction):
        if name == "__init__":
            continue
        text = inspect.getdoc(method) or ""
        word = text.split(maxsplit=1)[0].rstrip(":") if text else ""
        header = word if word.startswith(HEADER_PREFIX) else None
        module = method.__module__.rpartition(".")[2]
        functions[name] = Function(name, module, header, cited(text))
    return functions


def _events() -> dict[str, EventKind]:
    kinds = inspect.getmembers(events, inspect.isclass)
    return {
        name: EventKind(name, cited(kind.__doc__))
        for name, kind in kinds
        if kind.__module__ == events.__name__
    }


def _errors() -> dict[str, ErrorKind]:
    kinds = inspect.getmembers(errors, inspect.isclass)
    named = {
        name: ErrorKind(name, kind.rule)
        for name, kind in kinds
        if issubclass(kind, errors.ContractError) and kind is not errors.ContractError
    }
    bad_data = errors.BadMigrationDataError
    return named | {bad_data.__name__: ErrorKind(bad_data.__name__, cited(bad_data.__doc__)[0])}


FUNCTIONS: Final[dict[str, Function]] = _functions()
EVENTS: Final[dict[str, EventKind]] = _events()
ERRORS: Final[dict[str, ErrorKind]] = _errors()
INVARIANTS_BY_NAME: Final[dict[str, Invariant]] = {
    invariant.name: invariant for invariant in INVARIANTS
}


def carriers(rule: str) -> list[str]:
    """Everything that carries a rule, as ``function NAME``, ``invariant NAME``, ``event NAME`` or ``error NAME``."""
    return [
        *(f"function {each.name}" for each in FUNCTIONS.values() if rule in each.rules),
        *(f"invariant {each.name}" for each in INVARIANTS if rule in each.rules),
        *(f"event {each.name}" for each in EVENTS.values() if rule in each.rules),
        *(f"error {each.name}" for each in ERRORS.values() if rule == each.rule),
    ]


CARRIERS: Final[dict[str, list[str]]] = {rule: carriers(rule) for rule in RULES}
