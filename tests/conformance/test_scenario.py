"""The scenario language as JSON."""

import json
from typing import Any

import pytest

from chardev_conformance.scenario import (
    EVENT_NAMES,
    NESTING_LIMIT,
    PARAMETERS,
    RESULTS,
    Answer,
    Kind,
    ScenarioError,
    Step,
    count_calls,
    kind,
    walk,
)
from chardev_conformance.scenario_json import (
    answer_from_json,
    answer_to_json,
    step_from_json,
    step_to_json,
)
from chardev_spec import events
from chardev_spec.registry import FUNCTIONS

VALUES: dict[Kind, Any] = {
    Kind.NAME: "n1",
    Kind.NAME_OR_NULL: None,
    Kind.FLAG: True,
    Kind.NUMBER: -1,
    Kind.SIZE: 2**24,
    Kind.DURATION: 0,
    Kind.BYTES: "00ff",
}
"""An argument of each kind, at the edge of what is allowed."""


def through_json(data: Any) -> Any:
    """What another program would read."""
    return json.loads(json.dumps(data))


@pytest.mark.parametrize("call", PARAMETERS)
def test_every_call_comes_back_from_json(call: str) -> None:
    """A saved failure would replay as another call, or not at all."""
    step = Step(
        call,
        {name: VALUES[kind(call, name)] for name in PARAMETERS[call]},
        device="d2",
        result_name="r1" if call in RESULTS else None,
    )
    assert step_from_json(through_json(step_to_json(step)), "here") == step


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize(
    ("on", "value"),
    [
        *((on, None) for on in EVENT_NAMES.values()),
        ("write", 0),
        ("write", 7),
        ("write", "all"),
        ("write", "fail"),
        ("write", "over"),
        ("read_one_msg_from_device", False),
        ("read_one_msg_from_device", True),
    ],
)
def test_every_answer_comes_back_from_json(on: str, value: Any, raises: bool) -> None:
    """A saved failure would replay with another answer."""
    inner = Step("stop", {}, [Answer("write", 1, calls=[Step("wakeup")])])
    answer = Answer(on, value, raises, [inner, Step("destroy", device="d2")])
    assert answer_from_json(through_json(answer_to_json(answer)), "here") == answer


def test_what_is_as_usual_is_left_out_of_the_json() -> None:
    """Traces would be several times as long, and tedious to write by hand."""
    assert step_to_json(Step("start", {}, [Answer("write")])) == {
        "call": "start",
        "answers": [{"on": "write"}],
    }
    assert step_from_json({"call": "start"}, "here") == Step("start")
    assert answer_from_json({"on": "write"}, "here") == Answer("write")


def test_arguments_come_in_the_order_of_the_parameters() -> None:
    """Targets take arguments by position: keys in another order would exchange them."""
    data = {"call": "write_buffer_get", "arguments": {"size": 3, "client": "c1"}, "as": "b1"}
    assert [*step_from_json(data, "here").arguments.values()] == ["c1", 3]


def add_client(**changed: Any) -> dict[str, Any]:
    """A `client_add` with some arguments changed."""
    arguments = {
        "client": "c1",
        "do_flow_control": True,
        "max_send_queue_size": 1,
        "num_client_tokens": 1,
        "num_send_tokens": 1,
        "wait_for_migrate_data": False,
    }
    return {"call": "client_add", "arguments": arguments | changed}


def with_answer(**answer: Any) -> dict[str, Any]:
    """A step with this answer behind a good one."""
    return {"call": "start", "answers": [{"on": "write"}, answer]}


