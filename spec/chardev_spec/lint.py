"""The lint of the liftable subset: what an action may be written in.

Theory of operation
===================
The proofs run the text of the actions on symbolic values.
An action is cut at every `yield`: the state is replaced by an arbitrary one, the locals stay, the rest is run.
That is sound only while nothing lives where the cut cannot see it, and while no operation asks a symbolic value
for something that only a concrete one has.
So three kinds of text are refused, in every function of the given files:

- *What hides from a cut.* An iterator or a temporary on the interpreter's operand stack is in no local variable.
  Therefore a `yield` stands where that stack is empty: a statement of its own, the right side of an assignment to
  a plain name, a `return`, or the head of a loop. Therefore no `for`, `with` or `try`, and one exit from a loop.
- *What reads a symbolic value wrongly without an error.* `b is True`, `isinstance(n, int)`, sets and dicts (they
  hash), text made from values.
- *What z3 should never see.* Products of two unknowns, division, bits; conversions and ranges.

The lint is syntactic, so it errs on the side of refusal.
A function that no proof ever runs (say, one that prints) is marked `outside_subset`.

On the command line::

    python -m chardev_spec.lint          # the machine's own modules
    python -m chardev_spec.lint FILE...

Exit status: 0 nothing found, 1 findings, 2 a file that cannot be read or is not Python.
"""

import argparse
import ast
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

LIFTABLE: Final = (
    "conditions",
    "tokens",
    "buffers",
    "writing",
    "reading",
    "life_cycle",
    "migration",
    "contract",
    "profiles/tokens",
    "profiles/reading",
    "profiles/writing",
    "profiles/life_cycle",
    "profiles/reset",
    "profiles/migration",
)
"""The modules of this package whose functions the proofs run."""

Function = TypeVar("Function", bound=Callable[..., object])


def outside_subset(function: Function) -> Function:
    """Mark a function, or all of a class, as one that the proofs never run; the lint passes over it."""
    return function


@dataclass(frozen=True, order=True, slots=True)
class Finding:
    """One place that leaves the subset."""

    file: str
    line: int
    code: str
    message: str
    """What is wrong, and what to write instead."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message} [{self.code}]"


Refusal: TypeAlias = tuple[str, str]
"""A finding's code and message."""

# Lambdas are scopes too, but their bodies are judged with the function that they stand in.
FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

NESTED: Final = (
    "nested-scope",
    "a function or class inside a function: its variables hide from a cut; make it a method",
)
COMPREHENSION: Final = (
    "iteration",
    "a comprehension iterates over a symbolic table; use an operation of a table",
)
FOR: Final = (
    "iteration",
    "`for` hides its iterator from a cut; write `while (yield LOOP) and todo:`, or use an operation of a table",
)
TRY: Final = (
    "exceptions",
    "`try` would catch what the engine raises; check first, then act",
)
WITH: Final = (
    "exceptions",
    "`with` hides its exit from a cut; write its two ends as two statements",
)
STATE: Final = (
    "hidden-state",
    "a variable outside the tables is not replaced at a cut; make it a field of the state",
)
LOOP_EXIT: Final = (
    "loop-exit",
    "a loop has one exit, its head, because that is where it is cut; put the condition into the head",
)
ASYNC: Final = ("asynchronous", "an action is a generator: `yield` an event instead of awaiting")
COLLECTION: Final = (
    "collection",
    "sets and dicts hash their elements, which a symbolic value cannot; use a table or a list",
)
STAR: Final = ("star-arguments", "a star unpacks an unknown number of values; name each argument")

REFUSED_NODES: Final[Mapping[type[ast.AST], Refusal]] = {
    ast.FunctionDef: NESTED,
    ast.AsyncFunctionDef: NESTED,
    ast.ClassDef: NESTED,
    ast.For: FOR,
    ast.ListComp: COMPREHENSION,
    ast.SetComp: COMPREHENSION,
    ast.DictComp: COMPREHENSION,
    ast.GeneratorExp: COMPREHENSION,
    ast.Try: TRY,
    ast.TryStar: TRY,
    ast.With: WITH,
    ast.Global: STATE,
    ast.Nonlocal: STATE,
    ast.Delete: ("delete", "`del` removes without saying from what; call the table's `delete`"),
    ast.Match: ("match", "`match` compares by type; write `if` and `elif` with `==`"),
    ast.Break: LOOP_EXIT,
    ast.Continue: LOOP_EXIT,
    ast.Await: ASYNC,
    ast.AsyncFor: ASYNC,
    ast.AsyncWith: ASYNC,
    ast.Set: COLLECTION,
    ast.Dict: COLLECTION,
    ast.NamedExpr: (
        "walrus",
        "`:=` assigns in the middle of an expression; write an assignment of its own",
    ),
    ast.Starred: STAR,
    ast.Slice: (
        "slice",
        "a slice needs concrete bounds; let the table or the buffer offer the part that is meant",
    ),
}

