"""Send a command to an instrument on a shared line and print its answer: ask.py PATH COMMAND."""

import socket
import sys


def ask(path: str, command: str, seconds: float = 5.0) -> str:
    """Return the first line that the instrument says after the command."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(seconds)
        line.connect(path)
        line.sendall(command.encode() + b"\n")
        with line.makefile("rb") as answers:
            return answers.readline().decode().strip()


if __name__ == "__main__":
    sys.stdout.write(ask(sys.argv[1], sys.argv[2]) + "\n")
