from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from sklearn_hilander import _judge
from sklearn_hilander._judge import (
    ROUNDS_PER_THRESHOLD,
    THRESHOLDS,
    cluster_relations,
    merge,
    run_rounds,
    single_samples,
)
from sklearn_hilander._linkage_model import Links
from sklearn_hilander._pair_graph import PairGraph
from sklearn_hilander._pairs import unit_rows

seeds = st.integers(0, 10**6)
FIELDS = ("labels", "sizes", "inner_p", "inner_count", "i", "j", "p", "count", "log_odds")


def links_of(n, pairs, p, views):
    """Pairs and their probabilities; the judge does not look at the rest of the graph."""
    i, j = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    none = np.zeros((n, 0))
    graph = PairGraph(views[0], none.astype(np.int64), none.astype(np.float32), i, j)
    return Links(graph, graph, np.asarray(p, dtype=np.float32), tuple(views))


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


def mean_judge(clusters, relations):
    return relations[:, 0]


def test_samples_as_clusters(rng):
    links = random_links(rng, 7)
    weights = random_weights(rng, 7)
    start = single_samples(links, weights)
    assert start.n_clusters == 7
    np.testing.assert_array_equal(start.labels, np.arange(7))
    np.testing.assert_array_equal(start.sizes, weights)
    for sums, view in zip(start.sums, links.views, strict=True):
        np.testing.assert_allclose(sums, weights[:, None] * unit_rows(view), rtol=1e-5)
    np.testing.assert_array_equal(start.i, links.graph.i)
    np.testing.assert_array_equal(start.p, links.probability)
    np.testing.assert_array_equal(start.largest, links.probability)
    np.testing.assert_array_equal(start.count, 1)
    assert not start.inner_p.any()
    assert not start.inner_count.any()


def test_pairs_that_are_hardly_linked_are_no_candidates(rng):
    views = [rng.normal(size=(3, 2)).astype(np.float32)]
    start = single_samples(
        links_of(3, [(0, 1), (0, 2), (1, 2)], [0.5, 1e-4, 0.9], views), np.ones(3)
    )
    np.testing.assert_array_equal([start.i, start.j], [[0, 1], [1, 2]])
    np.testing.assert_array_equal(start.p, np.float32([0.5, 0.9]))


def test_relations_of_some_pairs_are_those_among_all(rng):
    clusters = single_samples(random_links(rng, 12, 0.5), random_weights(rng, 12))
    clusters, _ = merge(clusters, np.array([0, 3]), np.array([1, 4]))
    rows = rng.permutation(len(clusters.i))[:5]
    relations = cluster_relations(clusters)
    np.testing.assert_array_equal(cluster_relations(clusters, rows), relations[rows])
    np.testing.assert_array_equal(clusters.take(rows).largest, clusters.largest[rows])


def test_wide_views_are_reduced_to_their_main_axes(rng):
    # 10 axes matter, 290 hardly.
    wide = rng.normal(size=(40, 10)) @ rng.normal(size=(10, 300))
    wide = (wide + 1e-3 * rng.normal(size=wide.shape)).astype(np.float32)
    (sums,) = single_samples(links_of(40, [(0, 1)], [0.5], [wide]), np.ones(40, "f4")).sums
    assert sums.shape[1] < 128
    unit = unit_rows(wide)
    np.testing.assert_allclose(sums @ sums.T, unit @ unit.T, atol=1e-3)


