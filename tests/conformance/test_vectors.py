"""The vectors: what the set holds, that it is what this specification makes, and what implementations do with it."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from chardev_conformance.campaign import judge
from chardev_conformance.command_line import main
from chardev_conformance.explore import Exploration
from chardev_conformance.scenario import ScenarioError
from chardev_conformance.scope import SCOPES, quiet
from chardev_conformance.vectors import files
from chardev_conformance.vectors.covering import pair_walks, transition_walks
from chardev_conformance.vectors.make import messages, record
from chardev_spec.registry import ERRORS, FUNCTIONS
from chardev_spec.rules import RULES

MANIFEST: Final = files.read_manifest(files.FOLDER)
ENTRIES: Final = {entry["file"]: entry for entry in MANIFEST["files"]}

CHANGED: Final = (
    "this specification makes other vectors than the set that comes along: if that set was released, raise SET in "
    "chardev_conformance/vectors/files.py; then `make vectors`"
)


def test_the_set_is_what_this_specification_makes() -> None:
    """A released set would be changed without a word, or would test what the specification no longer says."""
    manifest, made = files.make_files()
    assert manifest == MANIFEST, CHANGED
    assert [file.entry()["file"] for file in made] == [*ENTRIES]


def test_everything_is_covered() -> None:
    """A rule, a function or a contract error would have no vector."""
    assert MANIFEST["not_covered"] == [rule.id for rule in RULES.values() if rule.planned]
    covers = MANIFEST["covers"]
    assert covers["functions"].keys() >= FUNCTIONS.keys()
    assert covers["errors"].keys() == ERRORS.keys()


@pytest.mark.parametrize("name", ENTRIES)
def test_the_set_replays_on_the_specification(name: str) -> None:
    """What a vector records would not be what the specification allows."""
    traces = files.read_file(files.FOLDER, ENTRIES[name])
    assert len(traces) == ENTRIES[name]["vectors"]
    for trace in traces:
        assert judge(trace.scenario)[0] is None, trace.header["name"]
        assert trace.header["choices"].keys() == {"buffers", "moves"}


@pytest.mark.parametrize("scope", ["announcing", "reading"])
def test_walks_cover_what_they_say(scope: str) -> None:
    """A pair of transitions would be counted as covered and be in no vector."""
    quietly, whole = Exploration(quiet(SCOPES[scope])), Exploration(SCOPES[scope])
    quietly.explore()
    whole.explore()
    assert _passed(quietly, pair_walks)[1] == quietly.pairs()
    assert _passed(whole, transition_walks)[0] == {*whole.known()}


def _passed(exploration: Exploration, walks: Any) -> tuple[set[Any], set[Any]]:
    """The transitions and the pairs of them in walks."""
    transitions: set[Any] = set()
    pairs: set[Any] = set()
    for walk in walks(exploration):
        number = 0
        before: Any = None
        for step in walk:
            after = next(after for each, after in exploration.nodes[number].edges if each is step)
            transition = exploration.transition(number, step, after)
            transitions.add(transition)
            if before is not None:
                pairs.add((before, transition))
            number, before = after, transition
    return transitions, pairs


def test_good_records_are_taken_and_bad_ones_refused() -> None:
    """A record that is called bad would be one that every implementation has to take."""
    for trace in files.read_file(files.FOLDER, ENTRIES["records.jsonl.gz"]):
        name = str(trace.header["name"])
        [restore] = [step for step in trace.scenario.steps if step.call == "restore"]
        assert restore.outcome is not None
        assert restore.arguments["message"] == messages()[name].hex()
        assert restore.outcome.kind == ("returned" if name.startswith("good") else "refused"), name


def test_choices_are_noted() -> None:
    """An implementer could not tell where another behaviour is allowed, too."""
    vectors = files.read_file(files.FOLDER, ENTRIES["transitions-writing.jsonl.gz"])
    assert {trace.header["choices"]["buffers"] for trace in vectors} == {1, 2}
    for trace in vectors[:5]:
        assert record(trace.scenario, "again").choices == trace.header["choices"]


def test_the_bundled_device_holds(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The command would find fault with the device, or not say which files hold."""
    report = tmp_path / "report.json"
    only = "rules,functions,errors,records"
    assert (
        main(["vectors", "verify", "python:chardev:Device", "--only", only, "--json", str(report)])
        == 0
    )
    out = capsys.readouterr().out
    assert "reached      records.jsonl.gz: 30 of 30 vectors hold" in out
    data = json.loads(report.read_text(encoding="utf-8"))
    assert data["driver"] == "vectors"
    assert {each["verdict"] for each in data["rules"]} == {"holds", "not tested"}


def test_a_release_is_found_out(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vectors would hold whatever an implementation does, or a failing one could not be run again."""
    monkeypatch.chdir(tmp_path)
    assert main(["vectors", "verify", "spec:spice-0.12.4", "--only", "records"]) == 1
    out = capsys.readouterr().out
    assert "vector       bad: " in out
    assert "again        chardev check spec:spice-0.12.4 --replay chardev-failure.jsonl" in out
    assert main(["check", "spec:spice-0.12.4", "--replay", "chardev-failure.jsonl"]) == 1
    capsys.readouterr()


def test_sets_that_cannot_be_used(tmp_path: Path) -> None:
    """A damaged set would end in a traceback, or be taken for one that holds."""
    with pytest.raises(ScenarioError, match=r"manifest\.json: cannot be read: No such file"):
        files.read_manifest(tmp_path)
    manifest = tmp_path / "manifest.json"
    for text, message in (
        ("{", "not JSON"),
        ("{}", "not a set of vectors"),
        ('{"format": "chardev-vectors", "version": 9}', "version 9; this program reads version 1"),
    ):
        manifest.write_text(text, encoding="utf-8")
        with pytest.raises(ScenarioError, match=message):
            files.read_manifest(tmp_path)
    entry = ENTRIES["errors.jsonl.gz"]
    (tmp_path / "errors.jsonl.gz").write_bytes((files.FOLDER / "rules.jsonl.gz").read_bytes())
    with pytest.raises(ScenarioError, match="sha256 differs"):
        files.read_file(tmp_path, entry)
    assert main(["vectors", "verify", "python:chardev:Device", "--only", "tea"]) == 2