REFUSED_OPERATORS: Final[Mapping[type[ast.AST], str]] = {
    ast.FloorDiv: "//",
    ast.Div: "/",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.MatMult: "@",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.Invert: "~",
}

INTROSPECTION: Final = frozenset(
    (
        "isinstance issubclass type id hash getattr setattr delattr hasattr vars locals "
        "globals exec eval"
    ).split()
)
ARITHMETIC: Final = frozenset(
    (
        "abs divmod pow round range zip enumerate sum int bool float complex map filter iter next"
    ).split()
)
TEXT: Final = frozenset({"str", "repr", "format", "ascii"})
HASHING: Final = frozenset({"set", "frozenset", "dict"})

ALLOWED_DECORATORS: Final = frozenset(
    ("outside_subset staticmethod classmethod property abstractmethod override final").split()
)


def check_source(
    source: str | bytes, filename: str, generators: Collection[str] = ()
) -> list[Finding]:
    """The findings in one file's text, in the order of its lines.

    `generators` names actions that other files define: `self.name()` alone would not run them.
    Raises SyntaxError if the text is not Python.
    """
    tree = _parse(source, filename)
    known = frozenset(generators) | _generator_names(tree)
    findings: list[Finding] = []
    for function in _functions(tree):
        checker = _Checker(filename, function, known)
        checker.check()
        findings += checker.findings
    return sorted(set(findings), key=lambda finding: (finding.line, finding.code, finding.message))


def check_files(paths: Sequence[Path]) -> list[Finding]:
    """The findings in some files that belong together.

    Raises OSError or SyntaxError for the first file that cannot be read or is not Python.
    """
    # Bytes, so that Python itself decides about the encoding and says what is wrong with it.
    sources = {path: path.read_bytes() for path in paths}
    generators: set[str] = set()
    for path, source in sources.items():
        generators |= _generator_names(_parse(source, str(path)))
    return [
        finding
        for path, source in sources.items()
        for finding in check_source(source, str(path), generators)
    ]


