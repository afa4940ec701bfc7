"""Whole messages or nothing: the filter for one direction (DEV-2).

Theory of operation
-------------------
Messages travel in parts, and what is decided about a message's first part holds for all of it.
So nobody ever gets a half message: a peer that leaves inside one takes the rest of it along, and a
peer that joins inside one gets nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable

from chardev.interfaces import Bytes

from .messages import HEADER_SIZE, PART_MAX, BadAgentMessageError, MessageHeader

__all__ = ["MessageFilter"]


class MessageFilter:
    """Follows the messages of one direction and says which parts may pass.

    `allowed` is asked once a message, with its type.
    `open` is false while there is nobody to pass anything to: messages that begin then are dropped.
    """

    __slots__ = ("_allowed", "open", "passing", "remaining")

    def __init__(self, allowed: Callable[[int], bool], *, is_open: bool) -> None:
        self._allowed = allowed
        self.open = is_open
        # How much of the present message is still to come.
        self.remaining = 0
        # What was decided about the present message.
        self.passing = False

    def may_pass(self, part: Bytes) -> bool:
        """Take the next part; tells whether it may pass.

        Raises:
            BadAgentMessageError: the part is too long, has no whole header, or is longer than the rest
                of its message; nothing changed.
        """
        if len(part) > PART_MAX:
            raise BadAgentMessageError(f"a part has {len(part)} bytes; {PART_MAX} are allowed")
        size = len(part)
        if not self.remaining:
            header = MessageHeader.parse(part)
            size -= HEADER_SIZE
            self._check_fits(size, header.size)
            self.passing = self.open and self._allowed(header.type)
            self.remaining = header.size - size
            return self.passing
        self._check_fits(size, self.remaining)
        self.remaining -= size
        return self.passing

    def close(self) -> None:
        """Drop the rest of the present message and all later ones."""
        self.open = False
        self.passing = False

    @staticmethod
    def _check_fits(size: int, expected: int) -> None:
        if size > expected:
            raise BadAgentMessageError(
                f"a part goes on for {size} bytes where its message has {expected} left"
            )
