"""The rules of the SPICE character device, and the words they are written in, as data.

The rules say what a device does; the state machine of this package does it and cites them by id.
They follow the header of the API (2013 to 2015) and the behaviour of the releases that carried it;
where the header is silent or the releases disagree, the rules decide.
An id is never given to another rule.

Functions have the header's names without their prefix: ``client_add`` is the header's
``spice_char_device_client_add``, ``create`` is ``spice_char_device_state_create``.
`Rule.source` gives the full names.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import cleandoc
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what a device does, or what its owner may not do.

    `id` is the stable name ("TOK-1"), `section` the title of its group, `title` a few words.
    `text` is the whole rule, one sentence a line, safe to print as reStructuredText.
    `source` names the functions, callbacks or structures of the header that the rule is about.
    `planned` marks a rule that is stated here and carried by nothing yet.
    """

    id: str
    section: str
    title: str
    text: str
    source: str
    planned: bool = False


def _prose(block: str) -> str:
    """Return `block` with one sentence a line: an indented line continues the line before it."""
    return re.sub(r"\n +", " ", cleandoc(block))


CALLBACKS: Final = "Callbacks"
TOKENS: Final = "Tokens, client to port"
SELF_TOKENS: Final = "Self tokens, server to port"
BUFFERS: Final = "Buffers"
WRITING: Final = "Writing to the port"
READING: Final = "Reading from the port, fan-out"
LIFE_CYCLE: Final = "Life cycle"
MIGRATION: Final = "Migration"
DEVICES: Final = "Devices on top"
BEYOND: Final = "Beyond the header"

_CALLBACK_RULES: Final = (
    Rule(
        id="CB-1",
        section=CALLBACKS,
        title="Anything may happen inside a callback",
        source="SpiceCharDeviceCallbacks; the port's write",
        text=_prose("""
            Any API function, ``destroy`` included, may be called inside any callback, and timers
              may fire there.
            The port's write is a callback in this sense.
            Only ``migrate_data_marshall`` is forbidden there (MIG-2).
            Every invariant holds at every callback point; a rule that holds only outside says so.
            State changes come before the callback that tells of them.
            A frame that finds its device destroyed, its client removed or its buffer gone when a
              callback returns touches it no more.
            After a callback a frame compares clients, not peers, and attachments of a port, not
              ports: a peer or a port that went away and came back is another one.
            A nested frame leaves to the suspended frames below it what those still do: a frame that
              owes a write pass or a read pass after its callbacks always runs it.
        """),
    ),
    Rule(
        id="CB-2",
        section=CALLBACKS,
        title="Who gets a message",
        source="ref_msg_to_client, send_msg_to_client",
        text=_prose("""
            A fan-out begins when ``read_one_msg_from_device`` has returned a message.
            The message goes to the clients that were attached then and still are, once each, newest
              client first.
            A client added meanwhile does not get it, even if its peer had been attached before.
            A client that is leaving by its turn is passed over (RD-4).
        """),
    ),
    Rule(
        id="CB-3",
        section=CALLBACKS,
        title="Clients may be removed during a fan-out",
        source="spice_char_device_client_remove",
        text=_prose("""
            Removing any client during a fan-out is legal, not only the one being served.
            The fan-out goes on with the recipients that are left.
            A recipient that is gone or leaving when ``ref_msg_to_client`` returns gets nothing: the
              reference just taken for it is dropped.
        """),
    ),
    Rule(
        id="CB-4",
        section=CALLBACKS,
        title="Message references",
        source="read_one_msg_from_device, ref_msg_to_client, unref_msg_to_client, "
        "send_msg_to_client",
        text=_prose("""
            A message that ``read_one_msg_from_device`` returns carries one reference, which is the
              device's.
            It is dropped at the end of the fan-out; without recipients it is dropped at once.
            For each recipient ``ref_msg_to_client`` is called first, and that reference is dropped
              after the message was sent to it, or was refused by its full queue, or when the
              recipient turns out to be gone or leaving; a queued message keeps it.
            A queued message's reference is dropped after the message was sent, or when its queue is
              dropped by removal, reset or ``destroy``.
            ``send_msg_to_client`` borrows: the device drops its reference after the call, and the
              owner takes one of its own if it keeps the message.
            Every reference the device takes is dropped exactly once, on every path, ``destroy`` and
              exceptions included.
            A frame that finds its device destroyed drops the references it holds, the recipient's
              before the read's, and does nothing else.
        """),
    ),
    Rule(
        id="CB-5",
        section=CALLBACKS,
        title="An exception is an answer",
        source="SpiceCharDeviceCallbacks; the port's write; beyond the header",
        text=_prose("""
            An exception from a callback counts as an answer: from the port's write it means "took
              nothing", from ``read_one_msg_from_device`` "nothing", from every other callback a
              normal return.
            So a reference counts as taken or dropped, a message as sent, an announcement as heard.
            The frame finishes what it owes: the remaining recipients of a message, references, the
              prices of written buffers, a push in progress, the callbacks of a reset or a removal.
            It starts nothing new: no port write, no read and no pass.
            What it does not start is left to the retry timer, as after a limit (WR-5): a pass that
              is not started, a write pass that would have gone on, and a repetition that was asked
              for all count as stopped by the limit, and a read pass that is not started leaves a
              read wanted.
            A write pass whose last answer moved nothing, and that nobody asked to try again, ends
              as WR-4 says.
            The frame leaves every rule satisfied, then raises the first exception that a callback
              raised in it.
        """),
    ),
)

