"""Configuration of the site; `make docs` builds it with every warning as an error."""

import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "chardev"
author = "the chardev authors"
project_copyright = f"{author}, Apache-2.0"
release = metadata.version("chardev")
version = release

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "contract_rules",
    "release_quirks",
    "trace_tables",
]
exclude_patterns = ["_build"]

# Docstrings quote code in single backticks, as they are read in an editor; nothing is looked up.
default_role = "literal"

html_theme = "furo"
html_title = f"chardev {release}"
# The site is read from a disk as well as from a server: no source copies, no generator's notice.
html_copy_source = False
html_show_sphinx = False

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "undoc-members": True, "show-inheritance": True}
python_use_unqualified_type_names = True

nitpicky = True
# The build fetches nothing, so there is no inventory of Python's own documentation to link to.
nitpick_ignore_regex = [
    ("py:.*", rf"({'|'.join(sorted(sys.stdlib_module_names))})(\..+)?"),
    # Type aliases are documented as data and referred to as classes.
    ("py:class", "Bytes|Callback"),
    # What the owner of a device gets from it and never makes.
    ("py:class", "DeviceState"),
    # A dataclass field with a default factory has no default that can be parsed.
    ("py:class", r"dict\[(int|str)"),
    # Hypothesis has no inventory here either.
    ("py:class", r"hypothesis\..+"),
    # The union of a number and some words is cut at its commas.
    ("py:class", r"int \| ~typing\.Literal\['all'"),
    # What the standard library calls otherwise than where it comes from, and a part of the lockstep's own.
    ("py:class", r"GeneratorType|chardev_conformance\.lockstep\._Environment"),
    # Type variables are named in signatures and documented nowhere.
    ("py:.*", r"(.+\.)?(Row|Result|Function|[A-Z][a-z]+T(_contra)?)"),
]
