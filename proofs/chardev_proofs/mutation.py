"""Machine-made mutants of the specification: what the proofs and the random calls must notice.

Theory of operation
===================
A *mutant* is the machine with one small change in its text: an operator, a constant, a statement that is left out or
comes one too late, a guard that always or never holds.
Mutants are made from the syntax trees of the machine's modules, in the order of the text, so that the list is the same
on every machine and each mutant has an id that stays: module, function, line, kind.

What would be the original again is not made: two assignments that do not touch each other are not swapped, an `assert`
is left alone (it is an obligation, and its absence cannot be seen), and so are functions that the machine never calls.

A mutant is *loaded* by executing the machine's modules anew, in namespaces of their own that see each other's copies
instead of the originals.
State, events and errors are shared with the original, so that the original's invariants can judge a mutant's state.
Mutants of the state's own operations are machines too: the contract, on tables that have the defect.
The proofs never see those, because they have tables of their own (`liftable`); what compares the two kinds of tables
sees them.
"""

import ast
import builtins
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from types import CodeType, ModuleType
from typing import Any, Final, TypeAlias, TypeVar

import chardev_spec
from chardev_spec import state as original_state
from chardev_spec.contract import Contract
from chardev_spec.state import State

LAYERS: Final = (
    "conditions",
    "tokens",
    "buffers",
    "writing",
    "reading",
    "life_cycle",
    "migration",
)
"""The modules of the machine that are mutated, lowest layer first."""

CODEC: Final = "record"
"""The migration record, which the highest layer uses."""

TABLES: Final = "state"
"""The state's operations."""

MUTATED: Final = (*LAYERS, CODEC, TABLES)
COPIED: Final = (CODEC, *LAYERS, "contract")
"""What is executed anew for a mutant, in an order in which each finds what it imports."""

PACKAGE: Final = "chardev_spec"
SOURCES: Final = Path(next(iter(chardev_spec.__path__)))

NodeT = TypeVar("NodeT", bound=ast.AST)

Edits: TypeAlias = dict[ast.AST, list[ast.AST]]
"""What stands in place of some nodes of a tree."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """The machine with one change."""

    id: str
    """``module:function:line:kind``, with ``#2`` and so on for further ones of a kind on a line."""
    module: str
    function: str
    line: int
    kind: str
    before: str
    """The changed statement, or the head of it, on one line."""
    after: str
    original: ast.FunctionDef
    changed: ast.FunctionDef

    @property
    def diff(self) -> str:
        """The change on one line."""
        return f"- {self.before}  + {self.after}"

    @property
    def liftable(self) -> bool:
        """Whether the change is in what the proofs run: not in the tables, of which they have their own."""
        return self.module != TABLES

    def tree(self) -> ast.Module:
        """The module with this change; of the tables the classes alone, as their rows stay the specification's."""
        tree = _rebuilt(parsed(self.module), {self.original: [self.changed]})
        if self.module == TABLES:
            tree.body = [
                each
                for each in tree.body
                if isinstance(each, ast.ClassDef) and each.name in _TABLE_CLASSES
            ]
        return ast.fix_missing_locations(tree)

    def load(self) -> type[Contract]:
        """The machine with this change; all other modules of it as they are."""
        code = compile(self.tree(), str(source(self.module)), "exec")
        return _on_tables(code) if self.module == TABLES else _copied({self.module: code})


class UnknownMutantError(LookupError):
    """There is no mutant of that id."""


def source(module: str) -> Path:
    """The file of one of the specification's modules."""
    return SOURCES / f"{module}.py"


@cache
def parsed(module: str) -> ast.Module:
    """The syntax tree of one of the specification's modules."""
    return ast.parse(source(module).read_text(encoding="utf-8"))


@cache
def mutants() -> tuple[Mutant, ...]:
    """All mutants, in the order of the text."""
    return tuple(mutant for module in MUTATED for mutant in _mutants_of(module))


def sample(count: int, seed: int) -> tuple[Mutant, ...]:
    """So many of all mutants, in the order of the text; all of them when there are no more."""
    every = mutants()
    chosen = Random(seed).sample(range(len(every)), min(count, len(every)))  # noqa: S311 - repeatable
    return tuple(every[i] for i in sorted(chosen))


def mutant_named(identity: str) -> Mutant:
    """The mutant of that id; raises `UnknownMutantError` if there is none."""
    for mutant in mutants():
        if mutant.id == identity:
            return mutant
    raise UnknownMutantError(f"there is no mutant {identity!r}")


# Loading


def unchanged() -> type[Contract]:
    """A copy of the machine without any change: whatever notices it notices nothing about mutants."""
    return _copied({})


