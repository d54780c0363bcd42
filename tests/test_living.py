"""What a fitted clusterer can be asked and told: strengths, reviews, relabelling, constraints."""

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import sklearn.cluster
from conftest import make_clusters
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import is_monotonic, is_valid_linkage
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, normalize

from sklearn_hilander import Constraints, HiLanderClustering
from sklearn_hilander.datasets import make_identities
from sklearn_hilander.metrics import match_labels, pairwise_f_score

TRAINED = dict(max_iter=1, batch_size=128, random_state=0)

sklearn_version = tuple(map(int, sklearn.__version__.split(".")[:2]))


@pytest.fixture(scope="module")
def unseen():
    """Rows of 30 classes, five of them copies of others."""
    X, y = make_identities(250, 24, mean_size=10, random_state=1)
    return np.vstack([X, X[:5]]), np.r_[y, y[:5]]


@pytest.fixture(scope="module", params=["relational", "gcn", "none"])
def trained(request):
    """A clusterer of each kind, not yet fitted to what it is to cluster."""
    if request.param == "none":
        return HiLanderClustering()
    X, y = make_identities(300, 24, mean_size=10, random_state=0)
    if request.param == "relational":
        teacher = HiLanderClustering(**TRAINED)
    else:
        teacher = HiLanderClustering(
            architecture="gcn", linkage_threshold=0.4, max_iter=20, hidden_dim=16, random_state=0
        )
    return HiLanderClustering(
        pretrained=teacher.fit(X, y),
        linkage_threshold=teacher.linkage_threshold,
        architecture=teacher.architecture,
    )


@pytest.fixture
def fitted(trained, unseen):
    return clone(trained).fit(unseen[0])


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def groups_kept(labels, groups):
    return all(
        len(np.unique(labels[groups == g])) == (groups == g).sum() for g in np.unique(groups)
    )


def test_representatives(fitted, unseen):
    labels, n_clusters = fitted.labels_, fitted.n_clusters_
    exemplars = fitted.exemplar_indices_
    np.testing.assert_array_equal(labels[exemplars], np.arange(n_clusters))
    np.testing.assert_array_equal(fitted.cluster_sizes_, np.bincount(labels))
    unit = unseen[0] / np.linalg.norm(unseen[0], axis=1, keepdims=True)
    for cluster in range(n_clusters):
        np.testing.assert_allclose(
            fitted.cluster_centers_[cluster], unit[labels == cluster].mean(axis=0), atol=1e-6
        )


def test_exemplars_are_the_peaks_of_the_last_level(fitted):
    assert set(fitted.exemplar_indices_) == set(fitted.hierarchy_.peaks[-1])


def test_centers_of_euclidean_rows_are_in_their_units(rng):
    X, _ = make_clusters(rng)
    X = 1000 + 7 * X
    clusterer = HiLanderClustering(metric="euclidean").fit(X)
    for cluster in range(clusterer.n_clusters_):
        expected = X[clusterer.labels_ == cluster].mean(axis=0)
        np.testing.assert_allclose(clusterer.cluster_centers_[cluster], expected, rtol=1e-5)


def test_probabilities_say_until_which_threshold_rows_stay_with_their_exemplar(fitted):
    p, exemplars = fitted.probabilities_, fitted.exemplar_indices_
    assert p.min() >= 0
    assert p.max() <= 1
    np.testing.assert_array_equal(p[exemplars], 1)
    own = exemplars[fitted.labels_]
    for threshold in np.linspace(fitted.linkage_threshold_, 0.99, 8):
        cut = fitted.hierarchy_.cut(linkage_threshold=threshold)
        np.testing.assert_array_equal(cut == cut[own], (p > threshold) | (p == 1))


def test_outlier_scores(fitted):
    scores = fitted.outlier_scores_
    assert scores.min() >= 0
    assert scores.max() <= 1
    np.testing.assert_array_equal(scores[-5:], 0)
    np.testing.assert_array_equal(scores[:5], 0)
    pairs = fitted.linkage_pairs()
    strongest = np.zeros(len(scores))
    np.maximum.at(strongest, pairs.i, pairs.probability)
    np.maximum.at(strongest, pairs.j, pairs.probability)
    alone = np.arange(5, len(scores) - 5)
    np.testing.assert_allclose(scores[alone], 1 - strongest[alone])


