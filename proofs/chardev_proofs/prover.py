"""Proves all functions: in several processes, and only those that have changed since they were proved.

Theory of operation
===================
Each function is proved by itself, so they are shared out to processes.
A function's report is kept under a key made of all that it depends on: the text of the machine's methods that it can
reach (without comments and docstrings), the invariants, the state's definition, the engine, and the versions of Python
and the solver.
So a change proves again what it can affect, and nothing else; and whoever is interrupted goes on where he was.
"""

import ast
import gc
import hashlib
import inspect
import json
import os
import sys
import textwrap
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import z3

from chardev_proofs.codec import CodecProof
from chardev_proofs.counterexample import Failure
from chardev_proofs.functions import Obligation, Report
from chardev_proofs.machine import PROCEDURES, PUBLIC
from chardev_proofs.rely import rely_obligations
from chardev_proofs.replay import prove_and_perform
from chardev_proofs.values import EngineSignal, UnsupportedError
from chardev_spec import events, invariants, record, state
from chardev_spec.contract import Contract

RELY: Final = "rely"
"""The name of what is no function: that the rely composes."""

CODEC: Final = "codec"
"""Likewise: the record as bytes."""

LONGEST_FIRST: Final = (
    "client_remove", "reset", "take_answer", "read_pass", "write_to_port", "write_once", "complete",
    "client_add", "restore", "start",
)  # fmt: skip
"""Begun first, so that no process is left alone with a long one in the end."""

NAMES: Final = tuple(dict.fromkeys([*LONGEST_FIRST, *PROCEDURES, *PUBLIC, RELY, CODEC]))
"""What is proved, in the order in which it is begun."""


class Trouble(NamedTuple):
    """A function that could not be proved or refuted; `unsupported` when its text is outside the subset."""

    function: str
    message: str
    unsupported: bool


def prove_one(name: str) -> Report:
    """Prove one function, or what is none."""
    if name == RELY:
        return _plain_report(RELY, "composition", ("CB-1",), rely_obligations)
    if name == CODEC:
        return _plain_report(
            CODEC, "bytes", ("MIG-1", "MIG-5"), lambda: [*CodecProof().run().items()]
        )
    return prove_and_perform(name)


def _plain_report(
    name: str,
    segment: str,
    rules: tuple[str, ...],
    run: Callable[[], list[tuple[str, bool]]],
) -> Report:
    began = time.perf_counter()
    results = run()
    seconds = time.perf_counter() - began
    obligations = [
        Obligation(
            text, rules, name, segment, seconds / len(results), 1,
            None if holds else Failure("refuted", []),
        )
        for text, holds in results
    ]  # fmt: skip
    return Report(name, obligations, 0, len(results), seconds)


def _attempt(name: str) -> Report | Trouble:
    # Terms count their references: looking for cycles all the time would take a tenth of the time and find few.
    gc.collect()
    gc.disable()
    try:
        return prove_one(name)
    except UnsupportedError as error:
        return Trouble(name, str(error), unsupported=True)
    except (EngineSignal, Exception) as error:
        return Trouble(name, f"{type(error).__name__}: {error}", unsupported=False)


def prove(
    names: tuple[str, ...], *, jobs: int, fresh: bool, progress: Callable[[int, int, str], None]
) -> tuple[list[Report], list[Trouble]]:
    """The reports on these functions, in their order, and what went wrong; `fresh` uses no earlier result.

    `progress` is told how many of how many are done, and which one was done last.
    """
    files = {name: cache_folder() / f"{cache_key(name)}.json" for name in names}
    reports = {} if fresh else {name: found for name in names if (found := _load(files[name]))}
    missing = [name for name in names if name not in reports]
    troubles: list[Trouble] = []
    with ProcessPoolExecutor(max_workers=max(min(jobs, len(missing)), 1)) as pool:
        try:
            waiting = [pool.submit(_attempt, name) for name in missing]
            for number, future in enumerate(as_completed(waiting), 1):
                result = future.result()
                if isinstance(result, Trouble):
                    troubles.append(result)
                else:
                    reports[result.function] = result
                    _store(files[result.function], result)
                progress(number, len(missing), result.function)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [reports[name] for name in names if name in reports], troubles


# What a report depends on


@cache
def _plain(text: str) -> str:
    """A text without comments and docstrings."""
    tree = ast.parse(textwrap.dedent(text))
    for node in ast.walk(tree):
        if (
            isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module))
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


@cache
def _methods() -> dict[str, tuple[str, frozenset[str]]]:
    """The text of each method of the machine, and the names that it mentions."""
    found = {}
    for name, method in inspect.getmembers(Contract, inspect.isfunction):
        text = textwrap.dedent(inspect.getsource(method))
        nodes = ast.walk(ast.parse(text))
        mentioned = frozenset(node.attr for node in nodes if isinstance(node, ast.Attribute))
        found[name] = _plain(text), mentioned
    return found


def reachable(names: list[str]) -> dict[str, str]:
    """The methods that these can run, with their texts; procedures are not followed."""
    methods = _methods()
    found: dict[str, str] = {}
    waiting = [name for name in names if name in methods]
    while waiting:
        name = waiting.pop()
        text, mentioned = methods[name]
        found[name] = text
        waiting += [
            each
            for each in mentioned
            if each in methods and each not in found and each not in PROCEDURES
        ]
    return found


@cache
def _common() -> str:
    """What every report depends on."""
    asked = [
        node.attr
        for node in ast.walk(ast.parse(inspect.getsource(invariants)))
        if isinstance(node, ast.Attribute)
    ]
    engine = sorted(Path(__file__).parent.glob("*.py"))
    return repr(
        (
            sys.version,
            z3.get_version_string(),
            sorted(reachable(asked).items()),
            [_plain(inspect.getsource(module)) for module in (invariants, state, events, record)],
            [_plain(path.read_text(encoding="utf-8")) for path in engine],
        )
    )


def cache_key(function: str) -> str:
    """A key that changes with everything that the function's report depends on."""
    own = sorted(reachable([function]).items())
    return hashlib.sha256(repr((function, own, _common())).encode()).hexdigest()


def cache_folder() -> Path:
    """Where reports are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "chardev" / "proofs"


def to_json(report: Report) -> dict[str, Any]:
    """A report as data."""
    return asdict(report)


def from_json(stored: dict[str, Any]) -> Report:
    """The report that `to_json` made this of."""
    obligations = [
        Obligation(
            **each
            | {
                "rules": tuple(each["rules"]),
                "failure": Failure(**each["failure"]) if each["failure"] else None,
            }
        )
        for each in stored["obligations"]
    ]
    return Report(**stored | {"obligations": obligations})


def _load(path: Path) -> Report | None:
    try:
        return from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _store(path: Path, report: Report) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(to_json(report)), encoding="utf-8")
        temporary.replace(path)
    except OSError:
        pass  # A cache that cannot be written costs time, nothing else.
