"""Clusters of a flow at the scale where they change least."""

import numpy as np
import pytest
from conftest import make_clusters
from numpy.testing import assert_array_equal

from sklearn_hilander._device import thread_limit
from sklearn_hilander._flows import _stable_flow
from sklearn_hilander._flows._flow import merge_clusters
from sklearn_hilander._flows._stable_flow import most_stable, stable_flow
from sklearn_hilander._graph._pairs import unit_rows
from sklearn_hilander._rounds._relational import graph_builder
from sklearn_hilander.metrics import bcubed_f_score, pairwise_f_score


def graph_of(X, n_neighbors=40):
    return graph_builder(n_neighbors, algorithm="brute")(unit_rows(X.astype(np.float32)))


def flow_of(graph):
    return stable_flow([graph], graph.n_neighbors)


@pytest.mark.parametrize("size", [6, 20, 80])
def test_classes_of_any_size_are_found_with_one_number_of_neighbors(rng, size):
    X, y = make_clusters(rng, n_clusters=480 // size, size=size, n_features=64, spread=0.06)
    assert pairwise_f_score(y, flow_of(graph_of(X))[0]) > 0.95


def test_classes_and_not_the_groups_that_they_stand_in(rng):
    """Groups agree over scales too, but less well than the classes of which they are made."""
    groups = rng.normal(size=(6, 64))
    centers = np.repeat(groups, 8, axis=0) + 0.8 * rng.normal(size=(48, 64))
    y = np.repeat(np.arange(48), 12)
    X = centers[y] + 0.25 * rng.normal(size=(len(y), 64))
    found, *_ = flow_of(graph_of(X))
    assert pairwise_f_score(y, found) > 0.9
    assert pairwise_f_score(y // 8, found) < 0.3


def test_order_of_the_rows_does_not_matter(rng):
    X, _ = make_clusters(rng, n_clusters=20, size=9, spread=0.3)
    order = rng.permutation(len(X))
    found, of_permuted = (flow_of(graph_of(rows))[0] for rows in (X, X[order]))
    assert pairwise_f_score(found[order], of_permuted) == 1


@pytest.mark.parametrize("n_neighbors", [1, 2, 3, 5])
def test_few_neighbors(rng, n_neighbors):
    X, _ = make_clusters(rng)
    found = flow_of(graph_of(X, n_neighbors))[0]
    assert len(found) == len(X)
    assert_array_equal(np.unique(found), np.arange(found.max() + 1))


@pytest.mark.parametrize(("size", "n_asked"), [(6, 1), (60, 2)])
def test_more_neighbors_are_asked_for_where_clusters_may_be_large(rng, size, n_asked, monkeypatch):
    X, _ = make_clusters(rng, n_clusters=480 // size, size=size, n_features=64, spread=0.06)
    whole, asked, tried = graph_of(X), [], []

    def merge(*arguments):
        tried.append(len(arguments[0]))
        return merge_clusters(*arguments)

    def widening():
        for n_neighbors in (24, 40):
            asked.append(n_neighbors)
            yield whole.narrowed(n_neighbors)

    monkeypatch.setattr(_stable_flow, "merge_clusters", merge)
    with thread_limit(1):
        labels, scale, graph = stable_flow(widening(), 40)
    assert len(asked) == n_asked
    # No scale is tried again along more neighbours.
    assert len(set(tried)) == len(tried)
    assert graph.n_neighbors == asked[-1]
    of_whole, same_scale, _ = flow_of(whole)
    assert scale == same_scale
    assert_array_equal(labels, of_whole)


def test_stretches_of_many_samples_tell_the_scale(rng, monkeypatch):
    X, y = make_clusters(rng, n_clusters=60, size=12, n_features=64, spread=0.06)
    graph, sampled = graph_of(X), []

    def merge(i, j, weights, n_nodes):
        sampled.append(n_nodes)
        assert len(i) == len(weights)
        assert 0 <= i.min() < j.max() < n_nodes
        return merge_clusters(i, j, weights, n_nodes)

    monkeypatch.setattr(_stable_flow, "merge_clusters", merge)
    whole = flow_of(graph)[0]
    assert set(sampled) == {len(X)}
    del sampled[:]
    for name, value in (("_MOST_NODES", 100), ("_N_STRETCHES", 4), ("_STRETCH", 60)):
        monkeypatch.setattr(_stable_flow, name, value)
    by_sample = flow_of(graph)[0]
    assert 60 < max(sampled) < len(X)
    for labels in (whole, by_sample):
        assert len(labels) == len(y)
        assert pairwise_f_score(y, labels) > 0.9


@pytest.mark.parametrize("most", [100_000, 100])
def test_the_clusters_are_those_of_the_flow_at_the_scale(rng, most, monkeypatch):
    """Whether its merges are known, as they are where all samples were looked at, or not."""
    for name, value in (("_MOST_NODES", most), ("_N_STRETCHES", 4), ("_STRETCH", 60)):
        monkeypatch.setattr(_stable_flow, name, value)
    graph = graph_of(make_clusters(rng, n_clusters=60, size=12, n_features=64, spread=0.2)[0])
    given, flow = [], _stable_flow.flow_clusters

    def remembered(i, j, weights, n_nodes, merged):
        given.append(merged)
        return flow(i, j, weights, n_nodes)

    labels, scale, _ = flow_of(graph)
    monkeypatch.setattr(_stable_flow, "flow_clusters", remembered)
    from_the_first, same_scale, _ = flow_of(graph)
    assert (given[0] is None) == (most == 100)
    assert same_scale == scale
    assert_array_equal(labels, from_the_first)


def test_most_stable_is_between_those_that_agree_best():
    assert most_stable([0.5, 0.4, 0.6, 0.9, 0.9, 0.6]) == 4
    # Of several as good, the coarsest; never the ends, which have one neighbour alone.
    assert most_stable([1.0, 1.0, 1.0, 1.0]) == 3
    assert most_stable([1.0, 0.3, 0.4, 0.5]) == 1


@pytest.mark.parametrize("agreement", [[], [0.9]])
def test_most_stable_of_few_is_the_finest(agreement):
    assert most_stable(agreement) == 0


def test_coarse_scales_are_not_tried_once_agreement_has_fallen(rng, monkeypatch):
    """Classes of six: clusters along many neighbours have little to do with one another."""
    X, y = make_clusters(rng, n_clusters=80, size=6, n_features=64, spread=0.06)
    graph, tried = graph_of(X), []

    def merge(*arguments):
        labels = merge_clusters(*arguments)
        tried.append(bcubed_f_score(y, labels))
        return labels

    monkeypatch.setattr(_stable_flow, "merge_clusters", merge)
    with thread_limit(1):
        labels, scale, _ = flow_of(graph)
    assert 4 < scale < 12
    n_tried = len(tried)
    assert n_tried < len(_stable_flow._SHARES)
    # More threads look at more of them at once, and find the same.
    for n_threads in (2, 8):
        tried.clear()
        with thread_limit(n_threads):
            assert_array_equal(flow_of(graph)[0], labels)
        assert len(tried) == min(len(_stable_flow._SHARES), -(-n_tried // n_threads) * n_threads)
    tried.clear()
    monkeypatch.setattr(_stable_flow, "_FALLEN", 1.0)
    assert_array_equal(flow_of(graph)[0], labels)
    assert len(tried) == len(_stable_flow._SHARES)
