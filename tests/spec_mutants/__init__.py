"""Machine-made mutants of the specification: how well random calls notice them.

`chardev_proofs.mutation` makes them, `scenarios` makes the calls, `search` looks for one mutant, `judgements` says of
each that nothing notices why that is right, and ``python -m tests.spec_mutants`` prints what became of all of them.
"""
