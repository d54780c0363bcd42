"""Everything clustered afresh, with labels that go on."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklearn_hilander import HiLanderClustering
from sklearn_hilander._incoming._reclustering import _numbered_as_before
from sklearn_hilander.datasets import make_identities
from sklearn_hilander.metrics import match_labels, pairwise_f_score

sklearn_version = tuple(map(int, sklearn.__version__.split(".")[:2]))


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


def feed(clusterer, X, n_chunks=4, min_growth=None):
    for rows in np.array_split(np.arange(len(X)), n_chunks):
        clusterer.partial_fit(X[rows], min_growth=min_growth)
    return clusterer


def assert_same_clusters(one, other):
    assert len(one) == len(other)
    pairs = np.unique(np.stack([one, other]), axis=1)
    assert pairs.shape[1] == len(np.unique(one)) == len(np.unique(other))


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
    clusterer.partial_fit(X[100:150], min_growth=None)
    known = clusterer._known
    assert clusterer.recluster(min_growth=1.6)._known is known
    clusterer.save(tmp_path / "saved")
    clusterer = HiLanderClustering.load(tmp_path / "saved")
    known = clusterer._known
    assert clusterer.recluster(min_growth=1.6)._known is known
    assert clusterer.recluster(min_growth=1.5)._known is not known
    known = clusterer._known
    # From now on it is measured against 150.
    assert clusterer.partial_fit(X[150:200], min_growth=None)._known is not known
    assert clusterer._known.n_clustered == 150
    clusterer.partial_fit(X[200:224], min_growth=1.5)
    assert clusterer._known.n_clustered == 150
    clusterer.partial_fit(X[224:225], min_growth=1.5)
    assert clusterer._known.n_clustered == 225


@pytest.mark.parametrize("n_chunks", [2, 7, 10])
def test_a_stream_of_equal_chunks_is_a_fit_after_each(n_chunks, trained, unseen):
    X, _ = unseen
    if trained.architecture == "paper-gcn":
        X = X / np.linalg.norm(X, axis=1, keepdims=True)
    stream = clone(trained)
    for rows in np.array_split(np.arange(len(X)), n_chunks):
        stream.partial_fit(X[rows])
        assert stream._known.n_clustered == rows[-1] + 1
        assert_same_clusters(stream.labels_, clone(trained).fit_predict(X[: rows[-1] + 1]))


@given(sizes=st.lists(st.integers(1, 12), min_size=1, max_size=25), growth=st.floats(1, 2))
@settings(max_examples=20, deadline=None)
def test_a_stream_never_lags_behind_by_more_than_its_growth(sizes, growth):
    X = np.random.default_rng(0).normal(size=(sum(sizes), 4))
    by_itself, told = HiLanderClustering(pretrained=None), HiLanderClustering(pretrained=None)
    clustered = []
    for end, size in zip(np.cumsum(sizes), sizes, strict=True):
        rows = X[end - size : end]
        before = getattr(by_itself, "labels_", [])
        by_itself.partial_fit(rows, min_growth=growth)
        told.partial_fit(rows, min_growth=None).recluster(min_growth=growth)
        # Rows that join first and are clustered afresh then might as well not have joined.
        assert_same_clusters(by_itself.labels_, told.labels_)
        clustered.append(by_itself._known.n_clustered)
        assert clustered[-1] == told._known.n_clustered
        assert end == clustered[-1] or end < growth * clustered[-1]
        if len(clustered) > 1 and clustered[-1] == clustered[-2]:
            np.testing.assert_array_equal(by_itself.labels_[: len(before)], before)
    # What all the clusterings cost together, in rows.
    cost = sum(set(clustered))
    assert growth == 1 or cost <= clustered[-1] * growth / (growth - 1)


@given(sizes=st.lists(st.integers(1, 40), min_size=2, max_size=6))
@settings(max_examples=15, deadline=None)
def test_clusters_that_go_on_keep_their_label(unseen, sizes):
    X, stream, start = unseen[0], HiLanderClustering(pretrained=None), 0
    for size in sizes:
        before = getattr(stream, "labels_", np.zeros(0, dtype=np.int64))
        stream.partial_fit(X[start : start + size])
        start += size
        labels = stream.labels_
        np.testing.assert_array_equal(np.unique(labels), np.arange(stream.n_clusters_))
        now = labels[: len(before)]
        for cluster in np.unique(before):
            inside, moved = now[before == cluster], before[now == cluster]
            # Of two that most of each other's rows were in, where the label is still in use.
            if (
                cluster < stream.n_clusters_
                and len(np.unique(inside)) == 1
                and len(np.unique(before[now == inside[0]])) == 1
            ):
                assert inside[0] == cluster, moved


def test_single_rows(unseen):
    X, _ = unseen
    stream = HiLanderClustering(pretrained=None)
    for row in X[:80]:
        stream.partial_fit(row[None])
    assert len(stream.labels_) == 80 < 1.05 * stream._known.n_clustered
    np.testing.assert_array_equal(stream.predict(X[:80]), stream.labels_)
    assert_same_clusters(
        stream.recluster().labels_, HiLanderClustering(pretrained=None).fit_predict(X[:80])
    )


@pytest.mark.parametrize("pretrained", [None, "default"])
def test_what_rows_are_said_to_be_is_kept_to_afresh(pretrained, unseen):
    X = np.unique(unseen[0], axis=0)
    clusterer = HiLanderClustering(pretrained=pretrained).fit(X)
    labels = clusterer.labels_
    a = int(np.flatnonzero(labels == np.bincount(labels).argmax())[0])
    b = int(np.flatnonzero(labels != labels[a])[0])

    def say(pair, **said):
        # Copies of known rows: known clusters do not allow it, others do.
        with pytest.raises(ValueError, match="Contradicting constraints: row"):
            clusterer.partial_fit(X[pair], **said, min_growth=None)
        clusterer.partial_fit(X[pair], **said)

    say([a, b], must_link=[(0, 1)])
    labels = clusterer.labels_[: len(X)]
    together = np.flatnonzero(labels == np.bincount(np.delete(labels, [a, b])).argmax())
    c, d = np.setdiff1d(together, [a, b])[:2].tolist()
    say([c, d], cannot_link=[(0, 1)])
    labels = clusterer.labels_
    assert labels[a] == labels[b]
    assert labels[c] != labels[d]
    assert len(labels) == len(X) + 4
    # What was said before is not forgotten, and what contradicts it named.
    before = dict(vars(clusterer))
    for said in (dict(cannot_link=[(0, 1)]), dict(groups=["one photo"] * 2)):
        with pytest.raises(ValueError, match=f"of all rows kept, {min(a, b)} and {max(a, b)} are"):
            clusterer.partial_fit(X[[a, b]], **said)
        assert vars(clusterer) == before
    clusterer.partial_fit(X[[a]], groups=["one photo"])
    with pytest.raises(ValueError, match="both are in group 'one photo'"):
        clusterer.partial_fit(X[[b]], groups=["one photo"])
    with pytest.raises(ValueError, match="numbers here, strings there"):
        clusterer.partial_fit(X[:30], groups=np.arange(30), min_growth=1)


@pytest.mark.parametrize("said", ["must_link", "cannot_link", "groups"])
def test_what_copies_are_said_to_be_is_kept_to_where_each_is_a_node(said, unseen):
    """The paper's networks cluster copies, too."""
    X, y = make_identities(120, 24, mean_size=10, random_state=5)
    teacher = HiLanderClustering(architecture="paper-gcn", max_iter=2, hidden_dim=8, random_state=0)
    # It joins everything, or nothing.
    threshold = 0.999 if said == "must_link" else 0.01
    clusterer = HiLanderClustering(pretrained=teacher.fit(X, y), linkage_threshold=threshold)
    labels = clusterer.fit(unseen[0][:60]).labels_
    a = int(np.bincount(labels).argmax())
    one, other = np.flatnonzero((labels == a) != (said == "must_link"))[:2].tolist()
    constraint = {"groups": ["photo"] * 2} if said == "groups" else {said: [(0, 1)]}
    # They are told of copies of copies.
    for _ in range(2):
        clusterer.partial_fit(unseen[0][[one, other]], **constraint)
    clusterer.recluster()
    of_one, of_other = clusterer.labels_[[one, 60, 62]], clusterer.labels_[[other, 61, 63]]
    assert len(set(of_one)) == len(set(of_other)) == 1
    assert (of_one[0] == of_other[0]) == (said == "must_link")


