"""The invariants bite: each is refuted, alone, by a state made by hand; and mutants of the machine do not survive."""

# A corruption's name says what it does.
# ruff: noqa: D103

from collections.abc import Callable

import pytest

from chardev_spec.conditions import Frame, Steps
from chardev_spec.contract import Contract
from chardev_spec.events import (
    Callback,
    Message,
    OnFreeSelfToken,
    Peer,
    PortFailed,
    PortWrite,
    ReadOneMsgFromDevice,
    RemoveClient,
    SendMsgToClient,
    SendTokensToClient,
    UnrefMsgToClient,
)
from chardev_spec.invariants import EVENT_INVARIANTS, INVARIANTS, Scope
from chardev_spec.rules import RULES
from chardev_spec.runner import InvariantViolationError
from chardev_spec.state import (
    POOL_LIMIT,
    RETRY_DELAY_MS,
    UINT32_MAX,
    Client,
    Origin,
    Place,
    QueuedMessage,
)
from tests.spec.owner import Owner, buffer
from tests.spec.random_calls import RandomCalls

IN_A_CALLBACK = UnrefMsgToClient("m")
"""Some event: what holds only outside is not asked then."""


def refuted(owner: Owner, event: Callback | None) -> set[str]:
    """The names of all invariants that do not hold, at `event` or outside."""
    machine, state = owner.runner.machine, owner.runner.state
    subjects: dict[Scope, list[tuple[object, ...]]] = {
        Scope.DEVICE: [()],
        Scope.CLIENT: [(row,) for row in state.clients],
        Scope.BUFFER: [(row,) for row in state.buffers],
        Scope.OUTSIDE: [()] if event is None else [],
        Scope.EVENT: [],
    }
    names = {
        invariant.name
        for invariant in INVARIANTS
        for subject in subjects[invariant.scope]
        if not invariant.holds(machine, *subject)
    }
    if event is not None:
        names |= {
            invariant.name
            for invariant in EVENT_INVARIANTS[type(event)]
            if not invariant.holds(machine, event)
        }
    return names


def client() -> Owner:
    """A stopped device with client "a"."""
    owner = Owner()
    owner.add_client()
    return owner


def waiting() -> Owner:
    """A stopped device where one message waits for client "a", which has no send tokens."""
    owner = Owner()
    owner.add_client(send_tokens=0)
    owner.add_client("b", send_tokens=1)
    owner.messages.append("m")
    owner.call("start")
    owner.call("stop")
    owner.call("client_remove", "b")
    return owner


def held(size: int = 8) -> Owner:
    """A stopped device whose owner holds buffer 1, which nobody pays for."""
    owner = client()
    owner.call("write_buffer_get_server_no_token", size)
    return owner


def paid() -> Owner:
    """A stopped device whose client "a" holds buffer 1."""
    owner = client()
    owner.hold("a")
    return owner


def queued() -> Owner:
    """A stopped device with two buffers in its queue, which nobody pays for."""
    owner = client()
    for content in (b"1", b"2"):
        handle = owner.call("write_buffer_get_server_no_token", 8)
        owner.call("write_buffer_add", handle, content)
    return owner


def invents_a_token(owner: Owner) -> None:
    owner.row().tokens += 1
    owner.row().announced += 1


def owes_messages(owner: Owner) -> None:
    owner.row().send_tokens = owner.row().granted = -1


def frees_a_token_without_flow_control(owner: Owner) -> None:
    owner.row().flow_control = False
    owner.row().freed = 1


def is_attached_twice(owner: Owner) -> None:
    owner.add_client("b")
    owner.row("b").peer = "a"


def pays_what_it_does_not_owe(owner: Owner) -> Callback:
    owner.device.write_due = -1
    return IN_A_CALLBACK


def pushes_and_reads_no_further(owner: Owner) -> Callback:
    owner.row().pushing = True
    return IN_A_CALLBACK


def forgets_to_announce(owner: Owner) -> None:
    owner.row().tokens -= 1
    owner.row().taken += 1
    owner.row().freed += 1


def counts_an_announcement_twice(owner: Owner) -> None:
    owner.row().announced += 1


