"""Links and weights of samples to try rooms on, and slow ways to do what they do."""

import numpy as np

from sklearn_hilander._graph._pair_graph import PairGraph
from sklearn_hilander._linkage._linkage_model import Links


def links_of(n, pairs, p, views):
    """Pairs and their probabilities; the judge does not look at the rest of the graph."""
    i, j = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    none = np.zeros((n, 0))
    graph = PairGraph(views[0], none.astype(np.int64), none.astype(np.float32)).with_pairs(i, j)
    return Links(graph, np.asarray(p, dtype=np.float32), tuple(views))


def random_links(rng, n, share=0.3, ties=False):
    i, j = np.triu_indices(n, 1)
    kept = rng.random(len(i)) < share
    # None so small that it is left out.
    p = rng.uniform(0.02, 1, kept.sum())
    p = np.round(p + 0.05, 1) if ties else p
    views = [rng.normal(size=(n, d)).astype(np.float32) for d in (3, 5)]
    return links_of(n, np.stack([i[kept], j[kept]], axis=1), p, views)


def random_weights(rng, n):
    return rng.integers(1, 4, n).astype(np.float32)


def pool_slowly(start, labels):
    """Every field of the clusters with these labels, sample by sample and pair by pair."""
    n_clusters = labels.max() + 1
    sizes, inner_p, inner_count = (np.zeros(n_clusters) for _ in range(3))
    sums = [np.zeros((n_clusters, view.shape[1])) for view in start.sums]
    for sample, label in enumerate(labels):
        sizes[label] += start.sizes[sample]
        for total, view in zip(sums, start.sums, strict=True):
            total[label] += view[sample]
    across = {}
    for a, b, p, log_odds in zip(start.i, start.j, start.p, start.log_odds, strict=True):
        one, other = sorted((int(labels[a]), int(labels[b])))
        if one == other:
            inner_p[one] += p
            inner_count[one] += 1
        else:
            across.setdefault((one, other), []).append((p, log_odds))
    pairs = sorted(across)
    return dict(
        labels=labels,
        sizes=sizes,
        inner_p=inner_p,
        inner_count=inner_count,
        i=[a for a, _ in pairs],
        j=[b for _, b in pairs],
        p=[sum(p for p, _ in across[pair]) for pair in pairs],
        count=[len(across[pair]) for pair in pairs],
        log_odds=[sum(z for _, z in across[pair]) for pair in pairs],
        largest=[max(p for p, _ in across[pair]) for pair in pairs],
    ), sums


def coarsens(fine, coarse):
    return all(len(np.unique(coarse[fine == label])) == 1 for label in np.unique(fine))


def contiguous(labels):
    return set(labels.tolist()) == set(range(labels.max() + 1))