_TOKEN_RULES: Final = (
    Rule(
        id="TOK-1",
        section=TOKENS,
        title="Conservation of tokens",
        source="SpiceCharDeviceWriteBuffer.token_price; spice_char_device_client_add",
        text=_prose("""
            For every client with flow control, client tokens + freed tokens + the prices of its
              buffers in flight = window.
            This holds always, also inside callbacks.
        """),
    ),
    Rule(
        id="TOK-2",
        section=TOKENS,
        title="Getting a buffer costs a token",
        source="spice_char_device_write_buffer_get, remove_client",
        text=_prose("""
            Getting a client buffer costs its client one client token, and the buffer's price is
              one.
            The checks are made in this order: a client that is not attached gets no buffer (BUF-4);
              a client that is leaving gets none, and nobody gets a client buffer while the device
              is sealed, both silently (RD-4, MIG-2); then the tokens are looked at.
            No client token left is a token violation: the client becomes leaving (RD-4),
              ``remove_client`` is called, no buffer is given, and nothing else changes.
            What the callback does cannot turn the refusal into a buffer.
        """),
    ),
    Rule(
        id="TOK-3",
        section=TOKENS,
        title="Tokens come back and are announced",
        source="send_tokens_to_client; client_tokens_interval of spice_char_device_state_create",
        text=_prose("""
            When a client buffer has been written, or is released unsent, it becomes free, and then
              its price goes to its client's freed tokens.
            When the freed tokens of a client that is not leaving are above zero and reach the
              interval, all of them become client tokens and are then announced in one
              ``send_tokens_to_client``.
            With interval 0 every return is announced.
            Outside, freed tokens < max(interval, 1) for every client that is not leaving.
            A leaving client's freed tokens are counted and never announced (RD-4).
        """),
    ),
    Rule(
        id="TOK-4",
        section=TOKENS,
        title="Without flow control",
        source="do_flow_control of spice_char_device_client_add",
        text=_prose("""
            For a client without flow control there is no count of tokens, no token violation, no
              announcement, and no limit in either direction.
            Its buffers still have a price of one.
            ``send_to_client_tokens_add`` and ``send_to_client_tokens_set`` have no effect on it and
              ask for no read.
        """),
    ),
    Rule(
        id="TOK-5",
        section=TOKENS,
        title="Counters are exact",
        source="every uint32_t count of the header",
        text=_prose("""
            Counters are exact for every value the header's types can carry and for any number of
              additions: they neither wrap nor truncate, also where a sum exceeds 32 bits.
            A count given to the API outside ``0 .. 2**32 - 1`` is a contract error: tokens, window,
              send tokens, send queue size, interval, self tokens.
        """),
    ),
    Rule(
        id="TOK-6",
        section=TOKENS,
        title="The client's own count agrees",
        source="spice_char_device_write_buffer_get, send_tokens_to_client",
        text=_prose("""
            What the client knows agrees with what the device knows: for a client that is not
              leaving, window + all tokens announced to it = client tokens + all tokens it took.
            A restore restarts this count.
        """),
    ),
)

_SELF_RULES: Final = (
    Rule(
        id="SELF-1",
        section=SELF_TOKENS,
        title="Conservation of self tokens",
        source="self_tokens of spice_char_device_state_create",
        text=_prose("""
            Self tokens + the number of server buffers in flight = self tokens at creation.
            This holds always, also inside callbacks.
        """),
    ),
    Rule(
        id="SELF-2",
        section=SELF_TOKENS,
        title="No self token, no buffer",
        source="spice_char_device_write_buffer_get",
        text=_prose("""
            ``write_buffer_get`` without a client gives a server buffer and costs one self token.
            No self token left: no buffer is returned; this is not an error and calls nothing.
        """),
    ),
    Rule(
        id="SELF-3",
        section=SELF_TOKENS,
        title="A self token comes back",
        source="on_free_self_token",
        text=_prose("""
            When a server buffer is consumed, released or dropped, it becomes free, then its self
              token returns, and then ``on_free_self_token`` is called if the owner has given it.
            Where several are dropped at once, by a reset or at the end of a seal, all their self
              tokens return before the first call, and there is one call a buffer.
            ``destroy`` does not call it.
        """),
    ),
    Rule(
        id="SELF-4",
        section=SELF_TOKENS,
        title="Server buffers without a token",
        source="spice_char_device_write_buffer_get_server_no_token",
        text=_prose("""
            A server-without-token buffer is always given and touches no count, neither when it is
              given nor when it is consumed, released or dropped.
        """),
    ),
)

_BUFFER_RULES: Final = (
    Rule(
        id="BUF-1",
        section=BUFFERS,
        title="One place, added or released once",
        source="spice_char_device_write_buffer_get, "
        "spice_char_device_write_buffer_get_server_no_token, "
        "spice_char_device_write_buffer_add, spice_char_device_write_buffer_release",
        text=_prose("""
            A buffer is in exactly one place: held, queued, current, written or free.
            It is given to the owner, its capacity being the size asked for, then either added or
              released, exactly once.
            Adding fixes how much of it is used and puts it at the end of the queue.
            Getting, adding and releasing work while the device is stopped, detached or awaiting.
            Contract errors: adding or releasing a buffer that is not held (a second time, or a
              buffer of another device); adding one with more used than its capacity; asking for a
              negative size.
        """),
    ),
    Rule(
        id="BUF-2",
        section=BUFFERS,
        title="Buffer references",
        source="SpiceCharDeviceWriteBuffer.refs; SpiceMarshaller",
        text=_prose("""
            A buffer has at least one reference in every place but free, and its memory is reusable
              only at zero references.
            A migration marshaller may hold references past the release of the buffer and past
              ``destroy``; it drops them when it is released itself.
            An outstanding port write holds one reference on each buffer it offered.
        """),
    ),
    Rule(
        id="BUF-3",
        section=BUFFERS,
        title="Release without a device",
        source="spice_char_device_write_buffer_release with dev NULL",
        text=_prose("""
            ``write_buffer_release`` with no device just frees the buffer: no token, no callback.
            It is for buffers that were held when their device was destroyed.
            While that device lives it is a contract error, because the buffer's token would be
              lost.
        """),
    ),
    Rule(
        id="BUF-4",
        section=BUFFERS,
        title="Buffers of a client that is gone",
        source="spice_char_device_write_buffer_get, spice_char_device_write_buffer_add, "
        "spice_char_device_write_buffer_release",
        text=_prose("""
            When a client goes, the buffers held for it stay valid and become nobody's.
            Adding a buffer of a client that is gone drops it; releasing one just frees it: no
              token, no failure.
            Adding runs its write pass all the same (LC-2).
            A client that left and came back is another client: its earlier buffers are not its own.
            Asking a buffer for a client that is not attached gives none; this is not an error,
              because owners still hear from a client that was just removed.
        """),
    ),
    Rule(
        id="BUF-5",
        section=BUFFERS,
        title="Memory kept for reuse is bounded",
        source="spice_char_device_write_buffer_get, spice_char_device_client_remove",
        text=_prose("""
            Memory kept for reuse never exceeds 640 KiB (655360 bytes) a device.
            It is freed with the last client.
        """),
    ),
    Rule(
        id="BUF-6",
        section=BUFFERS,
        title="Empty buffers",
        source="SpiceCharDeviceWriteBuffer.buf_used",
        text=_prose("""
            Used 0 is legal.
            An empty buffer is consumed when its turn comes, without a port write: it becomes
              written and its price returns as for any other.
            Empty buffers behind one that a port write completes complete with it.
            They count as moved for the limit of WR-5, but do not make the device active (LC-8).
        """),
    ),
)

