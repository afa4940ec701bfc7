"""What proofs do not pay for: z3's checks of what cannot fail, and looks for garbage that is not there.

Theory of operation
===================
Millions of small terms are made and read again.

Behind each call of the C library, z3's Python interface asks with another one whether the first has failed.
To make a term may fail, by the sorts of its arguments, and goes on being asked about.
To count references to a live term, or to read its kind, sort, number or parts, cannot: these are called without.
Each argument of a call is handed to a Python function that hands it back, and each term is looked at from many sides
before its class is found; nearly all are truth values and numbers.

Terms are freed by their counts of references.
Python's collector of cycles finds little, but looks at all terms that are alive each time; so it runs seldom while a
function is proved.
"""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import z3

READS: Final = (
    "Z3_inc_ref", "Z3_dec_ref", "Z3_get_ast_id", "Z3_get_ast_kind", "Z3_is_app", "Z3_to_app",
    "Z3_get_sort", "Z3_get_sort_kind", "Z3_sort_to_ast", "Z3_is_eq_sort", "Z3_is_eq_ast",
    "Z3_get_app_decl", "Z3_get_app_num_args", "Z3_get_app_arg", "Z3_get_decl_kind",
    "Z3_to_func_decl", "Z3_func_decl_to_ast", "Z3_get_domain", "Z3_get_domain_size", "Z3_get_range",
    "Z3_is_finite_set_sort",
)  # fmt: skip
"""Functions of the C library that cannot fail for a live term."""

SELDOM: Final = (100_000, 20, 20)
"""Thresholds of the collector of cycles."""


HANDLES: Final = (
    "ContextObj", "Ast", "Sort", "FuncDecl", "Symbol", "Model", "SolverObj", "AstVectorObj",
)  # fmt: skip
"""The interface's types of what the library knows by a pointer: a value of them is passed as it is."""


def trim() -> None:
    """Call these functions without asking whether they failed, hand arguments over as they are, and make terms quickly.

    Where another release of z3 has no such function, or wraps it differently, it stays as it is.
    """
    z3.z3.Z3_DEBUG = False
    plain = {ctypes.c_uint} | {getattr(z3.z3types, name, None) for name in HANDLES}
    for name in dir(z3.z3core):
        defaults = getattr(getattr(z3.z3core, name), "__defaults__", None) or (None,)
        function = getattr(defaults[0], "f", None)
        if function is None:
            continue
        if plain.issuperset(function.argtypes or ()):
            # Each argument would be handed to a Python function that hands it back.
            function.argtypes = None
        if name in READS:
            setattr(z3.z3, name, function)
    if not hasattr(z3.z3.AstRef, "trimmed"):
        _trim_terms(z3.z3)
        _trim_joins(z3.z3)


def _trim_terms(module: Any) -> None:
    """Make terms of truth values and numbers, and let go of them, in as few steps as possible."""
    context, retain, release = module.main_ctx(), module.Z3_inc_ref, module.Z3_dec_ref
    sort_of, kind_of = module.Z3_get_sort, module.Z3_get_ast_kind
    truth, number = z3.BoolSort(), z3.IntSort()
    truth_pointer, number_pointer = truth.ast.value, number.ast.value
    any_term, any_list = module._to_expr_ref, module._coerce_expr_list
    any_truth_values = module.BoolSort

    def begin(self: Any, ast: Any, ctx: Any = None) -> None:
        self.ast, self.ctx = ast, ctx or context
        retain(self.ctx.ctx, ast)

    def end(self: Any) -> None:
        if self.ctx.ctx is not None and self.ast is not None:
            release(self.ctx.ctx, self.ast)

    def term(ast: Any, ctx: Any) -> Any:
        sort = sort_of(ctx.ctx, ast).value
        if sort == number_pointer:
            if kind_of(ctx.ctx, ast) == z3.Z3_NUMERAL_AST:
                return z3.IntNumRef(ast, ctx)
            return z3.ArithRef(ast, ctx)
        if sort == truth_pointer and kind_of(ctx.ctx, ast) == z3.Z3_APP_AST:
            return z3.BoolRef(ast, ctx)
        return any_term(ast, ctx)

    def same_sort(terms: Any, ctx: Any = None) -> Any:
        if not [each for each in terms if type(each) is not z3.BoolRef]:
            return terms
        return any_list(terms, ctx)

    def truth_values(ctx: Any = None) -> Any:
        return any_truth_values(ctx) if ctx not in (None, context) else truth

    identify, true, false = module.Z3_get_ast_id, z3.BoolVal(val=True), z3.BoolVal(val=False)

    def constant_test(constant: Any, any_test: Any) -> Any:
        def test(term: Any) -> bool:
            if type(term) is z3.BoolRef and term.ctx is context:
                return bool(term.ast.value == constant.ast.value)
            return bool(any_test(term))

        return test

    # Equal terms of a context are one term.
    def same(self: Any, other: Any) -> bool:
        return bool(self.ast.value == other.ast.value and self.ctx is other.ctx)

    module.ExprRef.eq = same
    module.ExprRef.get_id = lambda self: identify(self.ctx.ctx, self.ast)
    module.AstRef.ctx_ref = lambda self: self.ctx.ctx
    _replace(module, "is_true", constant_test(true, module.is_true))
    _replace(module, "is_false", constant_test(false, module.is_false))
    module.AstRef.trimmed = True
    module.AstRef.__init__, module.AstRef.__del__ = begin, end
    module._to_expr_ref, module._coerce_expr_list = term, same_sort
    module.BoolSort = truth_values


def _trim_joins(module: Any) -> None:
    """Join truth values, and numbers, without a look at their sorts; of anything else z3 makes what it makes."""
    context = module.main_ctx()
    any_implication, any_pair = module.Implies, module._coerce_exprs

    def truths(*terms: Any) -> bool:
        return not [
            each for each in terms if type(each) is not z3.BoolRef or each.ctx is not context
        ]

    def junction(make: Any, any_junction: Any) -> Any:
        def join(*terms: Any) -> Any:
            if not terms or not truths(*terms):
                return any_junction(*terms)
            size = len(terms)
            array = (z3.Ast * size)(*[each.ast for each in terms])
            return z3.BoolRef(make(context.ctx, size, array), context)

        return join

    def implication(one: Any, other: Any, ctx: Any = None) -> Any:
        if not truths(one, other):
            return any_implication(one, other, ctx)
        return z3.BoolRef(module.Z3_mk_implies(context.ctx, one.ast, other.ast), context)

    numerals: dict[int, Any] = {}
    numbers = frozenset({z3.ArithRef, z3.IntNumRef})  # there are no real ones here

    def pair(one: Any, other: Any, ctx: Any = None) -> Any:
        if type(one) in numbers and one.ctx is context:
            if type(other) in numbers and other.ctx is context:
                return one, other
            if type(other) is int:
                if other not in numerals:
                    numerals[other] = z3.IntVal(other)
                return one, numerals[other]
        return any_pair(one, other, ctx)

    _replace(module, "And", junction(module.Z3_mk_and, module.And))
    _replace(module, "Or", junction(module.Z3_mk_or, module.Or))
    _replace(module, "Implies", implication)
    module._coerce_exprs = pair


def _replace(module: Any, name: str, function: Any) -> None:
    setattr(module, name, function)
    setattr(z3, name, function)


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Let the collector of cycles run seldom for a while."""
    before = gc.get_threshold()
    gc.set_threshold(*SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*before)