def returns_a_self_token_twice(owner: Owner) -> None:
    owner.device.self_tokens += 1


def borrows_a_self_token(owner: Owner) -> None:
    owner.device.self_tokens = owner.device.initial_self_tokens = -1


def charges_no_token_to_a_client(owner: Owner) -> None:
    row = buffer(owner, 1)
    row.client, row.price = owner.row().handle, 0


def leaks_a_reference(owner: Owner) -> None:
    buffer(owner, 1).references = 2


def writes_a_held_buffer(owner: Owner) -> None:
    buffer(owner, 1).written = 1


def keeps_the_queue_of_a_gone_client(owner: Owner) -> None:
    buffer(owner, 1).origin = Origin.NOBODY


def offers_without_a_write(owner: Owner) -> Callback:
    row = buffer(owner, 1)
    row.offered, row.references = True, 2
    return IN_A_CALLBACK


def marshals_without_a_seal(owner: Owner) -> None:
    buffer(owner, 1).marshalled = True


def seals_a_holder(owner: Owner) -> None:
    owner.device.sealed = True


def joins_the_queue_without_a_number(owner: Owner) -> None:
    buffer(owner, 1).order = 0


def holds_more_than_it_can(owner: Owner) -> None:
    buffer(owner, 1).capacity = -1


def gives_a_buffer_away(owner: Owner) -> None:
    buffer(owner, 1).origin, buffer(owner, 1).client = Origin.CLIENT, owner.row().handle
    buffer(owner, 1).price = 0


def keeps_too_much_memory(owner: Owner) -> None:
    owner.device.spare_bytes = POOL_LIMIT + 1


def writes_while_stopped(owner: Owner) -> Callback:
    return PortWrite(1, b"1")


def writes_nothing(owner: Owner) -> Callback:
    owner.device.running = owner.device.retry_armed = True
    return PortWrite(1, b"")


def writes_to_another_port(owner: Owner) -> Callback:
    owner.device.running = owner.device.retry_armed = True
    return PortWrite(2, b"1")


def overtakes(owner: Owner) -> None:
    buffer(owner, 1).order, buffer(owner, 2).order = 2, 1


def has_two_current_buffers(owner: Owner) -> None:
    owner.runner.state.buffers.move(1, Place.CURRENT)
    owner.runner.state.buffers.move(2, Place.CURRENT)


def forgets_a_written_buffer(owner: Owner) -> None:
    owner.runner.state.buffers.move(1, Place.WRITTEN)


def writes_without_a_writer(owner: Owner) -> Callback:
    owner.device.write_outstanding = True
    return IN_A_CALLBACK


def strands_data(owner: Owner) -> None:
    owner.device.running = True


def times_a_stopped_device(owner: Owner) -> Callback:
    owner.device.retry_armed = owner.device.writing = True
    return IN_A_CALLBACK


def times_nothing(owner: Owner) -> None:
    owner.device.running = owner.device.retry_armed = True


def times_nothing_in_a_callback(owner: Owner) -> Callback:
    owner.device.running = owner.device.retry_armed = True
    return IN_A_CALLBACK


def expects_a_wakeup_of_a_silent_port(owner: Owner) -> None:
    owner.device.port_owes_wakeup = True


def reads_while_stopped(owner: Owner) -> Callback:
    return ReadOneMsgFromDevice(1)


def reads_for_nobody(owner: Owner) -> Callback:
    owner.device.running = True
    owner.row().send_tokens = owner.row().granted = 0
    return ReadOneMsgFromDevice(1)


def sends_to_a_stranger(owner: Owner) -> Callback:
    return SendMsgToClient("m", "b")


def sends_to_a_leaving_client(owner: Owner) -> Callback:
    owner.row().leaving = True
    return SendMsgToClient("m", "a")


def announces_nothing(owner: Owner) -> Callback:
    owner.device.interval = 0
    return SendTokensToClient("a", 0)


def announces_to_a_leaving_client(owner: Owner) -> Callback:
    owner.row().leaving = True
    return SendTokensToClient("a", 1)


def announces_without_flow_control(owner: Owner) -> Callback:
    owner.row().flow_control = False
    return SendTokensToClient("a", 1)


