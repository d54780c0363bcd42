import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from made_links import coarsens, contiguous, links_of, pool_slowly, random_links, random_weights
from scipy.sparse.csgraph import connected_components

from sklearn_hilander._rounds import _cluster_pairs, _judge
from sklearn_hilander._rounds._cluster_pairs import cluster_relations, single_samples
from sklearn_hilander._rounds._judge import ROUNDS_PER_THRESHOLD, THRESHOLDS, run_rounds

seeds = st.integers(0, 10**6)


def mean_judge(clusters, relations):
    return relations[:, 0]


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


def test_very_sure_pairs_keep_to_a_threshold_above_what_is_very_sure():
    views = [np.ones((3, 2), np.float32)]
    start = single_samples(links_of(3, [(0, 1), (1, 2)], [0.999, 0.99], views), np.ones(3, "f4"))
    ((_, clusters),) = run_rounds(start, mean_judge, lowest=0.995)
    np.testing.assert_array_equal(clusters.labels, [0, 0, 1])


def test_a_judge_that_always_says_no(rng):
    start = single_samples(random_links(rng, 20), np.ones(20, "f4"))
    for _, clusters in run_rounds(start, lambda c, r: np.zeros(len(r), "f4"), lowest=0.15):
        np.testing.assert_array_equal(clusters.labels, np.arange(20))


def test_what_has_not_changed_is_not_judged_again(rng):
    links = random_links(rng, 20)
    asked = []

    def judge(clusters, relations):
        asked.append(clusters.n_clusters)
        return (clusters.p / clusters.count).astype("f4")

    start = single_samples(links, np.ones(20, "f4"))
    levels = [clusters.n_clusters for _, clusters in run_rounds(start, judge, lowest=0.15)]
    assert len(asked) > 2
    # Once for each state, however many thresholds it stays.
    assert len(asked) == len(set(asked))
    assert len(set(levels)) < len(levels)


def test_a_judge_without_need_of_relations_is_given_none(rng):
    start = single_samples(random_links(rng, 20), np.ones(20, "f4"))
    seen = []

    def judge(clusters, relations):
        seen.append(len(relations))
        return (clusters.p / clusters.count).astype("f4")

    blind, seeing = (
        [c.labels for _, c in run_rounds(start, judge, lowest=0.15, blind=blind)]
        for blind in (True, False)
    )
    np.testing.assert_array_equal(blind, seeing)
    assert min(seen) == 0 < max(seen)


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
    for room in (_judge, _cluster_pairs):
        monkeypatch.setattr(room, "BLOCK_PAIRS", at_once)
    for labels, expected in zip(partitions(), whole, strict=True):
        np.testing.assert_array_equal(labels, expected)
    assert whole[-1].max() < n - 1
