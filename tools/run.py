"""Set up a virtual environment beside the sources and run one job in it.

    python3 tools/run.py demo    the demonstration: learn from some characters, cluster others
    python3 tools/run.py test    the test suite (--minimum: on the oldest supported releases;
                                 --newest: on the newest of everything, torch too;
                                 --sklearn 1.7: on that scikit-learn)
    python3 tools/run.py lint    ruff: lint and format; mypy: the public interface
    python3 tools/run.py docs    the documentation, warnings as errors
    python3 tools/run.py package sdist and wheel; the wheel alone in a fresh environment

Further arguments go to the job's own program: ``python3 tools/run.py test -k metrics``.

The environment is made in ``.venv`` (HILANDER_VENV names another folder) with the package installed
in place. A later call finds it ready and starts at once; it installs again when the requirements
change, and starts afresh when an earlier installation was cut off or the environment was moved.

Needs Python 3.10 or later with venv and pip, and a C++ compiler with Python's headers, since
hnswlib comes as source. Only the standard library is used here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 10)
# The oldest supported numpy and scipy have no wheels for later ones.
NEWEST_PYTHON_FOR_MINIMUM = (3, 12)


@dataclass(frozen=True)
class Job:
    """The extras that a job needs and the commands, run in turn, that it consists of.

    Extra arguments of the command line go to the last command.
    """

    extras: frozenset[str]
    commands: tuple[tuple[str, ...], ...]


JOBS = {
    "demo": Job(frozenset({"plot"}), (("-m", "examples.cluster_glyphs"),)),
    # A process for each core, but no more than memory is likely to hold: each has its own torch.
    "test": Job(
        frozenset({"dev", "plot"}),
        (("-m", "pytest", "-n", "auto", "--maxprocesses", "8", "--dist", "worksteal"),),
    ),
    "lint": Job(
        frozenset({"dev"}),
        (
            ("-m", "ruff", "check", "."),
            ("-m", "ruff", "format", "--check", "."),
            ("-m", "mypy"),
        ),
    ),
    "package": Job(frozenset({"package"}), (("tools/check_package.py",),)),
    "docs": Job(
        frozenset({"docs", "plot"}),
        (
            ("-m", "docutils", "--report=warning", "--halt=warning", "README.rst", os.devnull),
            ("-m", "sphinx", "-W", "-n", "--keep-going", "docs", "docs/_build/html"),
        ),
    ),
}


class SetupError(Exception):
    """The environment cannot be made; the message says what the user can do."""


class Environment:
    """A virtual environment that knows what was installed in it.

    Two files in it are ours: the mark says that this script made the folder and so may delete it;
    the stamp says what a completed installation holds, and is away while one is under way.
    """

    def __init__(self, folder: Path, constraints: Path, pins: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.constraints = constraints
        self.pins = pins
        scripts = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
        self.python = folder.joinpath(*scripts)
        self._mark = folder / "made-by-hilander"
        self._stamp = folder / "hilander-stamp.json"

    def prepare(self, extras: frozenset[str]) -> None:
        """Bring the environment to hold the package with at least these extras."""
        wanted = self._identity() | {"requirements": self._requirements_hash()}
        stamp = self._read_stamp()
        usable = self._identity().items() <= stamp.items() and self._python_runs()
        installed = frozenset(stamp.get("extras", ())) if usable else frozenset()
        if usable and wanted.items() <= stamp.items() and extras <= installed:
            print(f"== environment {self.folder} is ready", flush=True)
            return
        if not usable:
            self._create()
        self._stamp.unlink(missing_ok=True)
        extras |= installed
        self._install(extras)
        self._stamp.write_text(json.dumps(wanted | {"extras": sorted(extras)}, indent=1))

    def _identity(self) -> dict[str, str]:
        """What an environment is tied to for life: its place, the sources' place, its Python."""
        version = ".".join(map(str, sys.version_info[:2]))
        return {"folder": str(self.folder), "sources": str(ROOT), "python": version}

    def _requirements_hash(self) -> str:
        digest = hashlib.sha256(" ".join(self.pins).encode())
        for path in (ROOT / "setup.cfg", ROOT / "pyproject.toml", self.constraints):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def _read_stamp(self) -> dict:
        try:
            stamp = json.loads(self._stamp.read_text())
        except (OSError, ValueError):
            return {}
        return stamp if isinstance(stamp, dict) else {}

    def _python_runs(self) -> bool:
        try:
            return subprocess.run([self.python, "-c", ""], check=False).returncode == 0
        except OSError:
            return False

    def _create(self) -> None:
        if self.folder.exists() and not self._mark.exists() and any(self.folder.iterdir()):
            raise SetupError(
                f"{self.folder} exists and was not made by this script, so it is left alone. Move "
                "it away, or name another folder in the environment variable HILANDER_VENV."
            )
        # Debian and its kin package these apart from Python.
        missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
        if missing:
            raise SetupError(
                f"{sys.executable} lacks {' and '.join(missing)}, so it cannot make virtual "
                "environments. On Debian and Ubuntu: apt-get install python3-venv."
            )
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._mark.touch()
        run_step(f"make the environment {self.folder}", [sys.executable, "-m", "venv", self.folder])

    def _install(self, extras: frozenset[str]) -> None:
        package = f"{ROOT}[{','.join(sorted(extras))}]"
        # Compiling everything that is installed takes longer than what is imported will.
        install = [self.python, "-m", "pip", "install", "--no-compile", "--quiet"]
        try:
            run_step(
                f"install the package with {', '.join(sorted(extras))} (minutes, the first time)",
                [*install, "--constraint", self.constraints, "--editable", package, *self.pins],
            )
        except subprocess.CalledProcessError as error:
            raise SetupError(
                "the installation failed; pip's own message stands above. hnswlib comes as source: "
                "if that is what failed, a C++ compiler or Python's headers are missing (Debian "
                "and Ubuntu: apt-get install build-essential python3-dev)."
            ) from error