_WRITING_RULES: Final = (
    Rule(
        id="WR-1",
        section=WRITING,
        title="Order, exactly once",
        source="spice_char_device_write_buffer_add; the port's write",
        text=_prose("""
            Bytes reach the port exactly in queue order, each exactly once, across partial writes,
              stop and start, retries, change of port and migration.
            Only what a rule drops is not written: the queued buffers of a client that goes (WR-7),
              a reset (LC-3), ``destroy`` (LC-5), the end of a seal (MIG-2).
        """),
    ),
    Rule(
        id="WR-2",
        section=WRITING,
        title="When the device may write",
        source="the port's write",
        text=_prose("""
            Nothing is written unless the device is running, attached, not awaiting and not sealed.
            This is looked at before every port write and before empty buffers are consumed.
        """),
    ),
    Rule(
        id="WR-3",
        section=WRITING,
        title="What the port took is a fact",
        source="the port's write; send_tokens_to_client, on_free_self_token",
        text=_prose("""
            One port write offers, in queue order, the rest of the current buffer and any number of
              whole buffers behind it: at least one buffer, and never only a part of the last.
            The port may take any prefix of what is offered.
            All buffers that it completes become written at once, together, with the empty ones
              behind a completed one (BUF-6); a buffer begun and not completed becomes the current
              one.
            Then the prices of the written buffers are returned one by one, in queue order: one
              buffer becomes free, its price returns with the callback that TOK-3 or SELF-3 owes,
              then the next.
            What the port took is a fact: no later callback takes it back.
            Removal of a client, or ``destroy``, frees its written buffers without tokens; a reset
              returns their prices.
        """),
    ),
    Rule(
        id="WR-4",
        section=WRITING,
        title="Not now, and the retry timer",
        source="the port's write, spice_char_device_wakeup; beyond the header: the retry timer",
        text=_prose("""
            An answer of zero, or an error that means "not now", ends the write pass; an answer
              above zero lets it go on, also a partial one.
            After each answer that is not ignored, a port that announces writability itself and is
              still attached, by the same attachment, owes a ``wakeup`` if it took less than
              offered, and owes none if it took all.
            A call of ``wakeup`` ends what it owes, also when the device is not running.
            A write is owed when WR-2 allows writing, something is pending, no writer is on the
              stack, and either the port owes no ``wakeup`` or the last write pass was stopped by a
              limit (WR-5).
            When a read is owed is said in RD-8.
            At the end of every pass that held its guard, and for a pass that is not started because
              of an exception (CB-5): if a write or a read is owed, the retry timer is started or
              restarted, at 0 ms if a read is owed or the owed write was stopped by a limit, else at
              100 ms; if neither is owed, it is disarmed.
            It is also disarmed if nothing is owed any more because a client became leaving.
            Its firing, if it is armed, disarms it and then does what ``wakeup`` does.
        """),
    ),
    Rule(
        id="WR-5",
        section=WRITING,
        title="One writer, bounded work",
        source="spice_char_device_write_buffer_add, spice_char_device_wakeup, "
        "spice_char_device_start; beyond the header",
        text=_prose("""
            There is one writer at a time: the pass holds a guard from its beginning to its end,
              over the returning of prices too.
            A nested attempt to write returns at once but is not lost: a request made during a port
              call counts as made after it, and the outer pass tries again.
            ``write_buffer_add`` requests a write, also when it dropped its buffer, and so does
              everything that runs a write pass.
            The work of a pass is bounded, for reading likewise (RD-8).
            A try that moved nothing (zero, error, exception, ignored answer, failed port; for a
              read "nothing") is repeated only on a request made during it, and at most once until
              something moves; a further such request stops the pass by the limit.
            A frame moves at most N buffers and messages, counted together, for any N >= 1 that the
              implementation chooses; a push (RD-7) is not limited.
            Before a port write, before empty buffers are consumed and before a read, a pass whose
              frame has moved N or more stops by the limit; what one port answer completes is
              counted as a whole.
            A write pass or read pass that a limit stopped arms the retry timer at 0 ms, whatever
              the port announces, if there is still something that it may write or read.
            The firing of that timer does what ``wakeup`` does.
        """),
    ),
    Rule(
        id="WR-6",
        section=WRITING,
        title="No stuck data",
        source="spice_char_device_wakeup; beyond the header: the retry timer",
        text=_prose("""
            Outside, if the device is running, attached, not awaiting and not sealed, and something
              is pending, then the retry timer is armed or the port owes a ``wakeup``.
            This holds across ``reset_dev_instance``, the end of an awaited migration, removals of
              clients, and every callback that changed the state.
        """),
    ),
    Rule(
        id="WR-7",
        section=WRITING,
        title="The current buffer is finished",
        source="spice_char_device_client_remove, spice_char_device_reset, "
        "spice_char_device_state_destroy; the port's write",
        text=_prose("""
            A buffer is current from its first byte taken to its last, restored data at once; until
              then it is queued.
            A client that goes takes its queued buffers with it: they are dropped.
            Its current buffer is finished, because the port must not see a torn message, and
              belongs to nobody.
            Its buffers that are offered in an outstanding port write become nobody's and wait for
              the answer: those that the port did not touch are then dropped, those that it touched
              are finished.
            After a reset or ``destroy`` the answer of an outstanding port write is ignored: nothing
              is counted, and the device does not become active.
        """),
    ),
    Rule(
        id="WR-8",
        section=WRITING,
        title="A port that fails for good",
        source="the port's write; beyond the header: port_failed",
        text=_prose("""
            A final write error (unplugged, EIO), or an answer above what was offered, is a failure
              of the port; nothing of that answer is counted.
            If it is still the attached port, by the same attachment, it is detached as
              ``reset_dev_instance`` with no port does, then ``port_failed`` is called, once, if the
              owner has given it.
            An attachment ends with any ``reset_dev_instance``, even to the same port, with a reset
              and with ``destroy``; a failed answer of an earlier attachment counts as nothing taken
              and calls nothing.
            Pending data stays for a new port or a reset; there is no busy loop.
        """),
    ),
)

