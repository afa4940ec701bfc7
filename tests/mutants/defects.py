"""The table of seeded defects, rule by rule.

Each is a mistake that an implementer could make, a patch of a few lines, and what would go wrong in the real world.
A patch is one hunk: lines that begin with ``-`` are taken out, lines that begin with ``+`` are put in, the others must
be there.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Defect:
    """One defect of the device."""

    name: str
    rule: str
    """The rule it breaks first."""
    consequence: str
    """What goes wrong in the real world."""
    patch: str

    @property
    def old(self) -> str:
        """The lines that the patch changes, as they stand in the device."""
        return self._lines(" -")

    @property
    def new(self) -> str:
        """The same lines with the defect."""
        return self._lines(" +")

    def _lines(self, kinds: str) -> str:
        lines = self.patch.strip("\n").splitlines()
        return "".join(f"{line[1:]}\n" for line in lines if line[:1] in kinds)


DEFECTS: Final = (
    # Callbacks
    Defect(
        "client removed in its own callback",
        "CB-1",
        "A client that is disconnected while it is handed a message is sent it all the same: use after free.",
        """
-            if attachment.gone or attachment.leaving:
+            if attachment.leaving:
                 self._unref(frame, messages)
""",
    ),
    Defect(
        "destroyed inside a callback",
        "CB-1",
        "The virtual machine closes the device inside a callback, and the frames below go on using its clients.",
        """
         for attachment in reversed(self._clients.values()):
-            attachment.gone = True
             self._take_send_queue(attachment, messages)
""",
    ),
    Defect(
        "joins the message under way",
        "CB-2",
        "An agent that connects while a message goes round gets a message that was not meant for it.",
        """
-        for attachment in tuple(reversed(self._clients.values())):
+        served: set[Attachment[MessageT, ClientT]] = set()
+        while todo := [each for each in reversed(self._clients.values()) if each not in served]:
+            attachment = todo[0]
+            served.add(attachment)
             if not attachment.gone and not attachment.leaving:
""",
    ),
    Defect(
        "one who comes back is served twice",
        "CB-2",
        "A client that reconnects while a message goes round is taken for the one that left.",
        """
         for attachment in tuple(reversed(self._clients.values())):
-            if not attachment.gone and not attachment.leaving:
+            attachment = self._clients.get(attachment.client, attachment)
+            if not attachment.gone and not attachment.leaving:
""",
    ),
    Defect(
        "fan-out over the live list",
        "CB-3",
        "A client that disconnects inside a callback breaks the walk over the clients.",
        """
-        for attachment in tuple(reversed(self._clients.values())):
+        for attachment in reversed(self._clients.values()):
""",
    ),
    Defect(
        "use after client removal in fan-out",
        "CB-3",
        "A recipient that another recipient's callback removed is served from freed memory.",
        """
-            if not attachment.gone and not attachment.leaving:
+            if not attachment.leaving:
                 self._deliver(frame, attachment, messages)
""",
    ),
    Defect(
        "reference leaked by a send",
        "CB-4",
        "Every message that is sent stays in memory for ever.",
        """
         except BaseException as error:  # noqa: BLE001 - CB-5
             frame.fail(error)
-        self._unref(frame, messages)

     def _ref(self, frame: Frame, messages: Sequence[MessageT]) -> None:
""",
    ),
    Defect(
        "reference leaked when nobody listens",
        "CB-4",
        "Messages that are read while no client is there stay in memory for ever.",
        """
                 self._deliver(frame, attachment, messages)
-        self._unref(frame, messages)
+        if self._clients:
+            self._unref(frame, messages)
""",
    ),
    Defect(
        "refused message unreferenced twice",
        "CB-4",
        "A message that finds a full queue is freed while other clients still hold it.",
        """
                 self._unref(frame, messages)
                 if not attachment.gone:
                     self._call_remove_client(frame, attachment)
+                    self._unref(frame, messages)
""",
    ),
    Defect(
        "reference leaked by a removal",
        "CB-4",
        "The messages that waited for a client stay in memory when it disconnects.",
        """
         frame = self._enter()
-        self._unref(frame, messages)
         for _ in range(server_tokens):
             if self._destroyed:
                 break
             self._call_on_free_self_token(frame)
         self._write_and_read(frame)
""",
    ),
    Defect(
        "exception skips the other recipients",
        "CB-5",
        "One client's broken connection costs all other clients a message.",
        """
             if not attachment.gone and not attachment.leaving:
                 self._deliver(frame, attachment, messages)