NAME_RULE = "; a name is made of letters, digits, '_', '.' and '-'"
TO_A_WRITE = "a write is answered with a number of bytes, 'all', 'fail' or 'over'"
NO_NUMBERS_OF_BYTES: list[Any] = [-1, True, "some", 1.0, []]
CALLS = ", ".join(PARAMETERS)
CALLBACKS = ", ".join(EVENT_NAMES.values())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "here: a step must be an object, not null"),
        ([], "here: a step must be an object, not a list"),
        ("start", "here: a step must be an object, not a string"),
        (1, "here: a step must be an object, not a number"),
        (1.5, "here: a step must be an object, not a number"),
        (False, "here: a step must be an object, not true or false"),
        ({}, f"here: unknown call None; known are {CALLS}"),
        ({"call": "begin"}, f"here: unknown call 'begin'; known are {CALLS}"),
        ({"call": ["start"]}, f"here: unknown call ['start']; known are {CALLS}"),
        (
            {"call": "start", "answer": []},
            "here: a step has no 'answer'; it may have answers, arguments, as, call, device, outcome, timers",
        ),
        ({"call": "start", "arguments": {"now": 1}}, "here: start takes the arguments none"),
        ({"call": "start", "arguments": []}, "here: start takes the arguments none"),
        ({"call": "write_buffer_get"}, "here: write_buffer_get takes the arguments client, size"),
        (
            {"call": "write_buffer_get", "arguments": {"client": "c1"}},
            "here: write_buffer_get takes the arguments client, size",
        ),
        (
            {"call": "write_buffer_get", "arguments": {"client": 1, "size": 1}},
            "here: argument client of write_buffer_get must be a name or null, not 1" + NAME_RULE,
        ),
        (
            {"call": "write_buffer_get", "arguments": {"client": "c1", "size": 2**24 + 1}},
            "here: argument size of write_buffer_get must be a number, at most 16777216, not 16777217",
        ),
        (
            {"call": "write_buffer_get", "arguments": {"client": "c1", "size": 1.0}},
            "here: argument size of write_buffer_get must be a number, at most 16777216, not 1.0",
        ),
        (
            {"call": "advance", "arguments": {"milliseconds": -1}},
            "here: argument milliseconds of advance must be a number, at least 0, not -1",
        ),
        (
            {"call": "client_remove", "arguments": {"client": None}},
            "here: argument client of client_remove must be a name, not None" + NAME_RULE,
        ),
        (
            {"call": "client_remove", "arguments": {"client": "c 1"}},
            "here: argument client of client_remove must be a name, not 'c 1'" + NAME_RULE,
        ),
        (
            {"call": "client_remove", "arguments": {"client": ""}},
            "here: argument client of client_remove must be a name, not ''" + NAME_RULE,
        ),
        (
            {"call": "client_remove", "arguments": {"client": "c1\n"}},
            r"here: argument client of client_remove must be a name, not 'c1\n'" + NAME_RULE,
        ),
        (
            add_client(do_flow_control=1),
            "here: argument do_flow_control of client_add must be true or false, not 1",
        ),
        (
            add_client(num_send_tokens=True),
            "here: argument num_send_tokens of client_add must be a number, not True",
        ),
        (
            add_client(num_client_tokens="1"),
            "here: argument num_client_tokens of client_add must be a number, not '1'",
        ),
        (
            {"call": "write_buffer_add", "arguments": {"buffer": "b1", "data": "0"}},
            "here: argument data of write_buffer_add must be bytes in hexadecimal, not '0'",
        ),
        (
            {"call": "write_buffer_add", "arguments": {"buffer": "b1", "data": "xy"}},
            "here: argument data of write_buffer_add must be bytes in hexadecimal, not 'xy'",
        ),
        (
            {"call": "restore", "arguments": {"message": None}},
            "here: argument message of restore must be bytes in hexadecimal, not None",
        ),
        (
            {
                "call": "create",
                "arguments": {"port": None, "client_tokens_interval": 1, "self_tokens": 1},
            },
            "here: argument port of create must be a name, not None" + NAME_RULE,
        ),
        ({"call": "start", "device": None}, "here: device must be a name, not None" + NAME_RULE),
        ({"call": "start", "device": "d:1"}, "here: device must be a name, not 'd:1'" + NAME_RULE),
        (
            {"call": "migrate_data_marshall", "as": 5},
            "here: as must be a name, not 5" + NAME_RULE,
        ),
        ({"call": "start", "as": "x"}, "here: start hands nothing out that 'as' could name"),
        (
            {"call": "start", "answers": {"on": "write"}},
            "here: the answers of start must be a list, not an object",
        ),
        (
            {"call": "start", "answers": ["write"]},
            "here: answer 1: an answer must be an object, not a string",
        ),
        (with_answer(), f"here: answer 2: 'on' must be one of {CALLBACKS}, not None"),
        (with_answer(on="read"), f"here: answer 2: 'on' must be one of {CALLBACKS}, not 'read'"),
        (
            with_answer(on=["write"]),
            f"here: answer 2: 'on' must be one of {CALLBACKS}, not ['write']",
        ),
        (
            with_answer(on="write", steps=[]),
            "here: answer 2: an answer has no 'steps'; it may have buffers, calls, on, raises, value, with",
        ),
        *(
            (
                with_answer(on="write", value=value),
                f"here: answer 2: {TO_A_WRITE}, not {value!r}",
            )
            for value in NO_NUMBERS_OF_BYTES
        ),
        *(
            (
                with_answer(on="read_one_msg_from_device", value=value),
                f"here: answer 2: a read is answered with true (a message) or false, not {value!r}",
            )
            for value in (0, 1, "m1")
        ),
        (
            with_answer(on="send_tokens_to_client", value=1),
            "here: answer 2: send_tokens_to_client is answered with nothing, not 1",
        ),
        (with_answer(on="write", raises=1), "here: answer 2: raises must be true or false, not 1"),
        (
            with_answer(on="write", calls={}),
            "here: answer 2: calls must be a list of steps, not an object",
        ),
        (
            with_answer(on="write", calls=[{"call": "stop"}, {"call": "halt"}]),
            f"here: answer 2, call 2: unknown call 'halt'; known are {CALLS}",
        ),
        (
            with_answer(on="write", calls=[{"call": "advance", "arguments": {"milliseconds": 1}}]),
            "here: answer 2, call 1: no time passes inside a callback; put advance before or after the step",
        ),
    ],
)
def test_wrong_steps_are_refused_in_one_line(data: Any, message: str) -> None:
    """Somebody who writes a trace by hand would not be told what is wrong with it, or where."""
    with pytest.raises(ScenarioError) as refused:
        step_from_json(data, "here")
    assert str(refused.value) == message
    assert "\n" not in message


