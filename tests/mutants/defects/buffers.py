"""Defects of buffers (BUF)."""

from typing import Final

from tests.mutants.defects.defect import Defect

BUFFERS: Final = (
    Defect(
        "double add accepted",
        "BUF-1",
        "A buffer that is added twice is written twice, and its memory is freed twice.",
        """
-        buffer.held = False
         if attachment is not None:
""",
    ),
    Defect(
        "full buffer refused",
        "BUF-1",
        "An owner that fills a buffer to its last byte is refused.",
        """
-        if used > buffer.buf_size:
+        if used >= buffer.buf_size:
""",
    ),
    Defect(
        "overfull buffer accepted",
        "BUF-1",
        "Memory behind the buffer is written to the port.",
        """
-        if used > buffer.buf_size:
+        if used > 2**20:
""",
    ),
    Defect(
        "add while stopped is lost",
        "BUF-1",
        "What is sent while the virtual machine is paused never arrives.",
        """
         if self._port_blocked or self._writing or not self._may_write:
-            queue.append(data, payer)
+            if self._running:
+                queue.append(data, payer)
             self._write_in_vain()
""",
    ),
    Defect(
        "no buffer while detached",
        "BUF-1",
        "An agent's data is refused while its port is being replaced.",
        """
-        if attachment is None or not self._may_pay(attachment):
-            return None
+        if self._port is None or attachment is None or not self._may_pay(attachment):
+            return None
""",
    ),
    Defect(
        "memory reused under the marshaller",
        "BUF-2",
        "The destination gets other bytes than the source had, because the source's buffers were used again.",
        """
         dropped = self.payers[head : head + count]
+        for piece in self.data[head : head + count]:
+            if isinstance(piece, memoryview) and not piece.readonly:
+                piece[:] = bytes(len(piece))
         if count:
""",
    ),
    Defect(
        "memory reused under the port",
        "BUF-2",
        "A reset inside a port write frees the memory that the port is reading.",
        """
         \"\"\"Forget everything.\"\"\"
+        for piece in self.data:
+            if isinstance(piece, memoryview) and not piece.readonly:
+                piece[:] = bytes(len(piece))
         self.head = 0
""",
    ),
    Defect(
        "buffer freed without its device while that lives",
        "BUF-3",
        "A client loses a token each time its buffer is released the wrong way.",
        """
-    if not buffer.device.destroyed:
+    if buffer.device is None:
         raise DeviceStillAliveError(
""",
    ),
    Defect(
        "buffer of a destroyed device not freed",
        "BUF-3",
        "Owners that outlive the device cannot give its buffers back.",
        """
-    if not buffer.held:
+    if not buffer.held or buffer.device.destroyed:
         raise BufferNotHeldError(
""",
    ),
    Defect(
        "buffer outlives its client",
        "BUF-4",
        "Data of a client that has gone is written, as if it came from the next one.",
        """
-        if attachment is None or attachment.gone or self._epoch != self.device.epoch:
+        if attachment is None or self._epoch != self.device.epoch:
""",
    ),
    Defect(
        "get for a client that is gone fails",
        "BUF-4",
        "A channel that hears a moment late of its client's removal brings the server down.",
        """
         attachment = self._clients.get(client)
-        if attachment is None or not self._may_pay(attachment):
-            return None
+        if attachment is None:
+            raise BufferNotHeldError("write_buffer_get: the client is not attached")
+        if not self._may_pay(attachment):
+            return None
""",
    ),
    Defect(
        "used memory is never freed",
        "BUF-5",
        "The server's memory grows with every byte that a client sends.",
        """
         self.buf = memoryview(bytearray(size))
+        globals().setdefault("_pool", []).append(self.buf)
""",
    ),
    Defect(
        "empty buffer never completes",
        "BUF-6",
        "An empty message from a client stops everything behind it.",
        """
-            if not queue.data[queue.head]:
+            if False:
""",
    ),
    Defect(
        "empty buffers stay behind a completed one",
        "BUF-6",
        "An empty buffer is in flight longer than the rules say, and a stop keeps its token back.",
        """
-        while last == len(ends) and last < len(data) and not len(data[last]):
-            ends.append(position)
-            last += 1
         return last
""",
    ),
)
