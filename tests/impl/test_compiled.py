"""The device that is tested is the one that was asked for: compiled with CHARDEV_COMPILED=1, else plain Python."""

from __future__ import annotations

import importlib
import os
import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chardev

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.impl.conftest import World


def test_the_build_is_the_one_that_was_asked_for() -> None:
    """`make test-compiled` would test plain Python, and nobody would know."""
    suffix = ".so" if os.environ.get("CHARDEV_COMPILED") == "1" else ".py"
    hook = runpy.run_path(str(Path(__file__).parents[2] / "tools/compile_device.py"))
    for name in hook["MODULES"]:
        assert Path(str(importlib.import_module(f"chardev.{name}").__file__)).suffix == suffix


def test_a_derived_class_is_called(make_world: Callable[..., World]) -> None:
    """Whoever derives from the device could not do so from the compiled one, or would not be called."""
    world = make_world()
    world.dev.destroy()
    calls: list[bool] = []

    class Derived(chardev.Device[Any, Any]):
        def _write_in_vain(self) -> None:
            calls.append(self.running)
            super()._write_in_vain()

    device = Derived(world, 1, 0, world, world)
    device.client_add("a", True, 1, 2, 0)
    device.write("a", b"x")
    assert calls == [False]
    assert device.pending_buffers == 1
