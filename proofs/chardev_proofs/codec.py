"""The record as bytes: what is encoded is decoded, and nothing outside a message is read.

Theory of operation
===================
The text of `chardev_spec.record` is run on messages of any length, whose bytes are 8 bits each, and on numbers of 64
bits, in which no sum of two 32-bit fields overflows.
Every path is followed, as for the machine.

- `encode` of any record whose fields fit is decoded to that record, or refused for what the record says.
- `decode` of any message refuses it, or gives what `machine.read_message` promises to the other proofs.
- Every byte that is looked at lies within the message.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import z3

from chardev_proofs.explore import Explorer, Path
from chardev_proofs.values import Symbolic, SymBool, UnsupportedError, decide
from chardev_spec import record
from chardev_spec.errors import BadMigrationDataError
from chardev_spec.record import HEADER_SIZE, MESSAGE_SIZE, VERSION, Record

WIDTH: Final = 64
"""Bits of a number here: more than any sum of lengths and 32-bit fields needs."""

FIELD_BITS: Final = Record(32, 8, 32, 32, 32, 32, 32)
"""Bits of each field of a record (MIG-1)."""

Claims = Callable[[str, z3.BoolRef], None]


def number(value: Any) -> z3.BitVecRef:
    """A number of 64 bits."""
    return value.bits if isinstance(value, Word) else z3.BitVecVal(value, WIDTH)


class Word(Symbolic):
    """A number that is not negative."""

    __slots__ = ("bits",)
    __hash__ = None

    def __init__(self, bits: z3.BitVecRef) -> None:
        self.bits = bits

    def __add__(self, other: Any) -> "Word":
        return Word(self.bits + number(other))

    __radd__ = __add__

    def __lt__(self, other: Any) -> SymBool:
        return SymBool(z3.ULT(self.bits, number(other)))

    def __gt__(self, other: Any) -> SymBool:
        return SymBool(z3.UGT(self.bits, number(other)))

    def __le__(self, other: Any) -> SymBool:
        return SymBool(z3.ULE(self.bits, number(other)))

    def __ge__(self, other: Any) -> SymBool:
        return SymBool(z3.UGE(self.bits, number(other)))

    def __eq__(self, other: object) -> Any:
        return SymBool(self.bits == number(other))

    def __ne__(self, other: object) -> Any:
        return SymBool(self.bits != number(other))

    def to_bytes(self, length: int, order: str) -> "Octets":
        """As of a Python number: OverflowError when it may not fit."""
        if order != "little":
            raise UnsupportedError("bytes that are not little endian")
        if decide(z3.simplify(z3.LShR(self.bits, 8 * length) != 0)):
            raise OverflowError("int too big to convert")
        return Octets([z3.Extract(8 * i + 7, 8 * i, self.bits) for i in range(length)])


class Octets(Symbolic):
    """So many bytes."""

    __slots__ = ("octets",)
    __hash__ = None

    def __init__(self, octets: list[z3.BitVecRef]) -> None:
        self.octets = octets

    def __add__(self, other: "Octets") -> "Octets":
        return Octets(self.octets + other.octets)


class Message(Symbolic):
    """Bytes of which there are any number; `claim` is told that each one looked at is there."""

    __slots__ = ("array", "claim", "size")
    __hash__ = None

    def __init__(self, array: z3.ArrayRef, size: z3.BitVecRef, claim: Claims) -> None:
        self.array, self.size, self.claim = array, size, claim

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, slice):
            self.claim("bytes that are looked at are there", z3.ULT(number(key), self.size))
            return Word(z3.ZeroExt(WIDTH - 8, self.array[number(key)]))
        begin, end = number(key.start), number(key.stop)
        empty = z3.simplify(z3.UGE(begin, end))
        if z3.is_true(empty):
            return Octets([])
        self.claim("bytes that are looked at are there", z3.Or(empty, z3.ULE(end, self.size)))
        length = z3.simplify(end - begin)
        if z3.is_bv_value(length):
            return Octets([self.array[begin + i] for i in range(length.as_long())])
        return Part(z3.If(empty, z3.BitVecVal(0, WIDTH), length))


class Part(Symbolic):
    """Part of a message, of which only the length is known."""

    __slots__ = ("length",)
    __hash__ = None

    def __init__(self, length: z3.BitVecRef) -> None:
        self.length = length


class LiftedInt:
    """`int` in the text of the codec, which only asks for `from_bytes`."""

    @staticmethod
    def from_bytes(octets: Octets, order: str) -> Word:
        """As of Python's."""
        if order != "little":
            raise UnsupportedError("bytes that are not little endian")
        bits = z3.Concat(*reversed(octets.octets))
        return Word(z3.ZeroExt(WIDTH - bits.size(), bits))


