"""Vectors: traces of the specification, for implementers who do not run it (`make`), and their files (`files`)."""
