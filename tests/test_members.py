import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_hilander._members import (
    bin_sizes,
    check_labels,
    choose_members,
    cluster_sizes,
    largest_clusters,
    unit_rows,
)

some_labels = st.lists(st.integers(-1, 6), min_size=1, max_size=60).map(np.array)


@given(some_labels)
def test_bins_count_every_cluster_and_sample(labels):
    bins = bin_sizes(labels)
    sizes = np.bincount(labels[labels >= 0], minlength=1)
    sizes = sizes[sizes > 0]
    for low, high, n_clusters, n_samples in zip(
        bins.lower, bins.upper, bins.n_clusters, bins.n_samples, strict=True
    ):
        within = sizes[(sizes >= low) & (sizes <= high)]
        assert (n_clusters, n_samples) == (len(within), within.sum())
    assert bins.n_clusters.sum() == len(sizes)
    assert bins.n_samples.sum() + bins.n_noise == len(labels)
    if len(sizes):
        assert bins.n_clusters[0] and bins.n_clusters[-1]


def test_bins_double():
    labels = np.repeat(np.arange(5), [1, 2, 3, 4, 1500])
    bins = bin_sizes(labels)
    assert bins.names[:4] == ["1", "2", "3–4", "5–8"]
    assert bins.names[-1] == "1,025–2,048"
    assert bins.n_clusters.tolist() == [1, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1]


def test_only_noise_has_no_bins():
    bins = bin_sizes(np.array([-1, -1]))
    assert bins.names == [] and bins.n_noise == 2


@given(some_labels, st.integers(1, 8))
def test_largest_clusters_come_first(labels, n_clusters):
    clusters, sizes = cluster_sizes(labels)
    largest = largest_clusters(labels, n_clusters)
    assert len(largest) == min(n_clusters, len(clusters))
    of = dict(zip(clusters, sizes, strict=True))
    keys = [(-of[cluster], cluster) for cluster in largest]
    assert keys == sorted(keys)
    assert not len(largest) or max(sizes) == of[largest[0]]


@given(some_labels, st.integers(0, 2**31))
def test_members_are_of_the_cluster_the_most_similar_first(labels, seed):
    rows = unit_rows(np.random.default_rng(seed).normal(size=(len(labels), 4)))
    clusters, sizes = cluster_sizes(labels)
    for cluster, size, members in zip(
        clusters, sizes, choose_members(labels, clusters, 5, rows=rows), strict=True
    ):
        assert len(members) == min(size, 5) == len(set(members))
        assert (labels[members] == cluster).all()
        closeness = rows[members] @ rows[members[0]]
        assert (np.diff(closeness[1:]) <= 1e-6).all()
        others = np.setdiff1d(np.flatnonzero(labels == cluster), members)
        if len(others):
            assert (rows[others] @ rows[members[0]]).max() <= closeness[-1] + 1e-6


def test_exemplar_then_the_marked_then_by_probability():
    labels = np.array([0, 1, 0, 0, 0])
    (members,) = choose_members(
        labels,
        np.array([0]),
        4,
        exemplars=np.array([3, 1]),
        probabilities=np.array([0.9, 1, 0.2, 1, 0.5]),
        first=np.array([False, False, True, False, False]),
    )
    assert members.tolist() == [3, 2, 0, 4]


def test_without_anything_members_come_in_the_order_of_rows():
    labels = np.array([1, 0, 1, 0, 1])
    members = choose_members(labels, np.array([1, 0]), 2)
    assert [rows.tolist() for rows in members] == [[0, 2], [1, 3]]


@pytest.mark.parametrize("labels", [[0.5], ["a"], [[0]], [-2], []])
def test_bad_labels(labels):
    with pytest.raises(ValueError, match=r"labels|0 sample"):
        check_labels(labels)


def test_whole_floats_are_labels():
    assert check_labels([0.0, -1.0]).dtype == np.int64