class _Checker(ast.NodeVisitor):
    """Walks one function and notes what leaves the subset."""

    def __init__(self, filename: str, function: FunctionNode, generators: Collection[str]) -> None:
        self.findings: list[Finding] = []
        self._filename = filename
        self._function = function
        self._generators = generators
        self._is_generator = _is_generator(function)
        self._well_placed = frozenset(_well_placed_yields(function))
        self._heads = frozenset(
            _head(loop) for loop in _own_nodes(function) if isinstance(loop, ast.While)
        )
        # Noted by the node around them, before they are visited themselves.
        self._driven_calls: set[ast.expr] = set()
        self._passed_lambdas: set[ast.expr] = set()

    def check(self) -> None:
        """Judge decorators, parameters and body; annotations are never run."""
        function = self._function
        if isinstance(function, ast.AsyncFunctionDef):
            self._refuse(function, *ASYNC)
        for decorator in function.decorator_list:
            name = _last_name(decorator)
            if name not in ALLOWED_DECORATORS:
                self._refuse(
                    decorator,
                    "decorator",
                    f"decorator `{name}` may change what runs; allowed are {', '.join(sorted(ALLOWED_DECORATORS))}",
                )
        self._check_parameters(function.args)
        for statement in function.body:
            self.visit(statement)

    def _check_parameters(self, parameters: ast.arguments) -> None:
        for star in (parameters.vararg, parameters.kwarg):
            if star is not None:
                self._refuse(star, *STAR)
        for default in (*parameters.defaults, *parameters.kw_defaults):
            if isinstance(default, (ast.List, ast.Dict, ast.Set, ast.Call)):
                self._refuse(
                    default,
                    "mutable-default",
                    "a default that can change is state outside the tables; use None or a constant",
                )

    def _refuse(
        self, node: ast.expr | ast.stmt | ast.arg | ast.keyword, code: str, message: str
    ) -> None:
        self.findings.append(Finding(self._filename, node.lineno, code, message))

    # Each visit_ method below is named by ast.NodeVisitor.

    def visit(self, node: ast.AST) -> None:
        """Refuse the nodes of the table; whatever they contain is judged when they are gone."""
        refusal = REFUSED_NODES.get(type(node))
        if refusal is None:
            super().visit(node)
        elif isinstance(node, (ast.expr, ast.stmt)):
            self._refuse(node, *refusal)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """An annotation is not run."""
        self.visit(node.target)
        if node.value is not None:
            self.visit(node.value)

    def visit_Yield(self, node: ast.Yield) -> None:
        """A `yield` stands where the operand stack is empty, and `yield LOOP` only at the head of a loop."""
        self._check_place(node)
        if _is_loop_mark(node) and node not in self._heads:
            self._refuse(
                node,
                "loop-head",
                "`yield LOOP` marks the head of a loop; write `while (yield LOOP) and condition:`",
            )
        self.generic_visit(node)

    def visit_YieldFrom(self, node: ast.YieldFrom) -> None:
        """A `yield from` runs another action, it does not iterate."""
        self._check_place(node)
        if isinstance(node.value, ast.Call):
            self._driven_calls.add(node.value)
        else:
            self._refuse(
                node,
                "iteration",
                "`yield from` iterates over a value; call an action after it",
            )
        self.generic_visit(node)

    def _check_place(self, node: ast.Yield | ast.YieldFrom) -> None:
        if node not in self._well_placed:
            self._refuse(
                node,
                "yield-place",
                "a `yield` inside an expression; make it a statement, assign it to a plain name, or return it",
            )

    def visit_While(self, node: ast.While) -> None:
        """A loop is cut at its head."""
        if not self._is_generator:
            self._refuse(
                node,
                "loop-head",
                "a loop outside an action cannot be cut; make the function an action, or use an operation of a table",
            )
        elif not _is_loop_mark(_head(node)):
            self._refuse(
                node,
                "loop-head",
                "a loop without a cut at its head; write `while (yield LOOP) and condition:`",
            )
        if node.orelse:
            self._refuse(node.orelse[0], *LOOP_EXIT)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """An action that is called runs nothing until it is driven."""
        callee = node.func
        if (
            isinstance(callee, ast.Attribute)
            and callee.attr in self._generators
            and _is_self(callee.value)
            and node not in self._driven_calls
        ):
            self._refuse(
                node,
                "generator-call",
                f"`{callee.attr}` is an action: calling it runs nothing; write `yield from` before the call",
            )
        for keyword in node.keywords:
            if keyword.arg is None:
                self._refuse(keyword, *STAR)
        # A lambda that a table's operation takes is run by that operation and kept by nobody.
        if isinstance(callee, ast.Attribute):
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                if isinstance(argument, ast.Lambda):
                    self._passed_lambdas.add(argument)
        self.generic_visit(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """A lambda is an argument of a table's operation."""
        if node not in self._passed_lambdas:
            self._refuse(
                node,
                "lambda",
                "a lambda may be kept and run later; only pass it to an operation of a table, else make it a method",
            )
        self._check_parameters(node.args)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        """Identity says nothing about symbolic values; None is never symbolic."""
        operands = [node.left, *node.comparators]
        for operator, (left, right) in zip(node.ops, pairwise(operands), strict=True):
            if isinstance(operator, (ast.Is, ast.IsNot)) and not (
                _is_none(left) or _is_none(right)
            ):
                word = "is" if isinstance(operator, ast.Is) else "is not"
                instead = "==" if isinstance(operator, ast.Is) else "!="
                self._refuse(
                    node,
                    "identity",
                    f"`{word}` is wrong for symbolic values; write `{instead}`, or compare with None",
                )
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Sums and differences, and products with a constant."""
        self._check_operator(node, node.op, node.left, node.right)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """As the operator alone."""
        self._check_operator(node, node.op, node.target, node.value)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """A minus sign and `not`."""
        self._check_operator(node, node.op, node.operand, node.operand)
        self.generic_visit(node)

    def _check_operator(
        self, node: ast.expr | ast.stmt, operator: ast.AST, *operands: ast.expr
    ) -> None:
        sign = REFUSED_OPERATORS.get(type(operator))
        if sign is not None:
            self._refuse(
                node,
                "operator",
                f"`{sign}` is not decided reliably by a solver; use sums, differences and comparisons",
            )
        elif isinstance(operator, ast.Mult) and not any(map(_is_constant, operands)):
            self._refuse(
                node,
                "operator",
                "a product of two unknowns is not decided by a solver; multiply by a number or a CONSTANT",
            )

    def visit_Name(self, node: ast.Name) -> None:
        """Built-in functions that need a concrete value."""
        name = node.id
        if name in INTROSPECTION:
            self._refuse(
                node,
                "introspection",
                f"`{name}` sees the symbolic value, not what it stands for; keep the fact in a field",
            )
        elif name in ARITHMETIC:
            self._refuse(
                node,
                "conversion",
                f"`{name}` needs a concrete value; use an operation of a table, or plain sums",
            )
        elif name in HASHING:
            self._refuse(node, *COLLECTION)
        elif name in TEXT:
            self._refuse(node, *_text(f"`{name}`"))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Double underscores lead to what the built-in functions above show."""
        if node.attr.startswith("__") and node.attr != "__init__":
            self._refuse(
                node,
                "introspection",
                f"`{node.attr}` sees the symbolic value, not what it stands for; keep the fact in a field",
            )
        self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Text is made from values only on the way out."""
        self._refuse(node, *_text("an f-string"))

    def visit_Raise(self, node: ast.Raise) -> None:
        """An action raises a named error; its text may quote values, for the path ends there."""
        if not isinstance(node.exc, (ast.Call, ast.Name, ast.Attribute)):
            self._refuse(node, "exceptions", "`raise` without an error; raise a named one")
            return
        for child in ast.walk(node):
            if isinstance(child, (ast.Yield, ast.YieldFrom)):
                self._check_place(child)


def _parse(source: str | bytes, filename: str) -> ast.Module:
    try:
        return ast.parse(source, filename)
    except (SyntaxError, ValueError) as error:
        # Some ways of being no Python, a null byte for one, come without a file name or as a ValueError.
        line = error.lineno if isinstance(error, SyntaxError) and error.lineno else 1
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        raise SyntaxError(message, (filename, line, None, None)) from None


def _text(what: str) -> Refusal:
    return (
        "text",
        f"{what} makes text of a value that may be symbolic; only an error that is raised may quote values",
    )


def _functions(node: ast.AST) -> Iterator[FunctionNode]:
    """The functions that the subset is about: of modules and classes, unless marked."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if "outside_subset" in map(_last_name, child.decorator_list):
                continue
            if not isinstance(child, ast.ClassDef):
                yield child
                continue
        yield from _functions(child)


def _generator_names(tree: ast.AST) -> set[str]:
    return {function.name for function in _functions(tree) if _is_generator(function)}


def _is_generator(function: FunctionNode) -> bool:
    return any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in _own_nodes(function))


