import numpy as np
import pytest

from sklearn_hilander._graph import _pair_table
from sklearn_hilander._graph._pair_table import Columns, PairTable


def test_columns_do_not_know_the_order_of_ends(rng):
    a, b, c = rng.normal(size=(3, 7))
    one, other = Columns(), Columns()
    for columns, ends in ((one, (a, b)), (other, (b, a))):
        columns.add(c)
        columns.both(*ends)
    stacked = one.stack()
    assert stacked.dtype == np.float32
    np.testing.assert_array_equal(stacked, other.stack())
    np.testing.assert_allclose(stacked[:, 0], c, rtol=1e-6)
    np.testing.assert_allclose(stacked[:, 1:], np.sort([a, b], axis=0).T, rtol=1e-6)


def test_columns_one_by_one_or_several_at_once(rng):
    a, b = rng.normal(size=(2, 7, 3))
    one, other = Columns(), Columns()
    one.add(a)
    one.both(a, b)
    for column in range(3):
        other.add(a[:, column])
    for column in range(3):
        other.both(a[:, column], b[:, column])
    assert one.n_features == other.n_features == 9
    np.testing.assert_array_equal(one.stack(), other.stack())
    kept = np.array([1, 4, 5])
    some = Columns(kept)
    some.add(a)
    np.testing.assert_array_equal(some.stack(), a[kept].astype(np.float32))


def table_of(values, **options):
    """A table of one column a row of `values`, and the slices that were made of it."""
    made = []

    def block(rows):
        made.append(rows)
        out = Columns()
        out.add(values[rows])
        return out

    return PairTable(len(values), block, **options), made


def test_tables_side_by_side_and_some_of_their_rows(rng):
    a, b = rng.normal(size=(2, 7)).astype(np.float32)
    (one, made), (other, _) = table_of(a), table_of(b)
    table = one + other
    assert (len(table), table.n_features) == (7, 2)
    np.testing.assert_array_equal(table[:], np.stack([a, b], axis=1))
    np.testing.assert_array_equal(table[1:3], np.stack([a, b], axis=1)[1:3])
    assert made[-1] == slice(1, 3)
    assert table[5:100].shape == (2, 2)
    assert table[7:].shape == (0, 2)
    assert one.n_features == 1


def test_compact_tables_have_three_digits(rng):
    a = rng.normal(size=50).astype(np.float32)
    whole, compact = table_of(a)[0][:], table_of(a, compact=True)[0][:]
    assert compact.dtype == np.float32
    assert (compact != whole).any()
    np.testing.assert_array_equal(compact[:, 0], a.astype(np.float16))
    both = table_of(a, compact=True)[0] + table_of(a, compact=True)[0]
    np.testing.assert_array_equal(both[:], np.hstack([compact, compact]))


@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_pairs_are_taken_as_if_all_had_been_made(rng, at_once, monkeypatch):
    monkeypatch.setattr(_pair_table, "_BLOCK_ROWS", at_once)
    values = rng.normal(size=30).astype(np.float32)
    rows = np.array([0, 3, 4, 11, 29])
    (one, made), (other, _) = table_of(values), table_of(-values)
    taken = (one + other).take(rows)
    np.testing.assert_array_equal(taken, np.stack([values, -values], axis=1)[rows])
    # Blocks that none is taken of are not made; the first was asked for its width.
    assert sum(len(values[block]) for block in made) <= at_once * len(rows)
    assert one.take(rows[:0]).shape == (0, 1)
