"""Seeded defects of the device: how well the checker bites.

`defects` is the table, `loader` makes a device with one defect, `run` lets the checker look for it, and
``python -m tests.mutants`` prints what became of all of them.
"""
