"""The trace format."""

import gzip
import json
from pathlib import Path
from typing import Any, Final

import pytest

from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.campaign import replay
from chardev_conformance.lockstep import Finding
from chardev_conformance.scenario import PARAMETERS, Answer, Scenario, ScenarioError, Step, walk
from chardev_conformance.trace import (
    LEGEND,
    dumps,
    finding_to_json,
    load,
    load_all,
    loads,
    readable,
)

ROOT: Final = Path(__file__).parents[2]
EXAMPLE: Final = ROOT / "docs/example-trace.jsonl"

HEADER: Final = '{"format": "chardev-trace", "version": 1}'

SCENARIO: Final = Scenario(
    {"p1": True, "p2": False},
    2,
    [
        Step("create", {"port": "p1", "client_tokens_interval": 1, "self_tokens": 0}),
        Step("write_buffer_get", {"client": None, "size": 1}, result_name="b1"),
        Step(
            "start",
            {},
            [
                Answer("write", 1),
                Answer("write"),
                Answer("write", "fail"),
                Answer("read_one_msg_from_device", value=True),
                Answer(
                    "unref_msg_to_client",
                    raises=True,
                    calls=[
                        Step("write_buffer_add", {"buffer": "b1", "data": ""}),
                        Step("stop", {}, [Answer("port_failed", calls=[Step("wakeup")])]),
                    ],
                ),
                Answer("port_failed", calls=[Step("opaque_get")]),
                Answer("read_one_msg_from_device"),
            ],
        ),
        Step("destroy", device="d2"),
    ],
)


def test_a_scenario_comes_back_from_a_trace() -> None:
    """A saved failure would replay as something else."""
    assert loads(dumps(SCENARIO), "t") == SCENARIO


def test_the_text_of_a_trace() -> None:
    """A program in another language, written against the format, would not read our traces."""
    finding = Finding(("WR-2", "WR-1"), "start > stop", "nothing", "write(1, 00)", "write / end")
    scenario = Scenario(
        {"p1": False}, None, [Step("start", {}, [Answer("write", 1)]), Step("stop")]
    )
    header = {
        "format": "chardev-trace",
        "version": 2,
        "ports": {"p1": False},
        "moves_per_call": None,
        "seed": 7,
        "finding": {
            "rules": ["WR-2", "WR-1"],
            "where": "start > stop",
            "allowed": "nothing",
            "seen": "write(1, 00)",
            "symptom": "write / end",
        },
    }
    assert dumps(scenario, seed=7, finding=finding_to_json(finding)) == "".join(
        [
            json.dumps(header) + "\n",
            '{"call": "start", "answers": [{"on": "write", "value": 1}]}\n',
            '{"call": "stop"}\n',
        ]
    )


def test_a_header_alone_has_defaults() -> None:
    """Traces written by hand would have to state what hardly ever differs."""
    assert loads(HEADER, "t") == Scenario({"p1": False}, None, [])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n \n"])
def test_lines_may_end_in_other_ways(end: str) -> None:
    """A trace that passed through an editor of another system could not be read."""
    assert loads(end.join([HEADER, '{"call": "start"}', ""]), "t").steps == [Step("start")]


def test_other_separators_inside_strings_end_no_line() -> None:
    """A header that quotes a text with an unusual line separator would be cut in two."""
    header = '{"format": "chardev-trace", "version": 1, "target": "a\u2028b\u0085c"}'
    assert loads(header, "t").steps == []


def with_header(**changed: Any) -> str:
    """A trace of a header alone."""
    return json.dumps({"format": "chardev-trace", "version": 1} | changed)


CALLS = ", ".join(PARAMETERS)
NOT_A_TRACE = 't:1: not a trace: the first line must have "format": "chardev-trace"'
NAME_RULE = "; a name is made of letters, digits, '_', '.' and '-'"


