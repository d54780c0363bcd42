"""The tree of merges: linkage matrices, cuts, exports."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import cut_tree, dendrogram, is_monotonic, is_valid_linkage, linkage
from scipy.spatial.distance import squareform

from sklearn_hilander import Hierarchy
from sklearn_hilander._clusters._merge_tree import components, first_come
from sklearn_hilander._types import Merges
from sklearn_hilander.metrics import pairwise_f_score

seeds = st.integers(0, 10**6)


def random_merges(rng, n, share, ties=False):
    i, j = np.triu_indices(n, 1)
    kept = rng.random(len(i)) < share
    p = rng.random(int(kept.sum()))
    return Merges(i[kept], j[kept], np.round(p, 1) if ties else p)


def hierarchy_of(merges, n, threshold=0.5, clusters=None):
    labels = first_come(components(merges, n, threshold))
    return Hierarchy(
        labels=(labels,),
        peaks=(np.unique(labels, return_index=True)[1],),
        thresholds=(threshold,),
        recorded=merges,
        clusters=labels if clusters is None else clusters,
    )


@given(seed=seeds, n=st.integers(1, 25), share=st.floats(0, 1), ties=st.booleans())
@settings(max_examples=60, deadline=None)
def test_linkage_is_single_linkage_of_the_merges(seed, n, share, ties):
    rng = np.random.default_rng(seed)
    merges = random_merges(rng, n, share, ties)
    hierarchy = hierarchy_of(merges, n)
    Z = hierarchy.to_linkage()
    assert Z.shape == (n - 1, 4)
    if n == 1:
        return
    assert is_valid_linkage(Z)
    assert is_monotonic(Z)
    distance = np.ones((n, n))
    distance[merges.a, merges.b] = distance[merges.b, merges.a] = 1 - merges.probability
    np.fill_diagonal(distance, 0)
    expected = linkage(squareform(distance, checks=False), "single")
    np.testing.assert_allclose(Z[:, 2], expected[:, 2], atol=1e-12)
    for threshold in (0.0, 0.25, 0.55, 0.9):
        labels = hierarchy.cut(linkage_threshold=threshold)
        np.testing.assert_array_equal(labels, first_come(components(merges, n, threshold)))
    if not ties and len(np.unique(Z[:, 2])) == len(Z):
        for n_clusters in range(1, n + 1):
            cut = hierarchy.cut(n_clusters=n_clusters)
            assert pairwise_f_score(cut_tree(expected, n_clusters)[:, 0], cut) == 1


@given(seed=seeds, n=st.integers(2, 25), share=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_cuts_are_nested_and_have_the_number_asked_for(seed, n, share):
    hierarchy = hierarchy_of(random_merges(np.random.default_rng(seed), n, share, ties=True), n)
    finer = hierarchy.cut(n_clusters=n)
    for n_clusters in range(n - 1, 0, -1):
        labels = hierarchy.cut(n_clusters=n_clusters)
        np.testing.assert_array_equal(np.unique(labels), np.arange(n_clusters))
        assert len(np.unique(np.stack([finer, labels]), axis=1).T) == finer.max() + 1
        finer = labels


@given(seed=seeds, n=st.integers(2, 25), share=st.floats(0, 0.4), small=st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_linkage_of_clusters(seed, n, share, small):
    merges = random_merges(np.random.default_rng(seed), n, share)
    parts = components(merges, n, 0.5)
    labels = first_come(parts, np.bincount(parts) >= small)
    Z = hierarchy_of(merges, n, clusters=labels).to_linkage(clusters=True)
    n_clusters = labels.max() + 1
    assert len(Z) == max(n_clusters - 1, 0)
    if n_clusters > 1:
        assert is_valid_linkage(Z)
        assert is_monotonic(Z)
        assert Z[-1, 3] == n_clusters
        assert (Z[:, 2] >= 0.5).all()


def test_linkage_of_clusters_goes_through_those_left_out():
    # 0 and 2 are joined by way of 1, which is in no cluster.
    merges = Merges(np.array([0, 1]), np.array([1, 2]), np.array([0.4, 0.3]))
    Z = hierarchy_of(merges, 3, clusters=np.array([0, -1, 1])).to_linkage(clusters=True)
    np.testing.assert_allclose(Z, [[0, 1, 0.7, 2]])


def test_what_goes_on_below_is_asked_for_once_and_only_when_needed():
    calls = []

    def go_on():
        calls.append(1)
        return Merges(np.array([0]), np.array([2]), np.array([0.2]))

    above = Merges(np.array([0]), np.array([1]), np.array([0.9]))
    labels = np.array([0, 0, 1, 2])
    hierarchy = Hierarchy((labels,), (np.array([0, 2, 3]),), (0.5,), above, labels, False, go_on)
    np.testing.assert_array_equal(hierarchy.cut(linkage_threshold=0.5), labels)
    assert not calls
    np.testing.assert_array_equal(hierarchy.cut(linkage_threshold=0.1), [0, 0, 0, 1])
    np.testing.assert_array_equal(hierarchy.cut(n_clusters=1), [0, 0, 0, 0])
    np.testing.assert_allclose(hierarchy.to_linkage()[:, 2], [0.1, 0.8, 1.0])
    assert len(calls) == 1


def test_exports_say_the_same(rng):
    nx = pytest.importorskip("networkx")
    hierarchy = hierarchy_of(random_merges(rng, 12, 0.3), 12)
    Z = hierarchy.to_linkage()
    table = hierarchy.to_pandas()
    assert list(table.columns) == ["parent", "left", "right", "probability", "size"]
    np.testing.assert_array_equal(table[["left", "right", "size"]], Z[:, [0, 1, 3]])
    np.testing.assert_allclose(table["probability"], 1 - Z[:, 2])
    graph = hierarchy.to_networkx()
    assert nx.is_arborescence(graph)
    assert graph.nodes[22]["size"] == 12
    for row in table.itertuples():
        assert set(graph.successors(row.parent)) == {row.left, row.right}
        assert graph.nodes[row.parent]["probability"] == row.probability
    assert len(dendrogram(Z, no_plot=True)["leaves"]) == 12


@pytest.mark.parametrize("cut", [{}, dict(n_clusters=2, linkage_threshold=0.5)])
def test_cut_takes_one_of_two(cut):
    with pytest.raises(ValueError, match="one of n_clusters and linkage_threshold"):
        hierarchy_of(Merges(np.array([0]), np.array([1]), np.array([0.5])), 3).cut(**cut)


def test_cut_at_no_number():
    with pytest.raises(ValueError, match="linkage_threshold is NaN"):
        hierarchy_of(Merges(np.array([0]), np.array([1]), np.array([0.5])), 3).cut(
            linkage_threshold=np.nan
        )


@pytest.mark.parametrize("n_clusters", [0, 4])
def test_cut_to_an_impossible_number(n_clusters):
    with pytest.raises(ValueError, match="not between 1 and 3 samples"):
        hierarchy_of(Merges(np.array([0]), np.array([1]), np.array([0.5])), 3).cut(n_clusters)