def asks_before_it_marks(owner: Owner) -> Callback:
    return RemoveClient("a")


def waits_with_a_token(owner: Owner) -> None:
    owner.row().send_tokens = owner.row().granted = 1


def queues_without_bound(owner: Owner) -> None:
    owner.row().max_send_queue_size = 0


def miscounts_a_queue(owner: Owner) -> None:
    owner.row().queue_length = 2


def queues_for_a_stranger(owner: Owner) -> None:
    owner.runner.state.send_queue.insert(QueuedMessage(99, 99, "m"))
    owner.device.references = 1


def waits_without_a_timer(owner: Owner) -> None:
    owner.row().wait_armed = False


def times_a_leaving_client(owner: Owner) -> None:
    owner.row().leaving = True


def sends_for_nothing(owner: Owner) -> None:
    owner.row().sent += 1


def forgets_a_read(owner: Owner) -> None:
    owner.device.running = owner.device.read_wanted = True


def queues_without_reference(owner: Owner) -> Callback:
    owner.device.references = 0
    return IN_A_CALLBACK


def is_active_while_stopped(owner: Owner) -> None:
    owner.device.active = True


def runs_after_the_end(owner: Owner) -> None:
    owner.call("destroy")
    owner.device.running = True


def awaits_nobody(owner: Owner) -> None:
    owner.device.awaiting = 99


def awaits_with_partly_written_data(owner: Owner) -> None:
    owner.runner.state.buffers.move(1, Place.CURRENT)
    owner.device.awaiting = owner.row().handle


def seals_two_clients(owner: Owner) -> None:
    owner.add_client("b")
    owner.device.sealed = True


def seals_a_waiting_client(owner: Owner) -> None:
    owner.device.sealed = True


def leaves_a_guard(owner: Owner) -> None:
    owner.device.writing = True


def leaves_a_debt(owner: Owner) -> None:
    owner.device.read_due = 1


def leaves_a_reference(owner: Owner) -> None:
    owner.device.references += 1


def calls_after_the_end(owner: Owner) -> Callback:
    owner.call("destroy")
    return PortFailed()


def counts_a_negative_interval(owner: Owner) -> None:
    owner.device.interval = -1


def bounds_a_queue_beyond_its_type(owner: Owner) -> None:
    owner.row().max_send_queue_size = UINT32_MAX + 1


def starves_a_client(owner: Owner) -> None:
    owner.device.interval = owner.row().window + 1


def delays_what_is_due(owner: Owner) -> None:
    device = owner.device
    device.running = device.read_wanted = device.retry_armed = True
    device.retry_due_ms = device.now_ms + 1


def delays_a_retry_too_long(owner: Owner) -> None:
    device = owner.device
    device.running = device.retry_armed = True
    device.retry_due_ms = device.now_ms + RETRY_DELAY_MS + 1


def lets_a_client_wait_too_long(owner: Owner) -> None:
    owner.row().wait_due_ms += 1


def announces_too_early(owner: Owner) -> Callback:
    owner.device.interval = owner.row().window
    return SendTokensToClient("a", owner.row().window - 1)


def keeps_a_payer_after_the_end(owner: Owner) -> None:
    owner.call("destroy")
    buffer(owner, 1).origin = Origin.SERVER_NO_TOKEN


