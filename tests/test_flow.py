"""Clusters of a flow: the map equation, its search, and relations made of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import entropy

from sklearn_hilander._flows import _flow, _module_merges
from sklearn_hilander._flows._flow import flow_clusters, merge_clusters
from sklearn_hilander._flows._flow_relations import flow_relations
from sklearn_hilander.metrics import pairwise_f_score

seeds = st.integers(0, 10**6)


def description_length(i, j, weights, labels):
    """Bits a step, by the definition: a code book of modules, and one for each module."""
    n = len(labels)
    flow = np.zeros((n, n))
    np.add.at(flow, (i, j), weights)
    np.add.at(flow, (j, i), weights)
    flow /= flow.sum()
    visits = flow.sum(axis=1)
    exits = np.array(
        [flow[labels == module][:, labels != module].sum() for module in np.unique(labels)]
    )
    length = exits.sum() * entropy(exits, base=2) if exits.sum() > 0 else 0.0
    for module, leaving in zip(np.unique(labels), exits, strict=True):
        book = np.append(visits[labels == module], leaving)
        length += book.sum() * entropy(book, base=2) if book.sum() > 0 else 0.0
    return length


def some_graph(seed, n):
    rng = np.random.default_rng(seed)
    i, j = np.triu_indices(n, 1)
    kept = rng.random(len(i)) < 0.5
    kept[0] = True
    return i[kept], j[kept], rng.random(kept.sum()) + 0.01


def cliques(n_cliques, size, bridge):
    """Cliques in a ring, neighbours joined by one weak pair."""
    within = [
        (c * size + a, c * size + b)
        for c in range(n_cliques)
        for a in range(size)
        for b in range(a + 1, size)
    ]
    across = [(c * size, (c + 1) % n_cliques * size + 1) for c in range(n_cliques)]
    pairs = np.sort(np.array(within + across), axis=1)
    weights = np.r_[np.ones(len(within)), np.full(len(across), bridge)]
    return *pairs.T, weights, np.repeat(np.arange(n_cliques), size)


@settings(deadline=None, max_examples=60)
@given(seed=seeds, n=st.integers(2, 12))
def test_no_merge_of_two_clusters_and_no_move_would_shorten_it(seed, n):
    i, j, weights = some_graph(seed, n)
    labels = flow_clusters(i, j, weights, n)
    length = description_length(i, j, weights, labels)
    tolerance = 1e-9
    assert length <= description_length(i, j, weights, np.arange(n)) + tolerance
    modules = np.unique(labels)
    assert_array_equal(modules, np.arange(len(modules)))
    for a in modules:
        for b in modules[modules > a]:
            merged = np.where(labels == b, a, labels)
            assert length <= description_length(i, j, weights, merged) + tolerance


@pytest.mark.parametrize("n_cliques", [2, 5, 12])
@pytest.mark.parametrize("size", [3, 4, 10])
def test_cliques_are_found(n_cliques, size):
    i, j, weights, truth = cliques(n_cliques, size, 0.2)
    assert pairwise_f_score(truth, flow_clusters(i, j, weights, len(truth))) == 1


def test_a_wrong_start_is_mended_by_moves():
    # Two near cliques share a node that merges first: only a move can bring it home.
    rng = np.random.default_rng(0)
    n_classes, size = 12, 15
    y = np.repeat(np.arange(n_classes), size)
    i, j = np.triu_indices(len(y), 1)
    share = np.where(y[i] == y[j], 0.5, 0.02)
    kept = rng.random(len(i)) < share
    labels = flow_clusters(i[kept], j[kept], np.ones(kept.sum()), len(y))
    assert pairwise_f_score(y, labels) > 0.95


@settings(deadline=None, max_examples=30)
@given(seed=seeds, n=st.integers(2, 40))
def test_merges_that_are_there_already_are_gone_on_from(seed, n):
    pairs, merge, n_merged = some_graph(seed, n), _module_merges.merge_modules, []

    def counted(*arguments):
        n_merged.append(1)
        return merge(*arguments)

    merged = merge_clusters(*pairs, n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_flow, "merge_modules", counted)
        expected = flow_clusters(*pairs, n)
        whole = len(n_merged)
        assert_array_equal(flow_clusters(*pairs, n, merged), expected)
    assert len(n_merged) == 2 * whole - 1


@settings(deadline=None, max_examples=30)
@given(seed=seeds, n=st.integers(2, 40))
def test_the_order_of_nodes_and_pairs_and_the_unit_of_weights_do_not_matter(seed, n):
    i, j, weights = some_graph(seed, n)
    labels = flow_clusters(i, j, weights, n)
    rng = np.random.default_rng(seed)
    new_of, order = rng.permutation(n), rng.permutation(len(i))
    ends = np.sort(np.stack([new_of[i], new_of[j]])[:, order], axis=0)
    turned = flow_clusters(*ends, 7 * weights[order], n)[new_of]
    assert pairwise_f_score(labels, turned) == 1


def test_nodes_without_pairs_are_alone():
    i, j, weights, truth = cliques(3, 4, 0.1)
    labels = flow_clusters(i, j, weights, len(truth) + 3)
    assert len(np.unique(labels[-3:])) == 3
    assert not np.isin(labels[-3:], labels[:-3]).any()
    none = np.zeros(0, dtype=np.int64)
    assert_array_equal(flow_clusters(none, none, np.zeros(0), 4), np.arange(4))
    assert_array_equal(flow_clusters(i, j, 0 * weights, len(truth)), np.arange(len(truth)))


def test_relations_say_who_shares_a_cluster_and_how_much_flow_goes_there():
    i, j, weights, truth = cliques(4, 5, 0.5)
    relations = flow_relations(i, j, weights, len(truth))[:]
    within = truth[i] == truth[j]
    assert_array_equal(relations[:, 0], within)
    # A bridge node: 4 of 4.5 stay at home, 0.5 go over.
    assert_allclose(relations[~within][:, 1:3], 0.5 / 4.5, rtol=1e-6)
    assert_allclose(relations[within][:, 2].max(), 1.0)
    assert_allclose(relations[:, 3:], np.log(5), rtol=1e-6)


@settings(deadline=None, max_examples=20)
@given(seed=seeds, n=st.integers(2, 30))
def test_relations_do_not_depend_on_which_end_comes_first(seed, n):
    i, j, weights = some_graph(seed, n)
    one, other = (flow_relations(*ends, weights, n)[:] for ends in ((i, j), (j, i)))
    assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("n_keys", [50, 2**31, 2**62])
def test_equal_keys_keep_their_order(rng, n_keys):
    keys = rng.integers(0, 50, size=300) * (n_keys // 50)
    found, order = _module_merges._sorted(keys, n_keys)
    np.testing.assert_array_equal(order, np.argsort(keys, kind="stable"))
    np.testing.assert_array_equal(found, np.sort(keys))


def test_components_of_pairs_with_and_without_ties():
    """Where each node is in one pair there is a quicker way to the same."""
    apart = np.array([[0, 2, 5], [4, 1, 3]])
    n, component = _module_merges._components(*apart, 6)
    assert n == 3
    np.testing.assert_array_equal(component[apart[0]], component[apart[1]])
    assert len(np.unique(component)) == 3
    n, component = _module_merges._components(np.array([0, 4, 1]), np.array([4, 2, 3]), 5)
    assert n == 2
    np.testing.assert_array_equal(component[[0, 4]], component[2])
    assert component[1] == component[3] != component[0]
