"""A hunt on disk is read as it was written, and nothing else is taken for one."""

from pathlib import Path

import pytest

from chardev_conformance.scenario import ScenarioError
from chardev_conformance.spice_server.hunt import Campaign
from chardev_conformance.spice_server.record import growth, load_campaign


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "{path}: not JSON: Expecting property name enclosed in double quotes"),
        (
            '{"format": "chardev-spice-server-hunt", "version": 2}',
            '{path}: not the state of a hunt: it must have "format": "chardev-spice-server-hunt" and "version": 1',
        ),
    ],
)
def test_what_is_no_state_is_refused(text: str, message: str, tmp_path: Path) -> None:
    """A hunt would go on from something else, and overwrite it."""
    path = tmp_path / "state.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError) as raised:
        load_campaign(path)
    assert str(raised.value).startswith(message.format(path=path))


def test_a_hunt_that_ended_early_says_when() -> None:
    """Fifty minutes would be told as an hour."""
    assert [row["seconds"] for row in growth(Campaign(1, seconds=3000.0))] == [60, 600, 3000]
    assert [row["seconds"] for row in growth(Campaign(1, seconds=3600.2))] == [60, 600, 3600]
    assert [row["seconds"] for row in growth(Campaign(1, seconds=30.0))] == [30]
