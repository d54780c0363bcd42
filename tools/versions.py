"""Run the test suite on every supported Python and scikit-learn, on the oldest and newest releases.

    python3 tools/versions.py                            # the whole table, each in its environment
    python3 tools/versions.py --only minimum python-3.13
    python3 tools/versions.py -- -x tests/test_estimator.py

What stands after ``--`` goes to pytest. Each environment is made by tools/run.py beside ``.venv``,
as ``.venv-NAME``, and stays for the next time; --delete deletes it after its run. A row whose
Python is not on this machine is named and left out. The exit status is 1 if a suite failed, 2 if
none could be run. The rows for other Pythons use the newest releases that there are for them, but
for torch, which has the version of constraints.txt everywhere: "newest" alone holds nothing back.

On Linux the torch that pip finds for a Python may be the one with CUDA, of several gigabytes.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
SKLEARNS = ("1.6", "1.7", "1.8", "1.9")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    python : str or None
        None for the Python that runs this.
    options : tuple of str
        Of ``tools/run.py test``.
    """

    name: str
    python: str | None = None
    options: tuple[str, ...] = ()


ROWS = (
    Row("minimum", options=("--minimum",)),
    Row("newest", options=("--newest",)),
    *(Row(f"sklearn-{version}", options=("--sklearn", version)) for version in SKLEARNS),
    *(Row(f"python-{version}", version) for version in PYTHONS),
)


def find_python(version: str) -> str | None:
    """An interpreter of this version that runs: on the path, or one of pyenv's."""
    places = [shutil.which(f"python{version}")]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    places += [str(path) for path in sorted(pyenv.glob(f"versions/{version}.*/bin/python"))]
    for place in places:
        if place and subprocess.run([place, "-c", ""], capture_output=True).returncode == 0:
            return place
    return None


def run_row(row: Row, pytest: list[str], *, delete: bool) -> str:
    """What became of one row, in words: what pytest says last, or why it was not run."""
    python = sys.executable if row.python is None else find_python(row.python)
    if python is None:
        return "not run: no such Python here"
    base = ROOT / (".venv" if row.python is None else f".venv-{row.name}")
    folder = base.with_name(f".venv-{row.name}")
    command = [python, "tools/run.py", "test", *row.options, *pytest]
    print(f"==== {row.name}: {' '.join(command)}", flush=True)
    environment = {**os.environ, "HILANDER_VENV": str(base)}
    said = ""
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if re.search(r"\d (passed|failed|error)", line):
                said = line.strip("= \n")
    if delete:
        shutil.rmtree(folder, ignore_errors=True)
    return said if process.returncode == 0 else f"FAILED: {said or 'see above'}"


def main() -> int:
    """Run the rows and print what became of them."""
    arguments = sys.argv[1:]
    at = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [row.name for row in ROWS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--delete", action="store_true")
    options = parser.parse_args(arguments[:at])
    ends = {}
    for row in ROWS:
        if row.name in options.only:
            started = time.monotonic()
            end = run_row(row, arguments[at + 1 :], delete=options.delete)
            ends[row.name] = f"{end} ({time.monotonic() - started:.0f} s with its environment)"
    print("\n".join(f"{name:<14} {end}" for name, end in ends.items()))
    if all(end.startswith("not run") for end in ends.values()):
        return 2
    return int(any(end.startswith("FAILED") for end in ends.values()))


if __name__ == "__main__":
    sys.exit(main())