TIMERS = 't:2: timers must be an object like {"d1": {"retry": 100, "wait": {"c1": 30000}}}, not '
OUTCOMES = "returned, refused, raised, broken, callback"
OBSERVATIONS: Final[list[tuple[dict[str, Any], str]]] = [
    ({"timers": 3}, TIMERS + "3"),
    ({"timers": {"d1": {"retry": "1"}}}, TIMERS + "{'d1': {'retry': '1'}}"),
    ({"timers": {"d1": {"tea": 1}}}, TIMERS + "{'d1': {'tea': 1}}"),
    ({"outcome": {}}, f"t:2: outcome must be an object with one of {OUTCOMES}, not {{}}"),
    ({"outcome": {"refused": 1}}, "t:2: outcome refused must be a text, not 1"),
    (
        {"outcome": {"returned": 1}},
        "t:2: what was returned must be true, false, null or bytes in hexadecimal, not 1",
    ),
    ({"outcome": {"callback": 1}}, "t:2: outcome callback must be an object, not 1"),
    (
        {"answers": [{"on": "write", "with": {}}]},
        "t:2: answer 1: the callback write has the arguments port, data",
    ),
    (
        {"answers": [{"on": "port_failed", "buffers": 0}]},
        "t:2: answer 1: buffers must be a number above 0, not 0",
    ),
]
"""Observations that cannot be, in a step that starts a device."""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t: the trace is empty"),
        ("\n \n", "t: the trace is empty"),
        ("start", "t:1: not JSON: Expecting value: line 1 column 1 (char 0)"),
        (
            HEADER + "\n{",
            "t:2: not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        ("[" * 200_000, "t:1: not JSON that a trace can hold: nested too deep"),
        ("[]", NOT_A_TRACE),
        ("{}", NOT_A_TRACE),
        ('{"call": "start"}', NOT_A_TRACE),
        (with_header(version=3), "t:1: trace version 3; this program reads version 2 and older"),
        (
            with_header(version="1"),
            "t:1: trace version '1'; this program reads version 2 and older",
        ),
        (
            with_header(version=True),
            "t:1: trace version True; this program reads version 2 and older",
        ),
        (
            '{"format": "chardev-trace"}',
            "t:1: trace version None; this program reads version 2 and older",
        ),
        (with_header(ports={}), "t:1: ports must name at least one port"),
        (with_header(ports=["p1"]), "t:1: ports must name at least one port"),
        (
            with_header(ports={"p1": 1}),
            "t:1: port p1 must be true (it announces writability) or false, not 1",
        ),
        (with_header(ports={"p 1": True}), "t:1: a port cannot be called 'p 1'" + NAME_RULE),
        *(
            (
                with_header(moves_per_call=limit),
                f"t:1: moves_per_call must be null or a number above 0, not {limit!r}",
            )
            for limit in (0, True, "1", 1.5)
        ),
        (HEADER + '\n\n{"call": "begin"}', f"t:3: unknown call 'begin'; known are {CALLS}"),
        (HEADER + '\n{"call": "client_remove"}', "t:2: client_remove takes the arguments client"),
        (HEADER + "\n17", "t:2: a step must be an object, not a number"),
        (HEADER + "\n" + HEADER, "t:2: t holds 2 traces; this takes one (cut out its lines)"),
        (with_header(observed=[]), "t:1: observed must be an object, not []"),
        (
            with_header(observed={"lacks": ["tea"]}),
            "t:1: observed lacks must be a list of on_free_self_token, port_failed, not ['tea']",
        ),
        (
            with_header(observed={"moves_per_call": 0}),
            "t:1: moves_per_call must be null or a number above 0, not 0",
        ),
        *(
            (with_header(observed={}) + "\n" + json.dumps({"call": "start"} | seen), message)
            for seen, message in OBSERVATIONS
        ),
    ],
)
def test_bad_traces_are_refused_in_one_line(text: str, message: str) -> None:
    """Whoever replays a damaged or foreign file would get a traceback, or an empty verdict."""
    with pytest.raises(ScenarioError) as refused:
        loads(text, "t")
    assert str(refused.value) == message
    assert "\n" not in message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A wrong path would end in a traceback."""
    binary, latin = tmp_path / "binary", tmp_path / "latin"
    binary.write_bytes(b"\x80\x00")
    latin.write_bytes(HEADER.encode() + b"\n\xe4")
    for path, reason in [
        (tmp_path / "missing", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (binary, "it is not UTF-8 text"),
        (latin, "it is not UTF-8 text"),
    ]:
        with pytest.raises(ScenarioError) as refused:
            load(path)
        assert str(refused.value) == f"{path}: cannot be read: {reason}"


def test_the_file_is_named_in_messages(tmp_path: Path) -> None:
    """Nobody could tell which of several files is wrong."""
    path = tmp_path / "x.jsonl"
    path.write_text(HEADER + "\n[]\n", encoding="utf-8")
    with pytest.raises(ScenarioError) as refused:
        load(path)
    assert str(refused.value) == f"{path}:2: a step must be an object, not a list"


def test_the_readable_list_of_steps() -> None:
    """A failure could not be understood without reading JSON."""
    assert readable(SCENARIO).splitlines() == [
        "1. create(port=p1, client_tokens_interval=1, self_tokens=0)",
        "2. write_buffer_get(null, 1) = b1",
        "3. start()",
        "    < write -> takes 1",
        "    < write -> takes all",
        "    < write -> fails",
        "    < read_one_msg_from_device -> a message",
        "    < unref_msg_to_client -> raises",
        '        3.1. write_buffer_add(b1, "")',
        "        3.2. stop()",
        "            < port_failed",
        "                3.2.1. wakeup()",
        "    < port_failed",
        "        3.3. opaque_get()",
        "    < read_one_msg_from_device -> nothing",
        "4. d2.destroy()",
    ]


def test_the_legend_explains_every_sign() -> None:
    """The list of steps would have signs that nothing explains."""
    assert LEGEND.splitlines() == [
        "legend: N. call(arguments) = name   one call of the API on device d1, or on the one named before it",
        "        < callback -> answer        what the device called back, and how that was answered",
        "        N.M. call(...)              a call made inside the callback above it",
    ]


def test_the_example_of_the_documentation_replays() -> None:
    """The documentation would teach a format that the checker does not read, or a run that fails."""
    scenario = load(EXAMPLE)
    finding, performed = replay(DeviceTarget, scenario)
    assert finding is None
    assert [step.call for step in walk(performed.steps)] == [
        step.call for step in walk(scenario.steps)
    ]


def test_the_example_of_the_documentation_shows_everything() -> None:
    """An element of the format would be described and never shown."""
    lines = [json.loads(line) for line in EXAMPLE.read_text(encoding="utf-8").splitlines()]
    steps = [*walk(load(EXAMPLE).steps)]
    answers = [answer for step in steps for answer in step.answers]
    assert {*lines[0]} == {"format", "version", "ports", "moves_per_call"}
    assert {key for line in lines[1:] for key in line} == {
        "call",
        "arguments",
        "device",
        "as",
        "answers",
    }
    assert {*map(type, (answer.value for answer in answers))} == {int, str, bool, type(None)}
    assert any(answer.raises for answer in answers)
    assert any(answer.calls for answer in answers)


def test_a_file_may_hold_several_traces(tmp_path: Path) -> None:
    """A set of vectors would be thousands of files."""
    path = tmp_path / "two.jsonl.gz"
    text = dumps(SCENARIO, name="first") + dumps(Scenario(steps=[Step("start")]), name="second")
    path.write_bytes(gzip.compress(text.encode()))
    traces = load_all(path)
    assert [(each.where, each.header["name"], each.scenario) for each in traces] == [
        (f"{path}:1", "first", SCENARIO),
        (f"{path}:6", "second", Scenario(steps=[Step("start")])),
    ]


def test_a_damaged_archive_is_refused_in_one_line(tmp_path: Path) -> None:
    """A file that was cut off on its way would end in a traceback."""
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(HEADER.encode())[:-9])
    with pytest.raises(ScenarioError) as refused:
        load(path)
    assert str(refused.value) == (
        f"{path}: cannot be read: Compressed file ended before the end-of-stream marker was reached"
    )
