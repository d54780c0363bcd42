"""The pairs of a data folder, as the benchmark programs take them from the command line.

A pair is two files ``<name>_train.npz`` (or ``<name>_meta.npz``) and ``<name>_test.npz`` with
arrays ``X`` (n, d) and ``y`` (n,), of one encoder and disjoint classes.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np


def find_pairs(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Names of the pairs in a folder, and their two files."""
    pairs = {}
    for test in sorted(folder.glob("*_test.npz")):
        name = test.stem.removesuffix("_test")
        for kind in ("train", "meta"):
            train = folder / f"{name}_{kind}.npz"
            if train.exists():
                pairs[name] = (train, test)
    return pairs


def load(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Rows as float32 and their classes."""
    with np.load(path) as arrays:
        return arrays["X"].astype(np.float32), arrays["y"].astype(np.int64)


def save(folder: Path, name: str, X: np.ndarray, y: np.ndarray, *, teaches: np.ndarray) -> None:
    """Write the two files of a pair; `teaches`, (n_samples,), bool, tells which rows are where."""
    for part, rows in (("train", teaches), ("test", ~teaches)):
        np.savez(folder / f"{name}_{part}.npz", X=X[rows], y=y[rows])


def add_pair_arguments(parser: argparse.ArgumentParser, default: list[str] | None = None) -> None:
    """Add ``--data`` and ``--pairs``; without `default`, ``--pairs`` is all there are."""
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("HILANDER_DATA"),
        help="folder of the pairs (default: environment variable HILANDER_DATA)",
    )
    shown = "all" if default is None else " ".join(default)
    parser.add_argument(
        "--pairs", nargs="+", default=default, help=f"names of pairs (default: {shown})"
    )


def chosen_pairs(
    parser: argparse.ArgumentParser, args: argparse.Namespace
) -> dict[str, tuple[Path, Path]]:
    """The pairs that were asked for, in that order; ends the program if one is not there."""
    if args.data is None:
        parser.error("name the data folder: --data FOLDER, or the variable HILANDER_DATA")
    pairs = find_pairs(Path(args.data))
    if not pairs:
        parser.error(f"no pair of *_train.npz or *_meta.npz and *_test.npz in {args.data}")
    unknown = set(args.pairs or ()) - set(pairs)
    if unknown:
        parser.error(f"--pairs: {sorted(unknown)} not in {args.data}; there are {sorted(pairs)}")
    return {name: pairs[name] for name in args.pairs or sorted(pairs)}
