import numpy as np
import pytest
from conftest import make_clusters

from sklearn_hilander._device import thread_limit
from sklearn_hilander._graph._pairs import unit_rows
from sklearn_hilander._search import _cell_search, _cells, _integer_rows
from sklearn_hilander._search._cell_search import search_by_cells, search_wider


def nearest(X, k):
    cosines = X @ X.T
    np.fill_diagonal(cosines, -np.inf)
    return np.argsort(-cosines, axis=1, kind="stable")[:, :k]


def recall(found, X):
    k = found.shape[1]
    return np.mean(
        [len(np.intersect1d(*rows)) / k for rows in zip(found, nearest(X, k), strict=True)]
    )


@pytest.fixture
def small_cells(monkeypatch):
    monkeypatch.setattr(_cells, "CELL_ROWS", 25)


@pytest.mark.parametrize(
    ("cells", "waiting", "table", "part", "parts"),
    [(2_000_000, 4_000_000, 8_192, 300, 1), (90, 50, 40, 70, 16), (90, 50, 1, 70, 2)],
)
def test_within_cells_nothing_nearer_is_missed(
    rng, monkeypatch, small_cells, cells, waiting, table, part, parts
):
    monkeypatch.setattr(_cell_search, "_BLOCK_CELLS", cells)
    monkeypatch.setattr(_cell_search, "_MOST_WAITING", waiting)
    monkeypatch.setattr(_cell_search, "_TABLE_CELLS", table)
    monkeypatch.setattr(_cell_search, "_PART_ROWS", part)
    monkeypatch.setattr(_cell_search, "_MOST_PARTS", parts)
    X = unit_rows(rng.normal(size=(300, 6)))
    n_probes = 4
    monkeypatch.setattr(_cell_search, "_n_probes", lambda n_cells: n_probes)
    found = _cell_search._within_cells(X, 9)
    near = _cells.nearest_cells(X, _cells.cell_centroids(X), n_probes)
    cosines = X @ X.T
    seen = (near[:, :, None] == near[:, 0][None, None, :]).any(axis=1)
    np.fill_diagonal(seen, False)
    assert (seen.sum(axis=1) >= 9).all()
    cosines[~seen] = -np.inf
    np.testing.assert_array_equal(found, np.argsort(-cosines, axis=1, kind="stable")[:, :9])


@pytest.mark.parametrize("n_features", [6, 48])
def test_too_few_rows_within_the_cells_leave_the_row_itself(
    rng, small_cells, monkeypatch, n_features
):
    monkeypatch.setattr(_cell_search, "_n_probes", lambda n_cells: 2)
    X = unit_rows(rng.normal(size=(120, n_features)))
    near = _cells.nearest_cells(X, _cells.cell_centroids(X), 2)
    seen = (near[:, :, None] == near[:, 0][None, None, :]).any(axis=1)
    np.fill_diagonal(seen, False)
    found = _cell_search._within_cells(X, 50)
    for row, (others, expected) in enumerate(zip(found, seen, strict=True)):
        assert set(others[others != row]) <= set(np.flatnonzero(expected))
        assert len(set(others) - {row}) == min(50, expected.sum())
        assert (others == row).sum() == 50 - min(50, expected.sum())


