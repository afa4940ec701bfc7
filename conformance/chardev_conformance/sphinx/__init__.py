"""A Sphinx extension: documentation made from the contract's own text, which runs, and is proved.

It gives a project's documentation the domain `chardev`, with a directive and a role for each kind of thing:
``rule``, ``function``, ``invariant``, ``event``, ``quirk``, ``profile`` and ``error``.
A name that the contract does not have is a warning.

Settings, all optional::

    extensions = ["chardev_conformance.sphinx"]
    chardev_pages = "contract"  # where to write pages for everything, below the source folder
    chardev_examples = Path("examples")  # trace files that the pages run and draw
    chardev_evidence = [...]  # tests, vectors and mutants (`evidence.Evidence`)
    chardev_proof_report = Path("proofs.json")  # what `chardev prove --json` printed
    chardev_packages = [Path("src/mine")]  # packages built on the device, whose modules cite rules
    chardev_stepper = "stepper"  # the page that steps through traces

Without ``chardev_pages`` nothing is written; then the directives serve in pages of one's own, and the roles lead there,
or by intersphinx to another project's.
"""

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from chardev_conformance.sphinx.docstrings import link_docstring
from chardev_conformance.sphinx.domain import ContractDomain
from chardev_conformance.sphinx.generate import write_pages


def setup(app: Sphinx) -> ExtensionMetadata:
    """Sphinx's entry point."""
    app.add_config_value("chardev_pages", None, "env", (str,))
    app.add_config_value("chardev_examples", None, "env")
    app.add_config_value("chardev_evidence", [], "env", (list,))
    app.add_config_value("chardev_proof_report", None, "env")
    app.add_config_value("chardev_packages", [], "env", (list,))
    app.add_config_value("chardev_stepper", None, "env", (str,))
    app.add_domain(ContractDomain)
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-docstring", link_docstring)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
