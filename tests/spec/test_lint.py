"""The lint of the liftable subset: one text that it accepts and one that it refuses, for every rule."""

import ast
from pathlib import Path
from textwrap import dedent, indent

import pytest

import chardev_spec
from chardev_spec import lint


def findings(body: str) -> list[str]:
    """What the lint says about a method with this body; the body's first line is line 1."""
    source = f"class Machine:\n def action(self, frame, row):\n{indent(dedent(body), '  ')}"
    return [
        f"{finding.line - 2}: {finding.message} [{finding.code}]"
        for finding in lint.check_source(source, "machine.py")
    ]


ACCEPTED = {
    "yield-place": """\
        yield Event()
        answer = yield Event()
        count: int = yield from self.step(answer)
        return (yield from self.step(count))
    """,
    "loop-head": "while (yield LOOP) and row.pending:\n    yield Event()",
    "loop-head with an invariant": "while (yield LOOP.where(lambda: n >= 0)) and n > 0:\n    n -= 1",
    "loop-exit": "while (yield LOOP) and going_on:\n    if row.leaving:\n        going_on = False",
    "iteration": "if self.clients.exists(self.may_send):\n    yield Event()",
    "exceptions": "if row is None:\n    raise NotHeldError('the owner does not hold it')",
    "hidden-state": "self.device.running = True",
    "nested-scope": "yield from self.helper(frame)",
    "asynchronous": "yield Event()",
    "collection": "todo = [row.first, row.second]",
    "star-arguments": "yield from self.step(frame, client=row.client)",
    "walrus": "first = self.first()\nif first > 0:\n    yield Event(first)",
    "slice": "data = self.buffers.rest(row.handle)\nfirst = data[0]",
    "operator": "row.total += 2 * row.price - row.written * UNIT",
    "introspection": "if row.origin == Origin.CLIENT:\n    yield Event()",
    "conversion": "kept = min(row.kept + row.freed, LIMIT)",
    "text": "raise NotHeldError(f'{row!r} is not held; {str(frame)} holds it')",
    "identity": "if row is not None and row.client == frame.client:\n    yield Event()",
    "lambda": "dropped = self.buffers.drop(lambda other: other.client == row.client)",
    "generator-call": "yield from self.action(frame, row)",
    "match": "if row.place == Place.HELD:\n    yield Event()\nelif row.place == Place.FREE:\n    return",
    "delete": "self.buffers.delete(row.handle)",
    "comparisons in a chain, which fork": "if 0 < row.price <= row.window and row.client in self.clients:\n    return",
    "annotations, which are not run": "price: int | None = None\nyield Event(price)",
}


@pytest.mark.parametrize("body", ACCEPTED.values(), ids=ACCEPTED)
def test_accepts(body: str) -> None:
    """An action could not be written at all if the lint refused what the engine reads well."""
    assert findings(body) == []


YIELD_PLACE = (
    "a `yield` inside an expression; make it a statement, assign it to a plain name, or return it "
    "[yield-place]"
)
LOOP_EXIT = (
    "a loop has one exit, its head, because that is where it is cut; put the condition into the head "
    "[loop-exit]"
)
NO_CUT = "a loop without a cut at its head; write `while (yield LOOP) and condition:` [loop-head]"
MISPLACED_CUT = (
    "`yield LOOP` marks the head of a loop; write `while (yield LOOP) and condition:` [loop-head]"
)
FOR = (
    "`for` hides its iterator from a cut; write `while (yield LOOP) and todo:`, or use an operation of a table "
    "[iteration]"
)
COMPREHENSION = (
    "a comprehension iterates over a symbolic table; use an operation of a table [iteration]"
)
TRY = "`try` would catch what the engine raises; check first, then act [exceptions]"
WITH = "`with` hides its exit from a cut; write its two ends as two statements [exceptions]"
STATE = "a variable outside the tables is not replaced at a cut; make it a field of the state [hidden-state]"
NESTED = "a function or class inside a function: its variables hide from a cut; make it a method [nested-scope]"
COLLECTION = "sets and dicts hash their elements, which a symbolic value cannot; use a table or a list [collection]"
STAR = "a star unpacks an unknown number of values; name each argument [star-arguments]"
ASYNCHRONOUS = "an action is a generator: `yield` an event instead of awaiting [asynchronous]"
LAMBDA = (
    "a lambda may be kept and run later; only pass it to an operation of a table, else make it a method "
    "[lambda]"
)
PRODUCT = "a product of two unknowns is not decided by a solver; multiply by a number or a CONSTANT [operator]"


def operator(sign: str) -> str:
    """The message about an operator."""
    return f"`{sign}` is not decided reliably by a solver; use sums, differences and comparisons [operator]"


def introspection(name: str) -> str:
    """The message about a function that looks at the value itself."""
    return f"`{name}` sees the symbolic value, not what it stands for; keep the fact in a field [introspection]"