def test_hierarchy_ends_in_the_labels_and_is_a_linkage(fitted):
    hierarchy = fitted.hierarchy_
    cut = hierarchy.cut(linkage_threshold=fitted.linkage_threshold_)
    np.testing.assert_array_equal(cut, fitted.labels_)
    Z = hierarchy.to_linkage()
    assert is_valid_linkage(Z)
    assert is_monotonic(Z)
    assert len(hierarchy.to_linkage(clusters=True)) == fitted.n_clusters_ - 1
    for n_clusters in (1, 7, 100):
        assert len(np.unique(hierarchy.cut(n_clusters=n_clusters))) == n_clusters


def test_cuts_at_the_thresholds_are_the_levels(fitted):
    hierarchy = fitted.hierarchy_
    if len(set(hierarchy.thresholds)) < hierarchy.n_levels:
        assert len(set(hierarchy.thresholds)) == 1
        return
    for threshold, labels in zip(hierarchy.thresholds, hierarchy.labels, strict=True):
        assert pairwise_f_score(hierarchy.cut(linkage_threshold=threshold), labels) == 1


@pytest.mark.parametrize("threshold", [0.2, 0.35, 0.7, 0.9])
def test_relabelled_as_fitted(trained, unseen, threshold):
    relabelled = clone(trained).fit(unseen[0]).relabel(linkage_threshold=threshold)
    assert relabelled.linkage_threshold_ == threshold
    assert relabelled.n_clusters_ == relabelled.labels_.max() + 1
    np.testing.assert_array_equal(relabelled.predict(unseen[0]), relabelled.labels_)
    if getattr(trained.pretrained, "architecture", None) == "relational":
        fresh = clone(trained).set_params(linkage_threshold=threshold).fit(unseen[0])
        np.testing.assert_array_equal(fresh.labels_, relabelled.labels_)
        back = relabelled.relabel(linkage_threshold=trained.pretrained.linkage_threshold_)
        np.testing.assert_array_equal(back.labels_, clone(trained).fit_predict(unseen[0]))


def test_a_threshold_above_what_is_very_sure_is_kept_to(trained, unseen):
    fitted = clone(trained).set_params(linkage_threshold=0.999).fit(unseen[0])
    assert fitted.hierarchy_.thresholds[-1] == 0.999
    assert pairwise_f_score(fitted.hierarchy_.cut(linkage_threshold=0.999), fitted.labels_) == 1


@pytest.mark.parametrize("min_growth", [None, 1.5])
def test_what_was_relabelled_goes_on_in_a_stream(trained, unseen, min_growth):
    X, n = unseen[0], len(unseen[0]) - 1
    stream = clone(trained).fit(X[:n])
    threshold = stream.linkage_threshold_ / 2
    n_clusters = stream.relabel(linkage_threshold=threshold).n_clusters_
    labels = stream.labels_
    stream.partial_fit(X[n:], min_growth=min_growth)
    np.testing.assert_array_equal(stream.labels_[:n], labels)
    cut = stream.hierarchy_.cut(linkage_threshold=threshold)
    assert pairwise_f_score(cut, stream.labels_) == 1
    assert (stream.probabilities_ > 0).all()
    assert stream.relabel(linkage_threshold=threshold).n_clusters_ - n_clusters in (0, 1)


@pytest.mark.parametrize("pretrained", ["default", None])
def test_rows_that_no_cosine_tells_from_known_ones_join_them(rng, pretrained):
    centers = normalize(rng.normal(size=(8, 16)))
    X = np.repeat(centers, 12, axis=0) + 1e-5 * rng.normal(size=(96, 16))
    clusterer = HiLanderClustering(pretrained=pretrained).fit(X)
    near = X + 1e-6 * rng.normal(size=X.shape)
    np.testing.assert_array_equal(clusterer.predict(near), clusterer.labels_)
    far = clusterer.predict(rng.normal(size=(20, 16)))
    assert (far >= clusterer.n_clusters_).all()