def _length(value: Any) -> Any:
    return Word(value.size) if isinstance(value, Message) else len(value)


@contextmanager
def _lifted(codec: dict[str, Any]) -> Iterator[None]:
    """Let the codec's text use the values above."""
    lifted = {"int": LiftedInt, "len": _length}
    codec.update(lifted)
    try:
        yield
    finally:
        for name in lifted:
            del codec[name]


def _inside(found: Record, message: Message) -> z3.BoolRef:
    """Whether the write data of a record, if there is any, lies behind it and within the message."""
    begin, length = number(found.write_data_offset), number(found.write_size)
    behind = z3.And(z3.UGE(begin, MESSAGE_SIZE), z3.ULE(begin + length, message.size))
    return z3.Or(length == 0, behind)


class CodecProof:
    """The obligations of a codec, the names of whose module are given.

    `verdicts` says of each whether it holds on every path.
    """

    def __init__(self, codec: dict[str, Any] | None = None) -> None:
        self.codec = vars(record) if codec is None else codec
        self.verdicts: dict[str, bool] = {}
        self.paths = 0

    def run(self) -> dict[str, bool]:
        """Prove all of them."""
        with _lifted(self.codec):
            for follow in (self._decode_anything, self._round_trip):
                explorer = Explorer()
                explorer.run(follow)
                self.paths += explorer.paths
        return self.verdicts

    def _claim(self, path: Path, name: str, term: z3.BoolRef) -> None:
        holds = path.valid(term)
        self.verdicts[name] = self.verdicts.get(name, True) and holds

    def _message(self, path: Path) -> Message:
        array = z3.Array("message", z3.BitVecSort(WIDTH), z3.BitVecSort(8))
        size = z3.BitVec("size", WIDTH)
        # A message lies in memory: its length and every sum with it stay far below 64 bits.
        path.add(z3.ULT(size, z3.BitVecVal(2**62, WIDTH)))
        return Message(array, size, lambda name, term: self._claim(path, name, term))

    def _decode_anything(self, path: Path) -> None:
        message = self._message(path)
        try:
            found, part = self.codec["decode"](message)
        except BadMigrationDataError:
            self._refuses_for_a_reason(path, message)
            return
        length = number(found.write_size)
        limits = [
            z3.ULT(number(value), z3.BitVecVal(2**bits, WIDTH))
            for value, bits in zip(found, FIELD_BITS, strict=True)
        ]
        self._claim(path, "decoded fields fit their types", z3.And(*limits))
        self._claim(
            path,
            "what is decoded has a known version and a client",
            z3.And(z3.ULE(number(found.version), VERSION), number(found.connected) != 0),
        )
        self._claim(
            path, "write data lies behind the record, in the message", _inside(found, message)
        )
        self._claim(path, "write data has the length that the record says", part.length == length)

    def _refuses_for_a_reason(self, path: Path, message: Message) -> None:
        """Of a record that is well formed only the write data may be refused, for where it lies."""
        try:
            found = self.codec["decode_record"](message)
        except BadMigrationDataError:
            return
        name = "only write data that lies elsewhere is refused"
        self._claim(path, name, z3.Not(_inside(found, message)))

    def _round_trip(self, path: Path) -> None:
        fields = [Word(z3.BitVec(name, WIDTH)) for name in Record._fields]
        for field, bits in zip(fields, FIELD_BITS, strict=True):
            path.add(z3.ULT(field.bits, z3.BitVecVal(2**bits, WIDTH)))
        made = self.codec["Record"](*fields)
        try:
            encoded = self.codec["encode"](made)
        except OverflowError:
            self._claim(path, "every record whose fields fit is encoded", z3.BoolVal(val=False))
            return
        self._claim(path, "every record whose fields fit is encoded", z3.BoolVal(val=True))
        message = self._message(path)
        path.add(z3.UGE(message.size, MESSAGE_SIZE))
        for index, octet in enumerate(encoded.octets):
            path.add(message.array[z3.BitVecVal(HEADER_SIZE + index, WIDTH)] == octet)
        known = z3.And(z3.ULE(fields[0].bits, VERSION), fields[1].bits != 0)
        try:
            found = self.codec["decode_record"](message)
        except BadMigrationDataError:
            self._claim(path, "only an unknown version or no client is refused", z3.Not(known))
            return
        same = [number(one) == two.bits for one, two in zip(found, fields, strict=True)]
        self._claim(path, "what is encoded is decoded", z3.And(known, *same))
