"""The page that runs the specification, in a real browser."""

from pathlib import Path

import pytest
from playwright.sync_api import Page

from chardev_conformance.reachable import tell
from chardev_spec.contract import Contract

ROOT = Path(__file__).parents[2]
AXE = ROOT / "docs/_build/npm/node_modules/axe-core/axe.min.js"


def stepper(page: Page, address: str) -> Page:
    """The page once Python runs in it."""
    page.goto(address)
    page.wait_for_selector("#stepper[data-ready]")
    return page


def call(page: Page, name: str) -> None:
    """Choose a call and make it, with the arguments that the form proposes."""
    page.select_option("#stepper-call", name)
    page.click("#stepper-submit")


def happened(page: Page) -> list[str]:
    """What the list of steps says."""
    return page.locator("#stepper-moments button").all_inner_texts()


def broken(page: Page) -> list[str]:
    """What the accessibility checker complains about; the theme's two sidebars, which are not ours, are left out."""
    page.add_script_tag(path=AXE)
    found = page.evaluate(
        "axe.run({exclude: [['.sidebar-drawer'], ['.toc-drawer']]}).then(({violations}) => violations)"
    )
    return [
        f"{each['id']}: {', '.join(str(node['target']) for node in each['nodes'])}"
        for each in found
    ]


def test_a_scenario_with_keys_alone(page: Page, site: str) -> None:
    """A reader without a mouse could not step through a scenario, or the page would run something else."""
    stepper(page, f"{site}/stepper.html")
    for name in ("create", "client_add", "write_buffer_get", "write_buffer_add", "start"):
        page.focus("#stepper-call")
        page.select_option("#stepper-call", name)
        page.focus("#stepper-submit")
        page.keyboard.press("Enter")
    page.keyboard.press("2")
    assert happened(page)[-2:] == [
        "start() → write(0a0b0c0d)",
        "write: takes 2 → write(0c0d)",
    ]
    page.keyboard.press("u")
    assert page.locator("#stepper-moments [aria-current]").inner_text() == happened(page)[-2]
    page.keyboard.press("r")
    page.keyboard.press("1")
    assert happened(page)[-1] == "write: takes all → send_tokens_to_client(c1, 1)"
    assert page.inner_text("#stepper-invariants-title") == "Invariants: all 55 hold"


def test_a_call_inside_a_callback_and_its_refusal(page: Page, site: str) -> None:
    """A reader could not see what happens inside a callback, or why a call is refused there."""
    stepper(page, f"{site}/stepper.html")
    call(page, "create")
    call(page, "start")
    assert page.inner_text("#stepper-call-title") == "Or call inside the callback"
    call(page, "destroy")
    call(page, "stop")
    assert happened(page) == [
        "create(p1, 1, 1) → returns",
        "start() → read_one_msg_from_device()",
        "destroy() → returns",
        "stop() → refused: the device has been destroyed; create a new one",
    ]
    said = page.inner_text("#stepper-now")
    assert "Because self.device.destroyed. Nothing has changed." in said


def test_an_address_is_a_scenario(page: Page, site: str) -> None:
    """A scenario that is sent to somebody else would be another one there."""
    stepper(page, f"{site}/stepper.html")
    for name in ("create", "start"):
        call(page, name)
    before, address = happened(page), page.url
    other = page.context.new_page()
    stepper(other, address)
    assert happened(other)[: len(before)] == before
    assert other.locator("#stepper-moments [aria-current]").inner_text() == before[-1]


