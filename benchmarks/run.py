"""Meta-train and cluster the pairs of a data folder; print one row as a table, and JSON beside it.

What a pair is: see ``benchmarks/pairs.py``.

    python -m benchmarks.run --data FOLDER
    python -m benchmarks.run --data FOLDER --setting paper-gcn
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.machine import describe_machine, peak_memory_mb
from benchmarks.pairs import add_pair_arguments, chosen_pairs, load
from benchmarks.peers import figures
from sklearn_hilander import HiLanderClustering
from sklearn_hilander.inspection import LinkageCalibrationDisplay

# The authors' settings: their k counts the sample itself. Their scripts use a threshold of 0.8
# for faces (GCN) and 0.1 for species (GAT).
PAPER = dict(n_neighbors=9, max_iter=250, hidden_dim=512, learning_rate=0.01, batch_size=4096)
SETTINGS = {
    "default": {},
    "paper-gcn": dict(architecture="paper-gcn", linkage_threshold=0.8, **PAPER),
    "paper-gcn-auto": dict(architecture="paper-gcn", **PAPER),
    "paper-gat": dict(architecture="paper-gat", linkage_threshold=0.1, **PAPER),
}


def run_pair(
    train: Path,
    test: Path,
    setting: dict,
    seed: int,
    thresholds: list[float],
    curves: Path | None = None,
) -> dict:
    """Figures of one pair and seed, and of other thresholds of the same model."""
    clusterer = HiLanderClustering(random_state=seed, **setting)
    start = time.perf_counter()
    clusterer.fit(*load(train))
    fit_seconds = time.perf_counter() - start
    X, y = load(test)
    start = time.perf_counter()
    labels = clusterer.fit_predict(X)
    seconds = time.perf_counter() - start
    threshold_used = clusterer.linkage_threshold_
    curve = Figure(layout="constrained")
    calibration = LinkageCalibrationDisplay.from_estimator(clusterer, None, y, ax=curve.subplots())
    if curves is not None:
        curves.mkdir(parents=True, exist_ok=True)
        curve.savefig(curves / f"{test.stem}-{seed}.png", dpi=120)
    others = {}
    for threshold in thresholds:
        clusterer.set_params(linkage_threshold=threshold)
        others[threshold] = {
            name: round(value, 4)
            for name, value in figures(y, clusterer.fit_predict(X)).items()
            if name in ("pairwise_f", "bcubed_f", "n_clusters")
        }
    return {
        "seed": seed,
        **figures(y, labels),
        "linkage_threshold": threshold_used,
        "selected": clusterer.selected_,
        "calibration_error": calibration.expected_calibration_error,
        "fit_seconds": fit_seconds,
        "cluster_seconds": seconds,
        "other_thresholds": others,
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_pair_arguments(parser)
    parser.add_argument("--setting", choices=SETTINGS, default="default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--thresholds",
        type=float,
        nargs="+",
        default=[],
        help="also cluster the test classes at these thresholds, for information",
    )
    parser.add_argument("--curves", type=Path, help="folder for pictures of the calibration")
    parser.add_argument("--out", type=Path, help="JSON file (default: benchmarks/results/...)")
    args = parser.parse_args()
    pairs = chosen_pairs(parser, args)
    out = args.out or Path(__file__).parent / "results" / f"run-{args.setting}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    results = {"setting": args.setting, **describe_machine(), "pairs": {}}
    cells = []
    for name, files in pairs.items():
        runs = [
            run_pair(*files, SETTINGS[args.setting], seed, args.thresholds, args.curves)
            for seed in args.seeds
        ]
        results["pairs"][name] = runs
        pairwise = np.array([run["pairwise_f"] for run in runs])
        bcubed = np.array([run["bcubed_f"] for run in runs])
        cells.append(f"{pairwise.mean():.3f} / {bcubed.mean():.3f}".replace("0.", "."))
        print(
            f"{name}: pairwise F {pairwise.mean():.3f} (spread {np.ptp(pairwise):.3f}), "
            f"BCubed F {bcubed.mean():.3f}, NMI {np.mean([r['nmi'] for r in runs]):.3f}, "
            f"{runs[0]['n_clusters']} clusters of {runs[0]['n_classes']}, threshold "
            f"{runs[0]['linkage_threshold']}, linkage calibration error "
            f"{np.mean([run['calibration_error'] for run in runs]):.3f}, "
            f"fit {runs[0]['fit_seconds']:.0f} s, cluster {runs[0]['cluster_seconds']:.1f} s",
            flush=True,
        )
        results["peak_memory_mb"] = peak_memory_mb()
        out.write_text(json.dumps(results, indent=2) + "\n")
    print("\n| method (how tuned) | " + " | ".join(pairs) + " |")
    print("|---" * (len(pairs) + 1) + "|")
    print(f"| HiLanderClustering, {args.setting} | " + " | ".join(cells) + " |")
    print(f"\n{out}")


if __name__ == "__main__":
    main()