Corruption = Callable[[Owner], Callback | None]
CORRUPTIONS: list[tuple[str, Callable[[], Owner], Corruption]] = [
    ("tokens_are_conserved", client, invents_a_token),
    ("counts_are_not_negative", client, owes_messages),
    ("nothing_is_freed_without_flow_control", client, frees_a_token_without_flow_control),
    ("peers_are_attached_once", client, is_attached_twice),
    ("dues_are_not_negative", client, pays_what_it_does_not_owe),
    ("pushes_owe_a_read", client, pushes_and_reads_no_further),
    ("interval_fits_its_type", client, counts_a_negative_interval),
    ("bounds_fit_their_types", client, bounds_a_queue_beyond_its_type),
    ("no_window_starves", client, starves_a_client),
    ("freed_tokens_are_announced", client, forgets_to_announce),
    ("client_knows_its_tokens", client, counts_an_announcement_twice),
    ("self_tokens_are_conserved", client, returns_a_self_token_twice),
    ("self_tokens_are_not_negative", client, borrows_a_self_token),
    ("payer_is_attached", held, charges_no_token_to_a_client),
    ("references_are_counted", held, leaks_a_reference),
    ("written_bytes_fit_the_place", held, writes_a_held_buffer),
    ("orphans_wait_for_an_answer", queued, keeps_the_queue_of_a_gone_client),
    ("offered_buffers_are_pending", held, offers_without_a_write),
    ("marshalled_buffers_are_sealed", queued, marshals_without_a_seal),
    ("sealed_clients_hold_nothing", paid, seals_a_holder),
    ("queued_buffers_have_a_number", queued, joins_the_queue_without_a_number),
    ("sizes_and_prices_are_sound", held, holds_more_than_it_can),
    ("clients_pay_for_their_buffers", held, gives_a_buffer_away),
    ("spare_memory_is_bounded", client, keeps_too_much_memory),
    ("writes_are_allowed", queued, writes_while_stopped),
    ("writes_are_allowed", queued, writes_nothing),
    ("writes_are_allowed", queued, writes_to_another_port),
    ("write_queue_is_in_order", queued, overtakes),
    ("write_queue_is_in_order", queued, has_two_current_buffers),
    ("written_buffers_have_a_writer", held, forgets_a_written_buffer),
    ("outstanding_write_has_a_writer", client, writes_without_a_writer),
    ("no_data_is_stuck", queued, strands_data),
    ("retry_timer_has_a_purpose", client, times_a_stopped_device),
    ("what_a_limit_left_is_due", client, delays_what_is_due),
    ("retry_timer_is_soon_due", queued, delays_a_retry_too_long),
    ("retry_timer_is_settled", client, times_nothing),
    ("retry_timer_is_settled", client, times_nothing_in_a_callback),
    ("only_announcing_ports_owe", client, expects_a_wakeup_of_a_silent_port),
    ("reads_are_allowed", client, reads_while_stopped),
    ("reads_are_allowed", client, reads_for_nobody),
    ("messages_go_to_clients_that_stay", client, sends_to_a_stranger),
    ("messages_go_to_clients_that_stay", client, sends_to_a_leaving_client),
    ("tokens_go_to_clients_that_stay", client, announces_nothing),
    ("tokens_go_to_clients_that_stay", client, announces_to_a_leaving_client),
    ("tokens_go_to_clients_that_stay", client, announces_without_flow_control),
    ("announcements_reach_the_interval", client, announces_too_early),
    ("leaving_comes_first", client, asks_before_it_marks),
    ("queue_waits_for_tokens", waiting, waits_with_a_token),
    ("send_queue_is_bounded", waiting, queues_without_bound),
    ("send_queue_is_counted", waiting, miscounts_a_queue),
    ("queued_messages_have_a_client", client, queues_for_a_stranger),
    ("waiting_is_timed", waiting, waits_without_a_timer),
    ("waiting_is_timed", waiting, times_a_leaving_client),
    ("wait_timer_is_soon_due", waiting, lets_a_client_wait_too_long),
    ("credit_is_conserved", client, sends_for_nothing),
    ("no_read_is_lost", client, forgets_a_read),
    ("queued_messages_are_referenced", waiting, queues_without_reference),
    ("only_running_devices_are_active", client, is_active_while_stopped),
    ("destroyed_devices_are_empty", client, runs_after_the_end),
    ("awaiting_devices_are_quiet", client, awaits_nobody),
    ("awaiting_devices_are_quiet", queued, awaits_with_partly_written_data),
    ("sealed_devices_are_quiet", client, seals_two_clients),
    ("sealed_devices_are_quiet", waiting, seals_a_waiting_client),
    ("nothing_is_left_on_the_stack", client, leaves_a_guard),
    ("nothing_is_left_on_the_stack", client, leaves_a_debt),
    ("nothing_is_left_on_the_stack", client, leaves_a_reference),
    ("destroyed_devices_own_no_buffer", held, keeps_a_payer_after_the_end),
    ("only_references_are_dropped", client, calls_after_the_end),
]


