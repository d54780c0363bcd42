from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from made_links import coarsens, contiguous, links_of, pool_slowly, random_links, random_weights
from scipy.sparse.csgraph import connected_components

from sklearn_hilander._graph._pairs import unit_rows
from sklearn_hilander._rounds._cluster_merges import merge
from sklearn_hilander._rounds._cluster_pairs import cluster_relations, relations_of, single_samples

seeds = st.integers(0, 10**6)
FIELDS = ("labels", "sizes", "inner_p", "inner_count", "i", "j", "p", "count", "log_odds")


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
    np.testing.assert_array_equal(relations_of(clusters)(rows), relations[rows])
    np.testing.assert_array_equal(clusters.take(rows).largest, clusters.largest[rows])


def test_wide_views_are_reduced_to_their_main_axes(rng):
    # 10 axes matter, 290 hardly.
    wide = rng.normal(size=(40, 10)) @ rng.normal(size=(10, 300))
    wide = (wide + 1e-3 * rng.normal(size=wide.shape)).astype(np.float32)
    (sums,) = single_samples(links_of(40, [(0, 1)], [0.5], [wide]), np.ones(40, "f4")).sums
    assert sums.shape[1] < 128
    unit = unit_rows(wide)
    np.testing.assert_allclose(sums @ sums.T, unit @ unit.T, atol=1e-3)


def test_relations_are_those_among_the_pairs_beside(rng):
    clusters = single_samples(random_links(rng, 60, 0.08), random_weights(rng, 60))
    clusters, _ = merge(clusters, np.arange(0, 30, 3), np.arange(1, 31, 3))
    rows = np.array([7, 2])
    near, at = clusters.beside(rows)
    assert 2 < len(near.i) < len(clusters.i) / 2
    np.testing.assert_array_equal([near.i[at], near.j[at]], [clusters.i[rows], clusters.j[rows]])
    expected = relations_of(clusters)(rows)
    np.testing.assert_array_equal(relations_of(near)(at), expected)
    every = np.arange(len(clusters.i))
    assert clusters.beside(every)[0] is clusters


@given(
    seed=seeds,
    n=st.integers(2, 25),
    share=st.floats(0, 1),
    n_merges=st.integers(0, 3),
    joined_share=st.sampled_from([0, 0.02, 0.1, 0.3]),
)
@settings(max_examples=100, deadline=None)
def test_merging_is_pooling_the_samples(seed, n, share, n_merges, joined_share):
    rng = np.random.default_rng(seed)
    clusters = start = single_samples(random_links(rng, n, share), random_weights(rng, n))
    for _ in range(n_merges):
        before = clusters
        chosen = rng.random(len(before.i)) < joined_share
        a, b = before.i[chosen], before.j[chosen]
        clusters, new_of = merge(before, a, b)
        joined = sp.coo_array((np.ones(len(a)), (a, b)), shape=(before.n_clusters,) * 2)
        n_expected, expected = connected_components(joined, directed=False)
        assert clusters.n_clusters == n_expected
        assert new_of.dtype == clusters.labels.dtype == np.int64
        assert coarsens(expected, new_of)
        assert coarsens(new_of, expected)
        np.testing.assert_array_equal(clusters.labels, new_of[before.labels])
        assert (np.diff(clusters.i * clusters.n_clusters + clusters.j) > 0).all()
        assert (clusters.i < clusters.j).all()
    assert contiguous(clusters.labels)
    fields, sums = pool_slowly(start, clusters.labels)
    for name, expected in fields.items():
        found = getattr(clusters, name)
        np.testing.assert_allclose(found, np.reshape(expected, found.shape), rtol=1e-4, atol=1e-4)
    for found, expected in zip(clusters.sums, sums, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_the_order_of_pairs_does_not_matter_to_what_they_merge_to(rng):
    start = single_samples(random_links(rng, 30, 0.3), random_weights(rng, 30))
    turned = start.take(rng.permutation(len(start.i)))
    for name in FIELDS:
        expected, found = (
            getattr(merge(clusters, np.array([3]), np.array([8]))[0], name)
            for clusters in (start, turned)
        )
        np.testing.assert_allclose(found, expected)


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