@cache
def _original(module: str) -> CodeType:
    return compile(parsed(module), str(source(module)), "exec")


def _copied(changed: dict[str, CodeType]) -> type[Contract]:
    """The machine of a copy of its modules, some of them changed."""
    copies: dict[str, ModuleType] = {}
    real_import: Callable[..., Any] = builtins.__import__

    def import_copies(name: str, *arguments: Any, **keywords: Any) -> Any:
        package, _, module = name.partition(".")
        if package == PACKAGE and module in copies:
            return copies[module]
        return real_import(name, *arguments, **keywords)

    for name in COPIED:
        copy = ModuleType(f"{PACKAGE}.{name}")
        copy.__dict__["__builtins__"] = vars(builtins) | {"__import__": import_copies}
        exec(changed.get(name) or _original(name), copy.__dict__)  # noqa: S102 - the specification's own text
        copies[name] = copy
    machine: type[Contract] = copies["contract"].Contract
    return machine


def _on_tables(code: CodeType) -> type[Contract]:
    """The contract on tables that have a defect."""
    namespace = dict(vars(original_state))
    exec(code, namespace)  # noqa: S102 - the specification's own text

    class OnTables(Contract):
        """The contract; its tables are not the specification's."""

        def __init__(self, state: State) -> None:
            state.clients = namespace["Clients"]()
            state.buffers = namespace["Buffers"]()
            state.send_queue = namespace["SendQueue"]()
            super().__init__(state)

    return OnTables


# Making


def _mutants_of(module: str) -> Iterator[Mutant]:
    numbers: dict[str, int] = {}
    for function in _functions(module):
        seen = {ast.unparse(function)}
        for kind, node, edits in _Changes(function).all():
            changed = _rebuilt(function, edits)
            text = ast.unparse(changed)
            if text in seen:
                continue
            seen.add(text)
            line: int = getattr(node, "lineno", function.lineno)
            identity = f"{module}:{function.name}:{line}:{kind}"
            numbers[identity] = number = numbers.get(identity, 0) + 1
            before, after = _shown(function, node, edits)
            yield Mutant(
                identity + (f"#{number}" if number > 1 else ""),
                module,
                function.name,
                line,
                kind,
                before,
                after,
                function,
                changed,
            )


_TABLE_CLASSES: Final = ("Table", "Clients", "SendQueue", "Buffers")


def _functions(module: str) -> Iterator[ast.FunctionDef]:
    """The functions of a module that the machine can come to."""
    called = _called()
    tree = parsed(module)
    owners: list[ast.Module | ast.ClassDef] = [tree]
    owners += [each for each in tree.body if isinstance(each, ast.ClassDef)]
    for owner in owners:
        for function in owner.body:
            if (
                isinstance(function, ast.FunctionDef)
                and not function.name.startswith("__")
                and (module in LAYERS or function.name in called)
            ):
                yield function


@cache
def _called() -> frozenset[str]:
    """The names that the machine's text mentions, and those that they mention in turn."""
    below = {
        node.name: node
        for module in (CODEC, TABLES)
        for node in ast.walk(parsed(module))
        if isinstance(node, ast.FunctionDef)
    }
    found: set[str] = set()
    todo: list[ast.AST] = [parsed(module) for module in LAYERS]
    while todo:
        for node in ast.walk(todo.pop()):
            name = _mentioned(node)
            if name in below and name not in found:
                found.add(name)
                todo.append(below[name])
    return frozenset(found)


def _mentioned(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _rebuilt(node: NodeT, edits: Edits) -> NodeT:
    """A copy of a tree with the edits; what they do not touch is shared with the original."""
    fields: dict[str, Any] = {}
    touched = False
    for name, value in ast.iter_fields(node):
        fields[name] = value
        if isinstance(value, list):
            parts = [
                _replaced(each, edits) if isinstance(each, ast.AST) else [each] for each in value
            ]
            fields[name] = [each for part in parts for each in part]
        elif isinstance(value, ast.AST):
            [fields[name]] = _replaced(value, edits)
        touched = touched or (fields[name] is not value and fields[name] != value)
    return ast.copy_location(type(node)(**fields), node) if touched else node


def _replaced(node: ast.AST, edits: Edits) -> list[ast.AST]:
    if node not in edits:
        return [_rebuilt(node, edits)]
    for new in edits[node]:
        if not hasattr(new, "lineno"):
            ast.copy_location(new, node)
    return edits[node]


def _shown(function: ast.FunctionDef, node: ast.AST, edits: Edits) -> tuple[str, str]:
    """The changed statement before and after, each on one line."""
    if isinstance(node, ast.stmt) and node in edits:
        return (
            "; ".join([_line(each) for each in edits]),
            "; ".join([_line(new) for news in edits.values() for new in news]),
        )
    statement = next(
        each
        for each in reversed([*ast.walk(function)])
        if isinstance(each, ast.stmt) and node in _head(each)
    )
    return _line(statement), _line(_rebuilt(statement, edits))


def _head(statement: ast.stmt) -> list[ast.AST]:
    """The nodes of a statement, without the blocks in it."""
    blocks = [each for name in ("body", "orelse") for each in getattr(statement, name, [])]
    inside = {node for each in blocks for node in ast.walk(each)}
    return [node for node in ast.walk(statement) if node not in inside]


def _line(node: ast.AST) -> str:
    """A statement, or the head of one that has a block, on one line."""
    return ast.unparse(node).partition("\n")[0]


Change: TypeAlias = tuple[str, ast.AST, Edits]
"""A kind, the node that is changed, and how."""

_COMPARED: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
"""What stands in place of a comparison: its negation, and its neighbour."""

_COMPUTED: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
}

