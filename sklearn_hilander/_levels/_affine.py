"""Products of 32-bit rows and weights on the CPU, by whichever library of torch is the quicker one.

The library that torch multiplies matrices with, MKL, leaves half of what a processor can do unused
where another maker than its own built it. oneDNN, which torch brings as well, does not. It takes
copies in a layout of its own, so it is given blocks that stay in the cache; and it compiles code
for each shape, and keeps it, so these have one number of rows, and what is left over goes to MKL.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Rows of a block; of rows that sums go over, which have to be transposed as well.
BLOCK_ROWS, _SUMMED_ROWS = 1_280, 512


class Affine:
    """``x @ weight.T + bias`` for block after block of rows, without gradients.

    Parameters
    ----------
    weight : Tensor of shape (n_outputs, n_inputs), float32
    bias : Tensor of shape (n_outputs,), float32, optional
    block_rows : int, default=BLOCK_ROWS
        Rows of a block, but for what is left over.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None = None, *, block_rows: int = BLOCK_ROWS
    ) -> None:
        self._weight, self._bias = weight.detach(), None if bias is None else bias.detach()
        self._block_rows = block_rows if _by_onednn(weight) else -1

    def __call__(self, x: Tensor) -> Tensor:
        """Map one block of rows, (n_rows, n_inputs)."""
        if len(x) != self._block_rows:
            return F.linear(x, self._weight, self._bias)
        weight, bias = self._packed
        return F.linear(x.to_mkldnn(), weight, bias).to_dense()

    @cached_property
    def _packed(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias for oneDNN, copied where there is a whole block."""
        return self._weight.to_mkldnn(), None if self._bias is None else self._bias.to_mkldnn()


def in_blocks(map_rows: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """What a map makes of rows, with its gradients; block by block where these stay in the cache.

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
    if n_rows <= BLOCK_ROWS or inputs[0].device.type != "cpu":
        return map_rows(*inputs)
    blocks = zip(*(rows.split(BLOCK_ROWS) for rows in inputs), strict=True)
    if torch.is_grad_enabled():
        # Each place of an array that is written to would be a step of the gradients.
        return torch.cat([map_rows(*block) for block in blocks])
    first = map_rows(*next(blocks))
    out = first.new_empty((n_rows, *first.shape[1:]))
    out[:BLOCK_ROWS] = first
    for number, block in enumerate(blocks, start=1):
        out[number * BLOCK_ROWS : (number + 1) * BLOCK_ROWS] = map_rows(*block)
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
        if len(part_a) == _SUMMED_ROWS:
            out += F.linear(part_a.T.to_mkldnn(), part_b.T.to_mkldnn()).to_dense()
        else:
            out.addmm_(part_a.T, part_b)
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
    return "Intel" not in torch.cpu.get_capabilities().get("cpu_name", "Intel")
