"""One table: our default, our two ways without labels, and what people use today.

Every method is tuned on the training classes of each pair, in the same run; the test classes are
looked at once. Peers whose package is not installed are left out, with a line that says so.

    python -m benchmarks.accuracy --data FOLDER --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.more_peers import MORE_PEERS, PACKAGE_OF, k_means
from benchmarks.pairs import add_pair_arguments, chosen_pairs, load
from benchmarks.peers import PEERS, figures
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


def methods(seeds: list[int]) -> list[tuple[str, str, list[Tune]]]:
    """Name, what is tuned, and one tuner a seed."""
    out = [
        ("HiLanderClustering, default", "learned", [ours(seed) for seed in seeds]),
        ("HiLanderClustering, pretrained", "nothing", [without_labels("default")]),
        ("HiLanderClustering, untrained", "nothing", [without_labels(None)]),
    ]
    for peer in (*MORE_PEERS, *PEERS):
        package = PACKAGE_OF.get(peer.name)
        if package is not None and find_spec(package) is None:
            print(f"{peer.name} is left out: pip install {package}")
            continue
        out.append((peer.name, peer.tuned, [peer.fit]))
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
    table: dict[str, list[str]] = {}
    results: dict[str, dict] = {}
    oracle = "k-means, true k (an oracle)"
    for name, files in pairs.items():
        train, test = (load(path) for path in files)
        results[name] = {}
        for method, tuned, tuners in methods(args.seeds):
            if args.methods and not method.startswith(tuple(args.methods)):
                continue
            runs = [measure(tune, train, test) for tune in tuners]
            results[name][method] = runs
            table.setdefault(f"{method} ({tuned})", []).append(cell(runs))
            print(f"{name}: {method}: {cell(runs)}", flush=True)
            content = {**describe_machine(), "pairs": results}
            out.write_text(json.dumps(content, indent=2) + "\n")
        if not args.methods:
            runs = [figures(test[1], k_means(*test))]
            table.setdefault(oracle, []).append(cell(runs))
    print("\n| method (what is tuned) | " + " | ".join(pairs) + " |")
    print("|---" * (len(pairs) + 1) + "|")
    for method, cells in table.items():
        print(f"| {method} | " + " | ".join(cells) + " |")
    print(f"\n{out}")


if __name__ == "__main__":
    main()
