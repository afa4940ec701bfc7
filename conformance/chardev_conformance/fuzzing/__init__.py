"""Guided campaigns: `chardev fuzz`.

Theory of operation
===================
A campaign is a numbered list of *orders*; each says how one scenario is made: at random, or from one that is in the
*corpus*, by structure-aware changes (`mutate`).
`execute` performs an order and tells what came up: a finding, and the *features* that the run showed (`features`).
A scenario that shows a feature that no other has shown joins the corpus (`corpus`), and later orders are made from it.

Executing is a pure function of the order, so it may be done anywhere, and twice; deciding what comes next is done in
one place and in the order of the numbers (`campaign`).
That is what makes a run the same for the same seed, lets it be resumed, and lets workers come and go.
"""
