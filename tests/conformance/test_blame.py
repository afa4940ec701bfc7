"""The rules that a crash is blamed on by its kind."""

import pytest

from chardev_conformance.blame import of_crash


@pytest.mark.parametrize(
    ("symptom", "function", "rules"),
    [
        ("crash, heap-use-after-free", "start", ["CB-1"]),
        ("crash, heap-use-after-free", "destroy", ["CB-1"]),
        ("crash, heap-use-after-free", "marshaller_unref", []),
        ("crash, heap-buffer-overflow", "write_buffer_get", ["BUF-1"]),
        ("crash, heap-buffer-overflow", "restore", ["MIG-5"]),
        ("crash, SIGSEGV", "start", []),
        ("leak", "destroy", []),
    ],
)
def test_a_crash_is_blamed_by_its_kind(symptom: str, function: str, rules: list[str]) -> None:
    """Whoever reads a verdict would begin with the rules of the call, not with what was gone or too small."""
    assert of_crash(symptom, function) == rules
