"""Rows that are let go of and made again."""

import gc
import weakref

import numpy as np
import pytest

from sklearn_hilander import HiLanderClustering
from sklearn_hilander._linkage._perceptron import Perceptrons
from sklearn_hilander._rows._row_source import RowSource
from sklearn_hilander.datasets import make_identities


class Maker:
    """Makes the same rows again and again, and counts how often."""

    def __init__(self):
        self.n_made = 0

    def __call__(self):
        self.n_made += 1
        return np.arange(6, dtype=np.float32).reshape(3, 2)


def test_rows_are_made_when_they_are_asked_for_and_held_until_they_are_let_go_of():
    maker = Maker()
    source = RowSource(maker)
    assert maker.n_made == 0
    first = source()
    assert source() is first
    source.let_go()
    assert maker.n_made == 1
    again = source()
    assert again is not first
    np.testing.assert_array_equal(again, first)


def test_rows_at_hand_are_not_made():
    maker = Maker()
    rows = np.zeros((3, 2), dtype=np.float32)
    source = RowSource(maker, rows)
    assert source() is rows
    source.let_go()
    np.testing.assert_array_equal(source(), maker())


def test_what_others_hold_stays_what_it_is():
    rows = np.zeros((3, 2), dtype=np.float32)
    source = RowSource.of(rows)
    source.let_go()
    assert source() is rows


@pytest.mark.parametrize("changes", [True, False])
def test_changed_rows_let_go_of_those_before_the_change(changes):
    maker = Maker()
    source = RowSource(maker)
    changed = source.through(lambda rows: rows + 1 if changes else rows)
    for n_made in (1, 2):
        np.testing.assert_array_equal(changed(), np.arange(6).reshape(3, 2) + changes)
        # Rows that stay as they are are held by both.
        assert (source() is changed()) is not changes
        changed.let_go()
        assert maker.n_made == n_made * (1 + changes)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("taught", [True, False])
def test_nobody_holds_the_rows_while_networks_run(monkeypatch, metric, taught):
    # Of fewer dimensions all are main axes, which networks need.
    X, y = make_identities(400, 140, mean_size=10, random_state=0)
    settings = dict(metric=metric, n_neighbors=8, max_iter=1, hidden_dim=16, random_state=0)
    clusterer = HiLanderClustering(**settings)
    if taught:
        clusterer.fit(X, y)
    unseen, _ = make_identities(300, 140, mean_size=10, random_state=1)
    expected = clusterer.fit_predict(unseen)
    made, alive = [], []
    call, log_odds = RowSource.__call__, Perceptrons.mean_log_odds

    def remember(self):
        rows = call(self)
        made.append(weakref.ref(rows))
        return rows

    def look(self, features):
        gc.collect()
        alive.append(sum(ref() is not None for ref in made))
        return log_odds(self, features)

    monkeypatch.setattr(RowSource, "__call__", remember)
    monkeypatch.setattr(Perceptrons, "mean_log_odds", look)
    np.testing.assert_array_equal(clusterer.fit_predict(unseen), expected)
    assert made
    assert alive
    assert not any(alive)
