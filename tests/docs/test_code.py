"""Every piece of code in the README and on the pages is run, and what it prints is compared.

- ``console``: a session. Lines after ``$`` are commands; what follows is what they print, ``...`` for anything, and
  ``[exit status N]`` where it is not 0. All sessions of a page share a folder.
- ``sh``: commands for somewhere else, because they take hours, a real line, or the network; nothing is compared.
  Those of ``chardev`` must be ones that the command understands, those of ``make`` targets that there are.
- ``python``: all blocks of a page are one program; a block of class ``printed`` is what it prints. What a fragment
  needs before it stands in a comment of the page that begins with ``setup``. A program that opens a real line is only
  compiled.
- ``json``: must be JSON.
"""

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from chardev_conformance.command_line import main

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted(
    path
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.rst")]
    if not {"_build", "contract"} & {*path.relative_to(ROOT).parts}
)


@dataclass(frozen=True)
class Block:
    """One piece of code on a page."""

    language: str
    code: str
    printed: bool = False


def blocks(path: Path) -> Iterator[Block]:
    """The pieces of code of a page, in order."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        for language, code in re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            yield Block(language, code)
        return
    for setup in re.findall(r"^\.\. setup\n\n((?:   .*\n|\n)+)", text, re.MULTILINE):
        yield Block("python", textwrap.dedent(setup))
    found = re.finditer(
        r"^(?P<indent> *)\.\. code-block:: (?P<language>\w+)\n(?P<rest>(?:(?P=indent) +\S.*\n|\s*\n)*)",
        text + "\n",
        re.MULTILINE,
    )
    for each in found:
        lines = each["rest"].splitlines()
        options = [line for line in lines[:3] if re.match(r"\s+:\w+:", line)]
        code = "\n".join(line for line in lines if line not in options)
        indents = [len(line) - len(line.lstrip()) for line in code.splitlines() if line.strip()]
        cut = min(indents, default=0)
        plain = "\n".join(line[cut:] for line in code.strip("\n").splitlines()) + "\n"
        yield Block(each["language"], plain, ":class: printed" in each["rest"])


def sessions(code: str) -> Iterator[tuple[str, str]]:
    """The commands of a session, each with what it is said to print."""
    for part in re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output.strip("\n")


def of_language(*languages: str) -> list[Path]:
    """The pages that have code in one of some languages."""
    return [path for path in PAGES if any(block.language in languages for block in blocks(path))]


def name(path: Path) -> str:
    """A page as the test's name has it."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", of_language("console"), ids=name)
def test_sessions_print_what_they_show(path: Path, tmp_path: Path) -> None:
    """A reader who follows the page would see something else."""
    folder = Path(sys.executable).parent
    # Without what an outer make tells an inner one: that would print more than the reader's does.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    environment |= {"PATH": f"{folder}:{os.environ['PATH']}"}
    for block in blocks(path):
        if block.language != "console":
            continue
        for command, expected in sessions(block.code):
            tool = command.split()[0]
            if tool in {"cargo", "make", "cc"} and shutil.which(tool) is None:
                pytest.skip(f"no {tool}; on Debian: apt-get install {tool}")
            run = subprocess.run(  # noqa: S602 - the page shows what a shell is told
                command,
                shell=True,
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            said = (run.stdout + run.stderr).strip("\n")
            if run.returncode != 0:
                said += f"\n[exit status {run.returncode}]"
            assert matches(said, expected), f"{command}\n{said}"


def matches(said: str, expected: str) -> bool:
    """Whether what was printed is what the page shows; ``...`` stands for anything."""
    plain = re.sub(r"^<BLANKLINE>$", "", expected, flags=re.MULTILINE)
    pattern = ".*".join(map(re.escape, plain.split("...")))
    return re.fullmatch(pattern, said.strip("\n"), re.DOTALL) is not None


@pytest.mark.parametrize("path", of_language("sh"), ids=name)
def test_commands_are_understood(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A page would show an option, a command or a target that there is not."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for block in blocks(path):
        if block.language != "sh":
            continue
        for line in block.code.splitlines():
            assert not line.startswith("$ "), f"{line}: a session is of the language console"
            words = shlex.split(line, comments=True)
            if words[:1] == ["make"]:
                assert words[1] in targets, line
            if words[:1] == ["chardev"]:
                # `--help` at the end: what stands before it is parsed, nothing is done.
                with pytest.raises(SystemExit) as ended:
                    main([*words[1:], "--help"])
                assert ended.value.code == 0, f"{line}: {capsys.readouterr().err}"


def test_no_session_is_overlooked() -> None:
    """Code in a language that nobody runs could say anything."""
    known = {"console", "sh", "python", "json", "text"}
    other = {
        (name(path), block.language)
        for path in PAGES
        for block in blocks(path)
        if block.language not in known or (block.language == "text" and "\n$ " in f"\n{block.code}")
    }
    assert other == set()


@pytest.mark.parametrize("path", of_language("python"), ids=name)
def test_programs_run_and_print_what_is_shown(path: Path) -> None:
    """A reader who copies the code would get an error, or something else printed."""
    here = list(blocks(path))
    said = io.StringIO()
    code = "\n".join(block.code for block in here if block.language == "python")
    program = compile(code, str(path), "exec")
    if "/dev/ttyUSB0" in code:
        return
    with contextlib.redirect_stdout(said):
        exec(program, {"__name__": "page"})  # noqa: S102 - that is the test
    assert said.getvalue() == "".join(block.code for block in here if block.printed)


@pytest.mark.parametrize("path", of_language("json"), ids=name)
def test_json_is_json(path: Path) -> None:
    """A reader who copies it would be told that it is none."""
    for block in blocks(path):
        if block.language == "json":
            json.loads(block.code)


def test_what_differs_is_seen() -> None:
    """A page could show anything at all."""
    assert matches("a\nb 12 c", "a\nb ... c")
    assert not matches("a\nb 12 d", "a\nb ... c")
    assert not matches("a\nmore", "a")