@given(seed=seeds, n=st.integers(2, 25), share=st.floats(0, 1), n_merges=st.integers(0, 3))
@settings(max_examples=50, deadline=None)
def test_merging_is_pooling_the_samples(seed, n, share, n_merges):
    rng = np.random.default_rng(seed)
    clusters = start = single_samples(random_links(rng, n, share), random_weights(rng, n))
    for _ in range(n_merges):
        before = clusters
        chosen = rng.random(len(before.i)) < 0.3
        a, b = before.i[chosen], before.j[chosen]
        clusters, new_of = merge(before, a, b)
        joined = sp.coo_array((np.ones(len(a)), (a, b)), shape=(before.n_clusters,) * 2)
        n_expected, expected = connected_components(joined, directed=False)
        assert clusters.n_clusters == n_expected
        assert new_of.dtype == clusters.labels.dtype == np.int64
        assert coarsens(expected, new_of)
        assert coarsens(new_of, expected)
        np.testing.assert_array_equal(clusters.labels, new_of[before.labels])
    assert contiguous(clusters.labels)
    fields, sums = pool_slowly(start, clusters.labels)
    for name, expected in fields.items():
        found = getattr(clusters, name)
        np.testing.assert_allclose(found, np.reshape(expected, found.shape), rtol=1e-4, atol=1e-4)
    for found, expected in zip(clusters.sums, sums, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_merging_leaves_what_was_there_alone(rng):
    start = single_samples(random_links(rng, 12, 0.5), np.ones(12, "f4"))
    before = {name: np.array(getattr(start, name)) for name in FIELDS}
    merge(start, start.i[:4], start.j[:4])
    for name, values in before.items():
        np.testing.assert_array_equal(getattr(start, name), values)


def assert_has_column(relations, expected):
    away = np.abs(relations - np.asarray(expected, dtype=np.float64)[:, None]).max(axis=0)
    assert away.min() < 1e-3, f"the closest column is {away.min()} away"


def assert_has_both(relations, a, b):
    assert_has_column(relations, np.minimum(a, b))
    assert_has_column(relations, np.maximum(a, b))


def test_relations_of_clusters_sample_by_sample(rng):
    n = 24
    links = random_links(rng, n, 0.4)
    clusters = single_samples(links, np.ones(n, "f4"))
    clusters, _ = merge(clusters, np.arange(0, 15, 3), np.arange(1, 16, 3))
    clusters, _ = merge(clusters, clusters.i[:2], clusters.j[:2])
    sizes = np.bincount(clusters.labels)
    assert sizes.min() == 1
    assert sizes.max() > 2
    i, j = clusters.i, clusters.j
    relations = cluster_relations(clusters)
    assert relations.dtype == np.float32
    P, linked = np.zeros((n, n)), np.zeros((n, n), dtype=bool)
    P[links.graph.i, links.graph.j] = P[links.graph.j, links.graph.i] = links.probability
    linked[links.graph.i, links.graph.j] = linked[links.graph.j, links.graph.i] = True
    members = [np.flatnonzero(clusters.labels == label) for label in range(clusters.n_clusters)]

    def of_pairs(function):
        return np.array(
            [function(np.ix_(members[a], members[b])) for a, b in zip(i, j, strict=True)]
        )

    def best_of_ends(values):
        """Of all candidates of each cluster."""
        return np.array(
            [values[(i == c) | (j == c)].max(initial=-9) for c in range(clusters.n_clusters)]
        )

    mean = of_pairs(lambda at: P[at][linked[at]].mean())
    np.testing.assert_allclose(relations[:, 0], mean, rtol=1e-5)
    assert_has_column(relations, np.log(mean / (1 - mean)))
    odds = np.log(np.clip(P, 1e-4, None) / np.clip(1 - P, 1e-4, None))
    assert_has_column(relations, of_pairs(lambda at: odds[at][linked[at]].mean()))
    assert_has_column(relations, of_pairs(lambda at: P[at].max()))
    best = best_of_ends(mean)
    assert_has_both(relations, mean - best[i], mean - best[j])
    across = of_pairs(lambda at: P[at].sum())
    total = np.array([P[rows].sum() for rows in members])
    assert_has_both(relations, across / total[i], across / total[j])
    count = of_pairs(lambda at: linked[at].sum())
    total_count = np.array([linked[rows].sum() for rows in members])
    assert_has_both(relations, count / total_count[i], count / total_count[j])
    assert_has_column(relations, np.log(count / (sizes[i] * sizes[j])))
    assert_has_both(relations, np.log(sizes[i]), np.log(sizes[j]))
    inner_p = np.array([P[np.ix_(rows, rows)].sum() / 2 for rows in members])
    inner_count = np.array([linked[np.ix_(rows, rows)].sum() / 2 for rows in members])
    within = (inner_p + 1) / (inner_count + 1)
    assert_has_both(relations, within[i], within[j])
    kept = 2 * inner_p / np.clip(total, 1e-3, None)
    assert_has_both(relations, kept[i], kept[j])
    for view in links.views:
        unit = unit_rows(view)
        S = unit @ unit.T
        similarity = of_pairs(lambda at, S=S: S[at].mean())
        assert_has_column(relations, similarity)
        own = np.array(
            [
                S[np.ix_(rows, rows)][~np.eye(len(rows), dtype=bool)].mean()
                if len(rows) > 1
                else np.nan
                for rows in members
            ]
        )
        own = np.where(np.isnan(own), np.nanmean(own), own)
        assert_has_both(relations, similarity - own[i], similarity - own[j])
        best = best_of_ends(similarity)
        assert_has_both(relations, similarity - best[i], similarity - best[j])
        centers = unit_rows(np.stack([unit[rows].mean(axis=0) for rows in members]))
        assert_has_column(relations, (centers[i] * centers[j]).sum(axis=1))


@given(
    seed=seeds,
    n=st.integers(2, 25),
    d=st.integers(1, 150),
    zero=st.booleans(),
    certain=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_relations_of_any_clusters_are_finite_and_as_many(seed, n, d, zero, certain):
    rng = np.random.default_rng(seed)
    links = random_links(rng, n, 0.5)
    views = [rng.normal(size=(n, d)).astype(np.float32) * (not zero) for _ in range(3)]
    p = np.round(links.probability) if certain else links.probability
    links = replace(links, probability=p, views=tuple(views))
    clusters = single_samples(links, random_weights(rng, n))
    for _ in range(3):
        relations = cluster_relations(clusters)
        assert relations.shape == (len(clusters.i), 40)
        assert np.isfinite(relations).all()
        clusters, _ = merge(clusters, clusters.i[:2], clusters.j[:2])


def test_relations_do_not_depend_on_the_order_of_samples(rng):
    n = 15
    links, weights = random_links(rng, n, 0.5), random_weights(rng, n)
    order = rng.permutation(n)
    new_of = np.argsort(order)
    ends = np.sort(new_of[np.stack([links.graph.i, links.graph.j], axis=1)], axis=1)
    by_ends = np.lexsort((ends[:, 1], ends[:, 0]))
    permuted = links_of(
        n, ends[by_ends], links.probability[by_ends], [view[order] for view in links.views]
    )
    one = cluster_relations(single_samples(links, weights))
    other = cluster_relations(single_samples(permuted, weights[order]))
    np.testing.assert_allclose(one[by_ends], other, rtol=1e-4, atol=1e-4)


def test_thresholds_fall():
    assert list(THRESHOLDS) == sorted(set(THRESHOLDS), reverse=True)
    assert 0 < THRESHOLDS[-1] < THRESHOLDS[0] < 1


@pytest.mark.parametrize("lowest", [0.15, 0.4, 0.5, 0.52, 0.98, 0.99, 0.0])
def test_one_yield_for_each_threshold_down_to_the_lowest(rng, lowest):
    start = single_samples(random_links(rng, 10), np.ones(10, "f4"))
    thresholds = [threshold for threshold, _ in run_rounds(start, mean_judge, lowest=lowest)]
    assert thresholds == [t for t in THRESHOLDS if t > lowest] + [lowest]


@given(seed=seeds, n=st.integers(2, 40), share=st.floats(0, 0.6), ties=st.booleans())
@settings(max_examples=40, deadline=None)
def test_rounds(seed, n, share, ties):
    rng = np.random.default_rng(seed)
    start = single_samples(random_links(rng, n, share, ties), random_weights(rng, n))
    rounds = []
    labels = start.labels
    for threshold, clusters in run_rounds(
        start, mean_judge, lowest=0.2, on_round=lambda *seen: rounds.append(seen)
    ):
        assert coarsens(labels, clusters.labels)
        assert contiguous(clusters.labels)
        assert clusters.n_clusters == clusters.labels.max() + 1
        labels = clusters.labels
        assert len(rounds) <= ROUNDS_PER_THRESHOLD
        for seen, relations, q in rounds:
            np.testing.assert_array_equal(relations, cluster_relations(seen))
            np.testing.assert_array_equal(q, mean_judge(seen, relations))
        if len(clusters.i):
            q = mean_judge(clusters, cluster_relations(clusters))
            best = np.zeros(clusters.n_clusters)
            for a, b, value in zip(clusters.i, clusters.j, q, strict=True):
                best[[a, b]] = np.maximum(best[[a, b]], value)
            left = (q > threshold) & (q >= best[clusters.i]) & (q >= best[clusters.j])
            assert not left.any() or len(rounds) == ROUNDS_PER_THRESHOLD
        rounds.clear()
    last, _ = pool_slowly(start, labels)
    np.testing.assert_array_equal(clusters.i, last["i"])


def test_only_pairs_that_are_best_for_both_ends_merge_in_a_round():
    # A chain of 5 links: the best first, its neighbours wait and are then judged again.
    views = [np.ones((5, 2), np.float32)]
    p = [0.6, 0.9, 0.5, 0.7]
    start = single_samples(links_of(5, [(0, 1), (1, 2), (2, 3), (3, 4)], p, views), np.full(5, 9))
    seen = []
    levels = dict(
        run_rounds(start, mean_judge, lowest=0.55, on_round=lambda c, *_: seen.append(c.n_clusters))
    )
    assert sorted(set(seen), reverse=True) == [5, 4, 3, 2]
    np.testing.assert_array_equal(levels[0.85].labels, [0, 1, 1, 2, 3])
    np.testing.assert_array_equal(levels[0.65].labels, [0, 1, 1, 2, 2])
    np.testing.assert_array_equal(levels[0.55].labels, [0, 0, 0, 1, 1])


@pytest.mark.parametrize(("size", "rounds"), [(1, 1), (100, 2)])
def test_very_sure_pairs_of_small_clusters_need_not_wait(size, rounds):
    views = [np.ones((3, 2), np.float32)]
    links = links_of(3, [(0, 1), (1, 2)], [0.999, 0.99], views)
    seen = []
    start = single_samples(links, np.full(3, size, np.float32))
    ((_, clusters),) = run_rounds(
        start, mean_judge, lowest=0.98, on_round=lambda c, *_: seen.append(c)
    )
    assert clusters.n_clusters == 1
    assert len(seen) == rounds


def test_a_judge_that_always_says_no(rng):
    start = single_samples(random_links(rng, 20), np.ones(20, "f4"))
    for _, clusters in run_rounds(start, lambda c, r: np.zeros(len(r), "f4"), lowest=0.15):
        np.testing.assert_array_equal(clusters.labels, np.arange(20))


@given(seed=seeds, n=st.integers(2, 30), share=st.floats(0, 0.3))
@settings(max_examples=30, deadline=None)
def test_a_judge_that_always_says_yes(seed, n, share):
    links = random_links(np.random.default_rng(seed), n, share)
    start = single_samples(links, np.ones(n, "f4"))
    _, clusters = next(run_rounds(start, lambda c, r: np.ones(len(r), "f4"), lowest=0.15))
    i, j = links.graph.i, links.graph.j
    joined = sp.coo_array((np.ones(len(i)), (i, j)), shape=(n, n))
    n_components, components = connected_components(joined, directed=False)
    assert clusters.n_clusters == n_components
    assert coarsens(components, clusters.labels)
    assert len(clusters.i) == 0


def test_without_pairs_the_judge_is_not_asked():
    def judge(clusters, relations):
        raise AssertionError

    views = [np.ones((3, 2), np.float32)]
    start = single_samples(links_of(3, [], [], views), np.ones(3, "f4"))
    for _, clusters in run_rounds(start, judge, lowest=0.5):
        np.testing.assert_array_equal(clusters.labels, [0, 1, 2])


@pytest.mark.parametrize("at_once", [1, 5])
def test_rounds_do_not_depend_on_the_blocks_of_pairs(rng, at_once, monkeypatch):
    n = 24
    start = single_samples(random_links(rng, n), random_weights(rng, n))
    within = np.arange(n) % 3

    def judge(clusters, relations):
        assert len(relations) == len(clusters.i)
        return relations[:, 0] * 0.9

    def partitions():
        rounds = (
            run_rounds(start, judge, lowest=0.1),
            run_rounds(start, judge, lowest=0.1, within=within),
        )
        return [clusters.labels for of_rounds in rounds for _, clusters in of_rounds]

    whole = partitions()
    monkeypatch.setattr(_judge, "_BLOCK_PAIRS", at_once)
    for labels, expected in zip(partitions(), whole, strict=True):
        np.testing.assert_array_equal(labels, expected)
    assert whole[-1].max() < n - 1
