"""Proofs about the specification: every invariant, for every state and every nested call.

Theory of operation
===================
The functions of `chardev_spec` that the runner executes are run on symbolic values (`values`), over tables of any
number of rows (`tables`, `state`), path by path (`explore`).
They are cut at callbacks and at loop heads (`cuts`); there the invariants (`templates`) and what suspended callers rely
on (`rely`) are proved, and the state becomes an arbitrary one that satisfies them.
`functions` gathers the verdicts of one function, `prover` those of all, `command` prints them.

`mutation` makes mutants of the specification, to see what the proofs are worth; it imports no solver.
"""
