"""Defects of reading from the port, fan-out included (RD)."""

from typing import Final

from tests.mutants.defects.defect import Defect

READING: Final = (
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
)
