"""Time the two sums that the models spend their time in: torch's own kernels beside torch-scatter.

    python -m benchmarks.ops

torch-scatter is the `scatter` extra; without it, its columns stay empty.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib.util import find_spec

import torch

from sklearn_hilander._ops import neighbor_sum, segment_sum


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Median time of a call, after one that is not counted."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=40_000)
    parser.add_argument("--neighbors", type=int, default=10)
    parser.add_argument("--features", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    n, k = args.nodes, args.neighbors
    x = torch.randn(n, args.features, generator=generator)
    indices = torch.randint(n, (n, k), generator=generator)
    weights = torch.rand(n, k, generator=generator)
    labels = torch.randint(n // 20, (n,), generator=generator)
    calls = {
        "weighted sum over neighbours": {
            "torch": lambda: neighbor_sum(x, indices, weights),
        },
        "sum by cluster": {"torch": lambda: segment_sum(x, labels, n // 20)},
    }
    if find_spec("torch_scatter") is not None:
        import torch_scatter

        edges = torch.arange(0, n * k + 1, k)
        calls["weighted sum over neighbours"]["torch-scatter"] = lambda: torch_scatter.segment_csr(
            x[indices.reshape(-1)] * weights.reshape(-1, 1), edges
        )
        calls["sum by cluster"]["torch-scatter"] = lambda: torch_scatter.scatter_sum(
            x, labels, dim=0, dim_size=n // 20
        )
    for name, variants in calls.items():
        times = {variant: seconds(call, args.repeats) for variant, call in variants.items()}
        print(f"{name}: " + ", ".join(f"{v} {t:.3f} s" for v, t in times.items()))


if __name__ == "__main__":
    main()
