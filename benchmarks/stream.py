"""Feed the test rows of pairs in chunks to ``partial_fit``; compare with clustering all at once.

    python -m benchmarks.stream --data FOLDER --pairs banking omniglot
    python -m benchmarks.stream --data FOLDER --order file

Rows come shuffled unless ``--order file`` keeps the order of the file. Three ways: ``partial_fit``
alone; followed by ``recluster(min_growth=...)`` after each chunk; and that with one last
``recluster()``. For each chunk the seconds are printed beside those of the neighbour search of
its rows among all rows so far, done exactly.
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
        start = time.perf_counter()
        clusterer.partial_fit(X[rows])
        joined = time.perf_counter()
        known = clusterer.labels_
        if min_growth is not None:
            clusterer.recluster(min_growth=min_growth)
        reclustered = time.perf_counter()
        seen += len(rows)
        unit = X[:seen] / np.linalg.norm(X[:seen], axis=1, keepdims=True)
        searched = time.perf_counter()
        np.argpartition(-(unit[rows] @ unit.T), min(40, seen - 1), axis=1)
        search = time.perf_counter() - searched
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
    start = time.perf_counter()
    whole = HiLanderClustering(pretrained=model, random_state=seed).fit(X)
    whole_seconds = time.perf_counter() - start
    joined = HiLanderClustering(pretrained=model, random_state=seed)
    joined_steps = stream(joined, X, y, args.chunks, None)
    again = HiLanderClustering(pretrained=model, random_state=seed)
    again_steps = stream(again, X, y, args.chunks, args.min_growth)
    reclustered = figures(y, again.labels_)
    half = HiLanderClustering(pretrained=model, random_state=seed).fit(X[::2])
    start = time.perf_counter()
    predicted = half.predict(X[1::2])
    return {
        "seed": seed,
        "at_once": figures(y, whole.labels_),
        "streamed": figures(y, joined.labels_),
        "reclustered": reclustered,
        "reclustered_at_the_end": figures(y, again.recluster().labels_),
        "half_predicted": figures(y[1::2], predicted),
        "half_at_once": figures(y[1::2], whole.labels_[1::2]),
        "whole_seconds": whole_seconds,
        "half_seconds": time.perf_counter() - start,
        "chunks": joined_steps,
        "reclustered_chunks": again_steps,
    }


def show(run: dict, name: str, args: argparse.Namespace) -> None:
    """Print the figures of one run."""
    ways = {
        "at once": run["at_once"],
        f"partial_fit in {args.chunks} chunks": run["streamed"],
        f"with recluster(min_growth={args.min_growth})": run["reclustered"],
        "with recluster() at the end": run["reclustered_at_the_end"],
        "half predicted": run["half_predicted"],
        "the same half at once": run["half_at_once"],
    }
    print(f"{name}, seed {run['seed']}, {args.order}: all at once in {run['whole_seconds']:.1f} s")
    for way, found in ways.items():
        print(
            f"  {way}: pairwise F {found['pairwise_f']:.3f}, BCubed F {found['bcubed_f']:.3f}, "
            f"{found['n_clusters']} clusters of {found['n_classes']}"
        )
    for title, steps in (("alone", run["chunks"]), ("recluster", run["reclustered_chunks"])):
        for what, key in (
            ("partial_fit, seconds", "seconds"),
            ("recluster, seconds", "recluster_seconds"),
            ("exact search, seconds", "search_seconds"),
            ("pairwise F", "pairwise_f"),
        ):
            if key == "recluster_seconds" and title == "alone":
                continue
            print(f"  {title}: {what}: " + " ".join(f"{step[key]:.2f}" for step in steps))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_pair_arguments(parser, ["banking", "omniglot"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--chunks", type=int, default=10)
    parser.add_argument("--min-growth", type=float, default=1.25)
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
            show(run, name, args)
        out.write_text(json.dumps(results, indent=2) + "\n")
    print(out)


if __name__ == "__main__":
    main()
