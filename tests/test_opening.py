"""Rows that join nothing are clustered in the company of known ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from sklearn_hilander import HiLanderClustering
from sklearn_hilander._clusters._merge_tree import components, leave_out, spanning_forest
from sklearn_hilander._incoming._joining import assign_rows
from sklearn_hilander._types import Merges
from sklearn_hilander.datasets import make_identities


@pytest.fixture(scope="module", params=["relational", "gcn", "none"])
def fitted(request):
    """A clusterer that knows 20 classes, and rows of those and of 10 others."""
    X, y = make_identities(320, 24, mean_size=10, random_state=1)
    known = (y < y.max() - 9) & (np.arange(len(y)) % 2 == 0)
    params = dict(pretrained=None)
    if request.param != "none":
        quick = dict(max_iter=1, batch_size=128, random_state=0)
        if request.param == "gcn":
            quick = dict(linkage_threshold=0.4, max_iter=20, hidden_dim=16, random_state=0)
        teacher = HiLanderClustering(architecture=request.param, **quick)
        teacher.fit(*make_identities(300, 24, mean_size=10, random_state=0))
        params = dict(pretrained=teacher, architecture=request.param)
    return HiLanderClustering(**params).fit(X[known]), X[~known], y[~known]


def assign(clusterer, X, constraints=None):
    settings_ = clusterer._cluster_settings(1, clusterer._model)
    return assign_rows(X, clusterer._known, clusterer._model, settings_, constraints)


def test_what_is_opened_is_a_growth_of_those_rows_alone(fitted):
    clusterer, X, _ = fitted
    found = assign(clusterer, X)
    n, growth = len(found.opened), found.growth
    assert n > 1
    (labels,) = growth.labels
    assert len(labels) == len(growth.prominence) == n
    np.testing.assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))
    np.testing.assert_array_equal(labels[growth.peaks[0]], np.arange(labels.max() + 1))
    for pairs in (growth.merges, growth.links, growth.reviewed):
        assert (np.r_[pairs.a, pairs.b] < n).all()
    # The tree of merges says the same as the labels.
    cut = components(growth.merges, n, clusterer.linkage_threshold_)
    assert len(np.unique(np.stack([cut, labels]), axis=1).T) == len(np.unique(cut))
    assert len(np.unique(cut)) == len(np.unique(labels))


def test_bridges_lead_from_known_rows_to_opened_ones(fitted):
    clusterer, X, _ = fitted
    found = assign(clusterer, X)
    bridges = found.bridges
    assert len(bridges) > 0
    assert bridges.a.max() < len(clusterer._known.embeddings.features)
    assert bridges.b.max() < len(found.opened)
    assert bridges.probability.min() >= 0
    # They are kept as linkage between old samples and new ones.
    n_before = len(clusterer.labels_)
    other = clone(clusterer).fit(clusterer_rows(clusterer)).partial_fit(X, min_growth=None)
    pairs = other.linkage_pairs()
    low, high = np.minimum(pairs.i, pairs.j), np.maximum(pairs.i, pairs.j)
    sample = n_before + found.new.first[found.opened]
    assert np.isin(sample, high[low < n_before]).any()


def clusterer_rows(clusterer):
    known = clusterer._known
    return known.embeddings.features[known.embeddings.inverse]


def test_company_changes_nothing_that_is_known(fitted):
    clusterer, X, _ = fitted
    before = dict(vars(clusterer)), clusterer.labels_.copy()
    labels = clusterer.predict(X)
    assert dict(vars(clusterer)) == before[0]
    np.testing.assert_array_equal(clusterer.labels_, before[1])
    opened = labels[labels >= clusterer.n_clusters_]
    expected = clusterer.n_clusters_ + np.arange(len(np.unique(opened)))
    np.testing.assert_array_equal(np.unique(opened), expected)


def test_rows_of_classes_that_are_not_known_open_clusters():
    X, y = make_identities(600, 24, mean_size=12, random_state=1)
    is_new = y % 4 == 0
    held = np.random.default_rng(0).random(len(y)) < 0.3
    for pretrained in ("default", None):
        clusterer = HiLanderClustering(pretrained=pretrained).fit(X[~is_new & ~held])
        of_new = clusterer.predict(X[is_new]) >= clusterer.n_clusters_
        of_known = clusterer.predict(X[~is_new & held]) >= clusterer.n_clusters_
        assert of_known.mean() < 0.25
        assert of_new.mean() > 0.4


@given(seed=st.integers(0, 10**6), n_nodes=st.integers(1, 12), n_merges=st.integers(0, 25))
@settings(max_examples=80, deadline=None)
def test_leaving_leaves_out_changes_no_cut_of_the_others(seed, n_nodes, n_merges):
    rng = np.random.default_rng(seed)
    ends = rng.integers(0, n_nodes, (2, n_merges))
    merges = Merges(*ends, np.round(rng.random(n_merges), 1))
    n_kept = int(rng.integers(1, n_nodes + 1))
    left = leave_out(spanning_forest(merges, n_nodes), n_kept, n_nodes)
    assert (np.r_[left.a, left.b] < n_kept).all()
    for threshold in np.linspace(-0.05, 0.95, 6):
        before = components(merges, n_nodes, threshold)[:n_kept]
        after = components(left, n_kept, threshold)
        np.testing.assert_array_equal(
            before[:, None] == before[None], after[:, None] == after[None]
        )