def test_merges_under_the_threshold_are_found_once(trained, unseen, monkeypatch):
    clusterer = clone(trained).fit(unseen[0])
    model, calls = type(clusterer._model), []
    find = model.merges_below
    monkeypatch.setattr(model, "merges_below", lambda *args: calls.append(1) or find(*args))
    for threshold in (0.1, 0.05, 0.9, 0.1):
        clusterer.relabel(linkage_threshold=threshold)
    clusterer.relabel(min_cluster_size=2).relabel(linkage_threshold=0.05)
    assert len(calls) == 1
    clusterer.fit(unseen[0]).relabel(linkage_threshold=0.1)
    assert len(calls) == 2


def test_relabelling_changes_the_minimum_size(fitted, unseen):
    sizes = fitted.cluster_sizes_
    params = fitted.get_params()
    views = fitted.hierarchy_
    before = fitted.labels_
    fitted.relabel(min_cluster_size=4)
    assert fitted.n_clusters_ == (sizes >= 4).sum()
    np.testing.assert_array_equal(fitted.labels_ == -1, sizes[before] < 4)
    np.testing.assert_array_equal(fitted.probabilities_[fitted.labels_ == -1], 0)
    np.testing.assert_array_equal(fitted.predict(unseen[0]), fitted.labels_)
    assert fitted.hierarchy_ is not views
    assert fitted.get_params() == params
    np.testing.assert_array_equal(fitted.relabel(min_cluster_size=1).labels_, before)


@pytest.mark.parametrize(
    "wrong",
    [
        dict(min_cluster_size=0),
        dict(min_cluster_size=1.5),
        dict(linkage_threshold=1.0),
        dict(linkage_threshold=-0.1),
        dict(linkage_threshold=float("nan")),
    ],
)
def test_relabel_refuses(wrong, unseen):
    clusterer = HiLanderClustering().fit(unseen[0])
    before = dict(vars(clusterer))
    with pytest.raises((ValueError, TypeError), match=next(iter(wrong))):
        clusterer.relabel(**wrong)
    assert all(vars(clusterer)[name] is value for name, value in before.items())


GOING_ON = {
    "predict": lambda c, X: c.predict(X),
    "soft_membership": lambda c, X: c.soft_membership(X).toarray(),
    "partial_fit": lambda c, X: c.partial_fit(X, min_growth=None).labels_,
    "partial_fit afresh": lambda c, X: c.partial_fit(X, min_growth=1).labels_,
    "recluster": lambda c, X: c.recluster().labels_,
}


@pytest.mark.parametrize("go_on", GOING_ON.values(), ids=GOING_ON)
@pytest.mark.parametrize(
    ("fitted_with", "other"),
    [("euclidean", "cosine"), ("cosine", "euclidean"), ("cosine", "precomputed")],
)
@pytest.mark.parametrize("architecture", ["relational", "untrained"])
def test_clusters_go_on_by_the_metric_of_their_fit(unseen, go_on, fitted_with, other, architecture):
    X, new = np.split(unseen[0] + 3, [200])
    params = dict(metric=fitted_with, architecture=architecture, random_state=0)
    plain = HiLanderClustering(**params).fit(X)
    changed = HiLanderClustering(**params).fit(X).set_params(metric=other)
    np.testing.assert_array_equal(go_on(changed, new), go_on(plain, new))


@pytest.mark.parametrize(
    "go_on",
    [*GOING_ON.values(), lambda c, X: c.score(X, np.zeros(len(X)))],
    ids=[*GOING_ON, "score"],
)
def test_parameters_set_after_a_fit_are_validated(unseen, go_on):
    clusterer = HiLanderClustering().fit(unseen[0]).set_params(n_neighbors=0)
    with pytest.raises(ValueError, match="The 'n_neighbors' parameter"):
        go_on(clusterer, unseen[0])


def test_fit_and_predict_compute_none_of_it(fitted, unseen):
    assert fitted._known.views == {}
    fitted.predict(unseen[0])
    assert fitted._known.views == {}
    fitted.probabilities_  # noqa: B018
    assert fitted._known.views
    fitted.partial_fit(unseen[0][:5] + 0.01)
    assert fitted._known.views == {}


def test_views_are_kept_and_go_with_a_refit(fitted, unseen):
    assert fitted.hierarchy_ is fitted.hierarchy_
    assert fitted.probabilities_ is fitted.probabilities_
    before, keys = fitted.hierarchy_, set(vars(fitted))
    fitted.fit(unseen[0][:100])
    assert fitted.hierarchy_ is not before
    assert len(fitted.probabilities_) == len(fitted.outlier_scores_) == 100
    assert set(vars(fitted)) == keys


