"""Seconds, CPU seconds, memory and F from a thousand rows up, beside the neighbour search alone.

Every figure is taken in a process of its own, one after the other, on the same synthetic
identities. The model is meta-trained beforehand on other identities and is not counted.

    python -m benchmarks.scale --sizes 1000 10000 100000
    python -m benchmarks.scale --sizes 10000 100000 --methods hilander untrained search
    python -m benchmarks.scale --sizes 10000 100000 --methods default evoc --n-neighbors 15
    python -m benchmarks.scale --draw benchmarks/results/scale.json --plot docs/scale.png
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

from benchmarks.machine import describe_gpu, describe_machine, peak_memory_mb, start_of_memory

N_META = 3_000
_PROGRESS_SECONDS = 20
# What the time of our own methods goes to: rooms and their functions. Where one calls another, its
# time is counted with the inner one alone.
STAGES = {
    "embeddings": [("_clusters._clustering", "canonical_embeddings")],
    "search": [
        ("_rounds._relational", "GraphBuilder._of_neighbors"),
        ("_rounds._relational", "search_wider"),
        ("_clusters._growth", "build_neighbor_graph"),
    ],
    "search within two hops": [("_rounds._relational", "search_two_hops")],
    "pairs": [("_graph._pair_graph", "candidate_pairs"), ("_graph._pair_graph", "adjacency_of")],
    "common neighbours": [("_graph._pair_graph", "common_neighbors")],
    "flows": [
        ("_flows._flow_relations", "flow_clusters"),
        ("_rounds._decoders", "flow_clusters"),
        ("_flows._stable_flow", "flow_clusters"),
        ("_flows._stable_flow", "merge_clusters"),
        ("_rounds._decoders", "move_nodes"),
    ],
    "relations": [
        ("_linkage._linkage_model", "graph_relations"),
        ("_linkage._linkage_model", "probability_relations"),
        ("_linkage._linkage_model", "closeness_relations"),
        ("_graph._pair_table", "PairTable.__getitem__"),
    ],
    "whitening": [("_linkage._linkage_model", "whiten_by_links")],
    "networks": [
        ("_linkage._linkage_model", "Perceptrons.log_odds"),
        ("_linkage._linkage_model", "Perceptrons.mean_log_odds"),
    ],
    "relations of clusters": [("_rounds._judge", "_judge_pairs")],
    "merges": [("_rounds._judge", "merge")],
}


def make_rows(
    n_samples: int, n_features: int, mean_size: float, seed: int, spread: float | None = None
):
    """Identities of the benchmark."""
    from sklearn_hilander.datasets import make_identities

    return make_identities(
        n_samples,
        n_features,
        mean_size=mean_size,
        nn_rate=0.9 if spread is None else None,
        spread=spread,
        random_state=seed,
    )


@contextmanager
def timed_stages(
    stages: dict[str, float], on_call: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Add up the CPU seconds that each stage takes; say when a call of it is over."""
    from importlib import import_module

    stages |= dict.fromkeys(STAGES, 0.0)
    undo = []
    # Time of the calls inside of each call that is under way.
    inside = [0.0]
    for name, functions in STAGES.items():
        for room, path in functions:
            owner = import_module(f"sklearn_hilander.{room}")
            *parts, attribute = path.split(".")
            for part in parts:
                owner = getattr(owner, part)
            original = getattr(owner, attribute)
            setattr(owner, attribute, _timed(original, stages, name, inside, on_call))
            undo.append((owner, attribute, original))
    try:
        yield
    finally:
        for owner, attribute, original in undo:
            setattr(owner, attribute, original)


def _timed(
    call: Callable,
    stages: dict[str, float],
    name: str,
    inside: list[float],
    on_call: Callable[[str], None] | None,
) -> Callable:
    def timed(*args: object, **kwargs: object) -> object:
        start = time.process_time()
        inside.append(0.0)
        try:
            return call(*args, **kwargs)
        finally:
            spent = time.process_time() - start
            stages[name] += spent - inside.pop()
            inside[-1] += spent
            if on_call is not None:
                on_call(name)

    return timed


def _progress(stages: dict[str, float]) -> Callable[[str], None]:
    """Every so often, a line of what was spent so far, for whoever runs a worker by hand."""
    last = time.perf_counter()

    def on_call(name: str) -> None:
        nonlocal last
        if time.perf_counter() - last >= _PROGRESS_SECONDS:
            last = time.perf_counter()
            spent = ", ".join(f"{stage} {s:.0f}" for stage, s in stages.items() if s >= 1)
            print(f"{time.process_time():.0f} CPU s, {name} over: {spent}", file=sys.stderr)

    return on_call


