"""Feed the test rows of pairs in chunks to ``partial_fit``; compare with clustering all at once.

    python -m benchmarks.stream --data FOLDER --pairs banking omniglot
    python -m benchmarks.stream --data FOLDER --order file

Rows come shuffled unless ``--order file`` keeps the order of the file. For each chunk the seconds
of ``partial_fit`` are printed beside those of the neighbour search of its rows among all rows so
far, done exactly.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.peers import figures
from benchmarks.run import find_pairs, load
from sklearn_hilander import HiLanderClustering


def stream(clusterer: HiLanderClustering, X: np.ndarray, n_chunks: int) -> list[dict]:
    """Feed the rows in chunks; what each chunk took."""
    steps, seen = [], 0
    for rows in np.array_split(np.arange(len(X)), n_chunks):
        start = time.perf_counter()
        clusterer.partial_fit(X[rows])
        seconds = time.perf_counter() - start
        seen += len(rows)
        unit = X[:seen] / np.linalg.norm(X[:seen], axis=1, keepdims=True)
        start = time.perf_counter()
        np.argpartition(-(unit[rows] @ unit.T), min(40, seen - 1), axis=1)
        search = time.perf_counter() - start
        steps.append(
            {
                "rows": len(rows),
                "n_clusters": clusterer.n_clusters_,
                "seconds": round(seconds, 3),
                "search_seconds": round(search, 3),
            }
        )
    return steps


def run_pair(train: Path, test: Path, args: argparse.Namespace, seed: int) -> dict:
    """Figures of one pair and seed."""
    model = HiLanderClustering(random_state=seed).fit(*load(train))
    X, y = load(test)
    if args.order == "shuffled":
        order = np.random.default_rng(seed).permutation(len(X))
        X, y = X[order], y[order]
    start = time.perf_counter()
    whole = HiLanderClustering(pretrained=model, random_state=seed).fit(X)
    whole_seconds = time.perf_counter() - start
    streamed = HiLanderClustering(pretrained=model, random_state=seed)
    steps = stream(streamed, X, args.chunks)
    start = time.perf_counter()
    predicted = HiLanderClustering(pretrained=model, random_state=seed).fit(X[::2]).predict(X[1::2])
    half_seconds = time.perf_counter() - start
    return {
        "seed": seed,
        "at_once": figures(y, whole.labels_),
        "streamed": figures(y, streamed.labels_),
        "half_predicted": figures(y[1::2], predicted),
        "half_at_once": figures(y[1::2], whole.labels_[1::2]),
        "whole_seconds": whole_seconds,
        "half_seconds": half_seconds,
        "chunks": steps,
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("HILANDER_DATA"),
        help="folder of the pairs (default: environment variable HILANDER_DATA)",
    )
    parser.add_argument("--pairs", nargs="+", default=["banking", "omniglot"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--chunks", type=int, default=10)
    parser.add_argument("--order", choices=["shuffled", "file"], default="shuffled")
    parser.add_argument("--out", type=Path, help="JSON file (default: benchmarks/results/...)")
    args = parser.parse_args()
    if args.data is None:
        parser.error("name the data folder: --data FOLDER, or the variable HILANDER_DATA")
    pairs = find_pairs(Path(args.data))
    unknown = set(args.pairs) - set(pairs)
    if unknown:
        parser.error(f"--pairs: {sorted(unknown)} not in {args.data}; there are {sorted(pairs)}")
    out = args.out or Path(__file__).parent / "results" / f"stream-{args.order}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    results = {"order": args.order, **describe_machine(), "pairs": {}}
    for name in args.pairs:
        runs = [run_pair(*pairs[name], args, seed) for seed in args.seeds]
        results["pairs"][name] = runs
        for run in runs:
            once, streamed = run["at_once"], run["streamed"]
            print(
                f"{name}, seed {run['seed']}: pairwise F {once['pairwise_f']:.3f} at once, "
                f"{streamed['pairwise_f']:.3f} in {args.chunks} chunks "
                f"({once['n_clusters']} and {streamed['n_clusters']} clusters of "
                f"{once['n_classes']}); BCubed F {once['bcubed_f']:.3f} and "
                f"{streamed['bcubed_f']:.3f}"
            )
            print(
                f"  half predicted: pairwise F {run['half_predicted']['pairwise_f']:.3f}, the "
                f"same rows at once {run['half_at_once']['pairwise_f']:.3f}"
            )
            print(
                "  seconds a chunk: "
                + " ".join(f"{step['seconds']:.2f}" for step in run["chunks"])
                + "; of which search: "
                + " ".join(f"{step['search_seconds']:.2f}" for step in run["chunks"])
                + f"; all at once: {run['whole_seconds']:.1f}"
            )
        out.write_text(json.dumps(results, indent=2) + "\n")
    print(out)


if __name__ == "__main__":
    main()
