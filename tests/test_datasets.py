"""Glyphs and synthetic identities."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_hilander.datasets import load_glyphs, make_identities

# Characters that stand in 14 fonts are fewer than half of all, so the tests are quick.
MIN_SAMPLES = 14


@pytest.fixture(scope="module")
def matplotlib():
    return pytest.importorskip("matplotlib", reason="load_glyphs draws with matplotlib")


@pytest.fixture(scope="module")
def letters(matplotlib):
    return load_glyphs(characters="ABg;.", min_samples=MIN_SAMPLES)


def nearest_is_same(X, y):
    """Brute force: is the most similar other row of the same class, for rows that have one."""
    similarity = X @ X.T
    np.fill_diagonal(similarity, -np.inf)
    same = y[similarity.argmax(axis=1)] == y
    return same[np.bincount(y)[y] > 1].mean()


class TestLoadGlyphs:
    def test_bunch(self, letters):
        n_samples = len(letters.target)
        assert letters.images.shape == (n_samples, 28, 28)
        assert letters.data.shape == (n_samples, 784)
        assert letters.data.dtype == np.float32
        assert letters.target.dtype == np.int64
        assert letters.fonts.shape == (n_samples,)
        assert np.shares_memory(letters.images, letters.data)
        assert_array_equal(np.unique(letters.target), np.arange(len(letters.target_names)))
        assert "DejaVu" in letters.DESCR

    def test_grey_values(self, letters):
        assert letters.data.min() == 0
        assert letters.data.max() == 1
        assert (letters.data.max(axis=1) > 0.3).all(), "a blank image"
        assert ((letters.data > 0) & (letters.data < 1)).any(), "not anti-aliased"

    def test_look_alikes_are_one_class(self, letters):
        members = dict(zip(letters.target_names, letters.look_alikes, strict=True))
        assert set("A\u0391\u0410") <= set(members["A"])
        assert not {"B", "g"} & set(members["A"])
        assert "\u0392" in members["B"]
        together = "".join(letters.look_alikes)
        assert len(together) == len(set(together)), "a character in two classes"

    def test_any_look_alike_selects_the_class(self, letters):
        cyrillic = load_glyphs(characters="\u0410", min_samples=MIN_SAMPLES)
        latin = load_glyphs(characters=["A"], min_samples=MIN_SAMPLES)
        assert_array_equal(cyrillic.data, latin.data)

    def test_one_sample_a_class_and_font(self, letters):
        for label in range(len(letters.target_names)):
            fonts = letters.fonts[letters.target == label]
            assert len(set(fonts)) == len(fonts) >= MIN_SAMPLES
        assert len(set(letters.fonts)) == 16

    def test_classes_can_be_told_apart(self, letters):
        centred = letters.data - letters.data.mean(axis=0)
        centred /= np.linalg.norm(centred, axis=1, keepdims=True)
        assert nearest_is_same(centred, letters.target) > 0.9

    def test_random_state(self, matplotlib):
        options = {"min_samples": MIN_SAMPLES, "max_classes": 5, "return_X_y": True}
        X, y = load_glyphs(random_state=3, **options)
        X_again, y_again = load_glyphs(random_state=3, **options)
        assert_array_equal(X, X_again)
        assert_array_equal(y, y_again)
        assert y.max() == 4
        X_other, _ = load_glyphs(random_state=4, **options)
        assert X.shape != X_other.shape or not np.array_equal(X, X_other)

    def test_max_classes_is_a_choice_among_all(self, matplotlib):
        few = load_glyphs(min_samples=MIN_SAMPLES, max_classes=20)
        assert len(few.target_names) == 20
        assert len(set(few.target_names)) == 20
        assert all(
            names[0] == name for names, name in zip(few.look_alikes, few.target_names, strict=True)
        )
        everything = load_glyphs(characters="AB", min_samples=MIN_SAMPLES, max_classes=20)
        assert everything.target_names.tolist() == ["A", "B"]

    def test_jitter(self, matplotlib):
        options = {"characters": "ABC", "min_samples": MIN_SAMPLES}
        still = load_glyphs(jitter=0, random_state=0, **options)
        assert_array_equal(still.data, load_glyphs(jitter=0, random_state=1, **options).data)
        moved = load_glyphs(jitter=1, random_state=0, **options)
        difference = np.abs(moved.data - still.data).mean()
        assert 0.01 < difference < 0.3

    @pytest.mark.parametrize("jitter, coverage", [(0, 0.0), (1, 0.3)])
    def test_nothing_is_cut_off(self, matplotlib, jitter, coverage):
        glyphs = load_glyphs(
            characters="AMg_", min_samples=MIN_SAMPLES, jitter=jitter, image_size=42
        )
        assert glyphs.images.shape[1:] == (42, 42)
        # At full jitter 0.75 pixels stay free, so a pixel of the rim is at most a quarter full.
        rim = np.ones((42, 42), dtype=bool)
        rim[1:-1, 1:-1] = False
        assert glyphs.images[:, rim].max() <= coverage

    def test_strong_jitter_keeps_the_glyph_inside(self, matplotlib):
        glyphs = load_glyphs(characters="AMg_", min_samples=MIN_SAMPLES, jitter=5)
        assert glyphs.images.sum(axis=(1, 2)).min() > 5

    def test_centred_and_scaled_to_the_box(self, matplotlib):
        glyphs = load_glyphs(characters="AMg_", min_samples=MIN_SAMPLES, jitter=0)
        for image in glyphs.images:
            rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
            assert max(np.ptp(rows), np.ptp(columns)) + 1 in (24, 25, 26)
            assert abs(rows[0] + rows[-1] - 27) <= 1
            assert abs(columns[0] + columns[-1] - 27) <= 1

    def test_images_are_upright(self, matplotlib):
        image = load_glyphs(characters="L", min_samples=MIN_SAMPLES, jitter=0).images[0]
        assert image[14:].sum() > 1.5 * image[:14].sum()

    @pytest.mark.parametrize("characters", [" ", "\ue000", "\u200b", ""])
    def test_characters_without_glyphs(self, matplotlib, characters):
        with pytest.raises(ValueError, match="None of the characters is drawn"):
            load_glyphs(characters=characters, min_samples=MIN_SAMPLES)

    def test_words_are_no_characters(self, matplotlib):
        with pytest.raises(ValueError, match="list of single characters"):
            load_glyphs(characters=["A", "BC"], min_samples=MIN_SAMPLES)

    @pytest.mark.parametrize(
        "options", [{"min_samples": 17}, {"max_classes": 0}, {"image_size": 4}, {"jitter": -1}]
    )
    def test_parameters_out_of_range(self, options):
        (name,) = options
        with pytest.raises(ValueError, match=f"'{name}' parameter of load_glyphs"):
            load_glyphs(**options)

    def test_without_matplotlib(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(ImportError, match=r"pip install sklearn-hilander\[plot\]"):
            load_glyphs(characters="A", min_samples=MIN_SAMPLES)


class TestMakeIdentities:
    def test_output(self):
        X, y = make_identities(700, 48, random_state=0)
        assert X.shape == (700, 48)
        assert X.dtype == np.float32
        assert y.dtype == np.int64
        assert_allclose(np.linalg.norm(X, axis=1), 1, rtol=1e-5)
        assert_array_equal(np.unique(y), np.arange(y.max() + 1))
        assert (np.diff(y) != 0).mean() > 0.5, "rows are not shuffled"

    def test_random_state(self):
        X, y = make_identities(300, 16, random_state=7)
        X_again, y_again = make_identities(300, 16, random_state=np.random.RandomState(7))
        assert_array_equal(X, X_again)
        assert_array_equal(y, y_again)
        assert not np.array_equal(X, make_identities(300, 16, random_state=8)[0])

    @pytest.mark.parametrize("distribution", ["lognormal", "geometric", "constant"])
    @pytest.mark.parametrize("mean_size", [1, 2, 7.5, 150])
    def test_class_sizes(self, distribution, mean_size):
        _, y = make_identities(
            3000, 4, mean_size=mean_size, size_distribution=distribution, spread=1, random_state=0
        )
        sizes = np.bincount(y)
        assert sizes.sum() == 3000
        assert sizes.min() >= 1
        assert sizes.mean() == pytest.approx(mean_size, rel=0.03)
        if distribution == "constant":
            assert np.ptp(sizes) <= 1
        elif mean_size > 1:
            assert np.ptp(sizes) > mean_size / 2

    @pytest.mark.parametrize("max_size", [20, 21, 40])
    def test_max_size(self, max_size):
        _, y = make_identities(
            2000, 4, size_variation=2, max_size=max_size, spread=1, random_state=0
        )
        sizes = np.bincount(y)
        assert sizes.max() <= max_size
        assert sizes.mean() == pytest.approx(20)

    def test_heavier_tail(self):
        largest = [
            np.bincount(
                make_identities(4000, 4, size_variation=v, spread=1, random_state=0)[1]
            ).max()
            for v in (0, 0.5, 1.5)
        ]
        assert largest[0] == 20
        assert largest[0] < largest[1] < largest[2]

    @pytest.mark.parametrize(
        "options",
        [
            {"nn_rate": 0.75, "mean_size": 2},
            {"nn_rate": 0.75, "superclass_size": 10},
            {"nn_rate": 0.9, "mean_size": 150},
            {"nn_rate": 0.98, "n_features": 32},
            {"nn_rate": 0.9, "outliers": 0.3},
            {"nn_rate": 0.9, "isotropic": 0.0},
            {"nn_rate": 0.9, "isotropic": 1.0, "spread_variation": 0.0},
        ],
    )
    def test_nn_rate(self, options):
        X, y = make_identities(**{"n_samples": 2500, "n_features": 64, "random_state": 0} | options)
        assert nearest_is_same(X, y) == pytest.approx(options["nn_rate"], abs=0.03)

    def test_default_nn_rate(self):
        assert_array_equal(
            make_identities(400, 16, random_state=0)[0],
            make_identities(400, 16, nn_rate=0.9, random_state=0)[0],
        )

    def test_spread(self):
        cohesion = []
        for spread in (0, 0.5, 2):
            X, y = make_identities(
                400, 64, spread=spread, size_distribution="constant", random_state=0
            )
            one_class = X[y == 0]
            cohesion.append((one_class @ one_class.T).mean())
        assert cohesion[0] == pytest.approx(1, abs=1e-5)
        assert cohesion[0] > cohesion[1] > cohesion[2]

    def test_outliers_are_classes_of_one(self):
        options = {"n_samples": 1000, "n_features": 64, "size_distribution": "constant"}
        X, y = make_identities(outliers=0.2, spread=0.1, random_state=0, **options)
        sizes = np.bincount(y)
        assert (sizes == 1).sum() == 200
        outlier = sizes[y] == 1
        assert (X[outlier] @ X.T > 0.8).sum() == 200, "an outlier inside a class"
        # Neither the order of rows nor the class numbers tell outliers apart.
        assert np.ptp(np.flatnonzero(outlier)) > 900
        assert y[~outlier].max() > y[outlier].min()

    def test_superclasses(self):
        options = {"n_samples": 600, "n_features": 256, "mean_size": 1, "spread": 0}
        flat, _ = make_identities(random_state=0, **options)
        assert (flat @ flat.T)[~np.eye(600, dtype=bool)].max() < 0.5
        nested, _ = make_identities(
            superclass_size=20, superclass_similarity=0.7, random_state=0, **options
        )
        near = (nested @ nested.T)[~np.eye(600, dtype=bool)]
        near = near[near > 0.5]
        assert near.mean() == pytest.approx(0.7, abs=0.02)
        assert len(near) / 600 == pytest.approx(20, rel=0.2)

    def test_low_rank_noise(self):
        energy = {}
        for isotropic in (0.0, 1.0):
            X, y = make_identities(
                400,
                64,
                mean_size=200,
                size_distribution="constant",
                noise_rank=3,
                isotropic=isotropic,
                spread=0.1,
                random_state=0,
            )
            one_class = X[y == 0] - X[y == 0].mean(axis=0)
            variance = np.linalg.svd(one_class, compute_uv=False) ** 2
            energy[isotropic] = variance[:3].sum() / variance.sum()
        assert energy[0.0] > 0.95
        assert energy[1.0] < 0.3

    def test_all_outliers(self):
        X, y = make_identities(50, 8, outliers=1.0, spread=1, random_state=0)
        assert X.shape == (50, 8)
        assert_array_equal(np.sort(y), np.arange(50))

    def test_one_sample(self):
        X, y = make_identities(1, 8, spread=1, random_state=0)
        assert X.shape == (1, 8)
        assert_array_equal(y, [0])

    @pytest.mark.parametrize(
        "options, message",
        [
            ({"nn_rate": 0.9, "spread": 1.0}, "not both"),
            ({"max_size": 5, "mean_size": 10}, "max_size=5 is under mean_size=10"),
            ({"mean_size": 1}, "give spread instead"),
            ({"mean_size": 50, "nn_rate": 0.3, "n_samples": 100}, "out of reach"),
            ({"nn_rate": 1.0}, "'nn_rate' parameter of make_identities"),
            ({"size_distribution": "uniform"}, "'size_distribution' parameter"),
            ({"n_features": 1}, "'n_features' parameter"),
            ({"outliers": 1.5}, "'outliers' parameter"),
        ],
    )
    def test_errors(self, options, message):
        with pytest.raises(ValueError, match=message):
            make_identities(random_state=0, **options)
