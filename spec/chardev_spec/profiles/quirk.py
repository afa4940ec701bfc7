"""What a quirk is, and how quirks make a machine.

Theory of operation
===================
A *quirk* is one named deviation of a shipped release from the contract.
It is a class that derives from `Quirk`, hence from the contract, and overrides some of the contract's methods: its
*hooks*.
So a quirk alone is a machine that runs: the contract with that one defect.

A *profile* is a release: the machine that has all its quirks among its bases.
Python would let the first base win where two override one hook, so that the second silently has no effect.
That is an error here, as is a method that overrides nothing: both are found when the module is imported.

What a quirk must remember beyond the contract's state it declares as a field, `DeviceField` or `RowField`.
The values lie in the state, like everything that a machine knows.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from inspect import getdoc, isfunction
from typing import Any, ClassVar, Final, Generic, TypeVar, overload

from chardev_spec.conditions import Steps
from chardev_spec.contract import Contract
from chardev_spec.lint import outside_subset
from chardev_spec.registry import cited

SPICE_0_12_4: Final = "spice-0.12.4"
SPICE_2015_11: Final = "spice-2015-11"
SPICE_0_15: Final = "spice-0.15"
BOTH: Final[tuple[str, ...]] = (SPICE_0_12_4, SPICE_2015_11)
ALL: Final[tuple[str, ...]] = (*BOTH, SPICE_0_15)

ValueT = TypeVar("ValueT")


class QuirkError(TypeError):
    """A quirk, or a profile made of quirks, that cannot mean what it says."""


class Quirk(Contract):
    """A deviation; the docstring of the class says what the releases do, and cites the rules that this breaks."""

    releases: ClassVar[tuple[str, ...]]
    """The profiles that have it."""
    refuted_by: ClassVar[str | None] = None
    """An invariant that random calls refute on the contract with this quirk.

    None: every invariant holds, and only what can be observed differs.
    """
    rules: ClassVar[tuple[str, ...]] = ()
    """The rules that it breaks: those that the docstring cites."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in overrides(cls):
            if not isfunction(getattr(Contract, name, None)):
                raise QuirkError(
                    f"quirk {cls.__name__} overrides {name}, which is no hook of the contract"
                )
        for name in fields(cls):
            if hasattr(Contract, name):
                raise QuirkError(
                    f"quirk {cls.__name__} declares the field {name}, a name that the contract has"
                )
        cls.rules = cited(cls.__doc__)


def overrides(quirk: type[Quirk]) -> list[str]:
    """The hooks that a quirk overrides."""
    return [
        name
        for name, value in vars(quirk).items()
        if isfunction(value) and not name.startswith("__")
    ]


def fields(quirk: type[Quirk]) -> list[str]:
    """The fields that a quirk declares."""
    return [
        name for name, value in vars(quirk).items() if isinstance(value, (DeviceField, RowField))
    ]


def summary(quirk: type[Quirk]) -> str:
    """What the releases do, in one sentence: the first line of the docstring, behind the rules."""
    sentence = (getdoc(quirk) or "").partition("\n")[0].partition(": ")[2]
    return sentence[:1].upper() + sentence[1:]


@outside_subset
def no_steps() -> Steps[None]:
    """An action that does nothing, for a hook whose step is left out."""
    yield from ()


def low_bits(count: int, bits: int) -> int:
    """What an unsigned variable of so many bits keeps of a count."""
    modulus: int = 2**bits
    return count % modulus


class DeviceField(Generic[ValueT]):
    """A field that a quirk adds to the device: `machine.name`."""

    def __init__(self, default: ValueT) -> None:
        self._default = default
        self._name = ""

    def __set_name__(self, owner: type[Quirk], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, machine: None, owner: type[Contract]) -> "DeviceField[ValueT]": ...
    @overload
    def __get__(self, machine: Contract, owner: type[Contract]) -> ValueT: ...
    def __get__(
        self, machine: Contract | None, owner: type[Contract]
    ) -> "DeviceField[ValueT] | ValueT":
        if machine is None:
            return self
        value: ValueT = machine.state.quirk_fields.get(self._name, self._default)
        return value

    def __set__(self, machine: Contract, value: ValueT) -> None:
        machine.state.quirk_fields[self._name] = value


class Column(dict[int, ValueT]):
    """The values of one added field by the handle of the row; a row without one has the default."""

    def __init__(self, default: ValueT) -> None:
        super().__init__()
        self.default = default

    def __missing__(self, handle: int) -> ValueT:
        return self.default


class RowField(Generic[ValueT]):
    """A field that a quirk adds to each client or each buffer: `machine.name[handle]`."""

    def __init__(self, default: ValueT) -> None:
        self._default = default
        self._name = ""

    def __set_name__(self, owner: type[Quirk], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, machine: None, owner: type[Contract]) -> "RowField[ValueT]": ...
    @overload
    def __get__(self, machine: Contract, owner: type[Contract]) -> Column[ValueT]: ...
    def __get__(
        self, machine: Contract | None, owner: type[Contract]
    ) -> "RowField[ValueT] | Column[ValueT]":
        if machine is None:
            return self
        fields = machine.state.quirk_fields
        column: Column[ValueT] = fields.setdefault(self._name, Column(self._default))
        return column


@dataclass(frozen=True, slots=True)
class Profile:
    """A set of quirks that together describe a release; `machine` has them all."""

    name: str
    title: str
    quirks: tuple[type[Quirk], ...]
    machine: type[Contract]

    def without(self, quirk: type[Quirk]) -> "Profile":
        """This profile with one quirk less."""
        return profile(
            f"{self.name} without {quirk.__name__}",
            self.title,
            [each for each in self.quirks if each is not quirk],
        )


def profile(name: str, title: str, quirks: Iterable[type[Quirk]]) -> Profile:
    """Make a profile; two quirks of it never share a hook or the name of a field."""
    quirks = tuple(quirks)
    taken: dict[str, type[Quirk]] = {}
    for quirk in quirks:
        for hook in (*overrides(quirk), *fields(quirk)):
            if hook in taken:
                raise QuirkError(
                    f"profile {name}: {taken[hook].__name__} and {quirk.__name__} both have {hook}; "
                    "a hook or field belongs to one quirk of a profile"
                )
            taken[hook] = quirk
    return Profile(name, title, quirks, _machine(name, quirks))


def _machine(name: str, quirks: tuple[type[Quirk], ...]) -> type[Contract]:
    if not quirks:
        return Contract
    namespace: dict[str, Any] = {"__doc__": f"The contract with the quirks of {name}."}
    return type("Machine", quirks, namespace)
