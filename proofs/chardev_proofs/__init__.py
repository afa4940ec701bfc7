"""Proofs about the specification.

Under construction, and nothing rests on it yet: no command and no page claims that an invariant is proved.
Every action of `chardev_spec` is written in a subset of Python that can be run on symbolic values, and
`check_source` refuses what leaves it.
The modules here run that text on symbolic values, cut it at its callbacks, and put the invariants to a solver;
`mutation` makes defective copies of it, to show what a check of the specification is worth.
Until the proofs are complete and tested themselves, the invariants are checked by running them, at every callback
point.
"""

from chardev_spec.lint import Finding, check_source

__all__ = ["Finding", "check_source"]
