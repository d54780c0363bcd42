"""Everything clustered afresh, with labels that go on."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklearn_hilander import HiLanderClustering
from sklearn_hilander._reclustering import _numbered_as_before
from sklearn_hilander.datasets import make_identities
from sklearn_hilander.metrics import match_labels, pairwise_f_score


@pytest.fixture(scope="module")
def unseen():
    """Rows of 30 classes, five of them copies of others, and their classes."""
    X, y = make_identities(250, 24, mean_size=10, random_state=1)
    order = np.random.default_rng(2).permutation(255)
    return np.vstack([X, X[:5]])[order], np.r_[y, y[:5]][order]


@pytest.fixture(scope="module", params=["relational", "gcn", "paper-gcn", "none"])
def trained(request):
    if request.param == "none":
        return HiLanderClustering()
    X, y = make_identities(300, 24, mean_size=10, random_state=0)
    quick = dict(max_iter=1, batch_size=128, random_state=0)
    if request.param != "relational":
        quick = dict(linkage_threshold=0.4, max_iter=20, hidden_dim=16, random_state=0)
    teacher = HiLanderClustering(architecture=request.param, **quick).fit(X, y)
    return HiLanderClustering(
        pretrained=teacher,
        architecture=request.param,
        linkage_threshold=teacher.linkage_threshold,
    )


def feed(clusterer, X, n_chunks=4, **said):
    for rows in np.array_split(np.arange(len(X)), n_chunks):
        clusterer.partial_fit(X[rows], **{name: value[rows] for name, value in said.items()})
    return clusterer


def test_a_stream_ends_in_the_clusters_of_a_fit(trained, unseen):
    X, _ = unseen
    if trained.architecture == "paper-gcn":
        # Rows as they came are not kept: their lengths are taken to be 1.
        X = X / np.linalg.norm(X, axis=1, keepdims=True)
    stream = feed(clone(trained), X)
    before = stream.labels_
    assert stream.recluster() is stream
    whole = clone(trained).fit(X)
    assert pairwise_f_score(whole.labels_, stream.labels_) == 1
    assert pairwise_f_score(stream.labels_, whole.labels_) == 1
    assert stream.n_clusters_ == whole.n_clusters_
    np.testing.assert_array_equal(np.unique(stream.labels_), np.arange(stream.n_clusters_))
    if trained.architecture != "paper-gcn":
        np.testing.assert_array_equal(stream.predict(X[::-1]), stream.labels_[::-1])
    # Sums of float32 over rows in another order.
    np.testing.assert_allclose(stream.probabilities_, whole.probabilities_, atol=1e-5)
    assert stream.hierarchy_.n_levels == whole.hierarchy_.n_levels
    kept = (before == stream.labels_).mean()
    assert kept >= (before == whole.labels_).mean()


def test_nothing_moves_where_nothing_came(trained, unseen):
    clusterer = clone(trained).fit(unseen[0])
    before = clusterer.labels_
    np.testing.assert_array_equal(clusterer.recluster().labels_, before)


def test_it_waits_for_growth(unseen, tmp_path):
    X, _ = unseen
    clusterer = HiLanderClustering().fit(X[:100])
    known = clusterer._known
    assert clusterer.recluster(min_growth=1.01)._known is known
    clusterer.partial_fit(X[100:150])
    known = clusterer._known
    assert clusterer.recluster(min_growth=1.6)._known is known
    clusterer.save(tmp_path / "saved")
    clusterer = HiLanderClustering.load(tmp_path / "saved")
    known = clusterer._known
    assert clusterer.recluster(min_growth=1.6)._known is known
    assert clusterer.recluster(min_growth=1.5)._known is not known
    known = clusterer._known
    # From now on it is measured against 150.
    assert clusterer.partial_fit(X[150:200]).recluster(min_growth=1.5)._known is not known
    assert clusterer._known.n_clustered == 150


@pytest.mark.parametrize("n_chunks", [2, 7, 10])
def test_a_stream_of_equal_chunks_is_a_fit_after_each(n_chunks, unseen):
    X, _ = unseen
    stream = HiLanderClustering(pretrained=None)
    for rows in np.array_split(np.arange(len(X)), n_chunks):
        stream.partial_fit(X[rows]).recluster(min_growth=1.05)
        whole = HiLanderClustering(pretrained=None).fit(X[: rows[-1] + 1])
        assert stream._known.n_clustered == rows[-1] + 1
        assert pairwise_f_score(whole.labels_, stream.labels_) == 1
        assert stream.n_clusters_ == whole.n_clusters_


@given(sizes=st.lists(st.integers(1, 12), min_size=1, max_size=25), growth=st.floats(1, 2))
@settings(max_examples=20, deadline=None)
def test_a_stream_never_lags_behind_by_more_than_its_growth(sizes, growth):
    X = np.random.default_rng(0).normal(size=(sum(sizes), 4))
    stream, clustered = HiLanderClustering(pretrained=None), []
    for end, size in zip(np.cumsum(sizes), sizes, strict=True):
        stream.partial_fit(X[end - size : end]).recluster(min_growth=growth)
        assert len(stream.labels_) == end
        clustered.append(stream._known.n_clustered)
        assert end == clustered[-1] or end < growth * clustered[-1]
    # What all the clusterings cost together, in rows.
    cost = sum(set(clustered))
    assert growth == 1 or cost <= clustered[-1] * growth / (growth - 1)


def test_constraints_of_every_chunk_hold(trained, unseen):
    X, _ = unseen
    n, chunks = len(X), np.array_split(np.arange(len(X)), 4)
    groups = np.arange(n) // 3
    # Copies cannot be kept apart.
    copy_of = np.unique(X, axis=0, return_inverse=True)[1].reshape(-1)
    doubled = np.bincount(copy_of)[copy_of] > 1
    groups[doubled] = -1
    clusterer = clone(trained)
    must, cannot = [], []
    for rows in chunks:
        alone = np.flatnonzero(~doubled[rows])[:9:3]
        said = dict(must_link=[alone[:2]], cannot_link=[alone[1:3]])
        must.append(rows[alone[:2]])
        cannot.append(rows[alone[1:3]])
        clusterer.partial_fit(X[rows], groups=groups[rows], **said)
    for _ in range(2):
        clusterer.recluster()
        levels = (*clusterer.hierarchy_.labels, clusterer.labels_)
        for labels in (*levels, clusterer.hierarchy_.cut(linkage_threshold=0.1)):
            for one, other in must:
                assert labels[one] == labels[other]
            for one, other in cannot:
                assert labels[one] != labels[other]
            grouped = groups >= 0
            pairs = np.stack([labels[grouped], groups[grouped]])
            assert len(np.unique(pairs, axis=1).T) == grouped.sum()
        clusterer.partial_fit(X[:30] + 0.01, groups=groups[:30])
        groups = np.r_[groups, groups[:30]]
        near = np.r_[np.arange(30), len(groups) - 30 + np.arange(30)]
        held, of = clusterer.labels_[near], groups[near]
        pairs = np.stack([held[of >= 0], of[of >= 0]])
        assert len(np.unique(pairs, axis=1).T) == (of >= 0).sum()


def test_threshold_and_minimum_size_stay(unseen):
    clusterer = HiLanderClustering().fit(unseen[0])
    clusterer.relabel(linkage_threshold=0.7, min_cluster_size=4).recluster()
    fresh = HiLanderClustering(linkage_threshold=0.7, min_cluster_size=4).fit(unseen[0])
    np.testing.assert_array_equal(clusterer.labels_, fresh.labels_)
    assert clusterer.linkage_threshold_ == 0.7
    assert clusterer.linkage_threshold == "auto"


def test_euclidean_rows_keep_their_scale(rng):
    X = 100 + rng.normal(size=(120, 5))
    stream = feed(HiLanderClustering(metric="euclidean"), X)
    scaler = stream._known.scaler
    stream.recluster()
    assert stream._known.scaler is scaler
    np.testing.assert_array_equal(stream.predict(X), stream.labels_)


@given(seed=st.integers(0, 10**6), n_old=st.integers(1, 6), n_new=st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_no_other_numbering_keeps_more_labels(seed, n_old, n_new):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(24, 4))
    # Clusters by hand: what is tested is how they are numbered.
    of = rng.integers(-1, n_new, 24) if n_new else np.full(24, -1)
    present = np.unique(of[of >= 0])
    fresh = HiLanderClustering().fit(X)._known
    partition = np.unique(of, return_inverse=True)[1].reshape(-1)
    number = np.r_[[-1] if (of < 0).any() else [], np.arange(len(present))].astype(np.int64)
    fresh = replace(fresh, partition=partition[fresh.first], number=number, n_clusters=len(present))
    before = rng.integers(-1, n_old, 20)
    found = _numbered_as_before(fresh, before).labels
    np.testing.assert_array_equal(found == -1, fresh.labels == -1)
    np.testing.assert_array_equal(np.unique(found[found >= 0]), np.arange(len(present)))

    def kept(labels):
        return ((labels[:20] == before) & (before >= 0)).sum()

    most = max(
        kept(np.where(fresh.labels >= 0, np.array([*order, -1])[fresh.labels], -1))
        for order in permutations(range(len(present)))
    )
    assert kept(found) == most


def test_lasting_numbers(unseen):
    X, _ = unseen
    stream = HiLanderClustering()
    ids = np.zeros(0, dtype=np.int64)
    for rows in np.array_split(np.arange(len(X)), 5):
        stream.partial_fit(X[rows]).recluster(min_growth=1.5)
        before, ids = ids, match_labels(ids, stream.labels_)
        assert pairwise_f_score(stream.labels_, ids) == 1
        for one in np.intersect1d(before, ids):
            assert (ids[: len(before)][before == one] == one).any()


def test_what_fails_changes_nothing(unseen, monkeypatch):
    clusterer = HiLanderClustering().fit(unseen[0][:100]).partial_fit(unseen[0][100:])
    before = dict(vars(clusterer))

    def fail(*args, **kwargs):
        raise MemoryError("no room")

    monkeypatch.setattr(type(clusterer._model), "grow", fail)
    with pytest.raises(MemoryError):
        clusterer.recluster()
    assert vars(clusterer) == before
    with pytest.raises(ValueError, match="min_growth == 0"):
        clusterer.recluster(min_growth=0.5)
    with pytest.raises(TypeError, match="min_growth"):
        clusterer.recluster(min_growth="often")
    with pytest.raises(NotFittedError):
        HiLanderClustering().recluster()
