"""Feed the test rows of pairs in chunks to ``partial_fit``; compare with clustering all at once.

    python -m benchmarks.stream --data FOLDER --pairs banking omniglot
    python -m benchmarks.stream --data FOLDER --order file

Rows come shuffled unless ``--order file`` keeps the order of the file. ``partial_fit`` is as it is
by default, without clustering afresh (``min_growth=None``), and with other growths; the default
clusters afresh with each of ten equal chunks. The pairwise F after each chunk is compared with that
of a ``fit`` on all rows so far. What is kept is the share of known rows that have the same label
after a chunk as before it, and the same number by ``match_labels``. Seconds of processor time are
printed beside those of the exact neighbour search of the chunk's rows among all rows so far.
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
from sklearn_hilander.metrics import match_labels

N_SEARCHED = 40  # neighbours, as many as the relational architecture takes
N_TIMINGS = 5


def search_seconds(X: np.ndarray, rows: np.ndarray) -> float:
    """What the exact search for the neighbours of some rows among the rows up to them takes."""
    unit = X[: rows[-1] + 1]
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    took = []
    for _ in range(N_TIMINGS):
        start = time.process_time()
        np.argpartition(-(unit[rows] @ unit.T), min(N_SEARCHED, len(unit) - 1), axis=1)
        took.append(time.process_time() - start)
    return min(took)


def share_kept(before: np.ndarray, now: np.ndarray) -> float:
    """Share of the rows of before that have the same number now; 1 if there were none."""
    return float((before == now[: len(before)]).mean()) if len(before) else 1.0


def all_at_once(
    model: HiLanderClustering, X: np.ndarray, y: np.ndarray, n_chunks: int, seed: int
) -> list[dict]:
    """What a fit on all rows up to the end of each chunk takes, and comes to."""
    steps = []
    for rows in np.array_split(np.arange(len(X)), n_chunks):
        seen = rows[-1] + 1
        start = time.process_time()
        labels = HiLanderClustering(pretrained=model, random_state=seed).fit_predict(X[:seen])
        seconds = time.process_time() - start
        steps.append(
            figures(y[:seen], labels)
            | {"seconds": seconds, "search_seconds": search_seconds(X, rows)}
        )
    return steps


def stream(
    clusterer: HiLanderClustering,
    X: np.ndarray,
    y: np.ndarray,
    n_chunks: int,
    min_growth: float | None,
    whole: list[dict],
) -> list[dict]:
    """Feed the rows in chunks; what each chunk took, what was lost, and what kept its label."""
    steps, seen = [], 0
    before = ids = np.zeros(0, dtype=np.int64)
    for rows, at_once in zip(np.array_split(np.arange(len(X)), n_chunks), whole, strict=True):
        start = time.process_time()
        clusterer.partial_fit(X[rows], min_growth=min_growth)
        seconds = time.process_time() - start
        seen += len(rows)
        labels, lasting = clusterer.labels_, match_labels(ids, clusterer.labels_)
        found = figures(y[:seen], clusterer.labels_)["pairwise_f"]
        steps.append(
            {
                "rows": len(rows),
                "n_clusters": clusterer.n_clusters_,
                "pairwise_f": found,
                "lost": at_once["pairwise_f"] - found,
                "kept": share_kept(before, labels),
                "kept_matched": share_kept(ids, lasting),
                "seconds": seconds,
            }
        )
        before, ids = labels, lasting
    return steps


def run_pair(train: Path, test: Path, args: argparse.Namespace, seed: int) -> dict:
    """Figures of one pair and seed."""
    model = HiLanderClustering(random_state=seed).fit(*load(train))
    X, y = load(test)
    if args.order == "shuffled":
        order = np.random.default_rng(seed).permutation(len(X))
        X, y = X[order], y[order]
    whole = all_at_once(model, X, y, args.chunks, seed)
    streams = []
    for min_growth in (None, *args.min_growth):
        clusterer = HiLanderClustering(pretrained=model, random_state=seed)
        steps = stream(clusterer, X, y, args.chunks, min_growth, whole)
        found = figures(y, clusterer.labels_)
        streams.append({"min_growth": min_growth, **found, "chunks": steps})
    labels = HiLanderClustering(pretrained=model, random_state=seed).fit_predict(X)
    half = HiLanderClustering(pretrained=model, random_state=seed).fit(X[::2])
    start = time.process_time()
    predicted = half.predict(X[1::2])
    return {
        "seed": seed,
        "at_once": figures(y, labels),
        "at_once_chunks": whole,
        "streams": streams,
        "half_predicted": figures(y[1::2], predicted),
        "half_at_once": figures(y[1::2], labels[1::2]),
        "half_seconds": time.process_time() - start,
    }


def growth(seconds: list[float]) -> str:
    """How the cost of a chunk grew, from the second to the last: the first is a plain fit."""
    return f"{seconds[-1] / max(seconds[min(1, len(seconds) - 1)], 1e-9):.1f} times"


def show(name: str, run: dict, args: argparse.Namespace) -> None:
    """Print the figures of one run."""
    print(f"{name}, seed {run['seed']}, {args.order}, {args.chunks} chunks")

    def line(way: str, found: dict) -> None:
        print(
            f"  {way}: pairwise F {found['pairwise_f']:.3f}, BCubed F {found['bcubed_f']:.3f}, "
            f"{found['n_clusters']} clusters of {found['n_classes']}"
        )

    def each(steps: list[dict], what: str, digits: int) -> list[float]:
        values = [step[what] for step in steps]
        print(f"    {what}: " + " ".join(f"{value:.{digits}f}" for value in values))
        return values

    line("half predicted", run["half_predicted"])
    line("the same half at once", run["half_at_once"])
    whole = run["at_once_chunks"]
    line("at once, each time anew", run["at_once"])
    each(whole, "pairwise_f", 3)
    took = each(whole, "seconds", 2)
    print(f"      {sum(took):.1f} s; from the second chunk to the last {growth(took)}")
    search = each(whole, "search_seconds", 4)
    print(f"      from the second chunk to the last {growth(search)}")
    for found in run["streams"]:
        steps, min_growth = found["chunks"], found["min_growth"]
        line(f"partial_fit(min_growth={min_growth})", found)
        lost = each(steps, "lost", 3)
        print(f"      at the end {lost[-1]:.3f}, at most {max(lost):.3f}")
        for what in ("kept", "kept_matched"):
            kept = each(steps, what, 3)[1:]
            if kept:
                print(f"      mean {np.mean(kept):.3f}, at least {min(kept):.3f}")
        took = each(steps, "seconds", 2)
        print(f"      {sum(took):.1f} s; from the second chunk to the last {growth(took)}")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_pair_arguments(parser, ["banking", "omniglot"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--chunks", type=int, default=10)
    parser.add_argument("--min-growth", type=float, nargs="*", default=[1.25, 1.05])
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
