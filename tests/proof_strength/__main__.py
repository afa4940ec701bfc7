"""Looks with the proofs, and with random calls, for machine-made mutants and for every quirk of the profiles.

It can be interrupted: what is in the file of the results is not judged again.
Exit status: 0 all is given away or judged, 1 something is not, 2 a wrong argument, 3 interrupted.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Final

from chardev_proofs.mutation import Mutant, mutants
from chardev_spec.profiles import QUIRKS
from tests.proof_strength.judge import Line, made_line, mutant_line, quirk_line
from tests.proof_strength.report import Score, page, summary, unexplained, unrefuted
from tests.proofs.broken_invariants import BREAKS
from tests.spec_mutants.judgements import judgement_of

RESULTS: Final = Path("docs/_build/proof-strength.jsonl")


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof_strength", description=__doc__)
    parser.add_argument("--mutants", type=int, metavar="N", help="so many (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="which of them")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the page of the docs")
    arguments = parser.parse_args()
    if arguments.mutants is not None and arguments.mutants < 1:
        parser.error("--mutants must be above 0")
    liftable = [each for each in mutants() if each.liftable]
    chosen = sample(liftable, arguments.mutants or len(liftable), arguments.seed)
    quirks = [each.__name__ for each in QUIRKS]
    made = [each.__name__ for each in BREAKS]
    # What is judged equivalent takes longest and tells least.
    last = sorted(chosen, key=lambda each: judgement_of(each) is not None)
    work: list[tuple[str, Callable[[str], Line]]] = [
        *((name, quirk_line) for name in quirks),
        *((name, made_line) for name in made),
        *((each.id, mutant_line) for each in last),
    ]
    try:
        commit, lines = _judged(work, arguments.results)
    except OtherTextError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 3
    score = Score(
        [lines[name] for name in quirks],
        [lines[name] for name in made],
        [lines[each.id] for each in chosen],
        of=len(liftable),
        seed=arguments.seed,
        commit=commit,
    )
    for text in summary(score):
        print(text)
    for name in unexplained(score):
        print(f"given away by nothing, and not judged: {name}")
    for name in unrefuted(score):
        print(f"refutes nothing: {name}")
    if arguments.output is not None:
        arguments.output.write_text(page(score), encoding="utf-8")
    return 1 if unexplained(score) or unrefuted(score) else 0


def sample(every: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """So many of the mutants; a larger sample of one seed begins with the smaller ones."""
    every = list(every)
    Random(seed).shuffle(every)
    return every[:count]


class OtherTextError(Exception):
    """The results that were kept are those of another commit."""


def _judged(
    work: list[tuple[str, Callable[[str], Line]]], results: Path
) -> tuple[str, dict[str, Line]]:
    """The commit, and what becomes of each machine; kept line by line in the file of the results."""
    commit = _commit()
    lines: dict[str, Line] = {}
    if results.exists():
        head, *stored = map(json.loads, results.read_text(encoding="utf-8").splitlines())
        if head["commit"] != commit:
            raise OtherTextError(
                f"{results} has results of commit {head['commit']}, and this is {commit}: "
                "remove it, or name another file with --results"
            )
        lines = {each["name"]: Line(**each) for each in stored}
    else:
        results.parent.mkdir(parents=True, exist_ok=True)
        results.write_text(json.dumps({"commit": commit}) + "\n", encoding="utf-8")
    with results.open("a", encoding="utf-8") as file:
        for number, (name, judged) in enumerate(work, start=1):
            if name not in lines:
                lines[name] = line = judged(name)
                file.write(json.dumps(asdict(line)) + "\n")
                file.flush()
                said = f"{line.obligation or '-'}, {line.noticed or '-'}, {line.seconds} s"
                print(f"{number} of {len(work)}: {name}: {said}", file=sys.stderr)
    return commit, lines


def _commit() -> str:
    """What is checked out; ``+`` when it was changed since."""
    git = ("git", "describe", "--always", "--exclude=*", "--dirty=+", "--abbrev=12")
    return subprocess.run(git, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
