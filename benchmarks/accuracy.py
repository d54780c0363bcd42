"""One table: our default, our two ways without labels, the paper's, and what people use today.

Every method is tuned on the training classes of each pair, in the same run; the test classes are
looked at once. Peers whose package is not installed are left out, with a line that says so. The
paper's own network trains for a long time: one seed, the first one.

    python -m benchmarks.accuracy --data FOLDER --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.more_peers import MORE_PEERS, PACKAGE_OF
from benchmarks.oracles import ORACLES
from benchmarks.pairs import add_pair_arguments, chosen_pairs, load
from benchmarks.peers import PEERS, figures
from benchmarks.run import SETTINGS
from sklearn_hilander import HiLanderClustering

Tune = Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]


def ours(seed: int, **params: object) -> Tune:
    """Our estimator, meta-trained on the training classes."""

    def tune(X: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        return HiLanderClustering(random_state=seed, **params).fit(X, y).fit_predict

    return tune


def without_labels(pretrained: str | None) -> Tune:
    """Our estimator, given rows alone."""
    return lambda X, y: HiLanderClustering(pretrained=pretrained, random_state=0).fit_predict


def methods(seeds: list[int], y_test: np.ndarray) -> list[tuple[str, str, list[Tune]]]:
    """Name, what is tuned, and one tuner a seed; the last ones are oracles."""
    out = [
        ("HiLanderClustering, default", "learned", [ours(seed) for seed in seeds]),
        ("HiLanderClustering, pretrained", "nothing", [without_labels("default")]),
        ("HiLanderClustering, untrained", "nothing", [without_labels(None)]),
        ("HiLanderClustering, paper-gcn", "weights", [ours(seeds[0], **SETTINGS["paper-gcn"])]),
    ]
    for peer in (*MORE_PEERS, *PEERS):
        package = PACKAGE_OF.get(peer.name)
        if package is not None and find_spec(package) is None:
            print(f"{peer.name} is left out: pip install {package}")
            continue
        seeded = [partial(peer.fit, seed=seed) for seed in seeds]
        out.append((peer.name, peer.tuned, seeded if peer.is_random else [peer.fit]))
    for name, told, oracle in ORACLES:
        knowing = partial(oracle, y=y_test)
        out.append((name, told, [lambda X, y, knowing=knowing: knowing]))
    return out


def measure(tune: Tune, train: tuple, test: tuple) -> dict:
    """Figures and seconds of one method on one pair."""
    start = time.perf_counter()
    cluster = tune(*train)
    tuned = time.perf_counter()
    found = figures(test[1], np.asarray(cluster(test[0])))
    return {
        **found,
        "tune_seconds": tuned - start,
        "cluster_seconds": time.perf_counter() - tuned,
    }


def cell(runs: list[dict]) -> str:
    """Mean pairwise / BCubed F, and the spread of the pairwise one over several seeds."""
    pairwise = np.array([run["pairwise_f"] for run in runs])
    bcubed = np.array([run["bcubed_f"] for run in runs])
    text = f"{pairwise.mean():.3f} / {bcubed.mean():.3f}".replace("0.", ".")
    if len(runs) > 1:
        text += f" ({np.ptp(pairwise):.3f})".replace("0.", ".")
    return text


def seconds(runs: list[dict]) -> str:
    """Mean seconds of tuning and of clustering."""
    tune, cluster = (
        np.mean([run[f"{name}_seconds"] for run in runs]) for name in ("tune", "cluster")
    )
    return f"{tune:.1f} + {cluster:.1f}"


def largest(runs: list[dict]) -> str:
    """Rows of the largest cluster and their purity, in the run where it is least pure."""
    run = min(runs, key=lambda run: run["largest_cluster_purity"])
    return f"{run['largest_cluster']}, {run['largest_cluster_purity']:.2f}"


# What the tables show of the runs of a method on a pair.
TABLES: dict[str, Callable[[list[dict]], str]] = {
    "pairwise F / BCubed F (spread of the former over the seeds)": cell,
    "seconds of tuning or training + of clustering": seconds,
    "rows of the largest cluster, and its purity": largest,
}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_pair_arguments(parser)
    parser.add_argument("--methods", nargs="+", help="begin of names (default: all)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, help="JSON file (default: benchmarks/results/...)")
    args = parser.parse_args()
    pairs = chosen_pairs(parser, args)
    out = args.out or Path(__file__).parent / "results" / "accuracy.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, list[dict]]] = {}
    for name, files in pairs.items():
        train, test = (load(path) for path in files)
        results[name] = {}
        for method, tuned, tuners in methods(args.seeds, test[1]):
            if args.methods and not method.startswith(tuple(args.methods)):
                continue
            runs = [measure(tune, train, test) for tune in tuners]
            results[name][f"{method} ({tuned})"] = runs
            print(f"{name}: {method}: {cell(runs)}", flush=True)
            content = {**describe_machine(), "pairs": results}
            out.write_text(json.dumps(content, indent=2) + "\n")
    for title, show in TABLES.items():
        print(f"\n{title}\n\n| method (what is tuned) | " + " | ".join(results) + " |")
        print("|---" * (len(results) + 1) + "|")
        for method in next(iter(results.values())):
            cells = (show(of_pair[method]) for of_pair in results.values())
            print(f"| {method} | " + " | ".join(cells) + " |")
    print(f"\n{out}")


if __name__ == "__main__":
    main()