_READING_RULES: Final = (
    Rule(
        id="RD-1",
        section=READING,
        title="When the device may read",
        source="read_one_msg_from_device",
        text=_prose("""
            The port is read only while the device is running, attached, not awaiting and not
              sealed, and either some client that is not leaving may be sent to, or there is no
              client at all.
            A client may be sent to if it has no flow control or has a send token.
            Without any client, what is read is dropped.
            Credit is what the clients have now, before each read, not what they had when the pass
              began.
        """),
    ),
    Rule(
        id="RD-2",
        section=READING,
        title="Fan-out",
        source="read_one_msg_from_device, ref_msg_to_client, send_msg_to_client, "
        "unref_msg_to_client, remove_client",
        text=_prose("""
            Each message read goes to every client of CB-2.
            For each, ``ref_msg_to_client`` is called; if the client is gone or leaving by then,
              ``unref_msg_to_client`` follows and that is all.
            It is sent if the client has no flow control, or has an empty send queue and a send
              token, which it costs: the token is taken, then ``send_msg_to_client``, then
              ``unref_msg_to_client``.
            Else, if its send queue is full, RD-4 applies.
            Else it is queued, with its reference (RD-5).
            After the last recipient ``unref_msg_to_client`` drops the read's own reference.
        """),
    ),
    Rule(
        id="RD-3",
        section=READING,
        title="A client's order is the order read",
        source="send_msg_to_client, ref_msg_to_client",
        text=_prose("""
            Messages reach each client in the order they were read; its send queue is never
              overtaken.
            A client that is not leaving and has a non-empty send queue has no send tokens, except
              while a push of that queue is on the stack.
            Whether a message is sent, queued or refused is decided after ``ref_msg_to_client``
              returned, which may have granted credit.
        """),
    ),
    Rule(
        id="RD-4",
        section=READING,
        title="A leaving client",
        source="remove_client; max_send_queue_size of spice_char_device_client_add",
        text=_prose("""
            A message for a client whose send queue already holds max_send_queue_size messages makes
              that client leaving and is not queued; size 0 is always full.
            In order: leaving is set, the wait timer is disarmed, the message reference taken for it
              is dropped, ``remove_client`` is called unless the client has gone in the meantime.
            A client becomes leaving in no other way than by a full send queue, by its wait timer
              (RD-5) and by a token violation (TOK-2).
            Leaving is always set, and the wait timer disarmed, before ``remove_client`` is called,
              and it is called once.
            Leaving lasts until ``client_remove``; a reset does not end it.
            Nothing more is sent to a leaving client or queued for it.
            Nothing more is taken from it: no buffer is given to it, silently.
            Buffers already paid for are written as usual, and their prices are never announced.
            Its send queue is dropped at removal or reset.
            ``send_to_client_tokens_add`` and ``send_to_client_tokens_set`` change its counts only:
              no push, no read.
            ``client_exists`` is still true for it.
        """),
    ),
    Rule(
        id="RD-5",
        section=READING,
        title="The wait timer",
        source="send_msg_to_client, remove_client; beyond the header: the wait timer",
        text=_prose("""
            Queuing a message arms the client's wait timer, 30 s (30000 ms), if it is not armed.
            When it fires, the client becomes leaving and ``remove_client`` is called (RD-4).
            It is disarmed when the send queue becomes empty, by whatever path.
            Only a message sent restarts it: a push (RD-7) that leaves messages in the queue
              restarts it at 30 s with each message it sends, before ``send_msg_to_client`` is
              called.
            It runs while the device is stopped.
            So it is armed exactly while the send queue is not empty and the client is not leaving.
        """),
    ),
    Rule(
        id="RD-6",
        section=READING,
        title="No more messages than granted",
        source="spice_char_device_client_add, spice_char_device_send_to_client_tokens_add, "
        "spice_char_device_send_to_client_tokens_set, send_msg_to_client",
        text=_prose("""
            The messages sent to a client with flow control never exceed the send tokens it granted.
            Nothing but the client creates send tokens: at ``client_add``, by
              ``send_to_client_tokens_add`` and ``send_to_client_tokens_set``, and, for a client
              that moved, by what it had left at the source (MIG-4).
        """),
    ),
    Rule(
        id="RD-7",
        section=READING,
        title="Granting send tokens, the push",
        source="spice_char_device_send_to_client_tokens_add, "
        "spice_char_device_send_to_client_tokens_set",
        text=_prose("""
            ``send_to_client_tokens_add`` adds to the client's send tokens, ``_set`` replaces them.
            The checks are made in this order: destroyed device, count out of range, client not
              attached (all contract errors); no flow control: no effect (TOK-4); adding 0: no
              effect and no read; leaving: the count only (RD-4).
            Setting 0 is not special.
            Both then first push, sending queued messages, oldest first, one token each, and then
              run one read pass.
            A push goes on while the client is attached and not leaving, its queue is not empty and
              it has a send token: the oldest message leaves the queue, a token is taken, the wait
              timer is disarmed or restarted (RD-5), ``send_msg_to_client`` is called, then
              ``unref_msg_to_client``.
            A push needs neither a running device nor a port.
            A push starts at once, also inside a fan-out; only a push of the same queue defers to
              it: while one is on the stack, a nested call for that client changes the count and
              asks for a read, and the outer call pushes on.
            The read pass that follows a push is owed even if the client is gone.
        """),
    ),
    Rule(
        id="RD-8",
        section=READING,
        title="One reader, no lost read",
        source="read_one_msg_from_device, spice_char_device_wakeup; beyond the header",
        text=_prose("""
            There is one reader at a time: the read pass holds a guard from its beginning to its
              end, over the fan-out too.
            A nested attempt to read returns at once but is not lost (WR-5): it asks for a read.
            A read is wanted from the moment it is asked for, also while the device may not read,
              until the port says "nothing"; a request made during that call counts as made after
              it, so the read stays wanted, and it is repeated as WR-5 says.
            A read pass reads while RD-1 allows it and a read is wanted, within the limits of WR-5.
            A read is owed when RD-1 allows reading, a read is wanted, and no reader is on the
              stack.
            Outside, an owed read implies that the retry timer is armed.
            A message returned by a read that was overtaken by a stop, a reset or a detach is fanned
              out all the same; after ``destroy`` it is only unreferenced.
        """),
    ),
    Rule(
        id="RD-9",
        section=READING,
        title="Only attached clients",
        source="spice_char_device_client_remove, spice_char_device_send_to_client_tokens_add, "
        "spice_char_device_send_to_client_tokens_set",
        text=_prose("""
            ``client_remove``, ``send_to_client_tokens_add`` and ``send_to_client_tokens_set`` for a
              client that is not attached are contract errors.
        """),
    ),
)

