"""Layers that compute what PyTorch's own do, quicker on a CPU.

Invariant: weights and names are those of PyTorch's layers, and results differ by the order of sums
alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAST_ROWS, LEAST_PRODUCTS = 32, 1 << 24
"""Below these, copies to oneDNN's layout and back cost more than it gains."""
HAS_MKL: bool = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
HAS_ONE_DNN: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


class WideLinear(nn.Linear):
    """A linear layer whose large products on a CPU oneDNN computes, and not PyTorch's BLAS.

    PyTorch's builds for x86 take MKL for matrix products, which leaves half of a vector unit unused
    on AMD's CPUs with AVX-512: there they take half the time so. Without MKL all is PyTorch's.
    """

    def is_large(self, x_BF: Tensor) -> bool:
        return (
            len(x_BF) >= LEAST_ROWS
            and x_BF.numel() * self.out_features >= LEAST_PRODUCTS
            and x_BF.dtype == torch.float32
            and x_BF.device.type == "cpu"
            and HAS_MKL
            and HAS_ONE_DNN
        )

    def forward(self, x_BF: Tensor) -> Tensor:
        if not self.is_large(x_BF):
            return super().forward(x_BF)
        return functional.linear(x_BF.to_mkldnn(), self.weight, self.bias).to_dense()


class LazyWideLinear(nn.LazyLinear):
    """One that is as wide as its first input makes it."""

    cls_to_become = WideLinear


class ChannelsLast(nn.Sequential):
    """Layers that keep images channels last: on a CPU a step takes four fifths of the time so."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        x: Tensor = images_BCHW.to(memory_format=torch.channels_last)
        for layer in self:
            x = layer(x)
        return x
