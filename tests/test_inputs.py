"""Rows in short types and in files: the same clusters, and no copy of the whole."""

import tracemalloc

import numpy as np
import pytest
import torch

from sklearn_hilander import HiLanderClustering
from sklearn_hilander._rows._embeddings import canonical_embeddings
from sklearn_hilander._rows._row_scaler import fit_row_scaler
from sklearn_hilander._rows._validation import check_rows


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_short_types_and_files_give_the_clusters_of_their_values(clusters, tmp_path, metric):
    X = clusters[0].astype(np.float16)

    def labels(rows):
        return HiLanderClustering(metric=metric, random_state=0).fit_predict(rows)

    expected = labels(X.astype(np.float64))
    for dtype in (np.float16, np.float32):
        np.save(tmp_path / "rows.npy", X.astype(dtype))
        np.testing.assert_array_equal(
            labels(np.load(tmp_path / "rows.npy", mmap_mode="r")), expected
        )
    np.testing.assert_array_equal(labels(torch.from_numpy(X).requires_grad_()), expected)


def test_bfloat16(clusters):
    rows = torch.from_numpy(clusters[0]).to(torch.bfloat16)
    expected = HiLanderClustering().fit(rows.double().numpy())
    given = HiLanderClustering().fit(rows)
    np.testing.assert_array_equal(given.labels_, expected.labels_)
    np.testing.assert_array_equal(given.predict(rows[:5]), expected.labels_[:5])
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="numpy's bfloat16 is of this package")
    array = rows.float().numpy().astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(HiLanderClustering().fit_predict(array), expected.labels_)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_mapped_file_becomes_embeddings_without_another_copy(rng, tmp_path, metric, dtype):
    n_rows, n_features = 60_000, 64
    np.save(tmp_path / "rows.npy", rng.normal(size=(n_rows, n_features)).astype(dtype))
    X = np.load(tmp_path / "rows.npy", mmap_mode="r")
    embeddings = 4 * n_rows * n_features
    tracemalloc.start()
    try:
        rows = check_rows(HiLanderClustering(), X)
        assert np.shares_memory(rows, X)
        assert tracemalloc.get_traced_memory()[1] < 1e6
        found = canonical_embeddings(rows, fit_row_scaler(rows, metric, 10))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.features.nbytes == embeddings
    # Beside the embeddings: numbers of rows, and blocks of rows or of distances in float64. A
    # float64 copy of the whole would be twice the embeddings more.
    blocks = 3 * 8 * max(16_384 * n_features, 2_048 * 2_000)
    assert peak < embeddings + 60 * n_rows + blocks
