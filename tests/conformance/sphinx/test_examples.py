"""Worked examples: what they draw, what they say changed, and what releases do in them."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from chardev_conformance.scenario import ScenarioError
from chardev_conformance.sphinx import text
from chardev_conformance.sphinx.diagrams import sequence, svg
from chardev_conformance.sphinx.examples import encoded, load_example, load_examples
from chardev_conformance.walk_text import decision_text

FOLDER = Path(__file__).parents[3] / "docs/examples/contract"


def test_every_function_has_an_example() -> None:
    """The page of a function would have no run to look at."""
    assert sorted({each.shows for each in load_examples(FOLDER)}) == sorted(text.ENTRIES)


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.jsonl")))
def test_an_example_shows_its_function(name: str) -> None:
    """A picture would be of something else than the page, or of what makes no sense."""
    example = load_example(FOLDER / f"{name}.jsonl")
    before, shown, walk, _ = example.run()
    performed = [each for each in (*before, *shown) if not each.calls]
    assert len(performed) == len(example.scenario.steps)
    assert any(f"{example.shows}(" in decision_text(each) for each in shown)
    assert [each.name for device in walk.runners for each in walk.broken(device)] == []


def test_the_picture_of_an_example() -> None:
    """A sequence diagram would tell another story than the run."""
    _, shown, _, _ = load_example(FOLDER / "client_remove.jsonl").run()
    assert sequence(shown) == (
        "sequenceDiagram\n"
        "participant Owner as Owner\n"
        "participant d1 as Device\n"
        "Owner->>+d1: start()\n"
        "d1->>+Owner: read_one_msg_from_device()\n"
        "Owner-->>-d1: a message\n"
        "d1->>Owner: ref_msg_to_client(m1)\n"
        "d1->>+Owner: send_msg_to_client(m1, c1)\n"
        "Owner->>+d1: client_remove(c1)\n"
        "d1-->>-Owner: returns\n"
        "Owner-->>-d1: returns\n"
        "d1->>Owner: unref_msg_to_client(m1)\n"
        "d1->>Owner: unref_msg_to_client(m1)\n"
        "d1->>+Owner: read_one_msg_from_device()\n"
        "Owner-->>-d1: nothing\n"
        "d1->>+Owner: read_one_msg_from_device()\n"
        "Owner-->>-d1: nothing\n"
        "d1-->>-Owner: returns"
    )


def test_a_drawing_follows_the_theme_and_can_be_read_out() -> None:
    """A picture would be white in a dark page, or nothing to who does not see it."""
    drawing = svg('sequenceDiagram\nA->>B: "x" & y', 'The "label"')
    root = ET.fromstring(drawing)
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == 'The "label"'
    assert "#" not in drawing.replace("&#", "")


def test_a_file_that_is_no_example(tmp_path: Path) -> None:
    """A trace without a title would be drawn under none."""
    path = tmp_path / "x.jsonl"
    path.write_text('{"format": "chardev-trace", "version": 1}\n', encoding="utf-8")
    with pytest.raises(ScenarioError) as error:
        load_example(path)
    assert str(error.value) == (
        f"{path}:1: an example has a 'title', the function that it 'shows', and 'from' which step it is drawn"
    )


def test_an_address_has_no_sign_that_ends_it() -> None:
    """A link to a scenario would be cut off by what an address cannot hold."""
    assert encoded("{\xff\xfe?>~}") == "e8O_w74_Pn59"
