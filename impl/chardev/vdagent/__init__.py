"""The guest agent on the device: `AgentDevice`, and the wire format of the agent's messages (DEV-2).

Nothing here does I/O: the port, the timers and the connection to the client are the owner's.
"""

from .chunks import CLIENT_PORT, PART_MAX, SERVER_PORT, BadChunk, ChunkReader, chunk
from .device import CLIENT_WINDOW, AgentDevice, AgentOwner
from .filtering import MessageFilter
from .messages import BadAgentMessage, MessageHeader, MessageType, message, parts

__all__ = [
    "CLIENT_PORT",
    "CLIENT_WINDOW",
    "PART_MAX",
    "SERVER_PORT",
    "AgentDevice",
    "AgentOwner",
    "BadAgentMessage",
    "BadChunk",
    "ChunkReader",
    "MessageFilter",
    "MessageHeader",
    "MessageType",
    "chunk",
    "message",
    "parts",
]
