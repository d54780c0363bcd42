"""ClassifierEncoder: the scikit-learn contract, its promises on embeddings, its errors."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.cluster import AgglomerativeClustering
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from sklearn_hilander.encoding import ClassifierEncoder
from sklearn_hilander.encoding._training import BLOCK_SIZE, shift_images

try:
    import sklearn.callback as sk_callback
except ImportError:
    sk_callback = None


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X, y


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(4), 30)
    X = rng.normal(size=(4, 5))[y] * 4 + rng.normal(size=(120, 5))
    return X, y


def _state(encoder):
    return {key: value.clone() for key, value in encoder.state_dict().items()}


def _assert_same_state(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@parametrize_with_checks([ClassifierEncoder(), ClassifierEncoder(backbone=nn.Tanh(), max_iter=5)])
def test_sklearn_compatible_estimator(estimator, check):
    check(estimator)


@pytest.mark.parametrize("image_shape", [None, (8, 8), (1, 8, 8)])
def test_embeddings_have_unit_norm(digits, image_shape):
    X, y = digits
    encoder = ClassifierEncoder(16, image_shape=image_shape, max_iter=1, random_state=0)
    embeddings = encoder.fit_transform(X[:200], y[:200])
    assert embeddings.shape == (200, 16)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)


def test_unseen_classes_of_images_lie_apart(digits):
    X, y = digits
    seen = y < 6
    encoder = ClassifierEncoder(image_shape=(8, 8), max_iter=5, max_shift=1, random_state=0)
    embeddings = encoder.fit(X[seen], y[seen]).transform(X[~seen])
    similarity = embeddings @ embeddings.T
    np.fill_diagonal(similarity, -1)
    assert np.mean(y[~seen][similarity.argmax(axis=1)] == y[~seen]) > 0.9


def test_a_margin_raises_the_loss(blobs):
    encoder = ClassifierEncoder(max_iter=1, random_state=0)
    without = encoder.fit(*blobs).loss_curve_[0]
    assert encoder.set_params(margin=0.3).fit(*blobs).loss_curve_[0] > without + 1


def test_works_at_the_head_of_a_clustering_pipeline(blobs):
    X, y = blobs
    pipeline = make_pipeline(
        ClassifierEncoder(8, random_state=0),
        AgglomerativeClustering(n_clusters=4, metric="cosine", linkage="average"),
    )
    assert adjusted_rand_score(y, pipeline.fit_predict(X, y)) > 0.9


def test_training_lowers_the_loss(blobs):
    encoder = ClassifierEncoder(random_state=0, max_iter=20).fit(*blobs)
    assert encoder.n_iter_ == len(encoder.loss_curve_) == 20
    assert encoder.loss_curve_[-1] < encoder.loss_curve_[0] / 2


@pytest.mark.parametrize("image_shape", [None, (8, 8)])
def test_same_seed_same_bits_and_global_generator_untouched(digits, image_shape):
    X, y = digits[0][:150], digits[1][:150]
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first = ClassifierEncoder(image_shape=image_shape, max_iter=2, random_state=3).fit(X, y)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    again = clone(first).fit(X, y)
    other = clone(first).set_params(random_state=4).fit(X, y)
    np.testing.assert_array_equal(first.transform(X), again.transform(X))
    assert first.loss_curve_ == again.loss_curve_
    assert np.abs(first.transform(X) - other.transform(X)).max() > 1e-3


@pytest.mark.parametrize("image_shape", [None, (8, 8)])
def test_an_embedding_does_not_depend_on_the_other_rows(digits, image_shape):
    X, y = digits
    encoder = ClassifierEncoder(image_shape=image_shape, max_iter=1, random_state=0)
    encoder.fit(X[:300], y[:300])
    n = 2 * BLOCK_SIZE + 9
    together = encoder.transform(X[:n])
    order = np.random.default_rng(0).permutation(n)
    np.testing.assert_array_equal(encoder.transform(X[:n][order]), together[order])
    for rows in (slice(0, 1), slice(n - 1, n), slice(100, 200)):
        np.testing.assert_array_equal(encoder.transform(X[rows]), together[rows])


def test_encoder_module_alone_gives_the_embeddings(blobs):
    X, y = blobs
    encoder = ClassifierEncoder(8, random_state=0, max_iter=2).fit(X, y)
    with torch.no_grad():
        embeddings = encoder.encoder_(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(encoder.transform(X), embeddings, atol=1e-6)


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["a", "b", "d", "c"]),
        np.array(["a", "b", "d", "c"], object),
        np.array([9, -1, 3, 4]),
    ],
)
def test_labels_of_any_kind(blobs, labels):
    X, y = blobs
    encoder = ClassifierEncoder(8, random_state=0, max_iter=2)
    names = encoder.fit(X, labels[y]).classes_
    np.testing.assert_array_equal(names, np.sort(labels))


def test_one_class_and_one_sample(blobs):
    X, _ = blobs
    for rows in (X, X[:1]):
        embeddings = ClassifierEncoder(8, random_state=0).fit_transform(rows, np.zeros(len(rows)))
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)


def test_standardisation_takes_any_scale_and_constant_features(blobs):
    X, y = blobs
    plain = ClassifierEncoder(8, random_state=0, max_iter=3).fit(X, y)
    scale = np.array([1e-200, 1.0, 1e250, 1e300, 1e5])
    scaled = clone(plain).fit(X * scale, y)
    np.testing.assert_allclose(scaled.transform(X * scale), plain.transform(X), atol=1e-4)

    X_constant = np.column_stack([X, np.full(len(X), 0.1)])
    encoder = clone(plain).fit(X_constant, y)
    moved = X_constant.copy()
    moved[:, -1] = -3e300
    np.testing.assert_array_equal(encoder.transform(moved), encoder.transform(X_constant))


def test_outliers_give_finite_embeddings(blobs):
    encoder = ClassifierEncoder(8, random_state=0, max_iter=2).fit(*blobs)
    embeddings = encoder.transform(np.full((1, 5), 1e307))
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("image_shape", [(1, 5), (5, 3), (3, 4, 7), (2, 33, 40)])
def test_images_of_any_size(image_shape):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6, int(np.prod(image_shape))))
    encoder = ClassifierEncoder(4, image_shape=image_shape, max_iter=1, max_shift=3)
    assert encoder.fit_transform(X, [0, 0, 1, 1, 2, 2]).shape == (6, 4)


class Doubled(nn.Module):
    """A backbone with weights, batch statistics and dropout."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Dropout(0.5))

    def forward(self, x):
        return torch.cat([self.layers(x), x], dim=1)


