"""Feed the test rows of pairs in chunks to ``partial_fit``; compare with clustering all at once.

    python -m benchmarks.stream --data FOLDER --pairs banking omniglot
    python -m benchmarks.stream --data FOLDER --order file

Rows come shuffled unless ``--order file`` keeps the order of the file. ``partial_fit`` is alone, or
followed by ``recluster(min_growth=...)`` after each chunk; 1 clusters afresh every time. For each
chunk the seconds of processor time are printed beside those of the neighbour search of its rows
among all rows so far, done exactly.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.pairs import add_pair_arguments, chosen_pairs, load
from benchmarks.peers import figures
from sklearn_hilander import HiLanderClustering


def stream(
    clusterer: HiLanderClustering,
    X: np.ndarray,
    y: np.ndarray,
    n_chunks: int,
    min_growth: float | None,
) -> list[dict]:
    """Feed the rows in chunks; what each chunk took, and came to."""
    steps, seen = [], 0
    for rows in np.array_split(np.arange(len(X)), n_chunks):
        start = time.process_time()
        clusterer.partial_fit(X[rows])
        joined = time.process_time()
        known = clusterer.labels_
        if min_growth is not None:
            clusterer.recluster(min_growth=min_growth)
        reclustered = time.process_time()
        seen += len(rows)
        unit = X[:seen] / np.linalg.norm(X[:seen], axis=1, keepdims=True)
        searched = time.process_time()
        np.argpartition(-(unit[rows] @ unit.T), min(40, seen - 1), axis=1)
        search = time.process_time() - searched
        steps.append(
            {
                "rows": len(rows),
                "n_clusters": clusterer.n_clusters_,
                "pairwise_f": figures(y[:seen], clusterer.labels_)["pairwise_f"],
                "changed_labels": int((known != clusterer.labels_).sum()),
                "seconds": round(joined - start, 3),
                "recluster_seconds": round(reclustered - joined, 3),
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
    start = time.process_time()
    whole = HiLanderClustering(pretrained=model, random_state=seed).fit(X)
    whole_seconds = time.process_time() - start
    streams = []
    for min_growth in (None, *args.min_growth):
        clusterer = HiLanderClustering(pretrained=model, random_state=seed)
        steps = stream(clusterer, X, y, args.chunks, min_growth)
        found = figures(y, clusterer.labels_)
        streams.append({"min_growth": min_growth, **found, "chunks": steps})
    half = HiLanderClustering(pretrained=model, random_state=seed).fit(X[::2])
    start = time.process_time()
    predicted = half.predict(X[1::2])
    return {
        "seed": seed,
        "at_once": figures(y, whole.labels_),
        "streams": streams,
        "half_predicted": figures(y[1::2], predicted),
        "half_at_once": figures(y[1::2], whole.labels_[1::2]),
        "whole_seconds": whole_seconds,
        "half_seconds": time.process_time() - start,
    }


def show(name: str, run: dict, args: argparse.Namespace) -> None:
    """Print the figures of one run."""
    print(f"{name}, seed {run['seed']}, {args.order}: all at once in {run['whole_seconds']:.1f} s")

    def line(way: str, found: dict) -> None:
        print(
            f"  {way}: pairwise F {found['pairwise_f']:.3f}, BCubed F {found['bcubed_f']:.3f}, "
            f"{found['n_clusters']} clusters of {found['n_classes']}"
        )

    line("at once", run["at_once"])
    line("half predicted", run["half_predicted"])
    line("the same half at once", run["half_at_once"])
    for found in run["streams"]:
        steps, growth = found["chunks"], found["min_growth"]
        shown = ["pairwise_f", "seconds", "recluster_seconds", "search_seconds"]
        way = f"partial_fit in {args.chunks} chunks"
        if growth is None:
            shown.remove("recluster_seconds")
        else:
            way += f", recluster(min_growth={growth:g})"
        line(way, found)
        for what in shown:
            print(f"    {what}: " + " ".join(f"{step[what]:.2f}" for step in steps))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_pair_arguments(parser, ["banking", "omniglot"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--chunks", type=int, default=10)
    parser.add_argument("--min-growth", type=float, nargs="*", default=[1.25, 1.0])
    parser.add_argument("--order", choices=["shuffled", "file"], default="shuffled")
    parser.add_argument("--out", type=Path, help="JSON file (default: benchmarks/results/...)")
    args = parser.parse_args()
    pairs = chosen_pairs(parser, args)
    out = args.out or Path(__file__).parent / "results" / f"stream-{args.order}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    results = {"order": args.order, **describe_machine(), "pairs": {}}
    for name, files in pairs.items():
        runs = [run_pair(*files, args, seed) for seed in args.seeds]
        results["pairs"][name] = runs
        for run in runs:
            show(name, run, args)
        out.write_text(json.dumps(results, indent=2) + "\n")
    print(out)


if __name__ == "__main__":
    main()
