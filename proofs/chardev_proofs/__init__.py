"""Proofs about the specification.

Not there yet: no invariant is proved, and nothing here imports a solver.
What is there is the ground that the proofs will stand on: every action of `chardev_spec` is written
in a subset of Python that can be run on symbolic values, and `check_source` refuses what leaves it.
Until the proofs exist, the invariants are checked by running them, at every callback point.
"""

from chardev_spec.lint import Finding, check_source

__all__ = ["Finding", "check_source"]
