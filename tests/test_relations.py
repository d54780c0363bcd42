import numpy as np
import pytest
from conftest import make_clusters
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_hilander._graph import _adjacency, _common_neighbors, _pairs
from sklearn_hilander._graph._pair_graph import PairGraph
from sklearn_hilander._graph._pairs import unit_rows
from sklearn_hilander._linkage._closeness import closeness_relations
from sklearn_hilander._linkage._relations import (
    graph_relations,
    probability_relations,
    scales_of,
    smooth_by_links,
)
from sklearn_hilander._linkage._whitening import whiten_by_links
from sklearn_hilander._rounds._relational import graph_builder


def graph_of(X, k=8):
    return graph_builder(k)(unit_rows(X))


def all_relations(graph, p):
    of_graph, of_p = graph_relations(graph), probability_relations(graph, p)
    return (of_graph + of_p + closeness_relations(graph, graph.i, graph.j))[:]


def closeness(cosine, rows):
    """Distances against those of two rows taken at random, themselves not left out."""
    rows = rows.astype(np.float64)
    return np.log((1 - (rows @ rows.T).mean()) / (1 - cosine))


def some_probabilities(graph, points):
    """Any function of the two ends that does not depend on their order."""
    return (0.5 + 0.5 * np.sin(40 * (points[graph.i] + points[graph.j]))).astype(np.float32)


def assert_has_column(relations, expected, atol=1e-4):
    """One of the relations is this one."""
    away = np.abs(relations - np.asarray(expected, dtype=np.float64)[:, None]).max(axis=0)
    assert away.min() <= atol, f"the closest column is {away.min()} away"


def assert_has_both(relations, a, b, atol=1e-4):
    assert_has_column(relations, np.minimum(a, b), atol)
    assert_has_column(relations, np.maximum(a, b), atol)


@pytest.fixture
def graph(rng):
    return graph_of(make_clusters(rng, 5, 9, 12, spread=0.3)[0])


@pytest.fixture
def p(rng, graph):
    return (0.05 + 0.9 * rng.random(len(graph.i))).astype(np.float32)


def test_pair_graph_leaves_out_empty_edges():
    features = unit_rows(np.array([[1, 0], [1, 0.1], [-1, 0.1], [-1, 0]]))
    graph = graph_builder(3)(features)
    assert graph.n_nodes == 4
    assert list(zip(graph.i, graph.j, strict=True)) == [(0, 1), (2, 3)]
    again = PairGraph(features, graph.indices, graph.similarities)
    np.testing.assert_array_equal(again.i, graph.i)


def test_scales_are_at_least_one_and_at_most_all():
    shares = (0.025, 0.125, 0.5, 1.0)
    assert scales_of(40, shares) == [1, 5, 20, 40]
    for k in range(1, 60):
        scales = scales_of(k, shares)
        assert scales == sorted(scales)
        assert scales[0] >= 1
        assert scales[-1] == k


