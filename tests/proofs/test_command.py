"""`chardev prove`: what it prints, what it returns, and what it does not prove twice."""

import json
import sys
from pathlib import Path

import pytest

from chardev_conformance.command_line import main
from chardev_proofs import prover
from chardev_proofs.command import NOT_PROVED
from chardev_proofs.counterexample import Failure
from chardev_proofs.functions import Obligation, Report
from chardev_proofs.prover import NAMES, from_json, reachable, to_json


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of one's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "chardev" / "proofs"


def test_a_function_is_proved_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody could see what was proved, where, and what was not."""
    assert main(["prove", "--only", "stop", "--jobs", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    [first] = [line for line in lines if " tokens_are_conserved @ stop : return" in line]
    assert first.startswith("TOK-1,TOK-5 tokens_are_conserved @ stop : return … proved 0.")
    assert "slowest 10 functions" in lines
    assert "slowest 10 obligations" in lines
    proved, _, rest = lines[-1].partition(" of ")
    total = rest.partition(" ")[0]
    assert proved == total
    assert all(text in lines[-1] for text in NOT_PROVED)


def test_the_report_is_data_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Another program could not read the verdicts."""
    assert main(["prove", "--only", "stop", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["version"] == 1
    assert report["proved"] is True
    [function] = report["functions"]
    assert function["function"] == "stop"
    assert {each["function"] for each in report["obligations"]} == {"stop"}
    assert report["rules"]["TOK-1"]["proved"] == report["rules"]["TOK-1"]["obligations"] > 0


def test_what_was_proved_is_not_proved_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A small change would cost a whole run."""
    assert main(["prove", "--only", "rely"]) == 0
    assert len(list(cache.iterdir())) == 1
    first = capsys.readouterr().out
    monkeypatch.setattr(prover, "prove_one", lambda _: pytest.fail("proved again"))
    assert main(["prove", "--only", "rely"]) == 0
    assert capsys.readouterr().out == first


def test_a_result_depends_on_the_text_that_it_is_about() -> None:
    """A changed function would be called proved."""
    texts = reachable(["client_remove"])
    assert {"client_remove", "disown_buffers", "end_seal", "keep_spare"} <= texts.keys()
    # What is proved by itself is not followed.
    assert "write_pass" not in texts
    assert reachable(["write_pass"]).keys() >= {"write_pass", "settle_retry_timer"}


def test_comments_are_no_change_and_text_is() -> None:
    """Either everything would be proved again for a comment, or nothing for a change."""
    text = "def f(x):\n    'What it does.'\n    return x + 1\n"
    comment = "def f(x):\n    'Something else.'\n    # why\n    return x + 1\n"
    change = "def f(x):\n    'What it does.'\n    return x + 2\n"
    assert prover._plain(text) == prover._plain(comment) != prover._plain(change)


def test_a_report_survives_the_cache() -> None:
    """A stored failure would come back as something else."""
    failure = Failure("refuted", ["a.py:1 f: yes"], "x == 1", [True], ["f(), in a state"])
    report = Report("f", [Obligation("i", ("TOK-1",), "f", "return", 0.1, 2, failure)], 3, 4, 0.5)
    assert from_json(json.loads(json.dumps(to_json(report)))) == report


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "TOK-99"], "chardev prove: --only TOK-99: neither a rule nor a function; functions are "),
        (["--jobs", "0"], "chardev prove: --jobs 0: must be 1 or more"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_clear_error(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever mistypes a rule would be told that it is proved."""
    assert main(["prove", *arguments]) == 2
    assert capsys.readouterr().err.startswith(message)


def test_what_is_refuted_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A build would pass on a broken specification."""
    steps = ["writing.py:1 stop: yes"]
    run = ["stop(), in a state with device.running True", "  device.running: True -> False"]
    failure = Failure("refuted", steps, "running", [True], run)
    failed = Report(
        "stop", [Obligation("i", ("TOK-1",), "stop", "return", 0.1, 1, failure)], 1, 1, 0.1
    )
    monkeypatch.setattr("chardev_proofs.command.prove", lambda *_, **__: ([failed], []))
    monkeypatch.setattr("chardev_conformance.reachable.search", lambda _: None)
    assert main(["prove", "--only", "stop"]) == 1
    assert capsys.readouterr().out.splitlines()[:6] == [
        "TOK-1 i @ stop : return … refuted 0.10 s",
        "    refuted",
        "      writing.py:1 stop: yes",
        "      stop(), in a state with device.running True",
        "        device.running: True -> False",
        "      not so: running",
    ]


@pytest.mark.parametrize(("unsupported", "status"), [(True, 2), (False, 3)])
def test_what_cannot_be_followed_is_said(
    unsupported: bool,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A function that the engine cannot follow would be taken for proved."""
    trouble = prover.Trouble("stop", "life_cycle.py:7 stop: a lambda changes a row", unsupported)
    monkeypatch.setattr("chardev_proofs.command.prove", lambda *_, **__: ([], [trouble]))
    assert main(["prove", "--only", "stop"]) == status
    assert capsys.readouterr().err == (
        "chardev prove: stop: life_cycle.py:7 stop: a lambda changes a row\n"
    )


def test_without_the_solver_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever installed no extras would see a traceback."""
    for name in [each for each in sys.modules if each.startswith(("chardev_proofs.", "z3"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "z3", None)
    assert main(["prove"]) == 3
    assert capsys.readouterr().err == (
        "chardev: prove needs the solver z3: python -m pip install 'chardev[proofs]'\n"
    )


def test_everything_that_can_be_called_is_proved() -> None:
    """A function of the header could be left out of the proofs without a word."""
    called = {"create", "destroy", "retry_timer_fired", "wait_timer_fired", "restore", "client_add"}
    assert called <= set(NAMES)
