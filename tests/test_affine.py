"""Products on the CPU, by either library."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sklearn_hilander._device import thread_limit
from sklearn_hilander._levels import _affine
from sklearn_hilander._levels._affine import Affine, Linear, in_blocks, linear


@pytest.fixture(params=["onednn", "torch"], autouse=True)
def library(request, monkeypatch):
    """Each of the two, whichever is the quicker one here."""
    if request.param == "onednn" and not torch.backends.mkldnn.is_available():
        pytest.skip("this build of torch has no oneDNN")
    monkeypatch.setattr(_affine, "_onednn_is_quicker", lambda: request.param == "onednn")
    return request.param


def made(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


@pytest.mark.parametrize("n_rows", [0, 1, 7, 3_000])
@pytest.mark.parametrize("bias", [True, False])
def test_a_block_is_mapped_as_torch_does(n_rows, bias):
    x, weight = made(n_rows, 20), made(5, 20, seed=1)
    added = made(5, seed=2) if bias else None
    mapped = Affine(weight, added, block_rows=max(1, n_rows))(x)
    torch.testing.assert_close(mapped, F.linear(x, weight, added), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(linear(x, weight, added), mapped, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n_rows", [1, 600, 3_000])
def test_gradients_are_torchs(n_rows):
    x, weight, bias, toward = made(n_rows, 12), made(8, 12), made(8), made(n_rows, 8, seed=3)
    gradients = []
    for layer in (linear, F.linear):
        inputs = [part.clone().requires_grad_() for part in (x, weight, bias)]
        layer(*inputs).backward(toward)
        gradients.append([part.grad for part in inputs])
    for ours, torchs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-3, atol=1e-3)


def test_only_gradients_that_are_asked_for():
    weight = made(8, 12).requires_grad_()
    linear(made(30, 12), weight).sum().backward()
    assert weight.grad.shape == weight.shape


def test_in_64_bits_as_precise_as_torch():
    x, weight = made(30, 12).double().requires_grad_(), made(8, 12).double().requires_grad_()
    assert torch.autograd.gradcheck(linear, (x, weight))


def test_a_layer_has_torchs_names_and_values():
    torch.manual_seed(0)
    ours = Linear(12, 8)
    torch.manual_seed(0)
    torchs = nn.Linear(12, 8)
    torchs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(made(5, 12)), torchs(made(5, 12)), rtol=1e-4, atol=1e-4)


@given(n_rows=st.integers(1, 4_000), width=st.integers(1, 3))
def test_blocks_are_put_in_their_place(n_rows, width):
    x = torch.arange(n_rows * width).view(n_rows, width)
    for with_gradients in (True, False):
        with torch.set_grad_enabled(with_gradients):
            assert torch.equal(in_blocks(lambda a, b: a + 2 * b, x, x), 3 * x)


def test_rows_have_the_same_bits_on_any_number_of_threads():
    affine, x = Affine(made(330, 256), block_rows=1_500), made(1_500, 256, seed=1)
    mapped = []
    for n_threads in (1, 2, 3):
        with thread_limit(n_threads):
            mapped.append(affine(x))
    assert torch.equal(mapped[0], mapped[1])
    assert torch.equal(mapped[0], mapped[2])