def conversion(name: str) -> str:
    """The message about a function that needs a number."""
    return (
        f"`{name}` needs a concrete value; use an operation of a table, or plain sums [conversion]"
    )


def text(what: str) -> str:
    """The message about text made of values."""
    return f"{what} makes text of a value that may be symbolic; only an error that is raised may quote values [text]"


def identity(word: str, instead: str) -> str:
    """The message about identity."""
    return (
        f"`{word}` is wrong for symbolic values; write `{instead}`, or compare with None [identity]"
    )


REFUSED: dict[str, list[str]] = {
    # Where a yield may stand.
    "self.taken = yield Event()": [YIELD_PLACE],
    "taken, failed = yield Event()": [YIELD_PLACE],
    "taken += yield Event()": [YIELD_PLACE],
    "total = row.total + (yield Event())": [YIELD_PLACE],
    "self.count((yield from self.step()))": [YIELD_PLACE],
    "if (yield Event()):\n    return": [YIELD_PLACE],
    "raise NotHeldError((yield Event()))": [YIELD_PLACE],
    "yield Event((yield Event()))": [YIELD_PLACE],
    "self.drop(lambda row: (yield Event()))": [YIELD_PLACE],
    # Loops.
    "yield Event()\nwhile row.pending:\n    self.step()": [f"2: {NO_CUT}"],
    "yield Event()\nwhile row.pending and (yield LOOP):\n    self.step()": [
        f"2: {MISPLACED_CUT}",
        f"2: {NO_CUT}",
        f"2: {YIELD_PLACE}",
    ],
    "yield LOOP": [MISPLACED_CUT],
    "while row.pending:\n    self.step()": [
        (
            "a loop outside an action cannot be cut; make the function an action, or use an operation of a table "
            "[loop-head]"
        )
    ],
    "while (yield LOOP) and row.pending:\n    break": [f"2: {LOOP_EXIT}"],
    "while (yield LOOP) and row.pending:\n    continue": [f"2: {LOOP_EXIT}"],
    "while (yield LOOP) and row.pending:\n    pass\nelse:\n    self.step()": [f"4: {LOOP_EXIT}"],
    "for client in self.clients:\n    self.step()": [FOR],
    "yield from [first, second]": [
        "`yield from` iterates over a value; call an action after it [iteration]"
    ],
    "return [row for row in self.clients]": [COMPREHENSION],
    "return any(row.leaving for row in self.clients)": [COMPREHENSION],
    # Statements.
    "try:\n    self.step()\nexcept KeyError:\n    pass": [TRY],
    "try:\n    self.step()\nfinally:\n    pass": [TRY],
    "with self.guard:\n    self.step()": [WITH],
    "raise": ["`raise` without an error; raise a named one [exceptions]"],
    "global count": [STATE],
    "del self.clients[client]": [
        "`del` removes without saying from what; call the table's `delete` [delete]"
    ],
    "match row:\n    case None:\n        pass": [
        "`match` compares by type; write `if` and `elif` with `==` [match]"
    ],
    "def helper():\n    return row": [NESTED],
    "class Helper:\n    pass": [NESTED],
    # Expressions.
    "return {first, second}": [COLLECTION],
    "return {first: second}": [COLLECTION],
    "return set(todo)": [COLLECTION],
    "self.step(*arguments)": [STAR],
    "self.step(**arguments)": [STAR],
    "first, *rest = todo": [STAR],
    "if (first := self.first()) > 0:\n    return": [
        "`:=` assigns in the middle of an expression; write an assignment of its own [walrus]"
    ],
    "data = row.data[row.written:]": [
        "a slice needs concrete bounds; let the table or the buffer offer the part that is meant [slice]"
    ],
    "key = lambda row: row.handle": [LAMBDA],
    "first = sorted(todo, key=lambda row: row.handle)": [LAMBDA],
    "if row.leaving is True:\n    return": [identity("is", "==")],
    "if row.client is not frame.client:\n    return": [identity("is not", "!=")],
    "return f'{row.tokens}'": [text("an f-string")],
    "return str(row.tokens)": [text("`str`")],
    "self.action(frame, row)\nyield Event()": [
        "`action` is an action: calling it runs nothing; write `yield from` before the call [generator-call]"
    ],
    "super().action(frame, row)\nyield Event()": [
        "`action` is an action: calling it runs nothing; write `yield from` before the call [generator-call]"
    ],
    "return row.price * row.count": [PRODUCT],
    "return ~row.flags": [operator("~")],
    "row.total //= 2": [operator("//")],
    "return row.__class__": [introspection("__class__")],
}
REFUSED |= {
    f"return row.price {sign} 2": [operator(sign)]
    for sign in ("//", "/", "%", "**", "@", "<<", ">>", "&", "|", "^")
}
REFUSED |= {
    f"return {name}(row)": [introspection(name)]
    for name in (
        "isinstance",
        "issubclass",
        "type",
        "id",
        "hash",
        "getattr",
        "setattr",
        "exec",
        "eval",
    )
}
REFUSED |= {
    f"return {name}(row)": [conversion(name)]
    for name in (
        "abs",
        "divmod",
        "round",
        "range",
        "zip",
        "enumerate",
        "sum",
        "int",
        "bool",
        "float",
    )
}


