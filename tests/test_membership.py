"""Strengths of membership: the widest way to the peak, never lowered by more evidence."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_hilander._clusters._membership import linked_to_peak
from sklearn_hilander._clusters._merge_tree import components, first_come, spanning_forest
from sklearn_hilander._types import Merges


def widest_ways(merges, n):
    """Largest probability that all merges on some way between two nodes reach, by brute force."""
    width = np.zeros((n, n))
    np.maximum.at(width, (merges.a, merges.b), merges.probability)
    width = np.maximum(width, width.T)
    for via in range(n):
        width = np.maximum(width, np.minimum(width[:, [via]], width[[via]]))
    return width


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 20),
    share=st.floats(0.05, 1),
    min_size=st.integers(1, 3),
)
@settings(max_examples=80, deadline=None)
def test_strength_is_the_widest_way_and_more_linkage_never_lowers_it(seed, n, share, min_size):
    rng = np.random.default_rng(seed)
    i, j = np.triu_indices(n, 1)
    kept = rng.random(len(i)) < share
    merges = Merges(i[kept], j[kept], rng.random(int(kept.sum())))
    parts = components(merges, n, 0.4)
    labels = first_come(parts, np.bincount(parts) >= min_size)
    peaks = np.array(
        [rng.choice(np.flatnonzero(labels == c)) for c in range(labels.max() + 1)], dtype=np.int64
    )
    strength = linked_to_peak(spanning_forest(merges, n), labels, peaks)
    inside = labels >= 0
    width = widest_ways(merges, n)
    np.fill_diagonal(width, 1)
    np.testing.assert_array_equal(
        strength[inside], width[np.arange(n)[inside], peaks[labels[inside]]]
    )
    np.testing.assert_array_equal(strength[~inside], 0)
    # Of one cluster alone: more evidence between two clusters is a reason to merge them.
    own = labels[merges.a] == labels[merges.b]
    raised = np.where(
        own & (rng.random(len(own)) < 0.3), rng.uniform(merges.probability, 1), merges.probability
    )
    after = linked_to_peak(spanning_forest(Merges(merges.a, merges.b, raised), n), labels, peaks)
    assert (after >= strength).all()
