"""``python -m tests.fuzz_evidence``: measure, and write the page of the docs.

Each measurement is a line of the results' file; those that are there already are not made again, so it may be ended
and run again at any time, and with another interpreter for a way that needs one.
"""

import argparse
import json
import multiprocessing
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.fuzz_evidence import known
from tests.fuzz_evidence.methods import METHODS, Spent, names
from tests.fuzz_evidence.page import page


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz_evidence", description=__doc__)
    add = parser.add_argument
    add("--results", type=Path, default=Path(".fuzz-evidence.jsonl"), metavar="FILE")
    add("--output", type=Path, default=None, metavar="FILE", help="write the page here")
    ways = [*METHODS, known.METHOD]
    add("--method", action="append", choices=ways, default=[], help="measure this way")
    add("--every", type=int, default=1, metavar="N", help="only each N-th defect")
    add("--seeds", type=int, default=5, metavar="N", help="runs a defect")
    add("--seconds", type=float, default=60.0, help="processor time after which it is missed")
    options = parser.parse_args(arguments)
    results = read(options.results)
    done = {(each["method"], each["defect"], each["seed"]) for each in results}
    missed = Counter((each["method"], each["defect"]) for each in results if not each["spent"])
    # A new process now and then: what leaks ends with it.
    pool = multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=20)

    def keep(method: str, name: str, seed: int, spent: Spent, limit: float) -> None:
        line = {"method": method, "defect": name, "seed": seed, "spent": spent, "limit": limit}
        with options.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if sys.stderr.isatty():
            print(f"\r{method}, {name}: {spent}\x1b[K", end="", file=sys.stderr)

    for method in options.method:
        if method == known.METHOD:
            missing = {name for name in names("fuzz") if (method, name, 1) not in done}
            for name, spent in known.measure() if missing else ():
                if name in missing:
                    keep(method, name, 1, spent, known.LIMIT)
            continue
        for name in names(method)[:: options.every]:
            if missed[method, name] > options.seeds // 2:
                continue  # its median is a miss, whatever the other seeds do
            seeds = [
                seed for seed in range(1, options.seeds + 1) if (method, name, seed) not in done
            ]
            times = pool.apply(METHODS[method], (name, seeds, options.seconds))
            for seed, spent in zip(seeds, times, strict=True):
                keep(method, name, seed, spent, options.seconds)
    pool.terminate()
    if options.output is not None:
        options.output.write_text(page(read(options.results)), encoding="utf-8")
    return 0


def read(path: Path) -> list[dict[str, Any]]:
    """The measurements that were made."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    sys.exit(main())
