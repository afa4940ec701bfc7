"""Why a call was refused: the error, its rule, and the condition in the specification's text that raised it."""

import ast
import linecache
import traceback
from dataclasses import dataclass
from functools import cache
from types import TracebackType

from chardev_spec.errors import BadMigrationDataError, ContractError
from chardev_spec.registry import ERRORS


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that the specification refused; nothing has changed."""

    error: str
    """The name of the error."""
    rule: str
    """The rule that forbids the call."""
    message: str
    condition: str
    """What held in the specification when it raised the error, as an expression of its text."""


def refusal(error: ContractError | BadMigrationDataError) -> Refusal:
    """What an error that the specification raised says, and where in its text it was raised."""
    name = type(error).__name__
    return Refusal(name, ERRORS[name].rule, str(error), _condition_at(error.__traceback__))


def _condition_at(trace: TracebackType | None) -> str:
    """The condition around the statement that raised."""
    place = traceback.extract_tb(trace)[-1]
    conditions = _conditions(place.filename)
    return conditions.get(place.lineno or 0, "always")


@cache
def _conditions(filename: str) -> dict[int, str]:
    """Of each line of a file that belongs to a `raise`: the condition of the `if` that it stands in."""
    tree = ast.parse("".join(linecache.getlines(filename)))
    conditions = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.If):
            for statement in node.body:
                if isinstance(statement, ast.Raise):
                    for line in range(statement.lineno, (statement.end_lineno or 0) + 1):
                        conditions[line] = ast.unparse(node.test)
    return conditions
