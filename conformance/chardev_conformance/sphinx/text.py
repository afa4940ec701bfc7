"""What the specification's own text says: who calls whom, which callbacks come when, what changes, what raises.

Everything here is read off the source of `chardev_spec` with `ast`; nothing is written down twice.
The machine keeps to a small subset of Python (`chardev_spec.lint`), which is what makes such a reading reliable.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Final, TypeAlias

from chardev_conformance.scenario import PARAMETERS
from chardev_spec import record, state
from chardev_spec.contract import Contract
from chardev_spec.invariants import Invariant
from chardev_spec.registry import ERRORS, EVENTS, FUNCTIONS
from chardev_spec.state import Buffer, Buffers, Client, Device

ENTRIES: Final = tuple(call for call in PARAMETERS if call in FUNCTIONS)
"""The functions that the environment calls: the header's and the timers, in the header's order."""

Definition: TypeAlias = ast.FunctionDef


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the state: the table that it is in, its name, and what its text says of it."""

    table: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Refuses:
    """An error that a step raises, and the condition under which it does."""

    error: str
    condition: str


@dataclass(frozen=True, slots=True)
class Step:
    """One function of the machine."""

    name: str
    text: str
    """Its docstring."""
    source: str
    """Its source without the docstring."""
    calls: tuple[str, ...]
    """The steps that it calls, in the order of its text."""
    events: tuple[str, ...]
    """The callbacks that it makes itself."""
    changes: frozenset[str]
    """The fields that it sets itself, as `table.name`."""


# Source


def definition(function: Callable[..., Any]) -> Definition:
    """The syntax of a function, without the decorators."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    (node,) = tree.body
    assert isinstance(node, ast.FunctionDef)
    node.decorator_list.clear()
    return node


def source_without_docstring(function: Callable[..., Any]) -> str:
    """The source of a function as it stands, comments included, but without its docstring."""
    lines = textwrap.dedent(inspect.getsource(function)).splitlines()
    first = ast.parse("\n".join(lines)).body[0]
    assert isinstance(first, ast.FunctionDef)
    text = first.body[0]
    if ast.get_docstring(first) is not None and len(first.body) > 1:
        del lines[text.lineno - 1 : text.end_lineno]
    return "\n".join(lines)


@cache
def step(name: str) -> Step:
    """What the text of one function of the machine says."""
    method = getattr(Contract, name)
    body = definition(method)
    return Step(
        name,
        inspect.getdoc(method) or "",
        source_without_docstring(method),
        tuple(dict.fromkeys(_calls(body))),
        tuple(dict.fromkeys(_events(body))),
        frozenset(_changes(body)),
    )


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    """A piece of syntax and all within it, in the order of the text."""
    yield node
    for each in ast.iter_child_nodes(node):
        yield from _in_order(each)


def _calls(node: ast.AST) -> Iterator[str]:
    for each in _in_order(node):
        match each:
            case ast.Call(func=ast.Attribute(value=ast.Name("self"), attr=name)):
                if name in FUNCTIONS:
                    yield name


def _events(node: ast.AST) -> Iterator[str]:
    for each in _in_order(node):
        match each:
            case ast.Yield(value=ast.Call(func=ast.Name(name))):
                yield name


# Reach


@cache
def reach(name: str) -> tuple[str, ...]:
    """The function and every step that it can come to, each after the one that first calls it."""
    seen: dict[str, None] = {}

    def visit(each: str) -> None:
        if each not in seen:
            seen[each] = None
            for called in step(each).calls:
                visit(called)

    visit(name)
    return tuple(seen)


@cache
def home(name: str) -> str | None:
    """The one function of the API that a step belongs to; None for a step that several share."""
    owners = [entry for entry in ENTRIES if name in reach(entry)]
    return owners[0] if len(owners) == 1 else None


def shared_steps() -> list[str]:
    """The steps that several functions of the API share, in the order of the contract's modules."""
    order = ("conditions", "tokens", "buffers", "writing", "reading", "life_cycle", "migration")
    names = [
        name
        for name in FUNCTIONS
        if name not in ENTRIES and home(name) is None and not name.startswith("_")
    ]

    def place(name: str) -> tuple[int, int]:
        line = inspect.getsourcelines(getattr(Contract, name))[1]
        return order.index(FUNCTIONS[name].module), line

    return sorted(names, key=place)


# Changes


@cache
def state_fields() -> dict[str, Field]:
    """Every field of the state by `table.name`, with the text that stands below it."""
    tree = ast.parse(inspect.getsource(state))
    texts: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            for before, after in zip(node.body, node.body[1:], strict=False):
                match before, after:
                    case (
                        ast.AnnAssign(target=ast.Name(name)),
                        ast.Expr(value=ast.Constant(value=str(text))),
                    ):
                        texts[f"{node.name}.{name}"] = " ".join(text.split())
    return {
        f"{table.__name__}.{each.name}": Field(
            table.__name__, each.name, texts.get(f"{table.__name__}.{each.name}", "")
        )
        for table in (Device, Client, Buffer)
        for each in fields(table)
    }