def run_method(
    method: str, X: np.ndarray, model: str, n_jobs: int, n_neighbors: int | None = None
) -> tuple[dict, dict]:
    """Labels, or nothing for a search alone, and CPU seconds a stage."""
    stages: dict[str, float] = {}
    searched = _searched(n_neighbors)
    if method == "search":
        import torch

        from sklearn_hilander._device import resolve_device
        from sklearn_hilander._rows._embeddings import canonical_embeddings
        from sklearn_hilander._rows._row_scaler import RowScaler
        from sklearn_hilander._search._neighbors import build_neighbor_graph

        torch.set_num_threads(n_jobs)
        # In the order that all our methods have them in: twice as quick at 100,000 rows.
        rows = canonical_embeddings(X, RowScaler("cosine")).features
        on_device = torch.from_numpy(rows).to(resolve_device("auto"))
        build_neighbor_graph(on_device, searched, n_threads=n_jobs).indices.cpu()
        return {}, stages
    if method in ("default", "untrained", *TRAINED):
        from sklearn_hilander import HiLanderClustering

        if method in TRAINED:
            clusterer = pickle.loads(Path(model).read_bytes()).set_params(n_jobs=n_jobs)
        else:
            pretrained = "default" if method == "default" else None
            clusterer = HiLanderClustering(pretrained=pretrained, n_jobs=n_jobs)
        if n_neighbors is not None:
            clusterer.set_params(n_neighbors=n_neighbors)
        with timed_stages(stages, _progress(stages)):
            labels = clusterer.fit_predict(X)
        return {"labels": labels}, stages
    if method == "evoc":
        import evoc

        return {"labels": np.asarray(evoc.EVoC().fit_predict(X))}, stages
    if method in ("hnswlib", "faiss"):
        _search_of_peer(method, X, n_jobs, searched)
        return {}, stages
    if method == "fast_hdbscan":
        import fast_hdbscan

        found = fast_hdbscan.HDBSCAN(min_cluster_size=5).fit_predict(X)
        return {"labels": np.asarray(found)}, stages
    if method == "hdbscan":
        from sklearn.cluster import HDBSCAN

        return {"labels": HDBSCAN(min_cluster_size=5, copy=True).fit_predict(X)}, stages
    raise ValueError(method)


def _searched(n_neighbors: int | None) -> int:
    """Neighbours that are searched for: as many as asked, else those of the default."""
    from sklearn_hilander._models._architectures import ARCHITECTURES

    return n_neighbors or ARCHITECTURES["relational"].n_neighbors


def _search_of_peer(method: str, X: np.ndarray, n_jobs: int, n_neighbors: int) -> None:
    """The neighbour search alone, by a library as it is."""
    if method == "faiss":
        import faiss

        faiss.omp_set_num_threads(n_jobs)
        index = faiss.IndexFlatIP(X.shape[1])
        index.add(X)
        index.search(X, n_neighbors + 1)
        return
    import hnswlib

    index = hnswlib.Index(space="ip", dim=X.shape[1])
    index.init_index(len(X), M=16, ef_construction=100, random_seed=0)
    index.add_items(X, num_threads=n_jobs)
    index.set_ef(64)
    index.knn_query(X, k=n_neighbors + 1, num_threads=n_jobs)


# Methods whose model is meta-trained beforehand, and its architecture.
TRAINED = {"hilander": "relational", "gcn": "gcn"}
METHODS = (
    "search", *TRAINED, "default", "untrained", "evoc", "hdbscan", "fast_hdbscan", "hnswlib",
    "faiss",
)  # fmt: skip


def measure(args: argparse.Namespace) -> dict:
    """One method at one size, in this process."""
    from benchmarks.peers import figures

    X, y = make_rows(args.sizes[0], args.n_features, args.mean_size, 1, args.spread)
    before = start_of_memory()
    wall, cpu = time.perf_counter(), time.process_time()
    found, stages = run_method(args.worker, X, args.model, args.n_jobs, args.n_neighbors)
    out = {
        "method": args.worker,
        "n_samples": len(X),
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "memory_above_input_mb": max(0.0, peak_memory_mb() - before),
        "memory_target_mb": (3 * X.nbytes + 60 * len(X) * _searched(args.n_neighbors)) / 1e6,
        "input_mb": X.nbytes / 1e6,
        "stages": stages,
        **describe_gpu(),
    }
    if "labels" in found:
        names = ("pairwise_f", "bcubed_f", "n_clusters", "n_classes")
        of_labels = figures(y, found["labels"])
        out |= {name: of_labels[name] for name in names}
    return out


