"""What is read off the specification's text."""

from chardev_conformance.sphinx import text
from chardev_conformance.sphinx.text import Outline, Refuses
from chardev_spec.registry import ERRORS, EVENTS, FUNCTIONS, INVARIANTS_BY_NAME


def test_the_callbacks_of_a_function_in_order() -> None:
    """A page would promise callbacks that do not come, or in another order."""
    announce = Outline("step", "announce", (Outline("event", "SendTokensToClient"),))
    assert text.outline("return_price") == (
        Outline("if", "origin == Origin.SERVER", (Outline("event", "OnFreeSelfToken"),)),
        Outline(
            "otherwise",
            "",
            (
                Outline(
                    "if",
                    "origin == Origin.CLIENT and client is not None and self.clients[client].flow_control",
                    (Outline("if", "self.announcement_due(client)", (announce,)),),
                ),
            ),
        ),
    )


def test_every_callback_comes_in_some_function() -> None:
    """The reading of the text would overlook a way of calling back."""

    def events(parts: tuple[Outline, ...]) -> set[str]:
        found = {each.text for each in parts if each.kind == "event"}
        return found.union(*(events(each.inside) for each in parts))

    found = set().union(*(events(text.outline(entry)) for entry in text.ENTRIES))
    assert found == {name for name in EVENTS if not name.startswith(("Choose", "Loop"))}


def test_every_error_is_raised_by_some_function() -> None:
    """A page would not list an error that the function raises."""
    raised = {each.error for entry in text.ENTRIES for each in text.refusals(entry)}
    assert raised | {"BufferNotHeldError"} == set(ERRORS)


def test_the_conditions_of_a_refusal_in_order() -> None:
    """A page would name other conditions than those that are looked at, or in another order."""
    assert text.refusals("write_buffer_release_without_device") == (
        Refuses(
            "BufferNotHeldError",
            "handle not in self.buffers or self.buffers[handle].place != Place.HELD",
        ),
        Refuses("DeviceStillAliveError", "not self.device.destroyed"),
    )


def test_what_a_function_changes() -> None:
    """A page would leave out what a call changes, also through the tables' operations."""
    assert [f"{each.table}.{each.name}" for each in text.changes("write_buffer_get")] == [
        "Device.self_tokens",
        "Device.retry_armed",
        "Device.spare_bytes",
        "Client.tokens",
        "Client.wait_armed",
        "Client.leaving",
        "Client.taken",
        "Buffer.place",
    ]
    assert text.changes("client_exists") == []


def test_what_an_invariant_reads() -> None:
    """A function could change a field without any invariant of it being shown."""
    conserved = INVARIANTS_BY_NAME["tokens_are_conserved"]
    assert text.reads(conserved) == {
        *("flow_control", "tokens", "freed", "window"),
        *("handle", "client", "place", "price"),  # through the machine's in_flight
    }


def test_every_step_has_one_place() -> None:
    """A step of the machine would be on no page, or on several."""
    private = [name for name in FUNCTIONS if text.home(name) not in {None, name}]
    shared = text.shared_steps()
    assert sorted([*text.ENTRIES, *private, *shared]) == sorted(
        name for name in FUNCTIONS if not name.startswith("_")
    )


def test_the_source_is_without_its_docstring() -> None:
    """A page would print the text twice, once as code."""
    assert text.step("take_token").source == (
        "def take_token(self, client: int) -> None:\n"
        "    row = self.clients[client]\n"
        "    if row.flow_control:\n"
        "        row.tokens -= 1\n"
        "        row.taken += 1"
    )
