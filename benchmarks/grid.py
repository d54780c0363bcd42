"""Class sizes, dimensions and difficulties: where each method breaks, on synthetic identities.

Of each cell half of the classes teach and tune, the other half is clustered. Printed is pairwise F
of each cell, its mean over the seeds, then mean and worst case of the cells, and what each of ours
lacks to the best peer. A seed draws the data, splits the classes and trains: cells whose clusters
are few or far from clear differ more from seed to seed than methods do.

    python -m benchmarks.grid --seeds 0 1 2
    python -m benchmarks.grid --sizes 2 20 --n-features 128 --rates 0.9 --n-samples 1000
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.accuracy import Tune, measure, ours, without_labels
from benchmarks.machine import describe_machine
from benchmarks.more_peers import fit_infomap
from benchmarks.peers import fit_average_linkage
from sklearn_hilander.datasets import make_identities

SIZES, N_FEATURES, RATES = (2, 8, 20, 150), (32, 128, 512), (0.75, 0.9, 0.98)
# A class of 150 needs more rows around it than one of 2.
MIN_CLASSES = 30
OURS = ("pretrained", "meta-trained")
PEERS: dict[str, Tune] = {"average linkage": fit_average_linkage, "Infomap": fit_infomap}


def halves(
    n_samples: int, n_features: int, mean_size: float, rate: float, seed: int = 0
) -> tuple[tuple, tuple]:
    """Rows and classes to learn from, and others of the same kind to cluster."""
    n_samples = max(n_samples, round(MIN_CLASSES * mean_size))
    X, y = make_identities(
        2 * n_samples,
        n_features,
        mean_size=mean_size,
        max_size=max(500, round(3 * mean_size)),
        nn_rate=rate,
        random_state=seed,
    )
    first = np.random.RandomState(seed).permutation(y.max() + 1) % 2 == 0
    known = first[y]
    return (X[known], y[known]), (X[~known], y[~known])


def methods(seed: int) -> dict[str, Tune]:
    """Ours, then the peers, of which none is random."""
    return dict(zip(OURS, (without_labels("default"), ours(seed)), strict=True)) | PEERS


def mean_f(found: list[dict[str, dict]], names: tuple[str, ...]) -> np.ndarray:
    """Mean pairwise F of each method over the seeds."""
    return np.mean([[of_seed[name]["pairwise_f"] for name in names] for of_seed in found], axis=0)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=float, nargs="+", default=SIZES)
    parser.add_argument("--n-features", type=int, nargs="+", default=N_FEATURES)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--n-samples", type=int, default=2_000, help="rows of each half, at least")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, help="JSON file (default: benchmarks/results/...)")
    args = parser.parse_args()
    out = args.out or Path(__file__).parent / "results" / "grid.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    names = (*OURS, *PEERS)
    cells = []
    print("| mean size | features | 1-NN rate | " + " | ".join(names) + " |")
    print("|---" * (3 + len(names)) + "|")
    for size, n_features, rate in product(args.sizes, args.n_features, args.rates):
        cell: dict = {"mean_size": size, "n_features": n_features, "nn_rate": rate}
        try:
            data = [halves(args.n_samples, n_features, size, rate, seed) for seed in args.seeds]
        except ValueError as error:
            print(f"| {size:g} | {n_features} | {rate} | cannot be made: {error} |", flush=True)
            continue
        cell["found"] = [
            {name: measure(tune, train, test) for name, tune in methods(seed).items()}
            for seed, (train, test) in zip(args.seeds, data, strict=True)
        ]
        cells.append(cell)
        figures = mean_f(cell["found"], names)
        row = " | ".join(f"{figure:.3f}" for figure in figures)
        print(f"| {size:g} | {n_features} | {rate} | {row} |", flush=True)
        out.write_text(
            json.dumps({**describe_machine(), "seeds": args.seeds, "cells": cells}, indent=2) + "\n"
        )
    if not cells:
        return
    table = np.array([mean_f(cell["found"], names) for cell in cells])
    best = table[:, len(OURS) :].max(axis=1)
    print("\nmean, worst case:")
    for name, of_method in zip(names, table.T, strict=True):
        print(f"  {name}: {of_method.mean():.3f}, {of_method.min():.3f}")
    print("most that the best peer has more, and in how many cells more than .05:")
    for name, of_method in zip(OURS, table.T, strict=False):
        lead = best - of_method
        print(f"  {name}: {lead.max():.3f}, {(lead > 0.05).sum()} of {len(cells)}")
    print(f"\n{out}")


if __name__ == "__main__":
    main()