def test_relations_in_the_graph_one_by_one(graph):
    """Against plain Python over rows of neighbours."""
    relations = graph_relations(graph)[:]
    assert relations.dtype == np.float32
    k = graph.indices.shape[1]
    pairs = list(zip(graph.i.tolist(), graph.j.tolist(), strict=True))
    near = graph.indices.tolist()

    def rank(a, b):
        return near[a].index(b) + 1.0 if b in near[a] else k + 10.0

    near_of = closeness(graph.similarities, graph.features)
    cosine = np.array([graph.features[a] @ graph.features[b] for a, b in pairs])
    near_pairs = closeness(cosine, graph.features)
    assert_has_column(relations, near_pairs)
    ranks = np.array([[rank(a, b), rank(b, a)] for a, b in pairs])
    assert (ranks > k).any()
    assert_has_both(relations, *np.log(ranks).T)
    for q in (1, k // 2, k):
        mean = near_of[:, :q].mean(axis=1)
        assert_has_both(relations, near_pairs - mean[graph.i], near_pairs - mean[graph.j])
    last = near_of[:, -1]
    assert_has_both(relations, last[graph.i], last[graph.j])
    for q in (1, k // 2, k):
        shared = [len(set(near[a][:q]) & set(near[b][:q])) / q for a, b in pairs]
        assert_has_column(relations, shared)
    degree = np.array([sum(a in row for row in near) for a in range(graph.n_nodes)])
    assert_has_both(relations, np.log(1 + degree)[graph.i], np.log(1 + degree)[graph.j])
    centred = graph.features - graph.features.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    cosine = (centred[graph.i] * centred[graph.j]).sum(axis=1)
    assert_has_column(relations, closeness(cosine, centred))


def test_walk_relations_against_dense_matrices(graph):
    k, n = graph.indices.shape[1], graph.n_nodes
    q = round(0.75 * k)
    distance = 1 - graph.similarities
    scale = distance[:, q - 1]
    A = np.zeros((n, n))
    for a in range(n):
        for b, away in list(zip(graph.indices[a], distance[a], strict=True))[:q]:
            A[a, b] = np.exp(-away / np.sqrt(scale[a] * scale[b]))
    A = np.maximum(A, A.T) + np.eye(n)
    P = A / A.sum(axis=1, keepdims=True)
    relations = graph_relations(graph)[:]
    walk = P / np.linalg.norm(P, axis=1, keepdims=True)
    assert_has_column(relations, (walk @ walk.T)[graph.i, graph.j])
    smooth = unit_rows(P @ unit_rows(P @ graph.features))
    near = closeness((smooth[graph.i] * smooth[graph.j]).sum(axis=1), smooth)
    assert_has_column(relations, near, atol=1e-3)
    mean = np.array([near[(graph.i == a) | (graph.j == a)].mean() for a in range(n)])
    assert_has_both(relations, near - mean[graph.i], near - mean[graph.j], atol=1e-3)


def test_relations_to_probabilities_against_dense_matrices(graph, p):
    i, j, n = graph.i, graph.j, graph.n_nodes
    P = np.eye(n)
    P[i, j] = P[j, i] = p
    present = P > 0
    relations, smooth = probability_relations(graph, p)[:], smooth_by_links(graph, p)
    assert relations.dtype == smooth.dtype == np.float32
    degree, squares, shared = P.sum(axis=1), (P * P).sum(axis=1), (P @ P.T)[i, j]
    mass_i, mass_j = (P @ present)[i, j], (P @ present)[j, i]
    assert_has_column(relations, p)
    assert_has_column(relations, np.log(p / (1 - p)))
    assert_has_both(relations, np.log(degree)[i], np.log(degree)[j])
    assert_has_both(relations, (squares / degree)[i], (squares / degree)[j])
    assert_has_column(relations, shared / np.sqrt(squares[i] * squares[j]))
    assert_has_both(relations, shared / degree[i], shared / degree[j])
    assert_has_both(relations, 2 * shared / (mass_i + mass_j), shared / np.minimum(mass_i, mass_j))
    common = (present.astype(float) @ present)[i, j]
    assert_has_column(relations, (mass_i + mass_j - 2 * shared) / common)
    assert_has_both(relations, mass_i / degree[i], mass_j / degree[j])
    best = (P - np.eye(n)).max(axis=1)
    assert_has_both(relations, p - best[i], p - best[j])
    step = P / degree[:, None]
    once = unit_rows(step @ graph.features)
    twice = unit_rows(step @ once)
    np.testing.assert_allclose(smooth, twice, atol=1e-4)
    for rows in (once, twice):
        near = closeness((rows[i] * rows[j]).sum(axis=1), rows)
        weighted = np.zeros((n, n))
        weighted[i, j] = weighted[j, i] = p * near
        mean = weighted.sum(axis=1) / degree
        assert_has_column(relations, near, atol=1e-3)
        assert_has_both(relations, near - mean[i], near - mean[j], atol=1e-3)
    walk = step / np.linalg.norm(step, axis=1, keepdims=True)
    assert_has_column(relations, (walk @ walk.T)[i, j])
    around = np.log(step @ degree)
    assert_has_both(relations, around[i], around[j])


def test_sums_over_common_neighbors_do_not_depend_on_the_blocks(graph, p, monkeypatch):
    whole = all_relations(graph, p)
    for at_once in (1, 50):
        monkeypatch.setattr(_common_neighbors, "_BLOCK_TRIANGLES", at_once)
        np.testing.assert_array_equal(all_relations(graph, p), whole)


@pytest.mark.parametrize("at_once", [1, 7, 50])
def test_relations_do_not_depend_on_the_blocks_that_they_are_read_in(
    graph, p, at_once, monkeypatch
):
    tables = (
        graph_relations(graph),
        graph_relations(graph, compact=True),
        probability_relations(graph, p),
        closeness_relations(graph, graph.i, graph.j),
    )
    for table in tables:
        starts = range(0, len(table), at_once)
        parts = [table[start : start + at_once] for start in starts]
        np.testing.assert_array_equal(np.concatenate(parts), table[:])
        monkeypatch.setattr(_pairs, "_BLOCK_ROWS", at_once)
        for some in (slice(None), slice(0, 0), slice(3, None, 5)):
            rows = np.arange(len(table))[some]
            np.testing.assert_array_equal(table.take(rows), table[:][rows])


def test_compact_relations_are_the_others_to_three_digits(graph, p):
    for relations in (
        graph_relations,
        lambda graph, **options: probability_relations(graph, p, **options),
        lambda graph, **options: closeness_relations(graph, graph.i, graph.j, **options),
    ):
        whole, compact = relations(graph)[:], relations(graph, compact=True)[:]
        np.testing.assert_array_equal(compact, whole.astype(np.float16))


@pytest.mark.parametrize("n_features", [12, 200])
def test_relations_are_the_same_once_rows_are_given_up(rng, n_features):
    X = make_clusters(rng, 6, 40, n_features, spread=0.3)[0]
    whole, given_up = graph_of(X), graph_of(X)
    given_up.keep_main_features()
    assert given_up.features.shape == (240, min(n_features, 96))
    p = some_probabilities(whole, rng.normal(size=whole.n_nodes))
    for relations in (graph_relations, lambda graph: probability_relations(graph, p)):
        np.testing.assert_array_equal(relations(given_up)[:], relations(whole)[:])
    assert given_up.n_nodes == whole.n_nodes
    np.testing.assert_array_equal(smooth_by_links(given_up, p), smooth_by_links(whole, p))


def test_adjacency_against_a_dense_matrix(rng, graph):
    n, of_pair = graph.n_nodes, rng.normal(size=len(graph.i)).astype(np.float32)
    dense = np.zeros((n, n), dtype=np.float32)
    dense[graph.i, graph.j] = dense[graph.j, graph.i] = of_pair
    np.testing.assert_array_equal(graph.adjacency.matrix(of_pair).toarray(), dense)
    few = np.where(of_pair > 0.5, of_pair, 0)
    dense[dense <= 0.5] = 0
    matrix = graph.adjacency.matrix(few)
    assert matrix.nnz == 2 * np.count_nonzero(few)
    np.testing.assert_array_equal(matrix.toarray(), dense)
    X = rng.normal(size=(n, 3)).astype(np.float32)
    np.testing.assert_allclose(graph.adjacency.weighted_sum(few, X), X + dense @ X, atol=1e-5)
    for node in range(n):
        own = slice(*graph.adjacency.pointers[node : node + 2])
        columns, entries = graph.adjacency.columns[own], graph.adjacency.entries[own]
        assert (np.diff(columns) > 0).all()
        ends = np.where(entries % 2, graph.i[entries >> 1], graph.j[entries >> 1])
        np.testing.assert_array_equal(columns, ends)


@pytest.mark.parametrize("n_rows", [1, 7, 256])
def test_ranks_and_common_neighbors_in_blocks_of_any_size(graph, p, n_rows, monkeypatch):
    whole = all_relations(graph, p)
    ranks = [of_end.copy() for of_end in graph.ranks]
    graph.forget()
    monkeypatch.setattr(_adjacency, "_BLOCK_ROWS", n_rows)
    monkeypatch.setattr(_common_neighbors, "_MOST_ROWS", n_rows)
    monkeypatch.setattr(_common_neighbors, "_FEWEST_ROWS", 1)
    # Two parts, or more than there may be.
    monkeypatch.setattr(_common_neighbors, "_PART_ROWS", graph.n_nodes // 2 if n_rows == 256 else 1)
    np.testing.assert_array_equal(all_relations(graph, p), whole)
    np.testing.assert_array_equal(graph.ranks, ranks)


def test_a_sample_with_more_neighbors_than_a_byte_counts(rng):
    """A hub that all others have among their neighbours."""
    spokes = np.eye(300, dtype=np.float32) + 0.5
    hub = np.ones((1, 300), dtype=np.float32)
    graph = graph_of(np.concatenate([hub, spokes, 0.9 * spokes[:20] + 0.1 * hub]), 4)
    degree = np.diff(graph.adjacency.pointers)
    assert degree.max() > 255
    near = np.zeros((graph.n_nodes,) * 2)
    near[graph.i, graph.j] = near[graph.j, graph.i] = 1
    np.testing.assert_array_equal(graph.common.counts, (near @ near)[graph.i, graph.j])
    p = rng.random(len(graph.i)).astype(np.float32)
    weighted = np.zeros((graph.n_nodes,) * 2)
    weighted[graph.i, graph.j] = weighted[graph.j, graph.i] = p
    np.testing.assert_allclose(
        graph.common.products(p), (weighted @ weighted)[graph.i, graph.j], rtol=1e-5, atol=1e-5
    )


def test_what_is_forgotten_is_found_again(graph, p):
    relations = all_relations(graph, p)
    fields = set(vars(graph))
    graph.forget()
    assert set(vars(graph)) < fields
    np.testing.assert_array_equal(all_relations(graph, p), relations)


def test_relations_leave_the_graph_and_the_probabilities_alone(graph, p):
    before = [values.copy() for values in (graph.features, graph.indices, graph.similarities, p)]
    all_relations(graph, p)
    whiten_by_links(graph, p, 0.3)
    after = (graph.features, graph.indices, graph.similarities, p)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


def test_closeness_relations_of_pairs_of_another_graph(rng, graph):
    i, j = np.triu_indices(graph.n_nodes, 1)
    near = closeness((graph.features @ graph.features.T)[i, j], graph.features)
    mean = closeness(graph.similarities[:, :2], graph.features).mean(axis=1)
    relations = closeness_relations(graph, i, j)[:]
    assert relations.shape == (len(i), 3)
    assert relations.dtype == np.float32
    assert_has_column(relations, near)
    assert_has_both(relations, near - mean[i], near - mean[j])


def test_the_zoom_of_the_space_changes_nothing(rng):
    """Cosines of other encoders: all rows drawn towards one point, by far."""
    X, _ = make_clusters(rng, spread=0.25)
    graph = graph_of(X)
    far = np.hstack([unit_rows(X), np.full((len(X), 1), 2.0)])
    found, zoomed = graph_relations(graph)[:], graph_relations(graph_of(far))[:]
    smoothed = 28
    np.testing.assert_allclose(zoomed[:, :smoothed], found[:, :smoothed], atol=0.02)
    # Averages of rows are drawn to length 1 again, which the zoom does not leave alone.
    for one, other in zip(zoomed[:, smoothed:].T, found[:, smoothed:].T, strict=True):
        assert np.corrcoef(one, other)[0, 1] > 0.95


@pytest.mark.parametrize("n_features", [16, 40])
def test_turning_the_space_changes_nothing(rng, n_features):
    X, _ = make_clusters(rng, spread=0.25)
    turned = X @ np.linalg.qr(rng.normal(size=(n_features, 16)))[0].T
    assert turned.shape[1] == n_features
    points = rng.random(len(X))
    one, other = graph_of(X), graph_of(turned)
    np.testing.assert_array_equal(one.i, other.i)
    np.testing.assert_array_equal(one.j, other.j)
    p = some_probabilities(one, points)
    np.testing.assert_allclose(all_relations(one, p), all_relations(other, p), atol=2e-3)


@pytest.mark.parametrize("order", ["reversed", "random"])
def test_the_order_of_samples_and_of_ends_changes_nothing(rng, order):
    X, _ = make_clusters(rng, spread=0.25)
    n = len(X)
    # Row new of the permuted samples is row of_new[new]. Reversing swaps the ends of every pair.
    of_new = np.arange(n)[::-1] if order == "reversed" else rng.permutation(n)
    points = rng.random(n)
    one, other = graph_of(X), graph_of(X[of_new])
    found = all_relations(one, some_probabilities(one, points))
    permuted = all_relations(other, some_probabilities(other, points[of_new]))
    a, b = of_new[other.i], of_new[other.j]
    back = np.lexsort((np.maximum(a, b), np.minimum(a, b)))
    np.testing.assert_array_equal(np.minimum(a, b)[back], one.i)
    np.testing.assert_array_equal(np.maximum(a, b)[back], one.j)
    np.testing.assert_allclose(found, permuted[back], atol=2e-3)


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 60),
    k=st.integers(1, 40),
    d=st.integers(1, 6),
    kind=st.sampled_from(["any", "few-values", "zero-rows", "all-equal", "all-zero"]),
    certainty=st.sampled_from(["none", "full", "mixed"]),
)
@settings(max_examples=60, deadline=None)
def test_relations_of_any_rows_are_finite_and_as_many(seed, n, k, d, kind, certainty):
    """The width of a network's input does not depend on the number of rows or neighbours."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    if kind == "few-values":
        X = np.round(X)
    if kind == "zero-rows":
        X[rng.random(n) < 0.3] = 0
    if kind == "all-equal":
        X[:] = X[0]
    if kind == "all-zero":
        X[:] = 0
    graph = graph_of(X, k)
    p = {
        "none": np.zeros(len(graph.i)),
        "full": np.ones(len(graph.i)),
        "mixed": rng.choice([0.0, 0.01, 0.5, 1.0], len(graph.i)),
    }[certainty].astype(np.float32)
    of_graph, of_p = graph_relations(graph)[:], probability_relations(graph, p)[:]
    of_cosine = closeness_relations(graph, graph.i, graph.j)[:]
    smooth = smooth_by_links(graph, p)
    assert of_graph.shape == (len(graph.i), 50)
    assert of_p.shape == (len(graph.i), 25)
    assert of_cosine.shape == (len(graph.i), 3)
    assert smooth.shape == (n, d)
    for values in (of_graph, of_p, of_cosine, smooth):
        assert np.isfinite(values).all()
    whitened = whiten_by_links(graph, p, 0.3)
    assert whitened.shape == (n, d)
    assert whitened.dtype == np.float32
    assert np.isfinite(whitened).all()


def links_within(y, graph):
    return (y[graph.i] == y[graph.j]).astype(np.float32)


def condition_within(rows, graph, p):
    difference = (rows[graph.i] - rows[graph.j])[p > 0].astype(np.float64)
    return np.linalg.cond(difference.T @ difference)


def uneven_clusters(rng):
    """Clusters that are long along some axes."""
    X, y = make_clusters(rng, n_clusters=8, size=15, n_features=6, spread=0.0)
    return X + rng.normal(size=X.shape) * np.array([0.3, 0.2, 0.1, 0.05, 0.03, 0.02]), y


def test_whitening_makes_clusters_round(rng):
    X, y = uneven_clusters(rng)
    graph = graph_of(X)
    p = links_within(y, graph)
    raw = condition_within(graph.features, graph, p)
    conditions = {}
    for shrinkage in (0.0, 0.3, 1.0):
        rows = whiten_by_links(graph, p, shrinkage)
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
        conditions[shrinkage] = condition_within(rows, graph, p)
    assert conditions[0.3] < raw / 1.5
    assert conditions[0.0] < conditions[0.3] < conditions[1.0]


def test_whitening_finds_the_clusters_better(rng):
    X, y = uneven_clusters(rng)
    graph = graph_of(X)
    rows = whiten_by_links(graph, links_within(y, graph), 0.3)

    def share_of_own(rows):
        return (y[graph_builder(8)(rows).indices] == y[:, None]).mean()

    assert share_of_own(rows) > share_of_own(graph.features) + 0.02


def test_full_shrinkage_only_centres(rng, graph, p):
    centred = graph.features - graph.features.mean(axis=0)
    np.testing.assert_allclose(whiten_by_links(graph, p, 1.0), unit_rows(centred), atol=1e-5)


def test_whitening_turns_with_the_space_and_ignores_the_scale_of_p(rng, graph, p):
    turn = np.linalg.qr(rng.normal(size=(12, 12)))[0].astype(np.float32)
    turned = PairGraph(graph.features @ turn, graph.indices, graph.similarities)
    rows = whiten_by_links(graph, p, 0.3)
    np.testing.assert_allclose(whiten_by_links(turned, p, 0.3), rows @ turn, atol=1e-4)
    np.testing.assert_allclose(whiten_by_links(graph, p / 4, 0.3), rows, atol=1e-4)


def test_whitening_leaves_equal_rows_as_they_are():
    graph = graph_of(np.ones((6, 3)), 4)
    rows = whiten_by_links(graph, np.ones(len(graph.i), np.float32), 0.3)
    np.testing.assert_array_equal(rows, graph.features)


def test_whitening_of_rows_that_differ_by_rounding_alone(rng):
    rows = unit_rows(np.full((21, 4), 0.37) * (1 + 1e-7 * rng.random((21, 1))))
    graph = graph_of(rows, 1)
    p = np.ones(len(graph.i), np.float32)
    for shrinkage in (0.0, 0.3):
        whitened = whiten_by_links(graph, p, shrinkage)
        np.testing.assert_array_equal(whitened, graph.features)


def test_whitening_without_links_leaves_rows_as_they_are(graph):
    rows = whiten_by_links(graph, np.zeros(len(graph.i), np.float32), 0.3)
    np.testing.assert_array_equal(rows, graph.features)
