"""What a machine yields: callbacks to the owner, calls of the port, choices, and loop heads.

Every event but the choices and `LOOP` is a *callback point*: the environment answers it, and before it does
it may call the API again (CB-1).
The runner checks every invariant at each callback point.

A *choice* is settled by the environment without calling anything: it is where the contract allows an
implementation to behave in more than one way.
"""

from typing import Any, Final, NamedTuple, TypeAlias

Peer: TypeAlias = Any
"""Who a client is to the owner (the header's `RedClient *`); any hashable value."""

Message: TypeAlias = Any
"""What the read callback returned; opaque to the device."""


class Loop(NamedTuple):
    """The head of a loop that contains a callback; answered True by the runner."""


LOOP: Final = Loop()


class ChooseGoOn(NamedTuple):
    """Choice: whether a pass goes on (True) or stops by limit (WR-5); asked once the frame has moved something.

    `moved` counts the buffers completed and messages read by the frame.
    """

    moved: int


class ChooseOffer(NamedTuple):
    """Choice: how many buffers the next port write offers, 1 to `available` (WR-3)."""

    available: int


class PortWrite(NamedTuple):
    """The port's write.

    Answer: how many of the bytes it took; 0 means "not now".
    A negative answer, or one above what was offered, is a final error (WR-8).
    """

    port: int
    data: bytes


class ReadOneMsgFromDevice(NamedTuple):
    """`read_one_msg_from_device`: answer a message, or None for "nothing"."""

    port: int


class RefMsgToClient(NamedTuple):
    """`ref_msg_to_client`: the device takes a reference to the message (CB-4)."""

    message: Message


class UnrefMsgToClient(NamedTuple):
    """`unref_msg_to_client`: the device drops a reference to the message (CB-4)."""

    message: Message


class SendMsgToClient(NamedTuple):
    """`send_msg_to_client`: the message goes to the client; the callback borrows it (CB-4)."""

    message: Message
    client: Peer


class SendTokensToClient(NamedTuple):
    """`send_tokens_to_client`: the client is told that it may send `tokens` more buffers (TOK-3)."""

    client: Peer
    tokens: int


class OnFreeSelfToken(NamedTuple):
    """`on_free_self_token`: a server buffer's token has returned (SELF-3)."""


class RemoveClient(NamedTuple):
    """`remove_client`: the owner should disconnect this client (RD-4)."""

    client: Peer


class PortFailed(NamedTuple):
    """`port_failed`: the port failed for good and has been detached (WR-8); not in the header."""


Choice: TypeAlias = ChooseGoOn | ChooseOffer
Callback: TypeAlias = (
    PortWrite
    | ReadOneMsgFromDevice
    | RefMsgToClient
    | UnrefMsgToClient
    | SendMsgToClient
    | SendTokensToClient
    | OnFreeSelfToken
    | RemoveClient
    | PortFailed
)
Event: TypeAlias = Loop | Choice | Callback
