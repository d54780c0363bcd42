"""The judge of single new rows: relations, training, batches."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_hilander._graph._pairs import unit_rows
from sklearn_hilander._incoming._row_judge import Known, _lead, row_relations
from sklearn_hilander._incoming._row_training import (
    _best_threshold,
    _broken_up,
    _share_of_class,
    train_row_judge,
)
from sklearn_hilander._linkage._perceptron_training import PerceptronSettings
from sklearn_hilander._search._neighbors import build_neighbor_graph
from sklearn_hilander.datasets import make_identities

CPU = torch.device("cpu")
seeds = st.integers(0, 10**6)


def known_of(features, part, n_neighbors=8, metric="cosine"):
    graph = build_neighbor_graph(torch.from_numpy(features), n_neighbors, metric=metric)
    return Known(features, graph.indices.numpy(), graph.similarities.numpy(), part, metric)


def random_rows(rng, n, d):
    return unit_rows(rng.normal(size=(n, d)))


@given(
    seed=seeds,
    n=st.integers(2, 30),
    m=st.integers(1, 10),
    metric=st.sampled_from(["cosine", "euclidean"]),
)
@settings(max_examples=40, deadline=None)
def test_relations_are_finite_and_of_each_row_alone(seed, n, m, metric):
    rng = np.random.default_rng(seed)
    part = np.unique(rng.integers(0, n, n), return_inverse=True)[1]
    known = known_of(random_rows(rng, n, 4), part, metric=metric)
    new = random_rows(rng, m, 4)
    pairs = row_relations(new, known, 8, CPU)
    assert np.isfinite(pairs.relations).all()
    np.testing.assert_array_equal(np.unique(pairs.row), np.arange(m))
    assert len(np.unique(np.stack([pairs.row, pairs.part]), axis=1).T) == len(pairs.row)
    np.testing.assert_array_equal(part[pairs.neighbor], pairs.part)
    for row in range(m):
        alone = row_relations(new[[row]], known, 8, CPU)
        at = pairs.row == row
        np.testing.assert_array_equal(alone.part, pairs.part[at])
        np.testing.assert_allclose(alone.relations, pairs.relations[at], rtol=1e-4, atol=1e-4)


def test_the_numbers_of_clusters_do_not_matter(rng):
    features = random_rows(rng, 40, 5)
    part, new = rng.integers(0, 6, 40), random_rows(rng, 7, 5)
    part[:6] = np.arange(6)
    renumbered = rng.permutation(6)
    one = row_relations(new, known_of(features, part), 8, CPU)
    other = row_relations(new, known_of(features, renumbered[part]), 8, CPU)
    order = np.lexsort((renumbered[one.part], one.row))
    np.testing.assert_array_equal(renumbered[one.part][order], other.part)
    np.testing.assert_allclose(one.relations[order], other.relations, rtol=1e-5, atol=1e-5)


def test_rows_unlike_near_copies_have_relations(rng):
    centers = unit_rows(rng.normal(size=(4, 8)))
    features = unit_rows(np.repeat(centers, 12, axis=0) + 1e-5 * rng.normal(size=(48, 8)))
    pairs = row_relations(random_rows(rng, 5, 8), known_of(features, np.arange(48) // 12), 8, CPU)
    assert np.isfinite(pairs.relations).all()


@given(seed=seeds, n=st.integers(1, 30), n_rows=st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_lead_over_the_others_of_a_row(seed, n, n_rows):
    rng = np.random.default_rng(seed)
    row, values = np.sort(rng.integers(0, n_rows, n)), rng.integers(0, 5, n) / 5
    for at, lead in enumerate(_lead(values, row, n_rows)):
        others = np.delete(values, at)[np.delete(row, at) == row[at]]
        assert lead == pytest.approx(values[at] - others.max(initial=0 if not len(others) else -9))


def test_share_of_class():
    part, y = np.array([0, 0, 0, 1]), np.array([5, 5, 2, 2])
    share = _share_of_class(part, y, np.array([0, 0, 1, 1]), np.array([5, 2, 2, 7]))
    np.testing.assert_allclose(share, [2 / 3, 1 / 3, 1, 0])


def test_clusters_to_learn_from_are_contiguous_and_local(rng):
    features, y = make_identities(300, 16, mean_size=10, random_state=0)
    graph = build_neighbor_graph(torch.from_numpy(features.astype(np.float32)), 10)
    part = _broken_up(y, graph.indices.numpy(), np.random.RandomState(0))
    np.testing.assert_array_equal(np.unique(part), np.arange(part.max() + 1))
    # Some classes are in pieces, others whole, and few clusters hold two classes.
    pieces = [len(np.unique(part[y == c])) for c in np.unique(y) if (y == c).sum() > 6]
    assert min(pieces) == 1
    assert max(pieces) > 1
    mixed = [len(np.unique(y[part == p])) > 1 for p in range(part.max() + 1)]
    assert np.mean(mixed) < 0.3


def test_threshold_of_highest_f(rng):
    p = np.array([0.9, 0.8, 0.3, 0.2])
    # The third row has a home, the fourth has none.
    assert _best_threshold(p, np.array([1.0, 1, 1, 0]), np.arange(4)) == pytest.approx(0.3)
    assert _best_threshold(p, np.array([1.0, 1, 0, 0]), np.arange(4)) == pytest.approx(0.8)


def test_it_learns_to_join_and_to_leave_alone():
    def unit(**given):
        X, y = make_identities(nn_rate=0.95, mean_size=12, **given)
        return unit_rows(X), y

    X, y = unit(n_samples=600, n_features=24, random_state=0)
    judge = train_row_judge(
        X,
        y,
        n_neighbors=20,
        search=dict(metric="cosine", algorithm="brute", n_threads=1),
        settings=PerceptronSettings(16, 3e-3, 256),
        seed=0,
    )
    X, y = unit(n_samples=600, n_features=24, random_state=1)
    homeless = y < 10
    fitted = ~homeless & (np.arange(600) % 2 == 0)
    part = np.unique(y[fitted], return_inverse=True)[1]
    pairs = row_relations(X[~fitted], known_of(X[fitted], part, 20), 20, CPU)
    p = judge(pairs)
    class_of = np.unique(y[fitted])
    right = class_of[pairs.part] == y[~fitted][pairs.row]
    assert p[right].mean() > 0.6 > 0.2 > p[~right].mean()
    assert 0.05 <= judge.threshold <= 0.95
    highest = np.zeros((~fitted).sum())
    np.maximum.at(highest, pairs.row, p)
    assert (highest[homeless[~fitted]] > judge.threshold).mean() < 0.4


@pytest.mark.parametrize("y", [[0] * 12, list(range(12)), [0, 1]])
def test_too_little_to_learn_from(rng, y):
    judge = train_row_judge(
        random_rows(rng, len(y), 4),
        np.array(y),
        n_neighbors=5,
        search=dict(metric="cosine", algorithm="brute", n_threads=1),
        settings=PerceptronSettings(8, 3e-3, 64),
        seed=0,
    )
    assert judge is None or 0 < judge.threshold < 1
