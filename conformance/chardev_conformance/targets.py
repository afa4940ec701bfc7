"""The implementations that a check can be asked for, by what is written on the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

from chardev_conformance.adapters.c_library import open_library
from chardev_conformance.adapters.opened import Opened
from chardev_conformance.adapters.protocol import CALLBACK_ARGUMENTS
from chardev_conformance.adapters.python_object import PythonTarget, load
from chardev_conformance.adapters.specification import SpecificationTarget
from chardev_conformance.adapters.stdio import (
    ANSWER_SECONDS,
    command_of,
    open_process,
    with_consequences,
)
from chardev_conformance.scenario import PARAMETERS
from chardev_conformance.target import (
    EVERYTHING,
    OPTIONAL_CALLBACKS,
    Capabilities,
    UnknownTargetError,
)
from chardev_spec.contract import Contract
from chardev_spec.profiles import PROFILES, QUIRKS

KINDS: Final = "python:MODULE:FACTORY, stdio:COMMAND, c:./LIBRARY.so, spec:PROFILE, spice-server"
"""How a target is named."""

MAY_LACK: Final = frozenset(PARAMETERS) - {"create", "advance"} | OPTIONAL_CALLBACKS
"""What a target can be said to lack."""


def untested(opened: Opened) -> list[str]:
    """What of the contract is not tested with this target."""
    capabilities = opened.capabilities
    result = [name for name in (*PARAMETERS, *CALLBACK_ARGUMENTS) if name in capabilities.lacks]
    if not capabilities.contract_errors:
        result.append("calls that the contract forbids")
    if not capabilities.exceptions:
        result.append("exceptions in callbacks")
    return [*result, *opened.remarks]


@contextmanager
def open_target(
    target: str, lacks: frozenset[str] = frozenset(), seconds: float = ANSWER_SECONDS
) -> Iterator[Opened]:
    """The implementation that `target` names, until the context ends.

    `lacks` is what it is said to lack besides what it says itself.
    `seconds` is how long a process may take to answer.
    Raises `UnknownTargetError` when there is no such kind of target, `TargetError` when it cannot be checked.
    """
    scheme, colon, rest = target.partition(":")
    unknown = sorted(lacks - MAY_LACK)
    if unknown:
        raise UnknownTargetError(
            f"{target}: {unknown[0]} cannot be lacking; {', '.join(sorted(MAY_LACK))} can"
        )
    match scheme if colon else "":
        case "python":
            yield _python(rest, lacks)
        case "stdio":
            command = replace(command_of(rest), lacks=lacks, answer_seconds=seconds)
            with open_process(command) as opened:
                yield opened
        case "spec":
            yield _specification(target, rest, lacks)
        case "c":
            with open_library(rest, lacks, seconds) as opened:
                yield opened
        case _:
            raise UnknownTargetError(f"{target}: not a target; a target is one of {KINDS}")


def _python(name: str, lacks: frozenset[str]) -> Opened:
    loaded = load(name)
    implementation = replace(loaded, capabilities=lacking(loaded.capabilities, lacks))
    return Opened(
        implementation.name,
        lambda host, ports, limit: PythonTarget(host, ports, limit, implementation),
        implementation.capabilities,
    )


def _specification(target: str, name: str, lacks: frozenset[str]) -> Opened:
    """The machine of a profile, or of the contract with one quirk."""
    machines: dict[str, type[Contract]] = {each.__name__: each for each in QUIRKS}
    machines |= {each.name: each.machine for each in PROFILES.values()}
    if name not in machines:
        raise UnknownTargetError(
            f"{target}: no profile or quirk {name!r}; profiles are {', '.join(PROFILES)}; "
            "the page Quirks of the documentation has the names of the quirks"
        )
    return Opened(
        target,
        partial(SpecificationTarget, machine=machines[name], lacks=lacks),
        lacking(EVERYTHING, lacks),
    )


def lacking(capabilities: Capabilities, lacks: frozenset[str]) -> Capabilities:
    """The capabilities, without what is said to be lacking."""
    return replace(capabilities, lacks=with_consequences(capabilities.lacks | lacks))