+            if frame.raised is not None:
+                break
         self._unref(frame, messages)
""",
    ),
    Defect(
        "exception swallowed",
        "CB-5",
        "An error of the owner's code vanishes, and nobody ever learns why a message is missing.",
        """
         if self.raised is None:
-            self.raised = error
+            pass
""",
    ),
    Defect(
        "last exception instead of the first",
        "CB-5",
        "The owner is shown a follow-up error and looks for the cause in the wrong place.",
        """
-        if self.raised is None:
-            self.raised = error
+        self.raised = error
""",
    ),
    Defect(
        "reads on after an exception",
        "CB-5",
        "After an error the device goes on calling code that has just failed.",
        """
-        while self._wanted and frame.raised is None and self.wants_to_read():
+        while self._wanted and self.wants_to_read():
""",
    ),
    Defect(
        "exception forgets the rest",
        "CB-5",
        "An error in a callback leaves queued data that no timer looks after.",
        """
         if frame.raised is not None:
-            self._write_limited = True
-            self._decide_retry_timer()
             return True
""",
    ),
    Defect(
        "exception from write taken for a final error",
        "CB-5",
        "A passing hiccup of the port detaches it for good.",
        """
             raised = error
+            answer = -1
         self._express = ()
""",
    ),
    # Tokens, client to port
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
    # Self tokens, server to port
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
    # Buffers
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
    # Writing to the port
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
    # Reading from the port, fan-out
    Defect(
        "reads without credit",
        "RD-1",
        "Instead of back-pressure, messages pile up until the client is thrown out.",
        """
-            if not attachment.leaving and (attachment.send_tokens or not attachment.flow_control):
+            if not attachment.leaving:
                 return True
""",
    ),
    Defect(
        "does not read without clients",
        "RD-1",
        "Without a client the port fills up, and the first client gets data that is hours old.",
        """
         if not clients:
-            return True
+            return False
""",
    ),
    Defect(
        "leaving clients count as credit",
        "RD-1",
        "Messages are read for a client that is on its way out, and are lost.",
        """
-            if not attachment.leaving and (attachment.send_tokens or not attachment.flow_control):
+            if attachment.send_tokens or not attachment.flow_control:
                 return True
""",
    ),
    Defect(
        "credit of the beginning",
        "RD-1",
        "A pass goes on reading after the last token was spent or the last client left.",
        """
-        while self._wanted and frame.raised is None and self.wants_to_read():
+        may_read = self.wants_to_read()
+        while self._wanted and frame.raised is None and may_read and self._may_write:
""",
    ),
    Defect(
        "only the newest client is served",
        "RD-2",
        "Of several clients only one sees what the guest says.",
        """
                 self._deliver(frame, attachment, messages)
+                break
         self._unref(frame, messages)
""",
    ),
    Defect(
        "queue overtaken",
        "RD-3",
        "A message that is read while older ones wait arrives before them.",
        """
-        elif attachment.send_tokens and not attachment.send_queue:
+        elif attachment.send_tokens:
""",
    ),
    Defect(
        "newest message first",
        "RD-3",
        "Queued messages arrive in reverse.",
        """
-            messages = [queue.popleft() for _ in range(count)]
+            messages = [queue.pop() for _ in range(count)]
""",
    ),
    Defect(
        "decided before the reference was taken",
        "RD-3",
        "A message is queued although the client has just granted credit, and waits until it times out.",
        """
+        credit = attachment.send_tokens
         self._ref(frame, messages)
         while messages:
             if attachment.gone or attachment.leaving:
                 self._unref(frame, messages)
                 return
             if not attachment.flow_control:
                 count = len(messages)
                 self._send(frame, attachment, messages)
-            elif attachment.send_tokens and not attachment.send_queue:
+            elif credit and not attachment.send_queue:
""",
    ),
    Defect(
        "one message too many in the queue",
        "RD-4",
        "A client that does not answer holds more memory than its bound.",
        """
-        elif len(attachment.send_queue) >= attachment.max_send_queue_size:
+        elif len(attachment.send_queue) > attachment.max_send_queue_size:
""",
    ),
    Defect(
        "leaving after the callback",
        "RD-4",
        "Whatever the owner does on its way to removing a client still reaches that client.",
        """
-                self._set_leaving(attachment)
                 self._unref(frame, messages)
                 if not attachment.gone:
                     self._call_remove_client(frame, attachment)
+                self._set_leaving(attachment)
""",
    ),
    Defect(
        "buffer for a leaving client",
        "RD-4",
        "A client that is being thrown out goes on sending.",
        """