_EXCHANGED: Final = {"min": "max", "max": "min", "newest_first": "oldest_first"}
"""Functions in place of each other."""

_MEMBERS: Final = {
    "Place": [each.name for each in original_state.Place],
    "Origin": [each.name for each in original_state.Origin],
    "Outcome": ["MOVED", "NOTHING", "ASKED", "LIMIT"],
}
"""The names of enumerations; each member becomes the next."""

_LIMITS: Final = {
    "UINT32_MAX",
    "POOL_LIMIT",
    "RETRY_DELAY_MS",
    "WAIT_DELAY_MS",
    "MESSAGE_SIZE",
    "VERSION",
}


class _Changes:
    """All changes of one function."""

    def __init__(self, function: ast.FunctionDef) -> None:
        self._function = function
        self._bindings = [
            node.id
            for node in ast.walk(function)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        ]

    def all(self) -> Iterator[Change]:
        """All of them, in the order of the text."""
        yield from self._block(self._function.body)

    def _block(self, statements: Sequence[ast.stmt]) -> Iterator[Change]:
        for i, statement in enumerate(statements):
            if isinstance(statement, ast.Assert) or _is_text(statement):
                continue
            yield from self._statement(statement, alone=len(statements) == 1)
            if i + 1 < len(statements) and _may_swap(statement, statements[i + 1]):
                following = statements[i + 1]
                yield (
                    "swapped",
                    statement,
                    {statement: [following], following: [statement]},
                )
            for block in ("body", "orelse"):
                yield from self._block(getattr(statement, block, []))

    def _statement(self, statement: ast.stmt, *, alone: bool) -> Iterator[Change]:
        if isinstance(statement, ast.If):
            yield from self._guard(statement.test)
        if not isinstance(statement, ast.Raise):
            blocks = [each for name in ("body", "orelse") for each in getattr(statement, name, [])]
            for child in ast.iter_child_nodes(statement):
                if child not in blocks:
                    yield from self._expression(child)
        if isinstance(statement, ast.AugAssign):
            changed = type(statement)(
                statement.target, _COMPUTED[type(statement.op)](), statement.value
            )
            yield "operator", statement, {statement: [changed]}
            plain = ast.Assign([statement.target], statement.value)
            yield "operator", statement, {statement: [plain]}
        if self._may_go(statement, alone=alone):
            steps = any(isinstance(each, ast.Yield | ast.YieldFrom) for each in ast.walk(statement))
            nothing: ast.stmt = ast.parse("yield from ()" if steps else "pass").body[0]
            yield "steps dropped" if steps else "deleted", statement, {statement: [nothing]}

    def _may_go(self, statement: ast.stmt, *, alone: bool) -> bool:
        """Whether a statement can be left out: not what a guard that never holds leaves out, nor a name's one value."""
        if isinstance(statement, ast.Return):
            last = self._function.body[-1] is statement
            return not (alone or last)
        if alone and statement not in self._function.body:
            return False
        if isinstance(statement, ast.Assign):
            names = [each.id for each in statement.targets if isinstance(each, ast.Name)]
            return all(self._bindings.count(name) > 1 for name in names) and not _unpacks(statement)
        return isinstance(statement, ast.AugAssign | ast.Expr)

    def _guard(self, test: ast.expr) -> Iterator[Change]:
        for kind, value in (("always", True), ("never", False)):
            yield kind, test, {test: [ast.Constant(value)]}
        if not isinstance(test, ast.Compare):
            negated = (
                test.operand if isinstance(test, ast.UnaryOp) else ast.UnaryOp(ast.Not(), test)
            )
            yield "negated", test, {test: [negated]}

    def _expression(self, node: ast.AST) -> Iterator[Change]:
        if isinstance(node, ast.JoinedStr):
            return
        yield from self._changes_at(node)
        for child in ast.iter_child_nodes(node):
            yield from self._expression(child)

    def _changes_at(self, node: ast.AST) -> Iterator[Change]:
        match node:
            case ast.Compare(left=left, ops=[operator], comparators=comparators):
                for other in _COMPARED[type(operator)]:
                    yield "operator", node, {node: [ast.Compare(left, [other()], comparators)]}
            case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _COMPUTED:
                changed = ast.BinOp(left, _COMPUTED[type(operation)](), right)
                yield "operator", node, {node: [changed]}
            case ast.BoolOp(op=operation, values=values):
                yield from self._operands(node, operation, values)
            case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
                yield "operator", node, {node: [operand]}
            case ast.IfExp(test=test):
                yield from self._guard(test)
            case ast.Constant(value=bool(value)):
                yield "constant", node, {node: [ast.Constant(not value)]}
            case ast.Constant(value=int(number)):
                yield "constant", node, {node: [ast.Constant(number + 1)]}
            case ast.Attribute(value=ast.Name(id=enumeration), attr=member) if (
                enumeration in _MEMBERS
            ):
                members = _MEMBERS[enumeration]
                other_member = members[(members.index(member) + 1) % len(members)]
                changed_member = ast.Attribute(
                    ast.Name(enumeration, ast.Load()), other_member, ast.Load()
                )
                yield "constant", node, {node: [changed_member]}
            case ast.Name(id=name) if name in _LIMITS:
                yield "constant", node, {node: [ast.BinOp(node, ast.Sub(), ast.Constant(1))]}
            case ast.Name(id=name) if name in _EXCHANGED:
                yield "operator", node, {node: [ast.Name(_EXCHANGED[name], ast.Load())]}
            case ast.Attribute(value=value, attr=name) if name in _EXCHANGED:
                yield "operator", node, {node: [ast.Attribute(value, _EXCHANGED[name], ast.Load())]}

    def _operands(
        self, node: ast.BoolOp, operation: ast.boolop, values: list[ast.expr]
    ) -> Iterator[Change]:
        """The other connective, and each operand left out, but never the head of a loop."""
        cut = isinstance(values[0], ast.Yield)
        if not cut:
            other = ast.Or() if isinstance(operation, ast.And) else ast.And()
            yield "operator", node, {node: [ast.BoolOp(other, values)]}
        for i, operand in enumerate(values):
            if not (cut and i == 0):
                others = [*values[:i], *values[i + 1 :]]
                changed = others[0] if len(others) == 1 else ast.BoolOp(operation, others)
                yield "operand dropped", operand, {node: [changed]}
        rest = values[1:]
        if cut and len(rest) > 1:
            other_values = [values[0], ast.BoolOp(ast.Or(), rest)]
            yield "operator", node, {node: [ast.BoolOp(operation, other_values)]}


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _unpacks(statement: ast.Assign) -> bool:
    return any(isinstance(each, ast.Tuple) for each in statement.targets)


