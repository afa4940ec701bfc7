"""Defects of writing to the port (WR)."""

from typing import Final

from tests.mutants.defects.defect import Defect

WRITING: Final = (
    Defect(
        "double write after stop",
        "WR-1",
        "A pause inside a port write makes the guest see the same bytes twice.",
        """
+        if not self._running:
+            taken = 0
         completed = queue.take(taken)
""",
    ),
    Defect(
        "rest of a buffer begins a byte early",
        "WR-1",
        "After each partial write one byte arrives twice.",
        """
-            self.data[last] = memoryview(self.data[last])[taken - start :]
+            self.data[last] = memoryview(self.data[last])[taken - start - 1 :]
""",
    ),
    Defect(
        "order broken by a restore",
        "WR-1",
        "After a migration what the client sent later arrives first.",
        """
-            self._queue.restore_current(data, payer)
+            self._queue.append(data, payer)
""",
    ),
    Defect(
        "writes on after a stop",
        "WR-2",
        "A virtual machine that was paused in a callback still gets data.",
        """
-            if not self._may_write or not queue.payers:
+            if self._port is None or not queue.payers:
                 return False
""",
    ),
    Defect(
        "writes while awaiting",
        "WR-2",
        "New data overtakes what migration is about to bring.",
        """
-            and self._awaiting is None
             and not self._sealed
""",
    ),
    Defect(
        "prices returned twice after a reset",
        "WR-3",
        "A reset inside a callback gives the server self tokens twice.",
        """
         for _ in range(count):
-            if self._epoch != epoch:
-                return
             self._self_tokens += 1
""",
    ),
    Defect(
        "second writer while prices return",
        "WR-3",
        "A callback that sends writes before the buffers that came first are paid for.",
        """
         elif completed:
+            self._writing = False
             self._return_prices(frame, completed)
         return taken > 0
""",
    ),
    Defect(
        "retry too early",
        "WR-4",
        "A port that is full is asked ten times as often, at the cost of the processor.",
        """
-RETRY_DELAY_MS: Final = 100
+RETRY_DELAY_MS: Final = 10
""",
    ),
    Defect(
        "timer although the port will announce",
        "WR-4",
        "A full port that will say when it can take more is polled all the time.",
        """
-            and (self._write_limited or not self._port_owes_wakeup)
         )
""",
    ),
    Defect(
        "timer not disarmed",
        "WR-4",
        "An idle device wakes up for nothing.",
        """
         else:
-            self._disarm_retry_timer()
             return
""",
    ),
    Defect(
        "timer not restarted",
        "WR-4",
        "A retry comes too soon after the latest refusal, or later than what a limit left behind allows.",
        """
+        if self._retry_timer_armed:
+            return
         self._retry_timer_armed = True
         self._timers.start_retry_timer(delay)
""",
    ),
    Defect(
        "lost nested wakeup",
        "WR-5",
        "A port that announces writability while it is being written to is not written to again.",
        """
-        self._write_asked = True
         if self._writing:
             return False
+        self._write_asked = True
         if frame.raised is not None:
""",
    ),
    Defect(
        "endless repetition",
        "WR-5",
        "A port that always asks again keeps the server in one call for ever.",
        """
-                if repeated:
-                    return True
                 repeated = probing = True
""",
    ),
    Defect(
        "endless reading",
        "WR-5",
        "A read callback that always asks again keeps the server in one call for ever.",
        """
-                if repeated:
-                    return True
                 repeated = True
                 continue
""",
    ),
    Defect(
        "start never ends",
        "WR-5",
        "Starting a device that has nothing to do freezes the server.",
        """
             if (
-                not frame.progress
-                or write_limited
+                write_limited
                 or read_limited
""",
    ),
    Defect(
        "two writers",
        "WR-5",
        "A nested wakeup writes the bytes that the outer write is just writing.",
        """
-        if self._writing:
-            return False
         if frame.raised is not None:
             self._write_limited = True
""",
    ),
    Defect(
        "one move over the limit",
        "WR-5",
        "A call takes longer than the limit that it was given.",
        """
-            if frame.raised is not None or frame.moved >= self._moves_per_call:
+            if frame.raised is not None or frame.moved > self._moves_per_call:
                 return True
""",
    ),
    Defect(
        "limit waits like a refusal",
        "WR-5",
        "After each limit the data waits for 100 ms though the port could take it.",
        """
-            delay = 0 if self._write_limited else RETRY_DELAY_MS
+            delay = RETRY_DELAY_MS
""",
    ),
    Defect(
        "request before the write counts as nested",
        "WR-5",
        "Each write to a full port is made twice.",
        """
         pieces, size = queue.offer(entries, BATCH_BYTES)
-        self._write_asked = False
         answer = PORT_NOT_NOW
""",
    ),
    Defect(
        "retry timer forgotten after reset_dev_instance",
        "WR-6",
        "The new port took nothing, nobody will ever try again, and the guest hangs.",
        """
         self._port_epoch += 1
-        self._port_owes_wakeup = False
         if port is None:
""",
    ),
    Defect(
        "stuck after an awaited client left",
        "LC-7",
        "The client that was to be restored leaves, and the device never writes again.",
        """
         self._queue.drop_detached()
-        self._refresh()
         frame = self._enter()
""",
    ),
    Defect(
        "new port is not written to",
        "LC-4",
        "What waits for a replaced port waits until somebody else sends something.",
        """
         if port is not None and self._running:
             frame = self._enter()
-            self._write_and_read(frame)
+            self._read_pass(frame)
             self._leave(frame)
""",
    ),
    Defect(
        "torn message after a removal",
        "WR-7",
        "The guest gets half a message when its client disconnects, and takes the next one for the rest.",
        """
-        kept = max(self.offered, 1 if self.current else 0)
+        kept = self.offered
""",
    ),
    Defect(
        "offered buffers dropped under the port",
        "WR-7",
        "A client that disconnects inside a port write takes buffers with it that the port has taken.",
        """
-        kept = max(self.offered, 1 if self.current else 0)
+        kept = 1 if self.current else 0
""",
    ),
    Defect(
        "queued buffers outlive their client",
        "WR-7",
        "What a client queued is written after it has gone, in the name of nobody.",
        """
-        self._queue.drop_detached()
         self._refresh()
         frame = self._enter()
""",
    ),
    Defect(
        "untouched buffers of nobody written",
        "WR-7",
        "Buffers that were offered and not taken are written after their client has gone.",
        """
             self.has_orphans = False
-            self._drop_orphans(offered_rest)
""",
    ),
    Defect(
        "answer counts after a reset",
        "WR-7",
        "Bytes that were taken before a reset are subtracted from what was queued after it.",
        """
-        if self._epoch != epoch:
-            return False
         return self._account(frame, port, port_epoch, size, answer)
""",
    ),
    Defect(
        "impossible answer believed",
        "WR-8",
        "A broken driver that claims more bytes than it was offered is never noticed.",
        """
+        answer = min(answer, size)
         taken = answer if 0 <= answer <= size else PORT_NOT_NOW
""",
    ),
    Defect(
        "replaced port blamed",
        "WR-8",
        "The last error of an unplugged port detaches the new one.",
        """
-        if failed and same_port:
+        if failed and self._port is not None:
""",
    ),
    Defect(
        "failed port stays",
        "WR-8",
        "A port that was unplugged is written to for ever, at full speed.",
        """
         \"\"\"Detach a port that failed, then say so (WR-8).\"\"\"
-        self._attach(None)
         if self._port_failed is not None:
""",
    ),
    Defect(
        "failed port not reported",
        "WR-8",
        "Nobody learns that the port is gone, so nobody brings a new one.",
        """
         self._attach(None)
-        if self._port_failed is not None:
+        if self._port_failed is not None and self._clients:
""",
    ),
    Defect(
        "pending data lost with a failed port",
        "WR-8",
        "What a serial line had not yet taken is lost when its adapter is replugged.",
        """
         self._attach(None)
+        self._queue.clear()
         if self._port_failed is not None:
""",
    ),
)
