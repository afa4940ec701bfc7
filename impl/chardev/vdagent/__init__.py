"""The guest agent on the device: `AgentDevice`, and the wire format of the agent's messages (DEV-2).

Nothing here does I/O: the port, the timers and the connection to the client are the owner's.
"""

from .chunks import CLIENT_PORT, PART_MAX, SERVER_PORT, BadChunkError, ChunkReader, chunk
from .device import CLIENT_WINDOW, AgentDevice, AgentOwner
from .filtering import MessageFilter
from .messages import BadAgentMessageError, MessageHeader, MessageType, message, parts

__all__ = [
    "CLIENT_PORT",
    "CLIENT_WINDOW",
    "PART_MAX",
    "SERVER_PORT",
    "AgentDevice",
    "AgentOwner",
    "BadAgentMessageError",
    "BadChunkError",
    "ChunkReader",
    "MessageFilter",
    "MessageHeader",
    "MessageType",
    "chunk",
    "message",
    "parts",
]