def _changes(body: Definition) -> Iterator[str]:
    for node in _in_order(body):
        match node:
            case (
                ast.Assign(targets=[ast.Attribute() as target])
                | ast.AugAssign(target=ast.Attribute() as target)
            ):
                yield _field(target)
            case ast.Call(func=ast.Attribute(value=table, attr=method), keywords=keywords):
                match table:
                    case ast.Attribute(value=ast.Name("self"), attr="clients"):
                        yield from _changes_of_table("Client", method, keywords)
                    case ast.Attribute(value=ast.Name("self"), attr="buffers"):
                        yield from _changes_of_table("Buffer", method, keywords)


def _changes_of_table(table: str, method: str, keywords: list[ast.keyword]) -> Iterator[str]:
    if method == "update":
        yield from (f"{table}.{each.arg}" for each in keywords)
    elif table == "Buffer":
        yield from _changes_of_operation(method)


@cache
def _changes_of_operation(method: str) -> frozenset[str]:
    """The fields of a buffer that an operation of their table sets."""
    if method in {"insert", "delete"}:
        return frozenset({"Buffer.place"})
    found: set[str] = set()
    for node in ast.walk(definition(getattr(Buffers, method))):
        match node:
            case ast.Attribute(value=ast.Name("row"), attr=name, ctx=ast.Store()):
                found.add(f"Buffer.{name}")
            case ast.Call(func=ast.Attribute(value=ast.Name("self"), attr=name)):
                found |= _changes_of_operation(name)
    return frozenset(found)


def _field(target: ast.Attribute) -> str:
    match target.value:
        case ast.Name("device") | ast.Attribute(value=ast.Name("self"), attr="device"):
            return f"Device.{target.attr}"
        case ast.Subscript(value=ast.Attribute(value=ast.Name("self"), attr="buffers")):
            return f"Buffer.{target.attr}"
        case ast.Name("frame"):
            return f"Frame.{target.attr}"
    return f"Client.{target.attr}"


def changes(name: str) -> list[Field]:
    """The fields of the state that a function can change, by itself or in the steps that it comes to."""
    names = {each for reached in reach(name) for each in step(reached).changes}
    return [each for key, each in state_fields().items() if key in names]


@cache
def refusals(name: str) -> tuple[Refuses, ...]:
    """The errors that a function can raise, with their conditions, in the order in which they are looked at."""
    return tuple(dict.fromkeys(_refusals(definition(getattr(Contract, name)))))


def _refusals(body: Definition) -> Iterator[Refuses]:
    for node in _in_order(body):
        match node:
            case ast.If(test=test, body=[ast.Raise(exc=ast.Call(func=ast.Name(name)))]):
                if name in ERRORS:
                    yield Refuses(name, ast.unparse(test))
            case ast.Call(func=ast.Attribute(value=ast.Name("self"), attr=name)):
                if name in FUNCTIONS:
                    yield from refusals(name)
            case ast.Call(func=ast.Name("decode" | "decode_record" as name)):
                yield from _refusals(definition(getattr(record, name)))


# Invariants


@cache
def reads(invariant: Invariant) -> frozenset[str]:
    """The names of the fields that an invariant speaks of, also by what it asks of the machine."""
    names: set[str] = set()
    todo: list[ast.AST] = [definition(invariant.holds)]
    asked: set[str] = set()
    while todo:
        for node in ast.walk(todo.pop()):
            if isinstance(node, ast.Attribute):
                names.add(node.attr)
                if node.attr in FUNCTIONS and node.attr not in asked:
                    asked.add(node.attr)
                    todo.append(definition(getattr(Contract, node.attr)))
    return frozenset(names & {each.name for each in state_fields().values()})


# Callbacks in order


@dataclass(frozen=True, slots=True)
class Outline:
    """A part of what happens: `kind` is "event", "step", "if", "otherwise", "while" or "return"."""

    kind: str
    text: str
    inside: tuple["Outline", ...] = ()


@cache
def outline(name: str) -> tuple[Outline, ...]:
    """The callbacks that a function makes, in order, within the loops, conditions and steps that they stand in."""
    return tuple(_outline(definition(getattr(Contract, name)).body))


def _outline(body: list[ast.stmt]) -> Iterator[Outline]:
    for node in body:
        match node:
            case ast.If(test=test, body=then, orelse=otherwise):
                yield from _branch("if", ast.unparse(test), then)
                yield from _branch("otherwise", "", otherwise)
            case ast.While(test=test, body=inner):
                yield from _branch("while", _condition(test), inner)
            case _:
                yield from _events_of(node)


def _branch(kind: str, text: str, body: list[ast.stmt]) -> Iterator[Outline]:
    inside = tuple(_outline(body))
    if inside:
        yield Outline(kind, text, inside)


def _condition(test: ast.expr) -> str:
    """The condition of a loop, without the mark of its head."""
    if isinstance(test, ast.BoolOp) and any(isinstance(each, ast.Yield) for each in test.values):
        rest = [each for each in test.values if not isinstance(each, ast.Yield)]
        return " and ".join(ast.unparse(each) for each in rest)
    return ast.unparse(test)


def _events_of(node: ast.stmt) -> Iterator[Outline]:
    """The callbacks of a plain statement: a `yield`, or a step that is run with `yield from`."""
    for each in _in_order(node):
        match each:
            case ast.Yield(value=ast.Call(func=ast.Name(name))) if name in EVENTS:
                if not name.startswith("Choose"):
                    yield Outline("event", name)
            case ast.YieldFrom(value=ast.Call(func=ast.Attribute(attr=name))):
                inside = outline(name)
                if inside:
                    yield Outline("step", name, inside)