@pytest.mark.parametrize(
    ("name", "prepare", "corrupt"), CORRUPTIONS, ids=[case[2].__name__ for case in CORRUPTIONS]
)
def test_an_invariant_is_refuted_alone(
    name: str, prepare: Callable[[], Owner], corrupt: Corruption
) -> None:
    """An invariant would hold whatever happens, or not say by itself what it says (each cites its rules)."""
    owner = prepare()
    assert refuted(owner, None) == set()
    assert refuted(owner, corrupt(owner)) == {name}


def test_every_invariant_is_refuted_by_something() -> None:
    """An invariant without a case might never bite."""
    assert {name for name, _, _ in CORRUPTIONS} == {invariant.name for invariant in INVARIANTS}


def test_names_are_unique_and_rules_are_rules() -> None:
    """A report could not say which invariant, or which rule, was broken."""
    names = [invariant.name for invariant in INVARIANTS]
    assert len(names) == len(set(names))
    known = set(RULES)
    for invariant in INVARIANTS:
        assert invariant.rules
        assert set(invariant.rules) <= known
        assert invariant.text.endswith(".")


# Mutants: the contract with one method changed


class TakesNoToken(Contract):
    """TOK-2: a buffer costs nothing."""

    def take_token(self, client: int) -> None:
        """Take none."""


class ForgetsPrices(Contract):
    """TOK-3: a client's price does not come back."""

    def return_price(
        self, frame: Frame, origin: Origin, client: int | None, price: int
    ) -> Steps[None]:
        """Return the server's only."""
        if origin == Origin.SERVER:
            yield from super().return_price(frame, origin, client, price)


class TellsBeforeItReturns(Contract):
    """SELF-3: the owner is told before the token is back."""

    def return_price(
        self, frame: Frame, origin: Origin, client: int | None, price: int
    ) -> Steps[None]:
        """Call first."""
        if origin == Origin.SERVER:
            yield OnFreeSelfToken()
            self.device.self_tokens += 1
        else:
            yield from super().return_price(frame, origin, client, price)


class AnnouncesLate(Contract):
    """TOK-3: tokens are announced before they are counted."""

    def announce(self, frame: Frame, client: int) -> Steps[None]:
        """Call first."""
        row = self.clients[client]
        tokens = row.freed
        yield SendTokensToClient(row.peer, tokens)
        row.freed = 0
        row.tokens += tokens
        row.announced += tokens


class AnnouncesToLeaving(Contract):
    """RD-4: a leaving client is told of its tokens."""

    def announcement_due(self, client: int) -> bool:
        """Whoever has enough."""
        row = self.clients[client]
        return row.freed > 0 and row.freed >= self.device.interval


class KeepsTheWaitTimer(Contract):
    """RD-4: a leaving client's wait timer stays armed."""

    def mark_leaving(self, client: int) -> None:
        """Leave the timer."""
        armed = self.clients[client].wait_armed
        super().mark_leaving(client)
        self.clients[client].wait_armed = armed


class KeepsTheRetryTimer(Contract):
    """WR-4: a retry that only a leaving client wanted stays armed."""

    def disarm_idle_retry_timer(self) -> None:
        """Do nothing."""


class NeverRetries(Contract):
    """WR-6: the retry timer is never armed."""

    def settle_retry_timer(self) -> None:
        """Disarm it."""
        self.device.retry_armed = False


class KeepsQueuedOrphans(Contract):
    """WR-7: a gone client's queue stays."""

    def disown_buffers(self, client: int) -> None:
        """Make them all nobody's."""
        self.buffers.update(
            lambda row: row.client == client,
            origin=lambda row: Origin.NOBODY,
            client=lambda row: None,
        )


class DropsTheCurrentBuffer(Contract):
    """WR-7: a gone client's partly written buffer is torn."""

    def disown_buffers(self, client: int) -> None:
        """Drop it too."""
        self.keep_spare(
            self.buffers.drop(lambda row: row.client == client and row.place == Place.CURRENT)
        )
        super().disown_buffers(client)


class TakesAllItOffered(Contract):
    """WR-3: a partial answer counts as the whole."""

    def take_answer(self, taken: int) -> int:
        """Take everything once something was taken."""
        return super().take_answer(self.buffers.pending_bytes() if taken > 0 else taken)


