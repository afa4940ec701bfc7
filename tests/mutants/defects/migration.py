"""Defects of migration (MIG)."""

from typing import Final

from tests.mutants.defects.defect import Defect

MIGRATION: Final = (
    Defect(
        "big endian record",
        "MIG-1",
        "No other implementation understands the record.",
        """
-_RECORD: Final = struct.Struct("<IBIIIII")
+_RECORD: Final = struct.Struct(">IBIIIII")
""",
    ),
    Defect(
        "pointer counted from the record",
        "MIG-1",
        "The destination reads its data 8 bytes too early.",
        """
-            write_data_offset if self.write_size else 0,
+            write_data_offset - HEADER_SIZE if self.write_size else 0,
""",
    ),
    Defect(
        "pointer without data",
        "MIG-1",
        "A destination that trusts the pointer looks for data that is not there.",
        """
-            write_data_offset if self.write_size else 0,
+            write_data_offset,
""",
    ),
    Defect(
        "marshalled device not sealed",
        "MIG-2",
        "The source goes on writing what the destination will write too.",
        """
         data = migration.MigrateData(record, queue.pending_data())
-        self._sealed = True
         self._sealed_buffers = len(queue)
""",
    ),
    Defect(
        "server buffers counted as the client's",
        "MIG-2",
        "The destination pays a client for what the server sent.",
        """
         \"\"\"The buffer's price if a client paid it, as migration counts it (MIG-2).\"\"\"
-        return 0
+        return 1
""",
    ),
    Defect(
        "low bits of a large count",
        "MIG-2",
        "A client that granted very much has granted nothing after a migration.",
        """
             self.connected,
             min(self.client_tokens, _FIELD_MAX),
-            min(self.send_tokens, _FIELD_MAX),
+            self.send_tokens & _FIELD_MAX,
""",
    ),
    Defect(
        "marshalled data written by the source",
        "MIG-2",
        "A migration that was called off writes again what the destination had already written.",
        """
-            server_tokens = self._queue.drop_first(self._sealed_buffers).count(SERVER)
+            server_tokens = 0
             self._self_tokens += server_tokens
""",
    ),
    Defect(
        "data queued after the seal is dropped",
        "MIG-2",
        "What the server sends after a migration that was called off is lost.",
        """
-            server_tokens = self._queue.drop_first(self._sealed_buffers).count(SERVER)
+            server_tokens = self._queue.drop_first(len(self._queue)).count(SERVER)
""",
    ),
    Defect(
        "marshalled with a held buffer",
        "MIG-2",
        "The token of a buffer that the owner is just filling is lost on the way.",
        """
-        elif clients[0].held:
+        elif clients[0].held > 1:
""",
    ),
    Defect(
        "marshalled inside a callback",
        "MIG-2",
        "A source that is marshalled in the middle of a call hands over half of its state.",
        """
-        elif self._frames or self._writing:
+        elif self._writing:
""",
    ),
    Defect(
        "marshalled while a message waits",
        "MIG-2",
        "Messages that wait for tokens are lost by a migration.",
        """
-        elif clients[0].send_queue:
+        elif len(clients[0].send_queue) > 1:
""",
    ),
    Defect(
        "empty record says connected",
        "MIG-3",
        "The destination waits for a client that never was.",
        """
-        return migration.MigrateRecord().pack()
+        return migration.MigrateRecord(connected=True).pack()
""",
    ),
    Defect(
        "tokens taken meanwhile forgotten",
        "MIG-4",
        "A client that sent while it was being moved has tokens that it has already spent.",
        """
-            attachment.tokens -= attachment.window - record.client_tokens
+            attachment.tokens = record.client_tokens
""",
    ),
    Defect(
        "tokens without data lost",
        "MIG-4",
        "The tokens of empty buffers are lost by a migration.",
        """
             if not data:
-                attachment.freed += tokens_in_data
+                pass
""",
    ),
    Defect(
        "grants given meanwhile forgotten",
        "MIG-4",
        "What the client granted to the destination before the restore is lost.",
        """
-            attachment.send_tokens += record.send_tokens
+            attachment.send_tokens = record.send_tokens
""",
    ),
    Defect(
        "restored data costs one token",
        "MIG-4",
        "A client that had several buffers on their way gets one token back.",
        """
-            payer = RestoredPayer(attachment, tokens_in_data) if tokens_in_data else NOBODY
+            payer = attachment if tokens_in_data else NOBODY
""",
    ),
    Defect(
        "announced before the awaiting ended",
        "MIG-4",
        "A client that answers the first announcement finds a device that refuses to write.",
        """
-        self._awaiting = None
-        self._refresh()
         frame = self._enter()
         if attachment.freed >= self._interval:
             frame.fail(self._announce(attachment))
+        self._awaiting = None
+        self._refresh()
         self._write_and_read(frame)
""",
    ),
    Defect(
        "freed tokens not announced",
        "MIG-4",
        "Tokens that migration freed are announced only with the next ones.",
        """
-        if attachment.freed >= self._interval:
-            frame.fail(self._announce(attachment))
         self._write_and_read(frame)
         self._leave(frame)
""",
    ),
    Defect(
        "later version accepted",
        "MIG-5",
        "A record of a later version is misread without a word.",
        """
-    if version > VERSION:
+    if version > VERSION + 1:
""",
    ),
    Defect(
        "pointer past the message",
        "MIG-5",
        "A truncated stream is restored as if it were whole.",
        """
-    if size and pointer + size > len(view):
+    if size and pointer > len(view):
""",
    ),
    Defect(
        "pointer into the record",
        "MIG-5",
        "A broken record makes the device write the record itself to the port.",
        """
-    if size and pointer < DATA_OFFSET:
+    if size and pointer < HEADER_SIZE:
""",
    ),
    Defect(
        "truncated record crashes",
        "MIG-5",
        "A stream that ends early brings the server down.",
        """
-    if len(view) < DATA_OFFSET:
+    if len(view) < HEADER_SIZE:
""",
    ),
    Defect(
        "more tokens than the window",
        "MIG-5",
        "A broken record gives a client more tokens than its window, or fewer than none.",
        """
-    if total > attachment.window:
+    if given > attachment.window:
""",
    ),
    Defect(
        "fewer tokens than were taken",
        "MIG-5",
        "A broken record leaves a client with fewer tokens than none.",
        """
-    if given < own:
+    if given < 0:
""",
    ),
    Defect(
        "half a restore",
        "MIG-5",
        "A record that is refused has ended the awaiting all the same.",
        """
         record, data = migration.parse(message)
+        attachment.send_tokens += record.send_tokens
         tokens_in_data = record.tokens_in_write_data
         if attachment.flow_control:
             _check_counts(attachment, record)
             attachment.freed += attachment.window - record.client_tokens - tokens_in_data
             attachment.tokens -= attachment.window - record.client_tokens
-            attachment.send_tokens += record.send_tokens
""",
    ),
    Defect(
        "order broken across migration",
        "MIG-6",
        "The destination writes the source's buffers in reverse.",
        """
-        return self.data[self.head :]
+        return self.data[self.head :][::-1]
""",
    ),
    Defect(
        "current buffer left behind",
        "MIG-6",
        "The rest of the message that was being written is lost by a migration.",
        """
-        return self.data[self.head :]
+        return self.data[self.head + self.current :]
""",
    ),
)