def test_a_backbone_is_copied_trained_and_cloned(blobs):
    X, y = blobs
    backbone = Doubled()
    before = _state(backbone)
    encoder = ClassifierEncoder(8, backbone=backbone, max_iter=2, random_state=0).fit(X, y)
    _assert_same_state(_state(backbone), before)
    assert backbone.training
    assert encoder.get_params()["backbone"] is backbone
    assert encoder.encoder_.embedding.in_features == 12
    trained = encoder.encoder_.backbone.state_dict()["layers.0.weight"]
    assert not torch.equal(trained, before["layers.0.weight"])

    again = clone(encoder)
    assert again.backbone is not backbone
    np.testing.assert_array_equal(again.fit(X, y).transform(X), encoder.transform(X))


def test_an_image_backbone_gets_images(digits):
    X, y = digits[0][:100], digits[1][:100]
    backbone = nn.Sequential(nn.Conv2d(1, 3, 8), nn.Flatten())
    encoder = ClassifierEncoder(4, backbone=backbone, image_shape=(8, 8), max_iter=1)
    assert encoder.fit_transform(X, y).shape == (100, 4)
    assert encoder.encoder_.embedding.in_features == 3


def test_pickle_keeps_the_embeddings(blobs):
    X, y = blobs
    encoder = ClassifierEncoder(8, backbone=Doubled(), max_iter=2, random_state=0).fit(X, y)
    loaded = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(loaded.transform(X), encoder.transform(X))


def test_grid_search_over_a_pipeline(blobs):
    X, y = blobs
    pipeline = make_pipeline(
        ClassifierEncoder(8, max_iter=3, random_state=0), KNeighborsClassifier(3)
    )
    backbones = [None, Doubled()]
    search = GridSearchCV(pipeline, {"classifierencoder__backbone": backbones}, cv=2)
    search.fit(X, y)
    assert search.best_score_ > 0.9


