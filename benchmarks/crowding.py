"""Meta-trained on few rows, run on many of other classes of the same kind.

More classes in the same space stand nearer to each other. How much is lost against the same
method meta-trained on as many rows as it clusters, and is it above Infomap tuned on the few? Of
each clustering the purity of the largest cluster is told, too.

    python -m benchmarks.crowding --sizes 50000
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from benchmarks.accuracy import measure, ours, without_labels
from benchmarks.machine import describe_machine
from benchmarks.more_peers import fit_infomap
from sklearn_hilander.datasets import make_identities

N_FEATURES, MEAN_SIZE = 256, 20


def parts(sizes: list[int], rate: float, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows of disjoint classes from one space, about as many as asked for each part."""
    X, y = make_identities(
        sum(sizes), N_FEATURES, mean_size=MEAN_SIZE, nn_rate=rate, random_state=seed
    )
    counts = np.bincount(y)
    order = np.random.RandomState(seed).permutation(len(counts))
    ends = np.searchsorted(np.cumsum(counts[order]), np.cumsum(sizes))
    part_of_class = np.empty(len(counts), dtype=np.int64)
    part_of_class[order] = np.searchsorted(ends, np.arange(len(counts)), side="left")
    part = np.minimum(part_of_class, len(sizes) - 1)[y]
    return [(X[part == at], y[part == at]) for at in range(len(sizes))]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[50_000])
    parser.add_argument("--few", type=int, default=5_000, help="rows that teach")
    parser.add_argument("--rate", type=float, default=0.9, help="1-NN rate of all rows together")
    parser.add_argument("--methods", nargs="+", help="begin of names (default: all)")
    parser.add_argument("--out", type=Path, help="JSON file (default: benchmarks/results/...)")
    args = parser.parse_args()
    out = args.out or Path(__file__).parent / "results" / "crowding.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    results = []
    for size in args.sizes:
        few, many, test = parts([args.few, size, size], args.rate)
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
            results.append({"n_samples": size, "method": name, **found})
            print(
                f"{size}: {name}: {found['pairwise_f']:.3f} / {found['bcubed_f']:.3f}, largest "
                f"cluster {found['largest_cluster']} rows, purity "
                f"{found['largest_cluster_purity']:.2f}",
                flush=True,
            )
            out.write_text(json.dumps({**describe_machine(), "runs": results}, indent=2) + "\n")
    print(f"\n{out}")


if __name__ == "__main__":
    main()