def test_a_pickled_clusterer_says_the_same(fitted):
    other = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(other.hierarchy_.to_linkage(), fitted.hierarchy_.to_linkage())
    np.testing.assert_array_equal(other.merge_candidates(), fitted.merge_candidates())


def test_merge_candidates(fitted):
    found = fitted.merge_candidates(top=10)
    assert len(found) <= 10
    assert (found.a < found.b).all()
    assert (np.diff(found.probability) <= 0).all()
    np.testing.assert_array_equal(fitted.exemplar_indices_[found.a], found.exemplar_a)
    np.testing.assert_array_equal(fitted.exemplar_indices_[found.b], found.exemplar_b)
    np.testing.assert_array_equal(fitted.cluster_sizes_[found.b], found.size_b)
    every = fitted.merge_candidates(top=10**6)
    assert len(np.unique(np.stack([every.a, every.b]), axis=1).T) == len(every)
    np.testing.assert_array_equal(every[: len(found)], found)


def test_a_cluster_that_was_cut_is_a_candidate_to_merge(fitted):
    before = fitted.labels_.copy()
    split = fitted.split_candidates(top=1)[0]
    fitted.relabel(linkage_threshold=split.probability)
    a, b = fitted.labels_[[split.exemplar_a, split.exemplar_b]]
    assert before[split.exemplar_a] == before[split.exemplar_b] == split.cluster
    assert a != b
    pairs = {(min(p), max(p)) for p in fitted.merge_candidates(top=10**6)[["a", "b"]].tolist()}
    assert (min(a, b), max(a, b)) in pairs


def test_split_candidates(fitted):
    found = fitted.split_candidates(top=10**6)
    assert (np.diff(found.probability) >= 0).all()
    assert (found.probability > fitted.linkage_threshold_).all()
    np.testing.assert_array_equal(found.size_a + found.size_b, fitted.cluster_sizes_[found.cluster])
    assert (found.size_a >= found.size_b).all()
    assert len(np.unique(found.cluster)) == len(found)
    linked = fitted.hierarchy_.cut(linkage_threshold=0.999999)
    several = [c for c in range(fitted.n_clusters_) if len(set(linked[fitted.labels_ == c])) > 1]
    assert set(several) <= set(found.cluster)


@pytest.mark.parametrize("top", [1, 3])
def test_soft_membership(fitted, unseen, top):
    n, n_clusters = len(unseen[0]), fitted.n_clusters_
    for soft, rows in (
        (fitted.soft_membership(top=top), n),
        (fitted.soft_membership(unseen[0][::-1], top=top), n),
        (fitted.soft_membership(unseen[0] + 0.03, top=top), n),
    ):
        assert soft.shape == (rows, n_clusters)
        assert np.diff(soft.indptr).max() <= top
        assert (soft.data >= 0).all()
        assert soft.sum(axis=1).max() <= 1 + 1e-9
    np.testing.assert_allclose(
        fitted.soft_membership(unseen[0][::-1], top=top).toarray(),
        fitted.soft_membership(top=top).toarray()[::-1],
    )
    whole = fitted.soft_membership(top=10**6)
    np.testing.assert_allclose(whole.sum(axis=1), 1)


@given(seed=st.integers(0, 10**6), n_groups=st.sampled_from([20, 60, 120]))
@settings(max_examples=8, deadline=None)
def test_constraints_hold_on_every_level(trained, unseen, seed, n_groups):
    X, rng = unseen[0], np.random.default_rng(seed)
    n = len(X)
    groups = np.arange(n) % n_groups
    groups[-5:] = n_groups + np.arange(5)
    must = rng.integers(0, n - 5, (4, 2))
    must = must[(must[:, 0] - must[:, 1]) % n_groups != 0]
    cannot = rng.integers(0, n - 5, (10, 2))
    cannot = cannot[cannot[:, 0] != cannot[:, 1]]
    try:
        clusterer = clone(trained).fit(X, must_link=must, cannot_link=cannot, groups=groups)
    except ValueError as error:
        assert "Contradicting constraints: rows " in str(error)
        return
    hierarchy = clusterer.hierarchy_
    cuts = [hierarchy.cut(linkage_threshold=t) for t in (0.0, 0.2, 0.5, 0.8)]
    for labels in (*hierarchy.labels, *cuts, clusterer.labels_):
        assert (labels[must[:, 0]] == labels[must[:, 1]]).all()
        assert (labels[cannot[:, 0]] != labels[cannot[:, 1]]).all()
        assert groups_kept(labels[:-5], groups[:-5])
    assert is_valid_linkage(hierarchy.to_linkage())
    np.testing.assert_array_equal(clusterer.predict(X), clusterer.labels_)
    with pytest.raises(ValueError, match="are the fewest"):
        hierarchy.cut(n_clusters=1)
    clusterer.relabel(linkage_threshold=0.05)
    assert groups_kept(clusterer.labels_[:-5], groups[:-5])


