"""Run the test suite on every supported Python and scikit-learn, on the oldest and newest releases.

    python3 tools/versions.py                            # the whole table, each in its environment
    python3 tools/versions.py --only minimum python-3.13
    python3 tools/versions.py --jobs 2                   # two suites side by side
    python3 tools/versions.py -- -x tests/test_estimator.py

What stands after ``--`` goes to pytest. Each environment is made by tools/run.py beside ``.venv``,
as ``.venv-NAME``, and stays for the next time; --delete deletes it after its run. Environments are
made one after the other, then suites run, --jobs at a time. A row whose Python is not on this
machine is named and left out. The exit status is 1 if a suite failed, 2 if none could be run. The
rows for other Pythons use the newest releases that there are for them, but for torch, which has
the version of constraints.txt everywhere: "newest" alone holds nothing back.

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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
SKLEARNS = ("1.6", "1.7", "1.8", "1.9")
NO_PYTHON = "no such Python here"


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


def call(row: Row, arguments: list[str]) -> tuple[bool, str]:
    """Run ``tools/run.py test`` for a row: whether it ended well, and what pytest says last.

    Every line is shown with the row's name before it.
    """
    python = sys.executable if row.python is None else find_python(row.python)
    if python is None:
        return False, NO_PYTHON
    command = [python, "tools/run.py", "test", *row.options, *arguments]
    print(f"{row.name}: {' '.join(command)}", flush=True)
    base = folder(row) if row.python else ROOT / ".venv"
    environment = {**os.environ, "HILANDER_VENV": str(base)}
    said = "see above"
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(f"{row.name}: {line}", end="", flush=True)
            if re.search(r"\d (passed|failed|error)", line):
                said = line.strip("= \n")
    return process.returncode == 0, said


def folder(row: Row) -> Path:
    """Where the environment of a row lies."""
    return ROOT / f".venv-{row.name}"


def run_rows(rows: list[Row], pytest: list[str], *, jobs: int, delete: bool) -> dict[str, str]:
    """What became of each row, in words."""
    ends = {}
    for row in rows:
        # pip builds the package where its sources are: two at a time would be in each other's way.
        made, said = call(row, ["--version"])
        if not made:
            ends[row.name] = f"not run: {said}" if said == NO_PYTHON else "FAILED: no environment"

    def run(row: Row) -> str:
        started = time.monotonic()
        passed, said = call(row, pytest)
        if delete:
            shutil.rmtree(folder(row), ignore_errors=True)
        return f"{'' if passed else 'FAILED: '}{said} [{time.monotonic() - started:.0f} s]"

    made = [row for row in rows if row.name not in ends]
    with ThreadPoolExecutor(jobs) as pool:
        ends |= dict(zip([row.name for row in made], pool.map(run, made), strict=True))
    return ends


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
    parser.add_argument("--jobs", type=int, default=1, metavar="N")
    options = parser.parse_args(arguments[:at])
    rows = [row for row in ROWS if row.name in options.only]
    ends = run_rows(rows, arguments[at + 1 :], jobs=options.jobs, delete=options.delete)
    print("\n".join(f"{row.name:<14} {ends[row.name]}" for row in rows))
    if all(end.startswith("not run") for end in ends.values()):
        return 2
    return int(any(end.startswith("FAILED") for end in ends.values()))


if __name__ == "__main__":
    sys.exit(main())
