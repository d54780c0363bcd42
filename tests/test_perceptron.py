from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from sklearn_hilander._files._checkpoint import Checkpoint
from sklearn_hilander._graph._pairs import sigmoid
from sklearn_hilander._linkage import _perceptron
from sklearn_hilander._linkage._perceptron_training import (
    MAX_STEPS,
    PerceptronSettings,
    fit_perceptrons,
    kept_as_one,
    n_training_steps,
    rows_to_see,
)

SETTINGS = PerceptronSettings(hidden_dim=16, learning_rate=2e-2, batch_size=64)


def table(rng, n_rows, n_features=3):
    return rng.normal(size=(n_rows, n_features)).astype(np.float32)


class One:
    def __init__(self, networks):
        self.networks = networks

    def log_odds(self, features):
        out = self.networks.log_odds(features)
        assert out.shape == (1, len(features))
        return out[0]


def fit(features, targets, seed=0, weights=None):
    """One network that sees every row, as (features -> log-odds), and its loss."""
    networks, losses = fit_perceptrons(
        features, targets, [np.arange(len(features))], weights=weights, settings=SETTINGS, seed=seed
    )
    return One(networks), losses[0]


def test_learns_a_bent_boundary(rng):
    features = table(rng, 3000)
    targets = np.abs(features[:, 0]) + features[:, 1] > 0.7
    network, loss = fit(features[:2000], targets[:2000])
    log_odds = network.log_odds(features[2000:])
    assert log_odds.shape == (1000,)
    assert log_odds.dtype == np.float32
    assert roc_auc_score(targets[2000:], log_odds) > 0.97
    assert 0 < loss < 0.35


def test_scale_and_offset_of_features_do_not_matter(rng):
    features = table(rng, 600)
    targets = features[:, 0] > 0
    moved = features * np.array([1e-2, 1, 1e2], "f4") + np.array([1, 0, -50], "f4")
    plain, _ = fit(features, targets)
    other, _ = fit(moved, targets)
    np.testing.assert_allclose(plain.log_odds(features), other.log_odds(moved), atol=0.1)


def test_probabilities_are_calibrated(rng):
    features = table(rng, 3000)
    targets = np.where(features[:, 0] > 0, 0.7, 0.2)
    network, _ = fit(features, targets)
    p = sigmoid(network.log_odds(features))
    assert abs(p.mean() - targets.mean()) < 0.04
    for goal in (0.2, 0.7):
        assert abs(p[targets == goal].mean() - goal) < 0.06


def test_weights_matter(rng):
    features = table(rng, 2000)
    targets = np.arange(2000) % 2
    p = [
        sigmoid(fit(features, targets, weights=weights)[0].log_odds(features)).mean()
        for weights in (None, np.where(targets, 3.0, 1.0), np.where(targets, 1.0, 9.0))
    ]
    np.testing.assert_allclose(p, [0.5, 0.75, 0.1], atol=0.07)


def test_only_the_proportion_of_weights_counts(rng):
    features = table(rng, 200)
    weights = rng.integers(1, 5, 200)
    one, _ = fit(features, features[:, 0] > 0, weights=weights)
    other, _ = fit(features, features[:, 0] > 0, weights=1024.0 * weights)
    np.testing.assert_allclose(one.log_odds(features), other.log_odds(features), rtol=1e-4)


def test_seed_decides_and_the_global_generator_is_left_alone(rng):
    features = table(rng, 300)
    targets = features[:, 0] > 0
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first, first_loss = fit(features, targets, seed=5)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    second, second_loss = fit(features, targets, seed=5)
    other, _ = fit(features, targets, seed=6)
    assert first_loss == second_loss
    np.testing.assert_array_equal(first.log_odds(features), second.log_odds(features))
    assert not np.allclose(first.log_odds(features), other.log_odds(features))