def test_a_chain_does_not_break_a_constraint(rng):
    row = rng.normal(size=16)
    X = row + 0.01 * rng.normal(size=(30, 16))
    assert HiLanderClustering(pretrained=None).fit(X).n_clusters_ < 10
    labels = HiLanderClustering().fit_predict(X, groups=[0] * 10 + [1] * 10 + [2] * 10)
    assert groups_kept(labels, np.repeat([0, 1, 2], 10))
    labels = HiLanderClustering().fit_predict(X, cannot_link=[(0, 1)], must_link=[(1, 2)])
    assert labels[0] != labels[1] == labels[2]


def test_contradictions_change_nothing(unseen):
    X = unseen[0]
    clusterer = HiLanderClustering().fit(X)
    before = dict(vars(clusterer))
    n = len(X)
    # The last five rows are copies of the first.
    labels = clusterer.labels_[: n - 5]
    same = np.flatnonzero(labels == np.bincount(labels).argmax())[:2].tolist()
    other = int(np.flatnonzero(clusterer.labels_ != clusterer.labels_[0])[0])
    for call, said, message in (
        (clusterer.fit, dict(cannot_link=[(0, n - 5)]), f"rows 0 and {n - 5} are exact copies"),
        (clusterer.fit, dict(must_link=[(1, 2)], cannot_link=[(1, 2)]), "rows 1 and 2"),
        (clusterer.predict, dict(cannot_link=[same]), "cannot_link keeps apart"),
        (clusterer.predict, dict(must_link=[(0, other)]), "known clusters never merge"),
        (
            clusterer.partial_fit,
            dict(must_link=[(0, other)], min_growth=None),
            "known clusters never merge",
        ),
        (clusterer.fit, dict(groups=[1, 2]), "one id a row"),
    ):
        with pytest.raises(ValueError, match=message):
            call(X, **said)
        assert vars(clusterer).keys() == before.keys()
        assert all(vars(clusterer)[name] is value for name, value in before.items())


def test_new_rows_keep_to_groups_and_links(trained, unseen):
    X, _ = unseen
    groups = np.array([f"photo {k}" for k in np.arange(len(X)) % 90])
    groups[-5:] = [f"copy {k}" for k in range(5)]
    clusterer = clone(trained).fit(X, groups=groups)
    near = X[:60] + 1e-4
    free = clusterer.predict(near)
    assert (free == clusterer.labels_[:60]).mean() > 0.8
    # The same photos as the rows that they are nearest to: two faces in one photo.
    held = clusterer.predict(near, groups=groups[:60])
    known = {(g, c) for g, c in zip(groups, clusterer.labels_, strict=True)}
    assert not {(g, c) for g, c in zip(groups[:60], held, strict=True)} & known
    apart = clusterer.predict(near, cannot_link=[(0, 1), (0, 2)], must_link=[(1, 3), (10, 40)])
    assert apart[0] != apart[1] == apart[3]
    assert apart[0] != apart[2]
    assert apart[10] == apart[40]
    before = clusterer.labels_
    clusterer.partial_fit(near, groups=groups[:60], min_growth=None)
    np.testing.assert_array_equal(clusterer.labels_[: len(X)], before)
    assert groups_kept(
        clusterer.labels_[np.r_[: len(X) - 5, len(X) : len(X) + 60]],
        np.r_[groups[:-5], groups[:60]],
    )
    for threshold in (0.05, 0.3, 0.6):
        cut = clusterer.hierarchy_.cut(linkage_threshold=threshold)
        assert groups_kept(cut[np.r_[: len(X) - 5, len(X) : len(X) + 60]],
                           np.r_[groups[:-5], groups[:60]])  # fmt: skip


