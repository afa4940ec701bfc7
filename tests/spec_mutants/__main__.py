"""Looks for every machine-made mutant of the specification with random calls.

Exit status: 0 what passes is judged equivalent, 1 something else passes, 2 a wrong argument.
"""

import argparse
import sys
from pathlib import Path
from typing import Final

from chardev_proofs.mutation import Mutant, UnknownMutantError, mutant_named, mutants, sample
from tests.spec_mutants.judgements import judgement_of
from tests.spec_mutants.report import line, page, scores, stale, unjudged
from tests.spec_mutants.search import Search

PATIENCE: Final = (1, 15, 50)
"""How many times as long a mutant that nobody has judged is looked at: some need several rare things in one call."""


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.spec_mutants", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="seed of the calls and of the sample")
    parser.add_argument("--calls", type=int, default=10_000, help="calls for each way of looking")
    parser.add_argument("--sample", type=int, metavar="N", help="only so many, chosen by the seed")
    parser.add_argument("--only", metavar="ID", help="only this mutant")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the page of the docs")
    parser.add_argument("--list", action="store_true", help="list the mutants and look for none")
    arguments = parser.parse_args()
    if arguments.calls < 1 or (arguments.sample is not None and arguments.sample < 1):
        parser.error("--calls and --sample must be above 0")
    try:
        chosen = _chosen(arguments)
    except UnknownMutantError as error:
        parser.error(str(error))
    if arguments.list:
        for mutant in chosen:
            print(f"{mutant.id}\n    {mutant.diff}")
        return 0
    search = Search(seed=arguments.seed, calls=arguments.calls)
    results = []
    for number, mutant in enumerate(chosen, start=1):
        patience = PATIENCE if judgement_of(mutant) is None else PATIENCE[:1]
        results.append(search.look_for(mutant, patience=patience))
        if not results[-1].noticed or arguments.only is not None:
            print(line(results[-1]), flush=True)
        if number % 100 == 0:
            print(f"{number} of {len(chosen)}", file=sys.stderr, flush=True)
    for name, score in scores(results, arguments.calls):
        print(f"{name}: {score}")
    if arguments.output is not None:
        most = arguments.calls * PATIENCE[-1]
        text = page(results, seed=arguments.seed, calls=arguments.calls, most=most)
        try:
            arguments.output.write_text(text, encoding="utf-8")
        except OSError as error:
            parser.error(str(error))
    old = stale(mutants())
    for judgement in old:
        print(f"judges no mutant: {judgement.function}: {judgement.changes}", file=sys.stderr)
    return 1 if old or unjudged(results) else 0


def _chosen(arguments: argparse.Namespace) -> tuple[Mutant, ...]:
    if arguments.only is not None:
        return (mutant_named(arguments.only),)
    if arguments.sample is not None:
        return sample(arguments.sample, arguments.seed)
    return mutants()


if __name__ == "__main__":
    sys.exit(main())