def nested(depth: int) -> dict[str, Any]:
    """A step with calls nested so deep."""
    data: dict[str, Any] = {"call": "wakeup"}
    for _ in range(depth):
        data = {"call": "wakeup", "answers": [{"on": "write", "calls": [data]}]}
    return data


def test_nesting_is_limited() -> None:
    """A hostile trace would exhaust the stack, which looks like a crash of the implementation."""
    step = step_from_json(nested(NESTING_LIMIT), "here")
    assert count_calls([step]) == NESTING_LIMIT + 1
    with pytest.raises(ScenarioError) as refused:
        step_from_json(nested(NESTING_LIMIT + 1), "here")
    place = "here" + ": answer 1, call 1" * NESTING_LIMIT
    assert str(refused.value) == f"{place}: answer 1: calls are nested more than 16 deep"


def test_walking_visits_each_step_before_what_is_inside() -> None:
    """Counting and shrinking would overlook nested calls."""
    inner = Step("stop", {}, [Answer("write", calls=[Step("reset")])])
    steps = [Step("start", {}, [Answer("write", calls=[inner, Step("destroy")])]), Step("wakeup")]
    assert [step.call for step in walk(steps)] == ["start", "stop", "reset", "destroy", "wakeup"]
    assert count_calls(steps) == 5


def test_every_function_of_the_header_can_be_called() -> None:
    """A function of the API would never be checked."""
    of_the_header = {each.name for each in FUNCTIONS.values() if each.header is not None}
    timers_and_clock = {"retry_timer_fired", "wait_timer_fired", "advance"}
    assert PARAMETERS.keys() == of_the_header | timers_and_clock | {"migrate_data_release"}


def test_every_callback_has_a_name() -> None:
    """A callback of the specification could not be answered by a trace."""
    assert EVENT_NAMES.keys() == {each.__name__ for each in events.Callback.__args__}
    assert len({*EVENT_NAMES.values()}) == len(EVENT_NAMES)
