"""Why a mutant that nothing gives away is the contract all the same, one judgement for each change."""

from dataclasses import dataclass
from functools import cache
from typing import Final

from chardev_proofs.mutation import Mutant, mutants


@dataclass(frozen=True, slots=True)
class Judgement:
    """Why some changes of one function make no difference.

    `function` is ``module:function``; each of `changes` is a part of ``+ after``, or, when it begins with ``-``, of the
    whole line ``- before  + after``.
    Of equal changes of one function only the first is meant.
    """

    function: str
    why: str
    changes: tuple[str, ...]

    def is_of(self, mutant: Mutant) -> bool:
        """Whether it judges this mutant."""
        place = f"{mutant.module}:{mutant.function}"
        if self.function != place or _first_of_equals()[place, mutant.diff] is not mutant:
            return False
        return any(
            change in (mutant.diff if change.startswith("- ") else f"+ {mutant.after}")
            for change in self.changes
        )


@cache
def _first_of_equals() -> dict[tuple[str, str], Mutant]:
    first: dict[tuple[str, str], Mutant] = {}
    for mutant in mutants():
        first.setdefault((f"{mutant.module}:{mutant.function}", mutant.diff), mutant)
    return first


INDEPENDENT: Final = "The two do not touch each other, and no callback comes between them."
GHOST: Final = "Only a ghost has its value a little longer; nothing that runs looks at it."
GONE: Final = "A destroyed device does not run and has no port and no client: what is left of the call does nothing."
MEMORY: Final = "Other memory is kept for reuse, within the same bound; BUF-5 asks for no more."
UNIQUE: Final = "Only that no two are equal matters, and that they rise."
NEVER: Final = "The machine never takes a buffer out of the table; quirks and proofs may."

