"""Build sdist and wheel, look into both, and try the wheel alone in a fresh environment.

    python3 tools/run.py package

1. ``python -m build``: the wheel is built from the sdist, in pip's isolation.
2. ``twine check --strict``.
3. The wheel holds the package as it is in the sources, and nothing else; the sdist also holds what
   it takes to test and document it.
4. In a virtual environment of its own, outside of the checkout: ``pip install`` of the wheel,
   ``pip check``, tools/smoke_test.py.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "sklearn_hilander"
# Of the sdist: one file of each folder that must be in it, and the files beside the package.
NEEDED = (
    "CHANGELOG.rst", "CONTRIBUTING.rst", "LICENSE", "README.rst", "pyproject.toml", "setup.cfg",
    "benchmarks/run.py", "docs/conf.py", "docs/index.rst", "examples/cluster_glyphs.py",
    "tests/conftest.py", "tests/data/saved/0.1.0/gcn.safetensors", "tools/constraints.txt",
    "tools/run.py",
)  # fmt: skip
JUNK = ("__pycache__", ".pyc", ".git", ".venv", ".cache", "_build", "docs/generated", "/output/")


def call(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command that must succeed, and show it."""
    print("+", *command, flush=True)
    subprocess.run([str(part) for part in command], cwd=cwd, check=True)


def check_wheel(wheel: Path) -> None:
    """The package's own files and the metadata, no more and no less.

    Raises
    ------
    SystemExit
        With what is missing or too much.
    """
    sources = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / PACKAGE).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    if names != sources:
        sys.exit(f"missing in the wheel, or too much: {sorted(names ^ sources)}")
    assert {f"{PACKAGE}/py.typed", f"{PACKAGE}/weights/default.safetensors"} <= names
    print(f"the wheel holds the {len(names)} files of the package, {wheel.stat().st_size:,} bytes")


def check_sdist(sdist: Path) -> None:
    """What it takes to test and document the package is there, and nothing that a run made.

    Raises
    ------
    SystemExit
        With what is missing or too much.
    """
    with tarfile.open(sdist) as archive:
        names = {m.name.split("/", 1)[1] for m in archive.getmembers() if m.isfile()}
    if missing := [name for name in NEEDED if name not in names]:
        sys.exit(f"missing in the sdist: {missing}")
    if junk := [name for name in names if any(part in f"/{name}" for part in JUNK)]:
        sys.exit(f"in the sdist, but made by a run: {sorted(junk)}")
    print(f"the sdist holds {len(names)} files, {sdist.stat().st_size:,} bytes")


def main() -> None:
    """Build, check, install, try."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="keep sdist and wheel in this folder")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dist = folder / "dist" if out is None else out.absolute()
        call(sys.executable, "-m", "build", "--outdir", dist, ROOT)
        (sdist,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
        call(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel)
        check_sdist(sdist)
        check_wheel(wheel)
        call(sys.executable, "-m", "venv", folder / "venv")
        python = folder / "venv" / "bin" / "python"
        constraints = ROOT / "tools" / "constraints.txt"
        install = ("-m", "pip", "install", "--no-compile", "--quiet", "--constraint", constraints)
        call(python, *install, wheel, cwd=folder)
        call(python, "-m", "pip", "check", cwd=folder)
        call(python, "-I", ROOT / "tools" / "smoke_test.py", cwd=folder)


if __name__ == "__main__":
    main()
