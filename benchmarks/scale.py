"""Seconds, CPU seconds, memory and F from a thousand rows up, beside the neighbour search alone.

Every figure is taken in a process of its own, one after the other, on the same synthetic
identities. The model is meta-trained beforehand on other identities and is not counted.

    python -m benchmarks.scale --sizes 1000 10000 100000
    python -m benchmarks.scale --sizes 10000 100000 --methods hilander untrained search
"""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.machine import describe_machine, peak_memory_mb

N_META = 3_000
# What the time of our own methods goes to: rooms and their functions, none inside another.
STAGES = {
    "search": ("_relational", "build_neighbor_graph"),
    "search within two hops": ("_relational", "search_two_hops"),
    "pairs": ("_relational", "pair_graph"),
    "relations": ("_linkage_model", "graph_relations"),
    "relations to probabilities": ("_linkage_model", "probability_relations"),
    "whitening": ("_linkage_model", "whiten_by_links"),
    "relations of clusters": ("_judge", "cluster_relations"),
    "merges": ("_judge", "merge"),
    "networks": ("_linkage_model", "Perceptrons.log_odds"),
}


def make_rows(n_samples: int, n_features: int, mean_size: float, seed: int):
    """Identities of the benchmark."""
    from sklearn_hilander.datasets import make_identities

    return make_identities(
        n_samples, n_features, mean_size=mean_size, nn_rate=0.9, random_state=seed
    )


@contextmanager
def timed_stages(stages: dict[str, float]) -> Iterator[None]:
    """Add up the CPU seconds that each stage takes."""
    from importlib import import_module

    stages |= dict.fromkeys(STAGES, 0.0)
    undo = []
    for name, (room, path) in STAGES.items():
        owner = import_module(f"sklearn_hilander.{room}")
        *parts, attribute = path.split(".")
        for part in parts:
            owner = getattr(owner, part)
        original = getattr(owner, attribute)
        setattr(owner, attribute, _timed(original, stages, name))
        undo.append((owner, attribute, original))
    try:
        yield
    finally:
        for owner, attribute, original in undo:
            setattr(owner, attribute, original)


def _timed(call: Callable, stages: dict[str, float], name: str) -> Callable:
    def timed(*args: object, **kwargs: object) -> object:
        start = time.process_time()
        try:
            return call(*args, **kwargs)
        finally:
            stages[name] += time.process_time() - start

    return timed


def run_method(method: str, X: np.ndarray, model: str, n_jobs: int) -> tuple[dict, dict]:
    """Labels, or nothing for a search alone, and CPU seconds a stage."""
    stages: dict[str, float] = {}
    if method == "search":
        import torch

        from sklearn_hilander._neighbors import build_neighbor_graph

        torch.set_num_threads(n_jobs)
        build_neighbor_graph(torch.from_numpy(X), 40, n_threads=n_jobs)
        return {}, stages
    if method in ("default", "untrained", "hilander"):
        from sklearn_hilander import HiLanderClustering

        if method == "hilander":
            clusterer = pickle.loads(Path(model).read_bytes()).set_params(n_jobs=n_jobs)
        else:
            pretrained = "default" if method == "default" else None
            clusterer = HiLanderClustering(pretrained=pretrained, n_jobs=n_jobs)
        with timed_stages(stages):
            labels = clusterer.fit_predict(X)
        return {"labels": labels}, stages
    if method == "evoc":
        import evoc

        return {"labels": np.asarray(evoc.EVoC().fit_predict(X))}, stages
    if method == "hdbscan":
        from sklearn.cluster import HDBSCAN

        return {"labels": HDBSCAN(min_cluster_size=5, copy=True).fit_predict(X)}, stages
    raise ValueError(method)


METHODS = ("search", "hilander", "default", "untrained", "evoc", "hdbscan")


