"""Products of 32-bit rows and weights on the CPU, by whichever library of torch is the quicker one.

The library that torch multiplies matrices with, MKL, leaves half of what a processor can do unused
where another maker than its own built it. oneDNN, which torch brings as well, does not. It takes
copies in a layout of its own, so it is given blocks that stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Rows of a block; of rows that sums go over, which have to be transposed as well.
_BLOCK_ROWS, _SUMMED_ROWS = 1_280, 512


class Affine:
    """``x @ weight.T + bias`` for block after block of rows, without gradients.

    Parameters
    ----------
    weight : Tensor of shape (n_outputs, n_inputs), float32
    bias : Tensor of shape (n_outputs,), float32, optional
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        weight, bias = weight.detach(), None if bias is None else bias.detach()
        self._by_onednn = _by_onednn(weight)
        if self._by_onednn:
            weight, bias = weight.to_mkldnn(), None if bias is None else bias.to_mkldnn()
        self._weight, self._bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        """Map one block of rows, (n_rows, n_inputs)."""
        if not self._by_onednn:
            return F.linear(x, self._weight, self._bias)
        if len(x) == 0:
            return x.new_empty((0, self._weight.shape[0]))
        return F.linear(x.to_mkldnn(), self._weight, self._bias).to_dense()


def in_blocks(map_rows: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """What a map makes of rows, block by block where these then stay in the cache.

    Parameters
    ----------
    map_rows : callable
        Of blocks of the same rows of each input, to a block of shape (n_rows, n_outputs).
    *inputs : Tensor of shape (n_rows, ...)

    Returns
    -------
    Tensor of shape (n_rows, n_outputs)
    """
    n_rows = len(inputs[0])
    if n_rows <= _BLOCK_ROWS or inputs[0].device.type != "cpu":
        return map_rows(*inputs)
    blocks = zip(*(rows.split(_BLOCK_ROWS) for rows in inputs), strict=True)
    first = map_rows(*next(blocks))
    out = first.new_empty((n_rows, *first.shape[1:]))
    out[:_BLOCK_ROWS] = first
    for number, block in enumerate(blocks, start=1):
        out[number * _BLOCK_ROWS : (number + 1) * _BLOCK_ROWS] = map_rows(*block)
    return out


class Linear(nn.Linear):
    """A linear layer of torch whose products are those of `linear`."""

    def forward(self, input: Tensor) -> Tensor:
        """Map rows, (n_rows, in_features)."""
        return linear(input, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias``, with gradients.

    Parameters
    ----------
    x : Tensor of shape (n_rows, n_inputs)
    weight : Tensor of shape (n_outputs, n_inputs)
    bias : Tensor of shape (n_outputs,), optional

    Returns
    -------
    Tensor of shape (n_rows, n_outputs)
    """
    return _Linear.apply(x, weight, bias) if _by_onednn(x) else F.linear(x, weight, bias)


class _Linear(torch.autograd.Function):
    """By oneDNN forth and back: torch's own derivative of it refuses some layouts."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return in_blocks(Affine(weight, bias), x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        (grad,) = grads
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            in_blocks(Affine(weight.T), grad) if of_x else None,
            _summed_products(grad, x) if of_weight else None,
            grad.sum(dim=0) if of_bias else None,
        )


def _summed_products(a: Tensor, b: Tensor) -> Tensor:
    """``a.T @ b``."""
    out = a.new_zeros((a.shape[1], b.shape[1]))
    for part_a, part_b in zip(a.split(_SUMMED_ROWS), b.split(_SUMMED_ROWS), strict=True):
        out += F.linear(part_a.T.to_mkldnn(), part_b.T.to_mkldnn()).to_dense()
    return out


def _by_onednn(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.float32 and _onednn_is_quicker()


@cache
def _onednn_is_quicker() -> bool:
    """Where AVX-512 is there and MKL does not use it."""
    if (
        torch.backends.cpu.get_cpu_capability() != "AVX512"
        or not torch.backends.mkldnn.is_available()
    ):
        return False
    # Releases before 2.13 do not say.
    capabilities: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    return "Intel" not in capabilities().get("cpu_name", "Intel")
