"""One defect."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Defect:
    """One defect of the device."""

    name: str
    rule: str
    """The rule it breaks first."""
    consequence: str
    """What goes wrong in the real world."""
    patch: str

    @property
    def old(self) -> str:
        """The lines that the patch changes, as they stand in the device."""
        return self._lines(" -")

    @property
    def new(self) -> str:
        """The same lines with the defect."""
        return self._lines(" +")

    def _lines(self, kinds: str) -> str:
        lines = self.patch.strip("\n").splitlines()
        return "".join(f"{line[1:]}\n" for line in lines if line[:1] in kinds)
