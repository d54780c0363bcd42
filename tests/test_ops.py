import numpy as np
import torch

from sklearn_hilander._ops import (
    drop_self,
    neighbor_sum,
    normalize_weights,
    segment_mean,
    segment_sum,
)


def test_neighbor_sum(rng):
    x = torch.from_numpy(rng.normal(size=(9, 4)).astype("f4"))
    indices = torch.from_numpy(rng.integers(0, 9, size=(5, 3)))
    weights = torch.from_numpy(rng.random((5, 3)).astype("f4"))
    expected = (x[indices] * weights[:, :, None]).sum(dim=1)
    torch.testing.assert_close(neighbor_sum(x, indices, weights), expected)


def test_segment_sum_and_mean(rng):
    values = rng.normal(size=(20, 3)).astype("f4")
    labels = np.concatenate([np.arange(4), rng.integers(0, 4, size=16)])
    weights = rng.random(20).astype("f4") + 0.1
    total = segment_sum(torch.from_numpy(values), torch.from_numpy(labels), 4)
    mean = segment_mean(
        torch.from_numpy(values), torch.from_numpy(labels), 4, torch.from_numpy(weights)
    )
    for c in range(4):
        rows = labels == c
        np.testing.assert_allclose(total[c], values[rows].sum(axis=0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            mean[c], np.average(values[rows], axis=0, weights=weights[rows]), rtol=1e-4, atol=1e-6
        )


def test_normalize_weights_keeps_zero_rows():
    out = normalize_weights(torch.tensor([[1.0, 3.0], [0.0, 0.0]]))
    assert out.tolist() == [[0.25, 0.75], [0.0, 0.0]]


def test_drop_self_drops_the_row_or_the_last():
    indices = torch.tensor([[7, 1, 2], [3, 9, 4], [5, 6, 8]])
    closeness = torch.tensor([[0.9, 0.8, 0.7], [0.6, 0.5, 0.4], [0.3, 0.2, 0.1]])
    kept, others = drop_self(closeness, indices, torch.tensor([7, 9, 0]))
    assert others.tolist() == [[1, 2], [3, 4], [5, 6]]
    torch.testing.assert_close(kept, torch.tensor([[0.8, 0.7], [0.6, 0.4], [0.3, 0.2]]))