class SealsForEver(Contract):
    """MIG-2: client_remove does not end a seal."""

    def end_seal(self) -> int:
        """End nothing."""
        return 0


class PushesWithoutTokens(Contract):
    """RD-6: a push does not ask for tokens."""

    def may_push(self, client: int) -> bool:
        """Whoever is there."""
        return client in self.clients and self.clients[client].queue_length > 0


class OvertakesTheQueue(Contract):
    """RD-3: a message overtakes those that wait."""

    def sends_directly(self, client: int) -> bool:
        """Whoever has a token."""
        row = self.clients[client]
        return not row.flow_control or row.send_tokens > 0


class SendsWithoutReference(Contract):
    """CB-4: the reference is dropped before the message is sent."""

    def send(self, frame: Frame, client: int, message: Message) -> Steps[None]:
        """Drop it first."""
        row = self.clients[client]
        if row.flow_control:
            row.send_tokens -= 1
            row.sent += 1
        yield from self.unref(message)
        if client in self.clients:
            yield SendMsgToClient(message, row.peer)


class LeaksRefused(Contract):
    """CB-4: the reference to a refused message is kept."""

    def refuse(self, frame: Frame, client: int, message: Message) -> Steps[None]:
        """Drop none."""
        self.mark_leaving(client)
        yield RemoveClient(self.clients[client].peer)


class AsksTwice(Contract):
    """RD-4: remove_client is called twice."""

    def ask_to_remove(self, frame: Frame, client: int) -> Steps[None]:
        """Call it again."""
        peer = self.clients[client].peer
        yield from super().ask_to_remove(frame, client)
        if client in self.clients:
            yield RemoveClient(peer)


class SendsNewestFirst(Contract):
    """RD-3: a push sends the newest message first."""

    def pop_message(self, client: int) -> Message:
        """Take the last."""
        row = self.clients[client]
        entry = max(row.handle for row in self.send_queue if row.client == client)
        message = self.send_queue[entry].message
        self.send_queue.delete(entry)
        row.queue_length -= 1
        row.wait_armed = row.queue_length > 0
        return message


class GrantsAnything(Contract):
    """LC-6: whoever joins is given a send token more than it granted."""

    def new_client(
        self,
        peer: Peer,
        flow_control: bool,
        client_tokens: int,
        send_tokens: int,
        max_send_queue_size: int,
    ) -> Client:
        """Add one."""
        return super().new_client(
            peer, flow_control, client_tokens, send_tokens + 1, max_send_queue_size
        )


MUTANTS = [
    TakesNoToken, ForgetsPrices, TellsBeforeItReturns, AnnouncesLate, AnnouncesToLeaving, KeepsTheWaitTimer,
    KeepsTheRetryTimer, NeverRetries, KeepsQueuedOrphans, DropsTheCurrentBuffer, TakesAllItOffered, SealsForEver,
    PushesWithoutTokens, OvertakesTheQueue, SendsWithoutReference, LeaksRefused, AsksTwice, SendsNewestFirst,
    GrantsAnything,
]  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS)
def test_random_calls_find_the_mutant(mutant: type[Contract]) -> None:
    """Neither the invariants nor the witness would notice a machine that breaks this rule."""
    for seed in range(1500):
        calls = RandomCalls(seed, machine=mutant)
        try:
            calls.run(25)
            calls.come_to_rest()
        except AssertionError:
            return
    pytest.fail(f"{mutant.__name__} survives: {mutant.__doc__}")


def test_a_violation_says_what_where_and_which_rule() -> None:
    """A report of a violation would not lead to the place (the runner's promise)."""
    owner = Owner(machine=KeepsQueuedOrphans)
    owner.add_client("a")
    owner.add("a", b"x")
    with pytest.raises(InvariantViolationError) as caught:
        owner.call("client_remove", "a")
    assert str(caught.value).startswith(
        "orphans_wait_for_an_answer (WR-7) does not hold after the call: Buffer(handle=1, "
    )
    assert caught.value.invariant.name == "orphans_wait_for_an_answer"