def test_prediction_has_no_noise_and_no_gradient_and_knows_no_batches(rng):
    features = table(rng, 200)
    network, _ = fit(features, features[:, 0] > 0)
    # More rows than any block of prediction.
    many = np.tile(features, (500, 1))
    log_odds = network.log_odds(many).reshape(500, 200)
    np.testing.assert_allclose(log_odds, np.tile(log_odds[0], (500, 1)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(log_odds[0], network.log_odds(features), rtol=1e-4, atol=1e-5)
    networks = network.networks
    assert not any(p.requires_grad for p in (*networks.weights, *networks.biases))


def test_the_input_is_left_alone(rng):
    features = table(rng, 200)
    before = features.copy()
    network, _ = fit(features, features[:, 0] > 0)
    network.log_odds(features)
    np.testing.assert_array_equal(features, before)


def test_no_rows_to_predict(rng):
    network, _ = fit(table(rng, 200), np.arange(200) % 2)
    out = network.log_odds(np.zeros((0, 3), np.float32))
    assert out.shape == (0,)
    assert out.dtype == np.float32


def test_values_far_from_those_seen_are_held(rng):
    features = table(rng, 400)
    network, _ = fit(features, features[:, 0] > 0)
    far = np.array([[1e9, 0, 0], [1e30, 0, 0], [-1e30, 0, 0]], dtype=np.float32)
    log_odds = network.log_odds(far)
    assert np.isfinite(log_odds).all()
    assert log_odds[0] == log_odds[1]
    assert log_odds[1] > 0 > log_odds[2]


@pytest.mark.parametrize("n_rows", [1, 2, 65, 99, 300])
@pytest.mark.parametrize("kind", ["all-different", "constant", "one-class"])
def test_degenerate_tables(rng, n_rows, kind):
    features = table(rng, n_rows)
    targets = np.arange(n_rows) % 2
    if kind == "constant":
        features[:] = 7
    if kind == "one-class":
        targets[:] = 1
    network, loss = fit(features, targets)
    assert np.isfinite(loss)
    log_odds = network.log_odds(features)
    assert np.isfinite(log_odds).all()
    if kind == "one-class":
        assert (log_odds > 0).all()


def test_networks_see_only_their_own_rows(rng):
    features = table(rng, 900)
    targets = features[:, 0] > 0
    rows_of = [np.arange(300), np.arange(300, 600), np.arange(600, 900)]
    targets[rows_of[1]] = ~targets[rows_of[1]]
    networks, losses = fit_perceptrons(features, targets, rows_of, settings=SETTINGS, seed=0)
    assert len(networks) == len(losses) == 3
    log_odds = networks.log_odds(features)
    assert log_odds.shape == (3, 900)
    for of_network, sign in zip(log_odds, (1, -1, 1), strict=True):
        assert roc_auc_score(features[:, 0] > 0, sign * of_network) > 0.97
    # The other rows' targets change nothing.
    targets[rows_of[1]] = ~targets[rows_of[1]]
    again, _ = fit_perceptrons(features, targets, rows_of, settings=SETTINGS, seed=0)
    changed = np.abs(again.log_odds(features) - log_odds).max(axis=1)
    assert changed[1] > 1
    assert changed[0] == changed[2] == 0


def test_training_goes_on_from_other_networks(rng):
    features = table(rng, 600)
    targets = np.abs(features[:, 0]) + features[:, 1] > 0.7
    rows_of = [np.arange(300), np.arange(300, 600)]
    options = dict(settings=SETTINGS, seed=0)
    start, first = fit_perceptrons(features, targets, rows_of, **options)
    before = start.log_odds(features)
    # A few rows of another scale: what was learnt holds, and so does the standardisation.
    few = [np.arange(20), np.arange(20, 40)]
    after, _ = fit_perceptrons(3 * features, targets, few, start=start, **options)
    assert torch.equal(after.mean, start.mean)
    assert torch.equal(after.scale, start.scale)
    np.testing.assert_array_equal(start.log_odds(features), before)
    assert not np.allclose(after.log_odds(features), before)
    again, again_losses = fit_perceptrons(features, targets, rows_of, start=start, **options)
    assert max(again_losses) < min(first)
    assert all(a.shape == b.shape for a, b in zip(again.weights, start.weights, strict=True))


def test_one_network_says_what_several_say_in_the_mean(rng):
    features = table(rng, 3_000)
    targets = np.abs(features[:, 0]) + features[:, 1] > 0.7
    rows_of = [np.arange(2_000), np.arange(1_000, 3_000)]
    networks, _ = fit_perceptrons(features, targets, rows_of, settings=SETTINGS, seed=0)
    one = kept_as_one(Checkpoint(), "one", networks, features, settings=SETTINGS, seed=1)
    assert len(one) == 1
    unseen = table(rng, 2_000)
    said, wanted = sigmoid(one.log_odds(unseen)[0]), sigmoid(networks.mean_log_odds(unseen))
    assert np.abs(said - wanted).mean() < 0.05
    assert np.corrcoef(said, wanted)[0, 1] > 0.97


@pytest.mark.parametrize("n_rows", [1, 1_000, 50_000])
def test_rows_that_batches_can_meet_are_all_seen(n_rows):
    np.testing.assert_array_equal(rows_to_see(n_rows, SETTINGS, 0), np.arange(n_rows))


def test_of_very_many_rows_some_are_seen():
    n_rows = 10 * MAX_STEPS * SETTINGS.batch_size
    seen = rows_to_see(n_rows, SETTINGS, 0)
    assert len(seen) == 2 * MAX_STEPS * SETTINGS.batch_size
    assert (np.diff(seen) > 0).all() and 0 <= seen[0] and seen[-1] < n_rows
    assert (rows_to_see(n_rows, SETTINGS, 1) != seen).any()


def test_networks_in_turn(rng):
    features = table(rng, 200)
    networks, _ = fit_perceptrons(
        features, features[:, 0] > 0, [np.arange(200), np.arange(99)], settings=SETTINGS, seed=0
    )
    wanted = networks.log_odds(features)[[0, 1, 0]]
    np.testing.assert_array_equal(networks.repeated(3).log_odds(features), wanted)


def test_more_rows_are_worth_more_steps_up_to_a_bound():
    for batch_size in (1, 64, 512, 4096):
        steps = [n_training_steps(n, batch_size) for n in (1, 10, 100, 1000, 10_000, 10**6, 10**9)]
        assert steps == sorted(steps)
        assert steps[0] >= 1
        assert steps[-1] == MAX_STEPS
    assert n_training_steps(10_000, 64) > n_training_steps(10_000, 4096)
    assert n_training_steps(50, 4096) < n_training_steps(50_000, 4096)


def test_as_many_steps_as_are_asked_for(rng, monkeypatch):
    taken = []
    step = torch.optim.AdamW.step

    def counted(optimizer, *args):
        taken.append(optimizer)
        return step(optimizer, *args)

    monkeypatch.setattr(torch.optim.AdamW, "step", counted)
    features = table(rng, 50)
    for noisy, n_taken in ((True, 7), (False, 14)):
        taken.clear()
        fit_perceptrons(
            features,
            features[:, 0] > 0,
            [np.arange(50)],
            settings=replace(SETTINGS, n_steps=7),
            seed=0,
            noisy=noisy,
        )
        assert len(taken) == n_taken
    assert len(rows_to_see(10_000, replace(SETTINGS, n_steps=7), 0)) == 2 * 7 * SETTINGS.batch_size


@pytest.mark.parametrize("at_once", [(4, 3), (64, 64)])
def test_rows_are_taken_in_blocks_of_any_size(rng, at_once, monkeypatch):
    features = table(rng, 50)
    rows_of = [np.arange(50), np.arange(25), np.arange(10, 40)]
    networks, _ = fit_perceptrons(features, features[:, 0] > 0, rows_of, settings=SETTINGS, seed=0)
    before = features.copy()
    whole = networks.log_odds(features)
    np.testing.assert_allclose(networks.mean_log_odds(features), whole.mean(axis=0), atol=1e-6)
    for name, size in zip(("_PREDICT_ROWS", "_NETWORK_ROWS"), at_once, strict=True):
        monkeypatch.setattr(_perceptron, name, size)
    np.testing.assert_allclose(networks.log_odds(features), whole, atol=1e-5)
    np.testing.assert_allclose(networks.mean_log_odds(features), whole.mean(axis=0), atol=1e-5)
    # Against the networks written out.
    standard = (features - networks.mean.numpy()) / networks.scale.numpy()
    layers = zip(networks.weights, networks.biases, strict=True)
    hidden = torch.from_numpy(standard.clip(-_perceptron.CLAMP, _perceptron.CLAMP)).expand(
        3, -1, -1
    )
    for depth, (weights, biases) in enumerate(layers):
        hidden = hidden @ weights + biases
        if depth < 2:
            hidden = torch.nn.functional.gelu(hidden)
    np.testing.assert_allclose(whole, hidden[:, :, 0].numpy(), atol=1e-4)
    np.testing.assert_array_equal(features, before)
    assert networks.mean_log_odds(features[:0]).shape == (0,)
