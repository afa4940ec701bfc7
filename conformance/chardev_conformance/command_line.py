"""The command `chardev`.

Exit status: 0 holds, 1 a finding, 2 wrong use, 3 could not run.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from chardev_conformance import (
    command_check,
    command_compare,
    command_fuzz,
    command_judge,
    command_vectors,
    reachable,
)
from chardev_conformance.adapters.lines import LineError
from chardev_conformance.adapters.templates import LANGUAGES, TemplateError, write_template
from chardev_conformance.commands import COULD_NOT_RUN, HOLDS, WRONG_USE, UsageError
from chardev_conformance.scenario import ScenarioError
from chardev_conformance.target import TargetError, UnknownTargetError


class MissingExtraError(Exception):
    """The command needs an extra of the distribution that is not installed; the message says which."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        options = _parser(arguments[0] if arguments else "").parse_args(arguments)
        return int(options.run(options))
    except (UsageError, ScenarioError, UnknownTargetError) as error:
        return _complain(error, WRONG_USE)
    except (LineError, TargetError, MissingExtraError) as error:
        return _complain(error, COULD_NOT_RUN)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read the output has gone; nothing more can be said to them
        return COULD_NOT_RUN


def _complain(error: BaseException, status: int) -> int:
    print(f"chardev: {error}", file=sys.stderr)
    return status


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser(command: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="chardev",
        description="The SPICE character-device API: check an implementation, prove the specification, "
        "or share a serial line.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command_check.add_parser(commands)
    command_judge.add_parser(commands)
    command_compare.add_parser(commands)
    command_vectors.add_parser(commands)
    command_fuzz.add_parser(commands)
    adapter = commands.add_parser(
        "adapter", help="begin an adapter for an implementation in another language"
    )
    actions = adapter.add_subparsers(required=True, metavar="ACTION")
    new = actions.add_parser(
        "new",
        help="write a template",
        description="Writes an adapter that runs and answers every call with 'missing', to be filled in.",
    )
    new.add_argument("--language", required=True, choices=LANGUAGES, help="what it is written in")
    new.add_argument("directory", type=Path, metavar="DIR", help="the folder to write it to")
    new.set_defaults(run=_new_adapter)
    serve = commands.add_parser(
        "serve", help="share one serial line, or virtio port, among several clients"
    )
    if command == "serve":
        from chardev.serve import add_arguments

        add_arguments(serve)
    prove = commands.add_parser("prove", help="prove the invariants of the specification")
    if command == "prove":
        _add_prove_arguments(prove)
    return parser


def _add_prove_arguments(parser: argparse.ArgumentParser) -> None:
    try:
        # The solver is large, and nothing else here needs it.
        from chardev_proofs.command import add_arguments
    except ModuleNotFoundError as error:
        if error.name != "z3":
            raise
        raise MissingExtraError(
            "prove needs the solver z3: python -m pip install 'chardev[proofs]'"
        ) from None
    add_arguments(parser, reachable.tell)


def _new_adapter(options: argparse.Namespace) -> int:
    try:
        print(write_template(options.language, options.directory))
    except TemplateError as error:
        raise UsageError(str(error)) from None
    return HOLDS


if __name__ == "__main__":
    sys.exit(main())