def _may_swap(first: ast.stmt, second: ast.stmt) -> bool:
    """Whether two statements in the other order may mean something else, and something at all."""
    simple = ast.Assign | ast.AugAssign | ast.Expr
    if not isinstance(first, simple) or not isinstance(second, simple) or _is_text(first):
        return False
    bound = {name for name in _written(first) if "." not in name}
    if bound & _read(second) or _is_alias(first) or _is_alias(second):
        return False
    if any(
        isinstance(node, ast.Call | ast.Yield)
        for each in (first, second)
        for node in ast.walk(each)
    ):
        return True
    touched = _written(first) & (_written(second) | _read(second))
    return bool(touched or _written(second) & _read(first))


def _is_alias(statement: ast.stmt) -> bool:
    """Whether this names a part of the state, such as `device`: that may stand anywhere."""
    match statement:
        case ast.Assign(value=ast.Attribute(value=ast.Name(id="self"))):
            return True
        case _:
            return False


def _written(statement: ast.stmt) -> set[str]:
    """The names, and the fields as `.name`, that a statement gives a value."""
    stores = [
        node for node in ast.walk(statement) if isinstance(getattr(node, "ctx", None), ast.Store)
    ]
    return {_place(node) for node in stores}


def _read(statement: ast.stmt) -> set[str]:
    """The names and fields that a statement looks at."""
    loads = [
        node for node in ast.walk(statement) if isinstance(getattr(node, "ctx", None), ast.Load)
    ]
    if isinstance(statement, ast.AugAssign):
        loads.append(statement.target)
    return {_place(node) for node in loads}


def _place(node: ast.AST) -> str:
    return f".{node.attr}" if isinstance(node, ast.Attribute) else getattr(node, "id", "")
