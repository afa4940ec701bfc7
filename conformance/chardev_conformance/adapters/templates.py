"""Templates for adapters: what `chardev adapter new` writes."""

from pathlib import Path
from typing import Final

LANGUAGES: Final = ("python", "c", "rust")

FILES: Final = Path(__file__).parent / "template_files"

SUFFIX: Final = ".template"
"""Keeps a template apart from the modules of this package; the copy is called without it."""


class TemplateError(Exception):
    """A template that cannot be written; the message says why."""


def write_template(language: str, directory: Path) -> str:
    """Write the template for a language; what to do next."""
    source = FILES / language
    copies = {
        directory / str(file.relative_to(source)).removesuffix(SUFFIX): file
        for file in sorted(source.rglob("*"))
        if file.is_file()
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for copy in copies:
            if copy.exists():
                raise TemplateError(f"{copy}: exists already; nothing is overwritten")
        for copy, file in copies.items():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    except OSError as error:
        raise TemplateError(f"{directory}: cannot be written: {error.strerror}") from None
    return NEXT[language].format(directory=directory)


NEXT: Final = {
    "python": "fill in {directory}/my_device.py, then: PYTHONPATH={directory} chardev check python:my_device:Device",
    "c": "fill in {directory}/my_device.c, then: make -C {directory} && chardev check c:{directory}/libdevice.so",
    "rust": (
        "fill in {directory}/src/device.rs, then: cargo build --release --manifest-path {directory}/Cargo.toml "
        "&& chardev check stdio:{directory}/target/release/my-device"
    ),
}
"""What to do with a template, by language."""
