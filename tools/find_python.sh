#!/bin/sh
# Prints the path of a Python interpreter that can make a virtual environment.
#
#   tools/find_python.sh                 Python 3.11 or newer; $PYTHON, when set, is the only candidate
#   tools/find_python.sh --newer-than P  newer (another minor version) than interpreter P
#
# Exit status: 0 found, 1 none found (the reason is on standard error).
#
# A name on PATH proves little: a pyenv shim exists for versions that are not selected, and Debian's
# python3 has no `ensurepip` until python3-venv is installed. So each candidate is run.
set -u

probe='
import sys
import ensurepip, venv
floor = tuple(map(int, sys.argv[1].split(".")))
sys.exit(0 if sys.version_info[:2] >= floor else 3)
'

floor=3.11
if [ "${1:-}" = --newer-than ]; then
    floor=$("$2" -c 'import sys; print(f"3.{sys.version_info.minor + 1}")') || exit 1
    # Newest first, of those that the project's pinned dependencies are known to support.
    candidates='python3.13 python3.12'
elif [ -n "${PYTHON:-}" ]; then
    candidates=$PYTHON
else
    # Versions that are tested come first.
    candidates='python3.11 python3.13 python3.12 python3 /usr/bin/python3'
fi

# pyenv keeps interpreters that its shims do not run unless they are selected.
pyenv_versions=${PYENV_ROOT:-$HOME/.pyenv}/versions
without_venv=

for name in $candidates; do
    for path in "$(command -v "$name")" "/usr/bin/$name" "$pyenv_versions/${name#python}".*/bin/"$name"; do
        [ -x "$path" ] || continue
        "$path" -c "$probe" "$floor" >/dev/null 2>&1
        status=$?
        if [ $status -eq 0 ]; then
            # The interpreter itself, not a shim that may choose another one elsewhere.
            exec "$path" -c 'import sys; print(sys.executable)'
        fi
        if [ $status -eq 1 ] && "$path" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            without_venv=$path
        fi
    done
done

if [ -n "$without_venv" ]; then
    version=$("$without_venv" -c 'import sys; print(f"{sys.version_info[0]}.{sys.version_info[1]}")')
    echo "chardev: $without_venv cannot make a virtual environment (no ensurepip)." >&2
    echo "chardev: on Debian install it with: apt-get install python$version-venv" >&2
elif [ "${1:-}" = --newer-than ]; then
    echo "chardev: no interpreter newer than $2 that runs (looked for: $candidates)." >&2
else
    echo "chardev: no Python 3.11 or newer that runs (looked for: $candidates)." >&2
    echo "chardev: on Debian 12 or later install it with: apt-get install python3 python3-venv" >&2
    echo "chardev: or name one: make PYTHON=/path/to/python3 ..." >&2
fi
exit 1
