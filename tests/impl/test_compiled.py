"""The device that is tested is the one that was asked for: compiled with CHARDEV_COMPILED=1, else plain Python."""

import os
from pathlib import Path

import chardev.device
import chardev.write_queue
import chardev.writing


def test_the_build_is_the_one_that_was_asked_for() -> None:
    """`make test-compiled` would test plain Python, and nobody would know."""
    suffix = ".so" if os.environ.get("CHARDEV_COMPILED") == "1" else ".py"
    for module in (chardev.device, chardev.write_queue, chardev.writing):
        assert module.__file__ is not None
        assert Path(module.__file__).suffix == suffix