_LIFE_CYCLE_RULES: Final = (
    Rule(
        id="LC-1",
        section=LIFE_CYCLE,
        title="Creation",
        source="spice_char_device_state_create",
        text=_prose("""
            ``create`` makes a device that is stopped, not active, attached to its port, without
              clients, with nothing pending and no timer armed.
            A port that is attached to another device is a contract error (LC-4).
        """),
    ),
    Rule(
        id="LC-2",
        section=LIFE_CYCLE,
        title="Start, stop, wakeup",
        source="spice_char_device_start, spice_char_device_stop, spice_char_device_wakeup, "
        "spice_char_device_write_buffer_add",
        text=_prose("""
            ``start`` makes the device running, then runs rounds of one write pass and one read
              pass.
            It ends when a round made no progress (this frame took no byte to the port, consumed no
              empty buffer and read no message), or when a limit of WR-5, an exception, a stop or
              ``destroy`` ended it.
            On a device that runs already ``start`` is a kick: it does the same.
            ``stop`` makes the device not running and not active, and disarms the retry timer;
              nothing queued is lost.
            ``wakeup`` ends what the port owed (WR-4); then, when running, it runs one write pass,
              then one read pass.
            Where another rule says that the device then writes and reads, it means the same: when
              running, one write pass, then one read pass.
            ``write_buffer_add`` runs one write pass.
        """),
    ),
    Rule(
        id="LC-3",
        section=LIFE_CYCLE,
        title="Reset",
        source="spice_char_device_reset",
        text=_prose("""
            ``reset`` changes all state first, then calls back.
            State: the device becomes stopped, not active, detached, not awaiting and not sealed,
              and the retry timer is disarmed.
            Queued, current and written buffers are dropped and their prices returned.
            Held client buffers return their price and become nobody's (adding drops them, releasing
              frees them); held server buffers stay as they are.
            All these client prices go to freed tokens, so that TOK-1 holds at once; self tokens
              return at once, too.
            Send queues are emptied and wait timers disarmed.
            Send tokens are unchanged; those of a client that was awaiting become 0.
            Leaving clients stay leaving.
            Then the callbacks: ``on_free_self_token`` once per returned server buffer; then
              ``unref_msg_to_client`` for every message that was queued, newest client first, oldest
              message first; then the announcements.
            For each client that was attached at the reset, still is and is not leaving, newest
              first: if it then has freed tokens, however few, all of them become client tokens and
              are announced in one ``send_tokens_to_client``.
            So a client that is not leaving gets back its whole window; what it takes meanwhile
              counts as ever.
            What callbacks queue meanwhile stays queued.
            At the end of the reset, a device that has no port is stopped, as by ``stop``.
            For owners: after a reset while awaiting, and when the destination's client leaves
              before the restore, the peer must be told to start over.
        """),
    ),
    Rule(
        id="LC-4",
        section=LIFE_CYCLE,
        title="Changing the port",
        source="spice_char_device_state_reset_dev_instance",
        text=_prose("""
            ``reset_dev_instance`` attaches a port in place of the one before, if any; when running,
              the device then writes and reads.
            With no port it detaches the device and disarms the retry timer; the device stays
              running if it was.
            A new attachment owes no ``wakeup``; the same port given again is a new attachment.
            The rest of a partly written buffer goes to the new port; owners who do not want that
              reset first.
            The answer of an outstanding port write counts for the old port: the bytes it took are
              taken (WR-1), and an answer that would be a failure counts as nothing taken (WR-8).
            A port that is attached to another device is a contract error.
        """),
    ),
    Rule(
        id="LC-5",
        section=LIFE_CYCLE,
        title="Destruction",
        source="spice_char_device_state_destroy",
        text=_prose("""
            ``destroy`` first marks the device destroyed, detaches its port, disarms all timers and
              moves everything out.
            The only callback afterwards is ``unref_msg_to_client``: for queued references inside
              ``destroy``, newest client first, oldest message first; for the references that a
              suspended frame holds, when that frame returns.
            The owner's opaque must live until then.
            Buffers held by the owner or referenced by a marshaller stay valid until released
              (BUF-3).
            Any later call of the device, also from inside these callbacks, is a contract error.
        """),
    ),
    Rule(
        id="LC-6",
        section=LIFE_CYCLE,
        title="Adding a client",
        source="spice_char_device_client_add",
        text=_prose("""
            Contract errors, in this order: a count out of range (TOK-5); a client that is attached
              already; flow control with 0 < window < interval, because such a client would starve.
            ``client_add`` returns false and changes nothing if it asks to wait for migration data
              while the device has clients, is active, has a partly written buffer (restored data
              counts as one), or is inside a port write or a read, that is, a writer or a reader is
              on the stack.
            Likewise any add returns false while the device is sealed or awaiting.
            Otherwise the client is attached as the newest, with its window as client tokens, no
              freed tokens, the given send tokens and an empty send queue; the device then writes
              and reads, and the answer is true.
            A client that waits for migration data starts with 0 send tokens, whatever was given,
              and makes the device awaiting.
        """),
    ),
    Rule(
        id="LC-7",
        section=LIFE_CYCLE,
        title="Removing a client",
        source="spice_char_device_client_remove",
        text=_prose("""
            ``client_remove`` delists the client and changes all state first: its buffers go as
              WR-3, WR-7 and BUF-4 say, its send queue and its wait timer go, an awaiting for that
              client ends, and a seal ends (MIG-2).
            Then ``unref_msg_to_client`` for each message that was queued for it, oldest first;
              then, if a seal ended, ``on_free_self_token`` once per server buffer that was dropped.
            In every case the device then writes and reads.
        """),
    ),
    Rule(
        id="LC-8",
        section=LIFE_CYCLE,
        title="Active",
        source="spice_char_device_client_add with wait_for_migrate_data; beyond the header",
        text=_prose("""
            The device becomes active by any byte that the port takes and any message read while it
              is running.
            This is judged when the port call returns; an answer of "nothing" or zero is no move.
            ``stop`` clears it; it is never set while stopped.
        """),
    ),
    Rule(
        id="LC-9",
        section=LIFE_CYCLE,
        title="Timers that are not armed",
        source="beyond the header: the retry timer, the wait timer",
        text=_prose("""
            A timer that is not armed does nothing when it fires; neither does the wait timer of a
              client that is not attached.
            A destroyed device has no timers, so one that fires late does nothing either (LC-5).
        """),
    ),
)

