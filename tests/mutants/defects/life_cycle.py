"""Defects of the life cycle (LC)."""

from typing import Final

from tests.mutants.defects.defect import Defect

LIFE_CYCLE: Final = (
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
)