@pytest.mark.parametrize("min_cluster_size", [1, 3])
def test_without_a_growth_a_stream_keeps_its_labels(trained, unseen, min_cluster_size):
    X, _ = unseen
    order = np.random.default_rng(3).permutation(len(X))
    clusterer = clone(trained).set_params(min_cluster_size=min_cluster_size)
    before = np.zeros(0, dtype=np.int64)
    for rows in np.array_split(order, 5):
        predicted = clusterer.predict(X[rows]) if len(before) else None
        clusterer.partial_fit(X[rows], min_growth=None)
        labels = clusterer.labels_
        kept = before >= 0
        np.testing.assert_array_equal(labels[: len(before)][kept], before[kept])
        if predicted is not None:
            now = labels[len(before) :]
            np.testing.assert_array_equal(now[predicted >= 0], predicted[predicted >= 0])
        np.testing.assert_array_equal(
            np.unique(labels[labels >= 0]), np.arange(clusterer.n_clusters_)
        )
        assert (np.bincount(labels[labels >= 0]) >= min_cluster_size).all()
        before = labels
    assert len(before) == len(X)
    np.testing.assert_array_equal(clusterer.predict(X[order[::-1]]), before[::-1])
    assert is_valid_linkage(clusterer.hierarchy_.to_linkage())
    cut = clusterer.hierarchy_.cut(linkage_threshold=clusterer.linkage_threshold_)
    if min_cluster_size == 1:
        assert pairwise_f_score(cut, before) == 1
        np.testing.assert_array_equal(clusterer.probabilities_[clusterer.exemplar_indices_], 1)
        np.testing.assert_allclose(clusterer.soft_membership(top=10**6).sum(axis=1), 1)
    assert len(clusterer.outlier_scores_) == len(X)
    assert (clusterer.merge_candidates().a < clusterer.n_clusters_).all()
    assert clusterer.cluster_sizes_.sum() == (before >= 0).sum()


def test_min_growth_is_not_metadata(routing):
    requests = HiLanderClustering().get_metadata_routing().partial_fit.requests
    assert set(requests) == {"must_link", "cannot_link", "groups"}


def test_exemplars_stay_in_a_stream(fitted, unseen):
    exemplars, rows = fitted.exemplar_indices_, len(fitted.labels_)
    fitted.partial_fit(unseen[0][::3] + 0.01, min_growth=None)
    np.testing.assert_array_equal(fitted.exemplar_indices_[: len(exemplars)], exemplars)
    assert len(fitted.labels_) == rows + len(unseen[0][::3])
    fitted.partial_fit(unseen[0], min_growth=None)
    np.testing.assert_array_equal(fitted.labels_[-len(unseen[0]) :], fitted.labels_[:rows])


def test_rows_near_known_clusters_do_not_depend_on_the_batch(fitted, unseen, rng):
    near = unseen[0] + 1e-3 * rng.normal(size=unseen[0].shape)
    labels = fitted.predict(near)
    joined = np.flatnonzero(labels < fitted.n_clusters_)
    assert len(joined) > 0.8 * len(near)
    for rows in (joined[::40], joined[::7], rng.permutation(joined)):
        np.testing.assert_array_equal(fitted.predict(near[rows]), labels[rows])
    alone = [fitted.predict(near[[row]])[0] for row in joined[::60]]
    np.testing.assert_array_equal(alone, labels[joined[::60]])


def test_metadata_is_routed_through_a_pipeline(routing, unseen):
    X = unseen[0]
    groups = np.arange(len(X)) % 100
    groups[-5:] = -1
    request = dict(groups=True, cannot_link=True, must_link=True)
    clusterer = HiLanderClustering().set_fit_request(**request).set_predict_request(**request)
    pipeline = make_pipeline(FunctionTransformer(), clusterer)
    said = Constraints([(0, 1)], [(0, 2)], groups)
    pipeline.fit(X, **said)
    labels = pipeline[-1].labels_
    assert labels[0] == labels[1] != labels[2]
    assert groups_kept(labels[:-5], groups[:-5])
    np.testing.assert_array_equal(labels, HiLanderClustering().fit_predict(X, **said))
    np.testing.assert_array_equal(pipeline.predict(X, groups=groups), labels)
    np.testing.assert_array_equal(pipeline.fit_predict(X, **said), labels)


