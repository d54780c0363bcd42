import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_hilander._levels._decode import best_parents, decode_forest, forest_from_parents
from sklearn_hilander._types import EdgeScores, NeighborGraph


def decode_slowly(indices, similarities, linkage, density, threshold, strict):
    """The rule of the paper, node by node."""
    n = len(indices)
    parents = list(range(n))
    for i in range(n):
        best = -1.0
        for j, s, r in zip(indices[i], similarities[i], linkage[i], strict=True):
            denser = density[j] > density[i] or (not strict and density[j] == density[i] and j < i)
            if denser and s > 0 and r > threshold and r > best:
                parents[i], best = int(j), r
    roots = []
    for i in range(n):
        while parents[i] != i:
            i = parents[i]
        roots.append(i)
    return parents, roots


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 40),
    k=st.integers(1, 6),
    ties=st.booleans(),
    strict=st.booleans(),
    threshold=st.sampled_from([0.0, 0.3, 0.8]),
)
@settings(max_examples=120, deadline=None)
def test_decode_is_the_rule_of_the_paper(seed, n, k, ties, strict, threshold):
    rng = np.random.default_rng(seed)
    k = min(k, n - 1)
    indices = np.array([rng.permutation(np.delete(np.arange(n), i))[:k] for i in range(n)])
    similarities = rng.random((n, k)).astype(np.float32) * (rng.random((n, k)) > 0.2)
    linkage = rng.random((n, k)).astype(np.float32)
    density = rng.normal(size=n).astype(np.float32)
    if ties:
        density = np.round(density)
    forest = decode_forest(
        NeighborGraph(torch.from_numpy(indices), torch.from_numpy(similarities.astype("f4"))),
        EdgeScores(torch.from_numpy(linkage), torch.from_numpy(density)),
        threshold,
        strict=strict,
    )
    parents, roots = decode_slowly(indices, similarities, linkage, density, threshold, strict)
    np.testing.assert_array_equal(forest.parents, parents)
    np.testing.assert_array_equal(forest.roots[forest.labels], roots)
    assert forest.n_edges == sum(p != i for i, p in enumerate(parents))


def test_long_chain():
    n = 1000
    parents = torch.arange(-1, n - 1).clamp_min(0)
    forest = forest_from_parents(parents, torch.ones(n))
    assert forest.roots.tolist() == [0]
    assert (forest.labels == 0).all()


def test_no_neighbors_no_edges():
    forest = best_parents(
        torch.empty(3, 0, dtype=torch.int64), torch.empty(3, 0), torch.empty(3, 0, dtype=torch.bool)
    )
    assert forest.labels.tolist() == [0, 1, 2]
    assert forest.n_edges == 0
