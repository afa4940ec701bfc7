"""Scenarios of the target spice-server as files."""

from pathlib import Path

import pytest

from chardev_conformance.scenario import ScenarioError
from chardev_conformance.spice_server.steps import Scenario, dumps, load, loads
from tests.conformance.spice_server.peers import step

SCENARIO = Scenario(
    "agent",
    (
        step("start", client="c1", tokens=1),
        step("restore", client="c1", source="c1", patches=[[4, "ff"]], size=-1),
    ),
)
HEAD = '{"format": "chardev-spice-server", "version": 1, "stage": "agent"}\n'


def test_a_file_holds_a_scenario() -> None:
    """A finding could not be written down and read again."""
    text = dumps(SCENARIO, seed=3)
    assert text.splitlines()[0] == (
        '{"format": "chardev-spice-server", "version": 1, "stage": "agent", "seed": 3}'
    )
    assert loads(text, "f") == SCENARIO


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f: the scenario is empty"),
        (
            "{",
            "f:1: not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        (
            "{}",
            'f:1: not a scenario for spice-server: the first line must have "format": "chardev-spice-server"',
        ),
        (HEAD.replace("1,", "2,"), "f:1: version 2; this program reads version 1"),
        (HEAD.replace('"agent"', "1"), "f:1: stage must be a name, not 1"),
        (HEAD + '{"do": "stop"}', "f:2: stop takes the arguments server"),
        (
            HEAD + '{"do": "stop", "server": 1}',
            "f:2: argument server of stop must be of type str, not 1",
        ),
        (
            HEAD + '{"do": "more", "client": "c1", "bytes": "0g"}',
            "f:2: argument bytes of more: not bytes in hexadecimal: '0g'",
        ),
        (
            HEAD
            + '{"do": "restore", "client": "c", "source": "c", "patches": [["0", "ff"]], "size": -1}',
            "f:2: a patch is an offset and bytes, not ['0', 'ff']",
        ),
    ],
)
def test_a_bad_file_is_refused(text: str, message: str) -> None:
    """A mistake in a file would be found by its consequences."""
    with pytest.raises(ScenarioError) as caught:
        loads(text, "f")
    assert str(caught.value) == message


def test_a_step_is_known(tmp_path: Path) -> None:
    """A misspelt step would be left out silently."""
    file = tmp_path / "f"
    file.write_text(HEAD + '{"do": "halt"}', encoding="utf-8")
    with pytest.raises(
        ScenarioError, match="a step must be an object whose 'do' is one of room, feed"
    ):
        load(file)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    """The user would see a traceback."""
    with pytest.raises(ScenarioError) as caught:
        load(tmp_path / "none")
    assert str(caught.value) == f"{tmp_path}/none: cannot be read: No such file or directory"
