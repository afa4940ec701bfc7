"""Defects of tokens, client to port (TOK)."""

from typing import Final

from tests.mutants.defects.defect import Defect

TOKENS: Final = (
    Defect(
        "token not returned on partial write",
        "TOK-1",
        "Whenever the port stops in the middle of a buffer, the clients lose the tokens of those before it.",
        """
             self.data[last] = memoryview(self.data[last])[taken - start :]
             self.current = True
+            completed = []
         self._advance(last)
""",
    ),
    Defect(
        "token not returned on release",
        "TOK-3",
        "Each buffer that is released unused costs its client a token, until the client can send nothing.",
        """
         payer = self._let_go(buffer)
-        if payer is not None:
+        if payer is SERVER:
             frame = self._enter()
             self._return_prices(frame, (payer,))
""",
    ),
    Defect(
        "one token too many",
        "TOK-2",
        "A client may have one buffer more in flight than its window says.",
        """
-        if attachment.tokens or not attachment.flow_control:
+        if attachment.tokens >= 0 or not attachment.flow_control:
             return True
""",
    ),
    Defect(
        "violation overlooked",
        "TOK-2",
        "A client that sends without tokens is refused, but never disconnected.",
        """
-        self._set_leaving(attachment)
-        frame = self._enter()
-        self._call_remove_client(frame, attachment)
-        self._leave(frame)
         return False

     def _check_held(self, where: str, buffer: WriteBuffer) -> None:
""",
    ),
    Defect(
        "off by one in the interval",
        "TOK-3",
        "Tokens are announced one buffer late; a client whose window is the interval waits for ever.",
        """
-            due = self._interval - freed
+            due = self._interval - freed + 1
""",
    ),
    Defect(
        "off by one in the interval, short path",
        "TOK-3",
        "Where nothing is congested, tokens are announced one buffer late.",
        """
-            if freed >= self._interval:
+            if freed > self._interval:
""",
    ),
    Defect(
        "one announcement for a whole batch",
        "TOK-3",
        "A client hears of its tokens in other portions than it was promised.",
        """
-            step = due if due > 0 else 1
+            step = count
""",
    ),
    Defect(
        "window without flow control",
        "TOK-4",
        "A client without flow control is thrown out because it has no tokens.",
        """
-        if attachment.tokens or not attachment.flow_control:
+        if attachment.tokens:
             return True
""",
    ),
    Defect(
        "queue without flow control",
        "TOK-4",
        "Messages for a client without flow control wait for tokens that it never gives.",
        """
-            if not attachment.flow_control:
-                count = len(messages)
-                self._send(frame, attachment, messages)
-            elif attachment.send_tokens and not attachment.send_queue:
+            if attachment.send_tokens and not attachment.send_queue:
""",
    ),
    Defect(
        "announcement without flow control",
        "TOK-4",
        "A client without flow control is told of tokens that it does not know.",
        """
-        while count and attachment.flow_control and not attachment.gone and self._epoch == epoch:
+        while count and not attachment.gone and self._epoch == epoch:
""",
    ),
    Defect(
        "count wraps at 32 bits",
        "TOK-5",
        "A client that grants all it can, twice, is suddenly sent nothing.",
        """
-            self._grant(attachment, attachment.send_tokens + tokens)
+            self._grant(attachment, (attachment.send_tokens + tokens) & 0xFFFFFFFF)
""",
    ),
    Defect(
        "signed counts",
        "TOK-5",
        "A client that grants without limit, as agents do, is refused.",
        """
-COUNT_MAX: Final = 2**32 - 1
+COUNT_MAX: Final = 2**31 - 1
""",
    ),
    Defect(
        "negative count accepted",
        "TOK-5",
        "A negative grant from a broken peer makes a count that no rule foresees.",
        """
-    if not 0 <= value <= COUNT_MAX:
+    if not value <= COUNT_MAX:
         raise CountOutOfRangeError(
""",
    ),
    Defect(
        "tokens announced twice",
        "TOK-6",
        "A client believes in tokens that it does not have, and is thrown out for using them.",
        """
-        attachment.freed = 0
         attachment.tokens += tokens
""",
    ),
    Defect(
        "tokens announced but not counted",
        "TOK-6",
        "A client uses the tokens that it was told of and is thrown out for it.",
        """
         attachment.freed = 0
-        attachment.tokens += tokens
         try:
""",
    ),
    Defect(
        "one interval announced, all counted",
        "TOK-6",
        "After a reset the client knows of fewer tokens than it has, and slows down for good.",
        """
         attachment.tokens += tokens
         try:
-            self._callbacks.send_tokens_to_client(attachment.client, tokens)
+            self._callbacks.send_tokens_to_client(attachment.client, self._interval or tokens)
""",
    ),
)