def test_what_is_found_does_not_depend_on_the_processor(rng, small_cells, monkeypatch):
    X = unit_rows(rng.normal(size=(400, 40)))
    here = search_by_cells(X, 20)
    monkeypatch.setattr(_integer_rows, "_of_integers", lambda: None)
    for one, other in zip(here, search_by_cells(X, 20), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_found_does_not_depend_on_the_threads(rng, small_cells, monkeypatch):
    monkeypatch.setattr(_cell_search, "_PART_ROWS", 60)
    X = unit_rows(rng.normal(size=(400, 8)))
    found = []
    for n_threads in (1, 3):
        with thread_limit(n_threads):
            found.append(search_by_cells(X, 20))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_most_of_the_nearest_are_found(rng, small_cells, monkeypatch):
    monkeypatch.setattr(_cell_search, "_n_probes", lambda n_cells: 3)
    X, _ = make_clusters(rng, n_clusters=60, size=30, n_features=16, spread=0.4)
    X = unit_rows(X)
    indices, similarities = search_by_cells(X, 20)
    before, after = recall(_cell_search._within_cells(X, 20), X), recall(indices, X)
    # What the cells miss, neighbours of neighbours have.
    assert before < 0.8
    assert after > 0.93
    expected = np.take_along_axis((X @ X.T).clip(0, 1), indices, axis=1)
    np.testing.assert_allclose(similarities, expected, atol=1e-6)
    assert (np.diff(similarities, axis=1) <= 1e-6).all()


def test_rows_with_too_few_in_reach_are_searched_exactly(rng, small_cells, monkeypatch):
    # Of one cell each: three rows far from all others would reach only each other.
    monkeypatch.setattr(_cell_search, "_n_probes", lambda n_cells: 1)
    many = rng.normal(size=(200, 5)) * [1, 1, 1, 0.01, 0.01]
    few = rng.normal(size=(3, 5)) * 0.01 + [0, 0, 0, 0, 9]
    X = unit_rows(np.concatenate([many, few]))
    centroids = unit_rows(np.concatenate([many[:4], [[0, 0, 0, 0, 1]]]))
    monkeypatch.setattr(_cell_search, "cell_centroids", lambda rows: centroids)
    indices, _ = search_by_cells(X, 10)
    np.testing.assert_array_equal(indices[-3:], nearest(X, 10)[-3:])
    assert not (indices == np.arange(203)[:, None]).any()


def test_equal_rows_are_never_their_own_neighbors(small_cells):
    X = np.full((80, 4), 0.5, dtype=np.float32)
    indices, similarities = search_by_cells(X, 7)
    assert not (indices == np.arange(80)[:, None]).any()
    np.testing.assert_allclose(similarities, 1)


def test_searches_until_little_is_new(rng, small_cells, monkeypatch):
    monkeypatch.setattr(_cell_search, "_n_probes", lambda n_cells: 2)
    monkeypatch.setattr(_cell_search, "_FEWEST_FIRST", 4)
    monkeypatch.setattr(_cell_search, "_FIRST_SHARE", 0.2)
    X = unit_rows(rng.normal(size=(1_800, 12)).astype(np.float32))
    search, shares = _cell_search.search_two_hops, []

    def counted(rows, before, k, *, share, looked_at):
        found = search(rows, before, k, share=share, looked_at=looked_at)
        shares.append(_cell_search._share_of_new(found[0], before))
        return found

    monkeypatch.setattr(_cell_search, "search_two_hops", counted)
    found, _ = search_by_cells(X, 20)
    *more, last = shares
    assert last < _cell_search._SETTLED <= min(more)
    monkeypatch.setattr(_cell_search, "_MOST_HOPS", 2)
    hasty, _ = search_by_cells(X, 20)
    assert recall(hasty, X) < 0.8
    assert recall(found, X) > 0.9


def test_share_of_new():
    before = np.array([[1, 2, 3, 4]] * 3)
    assert _cell_search._share_of_new(before[:, ::-1], before) == 0
    # The nearest quarter alone counts.
    assert _cell_search._share_of_new(np.array([[1, 8, 9, 7]] * 3), before) == 0
    assert _cell_search._share_of_new(np.array([[9, 2, 3, 4]] * 3), before) == 1


def test_more_neighbors_are_found_from_few(rng):
    X, _ = make_clusters(rng, n_clusters=60, size=30, n_features=16, spread=0.4)
    X = unit_rows(X)
    indices, similarities = search_wider(X, nearest(X, 12), 20)
    assert recall(indices, X) > 0.9
    expected = np.take_along_axis((X @ X.T).clip(0, 1), indices, axis=1)
    np.testing.assert_allclose(similarities, expected, atol=1e-6)


def test_rows_with_too_few_to_go_on_from_are_searched_exactly(rng):
    X = unit_rows(rng.normal(size=(40, 5)))
    # Three that lead to each other alone.
    few = nearest(X, 2)
    few[:3] = [[1, 2], [0, 2], [0, 1]]
    few[3:][few[3:] < 3] = 39
    indices, _ = search_wider(X, few, 6)
    np.testing.assert_array_equal(indices[:3], nearest(X, 6)[:3])


@pytest.mark.parametrize(("n_cells", "n_probes"), [(1, 1), (2, 2), (303, 28), (3_030, 39)])
def test_more_cells_are_looked_at_where_there_are_more(n_cells, n_probes):
    assert _cell_search._n_probes(n_cells) == n_probes
