"""Defects of callbacks (CB)."""

from typing import Final

from tests.mutants.defects.defect import Defect

CALLBACKS: Final = (
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
)