_MIGRATION_RULES: Final = (
    Rule(
        id="MIG-1",
        section=MIGRATION,
        title="The record",
        source="SpiceMigrateDataCharDevice",
        text=_prose("""
            The record is 25 bytes, little endian, packed: u32 version (1), u8 connected, u32 client
              tokens, u32 send tokens, u32 write size, u32 client tokens in the write data, u32
              pointer to the write data.
            An 8-byte migration header precedes the record; its content is the owner's.
            The pointer is the offset of the write data from the start of that header, and 0 without
              data.
            The write data follows, write size bytes of it.
        """),
    ),
    Rule(
        id="MIG-2",
        section=MIGRATION,
        title="Marshalling seals the device",
        source="spice_char_device_state_migrate_data_marshall",
        text=_prose("""
            ``migrate_data_marshall`` demands a device that is stopped and not awaiting, no frame of
              this device on the stack, exactly one client, which is not leaving, has an empty send
              queue and has no buffer held for it, and less than ``2**32`` bytes pending; else it
              is a contract error.
            Detached is allowed, and so is a device that is sealed already: the record then covers
              all that is pending by now.
            The record says connected = 1.
            Write data is the rest of the current buffer, then the queue, in order.
            The tokens in it are the sum of the prices of the pending client buffers; buffers of
              other origins count nothing, nobody's included.
            Client tokens are those the client may still send; its freed tokens are not in the
              record, as the destination finds them by TOK-1 (MIG-4).
            A count too large for its field is marshalled as the largest that fits, never as its low
              bits.
            A client without flow control is marshalled with client tokens and send tokens
              0xffffffff.
            The bytes are referenced, not copied, and stay valid (BUF-2).
            Marshalling seals the device until ``client_remove``, reset or ``destroy``.
            While sealed, nothing is written, read, sent or announced, and no client buffer is given
              (silently); server buffers still are.
            When ``client_remove`` ends the seal, what was marshalled is dropped, and its server
              prices return with their ``on_free_self_token`` (LC-7); what was queued later stays.
            A reset or ``destroy`` that ends it drops everything, as LC-3 and LC-5 say.
        """),
    ),
    Rule(
        id="MIG-3",
        section=MIGRATION,
        title="The empty record",
        source="spice_char_device_state_migrate_data_marshall_empty",
        text=_prose("""
            ``migrate_data_marshall_empty`` gives a record with connected = 0 and all else zero but
              the version; it needs no device.
        """),
    ),
    Rule(
        id="MIG-4",
        section=MIGRATION,
        title="Restoring",
        source="spice_char_device_state_restore",
        text=_prose("""
            ``restore`` is given the whole message, the 8-byte header included, with its length.
            It demands exactly one client, which is awaiting and not leaving; else it is a contract
              error.
            Let window and freed be the client's here; let given be the record's client tokens, and
              data tokens its client tokens in the write data.
            Let own = window - the client tokens it has here, which is what it took or freed
              meanwhile.
            Its client tokens become given - own.
            Its freed tokens become freed + window - given - data tokens.
            Its send tokens become the record's + those it has here, which were added meanwhile.
            The data becomes one current buffer of the client, at once, ahead of whatever was queued
              meanwhile; its price is the data tokens.
            Data tokens without data go to the freed tokens; data without data tokens becomes a
              server-without-token buffer.
            Without flow control the record's client tokens and send tokens are ignored and no count
              is touched; the price is kept.
            All is installed and the awaiting ended first; then freed tokens are announced as TOK-3
              says, and the device then writes and reads.
        """),
    ),
    Rule(
        id="MIG-5",
        section=MIGRATION,
        title="Bad migration data",
        source="spice_char_device_state_restore",
        text=_prose("""
            Bad data is refused with one clear error, which is not a contract error, and changes
              nothing.
            Bad is: a message that is truncated (shorter than header and record, 33 bytes); a
              version above 1 (0 is accepted); not connected; with flow control, client tokens given
              + tokens in the data above the window, or client tokens given below own (MIG-4); a
              write size above 0 with a pointer below 33, or with pointer + size past the end of the
              message.
            Sums are exact (TOK-5).
            The pointer of a record without data is not looked at.
            No byte sequence makes an implementation crash, hang or read outside the message.
        """),
    ),
    Rule(
        id="MIG-6",
        section=MIGRATION,
        title="Both ends are one device",
        source="spice_char_device_state_migrate_data_marshall, spice_char_device_state_restore",
        text=_prose("""
            Source, wire and destination together are one device.
            What was queued or current at marshalling is written exactly once.
            TOK-1 and RD-6 hold across the move.
            Both hold over any chain of moves.
        """),
    ),
)