JUDGEMENTS: Final[tuple[Judgement, ...]] = (
    Judgement(
        "tokens:return_price",
        "A client's buffer, and no other, names a client (`payer_is_attached`).",
        (
            "+ if client is not None and self.clients[client].flow_control:",
            "+ if origin == Origin.CLIENT and self.clients[client].flow_control:",
        ),
    ),
    Judgement("tokens:mark_leaving", INDEPENDENT, ("+ self.disarm_idle_retry_timer(); ",)),
    Judgement(
        "buffers:allocate",
        MEMORY,
        ("+ if False:", "+ if size < self.", "+ self.device.spare_bytes = size"),
    ),
    Judgement(
        "buffers:keep_spare",
        MEMORY,
        (
            "+ if False:",
            "+ self.device.spare_bytes = min(kept, POOL_LIMIT - 1)",
            "- self.device.spare_bytes = min(kept, POOL_LIMIT)  + pass",
        ),
    ),
    Judgement(
        "buffers:give_back",
        "A row that was looked up can still be read when it has left the table; what is read of it does not change.",
        ("+ self.free(handle); ",),
    ),
    Judgement(
        "writing:write_pass",
        "The loop's own guard ends the pass at once; WR-5's mark is then set if there is anything left to write.",
        ("- if frame.raised:  + if False:", "- return  + pass"),
    ),
    Judgement(
        "writing:write_pass",
        "A writer is on the stack from here on, and at its end the mark is set anew.",
        (
            "- device.write_limited = False  + device.write_limited = True",
            "- device.write_limited = False  + pass",
        ),
    ),
    Judgement(
        "writing:write_pass",
        "Only `start` makes a second pass in one frame, and not after a limit.",
        ("+ frame.limited = outcome == Outcome.LIMIT",),
    ),
    Judgement(
        "writing:write_pass",
        INDEPENDENT,
        (
            "+ device.write_limited = outcome != Outcome.NOTHING and self.may_write(); device.writing = False",
        ),
    ),
    Judgement(
        "writing:write_to_port", INDEPENDENT, ("+ generation = device.port_generation; offer = ",)
    ),
    Judgement(
        "writing:write_to_port",
        "Destroy has said that the answer counts nothing, and has detached the port: nothing is done with it.",
        ("- if device.destroyed:  + if False:",),
    ),
    Judgement("writing:write_to_port", GONE, ("- return Outcome.NOTHING  + return Outcome.ASKED",)),
    Judgement(
        "writing:write_to_port",
        "`complete`, which follows, says the same, also when no buffer was completed.",
        ("- frame.progressed = True",),
    ),
    Judgement(
        "writing:take_answer",
        "Nobody looks at the number when the port took nothing.",
        ("- completed = 0  + completed = 1",),
    ),
    Judgement(
        "writing:detach",
        "Only that it differs from before matters.",
        ("+ device.port_generation += 2",),
    ),
    Judgement(
        "writing:detach",
        "Only a port that is attached is asked, and attaching one says it anew.",
        ("- device.announces_writability = False",),
    ),
    Judgement(
        "reading:read_pass",
        "The loop's own guard ends the pass at once, and its end settles the timer.",
        ("- if frame.raised:  + if False:", "- return  + pass"),
    ),
    Judgement(
        "reading:read_pass",
        "Only a read that said "
        '"nothing" takes the mark away, and after it the loop goes on only if it is there again.',
        ("self.goes_on(frame, outcome) and self.may_read():",),
    ),
    Judgement("reading:read_pass", GONE, ("- if device.destroyed:  + if False:",)),
    Judgement(
        "reading:read_once",
        "The fan-out of a destroyed device goes to nobody and drops the reference all the same.",
        ("- if device.destroyed:  + if False:",),
    ),
    Judgement("reading:read_once", GONE, ("- return Outcome.NOTHING  + return Outcome.ASKED",)),
    Judgement("reading:unref", GHOST, ("; self.device.references -= 1",)),
    Judgement("reading:deliver", GHOST, ("+ self.device.references += 1; yield",)),
    Judgement(
        "reading:queue_message",
        INDEPENDENT,
        ("; row = self.clients[client]", "+ row.queue_length += 1; "),
    ),
    Judgement("reading:use_credit", GONE, ("- if self.device.destroyed:  + if False:",)),
    Judgement("reading:use_credit", GHOST, ("; self.device.read_due -= 1",)),
    Judgement(
        "reading:pop_message",
        INDEPENDENT,
        ("; row = self.clients[client]", "+ row.queue_length -= 1; "),
    ),
    Judgement(
        "reading:wait_timer_fired",
        "`mark_leaving`, which follows, disarms the timer.",
        (
            "+ self.clients[client].wait_armed = True",
            "- self.clients[client].wait_armed = False  + pass",
        ),
    ),
    Judgement(
        "life_cycle:create",
        "A device that could not be created is not used.",
        ("+ self.device.interval = client_tokens_interval; self.check_count",),
    ),
    Judgement("life_cycle:create", INDEPENDENT, ("+ self.attach(port); ",)),
    Judgement(
        "life_cycle:attach",
        "Only that it differs from before matters.",
        ("+ device.port_generation += 2",),
    ),
    Judgement(
        "life_cycle:start",
        "A turn of a device that was stopped moves nothing and is the last one; the next start asks for all again.",
        ("+ while (yield LOOP) and progressed and (not frame.raised):",),
    ),
    Judgement("life_cycle:stop", GONE, ("+ self.halt(); self.check_alive()",)),
    Judgement(
        "life_cycle:wakeup", GONE, ("+ self.device.port_owes_wakeup = False; self.check_alive()",)
    ),
    Judgement("life_cycle:take_turns", GONE, ("- if self.device.destroyed:  + if False:",)),
    Judgement("life_cycle:take_turns", GHOST, ("; self.device.read_due -= 1",)),
    Judgement(
        "life_cycle:client_remove",
        INDEPENDENT,
        (
            "+ self.disown_buffers(client); messages = ",
            "+ self.clients.delete(client); self.disown_buffers(client)",
            "; self.clients.delete(client)",
        ),
    ),
    Judgement(
        "life_cycle:client_remove",
        "A device that awaits has that one client (`awaiting_devices_are_quiet`).",
        ("- if was_awaited:  + if True:",),
    ),
    Judgement("life_cycle:client_remove", MEMORY, ("- if self.clients.empty():  + if True:",)),
    Judgement(
        "life_cycle:client_remove",
        "A sealed device has an empty send queue (`sealed_devices_are_quiet`): one of the two does nothing.",
        ("+ yield from self.drop_messages(frame, messages); ",),
    ),
    Judgement("life_cycle:client_remove", GONE, ("- if device.destroyed:  + if False:",)),
    Judgement("life_cycle:client_remove", GHOST, ("; device.read_due -= 1",)),
    Judgement(
        "life_cycle:disown_buffers",
        "A written buffer that is nobody's is consumed in its turn, without a word.",
        (
            "row.client == client and (row.place == Place.QUEUED and (not row.offered))",
            "(row.place == Place.FREE or (row.place == Place.QUEUED",
        ),
    ),
    Judgement(
        "life_cycle:end_seal",
        INDEPENDENT,
        ("; self.device.sealed = False", "; self.device.self_tokens += returned"),
    ),
    Judgement(
        "life_cycle:free_self_tokens", "A local count: no callback sees it.", ("; returned -= 1",)
    ),
    Judgement(
        "life_cycle:reset",
        INDEPENDENT,
        (
            "; todo = self.clients.newest_first()",
            "; self.reset_stop()",
            "; self.reset_detach()",
            "; self.reset_awaiting()",
            "; self.reset_seal()",
            "; self.reset_held_buffers()",
            "; self.reset_wait_timers()",
            "+ device.announcing += 1; ",
        ),
    ),
    Judgement("life_cycle:reset", GONE, ("- if device.destroyed:  + if False:",)),
    Judgement("life_cycle:reset_detach", INDEPENDENT, ("; self.detach()",)),
    Judgement("life_cycle:reset_seal", INDEPENDENT, ("; self.device.sealed = False",)),
    Judgement(
        "life_cycle:in_flight",
        "A free buffer that is still referred to names no client: its client went, or a reset took it.",
        ("lambda row: row.client == client, lambda row: row.price",),
    ),
    Judgement(
        "life_cycle:held_price",
        "It is taken off and, in the next step, put on again: the sum is the same.",
        (
            "lambda row: row.place == Place.HELD,",
            "lambda row: row.client != client and row.place == Place.HELD,",
        ),
    ),
    Judgement(
        "life_cycle:reset_pending_buffers",
        INDEPENDENT,
        (
            "; self.clients.update(lambda row: row.flow_control",
            "; self.device.self_tokens += returned",
        ),
    ),
    Judgement("life_cycle:reset_send_queues", INDEPENDENT, ("; messages = ",)),
    Judgement(
        "life_cycle:reset_announce",
        "No client is left, so the rest of the loop does nothing.",
        ("+ while (yield LOOP) and todo:",),
    ),
    Judgement("life_cycle:destroy", GONE, ("; self.check_alive()",)),
    Judgement(
        "life_cycle:destroy",
        INDEPENDENT,
        (
            "+ self.halt(); messages = ",
            "+ self.detach(); self.halt()",
            "; self.detach()",
            "; self.clients.clear()",
            "; self.device.spare_bytes = 0",
            "; self.buffers.drop(lambda row: row.place != Place.HELD)",
        ),
    ),
    Judgement(
        "migration:migrate_data_marshall",
        INDEPENDENT,
        (
            "; row = self.clients[client]",
            "; write_size = self.buffers.pending_bytes()",
            "+ marshalled = self.seal(); ",
        ),
    ),
    Judgement(
        "migration:migrate_data_marshall",
        "None of its buffers is held or written when a device is marshalled, and a free one names no client.",
        ("lambda row: row.client == client, lambda row: row.price",),
    ),
    Judgement(
        "migration:check_can_marshal",
        "There is one client.",
        ("+ client = self.clients.oldest_first().pop(0)",),
    ),
    Judgement(
        "migration:restore",
        INDEPENDENT,
        (
            "; self.restore_tokens(client, record, data)",
            "; self.restore_data(client, record, data)",
        ),
    ),
    Judgement("migration:restore", GONE, ("- if self.device.destroyed:  + if False:",)),
    Judgement("migration:restore", GHOST, ("; self.device.read_due -= 1",)),
    Judgement(
        "migration:check_window",
        "Without flow control no token is taken, so the client's own part of the window is 0.",
        ("+ if record.client_tokens < own:",),
    ),
    Judgement(
        "migration:restore_data",
        "Nobody's buffer that is current is written like the server's without token, and touches no count either.",
        ("Origin.CLIENT if paid else Origin.NOBODY",),
    ),
    Judgement(
        "migration:restore_tokens", INDEPENDENT, ("; row.send_tokens += record.send_tokens",)
    ),
    Judgement("record:decode", INDEPENDENT, ("+ size = len(message); ", "; size = len(message)")),
    Judgement(
        "state:next_handle",
        "A handle is a name, and the tables keep the order of insertion by themselves.",
        ("+ self._next_handle = handle - 1", "+ self._next_handle = handle + 2"),
    ),
    Judgement(
        "state:delete",
        NEVER,
        ("- if row.place in self._ordered:",),
    ),
    Judgement("state:clear", NEVER, ("- super().clear()  + pass",)),
    Judgement("state:total", "The sum of nothing is 0.", ("- if not self._rows:  + if False:",)),
    Judgement(
        "state:take",
        "The machine always takes the empty buffers too; only quirks do not.",
        (
            "+ while self.pending():",
            "+ while self.pending() and empty:",
            "+ while self.pending() and (empty or ",
        ),
    ),
    Judgement(
        "state:take",
        "The current buffer is the only one of its place, so putting it last changes nothing.",
        ("- if row.place == Place.QUEUED:  + if True:",),
    ),
    Judgement(
        "state:take",
        "Only the first can have been written in part, and it is freed before any callback sees it.",
        ("+ row.written = rest",),
    ),
    Judgement("state:take", INDEPENDENT, ("; row.written += rest", "+ completed += 1; ")),
    Judgement("state:drop", MEMORY, ("+ freed_bytes = ",)),
    Judgement("state:unref", MEMORY, ("+ return 1",)),
    Judgement("state:end_offer", MEMORY, ("+ freed_bytes = ",)),
    Judgement("state:end_offer", INDEPENDENT, ("; row.offered = False",)),
    Judgement("state:enqueue", UNIQUE, ("+ self._next_order += 2",)),
    Judgement("state:enqueue", INDEPENDENT, ("; self._next_order += 1",)),
)
"""All judgements, in the order of the text."""


def judgement_of(mutant: Mutant) -> Judgement | None:
    """Why this mutant makes no difference, as far as anybody has judged it."""
    return next((each for each in JUDGEMENTS if each.is_of(mutant)), None)