def train_model(args: argparse.Namespace, architecture: str, path: Path) -> None:
    """The model that is ready before anything is measured."""
    from sklearn_hilander import HiLanderClustering

    X, y = make_rows(N_META, args.n_features, args.mean_size, seed=0)
    clusterer = HiLanderClustering(architecture=architecture, random_state=0).fit(X, y)
    path.write_bytes(pickle.dumps(clusterer.set_params(random_state=None)))


def draw(results: list[dict], path: Path) -> None:
    """CPU seconds, stages of our own method, memory and F over rows, on logarithmic axes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    done = [row for row in results if "seconds" in row]
    methods = list(dict.fromkeys(row["method"] for row in done))
    figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained", sharex=True)
    times, of_stages, memory, quality = axes.flat
    for method in methods:
        rows = [row for row in done if row["method"] == method]
        n = [row["n_samples"] for row in rows]
        (line,) = times.plot(n, [row["cpu_seconds"] for row in rows], "o-", label=method)
        color = line.get_color()
        memory.plot(n, [row["memory_above_input_mb"] for row in rows], "o-", c=color, label=method)
        if all("pairwise_f" in row for row in rows):
            quality.plot(n, [row["pairwise_f"] for row in rows], "o-", c=color, label=method)
    target = {row["n_samples"]: row["memory_target_mb"] for row in done}
    memory.plot(list(target), list(target.values()), "k:", label="3 x input + 60 bytes x n x k")
    ours = [row for row in done if row["stages"]]
    ours = [row for row in ours if row["method"] == ours[0]["method"]]
    markers = "osv^D*Pxd<>h"
    for (stage, of_largest), marker in zip(
        sorted(ours[-1]["stages"].items(), key=lambda item: -item[1]) if ours else [],
        markers,
        strict=False,
    ):
        if of_largest > 0:
            seconds = [max(row["stages"][stage], 1e-3) for row in ours]
            of_stages.plot([row["n_samples"] for row in ours], seconds, f"{marker}-", label=stage)
    stage_title = f"CPU seconds a stage, {ours[0]['method']}" if ours else "stages"
    titles = ("CPU seconds", stage_title, "memory above the input, MB", "pairwise F")
    for axis, title in zip(axes.flat, titles, strict=True):
        axis.set(xscale="log", title=title)
        axis.grid(alpha=0.3)
        if axis is not quality:
            axis.set(yscale="log")
        if axis.lines:
            # Eleven stages leave no room among their lines.
            beside = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}
            axis.legend(fontsize="small", **(beside if axis is of_stages else {}))
    quality.set(ylim=(0, 1.02))
    for axis in axes[1]:
        axis.set(xlabel="rows")
    figure.savefig(path, dpi=90)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["search", "hilander"])
    parser.add_argument("--n-features", type=int, default=256)
    parser.add_argument("--mean-size", type=float, default=20)
    parser.add_argument(
        "--spread", type=float, help="of the identities, instead of looking for that of rate .9"
    )
    parser.add_argument(
        "--n-neighbors", type=int, help="of our methods and searches alone (default: their own, 40)"
    )
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--limit", type=float, default=1_200, help="seconds a measurement may take")
    parser.add_argument("--model", default="", help="pickled estimator (default: trained first)")
    parser.add_argument("--out", type=Path, help="JSON file (default: benchmarks/results/...)")
    parser.add_argument("--plot", type=Path, help="picture of it all over rows")
    parser.add_argument("--draw", type=Path, nargs="+", help="only draw these JSON files as --plot")
    parser.add_argument("--worker", choices=METHODS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(measure(args)))
        return
    if args.draw:
        rows = [row for path in args.draw for row in json.loads(path.read_text())["rows"]]
        draw(sorted(rows, key=lambda row: row["n_samples"]), args.plot or Path("scale.png"))
        return
    out = args.out or Path(__file__).parent / "results" / "scale.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        models = {}
        for method in set(args.methods) & set(TRAINED):
            models[method] = args.model or str(Path(folder) / f"{method}.pkl")
            if not args.model:
                train_model(args, TRAINED[method], Path(models[method]))
        for n_samples in args.sizes:
            for method in args.methods:
                args.model = models.get(method, "")
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
    for name in ("n_features", "mean_size", "spread", "n_neighbors", "n_jobs", "model"):
        if getattr(args, name) is not None:
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
    if "gpu" in row:
        line += f"  {row['gpu_memory_mb']:.0f} MB of {row['gpu']}"
    if row["stages"]:
        rest = row["cpu_seconds"] - sum(row["stages"].values())
        parts = (
            f"{name} {seconds:.1f}" for name, seconds in [*row["stages"].items(), ("rest", rest)]
        )
        line += "\n" + " " * 10 + ", ".join(parts) + " CPU s"
    return line


if __name__ == "__main__":
    main()
