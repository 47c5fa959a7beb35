"""Batches of cells, such as donors, laid over each other before an encoder sees them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

MAX_CLUSTERS = 50


class BatchAlignment(nn.Module):
    """Points of each batch, moved onto those of the others cluster by cluster; fixed.

    `load` takes effects of `objectives.batch_effects` before training; they are part of every
    checkpoint, and samples of later files are moved as those trained on.

    Args:
        num_dims: Dimensions of a point, C.
        num_batches: Number of batches N.
    """

    shift: Tensor
    centres: Tensor
    offsets: Tensor
    log_weights: Tensor
    precision: Tensor

    def __init__(self, num_dims: int, num_batches: int) -> None:
        super().__init__()
        self.num_batches = num_batches
        sizes = {
            "shift": (num_batches, num_dims),
            "centres": (MAX_CLUSTERS, num_dims),
            "offsets": (num_batches, MAX_CLUSTERS, num_dims),
            "log_weights": (num_batches, MAX_CLUSTERS),
            "precision": (num_dims,),
        }
        for name, size in sizes.items():
            self.register_buffer(name, torch.zeros(size))

    def load(self, effects: Mapping[str, Tensor]) -> None:
        """Take the effects of batches, of at most 50 clusters; others keep a weight of nothing."""
        count = len(effects["centres"])
        self.log_weights.fill_(-math.inf)
        self.log_weights[:, :count] = effects["log_weights"]
        self.centres[:count] = effects["centres"]
        self.offsets[:, :count] = effects["offsets"]
        self.shift.copy_(effects["shift"])
        self.precision.copy_(effects["precision"])

    def forward(self, points: Tensor, batch: Tensor) -> Tensor:
        """Points (A, B, C) or (B, C), moved, in the same shape.

        Args:
            batch: Share of each batch, shape (B, N), rows of sum 1: one-hot, or the mean for
                samples of no known batch.
        """
        batch = batch.to(points.dtype)
        z = points - batch @ self.shift
        # a share of 0 times -inf is no number
        weights = batch @ self.log_weights.clamp_min(-1e4)
        offsets = torch.einsum("bn,nkc->bkc", batch, self.offsets)
        centres = self.centres + offsets
        scaled = centres * self.precision
        # |z|^2 is the same for all clusters
        near = torch.einsum("...bc,bkc->...bk", z, scaled) - (scaled * centres).sum(dim=-1) / 2
        member = (near + weights).softmax(dim=-1)
        return z - torch.einsum("...bk,bkc->...bc", member, offsets)