_DEVICE_RULES: Final = (
    Rule(
        id="DEV-1",
        section=DEVICES,
        title="spicevmc",
        source="spicevmc_device_connect, spicevmc_device_disconnect",
        planned=True,
        text=_prose("""
            The spicevmc device (port, usbredir, webdav) has one client, without flow control.
            Its reads become data messages.
            Without a client the read callback says "nothing", and the data waits in the port.
            Connecting and disconnecting of the client is told to the port, as its state.
            Port events pass both ways.
            Every callback tolerates that the client is gone.
        """),
    ),
    Rule(
        id="DEV-2",
        section=DEVICES,
        title="vdagent",
        source="the guest agent's chunks; beyond the header",
        planned=True,
        text=_prose("""
            The agent's stream is framed in chunks: u32 port, u32 size, then at most 2048 bytes.
            The client window is 10, the interval 5, the send queue 5, and there is one self token.
            A chunk that was begun is finished before anything else is written.
            Tokens that arrive before the agent was started are ignored.
        """),
    ),
)

_EXTENSION_RULES: Final = (
    Rule(
        id="EXT-1",
        section=BEYOND,
        title="Messages for named recipients",
        source="the header's TODO about messages for a specific client; read_one_msg_from_device",
        planned=True,
        text=_prose("""
            This extension is off by default.
            A message from the port may name its recipients; only they get it, and only they pay.
            Recipients that are not attached are ignored.
            If none is left, the message is dropped and costs nobody.
        """),
    ),
    Rule(
        id="EXT-2",
        section=BEYOND,
        title="Joining inside a message",
        source="the header's TODO about clients that connect in the middle of a message; "
        "read_one_msg_from_device",
        planned=True,
        text=_prose("""
            This extension is off by default.
            The read callback may mark the beginning and the end of a message of several parts.
            A client that joins inside one gets nothing of it and starts at the next beginning.
            A restored client is no joiner.
            A reset ends the message.
        """),
    ),
)

RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        rule.id: rule
        for rule in (
            *_CALLBACK_RULES,
            *_TOKEN_RULES,
            *_SELF_RULES,
            *_BUFFER_RULES,
            *_WRITING_RULES,
            *_READING_RULES,
            *_LIFE_CYCLE_RULES,
            *_MIGRATION_RULES,
            *_DEVICE_RULES,
            *_EXTENSION_RULES,
        )
    }
)
"""Every rule by its id, section after section."""