def test_pandas_output_names_the_components(blobs):
    pd = pytest.importorskip("pandas")
    X, y = blobs
    frame = pd.DataFrame(X, columns=list("abcde"))
    encoder = ClassifierEncoder(2, max_iter=1).set_output(transform="pandas")
    embeddings = encoder.fit_transform(frame, y)
    assert list(embeddings.columns) == ["classifierencoder0", "classifierencoder1"]
    np.testing.assert_array_equal(encoder.feature_names_in_, list("abcde"))


def test_verbose_prints_a_line_an_epoch(blobs, capsys):
    ClassifierEncoder(max_iter=2, verbose=1).fit(*blobs)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "[ClassifierEncoder] epoch 1/2",
        "[ClassifierEncoder] epoch 2/2",
    ]


@pytest.mark.skipif(sk_callback is None, reason="this scikit-learn has no callbacks")
def test_progress_bar_in_a_pipeline(blobs, capsys):
    pytest.importorskip("rich")
    pipeline = make_pipeline(ClassifierEncoder(max_iter=2), KNeighborsClassifier())
    pipeline.set_callbacks(sk_callback.ProgressBar())
    with pytest.warns(UserWarning, match="KNeighborsClassifier does not support callbacks"):
        pipeline.fit(*blobs)
    assert "ClassifierEncoder - fit" in capsys.readouterr().out


def test_shifts_repeat_the_border():
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    shifted = shift_images(image.expand(200, 1, 3, 4), 1)
    padded = nn.functional.pad(image, (1, 1, 1, 1), mode="replicate")[0, 0]
    windows = {
        tuple(padded[i : i + 3, j : j + 4].flatten().tolist()) for i in range(3) for j in range(3)
    }
    assert {tuple(one.flatten().tolist()) for one in shifted} == windows
    assert shift_images(image, 0) is image


def test_batches_of_one(rng):
    """Batch normalisation has no variance of one row of which one pixel is left."""
    X, y = rng.random((5, 24)), np.array([0, 1, 0, 1, 2])
    small = ClassifierEncoder(4, image_shape=(4, 6), max_iter=1, batch_size=2, random_state=0)
    assert small.fit(X, y).transform(X).shape == (5, 4)
    for alone in (clone(small).set_params(batch_size=1), clone(small)):
        rows = slice(None) if alone.batch_size == 1 else slice(1)
        with pytest.raises(ValueError, match="batch_size of 2 or more"):
            alone.fit(X[rows], y[rows])
    ClassifierEncoder(4, max_iter=1, batch_size=1).fit(X, y)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"image_shape": (2, 3)}, r"image_shape=\(2, 3\) asks for 6 values a row, but X has 5"),
        ({"image_shape": (5,)}, r"image_shape must be \(height, width\)"),
        ({"image_shape": (-1, -5)}, "image_shape must be"),
        ({"image_shape": 5}, "The 'image_shape' parameter"),
        ({"backbone": "mlp"}, "The 'backbone' parameter"),
        ({"backbone": nn.Linear(3, 2)}, r"backbone cannot take input of shape \(2, 5\)"),
        ({"backbone": nn.Unflatten(1, (1, 5))}, r"backbone must give .* it gave shape \(2, 1, 5\)"),
        ({"backbone": nn.LSTM(5, 2)}, "backbone must give .* it gave tuple"),
        ({"n_components": 0}, "The 'n_components' parameter"),
        ({"device": "nowhere"}, "device='nowhere' cannot be used"),
    ],
)
def test_errors_name_the_parameter_and_keep_the_fitted_state(blobs, params, message):
    X, y = blobs
    encoder = ClassifierEncoder(8, max_iter=1, random_state=0).fit(X[:, :4], y)
    fitted = {key: value for key, value in vars(encoder).items() if key.endswith("_")}
    with pytest.raises(ValueError, match=message):
        encoder.set_params(**params).fit(X, y)
    assert {key: value for key, value in vars(encoder).items() if key.endswith("_")} == fitted


class Exploding(nn.Module):
    """Fine in evaluation mode, not a number in training."""

    def forward(self, x):
        return x * float("nan") if self.training else x


def test_divergence_is_an_error(blobs):
    encoder = ClassifierEncoder(backbone=Exploding())
    with pytest.raises(ValueError, match="loss is nan in epoch 1; a smaller learning_rate"):
        encoder.fit(*blobs)
    assert not hasattr(encoder, "n_features_in_")


def test_continuous_y_is_refused(blobs):
    X, _ = blobs
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        ClassifierEncoder().fit(X, X[:, 0])