def _own_nodes(function: FunctionNode) -> Iterator[ast.AST]:
    """The nodes of the body that belong to this function, not to one inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))


def _well_placed_yields(function: FunctionNode) -> Iterator[ast.AST]:
    """The expressions at which the operand stack is empty when they are run first."""
    for node in _own_nodes(function):
        match node:
            case ast.Expr(value=value) | ast.Return(value=ast.expr() as value):
                yield value
            case ast.Assign(targets=[ast.Name()], value=value):
                yield value
            case ast.AnnAssign(target=ast.Name(), value=ast.expr() as value):
                yield value
            case ast.While():
                yield _head(node)


def _head(loop: ast.While) -> ast.expr:
    """What a loop's condition runs first."""
    test = loop.test
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return test.values[0]
    return test


def _is_loop_mark(node: ast.expr) -> bool:
    """Whether this is `yield LOOP`, or `yield LOOP.where(...)`, which adds an invariant of the loop's locals."""
    match node:
        case ast.Yield(value=ast.Name(id="LOOP")):
            return True
        case ast.Yield(value=ast.Call(func=ast.Attribute(value=ast.Name(id="LOOP"), attr="where"))):
            return True
    return False


def _is_self(node: ast.expr) -> bool:
    match node:
        case ast.Name(id="self") | ast.Call(func=ast.Name(id="super")):
            return True
    return False


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_constant(node: ast.expr) -> bool:
    """A number, or a name in capitals."""
    if isinstance(node, ast.UnaryOp):
        return _is_constant(node.operand)
    return isinstance(node, ast.Constant) or (
        isinstance(node, (ast.Name, ast.Attribute)) and _last_name(node).isupper()
    )


def _last_name(node: ast.expr) -> str:
    """`name` of `name`, `module.name`, and of calls of these."""
    match node:
        case ast.Call(func=function):
            return _last_name(function)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ast.unparse(node)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the files named on the command line, or the machine's own modules; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m chardev_spec.lint",
        description="Check that the specification's actions stay in the subset that the proofs can run.",
        epilog="Exit status: 0 nothing found, 1 findings, 2 wrong usage or a file that is not readable Python.",
    )
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="default: the machine's own modules"
    )
    package = Path(__file__).parent
    paths = parser.parse_args(arguments).files or [package / f"{name}.py" for name in LIFTABLE]
    try:
        findings = check_files(paths)
    except OSError as error:
        parser.exit(2, f"{error.filename}: cannot be read: {error.strerror}\n")
    except SyntaxError as error:
        parser.exit(2, f"{error.filename}:{error.lineno}: not Python: {error.msg}\n")
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