def measure(args: argparse.Namespace) -> dict:
    """One method at one size, in this process."""
    from benchmarks.peers import figures

    X, y = make_rows(args.sizes[0], args.n_features, args.mean_size, seed=1)
    before = peak_memory_mb()
    wall, cpu = time.perf_counter(), time.process_time()
    found, stages = run_method(args.worker, X, args.model, args.n_jobs)
    out = {
        "method": args.worker,
        "n_samples": len(X),
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "memory_above_input_mb": max(0.0, peak_memory_mb() - before),
        "input_mb": X.nbytes / 1e6,
        "stages": stages,
    }
    if "labels" in found:
        names = ("pairwise_f", "bcubed_f", "n_clusters", "n_classes")
        of_labels = figures(y, found["labels"])
        out |= {name: of_labels[name] for name in names}
    return out


def train_model(args: argparse.Namespace, path: Path) -> None:
    """The model that is ready before anything is measured."""
    from sklearn_hilander import HiLanderClustering

    X, y = make_rows(N_META, args.n_features, args.mean_size, seed=0)
    path.write_bytes(
        pickle.dumps(HiLanderClustering(random_state=0).fit(X, y).set_params(random_state=None))
    )


def draw(results: list[dict], path: Path) -> None:
    """Seconds over rows, both on logarithmic axes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for method in dict.fromkeys(row["method"] for row in results):
        rows = [row for row in results if row["method"] == method and "seconds" in row]
        axes.plot(
            [row["n_samples"] for row in rows], [row["seconds"] for row in rows], "o-", label=method
        )
    axes.set(xscale="log", yscale="log", xlabel="rows", ylabel="seconds")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["search", "hilander"])
    parser.add_argument("--n-features", type=int, default=256)
    parser.add_argument("--mean-size", type=float, default=20)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--limit", type=float, default=1_200, help="seconds a measurement may take")
    parser.add_argument("--model", default="", help="pickled estimator (default: trained first)")
    parser.add_argument("--out", type=Path, help="JSON file (default: benchmarks/results/...)")
    parser.add_argument("--plot", type=Path, help="picture of seconds over rows")
    parser.add_argument("--worker", choices=METHODS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(measure(args)))
        return
    out = args.out or Path(__file__).parent / "results" / "scale.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        if not args.model and "hilander" in args.methods:
            args.model = str(Path(folder) / "model.pkl")
            train_model(args, Path(args.model))
        for n_samples in args.sizes:
            for method in args.methods:
                row = run_worker(args, method, n_samples)
                results.append(row)
                print(describe(row), flush=True)
                content = {**describe_machine(), "n_features": args.n_features, "rows": results}
                out.write_text(json.dumps(content, indent=2) + "\n")
    if args.plot:
        draw(results, args.plot)
    print(f"\n{out}")


def run_worker(args: argparse.Namespace, method: str, n_samples: int) -> dict:
    """One measurement in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.scale", "--worker", method]
    for name in ("n_features", "mean_size", "n_jobs", "model"):
        command += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
    try:
        done = subprocess.run(
            [*command, "--sizes", str(n_samples)],
            capture_output=True,
            text=True,
            timeout=args.limit,
            check=True,
        )
    except subprocess.TimeoutExpired:
        return {"method": method, "n_samples": n_samples, "failed": f"over {args.limit:.0f} s"}
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:] or ["killed"]
        return {"method": method, "n_samples": n_samples, "failed": last[0]}
    return json.loads(done.stdout.splitlines()[-1])


def describe(row: dict) -> str:
    """One line a measurement."""
    head = f"{row['method']:<10}{row['n_samples']:>9,} rows"
    if "failed" in row:
        return f"{head}  {row['failed']}"
    line = (
        f"{head}{row['seconds']:>9.1f} s{row['cpu_seconds']:>9.1f} CPU s"
        f"{row['memory_above_input_mb']:>8.0f} MB above {row['input_mb']:.0f}"
    )
    if "pairwise_f" in row:
        line += f"  F {row['pairwise_f']:.3f} / {row['bcubed_f']:.3f}"
    if row["stages"]:
        rest = row["cpu_seconds"] - sum(row["stages"].values())
        parts = (
            f"{name} {seconds:.1f}" for name, seconds in [*row["stages"].items(), ("rest", rest)]
        )
        line += "\n" + " " * 10 + ", ".join(parts) + " CPU s"
    return line


if __name__ == "__main__":
    main()