class BertopicLike:
    """The calls that BERTopic 0.17 makes of its clusterer, and what it does with the answers."""

    def __init__(self, hdbscan_model):
        self.hdbscan_model = hdbscan_model

    def fit(self, X, y=None):
        try:
            self.hdbscan_model.fit(X, y=y)
        except TypeError:
            self.hdbscan_model.fit(X)
        labels = self.hdbscan_model.labels_
        if hasattr(self.hdbscan_model, "probabilities_"):
            self.probabilities_ = self.hdbscan_model.probabilities_
        # Topics are the clusters, numbered anew by their sizes.
        by_size = Counter(label for label in labels.tolist() if label != -1).most_common()
        self.topic_of = {label: topic for topic, (label, _) in enumerate(by_size)} | {-1: -1}
        self.topics_ = [self.topic_of[label] for label in labels]
        return self

    def transform(self, X):
        predictions = self.hdbscan_model.predict(X)
        return [self.topic_of.get(label, -1) for label in predictions]


@pytest.mark.parametrize("min_cluster_size", [1, 5])
def test_as_the_clusterer_of_bertopic(unseen, trained, min_cluster_size):
    X, _ = unseen
    clusterer = clone(trained).set_params(min_cluster_size=min_cluster_size)
    topics = BertopicLike(clusterer).fit(X)
    assert sorted({*topics.topics_} - {-1}) == list(range(clusterer.n_clusters_))
    assert topics.probabilities_.shape == (len(X),)
    assert topics.transform(X) == topics.topics_
    assert topics.transform(X[::-2]) == topics.topics_[::-2]


def test_in_bertopic(unseen):
    bertopic = pytest.importorskip("bertopic", reason="BERTopic is not installed")
    reduction = pytest.importorskip("bertopic.dimensionality").BaseDimensionalityReduction()
    X, y = unseen
    texts = [f"word{k} other{k} some{k}" for k in y]
    clusterer = HiLanderClustering(min_cluster_size=5)
    model = bertopic.BERTopic(hdbscan_model=clusterer, umap_model=reduction, embedding_model=None)
    topics, probabilities = model.fit_transform(texts, X)
    np.testing.assert_array_equal(match_labels(clusterer.labels_, topics), clusterer.labels_)
    assert -1 in topics and len(set(topics)) > 5
    np.testing.assert_array_equal(probabilities, clusterer.probabilities_)
    again, _ = model.transform(texts, X)
    assert again == list(topics)
    # What opens new clusters is no topic.
    far = -X.mean(axis=0, keepdims=True) * 100
    assert clusterer.predict(far).max() not in range(clusterer.n_clusters_)
    assert model.transform(["far"], far)[0] == [-1]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames(library, unseen):
    frames = pytest.importorskip(library)
    names = [f"x{k}" for k in range(unseen[0].shape[1])]
    if library == "pandas":
        frame = frames.DataFrame(unseen[0], columns=names)
    else:
        frame = frames.DataFrame(unseen[0], schema=names)
    clusterer = HiLanderClustering().fit(frame)
    assert clusterer.n_features_in_ == len(names)
    np.testing.assert_array_equal(clusterer.labels_, HiLanderClustering().fit_predict(unseen[0]))
    np.testing.assert_array_equal(clusterer.predict(frame), clusterer.labels_)
    clusterer.partial_fit(frame)
    if library == "polars" and not hasattr(clusterer, "feature_names_in_"):
        # polars 2 has no interchange protocol, the one way by which scikit-learn 1.8 reads names.
        assert sklearn_version < (1, 9)
        return
    assert clusterer.feature_names_in_.tolist() == names
    with pytest.raises(ValueError, match="feature names"):
        clusterer.predict(frame.rename({"x0": "other"}) if library == "polars"
                          else frame.rename(columns={"x0": "other"}))  # fmt: skip


