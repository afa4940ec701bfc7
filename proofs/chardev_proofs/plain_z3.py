"""What proofs do not pay for: z3's checks of what cannot fail, and looks for garbage that is not there.

Theory of operation
===================
Millions of small terms are made and read again.

Behind each call of the C library, z3's Python interface asks with another one whether the first has failed.
To make a term may fail, by the sorts of its arguments, and goes on being asked about.
To count references to a live term, or to read its kind, sort, number or parts, cannot: these are called without.

Terms are freed by their counts of references.
Python's collector of cycles finds little, but looks at all terms that are alive each time; so it runs seldom while a
function is proved.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import z3

READS: Final = (
    "Z3_inc_ref", "Z3_dec_ref", "Z3_get_ast_id", "Z3_get_ast_kind", "Z3_is_app", "Z3_to_app",
    "Z3_get_sort", "Z3_get_sort_kind", "Z3_sort_to_ast", "Z3_is_eq_sort", "Z3_is_eq_ast",
    "Z3_get_app_decl", "Z3_get_app_num_args", "Z3_get_app_arg", "Z3_get_decl_kind",
    "Z3_to_func_decl", "Z3_func_decl_to_ast", "Z3_get_domain", "Z3_get_domain_size", "Z3_get_range",
)  # fmt: skip
"""Functions of the C library that cannot fail for a live term."""

SELDOM: Final = (100_000, 20, 20)
"""Thresholds of the collector of cycles."""


def trim() -> None:
    """Call these functions without asking whether they failed; and let z3 not check each argument.

    Where another release of z3 has no such function, or wraps it differently, it stays as it is.
    """
    z3.z3.Z3_DEBUG = False
    for name in READS:
        defaults = getattr(getattr(z3.z3, name, None), "__defaults__", None) or (None,)
        function = getattr(defaults[0], "f", None)
        if function is not None:
            setattr(z3.z3, name, function)


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Let the collector of cycles run seldom for a while."""
    before = gc.get_threshold()
    gc.set_threshold(*SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*before)