@pytest.mark.parametrize(("body", "messages"), REFUSED.items(), ids=REFUSED)
def test_refuses(body: str, messages: list[str]) -> None:
    """An action that the proofs would read wrongly would go unnoticed."""
    expected = [message if message[0].isdigit() else f"1: {message}" for message in messages]
    assert findings(body) == expected


HEADS = {
    "def action(self, *rows):\n    pass": [STAR],
    "def action(self, **rows):\n    pass": [STAR],
    "async def action(self):\n    pass": [ASYNCHRONOUS],
    "async def action(self):\n    await self.step()": [ASYNCHRONOUS, f"2: {ASYNCHRONOUS}"],
    "def action(self, rows=[]):\n    pass": [
        "a default that can change is state outside the tables; use None or a constant [mutable-default]"
    ],
    "@cache\ndef action(self):\n    pass": [
        (
            "decorator `cache` may change what runs; allowed are abstractmethod, classmethod, final, "
            "outside_subset, override, property, staticmethod [decorator]"
        )
    ],
    "@staticmethod\ndef action(rows: set[int] | None = None) -> int | None:\n    pass": [],
    "@lint.outside_subset\ndef show(self):\n    for row in self.rows:\n        print(f'{row}')": [],
    "@outside_subset\nclass Viewer:\n    def show(self):\n        return {1, 2}": [],
}


@pytest.mark.parametrize(("source", "messages"), HEADS.items(), ids=HEADS)
def test_judges_the_head_of_a_function(source: str, messages: list[str]) -> None:
    """Parameters and decorators could bring in what the body may not contain."""
    expected = [
        f"machine.py:{message}" if message[0].isdigit() else f"machine.py:1: {message}"
        for message in messages
    ]
    assert [str(finding) for finding in lint.check_source(source, "machine.py")] == expected


def test_an_action_of_another_file_is_driven_too(tmp_path: Path) -> None:
    """A call of an inherited action without `yield from` would silently do nothing."""
    base, derived = tmp_path / "base.py", tmp_path / "derived.py"
    base.write_text("class Base:\n    def step(self):\n        yield Event()\n")
    derived.write_text("class Derived(Base):\n    def action(self):\n        self.step()\n")
    assert lint.check_files([base, derived]) == [
        lint.Finding(
            file=str(derived),
            line=3,
            code="generator-call",
            message="`step` is an action: calling it runs nothing; write `yield from` before the call",
        )
    ]


def test_command_prints_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A finding would not stop the build, or would not say where it is."""
    file = tmp_path / "machine.py"
    file.write_text("def action(row):\n    return row.price % 2\n")
    assert lint.main([str(file)]) == 1
    assert capsys.readouterr() == (f"{file}:2: {operator('%')}\n", "")


def test_command_accepts_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """The specification's own actions would have left the subset that the proofs can run."""
    status = lint.main([])
    assert capsys.readouterr() == ("", "")
    assert status == 0


def test_the_machine_is_linted_whole() -> None:
    """A module with actions would be forgotten in the list of what is linted."""
    package = Path(chardev_spec.__file__).parent
    with_loops = {
        path.relative_to(package).with_suffix("").as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Yield) and ast.unparse(node).startswith("(yield LOOP")
    }
    assert with_loops <= set(lint.LIFTABLE)


NOT_PYTHON = {
    b"x =\n": "not Python: invalid syntax",
    b"\xff\n": (
        "not Python: (unicode error) 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"
    ),
    b"x\0": "not Python: source code string cannot contain null bytes",
}


@pytest.mark.parametrize(("content", "message"), NOT_PYTHON.items(), ids=map(repr, NOT_PYTHON))
def test_command_refuses_what_is_not_python(
    content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken file would end in a traceback, or count as clean."""
    file = tmp_path / "machine.py"
    file.write_bytes(content)
    with pytest.raises(SystemExit) as exit_:
        lint.main([str(file)])
    assert exit_.value.code == 2
    assert capsys.readouterr() == ("", f"{file}:1: {message}\n")


def test_command_refuses_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt name would end in a traceback, or count as clean."""
    file = tmp_path / "missing.py"
    with pytest.raises(SystemExit) as exit_:
        lint.main([str(file)])
    assert exit_.value.code == 2
    assert capsys.readouterr() == ("", f"{file}: cannot be read: No such file or directory\n")