def test_groups_of_different_calls(trained, unseen):
    X = np.unique(unseen[0], axis=0)
    clusterer, groups = clone(trained), np.arange(len(X)) // 3
    order = np.random.default_rng(4).permutation(len(X))
    for rows in np.array_split(order, 6):
        clusterer.partial_fit(X[rows], groups=groups[rows])
        seen = groups[order[: len(clusterer.labels_)]]
        for labels in (*clusterer.hierarchy_.labels, clusterer.labels_):
            assert len(np.unique(np.stack([labels, seen]), axis=1).T) == len(labels)


@pytest.mark.skipif(sklearn_version < (1, 9), reason="this scikit-learn has no callbacks")
def test_callbacks_hear_of_it(unseen):
    class Listener:
        def __init__(self):
            self.heard = []

        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            self.heard.append("end")

        def on_fit_task_begin(self, estimator, context):
            self.heard.append(context.task_name)

        def on_fit_task_end(self, estimator, context):
            return False

    X, listener = unseen[0], Listener()
    clusterer = HiLanderClustering(pretrained=None).set_callbacks(listener).partial_fit(X[:100])
    assert listener.heard[:2] == ["fit", "cluster"]
    listener.heard.clear()
    clusterer.partial_fit(X[100:102])
    assert listener.heard == ["partial_fit", "end"]
    listener.heard.clear()
    clusterer.partial_fit(X[102:150])
    assert listener.heard[:3] == ["partial_fit", "cluster", "level"]
    listener.heard.clear()
    clusterer.recluster()
    assert listener.heard[:3] == ["recluster", "cluster", "level"]
    assert listener.heard[-1] == "end"


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
        clusterer.partial_fit(X[rows], groups=groups[rows], **said, min_growth=None)
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
        clusterer.partial_fit(X[:30] + 0.01, groups=groups[:30], min_growth=None)
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


