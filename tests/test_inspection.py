"""Displays: what they compute, and what they draw."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from sklearn_hilander import HiLanderClustering
from sklearn_hilander.datasets import make_identities
from sklearn_hilander.inspection import (
    ClusterSizeDisplay,
    ContactSheetDisplay,
    HierarchyDisplay,
    LinkageCalibrationDisplay,
)

LABELS = np.array([0, 0, 0, 1, 1, -1])
TEXTS = ["a", "b", "c", "d $x$", "e_{", "f"]


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib", reason="displays are drawn with matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


class Clusterer(BaseEstimator):
    """A clusterer, as the displays see one."""

    def fit(self, X):
        return self

    def predict(self, X):
        return np.zeros(len(X), dtype=np.int64)


def fitted(**attributes):
    clusterer = Clusterer()
    vars(clusterer).update({"labels_": LABELS} | attributes)
    return clusterer


def texts_of(ax):
    return [text.get_text() for text in ax.texts]


def overlap(boxes):
    """Pairs of boxes that overlap by more than rounding."""
    return [
        (i, j)
        for i, a in enumerate(boxes)
        for j, b in enumerate(boxes[:i])
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 0.5 and min(a.y1, b.y1) - max(a.y0, b.y0) > 0.5
    ]


def test_matplotlib_is_imported_when_something_is_drawn():
    code = "import sys, sklearn_hilander.inspection; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: ClusterSizeDisplay.from_predictions([0]),
        lambda: ContactSheetDisplay.from_predictions(["a"], [0]),
        lambda: HierarchyDisplay.from_predictions([[0, 0]]),
        lambda: LinkageCalibrationDisplay.from_predictions([True], [0.5]),
    ],
)
def test_without_matplotlib(monkeypatch, draw):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"Display draws.*pip install sklearn-hilander\[plot\]"):
        draw()


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax: ClusterSizeDisplay.from_predictions(LABELS, ax=ax),
        lambda ax: ContactSheetDisplay.from_predictions(TEXTS, LABELS, ax=ax),
        lambda ax: ContactSheetDisplay.from_predictions(np.zeros((6, 2, 2)), LABELS, ax=ax),
        lambda ax: HierarchyDisplay.from_predictions([[0, 1, 1], [0, 0, 0]], ax=ax),
        lambda ax: LinkageCalibrationDisplay.from_predictions([0, 1], [0.2, 0.8], ax=ax),
    ],
)
def test_given_axes_are_drawn_on(pyplot, draw):
    ax = pyplot.subplots()[1]
    display = draw(ax)
    assert display.ax_ is ax and display.figure_ is ax.figure
    again = display.plot()
    assert again is display and display.ax_ is not ax
    display.figure_.canvas.draw()


class TestClusterSizeDisplay:
    @pytest.mark.parametrize("largest", [3, 60_000])
    def test_names_of_bins_do_not_run_into_each_other(self, largest):
        sizes = [size for size in 2 ** np.arange(17) if size <= largest]
        display = ClusterSizeDisplay.from_predictions(np.repeat(np.arange(len(sizes)), sizes))
        display.figure_.draw_without_rendering()
        names = display.ax_.get_xticklabels()
        slanted = {name.get_rotation() for name in names}
        assert slanted == ({30.0} if largest > 3 else {0.0})
        # Their ends, where they are anchored.
        boxes = [name.get_window_extent() for name in names]
        if largest == 3:
            assert all(one.x1 < other.x0 for one, other in pairwise(boxes))

    def test_heights_are_shares(self, pyplot):
        display = ClusterSizeDisplay.from_predictions(LABELS)
        assert [bar.get_height() for bar in display.cluster_bars_] == [50, 50]
        shares = [bar.get_height() for bar in display.sample_bars_]
        np.testing.assert_allclose(shares, [200 / 6, 300 / 6, 100 / 6])
        names = [label.get_text() for label in display.ax_.get_xticklabels()]
        assert names == ["2", "3–4", "noise"]

    def test_from_estimator(self, pyplot):
        assert ClusterSizeDisplay.from_estimator(fitted()).n_noise == 1
        display = ClusterSizeDisplay.from_estimator(fitted(), np.zeros((4, 2)))
        assert display.n_clusters.tolist() == [1] and display.n_samples.tolist() == [4]

    def test_labels_of_many_clusters_do_not_overlap(self, pyplot, rng):
        sizes = np.ceil(rng.lognormal(1.5, 1.5, 10_000)).astype(int)
        labels = np.append(np.repeat(np.arange(10_000), sizes), np.full(12_345, -1))
        display = ClusterSizeDisplay.from_predictions(labels)
        display.figure_.canvas.draw()
        words = [*display.ax_.texts, *display.ax_.get_xticklabels()]
        assert not overlap([word.get_window_extent() for word in words if word.get_text()])

    def test_only_noise(self, pyplot):
        display = ClusterSizeDisplay.from_predictions([-1, -1])
        assert len(display.cluster_bars_) == 0 and len(display.sample_bars_) == 1


class TestContactSheetDisplay:
    def test_texts(self, pyplot):
        probabilities = [1, 0.9, 0.2, 0.1, 1, 0]
        display = ContactSheetDisplay.from_predictions(
            TEXTS, LABELS, probabilities=probabilities, exemplar_indices=[0, 4], n_members=2
        )
        assert [rows.tolist() for rows in display.members] == [[0, 1], [4, 3]]
        assert texts_of(display.ax_) == [
            "Cluster 0: 3 members, 1 not shown", "a", "b",
            "Cluster 1: 2 members", "e_{", "?", "d $x$",
        ]  # fmt: skip
        display.figure_.canvas.draw()  # and no formula is read into them

    def test_images(self, pyplot, rng):
        images = rng.uniform(size=(6, 4, 5, 3))
        display = ContactSheetDisplay.from_predictions(
            images, LABELS, framed=LABELS == 1, n_members=2
        )
        assert len(display.ax_.images) == 4
        strong = [patch.get_linewidth() > 1 for patch in display.ax_.patches]
        assert strong == [False, False, True, True]
        assert texts_of(display.ax_) == ["0", "+1", "1"]

    def test_framed_first(self, pyplot):
        display = ContactSheetDisplay.from_predictions(
            TEXTS, LABELS, framed=[0, 0, 1, 0, 0, 0], framed_first=True
        )
        assert display.members[0].tolist() == [2, 0, 1]

    def test_chosen_clusters(self, pyplot):
        display = ContactSheetDisplay.from_predictions(TEXTS, LABELS, clusters=[1])
        assert display.clusters.tolist() == [1] and display.sizes.tolist() == [2]
        display = ContactSheetDisplay.from_predictions(TEXTS, LABELS, n_clusters=1)
        assert display.clusters.tolist() == [0]

    def test_long_texts_are_cut_at_the_edge(self, pyplot):
        texts = ["word " * 400, "W" * 300, "short"]
        display = ContactSheetDisplay.from_predictions(texts, [0, 0, 0])
        display.figure_.canvas.draw()
        width = display.figure_.bbox.x1
        boxes = [text.get_window_extent() for text in display.ax_.texts]
        assert max(box.x1 for box in boxes) <= width
        assert max(box.x1 for box in boxes) > 0.85 * width
        assert not overlap(boxes)
        assert texts_of(display.ax_)[1].endswith("…")

    def test_from_estimator_uses_what_there_is(self, pyplot):
        estimator = fitted(
            exemplar_indices_=np.array([1, 4]), probabilities_=np.array([1, 1, 0.2, 1, 1, 0])
        )
        display = ContactSheetDisplay.from_estimator(estimator, TEXTS)
        assert [rows[0] for rows in display.members] == [1, 4]
        assert display.framed.tolist() == [False, False, True, False, False, True]
        display = ContactSheetDisplay.from_estimator(fitted(), TEXTS, np.eye(6), n_clusters=1)
        assert len(display.members) == 1 and not display.framed.any()

    def test_nothing_but_noise(self, pyplot):
        for samples in (TEXTS, np.zeros((6, 2, 2))):
            display = ContactSheetDisplay.from_predictions(samples, np.full(6, -1))
            assert display.members == []
            display.figure_.canvas.draw()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"exemplar_indices": [0]}, "a row of labels for every cluster"),
            ({"exemplar_indices": [0, 0]}, r"exemplar_indices\[1\] is a row of another cluster"),
            ({"exemplar_indices": [0.5, 1]}, "1-d array of integers"),
            ({"probabilities": [1]}, "probabilities has 1 rows, but there are labels of 6"),
            ({"framed": [[1]]}, "framed must be 1-d"),
            ({"X": [[1.0]]}, "X has 1 rows"),
            ({"clusters": [0, 7]}, "clusters names 7"),
        ],
    )
    def test_bad_input(self, pyplot, options, message):
        with pytest.raises(ValueError, match=message):
            ContactSheetDisplay.from_predictions(TEXTS, LABELS, **options)


class TestLinkageCalibrationDisplay:
    def test_against_brute_force(self, pyplot, rng):
        probabilities = rng.uniform(size=500)
        same = rng.uniform(size=500) < probabilities**2
        display = LinkageCalibrationDisplay.from_predictions(same, probabilities, n_bins=7)
        error = 0.0
        for (low, high), p_true, p_pred, count in zip(
            display.bin_edges, display.prob_true, display.prob_pred, display.n_pairs, strict=True
        ):
            within = (probabilities >= low) & (probabilities < high)
            assert count == within.sum()
            assert p_true == pytest.approx(same[within].mean())
            assert p_pred == pytest.approx(probabilities[within].mean())
            error += abs(same[within].mean() - probabilities[within].mean()) * within.mean()
        assert display.expected_calibration_error == pytest.approx(error)
        np.testing.assert_array_equal(display.line_.get_ydata(), display.prob_true)

    def test_certain_pairs_are_counted(self, pyplot):
        display = LinkageCalibrationDisplay.from_predictions([True, False], [1.0, 0.0])
        assert display.n_pairs.tolist() == [1, 1] and display.expected_calibration_error == 0

    def test_quantile_bins_hold_equally_many(self, pyplot, rng):
        probabilities = rng.beta(1, 9, size=1000)
        display = LinkageCalibrationDisplay.from_predictions(
            probabilities > 0.1, probabilities, n_bins=5, strategy="quantile"
        )
        assert display.n_pairs.tolist() == [200] * 5
        same = LinkageCalibrationDisplay.from_predictions([1, 0], [0.3, 0.3], strategy="quantile")
        assert same.n_pairs.tolist() == [2]

    def test_two_curves_can_be_told_apart(self, pyplot):
        first = LinkageCalibrationDisplay.from_predictions([0, 1], [0.1, 0.9], name="one")
        second = LinkageCalibrationDisplay.from_predictions(
            [0, 1], [0.3, 0.6], name="two", ax=first.ax_
        )
        assert first.line_.get_color() != second.line_.get_color()
        assert first.line_.get_marker() != second.line_.get_marker()
        assert first.bars_ is not None and second.bars_ is None
        legend = [text.get_text() for text in first.ax_.get_legend().get_texts()]
        assert "one: expected calibration error 0.100" in legend
        assert sum("perfectly" in text for text in legend) == 1

    def test_from_estimator(self, pyplot, clusters):
        X, y = clusters
        clusterer = HiLanderClustering(5).fit(X)
        before = clusterer.labels_
        display = LinkageCalibrationDisplay.from_estimator(clusterer, None, y)
        pairs = clusterer.linkage_pairs()
        assert display.n_pairs.sum() == len(pairs)
        share = np.average(display.prob_true, weights=display.n_pairs)
        assert share == pytest.approx((y[pairs.i] == y[pairs.j]).mean())
        assert display.estimator_name == "HiLanderClustering"
        half = LinkageCalibrationDisplay.from_estimator(clusterer, X[::2], y[::2], name="half")
        assert half.n_pairs.sum() < len(pairs) and half.estimator_name == "half"
        assert clusterer.labels_ is before
        for of_none in (-1, np.nan):
            classes = ["a class that no row is of", *[of_none] * (len(y) - 1)]
            for alone in (np.full(len(y), of_none), classes):
                alone = LinkageCalibrationDisplay.from_estimator(clusterer, None, alone)
                assert not alone.prob_true.any()

    def test_from_estimator_with_bad_input(self, pyplot, clusters):
        X, y = clusters
        clusterer = HiLanderClustering(5).fit(X)
        with pytest.raises(ValueError, match="y has 3 rows, but there are labels of 72"):
            LinkageCalibrationDisplay.from_estimator(clusterer, None, y[:3])
        with pytest.raises(ValueError, match="no pairs of neighbours"):
            LinkageCalibrationDisplay.from_estimator(clusterer, X[[0, 0]], y[[0, 0]])

    @pytest.mark.parametrize(
        ("pairs", "probabilities", "options", "message"),
        [
            ([0, 1], [0.5], {}, "inconsistent numbers of samples"),
            ([0, 2], [0.5, 0.5], {}, "booleans, or 0 and 1"),
            ([0, 1], [0.5, 1.5], {}, r"in \[0, 1\]"),
            ([0, 1], [0.5, np.nan], {}, "probabilities contains NaN"),
            ([[0]], [[0.5]], {}, "must be 1-d"),
            ([0], [0.5], {"n_bins": 0}, "n_bins"),
            ([0], [0.5], {"strategy": "equal"}, "strategy"),
        ],
    )
    def test_bad_input(self, pyplot, pairs, probabilities, options, message):
        with pytest.raises(ValueError, match=message):
            LinkageCalibrationDisplay.from_predictions(pairs, probabilities, **options)


def nested_levels(rng, n_samples, n_clusters, n_levels):
    """Random levels, finest first, each cluster within one of the next level."""
    levels = [rng.integers(n_clusters, size=n_samples)]
    for _ in range(n_levels - 1):
        finer = levels[-1] * 3 + rng.integers(3, size=n_samples)
        levels.append(np.unique(finer, return_inverse=True)[1])
    return levels[::-1]


class TestHierarchyDisplay:
    def test_blocks_are_as_wide_as_their_clusters(self, pyplot, rng):
        levels = nested_levels(rng, 300, 6, 3)
        display = HierarchyDisplay.from_predictions(levels)
        boxes = [path.get_extents() for path in display.collection_.get_paths()]
        for row, labels in enumerate(levels[::-1]):
            widths = sorted(box.width for box in boxes if round(box.y0) == row)
            np.testing.assert_allclose(
                widths, np.sort(np.unique(labels, return_counts=True)[1]) / 300
            )
        assert not overlap([box.transformed(display.ax_.transData) for box in boxes])

    def test_every_cluster_stands_under_its_own(self, pyplot, rng):
        levels = nested_levels(rng, 200, 5, 3)
        display = HierarchyDisplay.from_predictions(levels)
        boxes = [path.get_extents() for path in display.collection_.get_paths()]
        for box in boxes:
            above = [
                other
                for other in boxes
                if round(other.y0) == round(box.y0) - 1
                and other.x0 - 1e-9 <= box.x0
                and box.x1 <= other.x1 + 1e-9
            ]
            assert len(above) == (round(box.y0) > 0)

    def test_ten_thousand_clusters(self, pyplot, rng):
        levels = nested_levels(rng, 110_000, 10_000, 3)
        thresholds = [0.9, 0.7, 0.5]
        display = HierarchyDisplay.from_predictions(levels, thresholds=thresholds, n_clusters=25)
        display.figure_.canvas.draw()
        assert len(display.collection_.get_paths()) < 1000
        words = [*display.ax_.texts, *display.ax_.get_yticklabels()]
        assert len(words) == 25 + 1 + 3
        assert not overlap([word.get_window_extent() for word in words])
        page = display.figure_.bbox
        for word in (*words, display.ax_.xaxis.label):
            box = word.get_window_extent()
            assert page.x0 <= box.x0 and box.x1 <= page.x1
            assert page.y0 <= box.y0 and box.y1 <= page.y1
        n_clusters = len(np.unique(levels[-1]))
        assert f"{n_clusters - 25:,} smaller" in texts_of(display.ax_)

    def test_narrow_clusters_are_drawn_as_one(self, pyplot):
        display = HierarchyDisplay.from_predictions([np.arange(1000), np.zeros(1000)])
        assert len(display.collection_.get_paths()) == 2
        assert "pale: clusters too narrow to draw" in display.ax_.get_xlabel()

    def test_levels_that_change_nothing_are_left_out(self, pyplot):
        levels = [[0, 1, 2], [0, 1, 2], [0, 1, 1], [0, 0, 0]]
        display = HierarchyDisplay.from_predictions(levels, thresholds=[0.9, 0.8, 0.7, 0.6])
        names = [text.get_text() for text in display.ax_.get_yticklabels()]
        assert names == [
            "1 cluster, p > 0.60", "2 clusters, p > 0.70", "3 clusters, p > 0.80",
        ]  # fmt: skip
        display = HierarchyDisplay.from_predictions(levels, max_levels=2)
        names = [text.get_text() for text in display.ax_.get_yticklabels()]
        assert names == ["1 cluster", "3 clusters"]

    def test_from_estimator(self, pyplot, clusters):
        X, _ = clusters
        clusterer = HiLanderClustering(min_cluster_size=2).fit(np.vstack([X, -X.mean(axis=0)]))
        display = HierarchyDisplay.from_estimator(clusterer)
        names = [name for name in texts_of(display.ax_) if name]
        assert sorted(map(int, names)) == list(range(clusterer.n_clusters_))

    @pytest.mark.parametrize("threshold", [0.05, 0.7])
    def test_from_estimator_after_relabelling(self, pyplot, clusters, threshold):
        clusterer = HiLanderClustering(3, linkage_threshold=0.5).fit(clusters[0])
        before = clusterer.n_clusters_
        clusterer.relabel(linkage_threshold=threshold)
        assert clusterer.n_clusters_ != before
        display = HierarchyDisplay.from_estimator(clusterer, n_clusters=100)
        assert display.thresholds[-1] == threshold
        names = dict(zip(display.level_labels[-1], clusterer.labels_, strict=True))
        assert [display.names[c] for c in sorted(names)] == [str(names[c]) for c in sorted(names)]
        assert len(set(names.values())) == len(names) == clusterer.n_clusters_

    def test_levels_that_share_a_threshold(self, pyplot):
        X, y = make_identities(300, 24, mean_size=10, random_state=1)
        params = dict(max_iter=5, hidden_dim=16, random_state=0, linkage_threshold=0.25)
        clusterer = HiLanderClustering(architecture="gcn", **params).fit(X, y)
        numbers = {len(set(labels)) for labels in clusterer.hierarchy_.labels}
        assert len(numbers) > 2
        display = HierarchyDisplay.from_estimator(clusterer)
        shown = [len(set(labels)) for labels in display.level_labels]
        assert shown == sorted(numbers, reverse=True)
        # Clusters of another threshold were merged on more than one level, too.
        for threshold in (0.2, 0.3):
            clusterer.relabel(linkage_threshold=threshold)
            display = HierarchyDisplay.from_estimator(clusterer)
            assert len(display.level_labels) > 2
            assert min(display.thresholds) == display.thresholds[-1] == threshold
            HierarchyDisplay.from_predictions(display.level_labels)  # they are nested

    @pytest.mark.parametrize(
        ("levels", "thresholds", "message"),
        [
            ([], None, "at least one level"),
            ([[0, 1], [0]], None, "Level 1 has 1 samples, level 0 2"),
            ([[0, -1]], None, "Level 0 has the label -1"),
            ([[0, 0], [0, 1]], None, "Cluster 0 of level 0 lies in two"),
            ([[0, 0]], [0.5, 0.4], "2 thresholds, but 1 levels"),
        ],
    )
    def test_bad_input(self, pyplot, levels, thresholds, message):
        with pytest.raises(ValueError, match=message):
            HierarchyDisplay.from_predictions(levels, thresholds=thresholds)


@pytest.mark.parametrize("wrong", [{"n_clusters": 0}, {"max_levels": 0}])
def test_an_icicle_of_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        HierarchyDisplay.from_predictions([[0, 1, 2], [0, 0, 1]], **wrong)


@pytest.mark.parametrize("wrong", [{"n_clusters": 0}, {"n_members": -1}])
def test_a_sheet_of_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ContactSheetDisplay.from_predictions(["a", "b"], [0, 0], **wrong)