-        if attachment.leaving or self._sealed:
+        if self._sealed:
             return False
""",
    ),
    Defect(
        "tokens for a leaving client",
        "RD-4",
        "A connection that is being closed is sent one more message.",
        """
-        if attachment.leaving or not tokens:
+        if not tokens:
             return None
""",
    ),
    Defect(
        "leaving forgotten by a reset",
        "RD-4",
        "A client whose removal was asked for comes back to life when the guest restarts.",
        """
             attachment.held = 0
+            attachment.leaving = False
             if attachment.flow_control:
""",
    ),
    Defect(
        "leaving client grants",
        "RD-4",
        "A client that is being thrown out still makes the device read and send.",
        """
         attachment.send_tokens = send_tokens
-        if attachment.leaving:
-            return
         if attachment.pushing:
""",
    ),
    Defect(
        "client leaves without a word",
        "RD-4",
        "A client with a full queue is never disconnected, and gets nothing any more.",
        """
                 if not attachment.gone:
-                    self._call_remove_client(frame, attachment)
+                    pass
                 return
""",
    ),
    Defect(
        "wait timer not armed",
        "RD-5",
        "A client that never grants tokens keeps its queue for ever.",
        """
                 attachment.send_queue.extend(messages[:count])
-                if not attachment.wait_timer_armed:
+                if attachment.wait_timer_armed:
                     self._start_wait_timer(attachment)
""",
    ),
    Defect(
        "wait timer restarted by every message",
        "RD-5",
        "A client that never answers is never thrown out while the guest talks.",
        """
                 attachment.send_queue.extend(messages[:count])
-                if not attachment.wait_timer_armed:
-                    self._start_wait_timer(attachment)
+                self._start_wait_timer(attachment)
""",
    ),
    Defect(
        "wait timer not disarmed",
        "RD-5",
        "A client that has got all its messages is thrown out 30 seconds later.",
        """
-            else:
-                self._disarm_wait_timer(attachment)
             self._send(frame, attachment, messages)
         attachment.pushing = False
""",
    ),
    Defect(
        "wait timer in the wrong unit",
        "RD-5",
        "A client is thrown out after 30 milliseconds of silence.",
        """
-WAIT_DELAY_MS: Final = 30_000
+WAIT_DELAY_MS: Final = 30
""",
    ),
    Defect(
        "wait timer left armed by a removal",
        "RD-5",
        "The timer of a client that has gone fires into its successor.",
        """
         attachment.send_queue.clear()
-        self._disarm_wait_timer(attachment)
""",
    ),
    Defect(
        "messages for free",
        "RD-6",
        "A client is sent more than it asked for.",
        """
-                attachment.send_tokens -= count
                 self._send(frame, attachment, messages[:count])
""",
    ),
    Defect(
        "push for free",
        "RD-6",
        "One granted token empties a whole queue into a client that is not ready.",
        """
             messages = [queue.popleft() for _ in range(count)]
-            attachment.send_tokens -= count
             if queue:
""",
    ),
    Defect(
        "set adds",
        "RD-7",
        "A client that lowers its grant is sent more instead of less.",
        """
-        self._grant(self._attachment(where, client), tokens)
+        attachment = self._attachment(where, client)
+        self._grant(attachment, attachment.send_tokens + tokens)
""",
    ),
    Defect(
        "push inside a push",
        "RD-7",
        "A grant inside a send callback sends the next message before this one has gone.",
        """
-        if attachment.pushing:
-            self._wanted = self._read_asked = True
-            return
         frame = self._enter()
         self._push(frame, attachment)
""",
    ),
    Defect(
        "grant of nothing reads",
        "RD-7",
        "Empty grants make the device ask the port again and again.",
        """
-        if tokens:
-            self._grant(attachment, attachment.send_tokens + tokens)
+        self._grant(attachment, attachment.send_tokens + tokens)
""",
    ),
    Defect(
        "reads before it pushes",
        "RD-7",
        "What is read after a grant gets ahead of what waited for it.",
        """
-        self._push(frame, attachment)
-        if not self._destroyed:
-            self._read_pass(frame)
+        self._read_pass(frame)
+        self._push(frame, attachment)
""",
    ),
    Defect(
        "nested read lost",
        "RD-8",
        "A grant that comes inside a read callback is forgotten, and the guest's data waits.",
        """
-        self._wanted = self._read_asked = True
         if self._reading:
             return False
+        self._wanted = self._read_asked = True
         if frame.raised is not None:
""",
    ),
    Defect(
        "two readers",
        "RD-8",
        "A nested read hands out the next message before this one has reached everybody.",
        """
         self._wanted = self._read_asked = True
-        if self._reading:
-            return False
         if frame.raised is not None:
""",
    ),
    Defect(
        "overtaken message lost",
        "RD-8",
        "A message that was read when the virtual machine was paused is lost.",
        """
             if self._running:
                 self._active = True
-            self._fan_out(frame, messages)
+                self._fan_out(frame, messages)
+            else:
+                self._unref(frame, messages)
""",
    ),
    Defect(
        "unknown client ignored",
        "RD-9",
        "An owner that mixes up its clients is never told.",
        """
-        attachment = self._attachment("client_remove", client)
+        if client not in self._clients:
+            return
+        attachment = self._attachment("client_remove", client)
""",
    ),
    # Life cycle
    Defect(
        "created running",
        "LC-1",
        "The device touches its port before the virtual machine has started.",
        """
         self._destroyed = False
-        self._running = False
+        self._running = True
         self._active = False
         self._port: Port | None = port
""",
    ),
    Defect(
        "stop drops the queue",
        "LC-2",
        "Pausing the virtual machine loses what was on its way.",
        """
         self._check_alive("stop")
         self._stop()
+        self._queue.clear()
""",
    ),
    Defect(
        "start makes one round only",
        "LC-2",
        "What the first messages made the owner send waits until something else happens.",
        """
             if (
-                not frame.progress
+                True
                 or write_limited
                 or read_limited
""",
    ),
    Defect(
        "wakeup does not write",
        "LC-2",
        "A port that can take bytes again waits for them in vain.",
        """
         self._port_owes_wakeup = self._port_blocked = False
         if self._running:
             frame = self._enter()
-            self._write_and_read(frame)
+            self._read_pass(frame)
             self._leave(frame)
""",
    ),
    Defect(
        "reset does not detach",
        "LC-3",
        "After a guest's restart the device still holds the port of the last run.",
        """
         self._epoch += 1
         self._stop()
-        self._attach(None)
         awaiting = self._awaiting
""",
    ),
    Defect(
        "reset tells nobody",
        "LC-3",
        "Clients never learn that a reset returned their tokens, and stop sending.",
        """
             if not attachment.gone:
-                frame.fail(self._announce(attachment))
+                attachment.tokens += attachment.freed
+                attachment.freed = 0
""",
    ),
    Defect(
        "reset keeps the send queue",
        "LC-3",
        "After a restart clients get messages of the run before.",
        """
         for attachment in attachments:
-            self._take_send_queue(attachment, messages)
             attachment.held = 0
""",
    ),
    Defect(
        "held buffers survive a reset",
        "LC-3",
        "Half a message from before a restart is written after it, and paid back twice.",
        """
-        if attachment is None or attachment.gone or self._epoch != self.device.epoch:
+        if attachment is None or attachment.gone:
""",
    ),
    Defect(
        "reset keeps the grants of an awaited client",
        "LC-3",
        "A client that was never restored is sent messages it did not ask for.",
        """
             if attachment is awaiting:
-                attachment.send_tokens = 0
+                pass
""",
    ),
    Defect(
        "started inside a reset",
        "LC-3",
        "A device without a port counts as running after a reset.",
        """
-        if not self._destroyed and self._port is None:
-            self._stop()
""",
    ),
    Defect(
        "detached device keeps its timer",
        "LC-4",
        "A timer fires for a port that is not there.",
        """
         if port is None:
-            self._disarm_retry_timer()
+            pass
         else:
""",
    ),
    Defect(
        "port shared by two devices",
        "LC-4",
        "Two devices write to one serial line, and their bytes mix.",
        """
-        if port.device is not None and port.device is not device:
+        if port.device is not None and device is None:
""",
    ),
    Defect(
        "old port stays taken",
        "LC-4",
        "A port that was given up can never be used by another device.",
        """
-        if self._port is not None:
-            self._port.device = None
         self._port = port
""",
    ),
    Defect(
        "partly written buffer lost with its port",
        "LC-4",
        "A new port does not get the rest of the message that the old one began.",
        """
         self._attach(port)
+        if self._queue.current and not self._queue.offered:
+            self._queue.drop_first(1)
         if port is not None and self._running:
""",
    ),
    Defect(
        "destroy forgets its messages",
        "LC-5",
        "Messages that waited for clients stay in memory when the device ends.",
        """
         self._clients.clear()
         frame = self._enter()
-        self._unref(frame, messages)
         self._leave(frame)
""",
    ),
    Defect(
        "callback after destroy",
        "LC-5",
        "The owner is called back about a device that it has just destroyed.",
        """
         self._clients.clear()
         frame = self._enter()
+        self._call_on_free_self_token(frame)
         self._unref(frame, messages)
""",
    ),
    Defect(
        "destroyed device still answers",
        "LC-5",
        "Code that uses a device after its end goes unnoticed until it crashes elsewhere.",
        """
-        self._check_alive("client_exists")
         return client in self._clients
""",
    ),
    Defect(
        "active device awaits",
        "LC-6",
        "Migration data is restored over a stream that has already begun.",
        """
-            self._clients or self._active or self._queue.current or self._writing or self._reading
+            self._clients or self._queue.current or self._writing or self._reading
""",
    ),
    Defect(
        "awaits over half a message",
        "LC-6",
        "Restored data is written into the middle of another message.",
        """
-            self._clients or self._active or self._queue.current or self._writing or self._reading
+            self._clients or self._active or self._writing or self._reading
""",
    ),
    Defect(
        "awaits inside a port write",
        "LC-6",
        "Migration data is restored while the port is still taking bytes that came before it.",
        """
-            self._clients or self._active or self._queue.current or self._writing or self._reading
+            self._clients or self._active or self._queue.current or self._reading
""",
    ),
    Defect(
        "awaits inside a read",
        "LC-6",
        "A message of the old run reaches a client that was to be restored first.",
        """
-            self._clients or self._active or self._queue.current or self._writing or self._reading
+            self._clients or self._active or self._queue.current or self._writing
""",
    ),
    Defect(
        "client joins a sealed device",
        "LC-6",
        "A client connects to a source whose state has already left for the destination.",
        """
-        if self._sealed or self._awaiting is not None:
+        if self._awaiting is not None:
             return False
""",
    ),
    Defect(
        "starving window accepted",
        "LC-6",
        "A client whose window is below the interval never hears of its tokens.",
        """
-        if do_flow_control and 0 < num_client_tokens < self._interval:
+        if do_flow_control and 0 < num_client_tokens < self._interval - 1:
""",
    ),
    Defect(
        "delisted last",
        "LC-7",
        "A client that is being removed is still found by the callbacks of its removal.",
        """
-        del self._clients[client]
         attachment.gone = True
         messages: list[MessageT] = []
         self._take_send_queue(attachment, messages)
+        for message in messages:
+            self._callbacks.unref_msg_to_client(message)
+        messages.clear()
+        self._clients.pop(client, None)
""",
    ),
    Defect(
        "removal does not write and read",
        "LC-7",
        "The client that held everybody up leaves, and still nobody gets anything.",
        """
             self._call_on_free_self_token(frame)
-        self._write_and_read(frame)
         self._leave(frame)

     def client_exists(self, client: ClientT) -> bool:
""",
    ),
    Defect(
        "seal outlives its client",
        "LC-7",
        "After a migration that was called off no client can connect any more.",
        """
         if self._sealed:
-            self._sealed = False
             server_tokens = self._queue.drop_first(self._sealed_buffers).count(SERVER)
""",
    ),
    Defect(
        "active while stopped",
        "LC-8",
        "A device that was stopped inside a port write refuses to be a destination.",
        """
             frame.progress = True
-            self._active = self._running
+            self._active = True
""",
    ),
    Defect(
        "active after a stop",
        "LC-8",
        "A device that was stopped refuses to be a destination, although it is as good as new.",
        """
         self._running = False
-        self._active = False
         self._disarm_retry_timer()
""",
    ),
    Defect(
        "reading does not make active",
        "LC-8",
        "A device that has read awaits migration data as if nothing had happened.",
        """
             frame.progress = True
-            if self._running:
-                self._active = True
             self._fan_out(frame, messages)
""",
    ),
    Defect(
        "timer that is not armed fires",
        "LC-9",
        "A timer that was cancelled too late makes the device write.",
        """
-        if self._retry_timer_armed:
+        if not self._destroyed:
             self._retry_timer_armed = False
             self._wakeup()
""",
    ),
    Defect(
        "late wait timer",
        "LC-9",
        "A client is thrown out by a timer that was cancelled a moment ago.",
        """
-        if attachment is not None and attachment.wait_timer_armed:
+        if attachment is not None:
             attachment.wait_timer_armed = False
""",
    ),
    # Migration
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
"""All defects, in the order of the rules."""