def test_euclidean_rows_keep_a_scale_that_suits_them(rng):
    X = 100 + rng.normal(size=(120, 5))
    stream = HiLanderClustering(metric="euclidean").fit(X[:90])
    scaler = stream._known.scaler
    stream.partial_fit(X[90:])
    assert stream._known.scaler is scaler
    np.testing.assert_array_equal(stream.predict(X), stream.labels_)


@pytest.mark.parametrize("factor", [1e-6, 1, 1e9])
@pytest.mark.parametrize("n_first", [1, 2, 20])
def test_a_euclidean_stream_may_begin_with_a_few_rows(unseen, n_first, factor):
    X, y = unseen
    X = factor * (50 * X.astype(np.float64) + 300)
    whole = HiLanderClustering(metric="euclidean", pretrained=None).fit(X)
    stream = clone(whole).partial_fit(X[:n_first]).partial_fit(X[n_first:])
    assert 1 / 1.42 < stream._known.scaler.scale / whole._known.scaler.scale < 1.42
    # Copies are found, whatever the scale that they came in.
    np.testing.assert_array_equal(stream.predict(X[::-1]), stream.labels_[::-1])
    assert abs(pairwise_f_score(y, stream.labels_) - pairwise_f_score(y, whole.labels_)) < 0.1
    for cluster in range(3):
        expected = X[stream.labels_ == cluster].mean(axis=0)
        np.testing.assert_allclose(stream.cluster_centers_[cluster], expected, rtol=1e-5)


def test_a_relational_model_does_not_see_where_a_euclidean_stream_began(unseen):
    X = 50 * unseen[0].astype(np.float64) + 300
    whole = HiLanderClustering(metric="euclidean").fit(X)
    stream = clone(whole).partial_fit(X[:1]).partial_fit(X[1:])
    assert stream._known.scaler.center.tolist() != whole._known.scaler.center.tolist()
    assert_same_clusters(stream.labels_, whole.labels_)


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
        stream.partial_fit(X[rows])
        before, ids = ids, match_labels(ids, stream.labels_)
        assert pairwise_f_score(stream.labels_, ids) == 1
        for one in np.intersect1d(before, ids):
            assert (ids[: len(before)][before == one] == one).any()


def test_what_fails_changes_nothing(unseen, monkeypatch):
    clusterer = (
        HiLanderClustering().fit(unseen[0][:100]).partial_fit(unseen[0][100:], min_growth=None)
    )
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
    with pytest.raises(ValueError, match="min_growth is NaN"):
        clusterer.recluster(min_growth=np.nan)
    with pytest.raises(MemoryError):
        clusterer.partial_fit(unseen[0])
    with pytest.raises(ValueError, match="min_growth == 0"):
        clusterer.partial_fit(unseen[0], min_growth=0.5)
    with pytest.raises(TypeError, match="min_growth"):
        clusterer.partial_fit(unseen[0], min_growth="often")
    with pytest.raises(ValueError, match="min_growth is NaN"):
        clusterer.partial_fit(unseen[0], min_growth=np.nan)
    assert vars(clusterer) == before
    with pytest.raises(NotFittedError):
        HiLanderClustering().recluster()
