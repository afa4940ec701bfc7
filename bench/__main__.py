"""``python bench``: every benchmark, one after the other; a name or several as arguments choose some.

Each benchmark is a script of this folder with a `main` of its own, and prints a table.
"""

import runpy
import sys
from pathlib import Path


def main() -> int:
    """Run the benchmarks named on the command line, or all."""
    folder = Path(__file__).parent
    scripts = {path.stem: path for path in sorted(folder.glob("*.py")) if path.stem != "__main__"}
    chosen = sys.argv[1:] or [*scripts]
    unknown = [name for name in chosen if name not in scripts]
    if unknown:
        print(
            f"bench: no benchmark {unknown[0]!r}; there are {', '.join(scripts)}", file=sys.stderr
        )
        return 2
    for name in chosen:
        sys.argv = [str(scripts[name])]
        try:
            runpy.run_path(str(scripts[name]), run_name="__main__")
        except SystemExit as end:
            if end.code:
                return int(end.code) if isinstance(end.code, int) else 1
    return 0


sys.exit(main())
