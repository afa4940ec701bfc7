"""Recorded traffic, judged from the outside: packet captures of SPICE sessions, and QEMU's trace logs.

Theory of operation
===================
A packet capture (`capture`) becomes connections: what went either way, in the order in which it passed.
A connection of the SPICE protocol (`messages`) becomes messages; those of the agent and of port channels are judged
(`sessions`).
A trace log (`qemu_log`) tells how much went between a device and its port, and is judged by that.

Whoever answers has first heard: what a message depends on has passed every point of the wire before it.
So a message that needs what has not passed yet is wrong, wherever the capture was made.
The converse is never concluded: what is owed may still be on its way, or in a buffer.
"""