def test_html_says_what_it_is(fitted):
    for clusterer in (HiLanderClustering(n_neighbors=7), fitted):
        html = clusterer._repr_html_()
        assert "HiLanderClustering" in html
        # Parameters at their defaults are shown from 1.7 on.
        assert "n_neighbors" in html or (sklearn_version < (1, 7) and clusterer is fitted)


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 60),
    n_old=st.integers(1, 8),
    n_new=st.integers(1, 8),
)
@settings(max_examples=60, deadline=None)
def test_match_labels(seed, n, n_old, n_new):
    rng = np.random.default_rng(seed)
    old, new = rng.integers(-1, n_old, n), rng.integers(-1, n_new, n + 5)
    matched = match_labels(old, new)
    np.testing.assert_array_equal(matched == -1, new == -1)
    inside = new >= 0
    if inside.any():
        assert pairwise_f_score(new[inside], matched[inside]) == 1
    agree = ((matched[:n] == old) & (old >= 0)).sum()
    from scipy.optimize import linear_sum_assignment

    table = np.zeros((n_old, n_new))
    both = (old >= 0) & (new[:n] >= 0)
    np.add.at(table, (old[both], new[:n][both]), 1)
    assert agree == table[linear_sum_assignment(table, maximize=True)].sum()
    # The same clusters under other numbers get theirs back.
    shuffled = rng.permutation(n_old)
    np.testing.assert_array_equal(match_labels(old, np.where(old >= 0, shuffled[old], -1)), old)


def test_match_labels_of_any_size():
    # A table of every number up to it would not fit into memory.
    large = 2**60
    assert match_labels([large, 7, 7], [1, 0, 0, 2]).tolist() == [large, 7, 7, large + 1]


def test_match_labels_refuses():
    with pytest.raises(ValueError, match="new has 1 labels and old 2"):
        match_labels([0, 1], [0])
    with pytest.raises(ValueError, match="old must be integers"):
        match_labels([0.5], [0])
    with pytest.raises(ValueError, match="new has the label -2"):
        match_labels([0], [-2])
    assert match_labels([], []).tolist() == []
    assert match_labels([-1, 3], [-1, -1, 0]).tolist() == [-1, -1, 4]


@pytest.mark.parametrize("n_rows", [1, 2, 3])
@pytest.mark.parametrize("distinct", [True, False])
def test_very_few_rows(trained, unseen, n_rows, distinct):
    X = unseen[0][:n_rows] if distinct else np.repeat(unseen[0][:1], n_rows, axis=0)
    clusterer = clone(trained).fit(X, must_link=[(0, n_rows - 1)])
    assert clusterer.labels_[0] == clusterer.labels_[-1] == 0
    assert clusterer.hierarchy_.to_linkage().shape == (n_rows - 1, 4)
    assert clusterer.hierarchy_.to_linkage(clusters=True).shape == (clusterer.n_clusters_ - 1, 4)
    np.testing.assert_array_equal(clusterer.hierarchy_.cut(n_clusters=1), np.zeros(n_rows))
    assert len(clusterer.probabilities_) == len(clusterer.outlier_scores_) == n_rows
    assert len(clusterer.merge_candidates()) <= 1
    assert len(clusterer.split_candidates()) <= 1
    np.testing.assert_allclose(clusterer.soft_membership().sum(axis=1), 1)
    np.testing.assert_array_equal(clusterer.predict(X), clusterer.labels_)
    clusterer.predict(unseen[0][5:8])
    clusterer.relabel(linkage_threshold=0.01).relabel(min_cluster_size=9)
    assert clusterer.n_clusters_ == 0
    assert clusterer.cluster_centers_.shape == (0, 24)
    assert clusterer.soft_membership().shape == (n_rows, 0)
    assert len(clusterer.exemplar_indices_) == len(clusterer.merge_candidates()) == 0
    assert clusterer.hierarchy_.to_linkage(clusters=True).shape == (0, 4)
    clusterer.partial_fit(unseen[0][:20])
    assert len(clusterer.labels_) == n_rows + 20


@pytest.mark.parametrize("name", ["DBSCAN", "HDBSCAN"])
def test_the_guide_maps_every_parameter_and_attribute(name, unseen):
    there = getattr(sklearn.cluster, name)()
    if "copy" in there.get_params():
        there.set_params(copy=True)  # which some releases warn about
    page = Path(__file__).parent.parent / "docs" / "coming_from.rst"
    text = page.read_text(encoding="utf-8")
    attributes = {a for a in vars(there.fit(unseen[0])) if a.endswith("_") and a[0] != "_"}
    for one in {*there.get_params(), *attributes}:
        assert f"`{one}`" in text, one
