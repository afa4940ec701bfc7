"""Configuration of the site; `make docs` builds it with every warning as an error."""

import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))

from house_evidence import evidence  # noqa: E402 - found on the path that the line above makes

project = "chardev"
author = "the chardev authors"
project_copyright = f"{author}, Apache-2.0"
release = metadata.version("chardev")
version = release

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "chardev_conformance.sphinx",
    "contract_rules",
    "stepper_page",
    "local_links",
    "trace_tables",
]
exclude_patterns = ["_build"]

# Pages for everything in the contract, made from the specification, the tests, and the last report of the proofs.
chardev_pages = "contract"
chardev_examples = HERE / "examples/contract"
chardev_evidence = evidence(HERE.parent)
chardev_packages = [HERE.parent / "impl/chardev"]
chardev_stepper = "stepper"
if (report := HERE / "_build/proofs.json").exists():
    chardev_proof_report = report

# Docstrings quote code in single backticks, as they are read in an editor; nothing is looked up.
default_role = "literal"

html_theme = "furo"
html_title = f"chardev {release}"
# The site is read from a disk as well as from a server: no source copies, no generator's notice.
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["contract.css"]
html_js_files = [("reach.js", {"defer": "defer"})]
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
    ("py:class", r"GeneratorType|chardev_conformance\.choices\.Choices"),
    # Type variables are named in signatures and documented nowhere.
    ("py:.*", r"(.+\.)?(Row|Result|Function|[A-Z][a-z]+T(_contra)?)"),
]
