"""The lab is interrupted, by a guest that is a program of a few lines."""

import subprocess
import sys
from pathlib import Path
from typing import Final

GUEST: Final = """
import os, signal, socket, sys, time

control = socket.socket(socket.AF_UNIX)
control.connect(f"{sys.argv[1]}/control")
control.sendall(b'{"do": "hello"}\\n')
control.recv(100)
os.kill(os.getppid(), signal.SIGINT)
time.sleep(60)
"""

HOST: Final = f"""
import sys
from pathlib import Path
from tests.lab import __main__ as lab

lab.check_tools = lambda: None
lab.kernel_image = lambda folder: folder / "image"
lab.command = lambda image, sockets, guest: [sys.executable, "-c", {GUEST!r}, str(sockets)]
lab.FOLDER = Path(sys.argv[1])
sys.exit(lab.main([]))
"""


def test_an_interrupt_is_one_line(tmp_path: Path) -> None:
    """Whoever stops the lab would get tracebacks, and no exit status of ours."""
    command = [sys.executable, "-c", HOST, str(tmp_path)]
    folder = Path(__file__).parents[2]
    host = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (host.returncode, host.stderr) == (3, "lab: interrupted\n")