_WORDS: Final[Mapping[str, str]] = {
    # Who takes part.
    "device": """
        The flow-control object that the rules describe.
        Its state: alive or destroyed; running; active; attached; awaiting; sealed; self tokens; the
          queue; the current buffer and how much of it is written; the retry timer; its clients,
          newest first.
    """,
    "port": """
        The character device below the device (the header's ``SpiceCharDeviceInstance``): a serial
          line, a virtio port.
        It is written to with bytes and answers how many it took; it is read through
          ``read_one_msg_from_device``; it has a state and events (DEV-1).
    """,
    "attachment": """
        One stay of a port at a device, or of a peer.
        It ends when it is detached or replaced; the same port or peer given again is another
          attachment.
    """,
    "peer": """
        Who a client is to the owner (the header's ``RedClient``).
    """,
    "client": """
        One attachment of a peer to the device.
        Its state: flow control on or off; window; client tokens; freed tokens; send tokens; send
          queue; wait timer; leaving.
    """,
    "owner": """
        The code that owns the device and supplies the callbacks.
    """,
    "callback": """
        What the device calls: ``read_one_msg_from_device``, ``ref_msg_to_client``,
          ``unref_msg_to_client``, ``send_msg_to_client``, ``send_tokens_to_client``,
          ``on_free_self_token`` (optional), ``remove_client``, the port's write, and, beyond the
          header, ``port_failed`` (optional).
        A callback point is the moment of such a call.
    """,
    "frame": """
        A call of the API, or a firing of a timer, that has not returned.
        A callback runs inside a frame; a frame that waits for a callback is suspended.
    """,
    "outside": """
        A moment at which the device has no frame.
    """,
    # The device.
    "running": """
        Between ``start`` and ``stop``.
    """,
    "active": """
        Whether any byte has moved since the start (LC-8).
    """,
    "attached": """
        Of a device: it has a port.
        Of a client: it was added and has not been removed since.
    """,
    "detached": """
        Without a port.
    """,
    "awaiting": """
        A client was added that waits for migration data, and the data has not come (LC-6, MIG-4).
    """,
    "sealed": """
        Marshalled for a move, and frozen until the client is removed (MIG-2).
    """,
    "interval": """
        How many freed tokens are gathered before they are announced; given at ``create`` (TOK-3).
    """,
    "retry timer": """
        The device's timer that writes and reads again later (WR-4, WR-5).
    """,
    # The client.
    "flow control": """
        Counting of tokens in both directions, chosen for each client at ``client_add`` (TOK-4).
    """,
    "window": """
        The client tokens given at ``client_add``.
    """,
    "client tokens": """
        How many buffers a client may still send.
    """,
    "freed tokens": """
        Client tokens that were given back and not yet announced.
    """,
    "announce": """
        To move all freed tokens of a client to its client tokens and call ``send_tokens_to_client``
          with their number.
    """,
    "send tokens": """
        How many messages may still be sent to a client.
    """,
    "send queue": """
        The messages that wait for a client's send tokens, first in, first out, bounded by
          max_send_queue_size.
    """,
    "wait timer": """
        A client's timer that bounds how long its send queue stands still (RD-5).
    """,
    "leaving": """
        Of a client: the owner was asked to remove it and has not done so yet (RD-4).
    """,
    "token violation": """
        A client sends without a client token (TOK-2).
    """,
    # Buffers and messages.
    "buffer": """
        A write buffer: bytes on their way to the port.
        It has an origin, a client, a capacity, the bytes used (fixed when it is added), a price,
          references, and a place.
    """,
    "origin": """
        Whose a buffer is: a client's, the server's, the server's without a token, or nobody's.
    """,
    "client buffer": """
        A buffer whose origin is a client; it was paid for with a client token.
    """,
    "server buffer": """
        A buffer whose origin is the server; it was paid for with a self token.
    """,
    "nobody's": """
        Of a buffer: its client is gone or was reset, and nothing is returned for it.
    """,
    "self tokens": """
        How many buffers the server may still get for itself.
    """,
    "price": """
        The tokens that return when a buffer is done: 1, also without flow control; a restored
          buffer's is given (MIG-4).
    """,
    "place": """
        Where a buffer is: held, queued, current, written or free.
    """,
    "held": """
        Place: given to the owner, neither added nor released.
    """,
    "queued": """
        Place: added, and no byte of it taken yet.
        Of a message: in a send queue.
    """,
    "current": """
        Place: begun, that is, the port took its first byte and not its last; there is at most one.
    """,
    "written": """
        Place: taken by the port as a whole, its price not yet returned.
    """,
    "free": """
        Place: done, its price returned or owed to nobody.
    """,
    "in flight": """
        Held, queued, current or written.
    """,
    "pending": """
        Queued or current: a buffer that is to be written.
    """,
    "queue": """
        The queued buffers, first in, first out; queue order is the current buffer, then these.
    """,
    "offered": """
        Given to the port by a write that has not returned (an outstanding port write).
    """,
    "drop": """
        To end a buffer unsent, or a message undelivered, without the owner's asking.
    """,
    "message": """
        What the read callback returned; opaque to the device; it has references.
    """,
    "marshaller": """
        What holds the marshalled record and references to the bytes of its buffers (MIG-2).
    """,
    # Work.
    "write pass": """
        A run of port writes while WR-2 allows and something is pending (WR-4, WR-5).
    """,
    "read pass": """
        A run of reads, each with its fan-out, while RD-1 allows and a read is wanted (RD-8).
    """,
    "writer": """
        The frame that runs a write pass.
    """,
    "reader": """
        The frame that runs a read pass.
    """,
    "fan-out": """
        The giving of one message to every recipient (RD-2).
    """,
    "push": """
        The sending of a client's queued messages after it granted send tokens (RD-7).
    """,
    "moved": """
        A byte taken by the port, an empty buffer consumed, or a message read.
        For the number N of WR-5 a frame counts the buffers completed and the messages read.
    """,
    "limit": """
        What bounds a pass: N moves a frame, and one repetition of a try that moved nothing (WR-5).
    """,
    "wanted": """
        Of a read: asked for after the port last said "nothing" (RD-8).
    """,
    "owed": """
        To be done without anybody's asking again: a write or a read by the retry timer, a
          ``wakeup`` by a port that announces writability (WR-4, RD-8).
    """,
    "announces writability": """
        Of a port: it calls ``wakeup`` by itself once it can take bytes again (WR-4).
    """,
    "writes and reads": """
        When running: one write pass, then one read pass (LC-2).
    """,
    "contract error": """
        A call that the rules forbid: it raises one named error, before anything has changed.
        A destroyed device is looked at first, then the arguments, then attachment, then the rest.
        The errors: destroyed device (LC-5); port attached elsewhere (LC-4); client already attached
          (LC-6); starving window (LC-6); client not attached (RD-9); buffer not held (BUF-1);
          buffer overfull (BUF-1); negative size (BUF-1); count out of range (TOK-5); cannot
          marshall (MIG-2); cannot restore (MIG-4); device still alive (BUF-3).
        An implementation may abort there instead.
        ``opaque_get`` and ``client_exists`` are legal in every state of a device that is not
          destroyed; ``create`` and ``migrate_data_marshall_empty`` are legal anywhere.
    """,
}

WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {word: _prose(meaning) for word, meaning in _WORDS.items()}
)
"""The words that the rules use in a meaning of their own, each with that meaning."""