def test_a_trace_file_is_opened(page: Page, site: str, tmp_path: Path) -> None:
    """The counterexample of a finding could not be walked through, or its verdict not be read."""
    trace = tmp_path / "failure.jsonl"
    trace.write_text(
        '{"format": "chardev-trace", "version": 2, "finding": {"rules": ["LC-2"], "where": "start", '
        '"allowed": "read_one_msg_from_device(1)", "seen": "the end of the call", "symptom": "end"}}\n'
        '{"call": "create", "arguments": {"port": "p1", "client_tokens_interval": 1, "self_tokens": 0}}\n'
        '{"call": "start"}\n',
        encoding="utf-8",
    )
    stepper(page, f"{site}/stepper.html")
    page.set_input_files("#stepper-open", trace)
    page.wait_for_function("document.querySelectorAll('#stepper-moments li').length > 0")
    assert happened(page)[0] == "create(p1, 1, 0) → returns"
    assert page.inner_text("#stepper-finding") == (
        "The checker found (LC-2): in start it saw the end of the call; "
        "the contract allows read_one_msg_from_device(1)."
    )


def test_the_counterexample_of_a_proof_is_opened(
    page: Page, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `chardev prove` keeps of a proof that failed could not be walked through."""

    def halt_but_stay_active(self: Contract) -> None:
        self.device.running = False
        self.device.retry_armed = False

    monkeypatch.setattr(Contract, "halt", halt_but_stay_active)
    trace = tmp_path / "chardev-unproved.jsonl"
    tell({"stop"}, trace)
    stepper(page, f"{site}/stepper.html")
    page.set_input_files("#stepper-open", trace)
    page.wait_for_function("document.querySelectorAll('#stepper-moments li').length > 0")
    assert happened(page)[0].startswith("create(")
    assert any(line.startswith("stop()") for line in happened(page))
    assert page.input_value("#stepper-call") == "client_add"


def test_a_wrong_file_is_said_to_be_one(page: Page, site: str, tmp_path: Path) -> None:
    """A file that is no trace would leave the page as if nothing had been opened."""
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text("hello\n", encoding="utf-8")
    stepper(page, f"{site}/stepper.html")
    page.set_input_files("#stepper-open", wrong)
    page.wait_for_function(
        "document.querySelector('#stepper-said').textContent.includes('no trace')"
    )
    assert page.inner_text("#stepper-said").startswith(
        "That is no trace that can be opened: the file:1: not JSON"
    )


def test_a_release_breaks_an_invariant_in_sight(page: Page, site: str) -> None:
    """A deviation of a release could not be seen where it happens."""
    stepper(page, f"{site}/stepper.html")
    page.select_option("#stepper-profile", "spice-0.12.4")
    call(page, "create")
    page.select_option("#stepper-call", "client_add")
    page.fill("#stepper-argument-num_client_tokens", "0")
    page.click("#stepper-submit")
    call(page, "write_buffer_get")
    page.click("#stepper-invariants-fold summary")
    assert (
        page.locator("#stepper-invariants li.broken")
        .all_inner_texts()[0]
        .startswith("broken: leaving_comes_first")
    )


@pytest.mark.parametrize("name", ["stepper", "index", "function"])
def test_nothing_keeps_a_reader_out(name: str, page: Page, site: str) -> None:
    """Low contrast, a skipped heading or a control without a name would keep some readers out."""
    page.goto(f"{site}/{name}.html")
    if name == "stepper":
        stepper(page, f"{site}/stepper.html")
        call(page, "create")
        call(page, "start")
    assert broken(page) == []


@pytest.mark.parametrize("name", ["stepper", "function"])
def test_a_phone_shows_it_without_scrolling_sideways(name: str, page: Page, site: str) -> None:
    """On a phone part of the page would be out of sight."""
    page.set_viewport_size({"width": 375, "height": 800})
    page.goto(f"{site}/{name}.html")
    if name == "stepper":
        page.wait_for_selector("#stepper[data-ready]")
    assert page.evaluate("document.documentElement.scrollWidth") == 375


def test_search_works_without_a_network(page: Page, site: str) -> None:
    """A reader of a copy on a disk or an intranet could not search."""
    page.context.route(
        "**/*",
        lambda route: route.continue_() if route.request.url.startswith(site) else route.abort(),
    )
    page.goto(f"{site}/search.html?q=conservation")
    page.wait_for_selector("#search-results li")
    assert "Site" in page.inner_text("#search-results")
