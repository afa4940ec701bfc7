"""Defects of self tokens, server to port (SELF)."""

from typing import Final

from tests.mutants.defects.defect import Defect

SELF_TOKENS: Final = (
    Defect(
        "self token not taken",
        "SELF-1",
        "The server floods the port: nothing bounds its buffers in flight.",
        """
             buffer = WriteBuffer(self, BufferOrigin.SERVER, None, self._epoch, size)
-            self._self_tokens -= 1
             self._held_server_buffers += 1
""",
    ),
    Defect(
        "reset returns the tokens of held buffers",
        "SELF-1",
        "After a reset the server's held buffers are paid back twice.",
        """
-            self._self_tokens_at_creation - self._self_tokens - self._held_server_buffers
+            self._self_tokens_at_creation - self._self_tokens
""",
    ),
    Defect(
        "lack of a self token is an error",
        "SELF-2",
        "The server crashes where it should only wait.",
        """
             if not self._self_tokens:
-                return None
+                raise BufferNotHeldError("write_buffer_get: there is no self token left")
             buffer = WriteBuffer(self, BufferOrigin.SERVER, None, self._epoch, size)
""",
    ),
    Defect(
        "one self token too many",
        "SELF-2",
        "The server gets a buffer that it has no token for.",
        """
-            if not self._self_tokens:
+            if self._self_tokens < 0:
                 return None
""",
    ),
    Defect(
        "callback before the self token",
        "SELF-3",
        "The server is told that it may send, tries, and gets no buffer.",
        """
-            self._self_tokens += 1
             self._call_on_free_self_token(frame)
+            self._self_tokens += 1
""",
    ),
    Defect(
        "one callback for several self tokens",
        "SELF-3",
        "The server is woken once for several tokens, and the data that it keeps back waits.",
        """
         for _ in range(count):
             if self._epoch != epoch:
                 return
-            self._self_tokens += 1
-            self._call_on_free_self_token(frame)
+            self._self_tokens += 1
+        self._call_on_free_self_token(frame)
""",
    ),
    Defect(
        "buffers without token return one",
        "SELF-4",
        "Each buffer without token adds a self token, until nothing bounds the server.",
        """
-        return NOBODY if origin is BufferOrigin.SERVER_NO_TOKEN else None
+        return SERVER if origin is BufferOrigin.SERVER_NO_TOKEN else None
""",
    ),
)
