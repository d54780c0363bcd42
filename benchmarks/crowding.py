"""Meta-trained on few rows, run on many of other classes of the same kind.

More classes in the same space stand nearer to each other. How much is lost against the same
method meta-trained on as many rows as it clusters, and is it above Infomap tuned on the few? Of
each clustering the purity of the largest cluster is told, too.

    python -m benchmarks.crowding --sizes 50000
    python -m benchmarks.crowding --sizes 50000 --kinds glyphs
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.accuracy import measure, ours, without_labels
from benchmarks.machine import describe_machine
from benchmarks.more_peers import fit_infomap
from sklearn_hilander.datasets import load_glyphs, make_identities
from sklearn_hilander.encoding import ClassifierEncoder

N_FEATURES, MEAN_SIZE = 256, 20
# Characters that the encoder of the glyphs is trained on.
N_ENCODER = 400

Parts = list[tuple[np.ndarray, np.ndarray]]


def identities(sizes: list[int], rate: float, seed: int = 0) -> Parts:
    """Rows of disjoint classes from one space, about as many as asked for each part."""
    X, y = make_identities(
        sum(sizes), N_FEATURES, mean_size=MEAN_SIZE, nn_rate=rate, random_state=seed
    )
    return [(X[rows], y[rows]) for rows in divided(y, sizes, seed)]


def glyphs(sizes: list[int], seed: int = 0) -> Parts:
    """Encoded characters, drawn as often as it takes; all in the space of one encoder."""
    first = load_glyphs(random_state=seed)
    X, y, shape = first.data, first.target, first.images.shape[1:]
    known = np.random.RandomState(seed).permutation(y.max() + 1)[:N_ENCODER]
    encoder = ClassifierEncoder(image_shape=shape, max_iter=12, margin=0.2, random_state=seed)
    to_learn = np.isin(y, known)
    encoder.fit(X[to_learn], y[to_learn])
    n_draws = -(-sum(sizes) // int((~to_learn).sum()))
    rows, classes = [], []
    for at in range(n_draws):
        if at > 0:
            X, y = load_glyphs(random_state=seed + at, return_X_y=True)
        others = ~np.isin(y, known)
        rows.append(encoder.transform(X[others]))
        classes.append(y[others])
    X, y = np.concatenate(rows), np.concatenate(classes)
    return [(X[part], y[part]) for part in divided(y, sizes, seed)]


def divided(y: np.ndarray, sizes: list[int], seed: int) -> list[np.ndarray]:
    """Rows of each part: whole classes, in the ratio of the sizes."""
    counts = np.bincount(y)
    order = np.random.RandomState(seed).permutation(len(counts))
    ends = np.cumsum(sizes) * (len(y) / sum(sizes))
    part_of_class = np.empty(len(counts), dtype=np.int64)
    part_of_class[order] = np.searchsorted(ends, np.cumsum(counts[order]) - counts[order], "right")
    part = np.minimum(part_of_class, len(sizes) - 1)[y]
    return [np.flatnonzero(part == at) for at in range(len(sizes))]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[50_000])
    parser.add_argument("--few", type=int, default=5_000, help="rows that teach")
    parser.add_argument("--rate", type=float, default=0.9, help="1-NN rate of all rows together")
    parser.add_argument("--kinds", nargs="+", choices=("identities", "glyphs"))
    parser.add_argument("--methods", nargs="+", help="begin of names (default: all)")
    parser.add_argument("--out", type=Path, help="JSON file (default: benchmarks/results/...)")
    args = parser.parse_args()
    out = args.out or Path(__file__).parent / "results" / "crowding.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    results = []
    kinds = args.kinds or ("identities", "glyphs")
    for size, kind in product(args.sizes, kinds):
        sizes = [args.few, size, size]
        few, many, test = glyphs(sizes) if kind == "glyphs" else identities(sizes, args.rate)
        methods = {
            f"meta-trained on {args.few}": (ours(0), few),
            "meta-trained on as many": (ours(0), many),
            "pretrained, no labels": (without_labels("default"), few),
            f"Infomap tuned on {args.few}": (fit_infomap, few),
        }
        for name, (tune, train) in methods.items():
            if args.methods and not name.startswith(tuple(args.methods)):
                continue
            found = measure(tune, train, test)
            n_rows = {"n_train": len(train[0]), "n_samples": len(test[0])}
            results.append({"kind": kind, **n_rows, "method": name, **found})
            print(
                f"{len(test[0])} {kind}: {name}: {found['pairwise_f']:.3f} / "
                f"{found['bcubed_f']:.3f}, largest cluster {found['largest_cluster']} rows, "
                f"purity {found['largest_cluster_purity']:.2f}",
                flush=True,
            )
            out.write_text(json.dumps({**describe_machine(), "runs": results}, indent=2) + "\n")
    print(f"\n{out}")


if __name__ == "__main__":
    main()
