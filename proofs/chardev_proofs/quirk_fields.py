"""What quirks remember beyond the contract's state, as unknowns.

Theory of operation
===================
The proofs know no invariant of such a field, and nothing says what a call does to it: after a cut it is anything.
Inside a segment it is what was written there.
A field of the device is a number or a truth value; a field of rows is a function of their handles (`SymColumn`), with
what was written in front of it.
A field is not written in a helper whose branches are joined: that helper is run on one path at a time.
"""

from typing import TYPE_CHECKING, Any

import z3

from chardev_proofs.explore import MergeRefused, conditions
from chardev_proofs.tables import NUMBER, TRUTH, choose, fresh
from chardev_proofs.values import (
    Symbolic,
    UnsupportedError,
    bool_term,
    boolean,
    int_term,
    integer,
    optional,
    optional_term,
)

if TYPE_CHECKING:
    from chardev_proofs.state import SymState


class SymColumn(Symbolic):
    """A field of rows: `chardev_spec.profiles.quirk.Column`.

    Its default says what it holds: truth values, numbers, or something opaque that may be None.
    """

    __slots__ = ("default", "name", "owner")

    def __init__(self, owner: "QuirkFields", name: str, default: Any) -> None:
        self.owner, self.name, self.default = owner, name, default

    def __getitem__(self, handle: Any) -> Any:
        """Contract: what was written last for the handle, else anything."""
        where = int_term(handle)
        sort = TRUTH if isinstance(self.default, bool) else NUMBER
        term = self.owner.unknown(self.name, z3.ArraySort(NUMBER, sort))[where]
        for other, written in self.owner.now().get(self.name, ()):
            term = choose(z3.simplify(where == other), written, term)
        if self.default is None:
            return optional(term)
        return boolean(term) if sort == TRUTH else integer(term)

    def __setitem__(self, handle: Any, value: Any) -> None:  # type: ignore[override] # not refused
        """Contract: the handle has this value from now on."""
        convert: Any = optional_term
        if self.default is not None:
            convert = bool_term if isinstance(self.default, bool) else int_term
        before = self.owner.now().get(self.name, ())
        self.owner[self.name] = (*before, (int_term(handle), convert(value)))


class QuirkFields:
    """The fields by name; `written` are those that were written in this segment."""

    def __init__(self, state: "SymState") -> None:
        self.state = state
        self.written: dict[str, Any] = {}
        self._unknown: dict[str, Any] = {}
        self._era = 0

    def now(self) -> dict[str, Any]:
        """What was written since the last cut."""
        if self._era != self.state.era:
            self._era = self.state.era
            self.written, self._unknown = {}, {}
        return self.written

    def unknown(self, name: str, sort: z3.SortRef) -> Any:
        """What the field was at the last cut."""
        self.now()
        if name not in self._unknown:
            self._unknown[name] = fresh(name, sort)
        return self._unknown[name]

    def get(self, name: str, default: Any) -> Any:
        """Contract: the value that was written, else anything like the default."""
        if name in self.now():
            return self.written[name]
        if isinstance(default, bool):
            return boolean(self.unknown(name, TRUTH))
        if isinstance(default, int):
            return integer(self.unknown(name, NUMBER))
        raise UnsupportedError(f"`{name}`: a quirk's field of the device that is no number")

    def setdefault(self, name: str, column: Any) -> SymColumn:
        """Contract: the field of rows; the default of a column says what it holds."""
        return SymColumn(self, name, column.default)

    def __setitem__(self, name: str, value: Any) -> None:
        if conditions():
            raise MergeRefused("a quirk's field is set")
        self.now()[name] = value
