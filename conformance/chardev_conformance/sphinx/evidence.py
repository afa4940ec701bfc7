"""What stands for a rule besides the specification: proofs, mutants, vectors, tests; and where there is none.

The specification's own text is read by the extension.
Everything else is handed to it: a project says in its `conf.py` which tests, vectors and mutants it has
(``chardev_evidence``), and where the report of ``chardev prove --json`` lies (``chardev_proof_report``).
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

KINDS: Final = {"mutant": "Mutants", "vector": "Vectors", "test": "Tests"}
"""What can be handed to the extension, with the heading that it gets on the page of a rule."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One test, vector or mutant: what it is about, and what is said of it.

    `kind` is one of `KINDS`; `where` names the file or page that it stands in.
    """

    kind: str
    name: str
    text: str
    where: str
    rules: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Obligation:
    """One proof obligation: an invariant, preserved by a function from one cut to the next."""

    id: str
    proved: bool
    rules: tuple[str, ...]
    function: str
    seconds: float

    @property
    def invariant(self) -> str:
        """What is preserved: the first word of the id."""
        return self.id.partition(" @ ")[0]


@dataclass(frozen=True, slots=True)
class Proofs:
    """A report of ``chardev prove --json``; `when` is the day on which it was written."""

    obligations: tuple[Obligation, ...]
    when: str = ""
    not_proved: tuple[str, ...] = ()

    def of_function(self, name: str) -> list[Obligation]:
        """The obligations of a function."""
        return [each for each in self.obligations if each.function == name]

    def of_rule(self, rule: str) -> list[Obligation]:
        """The obligations that speak of a rule."""
        return [each for each in self.obligations if rule in each.rules]


NO_PROOFS: Final = Proofs(())
"""No report was handed in."""


class ReportError(ValueError):
    """A report that cannot be read; the message says what and where."""


def load_proofs(path: Path | None) -> Proofs:
    """The report in a file; without one there are no proofs to show.

    Raises `ReportError` for a file that is no such report.
    """
    if path is None:
        return NO_PROOFS
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        obligations = tuple(
            Obligation(
                each["id"],
                each["proved"],
                tuple(each["rules"]),
                each["function"],
                each["seconds"],
            )
            for each in data["obligations"]
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReportError(f"{path}: no report of chardev prove --json: {error!r}") from None
    day = datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
    return Proofs(obligations, data.get("when", day), tuple(data.get("not_proved", ())))