def run_step(title: str, command: Sequence[str | Path]) -> None:
    """Announce a command, run it in the sources' root, and tell how long it took.

    Raises
    ------
    subprocess.CalledProcessError
        If the command fails.
    """
    print(f"== {title}", flush=True)
    started = time.monotonic()
    # Neither the caller's Python paths nor an active environment may leak into ours.
    leaks = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in leaks}
    subprocess.run([str(part) for part in command], cwd=ROOT, env=environment, check=True)
    print(f"== done in {time.monotonic() - started:.0f} s", flush=True)


def main(arguments: Sequence[str]) -> int:
    """Run the job that the first argument names; return the exit status."""
    if not arguments or arguments[0] not in JOBS:
        print(__doc__)
        return 0 if arguments and arguments[0] in ("-h", "--help") else 2
    name, *rest = arguments
    job = JOBS[name]
    variants = [option for option in ("--minimum", "--newest") if name == "test" and option in rest]
    for option in variants:
        rest.remove(option)
    variant, pins = (variants[0].removeprefix("-") if variants else ""), ()
    constraints = ROOT / "tools" / f"constraints{variant}.txt"
    if name == "test" and "--sklearn" in rest[:-1]:
        at = rest.index("--sklearn")
        variant, pins = f"-sklearn-{rest[at + 1]}", (f"scikit-learn=={rest[at + 1]}.*",)
        del rest[at : at + 2]
    try:
        if len(variants) + bool(pins) > 1:
            raise SetupError("--minimum, --newest and --sklearn: give one of them.")
        if sys.version_info < OLDEST_PYTHON:
            raise SetupError(f"Python 3.10 or later is needed; this is {sys.version.split()[0]}.")
        if variant == "-minimum" and sys.version_info[:2] > NEWEST_PYTHON_FOR_MINIMUM:
            raise SetupError(
                "The oldest supported releases have wheels for Python 3.10 to 3.12; this is "
                f"{sys.version.split()[0]}."
            )
        folder = Path(os.environ.get("HILANDER_VENV") or ROOT / ".venv").absolute()
        folder = folder.with_name(folder.name + variant)
        environment = Environment(folder, constraints, pins)
        environment.prepare(job.extras)
        for number, command in enumerate(job.commands, start=1):
            extra = rest if number == len(job.commands) else []
            title = shlex.join(["python", *command, *extra])
            run_step(title, [environment.python, *command, *extra])
    except SetupError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        # A signal gives a negative status, which no shell can return.
        print(f"run.py: failed with status {error.returncode}", file=sys.stderr)
        return error.returncode if error.returncode > 0 else 1
    except KeyboardInterrupt:
        print("run.py: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
